"""Fréchet distance of two sets of feature vectors, with what is needed to read it honestly.

    |m_a - m_b|^2 + tr S_a + tr S_b - 2 tr (S_a S_b)^(1/2)

Its estimate is biased upwards, the more the fewer vectors there are per dimension; so few vectors are
refused, and a score comes with its counts and an interval over clips. Beside it stand the floor that real
data reach at the same count (`floor`), the value extrapolated to endless clips (`extrapolation`) and the
unbiased kernel distance (`kid`). Covariances are sample covariances (n - 1), as in every public
implementation. Float64 throughout.

Source: Dowson & Landau, J. Multivariate Anal. 12, 1982; Heusel et al., NeurIPS 2017.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.linalg import LinAlgError, cholesky, eigh, eigvalsh, get_lapack_funcs, svdvals

from benchmark.metrics.resampling import check_pairs, interval_around, resamples_of
from benchmark.metrics.score import Score

LARGE = 512
"""From so many dimensions on, LAPACK's own triangular product is used: half the work of two full ones, and
other rounding."""


class TooFewVectorsError(ValueError):
    """The distance of so few vectors would be mostly bias."""


@dataclass(frozen=True)
class Moments:
    count: int
    mean: np.ndarray
    """(d,)"""
    covariance: np.ndarray
    """(d, d)"""


def frechet_distance(first: np.ndarray, second: np.ndarray, *, allow_biased: bool = False) -> float:
    """Fréchet distance of vectors (n, d) and (m, d); never below 0.

    Args:
        allow_biased: accept fewer than 2 d vectors, where bias dominates.

    Raises:
        TooFewVectorsError: fewer than 2 d vectors on a side.
        ValueError: shapes that do not fit, fewer than two vectors, or values that are not finite.
    """
    first, second = check_features(first, "first"), check_features(second, "second")
    dimensions = first.shape[1]
    if second.shape[1] != dimensions:
        raise ValueError(f"expected vectors of one length, got {dimensions} and {second.shape[1]}")
    check_count(min(len(first), len(second)), dimensions, allow_biased=allow_biased)
    return _distance(first, second)


def check_count(fewest: int, dimensions: int, *, allow_biased: bool) -> None:
    """
    Raises:
        TooFewVectorsError: fewer than 2 d vectors, unless `allow_biased`.
    """
    if fewest < 2 * dimensions and not allow_biased:
        raise TooFewVectorsError(
            f"Fréchet distance: expected {2 * dimensions} vectors or more for {dimensions} dimensions, got "
            f"{fewest}; use more frames, an extractor with fewer dimensions, or allow_biased"
        )


def check_features(features: np.ndarray, what: str) -> np.ndarray:
    """The vectors (n, d) as float64.

    Raises:
        ValueError: not two-dimensional, fewer than two vectors, or a value that is not finite.
    """
    array = np.asarray(features, np.float64)
    if array.ndim != 2 or array.shape[1] == 0:
        raise ValueError(f"{what} features: expected (vectors, dimensions), got {array.shape}")
    if len(array) < 2:
        raise ValueError(f"{what} features: a covariance needs two vectors or more, got {len(array)}")
    if not np.isfinite(array).all():
        row = int(np.argwhere(~np.isfinite(array))[0, 0])
        raise ValueError(f"{what} features: vector {row} is not finite")
    return array


def moments(features: np.ndarray, repeats: np.ndarray | None = None) -> Moments:
    """Mean and sample covariance of (n, d), each vector counted `repeats` (n,) times."""
    weights = np.ones(len(features)) if repeats is None else np.asarray(repeats, np.float64)
    count = float(weights.sum())
    mean = weights @ features / count
    centred = features - mean
    return Moments(int(count), mean, (centred * weights[:, None]).T @ centred / (count - 1))


def distance_of_moments(first: Moments, second: Moments) -> float:
    """The distance of two Gaussians.

    With S_a = F F', the eigenvalues of S_a S_b are those of the symmetric F' S_b F, which are found much
    faster and more exactly than a matrix square root.
    """
    eigenvalues = _eigenvalues_of_product(first.covariance, second.covariance)
    overlap = np.sqrt(np.clip(eigenvalues, 0, None)).sum()
    return _combine(
        first.mean - second.mean, np.trace(first.covariance), np.trace(second.covariance), overlap
    )


def _eigenvalues_of_product(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """(d,) eigenvalues of the product of two covariances (d, d)."""
    if len(first) >= LARGE:
        potrf, sygst = get_lapack_funcs(("potrf", "sygst"), (first, second))
        # A transposed symmetric matrix is itself, in the order of axes that LAPACK copies fastest.
        root, short_of_rank = potrf(first.T, lower=1, clean=0)
        if not short_of_rank:
            product, _ = sygst(second.T, root, itype=2, lower=1)
            return eigvalsh(product, lower=True, overwrite_a=True, check_finite=False)
    root = _factor(first)
    return eigvalsh(root.T @ second @ root)


def _factor(covariance: np.ndarray) -> np.ndarray:
    """F with F F' = covariance: Cholesky's, or from eigenvectors where the covariance is short of rank."""
    try:
        return cholesky(covariance, lower=True)
    except LinAlgError:
        values, vectors = eigh(covariance)
        return vectors * np.sqrt(np.clip(values, 0, None))


def _distance(
    first: np.ndarray, second: np.ndarray, repeats: tuple[np.ndarray, np.ndarray] | None = None
) -> float:
    """The distance of vectors (n, d) and (m, d), each counted `repeats` ((n,), (m,)) times."""
    times = repeats or (None, None)
    if min(len(first), len(second)) < first.shape[1]:
        return _distance_by_gram(first, second, *times)
    return distance_of_moments(moments(first, times[0]), moments(second, times[1]))


def _distance_by_gram(
    first: np.ndarray,
    second: np.ndarray,
    first_repeats: np.ndarray | None = None,
    second_repeats: np.ndarray | None = None,
) -> float:
    """The same for fewer vectors than dimensions, from the (n, m) matrix of inner products."""
    (mean_a, a), (mean_b, b) = _scaled(first, first_repeats), _scaled(second, second_repeats)
    return _combine(mean_a - mean_b, np.sum(a * a), np.sum(b * b), np.sum(svdvals(a @ b.T)))


def _scaled(features: np.ndarray, repeats: np.ndarray | None) -> tuple[np.ndarray, np.ndarray]:
    """The mean (d,), and rows A (n, d) with A'A = covariance."""
    if repeats is None:
        mean = features.mean(0)
        return mean, (features - mean) / np.sqrt(len(features) - 1)
    mean = repeats @ features / repeats.sum()
    return mean, (features - mean) * np.sqrt(repeats / (repeats.sum() - 1))[:, None]


def _combine(shift: np.ndarray, trace_a: float, trace_b: float, overlap: float) -> float:
    # Rounding may leave equal sets at -1e-12, which is no distance.
    return max(float(shift @ shift + trace_a + trace_b - 2 * overlap), 0.0)


class ClipSets:
    """Predicted and true vectors with the clips that they come from, for distances of some of the clips."""

    def __init__(self, predicted: Sequence[np.ndarray], truth: Sequence[np.ndarray]) -> None:
        """
        Args:
            predicted, truth: per clip (frames, d); both lists in the same order of clips.

        Raises:
            ValueError: lists of different length, or features that `frechet_distance` would refuse.
        """
        check_pairs(predicted, truth)
        self.clips = len(truth)
        self.lengths = (np.array([len(x) for x in predicted]), np.array([len(x) for x in truth]))
        self.sides = (_joined(predicted, "predicted"), _joined(truth, "true"))
        if self.sides[0].shape[1] != self.sides[1].shape[1]:
            raise ValueError(
                f"expected vectors of one length, got {self.sides[0].shape[1]} and {self.sides[1].shape[1]}"
            )

    @property
    def count(self) -> int:
        """Vectors on the smaller side."""
        return min(len(side) for side in self.sides)

    @property
    def dimensions(self) -> int:
        return self.sides[0].shape[1]

    def distance(self, drawn: np.ndarray | None = None) -> float:
        """The distance of the clips of these indices, each as often as it is drawn; None: all once."""
        first, second = self.sides
        if drawn is None:
            return _distance(first, second)
        times = np.bincount(drawn, minlength=self.clips)
        repeats = np.repeat(times, self.lengths[0]), np.repeat(times, self.lengths[1])
        if len(drawn) < self.clips:
            # Most of the work on a subset would be on vectors that are not in it.
            first, second = (x[r > 0] for x, r in zip(self.sides, repeats, strict=True))
            repeats = repeats[0][repeats[0] > 0], repeats[1][repeats[1] > 0]
        return _distance(first, second, repeats)


def _joined(clips: Sequence[np.ndarray], what: str) -> np.ndarray:
    return check_features(np.concatenate([np.asarray(x, np.float64) for x in clips]), what)


def frechet_score(
    predicted: Sequence[np.ndarray],
    truth: Sequence[np.ndarray],
    *,
    rng: np.random.Generator,
    resamples: int = 200,
    allow_biased: bool = False,
) -> Score:
    """The distance of all frames of all clips, with a 95 % interval from resampling clips.

    Clips, not frames, are drawn with replacement, and each brings its prediction and its truth
    (`resampling`).

    Args:
        predicted, truth: per clip (frames, d); both lists in the same order of clips.
        resamples: 0 leaves the interval out.

    Raises:
        TooFewVectorsError, ValueError: see `frechet_distance`; also lists of different length.
    """
    sets = ClipSets(predicted, truth)
    check_count(sets.count, sets.dimensions, allow_biased=allow_biased)
    value = sets.distance()
    if resamples == 0 or sets.clips < 2:
        return Score(value, count=sets.count, clips=sets.clips)
    resampled = [sets.distance(drawn) for drawn in resamples_of(sets.clips, rng, resamples)]
    low, high = interval_around(value, resampled)
    return Score(value, low=max(low, 0.0), high=high, count=sets.count, clips=sets.clips)
