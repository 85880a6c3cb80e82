"""Outside judges of the embedded speech: its emotions are heard, and its words are still understood.

The judges that set the corpus up were larger versions of these; the thresholds leave room for the small
sets used here.
"""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
import scipy.fft
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

from benchmark.data.synthetic.speech import EMOTIONS, SENTENCES, SPEAKERS, SpeechSynthesizer

SPEAKERS_HEARD, SPEAKERS_NEW = (0, 1, 2), (3,)
TRAINED_SENTENCES, HELD_OUT_SENTENCES = SENTENCES[14:34], SENTENCES[:7]


def _mel_bank(bands: int = 32, size: int = 512) -> np.ndarray:
    mel = np.linspace(*(2595 * np.log10(1 + f / 700) for f in (80.0, 7600.0)), bands + 2)
    edges = 700 * (10 ** (mel / 2595) - 1)
    frequency = np.fft.rfftfreq(size, 1 / 16000)
    left, centre, right = edges[:-2, None], edges[1:-1, None], edges[2:, None]
    rise, fall = (frequency - left) / (centre - left), (right - frequency) / (right - centre)
    return np.clip(np.minimum(rise, fall), 0, None)


def _features(waveform: np.ndarray) -> np.ndarray:
    """Utterance statistics of MFCC, energy and an autocorrelation pitch: nothing but the sound is used."""
    frames = np.lib.stride_tricks.sliding_window_view(np.pad(waveform, (0, 1024)), 1024)[::160]
    power = np.abs(scipy.fft.rfft(frames[:, 256:768] * np.hanning(512), 512, axis=1)) ** 2
    energy = 10 * np.log10(power.sum(axis=1) + 1e-9)
    loud = energy > energy.max() - 35
    cepstra = scipy.fft.dct(np.log(power @ _mel_bank().T + 1e-8), norm="ortho", axis=1)[:, :13]
    spectrum = np.abs(scipy.fft.rfft(frames * np.hanning(1024), 2048, axis=1)) ** 2
    correlation = scipy.fft.irfft(spectrum, axis=1)[:, :400]
    correlation /= np.maximum(correlation[:, :1], 1e-9)
    lag = correlation[:, 24:260].argmax(axis=1) + 24
    peak = correlation[np.arange(len(lag)), lag]
    voiced = np.flatnonzero((peak > 0.45) & loud)
    pitch = 12 * np.log2(16000 / lag[voiced] / 100)
    steps = np.abs(np.diff(pitch)[np.diff(voiced) == 1])
    prosody = [
        energy[loud].mean(), energy[loud].std(), np.median(pitch), np.ptp(np.percentile(pitch, [10, 90])),
        np.polyfit(voiced / len(lag), pitch, 1)[0], np.median(pitch[-12:]) - np.median(pitch),
        steps.mean(), np.median(steps), peak[voiced].mean(), np.ptp(np.flatnonzero(loud)),
        len(voiced) / len(lag),
    ]  # fmt: skip
    movement = np.diff(cepstra, axis=0)[loud[1:]].std(axis=0)
    return np.concatenate([cepstra[loud].mean(axis=0), cepstra[loud].std(axis=0), movement, prosody])


@pytest.fixture(scope="module")
def synthesizer() -> SpeechSynthesizer:
    return SpeechSynthesizer()


def _dataset(synthesizer, speakers, sentences, rng) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    features, emotions, intensities = [], [], []
    for speaker in speakers:
        for sentence in sentences:
            for label, emotion in enumerate(EMOTIONS):
                intensity = 1 if emotion == "neutral" else int(rng.integers(1, 4))
                utterance = synthesizer.utterance(sentence, SPEAKERS[speaker], emotion, intensity, rng)
                features.append(_features(utterance.waveform))
                emotions.append(label)
                intensities.append(intensity)
    return np.array(features), np.array(emotions), np.array(intensities)


def test_a_small_classifier_hears_the_emotion(synthesizer: SpeechSynthesizer) -> None:
    rng = np.random.default_rng(11)
    heard, labels, _ = _dataset(synthesizer, SPEAKERS_HEARD, TRAINED_SENTENCES, rng)
    judge = make_pipeline(StandardScaler(), SVC(C=5, gamma=0.01)).fit(heard, labels)

    new_words, truth, intensity = _dataset(synthesizer, SPEAKERS_HEARD, HELD_OUT_SENTENCES, rng)
    right = judge.predict(new_words) == truth
    assert 0.68 < right.mean() < 0.97, "heard, but not caricatured"
    assert right[intensity == 3].mean() > 0.75

    new_voice, truth, _ = _dataset(synthesizer, SPEAKERS_NEW, HELD_OUT_SENTENCES, rng)
    assert np.mean(judge.predict(new_voice) == truth) > 0.375, "at least three times chance for a new speaker"


def _words(text: str) -> list[str]:
    return re.findall(r"[a-z']+", text.lower())


def _words_read(truth: list[str], read: list[str]) -> int:
    """Length of the longest common subsequence."""
    best = np.zeros((len(truth) + 1, len(read) + 1), int)
    for i, expected in enumerate(truth):
        for j, word in enumerate(read):
            best[i + 1, j + 1] = best[i, j] + 1 if word == expected else max(best[i, j + 1], best[i + 1, j])
    return int(best[-1, -1])


def _knows_the_sentences(folder: Path):
    """PocketSphinx's small model with a trigram of the corpus: hears which sentence it was."""
    pocketsphinx = pytest.importorskip("pocketsphinx")
    language = pytest.importorskip("pocketsphinx.lm")
    model = language.ArpaBoLM(text="\n".join(f"<s> {' '.join(_words(s.text))} </s>" for s in SENTENCES))
    model.compute()
    model.write_file(str(folder / "corpus.arpa"))
    return pocketsphinx.Decoder(lm=str(folder / "corpus.arpa"), samprate=16000, loglevel="FATAL")


def _knows_english():
    """PocketSphinx as it comes, for dictation with any of a hundred thousand words."""
    return pytest.importorskip("pocketsphinx").Decoder(samprate=16000, loglevel="FATAL")


def _share_of_words_read(decoder, spoken: list[tuple[list[str], np.ndarray]]) -> float:
    read = total = 0
    for truth, waveform in spoken:
        decoder.start_utt()
        decoder.process_raw((waveform * 32767).astype("<i2").tobytes(), full_utt=True)
        decoder.end_utt()
        found = decoder.hyp()
        heard = [re.sub(r"\(\d+\)$", "", word) for word in found.hypstr.split()] if found else []
        read += _words_read(truth, heard)
        total += max(len(truth), len(heard))
    return read / total


def test_a_recogniser_reads_the_words_of_every_emotion(
    synthesizer: SpeechSynthesizer, tmp_path: Path
) -> None:
    judges = ((_knows_the_sentences(tmp_path), 0.95), (_knows_english(), 0.85))
    for emotion in EMOTIONS:
        intensity = 1 if emotion == "neutral" else 3
        spoken = []
        for k, sentence in enumerate(SENTENCES[:6]):
            rng = np.random.default_rng(k)
            utterance = synthesizer.utterance(sentence, SPEAKERS[k], emotion, intensity, rng)
            spoken.append((_words(sentence.text), utterance.waveform))
        for judge, least in judges:
            share = _share_of_words_read(judge, spoken)
            assert share >= least, f"{emotion}: {share:.0%} of the words"
