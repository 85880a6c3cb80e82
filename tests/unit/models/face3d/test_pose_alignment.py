import numpy as np
import pytest

from models.face3d.alignment import PoseSwap, SimilarityAlignment, StillAlignment
from models.face3d.camera import Pose, project, rotation_from_angles
from models.face3d.morphable import FaceModel, learn
from models.landmarks.alignment import stabilise


@pytest.fixture(scope="module")
def model(heads: np.ndarray) -> FaceModel:
    return learn(heads, 12, 2)


def views(model: FaceModel, yaw: float, count: int = 40, face: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """The same talking face seen from the front, stabilised, and at a yaw in degrees, in its crop."""
    rng = np.random.default_rng(7)
    expression = rng.normal(size=(count, len(model.expressions)))
    shape = np.random.default_rng(face).normal(size=len(model.shapes))
    points = model.points(shape, expression)
    front = np.broadcast_to(np.eye(3), (count, 3, 3))
    turned = np.broadcast_to(rotation_from_angles(np.radians(yaw), 0.05, 0.1), (count, 3, 3))
    place = np.ones(count), np.full((count, 2), 128.0)
    return stabilise(project(points, Pose(front, *place))), project(points, Pose(turned, *place))


def error(moved: np.ndarray, true: np.ndarray) -> float:
    return float(np.linalg.norm(moved - true, axis=-1).mean())


@pytest.mark.parametrize("shape", ["both", "predicted", "target"])
@pytest.mark.parametrize("placement", ["pose", "points", "stable"])
def test_pose_swap_follows_a_turned_head_where_a_similarity_cannot(model, placement, shape):
    for yaw in (20, 30, 45):
        predicted, true = views(model, yaw)
        swapped = PoseSwap(placement=placement, shape=shape).align(predicted, true, model)
        flat = SimilarityAlignment().align(predicted, true)
        assert error(swapped, true) < 0.5 * error(flat, true)


@pytest.mark.parametrize("placement", ["pose", "points", "stable"])
def test_a_voice_of_somebody_else_moves_the_face_of_the_target(model, placement):
    predicted, _ = views(model, 0, face=1)
    _, true = views(model, 25, face=2)
    swap = PoseSwap(placement=placement, shape="target")
    shown = swap.align(predicted, true[::-1], model)
    assert error(shown, true) < 1.0
    other = PoseSwap(placement=placement, shape="predicted").align(predicted, true[::-1], model)
    assert error(other, true) > 3 * error(shown, true)


def test_from_the_front_all_variants_agree(model):
    predicted, _ = views(model, 0)
    for variant in (PoseSwap(), SimilarityAlignment(), StillAlignment()):
        assert error(variant.align(predicted, predicted, model), predicted) < 0.01


def test_a_prediction_under_its_own_pose_is_unchanged_only_with_its_residual(model):
    predicted, _ = views(model, 10)
    predicted = predicted + np.random.default_rng(0).normal(0, 2, predicted.shape)
    kept = PoseSwap(placement="pose").align(predicted, predicted, model)
    dropped = PoseSwap(placement="pose", carry_residual=False).align(predicted, predicted, model)
    np.testing.assert_allclose(kept, predicted, atol=1e-9)
    assert error(dropped, predicted) > 0.5


def test_a_short_target_is_played_forwards_and_backwards(model):
    predicted, true = views(model, 20)
    forwards = SimilarityAlignment().align(predicted[:4], true[[0, 1, 1, 0]])
    np.testing.assert_array_equal(SimilarityAlignment().align(predicted[:4], true[:2]), forwards)
    PoseSwap().align(predicted, true[:2], model)


def test_missing_target_frames_are_bridged_and_a_target_without_a_face_is_refused(model):
    predicted, true = views(model, 20)
    gap = true.copy()
    gap[3:6] = np.nan
    assert error(PoseSwap().align(predicted, gap, model), true) < 12
    with pytest.raises(ValueError, match="expected a clip with a face"):
        PoseSwap().align(predicted, np.full_like(true, np.nan), model)


def test_bad_arguments_are_refused(model):
    predicted, true = views(model, 0)
    with pytest.raises(ValueError, match="placement"):
        PoseSwap(placement="best")  # pyright: ignore[reportArgumentType]
    with pytest.raises(ValueError, match="shape"):
        PoseSwap(shape="mine")  # pyright: ignore[reportArgumentType]
    with pytest.raises(ValueError, match="pose_smoothing"):
        PoseSwap(pose_smoothing=-1.0)
    with pytest.raises(ValueError, match="face model"):
        PoseSwap().align(predicted, true, None)
    with pytest.raises(ValueError, match="predicted"):
        PoseSwap().align(predicted[:, :5], true, model)
