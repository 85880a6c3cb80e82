"""Emotion codes: means, mixtures, names, and what is refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from models.landmarks.codes import EmotionCodes, interpolate, mean_codes


@pytest.fixture
def codes() -> EmotionCodes:
    """Clips of one and of two windows: windows count equally, not clips."""
    embeddings = [torch.full((1, 4), 3.0), torch.full((2, 4), 6.0), torch.ones(3, 4), torch.zeros(5, 4)]
    return mean_codes(embeddings, ["angry", "angry", "neutral", None], [1, 3, 1, 1])


def test_codes_are_means_over_windows(codes: EmotionCodes) -> None:
    np.testing.assert_allclose(codes.get("angry"), 5.0)
    np.testing.assert_allclose(codes.get("angry", 1), 3.0)
    np.testing.assert_allclose(codes.get("angry", 3), 6.0)
    assert set(codes.mean) == {"angry", "neutral"}
    assert codes.intensities("angry") == (1, 3)


@pytest.mark.parametrize(("alpha", "expected"), [(1, 5.0), (0, 1.0), (0.4, 2.6), (0.25, 2.0)])
def test_interpolation(codes: EmotionCodes, alpha: float, expected: float) -> None:
    mixed = interpolate(codes.get("angry"), codes.get("neutral"), alpha)
    np.testing.assert_allclose(mixed, expected, rtol=1e-6)
    assert mixed.dtype == np.float32


def test_mixtures_are_named_in_tenths(codes: EmotionCodes) -> None:
    np.testing.assert_allclose(codes.get("angry4_neutral6"), 0.4 * 5 + 0.6 * 1, rtol=1e-6)
    np.testing.assert_allclose(codes.get("neutral10_angry0"), 1.0, rtol=1e-6)
    np.testing.assert_allclose(codes.get("angry5_neutral5", 1), 2.0, rtol=1e-6)


def test_labels_with_digits_and_underscores_are_labels() -> None:
    odd = EmotionCodes({"joy_2": np.ones(2, np.float32), "joy": np.zeros(2, np.float32)})
    np.testing.assert_array_equal(odd.get("joy_2"), 1)
    np.testing.assert_allclose(odd.get("joy_25_joy5"), 0.5)


@pytest.mark.parametrize(
    ("name", "intensity", "message"),
    [
        ("bored", None, "trained on angry, neutral"),
        ("angry4_bored6", None, "no emotion code"),
        ("angry4_neutral5", None, "add up to 10"),
        ("angry", 2, "trained on intensities 1, 3"),
        ("neutral", 3, "trained on intensities 1"),
        ("angry5_neutral5", 3, "no code for neutral of intensity 3"),
    ],
)
def test_refuses_what_was_not_trained(codes: EmotionCodes, name, intensity, message) -> None:
    with pytest.raises(ValueError, match=message):
        codes.get(name, intensity)


def test_none_at_all_is_named() -> None:
    with pytest.raises(ValueError, match="trained on no emotions"):
        EmotionCodes().get("happy")
    with pytest.raises(ValueError, match="from 0 to 1"):
        interpolate(np.zeros(1), np.zeros(1), 1.2)


def test_files_keep_labels_and_intensities(codes: EmotionCodes, tmp_path: Path) -> None:
    codes.save(tmp_path / "codes.safetensors")
    again = EmotionCodes.load(tmp_path / "codes.safetensors")
    assert again.mean.keys() == codes.mean.keys()
    assert again.by_intensity.keys() == codes.by_intensity.keys()
    for key, code in codes.by_intensity.items():
        np.testing.assert_array_equal(again.by_intensity[key], code)
