"""The embedded corpus's speech: known factors are exact, and the same arguments give the same bits."""

from __future__ import annotations

import dataclasses
import itertools
import time

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter1d

from benchmark.data.synthetic.network import SpeechNetwork, _extra_output
from benchmark.data.synthetic.speech import (
    EMOTIONS,
    PHONES,
    SENTENCES,
    SILENCE,
    SPEAKERS,
    SpeechSynthesizer,
    Utterance,
    true_warp,
)
from benchmark.data.synthetic.voices import Expression
from models.types import MEAD_EMOTIONS


@pytest.fixture(scope="module")
def synthesizer() -> SpeechSynthesizer:
    return SpeechSynthesizer()


@pytest.fixture(scope="module")
def spoken(synthesizer: SpeechSynthesizer) -> dict[str, Utterance]:
    """One sentence with every emotion by speakers of all kinds."""
    return {
        emotion: synthesizer.utterance(
            SENTENCES[4], SPEAKERS[k], emotion, 1 if emotion == "neutral" else 3, np.random.default_rng(k)
        )
        for k, emotion in enumerate(MEAD_EMOTIONS)
    }


def test_the_sentences_are_many_and_different() -> None:
    assert sum(s.shared for s in SENTENCES) >= 13
    assert sum(not s.shared for s in SENTENCES) >= 26
    assert len({s.id for s in SENTENCES}) == len({s.text for s in SENTENCES}) == len(SENTENCES)


def test_every_emotion_of_mead_has_acoustics() -> None:
    assert tuple(EMOTIONS) == MEAD_EMOTIONS
    assert EMOTIONS["neutral"] == Expression()


def test_every_phone_of_every_sentence_is_listed_and_lasts() -> None:
    network = SpeechNetwork()
    heard = set()
    for sentence in SENTENCES:
        source = network.speak(sentence.text)
        assert source.phones[0].start == 0
        assert source.phones[-1].end == len(source.f0)
        for before, after in itertools.pairwise(source.phones):
            assert before.end == after.start
        assert all(p.end - p.start >= 1 for p in source.phones)
        heard |= {p.symbol for p in source.phones}
    assert heard <= set(PHONES)
    assert sum(PHONES[s] for s in heard) >= 14
    assert sum(not PHONES[s] for s in heard) >= 22


def test_phones_agree_with_the_sound() -> None:
    """Sibilants are where the energy above 4.4 kHz is: the phone times are those of the audio."""
    network = SpeechNetwork()
    inside, outside = [], []
    for sentence in SENTENCES[:14]:
        source = network.speak(sentence.text)
        high = 10 * np.log10(np.exp(2 * source.free[:, 220:400]).sum(axis=1))
        for phone in source.phones[1:-1]:
            level = high[int(phone.start) : int(phone.end)].mean()
            (inside if phone.symbol in "sʃ" else outside).append(level)
    assert np.mean(inside) > np.mean(outside) + 6


def test_same_generator_state_same_bits(synthesizer: SpeechSynthesizer) -> None:
    one, two, other = (
        synthesizer.utterance(SENTENCES[0], SPEAKERS[1], "fear", 2, np.random.default_rng(seed))
        for seed in (3, 3, 4)
    )
    fresh = SpeechSynthesizer().utterance(SENTENCES[0], SPEAKERS[1], "fear", 2, np.random.default_rng(3))
    for again in (two, fresh):
        np.testing.assert_array_equal(one.waveform, again.waveform)
        np.testing.assert_array_equal(one.clock, again.clock)
        assert one.phones == again.phones
    assert len(other.clock) != len(one.clock) or not np.array_equal(other.clock, one.clock)


def test_waveforms_are_whole_video_frames_below_full_scale(spoken: dict[str, Utterance]) -> None:
    for utterance in spoken.values():
        waveform = utterance.waveform
        assert waveform.dtype == np.float32
        assert waveform.ndim == 1
        assert len(waveform) % 640 == 0
        assert utterance.num_video_frames == len(waveform) // 640
        assert np.isfinite(waveform).all()
        assert 0.05 < np.abs(waveform).max() < 1
        assert 2.2 < utterance.duration < 5.5


def test_phones_cover_the_waveform_and_frames_reach_its_end(spoken: dict[str, Utterance]) -> None:
    for utterance in spoken.values():
        phones = utterance.phones
        assert phones[0].start == 0
        assert phones[-1].end == pytest.approx(utterance.duration)
        assert phones[0].symbol == phones[-1].symbol == SILENCE
        assert all(a.end == b.start for a, b in itertools.pairwise(phones))
        assert all(p.end > p.start for p in phones)
        assert 0 <= (len(utterance.clock) - 1) * 0.0125 - utterance.duration < 0.0125
        assert utterance.f0.shape == utterance.loudness.shape == utterance.clock.shape


def test_silence_is_silent(spoken: dict[str, Utterance]) -> None:
    for utterance in spoken.values():
        times = np.arange(len(utterance.loudness)) * 0.0125
        speech = (times > utterance.phones[0].end) & (times < utterance.phones[-1].start)
        quiet = times < utterance.phones[0].end - 0.1
        assert utterance.loudness[quiet].max() < 0.05 * utterance.loudness[speech].mean()


def test_true_warp_is_monotone_inverts_and_meets_the_ends(spoken: dict[str, Utterance]) -> None:
    a, b = spoken["sad"], spoken["angry"]
    times = np.linspace(0, a.duration, 400)
    there = true_warp(a, b, times)
    assert np.all(np.diff(there) > 0)
    assert there[0] == pytest.approx(0, abs=1e-9)
    assert there[-1] == pytest.approx(b.duration, abs=1e-6)
    np.testing.assert_allclose(true_warp(b, a, there), times, atol=2e-3)
    np.testing.assert_allclose(true_warp(a.clock, a.clock, times), times, atol=1e-9)


def test_true_warp_maps_phones_onto_phones(spoken: dict[str, Utterance]) -> None:
    a, b = spoken["fear"], spoken["disgusted"]
    assert [p.symbol for p in a.phones] == [p.symbol for p in b.phones]
    warped = true_warp(a, b, np.array([p.start for p in a.phones]))
    np.testing.assert_allclose(warped, [p.start for p in b.phones], atol=2e-3)


def test_the_warp_between_emotions_is_far_from_linear(spoken: dict[str, Utterance]) -> None:
    a, b = spoken["sad"], spoken["angry"]
    start, end = a.phones[0].end, a.phones[-1].start
    times = np.linspace(start, end, 200)
    there = true_warp(a, b, times)
    line = np.polyval(np.polyfit(times, there, 1), times)
    assert np.abs(there - line).max() > 0.02


def test_slow_speech_stretches_vowels_more_than_consonants(synthesizer: SpeechSynthesizer) -> None:
    ratio: dict[bool, list[float]] = {True: [], False: []}
    for seed, sentence in enumerate(SENTENCES[:6]):
        sad, fear = (
            synthesizer.utterance(sentence, SPEAKERS[0], emotion, 3, np.random.default_rng(seed))
            for emotion in ("sad", "fear")
        )
        for slow, fast in zip(sad.phones[1:-1], fear.phones[1:-1], strict=True):
            ratio[PHONES[slow.symbol]].append((slow.end - slow.start) / (fast.end - fast.start))
    assert np.median(ratio[True]) > np.median(ratio[False]) + 0.1 > 1.1


def _measured_f0(waveform: np.ndarray, low: float, high: float) -> float:
    """Median F0 by autocorrelation of the frames that are clearly periodic."""
    frames = np.lib.stride_tricks.sliding_window_view(waveform, 1024)[::320].astype(np.float64)
    spectrum = np.fft.rfft(frames * np.hanning(1024), 2048, axis=1)
    correlation = np.fft.irfft(np.abs(spectrum) ** 2, axis=1)
    lags = np.arange(int(16000 / high), int(16000 / low))
    strength = correlation[:, lags] / correlation[:, :1]
    loud = correlation[:, 0] > 0.05 * np.percentile(correlation[:, 0], 95)
    clear = loud & (strength.max(axis=1) > 0.6)
    return float(np.median(16000 / lags[strength[clear].argmax(axis=1)]))


@pytest.mark.parametrize("speaker", SPEAKERS, ids=lambda s: s.id)
def test_the_sound_has_the_pitch_that_is_reported(synthesizer: SpeechSynthesizer, speaker) -> None:
    utterance = synthesizer.utterance(SENTENCES[2], speaker, "neutral", 1, np.random.default_rng(1))
    known = float(np.median(utterance.f0[utterance.f0 > 0]))
    assert _measured_f0(utterance.waveform, known / 1.6, known * 1.6) == pytest.approx(known, rel=0.08)
    reference = synthesizer.utterance(SENTENCES[2], SPEAKERS[0], "neutral", 1, np.random.default_rng(1))
    ratio = known / float(np.median(reference.f0[reference.f0 > 0]))
    assert ratio == pytest.approx(speaker.f0_scale / SPEAKERS[0].f0_scale, rel=0.05)


@pytest.mark.parametrize("scale", [0.86, 1.16])
def test_speakers_move_resonances(synthesizer: SpeechSynthesizer, scale: float) -> None:
    """The long-term spectrum moves on a logarithmic axis by the speaker's formant scale."""
    pitch = np.geomspace(500, 5000, 400)
    step = np.log(pitch[1] / pitch[0])

    def envelope(formant_scale: float) -> np.ndarray:
        speaker = dataclasses.replace(SPEAKERS[0], formant_scale=formant_scale)
        total = np.zeros(1025)
        for seed, sentence in enumerate(SENTENCES[:6]):
            rng = np.random.default_rng(seed)
            waveform = synthesizer.utterance(sentence, speaker, "neutral", 1, rng).waveform
            frames = np.lib.stride_tricks.sliding_window_view(waveform, 2048)[::512] * np.hanning(2048)
            total += (np.abs(np.fft.rfft(frames, axis=1)) ** 2).sum(axis=0)
        smooth = gaussian_filter1d(np.log(np.interp(pitch, np.fft.rfftfreq(2048, 1 / 16000), total)), 8)
        return smooth - gaussian_filter1d(smooth, 60)

    plain, moved = envelope(1.0), envelope(scale)
    shifts = np.arange(-120, 121)
    match = [np.corrcoef(np.roll(plain, k)[130:-130], moved[130:-130])[0, 1] for k in shifts]
    assert np.exp(step * shifts[int(np.argmax(match))]) == pytest.approx(scale, rel=0.06)


def test_louder_emotions_are_louder(spoken: dict[str, Utterance]) -> None:
    level = {e: float(np.percentile(u.loudness, 80)) for e, u in spoken.items()}
    assert level["angry"] > level["neutral"] > level["sad"]


def test_generation_is_fast(synthesizer: SpeechSynthesizer) -> None:
    synthesizer.utterance(SENTENCES[1], SPEAKERS[0], "neutral", 1, np.random.default_rng(0))
    start = time.process_time()
    for seed in range(5):
        synthesizer.utterance(SENTENCES[1], SPEAKERS[0], "neutral", 1, np.random.default_rng(seed))
    assert (time.process_time() - start) / 5 < 0.12


def test_unknown_emotion_names_the_known_ones(synthesizer: SpeechSynthesizer) -> None:
    with pytest.raises(ValueError, match=r"unknown emotion 'bored'.*angry"):
        synthesizer.utterance(SENTENCES[0], SPEAKERS[0], "bored", 1, np.random.default_rng(0))


@pytest.mark.parametrize(("emotion", "intensity"), [("neutral", 2), ("happy", 0), ("happy", 4)])
def test_intensity_must_exist(synthesizer: SpeechSynthesizer, emotion: str, intensity: int) -> None:
    with pytest.raises(ValueError, match=rf"{emotion} has intensities .* got {intensity}"):
        synthesizer.utterance(SENTENCES[0], SPEAKERS[0], emotion, intensity, np.random.default_rng(0))


def test_two_sentences_at_once_are_refused() -> None:
    with pytest.raises(ValueError, match="expected one sentence, got 2"):
        SpeechNetwork().speak("This is one. This is another.")


def test_an_output_name_that_does_not_fit_is_refused() -> None:
    with pytest.raises(ValueError, match="too long"):
        _extra_output("x" * 130)
