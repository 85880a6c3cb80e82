import numpy as np
import pytest

from models.landmarks.alignment import (
    TEMPLATE,
    align_by_similarity,
    apply,
    fill_missing,
    invert,
    one_euro,
    similarity,
    stabilise,
)
from models.landmarks.topology import IBUG68


def turned(points: np.ndarray, scale: float, angle: float, shift: tuple[float, float]) -> np.ndarray:
    rotation = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    return scale * points @ rotation.T + shift


def faces(count: int = 5) -> np.ndarray:
    return np.random.default_rng(0).uniform(20, 230, (count, 68, 2)).astype(np.float32)


def test_similarity_matches_the_known_answer():
    source = np.array([(0, 0), (2, 0), (0, 1), (1, 3), (4, 2)], float)
    expected = [[1.624072, -0.502384, 5], [0.502384, 1.624072, -2]]
    np.testing.assert_allclose(similarity(source, turned(source, 1.7, 0.3, (5, -2))), expected, atol=1e-6)


def test_similarity_agrees_with_umeyamas_svd_on_noisy_points():
    rng = np.random.default_rng(3)
    source = rng.normal(size=(7, 2))
    target = turned(source, 0.6, 2.0, (1, 2)) + rng.normal(0, 0.3, (7, 2))
    s, t = source - source.mean(0), target - target.mean(0)
    u, values, vt = np.linalg.svd(t.T @ s / 7)
    guard = np.diag([1, np.sign(np.linalg.det(u @ vt))])
    linear = np.trace(np.diag(values) @ guard) / s.var(0).sum() * u @ guard @ vt
    np.testing.assert_allclose(similarity(source, target)[:, :2], linear)


def test_similarity_never_reflects():
    source = np.array([(0, 0), (2, 0), (0, 1)], float)
    matrix = similarity(source, source * [-1, 1])[:, :2]
    assert np.linalg.det(matrix) >= 0


def test_inverse_undoes_and_points_without_extent_are_refused():
    points = faces(1)[0].astype(float)
    matrix = similarity(points, turned(points, 3.0, -1.0, (9, 9)))
    np.testing.assert_allclose(apply(invert(matrix), apply(matrix, points)), points, atol=1e-9)
    with pytest.raises(ValueError, match="coincide"):
        similarity(np.zeros((4, 2)), np.ones((4, 2)))
    with pytest.raises(ValueError, match="same two or more points"):
        similarity(np.zeros((4, 2)), np.ones((3, 2)))


def test_stabilising_removes_any_similarity_and_keeps_missing_frames_missing():
    clip = faces()
    moved = np.stack([turned(f, 0.5 + 0.1 * k, 0.2 * k, (k, -k)) for k, f in enumerate(clip)])
    moved = moved.astype(np.float32)
    clip[2], moved[2] = np.nan, np.nan
    first, second = align_by_similarity(clip, moved)
    np.testing.assert_allclose(first, second, atol=2e-3)
    assert np.isnan(first[2]).all()
    assert np.isfinite(first[3]).all()
    assert first.dtype == np.float32
    with pytest.raises(ValueError, match="one shape"):
        align_by_similarity(clip, moved[:2])


def test_a_face_on_the_template_stays_there():
    face = faces(1)
    face[0, 36:42] += TEMPLATE[0] - face[0, 36:42].mean(0)
    face[0, 42:48] += TEMPLATE[1] - face[0, 42:48].mean(0)
    face[0, 30] = TEMPLATE[2]
    np.testing.assert_allclose(stabilise(face), face, atol=1e-3)
    np.testing.assert_allclose(IBUG68.stable @ face[0], TEMPLATE, atol=1e-3)


def test_missing_frames_are_interpolated_and_ends_held():
    clip = np.arange(6, dtype=np.float32)[:, None, None] * np.ones((6, 68, 2), np.float32)
    gaps = clip.copy()
    gaps[[0, 2, 3, 5]] = np.nan
    np.testing.assert_allclose(fill_missing(gaps)[:, 0, 0], [1, 1, 2, 3, 4, 4])
    assert fill_missing(clip) is clip
    with pytest.raises(ValueError, match="with a face"):
        fill_missing(np.full((3, 68, 2), np.nan))


def test_one_euro_matches_the_known_answer():
    expected = [0, 0.206752, 0.808696, 1.737334, 2.253752, 2.548042, 7.829171, 9.339971]
    filtered = one_euro(np.array([0, 1, 2, 3, 3, 3, 10, 10], float))
    np.testing.assert_allclose(filtered, expected, atol=1e-6)
    with pytest.raises(ValueError, match="fill_missing"):
        one_euro(np.array([0, np.nan]))
