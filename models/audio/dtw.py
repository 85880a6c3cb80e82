"""Dynamic time warping of two feature sequences: the path, and warping one utterance onto another.

The path starts at (0, 0), ends at the last pair, and moves by (1, 1), (1, 0) or (0, 1). Among equally
good predecessors the diagonal wins, then the step in the first sequence, then the step in the second.

Source: EVP (Ji et al., CVPR 2021), equation 1; step order, distance and the warping rule as released.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numba import njit
from scipy.spatial.distance import cdist


@dataclass(frozen=True)
class Path:
    """A warping path: `first[l]` and `second[l]` are matched; `distance` is its accumulated cost."""

    first: np.ndarray
    second: np.ndarray
    distance: float


def dtw_path(
    first: np.ndarray, second: np.ndarray, *, metric: str = "cityblock", diagonal_weight: float = 1.0
) -> Path:
    """The cheapest warping path between (n, d) and (m, d) sequences.

    Args:
        first, second: feature rows.
        metric: distance of two rows, as SciPy's `cdist` names it; "cityblock" is EVP's L1.
        diagonal_weight: cost factor of a diagonal step. 1 is EVP; 2 makes all paths equally long
            (symmetric2), so that diagonals are not preferred for being shorter.

    Raises:
        ValueError: a sequence is empty, is not a matrix, or the two differ in width.
    """
    if first.ndim != 2 or second.ndim != 2 or first.shape[1] != second.shape[1]:
        raise ValueError(f"expected (n, d) and (m, d) features, got {first.shape} and {second.shape}")
    if len(first) == 0 or len(second) == 0:
        raise ValueError("cannot align an empty sequence")
    x, y = first.astype(np.float64), second.astype(np.float64)
    if not (np.isfinite(x).all() and np.isfinite(y).all()):
        raise ValueError("cannot align features that are not finite")
    if metric == "cityblock":
        distance, steps = _search_city_block(x, np.ascontiguousarray(y.T), diagonal_weight)
    else:
        local = np.asarray(cdist(x, y, metric))  # type: ignore[call-overload]
        distance, steps = _search(local, diagonal_weight)
    return Path(*_trace(steps), float(distance))


def warp_to(source: np.ndarray, reference: np.ndarray, path: Path) -> np.ndarray:
    """Source rows on the time axis of the reference, (len(reference), d).

    `path.first` indexes the source, `path.second` the reference. As released: the last of several source
    rows matched with one reference row is kept, and the path's first pair is not applied, so row 0 stays
    the reference's unless a later pair also reaches it. Both are silence for padded utterances.
    """
    out = reference.copy()
    out[path.second[1:]] = source[path.first[1:]]
    return out


@njit(cache=True)
def _search_city_block(x, y_columns, diagonal_weight):  # pragma: no cover - compiled
    """`_search` with each row of local costs made where it is needed, which spares the matrix."""
    n, dims = x.shape
    m = y_columns.shape[1]
    steps = np.empty((n, m), np.uint8)
    cost, entry, total, previous = np.empty(m), np.empty(m), np.empty(m), np.empty(m)
    for i in range(n):
        cost[:] = 0.0
        for k in range(dims):
            value = x[i, k]
            column = y_columns[k]
            for j in range(m):
                cost[j] += abs(value - column[j])
        total, previous = previous, total
        _advance(i, cost, previous, entry, total, steps[i], diagonal_weight)
    return total[m - 1], steps


@njit(cache=True)
def _search(cost, diagonal_weight):  # pragma: no cover - compiled
    """`_search` with each row of local costs made where it is needed, sparing the matrix."""
    n, m = cost.shape
    steps = np.empty((n, m), np.uint8)
    entry, total, previous = np.empty(m), np.empty(m), np.empty(m)
    for i in range(n):
        total, previous = previous, total
        _advance(i, cost[i], previous, entry, total, steps[i], diagonal_weight)
    return total[m - 1], steps


@njit(cache=True)
def _advance(i, cost, previous, entry, total, steps, diagonal_weight):  # pragma: no cover - compiled
    """Accumulate row i from row i - 1. Three loops, because only the middle one can't be vectorised."""
    m = cost.size
    if i == 0:
        total[0] = cost[0]
        steps[0] = 0
        for j in range(1, m):
            total[j] = total[j - 1] + cost[j]
            steps[j] = 2
        return
    extra = diagonal_weight - 1.0
    steps[0] = 1
    entry[0] = previous[0]
    for j in range(1, m):
        diagonal = previous[j - 1] + extra * cost[j]
        up = previous[j]
        entry[j] = diagonal if diagonal <= up else up
        steps[j] = 0 if diagonal <= up else 1
    left = entry[0] + cost[0]
    total[0] = left
    for j in range(1, m):
        best = entry[j]
        left = (best if best <= left else left) + cost[j]
        total[j] = left
    for j in range(1, m):
        if entry[j] > total[j - 1]:
            steps[j] = 2


@njit(cache=True)
def _trace(steps):  # pragma: no cover - compiled
    n, m = steps.shape
    first = np.empty(n + m - 1, np.int64)
    second = np.empty(n + m - 1, np.int64)
    i, j = n - 1, m - 1
    at = n + m - 2
    first[at], second[at] = i, j
    while i > 0 or j > 0:
        step = steps[i, j]
        if step != 2:
            i -= 1
        if step != 1:
            j -= 1
        at -= 1
        first[at], second[at] = i, j
    return first[at:].copy(), second[at:].copy()
