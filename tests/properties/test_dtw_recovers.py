"""Aligners recover the time warp that generated speech was made with."""

from __future__ import annotations

import numpy as np
import pytest

from benchmark.data.synthetic.speech import SENTENCES, SPEAKERS, SpeechSynthesizer, Utterance, true_warp
from models.audio.aligners import Aligner, DTWAligner, EVPAligner, LinearAligner

SOURCES = ("neutral", "sad", "surprised", "disgusted")


@pytest.fixture(scope="module")
def renditions() -> list[tuple[Utterance, Utterance]]:
    """Pairs (another emotion, angry) of some sentences."""
    speaker, speech = SPEAKERS[0], SpeechSynthesizer()
    pairs = []
    for k, sentence in enumerate(SENTENCES[:3]):
        angry = speech.utterance(sentence, speaker, "angry", 3, np.random.default_rng([k, 0]))
        for j, emotion in enumerate(SOURCES):
            intensity = 1 if emotion == "neutral" else 3
            rng = np.random.default_rng([k, 1 + j])
            pairs.append((speech.utterance(sentence, speaker, emotion, intensity, rng), angry))
    return pairs


def mean_error_ms(aligner: Aligner, renditions: list[tuple[Utterance, Utterance]]) -> float:
    """Of the times of phone boundaries."""
    errors = []
    for source, reference in renditions:
        times = np.array([phone.start for phone in reference.phones[1:]])
        found = aligner.align(source.waveform, reference.waveform).times(times)
        errors.append(np.abs(found - true_warp(reference, source, times)))
    return 1000 * float(np.concatenate(errors).mean())


def test_errors(renditions) -> None:
    best = mean_error_ms(DTWAligner(), renditions)
    released = mean_error_ms(EVPAligner(), renditions)
    linear = mean_error_ms(LinearAligner(), renditions)
    print(
        f"mean error: DTWAligner {best:.1f} ms, EVPAligner {released:.1f} ms, LinearAligner {linear:.1f} ms"
    )
    assert best < 15
    assert best < released < linear


@pytest.mark.parametrize("aligner", [DTWAligner(), EVPAligner(), LinearAligner()])
def test_maps_are_monotone_and_cover_every_row(aligner: Aligner, renditions) -> None:
    source, reference = renditions[0]
    alignment = aligner.align(source.waveform, reference.waveform)
    assert (np.diff(alignment.positions) >= 0).all()
    assert (np.diff(alignment.rows) >= 0).all()
    assert alignment.rows.shape == alignment.positions.shape
    itself = aligner.align(source.waveform, source.waveform)
    times = np.linspace(0, source.duration, 50)
    np.testing.assert_allclose(itself.times(times), times, atol=0.011)
