"""Kernel distance of two sets of feature vectors: squared MMD with the kernel (x.y / d + 1)^3.

The unbiased estimate over all vectors, exact and without random subsets: where one subset is the whole set,
torch-fidelity's number is this one. Being unbiased it has no floor that grows as vectors get fewer and may
be below 0; but it takes vectors for independent, which frames of one clip are not, and what few clips do to
it stands in the interval and in the floor of real data.

Source: Bińkowski et al., ICLR 2018 (KID); Gretton et al., JMLR 13, 2012 (the estimate).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from benchmark.metrics.frechet import ClipSets
from benchmark.metrics.resampling import interval_around, resamples_of
from benchmark.metrics.score import Score

LARGEST_FEATURE = 1e40
"""Sums of sixth powers of larger ones may be infinite."""


def kernel_distance(first: np.ndarray, second: np.ndarray) -> float:
    """The unbiased squared MMD of vectors (n, d) and (m, d); below 0 for sets that are closer than chance.

    Raises:
        ValueError: see `frechet_distance`.
    """
    return _Blocks.of(ClipSets([first], [second])).value(np.zeros(1, int))


def kernel_score(
    predicted: Sequence[np.ndarray],
    truth: Sequence[np.ndarray],
    *,
    rng: np.random.Generator,
    resamples: int = 200,
) -> Score:
    """The distance of all frames of all clips, with a 95 % interval from resampling clips.

    Args:
        predicted, truth: per clip (frames, d); both lists in the same order of clips.
        resamples: 0 leaves the interval out.

    Raises:
        ValueError: see `ClipSets`; or features too large for the kernel.
    """
    sets = ClipSets(predicted, truth)
    blocks = _Blocks.of(sets)
    value = blocks.value(np.arange(sets.clips))
    if resamples == 0 or sets.clips < 2:
        return Score(value, count=sets.count, clips=sets.clips)
    resampled = [blocks.value(drawn) for drawn in resamples_of(sets.clips, rng, resamples)]
    low, high = interval_around(value, resampled)
    return Score(value, low=low, high=high, count=sets.count, clips=sets.clips)


@dataclass(frozen=True)
class _Blocks:
    """Sums of the kernel between clips, from which the distance of any choice of clips follows at once.

    Each pair is (sums, pairs of vectors), (clips, clips): predicted with predicted, true with true,
    predicted with true. A vector is never paired with itself.
    """

    predicted: tuple[np.ndarray, np.ndarray]
    true: tuple[np.ndarray, np.ndarray]
    between: tuple[np.ndarray, np.ndarray]

    @classmethod
    def of(cls, sets: ClipSets) -> _Blocks:
        """Sum the kernel over all pairs of vectors.

        Raises:
            ValueError: the features are so large that their kernel is infinite.
        """
        (x, y), (n, m) = sets.sides, sets.lengths
        largest = max(float(np.abs(x).max()), float(np.abs(y).max()))
        if largest > LARGEST_FEATURE:
            raise ValueError(
                f"features: the largest is {largest:.3g}; expected at most {LARGEST_FEATURE:.0e}, "
                "as their kernel is of the sixth order"
            )
        return cls(_within(x, n), _within(y, m), (_kernel_sums(x, n, y, m), np.outer(n, m)))

    def value(self, drawn: np.ndarray) -> float:
        """The distance of the clips of these indices; a clip drawn twice is not compared with its copy."""
        times = np.bincount(drawn, minlength=len(self.between[0]))
        weights = np.outer(times, times)
        np.fill_diagonal(weights, times)
        own, true, between = (
            np.sum(weights * sums) / np.sum(weights * pairs)
            for sums, pairs in (self.predicted, self.true, self.between)
        )
        return float(own + true - 2 * between)


def _within(features: np.ndarray, lengths: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    selves = _cubed(np.einsum("nd,nd->n", features, features), features.shape[1])
    sums = _kernel_sums(features, lengths, features, lengths)
    sums -= np.diag(np.add.reduceat(selves, _starts(lengths)))
    return sums, np.outer(lengths, lengths) - np.diag(lengths)


def _kernel_sums(x: np.ndarray, n: np.ndarray, y: np.ndarray, m: np.ndarray) -> np.ndarray:
    """(clips, clips): the kernel summed over the vectors of two clips; one row is in memory at a time."""
    columns, sums = _starts(m), np.empty((len(n), len(m)))
    for row, (start, length) in enumerate(zip(_starts(n), n, strict=True)):
        kernel = _cubed(x[start : start + length] @ y.T, x.shape[1])
        sums[row] = np.add.reduceat(kernel.sum(0), columns)
    return sums


def _cubed(products: np.ndarray, dimensions: int) -> np.ndarray:
    base = products / dimensions + 1
    return base * base * base


def _starts(lengths: np.ndarray) -> np.ndarray:
    return np.concatenate([[0], np.cumsum(lengths)[:-1]])
