"""Units and alignments of LD and LVD against closed forms, and what they refuse."""

from __future__ import annotations

import numpy as np
import pytest

from benchmark.metrics.landmarks import (
    align_pair,
    centred,
    check_sides,
    landmark_distance,
    landmark_velocity_distance,
    procrustes,
    scaled,
    true_length,
    unaligned,
)
from benchmark.metrics.metric import ClipPair
from benchmark.metrics.registry import metric_of
from benchmark.metrics.score import Score
from models.landmarks.topology import to_106
from models.types import Prediction


def face(frames: int = 4) -> np.ndarray:
    """(frames, 68, 2) whose eyes and nose tip lie on the template, corners 120 and contour 150 apart."""
    points = np.random.default_rng(5).uniform(60, 200, (68, 2))
    eyes = np.array([(-18, 0), (-6, -5), (6, -5), (18, 0), (6, 5), (-6, 5)], float)
    points[36:42], points[42:48] = eyes + np.array((84, 80)), eyes + np.array((168, 80))
    points[30] = (129.5, 118.5)
    points[0], points[16] = (50, 100), (200, 100)
    return np.repeat(points[None], frames, 0)


def score(protocol: str, predicted: np.ndarray, true: np.ndarray) -> float | None:
    return metric_of(protocol).compute(ClipPair(Prediction(predicted), Prediction(true), "c")).value


def moved_mouth(by: tuple[float, float]) -> np.ndarray:
    predicted = face()
    predicted[:, 48:] += by
    return predicted


@pytest.mark.parametrize(
    ("protocol", "expected"),
    [
        ("ld/mouth", 5),
        ("ld/mouth/iod", 5 / 120),
        ("ld/mouth/face-width", 5 / 150),
        ("ld/mouth/128", 2.5),
        ("ld/mouth/raw", 5),
        ("ld/mouth/centred", 0),
        ("ld/face/iod", 5 / 120 * 20 / 68),
        ("ld/face/centred", (20 * 5 * 48 / 68 + 48 * 5 * 20 / 68) / 68),
    ],
)
def test_a_mouth_moved_by_3_and_4_pixels(protocol: str, expected: float) -> None:
    assert score(protocol, moved_mouth((3, 4)), face()) == pytest.approx(expected, abs=1e-5)


def test_lengths_are_those_of_the_true_face_in_the_clips_mean() -> None:
    true = face(2)
    true[1, 36, 0] -= 6
    true[1, 37:42, 0] += 6 / 5  # the eye's centroid stays, and with it the alignment
    pair = align_pair(face(2) * 1.5, true)
    assert true_length(pair, "inter-ocular distance") == pytest.approx(123, rel=1e-5)
    assert true_length(pair, "face width") == pytest.approx(150, rel=1e-5)


def test_lengths_are_the_same_in_both_layouts() -> None:
    true = face()
    for name in ("inter-ocular distance", "face width"):
        few, many = (true_length(align_pair(points, points), name) for points in (true, to_106(true)))
        assert many == pytest.approx(few, rel=1e-5)


def test_a_face_without_width_is_no_unit() -> None:
    true = face()
    true[:, 16] = true[:, 0]
    with pytest.raises(ValueError, match="clip c: the true face has no face width"):
        true_length(align_pair(true, true, clip="c"), "face width")
    with pytest.raises(ValueError, match="clip c: the true face has no face width"):
        score("lvd/mouth/face-width", true, true)


def test_a_length_without_a_true_face_is_unknown() -> None:
    nothing = np.full((3, 68, 2), np.nan)
    assert np.isnan(true_length(align_pair(face(3), nothing), "face width"))
    assert score("ld/mouth/face-width", face(3), nothing) is None


def test_without_alignment_a_shifted_head_counts_and_a_moving_one_twice() -> None:
    true = face(5)
    predicted = true + np.array((3.0, 4.0)) * np.arange(5)[:, None, None]
    sides = check_sides(predicted, true)
    assert landmark_distance(unaligned(sides), "face").value == pytest.approx(5 * np.arange(5).mean())
    assert landmark_velocity_distance(unaligned(sides), "face").value == pytest.approx(5)
    assert landmark_distance(centred(sides, "face"), "face").value == pytest.approx(0, abs=1e-9)
    assert landmark_distance(procrustes(sides), "face").value == pytest.approx(0, abs=1e-9)


def test_centring_keeps_size_and_turn() -> None:
    true = face()
    mouth = true[:, 48:] - true[:, 48:].mean(1, keepdims=True)
    larger = true.copy()
    larger[:, 48:] += 0.1 * mouth
    expected = 0.1 * np.linalg.norm(mouth, axis=2).mean()
    assert score("ld/mouth/centred", larger, true) == pytest.approx(expected)


def test_procrustes_refuses_a_face_in_one_point_by_name() -> None:
    with pytest.raises(ValueError, match="clip c: all predicted landmarks of frame 0 coincide"):
        score("ld/face/procrustes", np.zeros((4, 68, 2)), face())


def test_scaling_a_score_scales_its_bounds_and_nothing_else() -> None:
    assert scaled(Score(2.0, 0.5, least=1.0, most=8.0), 0.5) == Score(1.0, 0.5, least=0.5, most=4.0)
    assert scaled(Score(None, 0.0, least=0.0, most=8.0), 2) == Score(None, 0.0, least=0.0, most=16.0)
