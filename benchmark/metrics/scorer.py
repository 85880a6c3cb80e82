"""One clip, then one set, scored under every protocol that applies, each thing computed once."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from benchmark.metrics.judges import NO_JUDGES, Judges
from benchmark.metrics.metric import ClipPair, SetPair
from benchmark.metrics.registry import METRICS, metric_of
from benchmark.metrics.score import Score
from models.types import Prediction

if TYPE_CHECKING:
    from benchmark.metrics.extractors import FrameExtractor


def score_clip(
    predicted: Prediction,
    truth: Prediction,
    *,
    clip_id: str,
    emotion: str | None = None,
    judges: Judges = NO_JUDGES,
    neutral: np.ndarray | None = None,
    redetected: tuple[np.ndarray, np.ndarray] | None = None,
    waveform: np.ndarray | None = None,
) -> dict[str, Score]:
    """Scores by protocol id, in the order of `METRICS`.

    Protocols whose needs are absent are absent from the result: image metrics where either side has no
    frames, a judge's where it is None or lacks what it needs (a neutral face and a wanted emotion, the
    waveform), those of redetected landmarks where none are given.

    Raises:
        ValueError: naming the clip: input that a protocol cannot be computed from.
    """
    pair = ClipPair(predicted, truth, clip_id, emotion, judges, neutral, redetected, waveform)
    applicable = [m for m in METRICS if m.level == "clip" and m.needs <= pair.offers]
    return {metric.id: metric.compute(pair) for metric in applicable}


def frame_features(
    frames: np.ndarray, extractors: Mapping[str, FrameExtractor], *, every: int = 1
) -> dict[str, np.ndarray]:
    """What the protocols of a set need of a clip: (n, d) float32 features by `Metric.features`.

    Args:
        frames: (frames, H, W, 3) uint8 RGB, all frames of the clip.
        extractors: by name; protocols of others are not served.
        every: every so many frames, the first one included, where a protocol does not choose its own.

    Raises:
        ValueError: `every` is below 1, or frames of another type or shape.
    """
    wanted = {m.features: m for m in METRICS if m.level == "set" and m.extractor in extractors}
    return {
        name: extractors[metric.extractor](metric.sampling(frames, every)) for name, metric in wanted.items()
    }


def score_set(
    protocol: str,
    predicted: Sequence[np.ndarray],
    truth: Sequence[np.ndarray],
    *,
    rng: np.random.Generator,
    resamples: int = 200,
    allow_biased: bool = False,
) -> Score:
    """A protocol of the whole set from `frame_features` per clip; both lists in the same order of clips.

    Raises:
        TooFewVectorsError: fewer than twice as many frames as dimensions, unless `allow_biased`.
        ValueError: the protocol is unknown or belongs to single clips, or features that do not fit.
    """
    metric = metric_of(protocol)
    if metric.level != "set":
        raise ValueError(f"{protocol} is scored per clip: use score_clip")
    return metric.compute(SetPair(predicted, truth, rng, resamples, allow_biased))


def set_protocols(extractors: Iterable[str]) -> dict[str, str]:
    """Protocol id -> name of its features in `frame_features`, of the protocols that the extractors serve."""
    served = set(extractors)
    return {m.id: m.features for m in METRICS if m.level == "set" and m.extractor in served}
