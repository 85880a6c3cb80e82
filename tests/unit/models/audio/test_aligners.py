"""The choices of the aligners: with or without log energy, L1 or cosine."""

from __future__ import annotations

import numpy as np
import pytest

from models.audio.aligners import DTWAligner, EVPAligner
from models.audio.dtw import dtw_path
from models.audio.mfcc import mfcc


def speech(tempo: float, gain: float = 1.0) -> np.ndarray:
    """Three noisy vowels of different pitch and formant, one after the other."""
    rng = np.random.default_rng(0)
    parts = []
    for formant, seconds in ((500, 0.2), (1200, 0.3 * tempo), (800, 0.2)):
        time = np.arange(int(16_000 * seconds)) / 16_000
        parts.append(np.sin(2 * np.pi * formant * time) * (1 + np.sin(2 * np.pi * 120 * time)))
    wave = np.concatenate(parts)
    return (gain * (0.2 * wave + rng.normal(0, 0.005, len(wave)))).astype(np.float32)


@pytest.mark.parametrize("distance", ["l1", "cosine"])
@pytest.mark.parametrize("kind", [EVPAligner, DTWAligner])
def test_without_log_energy_loudness_does_not_matter(kind: type, distance: str) -> None:
    reference = speech(1.0)
    aligner = kind(coefficients=12, distance=distance)
    loud, quiet = (aligner.align(speech(1.5, gain), reference).rows for gain in (1.0, 0.05))
    np.testing.assert_array_equal(loud, quiet)


@pytest.mark.parametrize("coefficients", [13, 12])
def test_l1_over_the_last_coefficients_and_the_last_match_as_released(coefficients: int) -> None:
    source, reference = speech(1.5, 0.02), speech(1.0)
    path = dtw_path(mfcc(source)[:, -coefficients:], mfcc(reference)[:, -coefficients:])
    rows = EVPAligner(coefficients=coefficients).align(source, reference).rows
    np.testing.assert_array_equal(rows[path.second], [path.first[path.second == k][-1] for k in path.second])


def test_cosine_is_blind_to_the_length_of_rows_and_takes_silence() -> None:
    """Digital silence is a row of zeros without its energy, which has no direction."""
    source = np.concatenate([np.zeros(6400, np.float32), speech(1.2), np.zeros(6400, np.float32)])
    found = EVPAligner(coefficients=12, distance="cosine").align(source, speech(1.0))
    assert np.isfinite(found.positions).all()
    middle = found.rows[len(found.rows) // 2]
    assert 40 < middle < len(mfcc(source)) - 40


@pytest.mark.parametrize("kind", [EVPAligner, DTWAligner])
def test_refuses(kind: type) -> None:
    with pytest.raises(ValueError, match="coefficients: expected 13 or 12, got 26"):
        kind(coefficients=26)
    with pytest.raises(ValueError, match="distance: expected l1 or cosine"):
        kind(distance="l2")
