"""This project's protocols as functions of two arrays: `protocols:lvd/mouth/iod` is the one with that id."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from benchmark.metrics.metric import ClipPair
from benchmark.metrics.registry import metric_of
from benchmark.metrics.score import Score
from models.types import Prediction


def __getattr__(name: str) -> Callable[[np.ndarray, np.ndarray], Score]:
    try:
        metric = metric_of(name)
    except ValueError:
        raise AttributeError(name) from None

    def compute(predicted: np.ndarray, target: np.ndarray) -> Score:
        sides = (side(x) for x in (predicted, target))
        return metric.compute(ClipPair(*sides, clip="probe"))

    return compute


def side(given: np.ndarray) -> Prediction:
    """Landmarks (frames, points, 2), or an image (H, W, 3), as a clip of one frame."""
    if given.ndim == 3 and given.shape[-1] == 2:
        return Prediction(landmarks=given)
    return Prediction(landmarks=np.zeros((1, 68, 2), np.float32), frames=given[None])
