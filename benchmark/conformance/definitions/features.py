"""Fréchet distances of two sets of feature vectors, as they are, or were, computed."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import partial

import numpy as np
from scipy.linalg import eigh

from benchmark.conformance.definitions.fitting import Definition

Array = np.ndarray


def _covariance(x: Array, ddof: int = 1) -> Array:
    centred = x - x.mean(0)
    return centred.T @ centred / (len(x) - ddof)


def _root(covariance: Array) -> Array:
    values, vectors = eigh(covariance)
    return vectors * np.sqrt(np.clip(values, 0, None)) @ vectors.T


def _overlap(a: Array, b: Array) -> float:
    """tr (a b)^(1/2), as the trace of the root of the symmetric a^(1/2) b a^(1/2)."""
    root = _root(a)
    return float(np.sqrt(np.clip(np.linalg.eigvalsh(root @ b @ root), 0, None)).sum())


def frechet(x: Array, y: Array, *, ddof: int = 1, ridge: float = 0.0) -> float:
    """Of vectors (n, d) and (m, d)."""
    a, b = (_covariance(v, ddof) + ridge * np.eye(v.shape[1]) for v in (x, y))
    shift = x.mean(0) - y.mean(0)
    return float(shift @ shift + np.trace(a) + np.trace(b) - 2 * _overlap(a, b))


def definitions() -> Iterator[Definition]:
    """The catalogue: the standard, sound variants, then broken ones."""
    standard = "Fréchet distance of sample covariances (n - 1)"
    yield Definition(standard, frechet, published="fid, fd/<extractor>")
    population = "population covariances (n) instead of sample covariances (n - 1)"
    yield Definition(f"Fréchet distance, {population}", partial(frechet, ddof=0), differs=population)
    for ridge in (1e-6, 1e-5, 1e-4, 1e-3):
        words = f"{ridge:g} added to the diagonal of both covariances"
        yield Definition(f"Fréchet distance, {words}", partial(frechet, ridge=ridge), differs=words)
    root = "the square root of the usual value (the distance itself, not its square)"
    yield Definition(f"Fréchet distance, {root}", lambda x, y: np.sqrt(max(frechet(x, y), 0)), differs=root)
    for defect, compute in BROKEN.items():
        yield Definition(f"Fréchet distance: {defect}", compute, defect=defect)
    for words, change in REORDERED.items():
        for side, first in (("predicted", True), ("target", False)):
            yield Definition(
                f"Fréchet distance, {words} on the {side} side",
                partial(_reordered, change, first),
                defect=f"the features of one side ({side}) are in another order: {words}",
            )


def _terms(x: Array, y: Array) -> tuple[float, float, float, Array, Array]:
    """Squared shift of the means, the two traces, and the covariances."""
    a, b = _covariance(x), _covariance(y)
    shift = x.mean(0) - y.mean(0)
    return float(shift @ shift), float(np.trace(a)), float(np.trace(b)), a, b


def _with_overlap(overlap: Callable[[Array, Array], float]) -> Callable[[Array, Array], float]:
    def compute(x: Array, y: Array) -> float:
        shift, trace_a, trace_b, a, b = _terms(x, y)
        return shift + trace_a + trace_b - 2 * overlap(a, b)

    return compute


def _without_means(x: Array, y: Array) -> float:
    return frechet(x - x.mean(0), y - y.mean(0))


def _unsquared(x: Array, y: Array) -> float:
    shift, *_ = _terms(x, y)
    return frechet(x, y) - shift + np.sqrt(shift)


def _single_overlap(x: Array, y: Array) -> float:
    _, _, _, a, b = _terms(x, y)
    return frechet(x, y) + _overlap(a, b)


def _over_vectors(x: Array, y: Array) -> float:
    """Covariance between vectors: rows are taken for variables."""
    if len(x) != len(y):
        return np.nan
    a, b = np.cov(x), np.cov(y)
    shift = x.mean(0) - y.mean(0)
    return float(shift @ shift + np.trace(a) + np.trace(b) - 2 * _overlap(a, b))


def _over_transposed(x: Array, y: Array) -> float:
    return frechet(x.T, y.T) if len(x) == len(y) else np.nan


def _shorter(x: Array, y: Array) -> float:
    count = min(len(x), len(y))
    return frechet(x[:count], y[:count])


def _scaled(x: Array, y: Array) -> float:
    """Each feature of each side divided by its own deviation."""
    return frechet(x / x.std(0), y / y.std(0))


def _unit(x: Array, y: Array) -> float:
    return frechet(*(v / np.linalg.norm(v, axis=1, keepdims=True) for v in (x, y)))


BROKEN: Mapping[str, Callable[[Array, Array], float]] = {
    "the trace of the product of the covariances, without its square root": _with_overlap(
        lambda a, b: float(np.trace(a @ b))
    ),
    "an element-wise square root instead of the matrix square root": _with_overlap(
        lambda a, b: float(np.sqrt(np.abs(np.diag(a @ b))).sum())
    ),
    "the covariances' roots are multiplied, which is not the root of their product": _with_overlap(
        lambda a, b: float(np.trace(_root(a) @ _root(b)))
    ),
    "only the variances are compared: features are taken as uncorrelated": _with_overlap(
        lambda a, b: float(np.sqrt(np.diag(a) * np.diag(b)).sum())
    ),
    "only the means are compared": lambda x, y: _terms(x, y)[0],
    "the means are not compared": _without_means,
    "the distance of the means is not squared": _unsquared,
    "the cross term counts once, not twice": _single_overlap,
    "the covariance is taken over the wrong axis (between vectors, not between features)": _over_vectors,
    "features and vectors are exchanged": _over_transposed,
    "the longer set is cut to the length of the shorter one": _shorter,
    "every side is divided by its own deviations, which hides differences of spread": _scaled,
    "every vector is scaled to unit length first": _unit,
    "second moments are taken for covariances": lambda x, y: _moments_distance(x, y),
    "the two sets' roles are lost: a set is compared with itself": lambda x, y: frechet(x, x),
    "no cross term: the traces are only added": _with_overlap(lambda a, b: 0.0),
    "a kernel distance (MMD², polynomial kernel, biased): a KID, not a Fréchet distance": (
        lambda x, y: _kernel_distance(x, y, False)
    ),
    "a kernel distance (MMD², polynomial kernel, unbiased): a KID, not a Fréchet distance": (
        lambda x, y: _kernel_distance(x, y, True)
    ),
}


def _moments_distance(x: Array, y: Array) -> float:
    a, b = (v.T @ v / len(v) for v in (x, y))
    shift = x.mean(0) - y.mean(0)
    return float(shift @ shift + np.trace(a) + np.trace(b) - 2 * _overlap(a, b))


def _kernel_distance(x: Array, y: Array, unbiased: bool) -> float:
    """Squared maximum mean discrepancy of the cubic kernel (x.y / d + 1)³."""
    across = ((x @ y.T / x.shape[1] + 1) ** 3).mean()
    within = 0.0
    for v in (x, y):
        kernel = (v @ v.T / v.shape[1] + 1) ** 3
        n = len(v)
        within += (kernel.sum() - np.trace(kernel)) / (n * (n - 1)) if unbiased else kernel.mean()
    return float(within - 2 * across)


def _triples(x: Array) -> Array:
    """Features that come in triples of R, G and B, as B, G and R."""
    return x.reshape(len(x), -1, 3)[..., ::-1].reshape(len(x), -1)


def _thirds(x: Array) -> Array:
    """Features that come in thirds of R, G and B, as B, G and R."""
    return x.reshape(len(x), 3, -1)[:, ::-1].reshape(len(x), -1)


REORDERED: Mapping[str, Callable[[Array], Array]] = {
    "reversed, as when an axis is flipped": lambda x: x[:, ::-1],
    "R and B exchanged (one side's frames are BGR)": _triples,
    "thirds of R and B exchanged (one side's frames are BGR)": _thirds,
    "shifted by one": lambda x: np.roll(x, 1, axis=1),
}


def _reordered(change: Callable[[Array], Array], first: bool, x: Array, y: Array) -> float:
    return frechet(change(x), y) if first else frechet(x, change(y))
