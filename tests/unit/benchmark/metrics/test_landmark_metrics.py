"""LD and LVD against closed forms, and their rules for missing faces and unusable input."""

from __future__ import annotations

import numpy as np
import pytest

from benchmark.metrics.landmarks import align_pair, landmark_distance, landmark_velocity_distance
from models.landmarks.topology import to_106

MOUTH = slice(48, 68)


def face(frames: int = 1) -> np.ndarray:
    """(frames, 68, 2) float64 random points whose eyes and nose tip already lie on the template."""
    points = np.random.default_rng(5).uniform(40, 220, (68, 2))
    for eye, centre in ((slice(36, 42), (84, 80)), (slice(42, 48), (168, 80))):
        points[eye] += np.array(centre) - points[eye].mean(0)
    points[30] = (129.5, 118.5)
    return np.repeat(points[None], frames, 0)


def ld(predicted: np.ndarray, target: np.ndarray, region: str = "mouth") -> float | None:
    return landmark_distance(align_pair(predicted, target, clip="c"), region).value  # pyright: ignore


def lvd(predicted: np.ndarray, target: np.ndarray, region: str = "mouth") -> float | None:
    return landmark_velocity_distance(align_pair(predicted, target, clip="c"), region).value  # pyright: ignore


def test_ld_of_a_mouth_moved_by_3_and_4_pixels_is_5() -> None:
    target = face(7)
    predicted = target.copy()
    predicted[:, MOUTH] += (3, 4)
    assert ld(predicted, target) == pytest.approx(5, abs=1e-5)
    assert ld(predicted, target, "face") == pytest.approx(5 * 20 / 68, abs=1e-5)


def test_ld_is_the_mean_over_points_and_not_their_sum() -> None:
    target = face(1)
    predicted = target.copy()
    predicted[:, 50] += (20, 0)
    assert ld(predicted, target) == pytest.approx(1, abs=1e-5)


def test_lvd_of_points_on_a_circle() -> None:
    radius, turn = 6.0, 0.3
    angle = turn * np.arange(25)
    target = face(25)
    predicted = target.copy()
    predicted[:, MOUTH] += (radius * np.stack([np.cos(angle), np.sin(angle)], -1))[:, None]
    expected = 2 * radius * np.sin(turn / 2)
    assert lvd(predicted, target) == pytest.approx(expected, abs=1e-5)
    assert lvd(predicted, target, "face") == pytest.approx(expected * 20 / 68, abs=1e-5)
    assert ld(predicted, target) == pytest.approx(radius, abs=1e-5)


def test_lvd_does_not_see_a_constant_offset() -> None:
    target = face(9) + np.random.default_rng(0).normal(0, 2, (9, 1, 1))
    predicted = target.copy()
    predicted[:, MOUTH] += (8, -3)
    assert lvd(predicted, target) == pytest.approx(0, abs=1e-6)
    assert ld(predicted, target) == pytest.approx(np.hypot(8, 3), rel=1e-5)


def test_the_face_velocity_is_not_that_of_the_mouth() -> None:
    """The one public evaluation kit adds the mouth's motion into the face's."""
    target = face(6)
    predicted = target.copy()
    predicted[::2, 5] += (10, 0)
    assert lvd(predicted, target) == pytest.approx(0, abs=1e-9)
    assert lvd(predicted, target, "face") == pytest.approx(10 / 68, abs=1e-5)


def test_missing_faces_lower_the_coverage_and_nothing_else() -> None:
    rng = np.random.default_rng(1)
    target = face(10)
    predicted = target + np.where(np.isin(np.arange(68), np.arange(48, 68))[:, None], rng.normal(0, 1), 0)
    whole = align_pair(predicted, target, clip="c")
    predicted[3] = np.nan
    target[7] = np.nan
    holed = align_pair(predicted, target, clip="c")
    distance, velocity = landmark_distance(holed, "mouth"), landmark_velocity_distance(holed, "mouth")
    assert distance.coverage == pytest.approx(0.8)
    assert velocity.coverage == pytest.approx(5 / 9)
    assert distance.value == pytest.approx(landmark_distance(whole, "mouth").value)
    assert velocity.value == pytest.approx(0, abs=1e-9)


def test_no_face_at_all_has_no_value() -> None:
    target = face(4)
    pair = align_pair(np.full_like(target, np.nan), target, clip="c")
    for score in (landmark_distance(pair, "face"), landmark_velocity_distance(pair, "face")):
        assert score.value is None
        assert score.coverage == 0


def test_faces_in_every_other_frame_have_a_distance_but_no_velocity() -> None:
    target = face(6)
    target[::2] = np.nan
    pair = align_pair(face(6), target, clip="c")
    assert landmark_distance(pair, "mouth").value == pytest.approx(0, abs=1e-9)
    assert landmark_velocity_distance(pair, "mouth").value is None


def test_106_points_score_as_the_68_they_contain() -> None:
    rng = np.random.default_rng(2)
    target = face(5)
    predicted = target + rng.normal(0, 1, target.shape)
    assert ld(to_106(predicted), to_106(target)) == pytest.approx(ld(predicted, target), rel=1e-6)


@pytest.mark.parametrize(
    ("predicted", "target", "message"),
    [
        (face(3), face(4), "clip c: expected predicted and true landmarks of one shape"),
        (face(3)[:, :67], face(3), r"clip c: predicted landmarks: expected \(frames, 68 or 106, 2\)"),
        (face(3), face(3)[0], "clip c: true landmarks: expected"),
        (face(0), face(0), "clip c: predicted landmarks: expected at least one frame"),
        (face(3), np.full((3, 68, 2), np.inf), "clip c: true landmarks: infinite in frame 0"),
        (face(3) + 1e300, face(3), r"clip c: predicted landmarks: 1e\+300 in frame 0; expected pixels"),
        (np.zeros((3, 68, 2)), face(3), "clip c: predicted landmarks: eyes and nose tip coincide in frame 0"),
        (face(3).astype(complex), face(3), "clip c: predicted landmarks: expected real numbers"),
    ],
)
def test_unusable_landmarks_are_refused_by_name(
    predicted: np.ndarray, target: np.ndarray, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        align_pair(predicted, target, clip="c")


def test_a_frame_with_some_points_only_is_refused() -> None:
    target = face(3)
    target[1, 4] = np.nan
    with pytest.raises(ValueError, match="clip c: true landmarks: frame 1 lacks some points only"):
        align_pair(face(3), target, clip="c")


def test_one_frame_has_no_velocity() -> None:
    with pytest.raises(ValueError, match="clip c: a velocity needs two frames"):
        lvd(face(1), face(1))
