"""The MFCC against python_speech_features, on signals of many kinds and lengths."""

from __future__ import annotations

import numpy as np
import pytest

from models.audio.framing import PADDING, SAMPLE_RATE
from models.audio.mfcc import mfcc

psf = pytest.importorskip("python_speech_features")


def reference(waveform: np.ndarray) -> np.ndarray:
    silence = np.zeros(PADDING)
    return psf.mfcc(np.concatenate([silence, waveform, silence]), SAMPLE_RATE)


def speech_like(samples: int, seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    time = np.arange(samples) / SAMPLE_RATE
    f0 = 120 + 40 * np.sin(2 * np.pi * 1.3 * time)
    voice = sum(np.sin(k * 2 * np.pi * np.cumsum(f0) / SAMPLE_RATE) / k for k in range(1, 20))
    return 0.1 * voice * (1 + np.sin(2 * np.pi * 4 * time)) + 0.003 * rng.normal(size=samples)


@pytest.mark.parametrize("samples", [1, 399, 640, 16_000, 16_100, 48_123])
def test_equals_python_speech_features(samples: int) -> None:
    waveform = speech_like(samples, samples)
    np.testing.assert_allclose(mfcc(waveform, pad_tail=False), reference(waveform), atol=2e-3, rtol=2e-4)


def test_noise_is_equal_to_2e_4() -> None:
    noise = np.random.default_rng(0).normal(0, 0.05, 5 * SAMPLE_RATE).astype(np.float32)
    np.testing.assert_allclose(mfcc(noise, pad_tail=False), reference(noise), atol=2e-4)
