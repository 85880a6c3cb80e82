"""Fréchet distance of two sets of feature vectors, with what is needed to read it honestly.

    |m_a - m_b|^2 + tr S_a + tr S_b - 2 tr (S_a S_b)^(1/2)

Its estimate is biased upwards, the more the fewer vectors there are per dimension; so few vectors are
refused, and a score comes with its count, an interval over clips and the floor that real data reach.
Covariances are sample covariances (n - 1), as in every public implementation. Float64 throughout.

Source: Dowson & Landau, J. Multivariate Anal. 12, 1982; Heusel et al., NeurIPS 2017.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.linalg import LinAlgError, cholesky, eigh, eigvalsh, svdvals

from benchmark.metrics.score import Score

LEVEL = 0.95
"""Of the bootstrap interval."""


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
    fewest = min(len(first), len(second))
    if fewest < 2 * dimensions and not allow_biased:
        raise TooFewVectorsError(
            f"Fréchet distance: expected {2 * dimensions} vectors or more for {dimensions} dimensions, got "
            f"{fewest}; use more frames, an extractor with fewer dimensions, or allow_biased"
        )
    if fewest >= dimensions:
        return distance_of_moments(moments(first), moments(second))
    return _distance_by_gram(first, second)


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
    root = _factor(first.covariance)
    eigenvalues = eigvalsh(root.T @ second.covariance @ root)
    overlap = np.sqrt(np.clip(eigenvalues, 0, None)).sum()
    return _combine(
        first.mean - second.mean, np.trace(first.covariance), np.trace(second.covariance), overlap
    )


def _factor(covariance: np.ndarray) -> np.ndarray:
    """F with F F' = covariance: Cholesky's, or from eigenvectors where the covariance is short of rank."""
    try:
        return cholesky(covariance, lower=True)
    except LinAlgError:
        values, vectors = eigh(covariance)
        return vectors * np.sqrt(np.clip(values, 0, None))


def _distance_by_gram(first: np.ndarray, second: np.ndarray) -> float:
    """The same for fewer vectors than dimensions, from the (n, m) matrix of inner products."""
    a, b = (x - x.mean(0) for x in (first, second))
    a, b = a / np.sqrt(len(a) - 1), b / np.sqrt(len(b) - 1)
    return _combine(first.mean(0) - second.mean(0), np.sum(a * a), np.sum(b * b), np.sum(svdvals(a @ b.T)))


def _combine(shift: np.ndarray, trace_a: float, trace_b: float, overlap: float) -> float:
    # Rounding may leave equal sets at -1e-12, which is no distance.
    return max(float(shift @ shift + trace_a + trace_b - 2 * overlap), 0.0)


def frechet_score(
    predicted: Sequence[np.ndarray],
    truth: Sequence[np.ndarray],
    *,
    rng: np.random.Generator,
    resamples: int = 200,
    allow_biased: bool = False,
) -> Score:
    """The distance of all frames of all clips, with a 95 % interval from resampling clips.

    Clips, not frames, are drawn with replacement, and each brings its prediction and its truth. Drawing
    repeats clips, which lowers the rank and so raises every resampled distance; the spread is therefore
    taken around the resamples' own mean and laid around the value.

    Args:
        predicted, truth: per clip (frames, d); both lists in the same order of clips.
        resamples: 0 leaves the interval out.

    Raises:
        TooFewVectorsError, ValueError: see `frechet_distance`; also lists of different length.
    """
    if len(predicted) != len(truth) or not truth:
        raise ValueError(
            f"expected as many predicted as true clips, at least one, got {len(predicted)} and {len(truth)}"
        )
    sides = [np.concatenate([np.asarray(x, np.float64) for x in clips]) for clips in (predicted, truth)]
    value = frechet_distance(*sides, allow_biased=allow_biased)
    count = min(len(side) for side in sides)
    if resamples == 0 or len(truth) < 2:
        return Score(value, count=count)
    draws = _resampled(sides, [[len(x) for x in clips] for clips in (predicted, truth)], rng, resamples)
    tail = (1 - LEVEL) / 2
    low, high = value + np.quantile(draws, [tail, 1 - tail]) - draws.mean()
    return Score(value, low=max(float(low), 0.0), high=float(high), count=count)


def _resampled(
    sides: Sequence[np.ndarray], lengths: Sequence[Sequence[int]], rng: np.random.Generator, resamples: int
) -> np.ndarray:
    clips = len(lengths[0])
    values = np.empty(resamples)
    for k in range(resamples):
        times = np.bincount(rng.integers(clips, size=clips), minlength=clips)
        drawn = [moments(side, np.repeat(times, n)) for side, n in zip(sides, lengths, strict=True)]
        values[k] = distance_of_moments(*drawn)
    return values


def frechet_floor(
    clips: Sequence[np.ndarray],
    *,
    count: int,
    rng: np.random.Generator,
    draws: int = 20,
    allow_biased: bool = False,
) -> Score:
    """What real data score against other real data with `count` vectors a side: bias and content, no method.

    The real clips are split at random into two halves, and `count` vectors are taken from each.

    Args:
        clips: per real clip (frames, d), for instance test and training clips of the subject.

    Returns:
        The mean over the draws, with the 2.5 and 97.5 % quantiles of single draws as bounds.

    Raises:
        ValueError: there are not twice `count` vectors in different clips.
        TooFewVectorsError: see `frechet_distance`.
    """
    total = sum(len(clip) for clip in clips)
    if len(clips) < 2 or total < 2 * count:
        raise ValueError(
            f"the floor at {count} vectors needs {2 * count} from two real clips or more, got {total} from "
            f"{len(clips)}; add real clips or lower the count"
        )
    values = []
    for _ in range(draws):
        first, second = _halves(clips, rng)
        if min(len(first), len(second)) < count:
            raise ValueError(
                f"the floor at {count} vectors: one half of the clips has {min(len(first), len(second))}; "
                "add real clips or lower the count"
            )
        a, b = (rng.choice(half, count, replace=False) for half in (first, second))
        values.append(frechet_distance(a, b, allow_biased=allow_biased))
    low, high = np.quantile(values, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return Score(float(np.mean(values)), low=float(low), high=float(high), count=count)


def _halves(clips: Sequence[np.ndarray], rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Two sets of whole clips, dealt in random order to whichever side is smaller so far."""
    sides: tuple[list[np.ndarray], list[np.ndarray]] = ([], [])
    sizes = [0, 0]
    for index in rng.permutation(len(clips)):
        side = int(sizes[1] < sizes[0])
        sides[side].append(np.asarray(clips[index], np.float64))
        sizes[side] += len(clips[index])
    return np.concatenate(sides[0]), np.concatenate(sides[1])
