"""What a whole suite is about: the corpus, its split, the items, and their identities."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from benchmark.config import Settings, instantiate
from benchmark.data.corpus import Corpus, CorpusError, Split, split_corpus
from benchmark.data.items import Item, build_items, clips_to_prepare, film
from benchmark.data.parametric import Parametric
from benchmark.data.recordings import Recordings
from benchmark.data.synthetic.readings import readings_identity
from benchmark.data.views import SubjectData
from benchmark.data.warped import prepare_warped
from benchmark.errors import ConfigError
from benchmark.names import few
from benchmark.probing import probe_clips
from benchmark.training.stage_cache import digest_of
from models.arguments import check_arguments
from models.files import contents_digest, file_digest
from models.method import Stage
from models.preprocess.facemesh import FaceMesh
from models.types import LABELS, Clip

DATA, PRETRAINING = "data", "pretraining.corpus"
"""Keys of the configuration that hold corpora."""
MOST_NAMED = 10
"""Recordings that a note names."""
READS: Mapping[str, tuple[str, ...]] = {
    "judge": ("speaker", "sentence", "emotion"),
    "predict": ("speaker", "emotion", "intensity", "frames"),
    "truth": ("speaker", "sentence", "emotion", "intensity", "frames"),
    "score": ("emotion", "frames"),
    "probe": ("speaker", "sentence", "emotion", "intensity"),
}
"""Labels that the harness's own jobs read of clips; stages of methods have `models.method.Stage.reads`.

Of its items, `predict` reads what a `models.types.Request` holds; its predictor may read all training data.
Records and manifests are written from the labels themselves, in every run.
"""


@dataclass(frozen=True)
class StudyConfig:
    """The resolved configuration of a study; a plain value, so that worker processes can be handed it."""

    data: Mapping[str, Any]
    face: Mapping[str, Any]
    split: Mapping[str, Any]
    film: Mapping[str, Any]
    items: Mapping[str, Any]
    metrics: Mapping[str, Any]
    device: str
    pretraining: Mapping[str, Any] | None = None
    """The corpus that content encoders are pre-trained on, if there is one."""
    probes: Mapping[str, Any] = field(default_factory=dict)
    left_out: Mapping[str, str] = field(default_factory=dict)
    """Reason by recording, for those that cannot be used and are no part of the study."""
    pretraining_left_out: Mapping[str, str] = field(default_factory=dict)
    """The same of the corpus that content encoders are pre-trained on."""
    notes: tuple[str, ...] = ()
    """What inspecting the recordings has shown, in sentences."""

    @property
    def unusable(self) -> dict[str, Mapping[str, str]]:
        """Reason by recording that is left out, by the key of its corpus."""
        return {DATA: self.left_out, PRETRAINING: self.pretraining_left_out}

    def without(self, reasons: Mapping[str, Mapping[str, str]]) -> StudyConfig:
        """Return the configuration that leaves out further recordings, by the key of their corpus."""
        data, pretraining = (
            dict(sorted({**known, **reasons.get(key, {})}.items())) for key, known in self.unusable.items()
        )
        return replace(self, left_out=data, pretraining_left_out=pretraining)

    @classmethod
    def of(cls, settings: Settings) -> StudyConfig:
        return cls(
            settings.data,
            settings.face,
            settings.split,
            settings.film,
            settings.items,
            settings.metrics,
            settings.device,
            settings.pretraining,
            settings.probes,
        )


class Study:
    """A study made real: nothing is prepared or read until it is asked for."""

    def __init__(self, config: StudyConfig) -> None:
        self.config = config

    @cached_property
    def corpus(self) -> Corpus:
        corpus = self._corpus(DATA, self.config.data)
        if self.config.face:
            corpus = instantiate(self.config.face, "face", Corpus, corpus=corpus)
        if not corpus.has_landmarks:
            raise CorpusError(
                f"{corpus.name} is speech without faces: expected video, or phone times to move a face with; "
                "add face=parametric (data=emodb and data=ravdess) or choose another corpus"
            )
        return corpus

    def _corpus(self, key: str, tree: Mapping[str, Any]) -> Corpus:
        left_out = self.config.unusable[key]
        return instantiate(tree, key, Corpus, **({"left_out": tuple(left_out)} if left_out else {}))

    @cached_property
    def recorded(self) -> dict[str, Recordings]:
        """The recorded corpora of the study by their keys, under a parametric face or not."""
        speech = self.corpus.speech if isinstance(self.corpus, Parametric) else self.corpus
        corpora = {DATA: speech, PRETRAINING: self.pretraining}
        return {key: corpus for key, corpus in corpora.items() if isinstance(corpus, Recordings)}

    @property
    def filmed(self) -> bool:
        """Whether frames are asked for, and there."""
        return self.corpus.has_frames and bool(self.config.items.get("filmed", True))

    @cached_property
    def split(self) -> Split:
        whole = _called("split", split_corpus, self.corpus, **self.config.split)
        whole = replace(whole, notes=(*self._left_out_notes(), *self.config.notes, *whole.notes))
        if not self.filmed:
            return whole
        return _called("film", film, whole, **self.config.film)

    @property
    def data_notes(self) -> tuple[str, ...]:
        """What is wrong with the recordings or their labels, in sentences."""
        return (*self._left_out_notes(), *self.config.notes, *self.corpus.notes)

    def _left_out_notes(self) -> list[str]:
        notes = []
        for key, reasons in self.config.unusable.items():
            if reasons:
                one = len(reasons) == 1
                # All are in the manifest's provenance.
                listed = few([f"{name} ({why})" for name, why in reasons.items()], MOST_NAMED, between="; ")
                notes.append(
                    f"{len(reasons)} recording{' is' if one else 's are'} left out ({key}.unusable=skip), as "
                    f"{'it' if one else 'they'} cannot be used: {listed}."
                )
        return notes

    @cached_property
    def items(self) -> tuple[Item, ...]:
        return _called("items", build_items, self.corpus, self.split, **self.config.items)

    @cached_property
    def data(self) -> SubjectData:
        return SubjectData(self.corpus, self.split, lambda: self.pretraining)

    @cached_property
    def pretraining(self) -> Corpus | None:
        """The corpus that content encoders are pre-trained on."""
        if self.config.pretraining is None:
            return None
        return self._corpus(PRETRAINING, self.config.pretraining)

    @cached_property
    def clips(self) -> tuple[Clip, ...]:
        asked = clips_to_prepare(self.split, self.items)
        known = {clip.id for clip in asked}
        probed = {c.id: c for c in (*self.probe_clips, *self.split.test)} if self.probe_clips else {}
        return (*asked, *(replace(c, filmed=False) for i, c in probed.items() if i not in known))

    @cached_property
    def probe_clips(self) -> tuple[Clip, ...]:
        """What embeddings are probed with; none on a corpus that doesn't know what it says when."""
        if not self.config.probes:
            return ()
        return probe_clips(self.corpus, self.split, **self.config.probes)

    def clips_of(self, key: str) -> tuple[Clip, ...]:
        """Return all clips that are prepared of the corpus at a key of the configuration."""
        if key == DATA:
            return self.clips
        return tuple(self.pretraining.clips()) if self.pretraining is not None else ()

    def clip_in(self, directory: Path) -> str | None:
        """Return the id of the one of `clips` that is prepared in a folder; None if none of them is."""
        return self._by_directory.get(directory)

    @cached_property
    def _by_directory(self) -> dict[Path, str]:
        return {clip.directory: clip.id for clip in self.clips}

    def prepare(self, clip: Clip, key: str = DATA) -> None:
        """Make the folder of one of `clips_of(key)`; a warped truth's after those that it is made of.

        Raises:
            CorpusError: naming the clip, if its media cannot be used.
        """
        if key == PRETRAINING:
            assert self.pretraining is not None
            return self.pretraining.prepare(clip, frames=False)
        item = self._warped.get(clip.id)
        if item is None:
            return self.corpus.prepare(clip, frames=clip.filmed)
        for part in (item.audio, item.target):
            self.corpus.prepare(part, frames=part.filmed)
        prepare_warped(clip, item.audio, item.target)

    @cached_property
    def _warped(self) -> dict[str, Item]:
        return {item.truth.id: item for item in self.items if item.warped}

    @property
    def judged(self) -> bool:
        """Whether an emotion judge has others to train on, and the subject's neutral face."""
        emotions = self.data.emotions
        shown = {clip.emotion for clip in self.split.judge_train}
        neutral = any(clip.emotion == "neutral" for clip in self.split.train)
        return len(emotions) >= 2 and neutral and set(emotions) <= shown

    @property
    def listens(self) -> bool:
        """Whether a sync judge has others to train on, and is wanted."""
        return bool(self.split.judge_train) and self.config.metrics["sync_steps"] > 0

    @property
    def missing_judges(self) -> tuple[str, ...]:
        """Say why columns of judges are missing, in sentences; a corpus without emotions says so itself."""
        emotions = self.data.emotions
        shown = {clip.emotion for clip in self.split.judge_train}
        unseen = [emotion for emotion in emotions if emotion not in shown]
        reasons = []
        if emotions and not self.judged:
            if len(emotions) == 1:
                reason = f"{', '.join(emotions)} is the only emotion"
            elif not any(clip.emotion == "neutral" for clip in self.split.train):
                reason = "no neutral clip of the subject is trained on"
            elif not shown:
                reason = "there are no clips of other speakers to train a judge on"
            else:
                reason = f"the other speakers' clips show no {', '.join(unseen)}"
            reasons.append(f"Emotion accuracy is not judged: {reason}.")
        if not self.listens:
            steps = self.config.metrics["sync_steps"]
            why = (
                "there are no clips of other speakers to train a judge on"
                if steps
                else "metrics.sync_steps=0"
            )
            reasons.append(f"Synchrony is not judged: {why}.")
        return tuple(reasons)

    # Identities: what a stage's bits depend on

    @cached_property
    def corpus_id(self) -> str:
        return self.corpus.identity()

    def clips_identity(self, clips: Iterable[Clip], reads: Iterable[str]) -> list[dict[str, Any]]:
        """Return what tells clips from others, as plain JSON: for each its id and what is read of it.

        Args:
            reads: names of labels; "frames" stands for whether the study uses the clip's frames.
        """
        labels = [name for name in LABELS if name in reads]
        filmed = "frames" in reads
        return [
            {
                "id": clip.id,
                "made of": self.corpus.clip_identity(clip),
                **{name: getattr(clip, name) for name in labels},
                **({"filmed": clip.filmed} if filmed else {}),
            }
            for clip in clips
        ]

    def training_identity(self, reads: Iterable[str]) -> str:
        """Return the identity of parts of the training data, named as in `models.method.Stage.reads`."""
        reads = frozenset(reads)
        seen: dict[str, Any] = {"corpus": self.corpus_id}
        for name in ("train", "validation"):
            seen[name] = self.clips_identity(getattr(self.split, name), reads)
        if "emotion" in reads:
            seen["emotions"] = list(self.data.emotions)
        if "heads" in reads:
            seen["heads"] = self.corpus.heads_identity()
        if "transcribed" in reads:
            seen["transcribed"] = readings_identity()
        if "pretraining" in reads:
            seen["pretraining"] = self.pretraining_id
        return digest_of(seen)

    @cached_property
    def training_id(self) -> str:
        """The identity of all training data but the corpus for pre-training."""
        return self.training_identity(Stage.reads)

    @cached_property
    def pretraining_id(self) -> str:
        if self.pretraining is None:
            raise ConfigError(
                "this method pre-trains on a corpus of its own, and none is configured: put pretraining=lrw "
                "on the command line"
            )
        clips = [
            [clip.id, self.pretraining.clip_identity(clip), clip.labels()]
            for clip in self.pretraining.clips()
        ]
        return digest_of([self.pretraining.identity(), clips])

    @cached_property
    def judge_id(self) -> str:
        """The identity of what the judges learn from, and of the subject's neutral face."""
        split = self.split
        parts = {
            name: self.clips_identity(clips, READS["judge"])
            for name, clips in (("others", split.judge_train), ("subject", split.train))
        }
        return digest_of({"corpus": self.corpus_id, "emotions": list(self.data.emotions), **parts})

    @cached_property
    def probe_id(self) -> str:
        """The identity of the clips whose embeddings are probed."""
        parts = {
            name: self.clips_identity(clips, READS["probe"])
            for name, clips in (("spread", self.probe_clips), ("test", self.split.test))
        }
        return digest_of({"corpus": self.corpus_id, "probes": dict(self.config.probes), **parts})

    def items_identity(self, reads: Iterable[str]) -> str:
        """Return the identity of the test items, with these labels of their clips."""
        reads = frozenset(reads)
        asked = [
            {
                "id": item.id,
                "condition": item.condition,
                "warped": item.warped,
                "clips": self.clips_identity((item.audio, item.emotion, item.target, item.truth), reads),
            }
            for item in self.items
        ]
        return digest_of({"corpus": self.corpus_id, "items": asked})

    @cached_property
    def items_id(self) -> str:
        """The identity of the test items with all labels of their clips."""
        return self.items_identity((*LABELS, "frames"))

    def identities(self) -> dict[str, str]:
        """Return the identities of all that jobs read of the data, by what it is."""
        identities = {
            "recordings": self.corpus_id,
            "training clips": self.training_id,
            "judges' clips": self.judge_id,
            "test items": self.items_id,
            "probed clips": self.probe_id,
        }
        return identities | ({"clips for pre-training": self.pretraining_id} if self.pretraining else {})

    @cached_property
    def _films_truths(self) -> bool:
        return any(item.truth.filmed for item in self.items)

    @cached_property
    def extractors(self) -> tuple[str, ...]:
        """Names of the networks whose features of frames are scored; none where no frames are."""
        if not self._films_truths:
            return ()
        metrics = self.config.metrics
        inception = ("inception",) if metrics["inception_weights"] is not None else ()
        return tuple(dict.fromkeys((*metrics["extractors"], *inception)))

    def weights(self) -> dict[str, Path]:
        """Return the file with the weights of each of `extractors`.

        Raises:
            ExtractorError: a file is missing.
        """
        from benchmark.metrics.extractors import weights_files

        return weights_files(self.extractors, self.config.metrics["inception_weights"])

    @cached_property
    def metrics_config(self) -> dict[str, Any]:
        """The keys of `metrics`, with what files and detectors hold in place of their paths and names.

        Raises:
            InputError: files of the detector that is asked for are missing.
        """
        from benchmark.metrics.extractors import ExtractorError

        metrics = dict(self.config.metrics)
        del metrics["inception_weights"]
        try:
            metrics["weights"] = {name: file_digest(path) for name, path in self.weights().items()}
        except ExtractorError:
            # Whoever computes with them fails and says so; nothing is kept under this identity.
            metrics["weights"] = None
        if metrics["redetect"] == "facemesh" and self._films_truths:
            metrics["redetect"] = FaceMesh().identity()
        return metrics


def stage_data(
    stage: Stage,
    training_identity: Callable[[tuple[str, ...]], str],
    contents: Callable[[Path], Mapping[str, str]] = contents_digest,
) -> str:
    """Return the identity of what a stage reads besides its upstream: clips, and files of the user's.

    Args:
        training_identity: `Study.training_identity`, or one that remembers its answers; `contents` likewise.
    """
    files = [contents(Path(path)) for path in stage.outside]
    return digest_of([training_identity(tuple(stage.reads)), files])


def _called(key: str, function: Any, *args: Any, **kwargs: Any) -> Any:
    positional = list(inspect.signature(function).parameters)[: len(args)]
    check_arguments(function, kwargs, key, supplied=positional)
    for name, value in kwargs.items():
        if isinstance(value, int) and value < 0:
            raise ConfigError(f"{key}.{name}: expected 0 or more, got {value}")
    try:
        return function(*args, **kwargs)
    except TypeError as error:
        raise ConfigError(f"{key}: {error}") from error
