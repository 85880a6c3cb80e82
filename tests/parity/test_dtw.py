"""Dynamic time warping against brute force over all paths, and against tslearn."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.distance import cdist

from models.audio.dtw import dtw_path


def cheapest(cost: np.ndarray) -> float:
    """The smallest sum over every path there is, by recursion."""

    @cache
    def to(i: int, j: int) -> float:
        before = [(a, b) for a, b in ((i - 1, j - 1), (i - 1, j), (i, j - 1)) if a >= 0 and b >= 0]
        return cost[i, j] + (min(to(a, b) for a, b in before) if before else 0.0)

    return to(cost.shape[0] - 1, cost.shape[1] - 1)


@settings(max_examples=100, deadline=None)
@given(
    st.integers(1, 9), st.integers(1, 9), st.integers(0, 2**32 - 1), st.sampled_from(["cityblock", "cosine"])
)
def test_brute_force(n: int, m: int, seed: int, metric: str) -> None:
    rng = np.random.default_rng(seed)
    x, y = rng.integers(1, 4, (n, 3)).astype(float), rng.integers(1, 4, (m, 3)).astype(float)
    path = dtw_path(x, y, metric=metric)
    cost = cdist(x, y, metric)
    assert path.distance == pytest.approx(cheapest(cost))
    assert cost[path.first, path.second].sum() == pytest.approx(path.distance)
    steps = np.stack([np.diff(path.first), np.diff(path.second)], 1)
    assert {tuple(step) for step in steps} <= {(1, 1), (1, 0), (0, 1)}
    assert (path.first[0], path.second[0]) == (0, 0)
    assert (path.first[-1], path.second[-1]) == (n - 1, m - 1)


@pytest.mark.parametrize("metric", ["cityblock", "euclidean"])
def test_tslearn(metric: str) -> None:
    metrics = pytest.importorskip("tslearn.metrics")
    rng = np.random.default_rng(1)
    x, y = rng.normal(size=(80, 13)).cumsum(0), rng.normal(size=(95, 13)).cumsum(0)
    path = dtw_path(x, y, metric=metric)
    reference, distance = metrics.dtw_path_from_metric(x, y, metric=metric)
    assert path.distance == pytest.approx(distance)
    np.testing.assert_array_equal(np.stack([path.first, path.second], 1), np.array(reference))
