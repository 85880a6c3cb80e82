"""The recogniser's input against python_speech_features and the recipe, step by step."""

from __future__ import annotations

import numpy as np
import pytest

from models.audio.deepspeech import recogniser_input

psf = pytest.importorskip("python_speech_features")


def reference(samples: np.ndarray) -> np.ndarray:
    """From 16-bit samples, one row at a time."""
    rows = psf.mfcc(samples, samplerate=16_000, numcep=26)[::2]
    nothing = np.zeros((9, 26))
    padded = np.concatenate([nothing, rows, nothing])
    stacked = np.array([padded[k : k + 19].ravel() for k in range(len(rows))])
    return (stacked - np.mean(stacked)) / np.std(stacked)


def speech_like(samples: int) -> np.ndarray:
    rng = np.random.default_rng(samples)
    time = np.arange(samples) / 16_000
    phase = 2 * np.pi * np.cumsum(130 + 30 * np.sin(7 * time)) / 16_000
    voice = sum(np.sin(k * phase) / k for k in range(1, 25)) * (1 + np.sin(25 * time))
    return (2_500 * voice + 60 * rng.normal(size=samples)).astype(np.int16)


@pytest.mark.parametrize("samples", [1, 400, 401, 719, 720, 16_000, 47_777])
def test_equals_the_recipe(samples: int) -> None:
    speech = speech_like(samples)
    np.testing.assert_allclose(recogniser_input(speech), reference(speech), atol=2e-4)


def test_digital_silence_before_speech() -> None:
    speech = np.concatenate([np.zeros(4_000, np.int16), speech_like(8_000)])
    np.testing.assert_allclose(recogniser_input(speech), reference(speech), atol=2e-4)


def test_floats_are_heard_as_the_16_bit_samples_that_they_stand_for() -> None:
    speech = speech_like(12_000)
    np.testing.assert_array_equal(
        recogniser_input(speech.astype(np.float32) / 2**15), recogniser_input(speech)
    )
