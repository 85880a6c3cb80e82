import time

import numpy as np
import pytest

from models.face3d.camera import (
    Pose,
    angle_between,
    project,
    rotation_from_angles,
    rotation_from_vector,
    smoothed,
)
from models.face3d.fitting import fit
from models.face3d.morphable import FaceModel, learn


@pytest.fixture(scope="module")
def model(heads: np.ndarray) -> FaceModel:
    return learn(heads, 12, 2)


@pytest.fixture(scope="module")
def scene(model: FaceModel) -> tuple[np.ndarray, Pose]:
    """Landmarks of one person of the model, exactly, and the pose they were seen under."""
    rng = np.random.default_rng(1)
    count = 300
    rotation = rotation_from_angles(
        np.linspace(-0.6, 0.6, count), rng.normal(0, 0.1, count), rng.normal(0, 0.1, count)
    )
    pose = Pose(rotation, np.exp(rng.normal(0, 0.1, count)), rng.normal(128, 5, (count, 2)))
    shape, expression = rng.normal(size=len(model.shapes)), rng.normal(size=(count, len(model.expressions)))
    return project(model.points(shape, expression), pose), pose


def degrees(fitted: np.ndarray, true: np.ndarray) -> np.ndarray:
    return np.degrees(angle_between(fitted, true))


def test_recovers_rotation_and_points_without_noise(model, scene):
    landmarks, pose = scene
    found = fit(model, landmarks, noise=0.01, iterations=10)
    assert degrees(found.pose.rotation, pose.rotation).max() < 0.1
    np.testing.assert_allclose(found.landmarks(), landmarks, atol=0.1)


def test_recovers_rotation_within_a_degree_at_half_a_pixel(model, scene):
    landmarks, pose = scene
    noisy = landmarks + np.random.default_rng(2).normal(0, 0.5, landmarks.shape)
    found = fit(model, noisy, noise=0.5)
    assert np.quantile(degrees(found.pose.rotation, pose.rotation), 0.95) < 1.0


def test_the_mean_face_is_fitted_exactly_even_unrotated(model):
    pose = Pose(np.eye(3)[None], np.ones(1), np.full((1, 2), 128.0))
    found = fit(model, project(model.mean[None], pose))
    np.testing.assert_allclose(found.pose.rotation[0], np.eye(3), atol=1e-6)
    np.testing.assert_allclose(found.shape, 0, atol=1e-5)
    np.testing.assert_allclose(found.expression, 0, atol=1e-5)


def test_a_thousand_frames_take_less_than_five_seconds(model, scene):
    landmarks = np.tile(scene[0], (4, 1, 1))[:1000]
    start = time.process_time()
    fit(model, landmarks)
    assert time.process_time() - start < 5


def test_frames_are_in_one_chunk_or_several_with_the_same_result(model, scene, monkeypatch):
    whole = fit(model, scene[0])
    monkeypatch.setattr("models.face3d.fitting.CHUNK", 37)
    parts = fit(model, scene[0])
    np.testing.assert_allclose(parts.landmarks(), whole.landmarks(), atol=1e-6)


def test_fit_refuses_what_it_cannot_fit(model):
    with pytest.raises(ValueError, match="68, 2"):
        fit(model, np.zeros((5, 67, 2)))
    with pytest.raises(ValueError, match="fill_missing"):
        fit(model, np.full((5, 68, 2), np.nan))


def test_small_rotations_compose_and_zero_is_the_identity():
    np.testing.assert_array_equal(rotation_from_vector(np.zeros(3)), np.eye(3))
    quarter = rotation_from_vector(np.array([0, 0, np.pi / 2]))
    np.testing.assert_allclose(quarter, [[0, -1, 0], [1, 0, 0], [0, 0, 1]], atol=1e-12)
    half = rotation_from_vector(np.array([0, np.pi, 0]))
    assert angle_between(half, np.eye(3)) == pytest.approx(np.pi)


def test_shape_and_expression_are_told_apart(heads):
    """Each of the two known expression modes lies in the learned ones, and no shape does."""
    model = learn(heads, 12, 2)
    moved = heads[:20] - heads[:20].mean(1, keepdims=True)
    flat = moved.reshape(-1, 204)

    def explained(modes: np.ndarray) -> float:
        basis = np.linalg.qr(modes.reshape(len(modes), -1).T)[0]
        return float(np.sum((flat @ basis) ** 2) / np.sum(flat**2))

    assert explained(model.expressions) > 0.999
    people = heads.mean(1) - heads.mean((0, 1))
    coefficients = np.linalg.lstsq(model.shapes.reshape(12, -1).T, people.reshape(len(people), -1).T)[0]
    np.testing.assert_allclose(coefficients[:5].std(1), 1, atol=0.1)


def test_a_jaw_that_opens_moves_no_eye(heads):
    """Centring heads one by one would: an open mouth pulls their mean down."""
    model = learn(heads, 12, 2)
    np.testing.assert_allclose(model.expressions[:, 36:48], 0, atol=1e-6)


def test_smoothing_a_pose_keeps_still_and_steadily_turning_heads():
    yaw = np.linspace(-0.4, 0.4, 60)
    rotation = rotation_from_angles(yaw, np.zeros(60), np.full(60, 0.2))
    pose = smoothed(Pose(rotation, np.linspace(1, 2, 60), np.zeros((60, 2))), 1.5)
    np.testing.assert_allclose(pose.rotation[10:50], rotation[10:50], atol=1e-4)
    np.testing.assert_allclose(
        pose.rotation @ np.swapaxes(pose.rotation, 1, 2), np.tile(np.eye(3), (60, 1, 1)), atol=1e-12
    )
    np.testing.assert_allclose(np.linalg.det(pose.rotation), 1)
    assert smoothed(pose, 0) is pose


def test_the_model_survives_saving(model, tmp_path):
    model.save(tmp_path)
    again = FaceModel.load(tmp_path)
    for name in ("mean", "shapes", "expressions", "contours"):
        np.testing.assert_array_equal(getattr(again, name), getattr(model, name))


@pytest.mark.parametrize(
    ("bad", "shapes", "expressions", "message"),
    [
        (np.zeros((10, 68, 3)), 3, 3, "68, 3"),
        (np.zeros((10, 2, 68, 2)), 3, 3, "68, 3"),
        (np.zeros((10, 2, 68, 3)), 10, 3, "1 to 9 shapes"),
        (np.zeros((10, 2, 68, 3)), 3, 11, "1 to 10 expressions"),
        (np.zeros((10, 1, 68, 3)), 3, 1, "1 to 0 expressions"),
        (np.full((10, 2, 68, 3), np.nan), 3, 3, "finite"),
    ],
)
def test_learning_refuses_bad_heads(bad, shapes, expressions, message):
    with pytest.raises(ValueError, match=message):
        learn(bad, shapes, expressions)
