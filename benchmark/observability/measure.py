"""Every protocol against every damage in every dose, on a small study of the embedded corpus.

The embedded corpus, because only there are the factors known that a damage is made in; the judges are trained
on its other speakers, as in a run. One clip is in memory at a time, with the features of all.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from benchmark.data.parametric import Parametric
from benchmark.judging import load_judges, train_judges
from benchmark.metrics.extractors import FrameExtractor, extractor
from benchmark.metrics.frechet import TooFewVectorsError
from benchmark.metrics.judges import Judges
from benchmark.metrics.metric import ClipPair, Need, info
from benchmark.metrics.registry import METRICS
from benchmark.metrics.score import Score
from benchmark.metrics.scorer import frame_features, score_set, set_protocols
from benchmark.observability.damage import DAMAGES, Damage
from benchmark.observability.scene import Scene, scene_of
from benchmark.observations import UNDAMAGED, DamageInfo, Observation, Observations
from benchmark.records import WHOLE_SET
from benchmark.study import Study, StudyConfig
from models.seeding import generator
from models.types import Prediction

VERSION = 2
"""Raised whenever the same configuration measures something else."""

JUDGED: frozenset[Need] = frozenset({"judge", "emotion network", "sync judge"})
"""What a protocol needs that asks a judge."""
Progress = Callable[[int, int], None]
Key = tuple[str, float]
"""Damage and dose."""


def observed_study(config: Mapping[str, Any], metrics: Mapping[str, Any]) -> Study:
    """The study whose test clips are damaged.

    Args:
        config: the keys of `observe` in the run's configuration.
        metrics: the keys of `metrics`.
    """
    data = {
        "_target_": "benchmark.data.parametric.Parametric",
        "cache": config["cache"],
        "frame_size": config["frame_size"],
        "corpus": {
            "_target_": "benchmark.data.synthetic.corpus.SyntheticSpeech",
            "cache": config["cache"],
        },
    }
    return Study(
        StudyConfig(
            data=data,
            face={},
            split={"intensities": [3], "judge_sentences": config["judge_sentences"]},
            film={"train": 0, "validation": 0},
            items={"conditions": ["self"], "max_self": config["clips"]},
            metrics={**metrics, "resamples": config["resamples"]},
            device="cpu",
        )
    )


def observe(
    study: Study,
    folder: Path,
    *,
    frames: int | None,
    damages: Sequence[Damage] = DAMAGES,
    progress: Progress = lambda done, total: None,
) -> Observations:
    """Damage the study's test clips and score them.

    Args:
        folder: an empty folder, in which the judges are left.
        frames: of each clip's middle; None takes whole clips.
    """
    corpus = study.corpus
    if not isinstance(corpus, Parametric):
        raise TypeError(f"expected the embedded corpus, whose factors are known, got {type(corpus).__name__}")
    judges, neutral = _trained(study, folder)
    looker = _Looker(study, judges, neutral, damages)
    for number, item in enumerate(study.items, start=1):
        looker.look(scene_of(corpus, item.truth, frames=frames), scene_of(corpus, item.truth, rendered=False))
        progress(number, len(study.items))
    sets, notes = looker.sets()
    rows = (*looker.rows, *sets)
    seen = {row.protocol for row in rows}
    return Observations(
        corpus=corpus.description,
        clips=tuple(item.truth.id for item in study.items),
        frames=looker.frames,
        frame_size=corpus.frame_size,
        damages={d.name: DamageInfo(d.unit, tuple(map(float, d.doses)), d.description) for d in damages},
        protocols={m.id: info(m) for m in METRICS if m.id in seen},
        rows=rows,
        notes=tuple(notes),
    )


def _trained(study: Study, folder: Path) -> tuple[Judges, np.ndarray | None]:
    neutral = [clip for clip in study.split.train if clip.emotion == "neutral"]
    for clip in (*study.split.judge_train, *neutral):
        study.corpus.prepare(clip, frames=False)
    train_judges(study, folder)
    return load_judges(folder)


@dataclass
class _Looker:
    study: Study
    judges: Judges
    neutral: np.ndarray | None
    damages: Sequence[Damage]
    rows: list[Observation] = field(default_factory=list)
    frames: int = 0

    def __post_init__(self) -> None:
        names = self.study.config.metrics["extractors"]
        self.extractors: dict[str, FrameExtractor] = {name: extractor(name) for name in names}
        self.features: dict[Key, dict[str, list[np.ndarray]]] = {}

    def look(self, scene: Scene, whole: Scene) -> None:
        """Score a scene under every damage; the truth against itself first.

        Args:
            whole: its whole clip, for the judges, who need time; without frames.
        """
        truth = scene.truth
        self.frames += len(scene)
        perfect = self._scores(scene, truth, {}) | self._scores(whole, whole.truth, {}, judged=True)
        known = self._features(truth)
        self._keep((UNDAMAGED, 0.0), scene, perfect, known)
        for damage in self.damages:
            for dose in damage.doses:
                predicted, spoken = (
                    damage.apply(each, dose, generator(0, "observe", damage.name, scene.clip.id))
                    for each in (scene, whole)
                )
                scores = self._scores(scene, predicted, perfect)
                scores |= self._scores(whole, spoken, perfect, judged=True)
                features = known if predicted.frames is truth.frames else self._features(predicted)
                self._keep((damage.name, dose), scene, scores, features)

    def _scores(
        self, scene: Scene, predicted: Prediction, perfect: Mapping[str, Score], *, judged: bool = False
    ) -> dict[str, Score]:
        """By protocol, of those that ask a judge or of the others.

        One that reads nothing but what is the truth's own scores as the truth does.
        """
        truth = scene.truth
        touched = {
            name for name in ("landmarks", "frames") if getattr(predicted, name) is not getattr(truth, name)
        }
        pair = ClipPair(
            predicted,
            truth,
            scene.clip.id,
            emotion=scene.clip.emotion,
            judges=self.judges,
            neutral=self.neutral,
            waveform=scene.waveform,
        )
        return {
            m.id: m.compute(pair) if touched & m.needs or m.id not in perfect else perfect[m.id]
            for m in METRICS
            if m.level == "clip" and m.needs <= pair.offers and bool(m.needs & JUDGED) == judged
        }

    def _features(self, prediction: Prediction) -> dict[str, np.ndarray]:
        assert prediction.frames is not None
        return frame_features(prediction.frames, self.extractors)

    def _keep(
        self, key: Key, scene: Scene, scores: Mapping[str, Score], features: Mapping[str, np.ndarray]
    ) -> None:
        self.rows += [_row(key, name, scene.clip.id, score) for name, score in scores.items()]
        kept = self.features.setdefault(key, {})
        for name, found in features.items():
            kept.setdefault(name, []).append(found)

    def sets(self) -> tuple[list[Observation], list[str]]:
        """The protocols of sets, over all scenes together, and notes on those that are left out."""
        rows: list[Observation] = []
        notes: list[str] = []
        for protocol, name in set_protocols(self.extractors).items():
            try:
                rows += self._set_rows(protocol, name)
            except TooFewVectorsError as error:
                notes.append(f"{protocol} is left out: {error}")
        return rows, notes

    def _set_rows(self, protocol: str, name: str) -> Iterator[Observation]:
        """One for every damage and dose; whose frames are all the truth's own scores as the truth does."""
        metrics = self.study.config.metrics
        truth = self.features[UNDAMAGED, 0.0][name]
        perfect: Score | None = None
        for key, kept in self.features.items():
            same = all(a is b for a, b in zip(kept[name], truth, strict=True))
            score = perfect if same else None
            if score is None:
                score = score_set(
                    protocol,
                    kept[name],
                    truth,
                    rng=generator(0, "observe", protocol),
                    resamples=metrics["resamples"],
                    allow_biased=metrics["allow_biased"],
                )
            perfect = score if same else perfect
            yield _row(key, protocol, WHOLE_SET, score)


def _row(key: Key, protocol: str, clip: str, score: Score) -> Observation:
    return Observation(
        damage=key[0],
        dose=float(key[1]),
        protocol=protocol,
        clip=clip,
        value=score.value,
        coverage=score.coverage,
        low=score.low,
        high=score.high,
        least=score.least,
        most=score.most,
    )
