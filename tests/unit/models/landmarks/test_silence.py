"""Silence: what counts as a pause, the ramps by their formula, and what lies at the edges."""

from __future__ import annotations

import numpy as np
import pytest

from models.landmarks.silence import (
    RULES,
    closed_frame,
    pause_marks,
    recommended,
    released,
    voiced_by_energy,
    voiced_by_sum,
)
from models.landmarks.topology import IBUG68, to_106

BLOCK = 640


def blocks(count: int, *spans: tuple[int, int]) -> np.ndarray:
    """Samples of 0.01 in blocks first..last of each span, zeros elsewhere."""
    waveform = np.zeros((count, BLOCK), np.float32)
    for first, last in spans:
        waveform[first : last + 1] = 0.01
    return waveform.ravel()


@pytest.mark.parametrize(("gap", "filled"), [(19, True), (20, False)])
def test_pauses_shorter_than_twenty_frames_are_speech(gap: int, filled: bool) -> None:
    waveform = blocks(60 + gap, (0, 29), (30 + gap, 59 + gap))
    assert voiced_by_sum(waveform)[30 : 30 + gap].all() == filled
    assert voiced_by_energy(waveform)[30 : 30 + gap].all() == filled


def test_a_loud_tone_is_silent_to_the_released_detector_only() -> None:
    time = np.arange(60 * BLOCK) / 16_000
    tone = (0.5 * np.sin(2 * np.pi * 250 * time)).astype(np.float32)
    assert not voiced_by_sum(tone).any()
    assert voiced_by_energy(tone).all()


def test_energy_is_relative_to_the_loud_frames() -> None:
    rng = np.random.default_rng(0)
    speech = np.repeat([0.3, 0.003, 0.3], [30 * BLOCK, 30 * BLOCK, 30 * BLOCK]) * rng.normal(size=90 * BLOCK)
    expected = [not 30 <= k < 60 for k in range(90)]
    assert voiced_by_energy(speech).tolist() == expected
    assert voiced_by_energy(speech / 50).tolist() == expected
    assert not voiced_by_energy(np.zeros(50 * BLOCK)).any()
    assert len(voiced_by_energy(np.zeros(100))) == 0


def test_ramps_into_and_out_of_a_pause() -> None:
    voiced = np.array([1] * 5 + [0] * 25 + [1] * 5, bool)
    expected = [1] * 5 + [0.8, 0.6, 0.4, 0.2] + [0] * 17 + [0.2, 0.4, 0.6, 0.8] + [1] * 5
    np.testing.assert_allclose(pause_marks(voiced, 35), expected)


@pytest.mark.parametrize(
    ("voiced", "frames", "expected"),
    [
        # A pause of which two frames are shown: the release writes beyond the end and fails.
        ([1] * 5 + [0] * 20, 7, [1] * 5 + [0.8, 0.6]),
        # Two frames of pause before the first word: the release would wrap around to the last frames.
        ([0] * 2 + [1] * 5, 7, [0.6, 0.8] + [1] * 5),
        ([0] * 20, 22, [0] * 22),
        ([1] * 3, 5, [1] * 5),
        ([], 2, [1, 1]),
    ],
)
def test_ramps_end_with_the_clip(voiced: list[int], frames: int, expected: list[float]) -> None:
    np.testing.assert_allclose(pause_marks(np.array(voiced, bool), frames), expected)


@pytest.fixture
def talking() -> tuple[np.ndarray, np.ndarray]:
    """(95, 68, 2) landmarks that all move, and speech with a pause at 30..59."""
    rng = np.random.default_rng(1)
    landmarks = (128 + rng.normal(scale=4, size=(95, 68, 2))).astype(np.float32)
    landmarks[:, 66, 1] = landmarks[:, 62, 1] + rng.uniform(2, 20, 95)
    landmarks[[70, 80], 66, 1] = landmarks[[70, 80], 62, 1] + 0.5
    return landmarks, blocks(95, (0, 29), (60, 94))


def test_the_closed_frame_is_the_first_of_those_with_the_closest_lips(talking) -> None:
    landmarks, _ = talking
    assert closed_frame(landmarks) in (70, 80)
    opening = landmarks[:, 66, 1] - landmarks[:, 62, 1]
    assert closed_frame(landmarks) == int(np.argmin(opening))
    still = np.repeat(landmarks[:1], 5, 0)
    assert closed_frame(still) == 0


def test_the_released_rule_written_out(talking) -> None:
    landmarks, waveform = talking
    made = released(landmarks, waveform, np.random.default_rng(0))
    closed = landmarks[closed_frame(landmarks)]
    np.testing.assert_array_equal(made[:30], landmarks[:30])
    np.testing.assert_array_equal(made[60:], landmarks[60:])
    for step, share in enumerate((0.8, 0.6, 0.4, 0.2)):
        np.testing.assert_allclose(made[30 + step], share * landmarks[29] + (1 - share) * closed, rtol=1e-5)
        np.testing.assert_allclose(made[59 - step], share * landmarks[60] + (1 - share) * closed, rtol=1e-5)
    inside = slice(34, 56)
    shares = np.linalg.norm(made[inside] - landmarks[inside], axis=(1, 2)) / np.linalg.norm(
        closed - landmarks[inside], axis=(1, 2)
    )
    assert ((shares >= 0.9) & (shares <= 1.0)).all()
    assert shares.std() > 0.01


def test_the_recommended_rule_moves_mouth_and_contour_only(talking) -> None:
    landmarks, waveform = talking
    made = recommended(landmarks, waveform, np.random.default_rng(0))
    mouth, contour = IBUG68.region("mouth"), IBUG68.region("contour")
    fixed = np.setdiff1d(np.arange(68), [*mouth, *contour])
    np.testing.assert_array_equal(made[:, fixed], landmarks[:, fixed])
    closed = landmarks[closed_frame(landmarks)]
    expected = 0.05 * landmarks[34:56] + 0.95 * closed
    np.testing.assert_allclose(made[34:56, mouth], expected[:, mouth], rtol=1e-5)
    again = recommended(landmarks, waveform, np.random.default_rng(9))
    np.testing.assert_array_equal(made, again)


@pytest.mark.parametrize("rule", RULES)
def test_speech_without_long_pauses_is_left_alone(talking, rule: str) -> None:
    landmarks, _ = talking
    for points in (landmarks, to_106(landmarks)):
        made = RULES[rule](points, blocks(95, (0, 40), (55, 94)), np.random.default_rng(0))
        np.testing.assert_array_equal(made, points)


@pytest.mark.parametrize("rule", ["released", "recommended"])
def test_both_layouts_get_the_same_treatment(talking, rule: str) -> None:
    landmarks, waveform = talking
    small = RULES[rule](landmarks, waveform, np.random.default_rng(0))
    large = RULES[rule](to_106(landmarks), waveform, np.random.default_rng(0))
    np.testing.assert_allclose(large[:, 84:104], small[:, 48:68], rtol=1e-5)
