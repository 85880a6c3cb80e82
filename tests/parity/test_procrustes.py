"""The Procrustes alignment against scikit-image's similarity and SciPy's disparity, frame by frame."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.spatial import procrustes as scipy_procrustes
from skimage.transform import estimate_transform

from benchmark.metrics.landmarks import check_sides, landmark_distance, procrustes
from models.landmarks.alignment import stabilise


def sides(seed: int, frames: int = 6) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    true = rng.uniform(60, 200, (68, 2)) + rng.normal(0, 3, (frames, 68, 2))
    true[:, 36:42] += np.array([84, 80]) - true[:, 36:42].mean(1, keepdims=True)
    true[:, 42:48] += np.array([168, 80]) - true[:, 42:48].mean(1, keepdims=True)
    angle = rng.uniform(-1, 1, frames)
    turn = np.stack([np.cos(angle), -np.sin(angle), np.sin(angle), np.cos(angle)], -1).reshape(-1, 2, 2)
    predicted = (true + rng.normal(0, 4, true.shape)) @ turn * rng.uniform(0.5, 2, (frames, 1, 1))
    return predicted + rng.uniform(-50, 50, (frames, 1, 2)), true


@pytest.mark.parametrize("seed", range(5))
def test_frames_are_moved_as_by_scikit_image(seed: int) -> None:
    predicted, true = sides(seed)
    pair = procrustes(check_sides(predicted, true))
    target = stabilise(true)
    distances = []
    for k, frame in enumerate(predicted):
        transform = estimate_transform("similarity", frame, target[k])
        np.testing.assert_allclose(pair.predicted[k], transform(frame), rtol=1e-7, atol=1e-7)
        distances.append(np.hypot(*(transform(frame) - target[k]).T).mean())
    assert landmark_distance(pair, "face").value == pytest.approx(np.mean(distances), rel=1e-9)


@pytest.mark.parametrize("seed", range(5))
def test_what_is_left_is_scipys_disparity(seed: int) -> None:
    """SciPy's is the squares left of a target of unit norm; it may mirror, which no face needs."""
    predicted, true = sides(seed)
    pair = procrustes(check_sides(predicted, true))
    for k in range(len(true)):
        spread = np.sum((pair.target[k] - pair.target[k].mean(0)) ** 2)
        left = np.sum((pair.predicted[k] - pair.target[k]) ** 2)
        _, _, disparity = scipy_procrustes(pair.target[k], predicted[k])
        assert left / spread == pytest.approx(disparity, rel=1e-9)
        assert left <= spread
