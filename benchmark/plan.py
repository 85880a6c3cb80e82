"""A suite as a graph of jobs: cells share every stage that they agree on.

prepare -> the stages of a method -> predict -> score -> mirror
        -> judge ──────> truth ───────────────^
        the stages that embed -> probe
observe
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import dataclass, field
from functools import cache, cached_property
from pathlib import Path
from types import MappingProxyType
from typing import Any

from benchmark.ablations import ablation
from benchmark.config import MethodConfig, Settings, config_id, instantiate, plain_name
from benchmark.errors import ConfigError
from benchmark.metrics.registry import METRICS
from benchmark.observability.measure import VERSION as OBSERVE_VERSION
from benchmark.observability.measure import observed_study
from benchmark.probing import VERSION as PROBE_VERSION
from benchmark.records import FULL
from benchmark.study import DATA, PRETRAINING, READS, Study, stage_data
from benchmark.training.stage_cache import StageFolder, digest_of, stage_id
from models.errors import StageError
from models.files import contents_digest
from models.method import READABLE, Method, Stage
from models.numerics import Numerics, numerics
from models.types import Clip

PREDICT_VERSION = 1
SCORE_VERSION = 2
JUDGE_VERSION = 1
EMPTY: Mapping[str, Any] = MappingProxyType({})
CHUNK = 12
"""About so many clips are prepared in one job; clips of one sentence stay together."""


@dataclass(frozen=True)
class Job:
    """One thing to do: a folder that appears, or clips that are prepared."""

    key: str
    kind: str
    """prepare, stage, judge, truth, predict, score, probe, observe or mirror."""
    name: str
    """What it is called in the display, in estimates and, if it has one, in its folder's name."""
    id: str = ""
    needs: tuple[str, ...] = ()
    """Keys of the jobs whose results it reads."""
    payload: Mapping[str, Any] = field(default_factory=dict)
    recipe: Mapping[str, Any] = field(default_factory=dict)

    def folder(self, stages: Path) -> StageFolder | None:
        return StageFolder(stages, self.name, self.id) if self.id else None


@dataclass(frozen=True)
class Variant:
    """A row of the table: a method, whole or ablated."""

    method: MethodConfig
    ablation: str
    overrides: tuple[str, ...]
    label: str
    kind: str
    asks: str
    built: Method

    @property
    def row(self) -> str:
        return self.method.name if self.ablation == FULL else f"{self.method.name}/{self.ablation}"


@dataclass(frozen=True)
class Cell:
    variant: Variant
    seed: int
    run_id: str
    stages: Mapping[str, str]
    """Folder ids by stage name, predict and score included."""
    score: str
    """Key of the job whose folder holds the scores."""
    media: str
    """Key of the job whose folder holds the videos."""
    probe: str | None = None
    """Key of the job whose folder says what its embeddings hold; None for a method without any."""

    @property
    def name(self) -> str:
        return f"{self.variant.row} seed {self.seed}"


@dataclass(frozen=True)
class Plan:
    study: Study
    cells: tuple[Cell, ...]
    jobs: Mapping[str, Job]
    notes: tuple[str, ...]
    numerics: Numerics
    truth: str
    """Key of the job that knows what the truth scores."""
    reference: str | None = None
    """Key of the job that probed what embeddings are compared with; None where nothing is probed."""
    observed: str | None = None
    """Key of the job that measures what each metric can see; None where the page is left out."""


def make_plan(settings: Settings, study: Study) -> Plan:
    """Cells and jobs of a suite; reads no media.

    Raises:
        ConfigError: a method or ablation that cannot be composed or built, or weights that scoring needs
            and that are not there.
        CorpusError: a corpus or split that cannot be used.
    """
    _check_extractors(study)
    variants, notes = _variants(settings, study)
    builder = _Builder(study, numerics(settings.device))
    cells = tuple(builder.cell(v, seed) for v, seed in itertools.product(variants, settings.seeds))
    return Plan(
        study,
        cells,
        builder.jobs,
        (*study.split.notes, *notes),
        builder.numerics,
        builder.truth().key,
        builder.reference([cell.probe for cell in cells]),
        builder.observed(settings),
    )


def _check_extractors(study: Study) -> None:
    """Told before any training, not when the first prediction is scored."""
    from benchmark.metrics.extractors import INCEPTION_DIGEST, ExtractorError
    from models.weights import published_bytes

    if any(item.truth.filmed for item in study.items):
        try:
            weights = study.weights()
        except ExtractorError as error:
            raise ConfigError(f"metrics.extractors: {error}; or leave it empty: []") from error
        if "inception" in weights:
            published_bytes(weights["inception"], INCEPTION_DIGEST)


# Rows


def _variants(settings: Settings, study: Study) -> tuple[list[Variant], list[str]]:
    facts = {"emotions": bool(study.data.emotions), "frames": study.filmed}
    for name in settings.ablations:
        ablation(name)
    for name in set(settings.ablated) - set(settings.composer.choices("method")):
        raise ConfigError(f"ablated: no method {name!r}")
    variants: list[Variant] = []
    notes: list[str] = []
    for name in settings.methods:
        full = _variant(settings, name, FULL, facts)
        if full.built.needs_emotions and not facts["emotions"]:
            notes.append(
                f"{full.label} is left out: it needs emotion labels, which {study.corpus.name} lacks."
            )
            continue
        wanted = settings.ablations if name in settings.ablated else (FULL,)
        for each in wanted:
            entry = ablation(each)
            lacks = [fact for fact in facts if getattr(entry, f"needs_{fact}") and not facts[fact]]
            if lacks:
                notes.append(
                    f"{entry.label} is left out: {study.corpus.name} has no {' and no '.join(lacks)}."
                )
                continue
            variants.append(full if each == FULL else _variant(settings, name, each, facts))
    if not variants:
        raise ConfigError("nothing to run: no method fits the corpus (" + " ".join(notes) + ")")
    return variants, notes


def _variant(settings: Settings, name: str, ablated: str, facts: Mapping[str, bool]) -> Variant:
    entry = ablation(ablated)
    method = settings.composer.method(name, entry.overrides, facts)
    built = instantiate(method.config, "method", Method)
    whole = ablated == FULL
    return Variant(
        method=method,
        ablation=ablated,
        overrides=entry.overrides,
        label=method.label if whole else entry.label,
        kind=method.kind if whole else "ablation",
        asks=method.asks if whole else entry.asks,
        built=built,
    )


# Jobs


class _Builder:
    def __init__(self, study: Study, numerics: Numerics) -> None:
        self.study, self.numerics = study, numerics
        self.jobs: dict[str, Job] = {}
        self._prepared: dict[str, str] = {}
        # Many cells read the same.
        self._contents = cache(contents_digest)
        self._training_identity = cache(study.training_identity)
        self._items_identity = cache(study.items_identity)
        split = study.split
        for part, clips in (
            ("training", (*split.train, *split.validation)),
            ("judge", split.judge_train),
            ("test", [c for i in study.items for c in (i.audio, i.emotion, i.target, i.truth)]),
            ("probes", study.clips),
        ):
            self._prepare(part, clips)

    def _add(self, job: Job) -> Job:
        return self.jobs.setdefault(job.key, job)

    def _prepare(self, part: str, clips: Iterable[Clip]) -> None:
        needed = {c.id: c for c in self.study.clips}
        fresh = sorted(
            {c.id for c in clips} - set(self._prepared),
            key=lambda i: (needed[i].sentence, needed[i].speaker, i),
        )
        for number, chunk in enumerate(_chunks([needed[i] for i in fresh])):
            key = f"prepare-{part}-{number}"
            self._add(Job(key, "prepare", "prepare", payload={"clips": [c.id for c in chunk]}))
            self._prepared.update({c.id: key for c in chunk})

    @cached_property
    def _preparing_pretraining(self) -> tuple[str, ...]:
        """Keys of the jobs that prepare the corpus for pre-training."""
        clips = sorted(self.study.clips_of(PRETRAINING), key=lambda clip: (clip.sentence, clip.id))
        payloads = [{"clips": [clip.id for clip in chunk], "corpus": PRETRAINING} for chunk in _chunks(clips)]
        jobs = [
            Job(f"prepare-pretraining-{n}", "prepare", "prepare", payload=p) for n, p in enumerate(payloads)
        ]
        return tuple(self._add(job).key for job in jobs)

    def _preparing(self, clips: Iterable[Clip]) -> tuple[str, ...]:
        return tuple(sorted({self._prepared[c.id] for c in clips}))

    def _folder_job(
        self,
        kind: str,
        name: str,
        *,
        config: Mapping[str, Any],
        target: str,
        version: int,
        upstream: Mapping[str, Job],
        data: str,
        seed: int | None,
        prepared: tuple[str, ...],
        payload: Mapping[str, Any],
        outside: Iterable[str] = (),
    ) -> Job:
        recipe = {
            "config": config,
            "target": target,
            "version": version,
            "upstream": {key: job.id for key, job in upstream.items()},
            "data": data,
            "seed": seed,
            "numerics": self.numerics.digest,
        }
        places = {Path(path) for path in outside}
        identity = stage_id(name, **{**recipe, "config": _without_places(config, places)})
        inputs = {key: f"{job.name}-{job.id}" for key, job in upstream.items()}
        needs = (*prepared, *(job.key for job in upstream.values()))
        payload = {**payload, "inputs": inputs, "seed": seed}
        return self._add(Job(f"{name}-{identity}", kind, name, identity, needs, payload, recipe))

    def cell(self, variant: Variant, seed: int) -> Cell:
        stages = self._stages(variant, seed)
        predict = self._predict(variant, stages)
        score = self._score(predict)
        seen = [self.study.corpus_id, self.study.training_id, self.study.items_id]
        if any("pretraining" in stage.reads for stage in variant.built.stages().values()):
            seen.append(self.study.pretraining_id)
        run_id = config_id(variant.method.config, seed, *seen)
        ids = {name: job.id for name, job in stages.items()} | {"predict": predict.id, "score": score.id}
        probe = self._probe(variant, stages)
        if probe is not None:
            ids["probe"] = probe.id
        return Cell(variant, seed, run_id, ids, score.key, predict.key, probe and probe.key)

    def _stages(self, variant: Variant, seed: int) -> dict[str, Job]:
        """The method's stages, upstream before downstream."""
        config = variant.method.config
        split = self.study.split
        prepared = self._preparing((*split.train, *split.validation))
        jobs: dict[str, Job] = {}
        for name, stage in variant.built.stages().items():
            self._check_stage(variant, name, stage, jobs)
            tree = config[name]
            jobs[name] = self._folder_job(
                "stage",
                name,
                config=tree,
                outside=stage.outside,
                target=tree["_target_"],
                version=stage.version,
                upstream={key: jobs[key] for key in stage.upstream},
                data=stage_data(stage, self._training_identity, self._contents),
                seed=stage_seed(stage, seed),
                prepared=(*prepared, *(self._preparing_pretraining if "pretraining" in stage.reads else ())),
                payload={"config": tree, "stage": name},
            )
        return jobs

    @staticmethod
    def _check_stage(variant: Variant, name: str, stage: Stage, before: Mapping[str, Job]) -> None:
        plain_name(name, "stage")
        unknown = set(stage.reads) - set(READABLE)
        if unknown:
            raise StageError(
                f"stage {name!r} of {variant.row} reads {min(unknown)!r}; known are {', '.join(READABLE)}"
            )
        tree = variant.method.config.get(name)
        if not isinstance(tree, Mapping) or "_target_" not in tree:
            raise StageError(f"stage {name!r} of {variant.row} has no method.{name}._target_ in its YAML")
        missing = [key for key in stage.upstream if key not in before]
        if missing:
            raise StageError(
                f"stage {name!r} of {variant.row} reads {missing[0]!r}, which is not before it: "
                f"{', '.join(before) or 'none'}"
            )

    def _predict(self, variant: Variant, stages: Mapping[str, Job]) -> Job:
        config = variant.method.config
        clips = [c for i in self.study.items for c in (i.audio, i.emotion, i.target, i.truth)]
        split = self.study.split
        return self._folder_job(
            "predict",
            "predict",
            config=_besides_stages(config, stages),
            target=config["_target_"],
            version=PREDICT_VERSION * 1000 + _method_version(variant),
            upstream=stages,
            data=digest_of([self.study.training_id, self._items_identity(READS["predict"])]),
            seed=None,
            prepared=self._preparing((*clips, *split.train, *split.validation)),
            payload={"config": dict(config), "row": variant.row},
        )

    def _probe(self, variant: Variant, stages: Mapping[str, Job]) -> Job | None:
        read = variant.built.embedding_stages
        if not read or not self.study.probe_clips:
            return None
        config, keys = variant.method.config, variant.built.embedding_keys
        return self._probing(
            config["_target_"],
            upstream={name: stages[name] for name in read},
            config={k: v for k, v in _besides_stages(config, stages).items() if keys is None or k in keys},
            method_version=_method_version(variant),
            payload={"config": dict(config), "row": variant.row},
        )

    def reference(self, probes: Iterable[str | None]) -> str | None:
        """The job that the probes of some cells are compared with, if there are any."""
        return self._probing("benchmark.probing.reference").key if any(probes) else None

    def _probing(
        self,
        target: str,
        *,
        upstream: Mapping[str, Job] = EMPTY,
        config: Mapping[str, Any] = EMPTY,
        method_version: int = 0,
        payload: Mapping[str, Any] = EMPTY,
    ) -> Job:
        return self._folder_job(
            "probe",
            "probe",
            config=dict(config),
            target=target,
            version=PROBE_VERSION * 1000 + method_version,
            upstream=upstream,
            data=self.study.probe_id,
            seed=None,
            prepared=self._preparing((*self.study.probe_clips, *self.study.split.test)),
            payload=payload,
        )

    def judge(self) -> Job | None:
        study = self.study
        if not (study.judged or study.listens):
            return None
        return self._folder_job(
            "judge",
            "judge",
            config={
                "emotion": study.judged,
                **{key: study.config.metrics[key] for key in ("network_steps", "sync_steps")},
            },
            target="benchmark.judging.train_judges",
            version=JUDGE_VERSION,
            upstream={},
            data=self.study.judge_id,
            seed=None,
            prepared=self._preparing((*self.study.split.judge_train, *self.study.split.train)),
            payload={},
        )

    def truth(self) -> Job:
        judge = self.judge()
        split = self.study.split
        # Real clips against which the truths are held, and whose notes are reported.
        others = (*split.train, *split.validation)
        return self._folder_job(
            "truth",
            "truth",
            config=self.study.metrics_config,
            target="benchmark.scoring.score_truth",
            version=SCORE_VERSION,
            upstream={"judge": judge} if judge else {},
            data=digest_of([self._items_identity(READS["truth"]), self._training_identity(READS["truth"])]),
            seed=None,
            prepared=self._preparing([*(i.truth for i in self.study.items), *others]),
            payload={},
        )

    def observed(self, settings: Settings) -> str | None:
        if settings.observe["clips"] == 0:
            return None
        return self._add(observe_job(settings.observe, settings.metrics, self.numerics)).key

    def _score(self, predict: Job) -> Job:
        judge = self.judge()
        return self._folder_job(
            "score",
            "score",
            config=self.study.metrics_config,
            target="benchmark.scoring.score_predictions",
            version=SCORE_VERSION,
            upstream={"predict": predict, "truth": self.truth(), **({"judge": judge} if judge else {})},
            data=self._items_identity(READS["score"]),
            seed=None,
            prepared=(),
            payload={},
        )


def _without_places(tree: Any, places: Set[Path]) -> Any:
    """Return a configuration with nothing but "..." where it says where files of the user's lie.

    What they hold is in the identity as `stage_data`, so it stays the same when they are moved.
    """
    if isinstance(tree, Mapping):
        return {key: _without_places(value, places) for key, value in tree.items()}
    if isinstance(tree, list | tuple):
        return [_without_places(value, places) for value in tree]
    return "..." if isinstance(tree, str) and Path(tree) in places else tree


def _besides_stages(config: Mapping[str, Any], stages: Mapping[str, Job]) -> dict[str, Any]:
    """Return a method's own configuration, without that of its stages."""
    return {key: value for key, value in config.items() if key not in stages}


def _method_version(variant: Variant) -> int:
    return int(getattr(variant.built, "version", 1))


def observing_plan(settings: Settings) -> Plan:
    """What each metric can see, and no suite."""
    measured = numerics(settings.device)
    job = observe_job(settings.observe, settings.metrics, measured)
    study = observed_study(settings.observe, settings.metrics)
    return Plan(study, (), {job.key: job}, (), measured, "", observed=job.key)


def observe_job(config: Mapping[str, Any], metrics: Mapping[str, Any], measured: Numerics) -> Job:
    """The job that damages clips of the embedded corpus, whatever corpus the suite is about.

    Args:
        config: the keys of `observe`.
        metrics: the keys of `metrics`.
    """
    study = observed_study(config, metrics)
    recipe = {
        "config": {"frames": config["frames"], "metrics": study.metrics_config},
        "target": "benchmark.observability.measure.observe",
        "version": OBSERVE_VERSION,
        # A new protocol is a new question.
        "upstream": {"protocols": digest_of([m.id for m in METRICS])},
        "data": digest_of([study.items_id, study.training_id, study.judge_id]),
        "seed": None,
        "numerics": measured.digest,
    }
    identity = stage_id("observe", **recipe)
    payload = {"config": dict(config), "metrics": dict(metrics), "inputs": {}, "seed": None}
    return Job(f"observe-{identity}", "observe", "observe", identity, (), payload, recipe)


def stage_seed(stage: Stage, seed: int) -> int | None:
    """What a stage's random streams are derived from; it still differs by seed if what it reads does."""
    if stage.own_seed is not None:
        return stage.own_seed
    return seed if stage.seeded else None


def corpus_of(job: Job) -> str:
    """Return the key of the corpus whose clips a job prepares."""
    return job.payload.get("corpus", DATA)


def _chunks(clips: Sequence[Clip]) -> list[list[Clip]]:
    chunks: list[list[Clip]] = []
    for _, group in itertools.groupby(clips, key=lambda c: c.sentence):
        members = list(group)
        if chunks and len(chunks[-1]) + len(members) <= CHUNK:
            chunks[-1] += members
        else:
            chunks += [members[i : i + 2 * CHUNK] for i in range(0, len(members), 2 * CHUNK)]
    return chunks


def result_jobs(plan: Plan) -> list[str]:
    """Keys of the jobs whose folders go into records and manifest."""
    wanted = [key for cell in plan.cells for key in (cell.score, cell.probe)]
    return [key for key in (*wanted, plan.truth, plan.reference) if key is not None]


def needed_jobs(plan: Plan, stages: Path, *, observing: bool = False) -> list[Job]:
    """What has to be done, upstream before downstream: nothing that is there, nothing that only feeds it.

    Args:
        observing: also what the page says of the metrics themselves.
    """
    wanted: set[str] = set()

    def suspect(job: Job, folder: StageFolder) -> bool:
        # Scores go into the records without a job that would look at their digests.
        return job.kind in ("score", "truth", "probe", "observe") and folder.damage() is not None

    def want(key: str) -> None:
        job = plan.jobs[key]
        folder = job.folder(stages)
        if key in wanted or (folder is not None and folder.is_complete() and not suspect(job, folder)):
            return
        wanted.add(key)
        for need in job.needs:
            want(need)

    for key in result_jobs(plan):
        want(key)
    if observing and plan.observed is not None:
        want(plan.observed)
    return [job for key, job in plan.jobs.items() if key in wanted]
