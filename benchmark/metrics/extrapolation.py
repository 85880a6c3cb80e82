"""The Fréchet distance that endless clips would have, by a line through its values at fewer clips.

The bias of the distance is a / N to first order, so the distance at several N lies on a line in 1/N whose
intercept is without it. Chong & Forsyth draw images; here clips are drawn, prediction and truth together,
because frames of a clip resemble each other: frames drawn one by one extrapolate to endless frames of the
same few clips. Where frames are independent the two agree; where they are not, clips remove more of the
bias, and all of it only if there are enough clips for the line to have begun.

Source: Chong & Forsyth, CVPR 2020 (FID-infinity).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from benchmark.metrics.frechet import ClipSets, TooFewVectorsError, check_count
from benchmark.metrics.resampling import interval_around, resamples_of
from benchmark.metrics.score import Score

SHARES = (0.5, 0.6, 0.75, 1.0)
"""Of the clips, in the subsets that the line goes through. Under d vectors, half of 2 d, the line bends."""
SUBSETS = 4
"""Of each share; they start a quarter of the clips apart, so that each clip is in as many as any other."""
FEWEST_CLIPS = 4
RESAMPLES_PER_ESTIMATE = 4
"""A resampled line needs 13 distances; a quarter of the resamples tell its spread well enough."""


def extrapolated_score(
    predicted: Sequence[np.ndarray],
    truth: Sequence[np.ndarray],
    *,
    rng: np.random.Generator,
    resamples: int = 200,
    allow_biased: bool = False,
) -> Score:
    """The intercept in 1/N, with a 95 % interval from resampling clips; it may be below 0.

    Args:
        predicted, truth: per clip (frames, d); both lists in the same order of clips.
        resamples: a quarter of them are drawn; 0 leaves the interval out.

    Raises:
        TooFewVectorsError: fewer than 2 d vectors, unless `allow_biased`, or fewer than four clips.
        ValueError: see `ClipSets`.
    """
    sets = ClipSets(predicted, truth)
    check_count(sets.count, sets.dimensions, allow_biased=allow_biased)
    if sets.clips < FEWEST_CLIPS:
        raise TooFewVectorsError(
            f"extrapolated Fréchet distance: expected {FEWEST_CLIPS} clips or more, got {sets.clips}"
        )
    value = intercept(sets, rng.permutation(sets.clips))
    if resamples == 0:
        return Score(value, count=sets.count, clips=sets.clips)
    drawn = resamples_of(sets.clips, rng, -(-resamples // RESAMPLES_PER_ESTIMATE))
    low, high = interval_around(value, [intercept(sets, order) for order in drawn])
    return Score(value, low=low, high=high, count=sets.count, clips=sets.clips)


def intercept(sets: ClipSets, order: np.ndarray) -> float:
    """The distance at 1/N = 0 by least squares.

    Args:
        order: indices of clips (n,), in which subsets are neighbours. A clip may occur twice, as in a
            resample; N is then the number of different clips that tell as much, (sum t)^2 / sum t^2.
    """
    inverse, distance = [], []
    for share in SHARES:
        size = max(2, round(share * len(order)))
        drawn = [order[(start + np.arange(size)) % len(order)] for start in _starts(len(order), size)]
        inverse.append(np.mean([np.square(np.bincount(d)).sum() / size**2 for d in drawn]))
        distance.append(np.mean([sets.distance(d) for d in drawn]))
    x = np.array(inverse) - np.mean(inverse)
    slope = x @ np.array(distance) / (x @ x)
    return float(np.mean(distance) - slope * np.mean(inverse))


def _starts(clips: int, size: int) -> Sequence[int]:
    return [0] if size == clips else [round(k * clips / SUBSETS) for k in range(SUBSETS)]
