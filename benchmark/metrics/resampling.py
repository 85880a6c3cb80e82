"""Clips as the units of a sample: frames of one clip resemble each other, so no frame is drawn by itself."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from models.heartbeat import beat

LEVEL = 0.95
"""Of every interval."""


def check_pairs(predicted: Sequence[np.ndarray], truth: Sequence[np.ndarray]) -> None:
    """
    Raises:
        ValueError: lists of clips of different length, or empty ones.
    """
    if len(predicted) != len(truth) or not truth:
        raise ValueError(
            f"expected as many predicted as true clips, at least one, got {len(predicted)} and {len(truth)}"
        )


def resamples_of(clips: int, rng: np.random.Generator, resamples: int) -> Iterator[np.ndarray]:
    """`clips` clips drawn with replacement, `resamples` times: their indices (clips,)."""
    for _ in range(resamples):
        beat()
        yield rng.integers(clips, size=clips)


def interval_around(value: float, resampled: Sequence[float]) -> tuple[float, float]:
    """The 95 % limits that resamples give a value.

    Drawing repeats clips, which moves every resampled distance to one side; the spread is therefore taken
    around the resamples' own mean and laid around the value.
    """
    draws = np.asarray(resampled)
    tail = (1 - LEVEL) / 2
    low, high = value + np.quantile(draws, [tail, 1 - tail]) - draws.mean()
    return float(low), float(high)
