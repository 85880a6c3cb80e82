"""Edges of the background and flicker, on pictures whose scores follow from how they were drawn."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from benchmark.metrics.edges import FAR, edge_chamfer, edge_distances, edge_f1, flicker
from benchmark.metrics.metric import ClipPair
from benchmark.metrics.registry import metric_of
from benchmark.metrics.score import Score
from models.rendering.edges import face_mask, frame_edges
from models.types import Prediction

SIZE = 128


def face(count: int) -> np.ndarray:
    """(count, 68, 2): a round face in the middle of the crop."""
    angle = np.linspace(0, np.pi, 17)
    contour = np.stack([128 - 40 * np.cos(angle), 128 + 50 * np.sin(angle)], 1)
    rest = np.random.default_rng(0).uniform(100, 150, (51, 2))
    return np.repeat(np.concatenate([contour, rest])[None], count, 0).astype(np.float32)


def wall(shift: int = 0, count: int = 3) -> Prediction:
    """A dark wall with a bright part that begins at column 20 + shift."""
    frames = np.full((count, SIZE, SIZE, 3), 40, np.uint8)
    frames[:, :, 20 + shift :] = 200
    return Prediction(face(count), frames)


def f1(predicted: Prediction, truth: Prediction) -> Score:
    return edge_f1(edge_distances(predicted, truth))


def chamfer(predicted: Prediction, truth: Prediction) -> Score:
    return edge_chamfer(edge_distances(predicted, truth))


@pytest.mark.parametrize("shift", [0, 1, 2, 3, 4, 7])
def test_a_shifted_edge_is_as_far_as_it_was_shifted(shift: int) -> None:
    assert chamfer(wall(shift), wall()).value == pytest.approx(shift)
    assert f1(wall(shift), wall()).value == (1.0 if shift <= 2 else 0.0)


def test_edges_in_the_face_do_not_count() -> None:
    painted = wall()
    assert painted.frames is not None
    inside = face_mask(face(1)[0], SIZE, margin=0.0) > 0
    for frame in painted.frames:
        frame[inside] = np.random.default_rng(1).integers(0, 256, (inside.sum(), 3))
    assert f1(painted, wall()).value == 1
    assert chamfer(painted, wall()).value == 0
    painted.frames[:, 4:12, 60:100] = 0
    assert f1(painted, wall()).value < 1  # pyright: ignore[reportOptionalOperand]
    assert chamfer(painted, wall()).value > 0  # pyright: ignore[reportOptionalOperand]


def test_precision_and_recall_by_hand() -> None:
    """Half of the predicted edges are invented: precision 1/2, recall 1."""
    invented = wall()
    assert invented.frames is not None
    invented.frames[:, :, 110:] = 40
    assert f1(invented, wall()).value == pytest.approx(2 * 0.5 / 1.5, abs=0.01)
    assert chamfer(invented, wall()).value == pytest.approx(FAR / 4, abs=0.1)


def test_no_edges_are_right_where_there_are_none() -> None:
    plain = Prediction(face(3), np.full((3, SIZE, SIZE, 3), 90, np.uint8))
    assert f1(plain, plain).value == 1
    assert chamfer(plain, plain).value == 0
    for a, b in ((plain, wall()), (wall(), plain)):
        assert f1(a, b).value == 0
        assert chamfer(a, b).value == FAR


def test_frames_without_a_face_lower_the_coverage() -> None:
    lost = wall(4)
    lost.landmarks[1] = np.nan
    for metric, value, least, most in ((f1, 0.0, 0.0, 1 / 3), (chamfer, 4.0, 8 / 3, 28 / 3)):
        score = metric(lost, wall())
        assert score.value == pytest.approx(value)
        assert score.coverage == pytest.approx(2 / 3)
        assert (score.least, score.most) == pytest.approx((least, most))
        assert metric(wall(), lost).least is None, "nobody is to blame for a face that is not there"
        lost.landmarks[:] = np.nan
        assert metric(lost, wall()).value is None
        lost.landmarks[:] = face(3)
        lost.landmarks[1] = np.nan


def test_what_cannot_be_compared_names_the_clip() -> None:
    good = wall()
    assert good.frames is not None
    for broken in (
        Prediction(good.landmarks),
        Prediction(good.landmarks[:2], good.frames),
        Prediction(good.landmarks, good.frames[:2]),
    ):
        with pytest.raises(ValueError, match="clip c7"):
            edge_distances(broken, good, clip="c7")
    wide = Prediction(good.landmarks, good.frames[:, :64])
    with pytest.raises(ValueError, match="square"):
        chamfer(wide, wide)


@pytest.mark.parametrize("share", [0.0, 0.0005, 0.01, 0.3])
def test_distances_are_those_of_opencv_s_distance_transform(share: float) -> None:
    """Speckled frames, whose edges are few and far or many and close."""
    rng = np.random.default_rng(8)
    sides = []
    for _ in range(2):
        frames = np.where(rng.uniform(size=(2, SIZE, SIZE, 1)) < share, 255, 40).astype(np.uint8)
        sides.append(Prediction(face(2), np.repeat(frames, 3, 3)))
    predicted, true = sides
    assert predicted.frames is not None
    assert true.frames is not None
    outside = face_mask(face(1)[0], SIZE) == 0
    for k, pair in enumerate(edge_distances(predicted, true).pairs):
        edges = [frame_edges(side[k]) for side in (predicted.frames, true.frames)]
        for distances, from_edges, to_edges in zip(pair, edges, edges[::-1], strict=True):
            away = np.full((SIZE, SIZE), FAR, np.float32)
            if to_edges.any():
                away = cv2.distanceTransform(255 - to_edges, cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
            expected = np.minimum(away, FAR)[(from_edges > 0) & outside]
            np.testing.assert_array_equal(distances, expected)


def test_flicker_is_what_comes_and_goes() -> None:
    rng = np.random.default_rng(0)
    true = rng.integers(60, 120, (5, 8, 8, 3)).astype(np.uint8)
    assert flicker(true, true).value == 0
    assert flicker(true + 9, true).value == 0, "a constant mistake"
    blinking = true.copy()
    blinking[1::2] += 10
    assert flicker(blinking, true).value == 10
    assert flicker(np.repeat(true[:1], 5, 0), true).value == pytest.approx(
        np.abs(np.diff(true.astype(float), axis=0)).mean()
    )
    with pytest.raises(ValueError, match="clip c7: flicker needs two frames"):
        flicker(true[:1], true[:1], clip="c7")


def test_redetected_landmarks_score_the_frames_not_the_prediction() -> None:
    true, wrong = wall(), wall()
    wrong.landmarks[:] += 30
    rng = np.random.default_rng(2)
    seen = rng.uniform(60, 200, (1, 68, 2)).repeat(3, 0)
    seen[:, 36:42] += np.array([90, 80]) - seen[:, 36:42].mean(1, keepdims=True)
    seen[:, 42:48] += np.array([160, 80]) - seen[:, 42:48].mean(1, keepdims=True)
    seen[:, 30] = (125, 120)
    again = seen.copy()
    again[2] = np.nan
    pair = ClipPair(wrong, true, "c7", redetected=(again, seen))
    for name in ("ld/mouth/redetected", "ld/face/redetected", "lvd/mouth/redetected"):
        score = metric_of(name).compute(pair)
        assert score.value == pytest.approx(0, abs=1e-9)
        assert score.coverage == pytest.approx(1 / 2 if name.startswith("lvd") else 2 / 3)
    with pytest.raises(ValueError, match="clip c7"):
        metric_of("ld/mouth/redetected").compute(ClipPair(wrong, true, "c7"))
