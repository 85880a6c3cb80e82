from __future__ import annotations

import numpy as np
import pytest

from models.audio.dtw import dtw_path, warp_to

KNOWN = [
    (
        [[0], [2], [3], [3], [0]],
        [[0], [1], [2], [2], [3], [0]],
        1.0,
        [0, 1, 2, 3, 4, 4, 5],
        [0, 0, 1, 1, 2, 3, 4],
        [[1], [2], [3], [3], [0]],
    ),
    (
        [[0], [2], [3], [3], [0]],
        [[0.25], [1.25], [2.25], [2.25], [3.25], [0.25]],
        2.25,
        [0, 1, 2, 3, 4, 4, 5],
        [0, 1, 1, 1, 2, 3, 4],
        [[0], [2.25], [3.25], [3.25], [0.25]],
    ),
    (
        [[0, 0], [1, 0], [2, 1], [3, 1], [2, 0]],
        [[0, 0.5], [0, 0.5], [1, 0.5], [2, 1.5], [2, 1], [3, 1], [3, 0.5]],
        3.5,
        [0, 1, 2, 3, 4, 5, 6],
        [0, 0, 1, 2, 2, 3, 4],
        [[0, 0.5], [1, 0.5], [2, 1], [3, 1], [3, 0.5]],
    ),
]


@pytest.mark.parametrize(("reference", "source", "distance", "first", "second", "warped"), KNOWN)
def test_known_answers(reference, source, distance, first, second, warped) -> None:
    source, reference = np.array(source, float), np.array(reference, float)
    path = dtw_path(source, reference)
    assert path.distance == distance
    assert path.first.tolist() == first
    assert path.second.tolist() == second
    np.testing.assert_array_equal(warp_to(source, reference, path), warped)


def test_ties_prefer_the_diagonal() -> None:
    path = dtw_path(np.zeros((4, 2)), np.zeros((4, 2)))
    assert path.first.tolist() == path.second.tolist() == [0, 1, 2, 3]


def test_a_sequence_aligns_with_itself_at_no_cost() -> None:
    x = np.random.default_rng(0).normal(size=(50, 13))
    path = dtw_path(x, x)
    assert path.distance == 0
    np.testing.assert_array_equal(warp_to(x, x, path), x)


@pytest.mark.parametrize("bad", [np.zeros((0, 2)), np.zeros(4), np.zeros((4, 3)), np.full((4, 2), np.nan)])
def test_refuses(bad: np.ndarray) -> None:
    with pytest.raises(ValueError, match=r"expected|cannot align"):
        dtw_path(bad, np.zeros((4, 2)))
