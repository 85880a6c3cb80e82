from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile

from models.audio.framing import num_rows, num_windows
from models.audio.mfcc import mfcc, windows


@pytest.mark.parametrize(
    ("samples", "released", "padded"),
    [(640, 0, 1), (16_000, 24, 25), (16_100, 25, 25), (16_080, 24, 25), (16_081, 25, 25), (16_320, 25, 26)],
)
def test_counts(samples: int, released: int, padded: int) -> None:
    noise = np.random.default_rng(0).normal(0, 0.1, samples)
    assert num_windows(samples, pad_tail=False) == released
    assert num_windows(samples) == padded
    assert len(windows(mfcc(noise))) == padded
    if released:
        assert len(windows(mfcc(noise, pad_tail=False))) == released
    assert len(mfcc(noise, pad_tail=False)) == num_rows(samples)


def test_every_length_gets_one_window_per_frame() -> None:
    for samples in range(1, 2600, 53):
        assert len(windows(mfcc(np.ones(samples)))) == num_windows(samples) == max(1, (samples + 320) // 640)


def test_released_clip_has_1074_frames() -> None:
    assert num_windows(round(43.00336 * 16_000), pad_tail=False) == 1074


def test_windows_are_a_view_without_the_energy() -> None:
    rows = np.arange(60 * 13, dtype=np.float32).reshape(60, 13)
    cut = windows(rows)
    assert np.shares_memory(cut, rows)
    np.testing.assert_array_equal(cut[3], rows[12:40, 1:])


def test_the_container_does_not_matter(tmp_path: Path) -> None:
    pcm = (8000 * np.sin(np.arange(8000) / 9)).astype(np.int16)
    expected = mfcc(pcm)
    for name, subtype in (("a.wav", "PCM_16"), ("b.wav", "FLOAT"), ("c.flac", "PCM_16")):
        soundfile.write(tmp_path / name, pcm.astype(np.float64) / 2**15, 16_000, subtype=subtype)
        np.testing.assert_array_equal(mfcc(soundfile.read(tmp_path / name, dtype="float32")[0]), expected)


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        (np.zeros((10, 2)), "mono"),
        (np.zeros(0), "mono"),
        (np.zeros(9, np.int64), "float or 16-bit"),
        (np.array([0.0, np.nan]), "not finite"),
    ],
)
def test_refuses(bad: np.ndarray, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        mfcc(bad)
