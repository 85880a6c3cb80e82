"""Emotional speech with known factors: a sentence, spoken by a speaker with an emotion.

The network speaks each sentence once; all that follows is an edit of its spectra, F0 and time before the
waveform is made. So the sound at any moment of any rendition is known to come from one position of the
sentence's *common axis* (the frames of the unedited speech), which gives the true time warp between any two
renditions. Positions and clocks are in frames of 12.5 ms, times in seconds of the rendition.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import soxr
from hibari import dsp
from scipy.ndimage import gaussian_filter1d

from benchmark.data.synthetic.network import (
    FRAME_SECONDS,
    PHONES,
    SILENCE,
    VOICED_HZ,
    SourcePhone,
    SourceSpeech,
    SpeechNetwork,
)
from benchmark.data.synthetic.sentences import SENTENCES, Sentence
from benchmark.data.synthetic.voices import EMOTIONS, SPEAKERS, Expression, Speaker, take

__all__ = [
    "EMOTIONS",
    "FRAME_SECONDS",
    "PHONES",
    "SENTENCES",
    "SILENCE",
    "SPEAKERS",
    "Phone",
    "Sentence",
    "Speaker",
    "SpeechSynthesizer",
    "Utterance",
    "true_warp",
]

SAMPLE_RATE = 16000
VIDEO_FRAME_SAMPLES = 640
_FRAMES_PER_VIDEO_FRAME = 0.04 / FRAME_SECONDS
_MARGIN_FRAMES = 18
"""Silence kept on the common axis before and after the speech."""
_GAIN = 0.65
"""Puts neutral speech at about 28 dB below full scale, so that anger stays below clipping."""
_PEAK = 0.97
_ROOM = 0.004
"""Magnitude of the room's noise in the synthesiser's units, about 50 dB below neutral speech: a studio's."""
_PHRASE_END_FRAMES = 27
_BIN_HZ = dsp.SR / dsp.N_FFT


@dataclass(frozen=True)
class Phone:
    symbol: str
    """A key of PHONES."""
    start: float
    end: float
    """Seconds."""


@dataclass(frozen=True)
class Utterance:
    """One rendition of a sentence. Arrays over frames are at 80 Hz: frame k is centred at k * 12.5 ms."""

    waveform: np.ndarray
    """(samples,) float32, 16 kHz mono, below 1; a whole number of video frames at 25 fps."""
    phones: tuple[Phone, ...]
    """Without gaps from 0 to the end of the waveform."""
    clock: np.ndarray
    """(frames,) float64, strictly increasing: position on the sentence's common axis. All renditions of a
    sentence run from the same first position to the same one at the end of their waveforms; the last frame
    may lie beyond the end by less than 12.5 ms."""
    f0: np.ndarray
    """(frames,) float32 Hz, 0 where unvoiced."""
    loudness: np.ndarray
    """(frames,) float32, root mean square of the waveform over 25 ms around each frame."""

    @property
    def duration(self) -> float:
        """Seconds."""
        return len(self.waveform) / SAMPLE_RATE

    @property
    def num_video_frames(self) -> int:
        return len(self.waveform) // VIDEO_FRAME_SAMPLES


def true_warp(a: Utterance | np.ndarray, b: Utterance | np.ndarray, times: np.ndarray) -> np.ndarray:
    """Times in `b` of the sounds that `a` makes at `times`, both in seconds.

    `a` and `b` are renditions of one sentence, or their clocks. Times outside `a` go to the ends of `b`.
    """
    clock_a, clock_b = (x.clock if isinstance(x, Utterance) else np.asarray(x) for x in (a, b))
    positions = np.interp(np.asarray(times) / FRAME_SECONDS, np.arange(len(clock_a)), clock_a)
    return np.interp(positions, clock_b, np.arange(len(clock_b))) * FRAME_SECONDS


class SpeechSynthesizer:
    """Speaks sentences. The network is loaded when first needed and runs once per sentence.

    Args:
        remembered: how many sentences the network keeps, about 4 MB each.
    """

    def __init__(self, *, remembered: int = 256) -> None:
        self._remembered = remembered
        self._network: SpeechNetwork | None = None

    def utterance(
        self, sentence: Sentence, speaker: Speaker, emotion: str, intensity: int, rng: np.random.Generator
    ) -> Utterance:
        """One rendition. The same arguments and generator state give the same bits.

        Raises:
            ValueError: unknown emotion, or an intensity that the emotion does not have (neutral has 1 only).
        """
        expression = take(speaker, emotion, intensity, rng)
        source = self._source(sentence.text)
        clock = _clock(source, speaker, expression, rng)
        f0 = _f0(source, clock, speaker, expression, rng)
        spectra = _edited(source, clock, f0, speaker, expression)
        harmonic, rotation, noise, free, free_phase = (np.ascontiguousarray(s.T) for s in spectra)
        sound = dsp.synth(harmonic, rotation, noise, free, free_phase, f0, rng)
        waveform = _waveform(sound, clock)
        return Utterance(
            waveform=waveform,
            phones=_phones(source.phones, clock, len(waveform) / SAMPLE_RATE),
            clock=clock,
            f0=np.where(f0 > VOICED_HZ, f0, np.float32(0)),
            loudness=_loudness(waveform, len(clock)),
        )

    def _source(self, text: str) -> SourceSpeech:
        if self._network is None:
            self._network = SpeechNetwork(self._remembered)
        return self._network.speak(text)


# -- time ---------------------------------------------------------------------------------------------------


def _clock(
    source: SourceSpeech, speaker: Speaker, expression: Expression, rng: np.random.Generator
) -> np.ndarray:
    """(frames,) positions on the common axis, from the durations that every source frame gets."""
    first = max(0.0, source.phones[0].end - _MARGIN_FRAMES)
    last = min(float(len(source.f0) - 1), source.phones[-1].start + _MARGIN_FRAMES)
    edges = np.linspace(first, last, round(4 * (last - first)) + 1)
    stretch = _stretch((edges[1:] + edges[:-1]) / 2, source.phones, speaker, expression, rng)
    elapsed = np.concatenate([[0.0], np.cumsum(stretch * np.diff(edges))])
    count = int(np.ceil(elapsed[-1] / _FRAMES_PER_VIDEO_FRAME))
    total = count * _FRAMES_PER_VIDEO_FRAME
    silent = edges >= source.phones[-1].start
    start = elapsed[silent][0]
    elapsed[silent] = start + (elapsed[silent] - start) * (total - start) / (elapsed[-1] - start)
    frames = np.arange(int(np.ceil(total)) + 1, dtype=np.float64)
    slope = (edges[-1] - edges[-2]) / (elapsed[-1] - elapsed[-2])
    beyond = np.maximum(frames - total, 0.0) * slope
    return np.interp(frames, elapsed, edges) + beyond


def _stretch(
    positions: np.ndarray,
    phones: tuple[SourcePhone, ...],
    speaker: Speaker,
    expression: Expression,
    rng: np.random.Generator,
) -> np.ndarray:
    """Factor on the duration of each position: vowels give more than consonants, phrase ends most."""
    slow = np.log2(speaker.tempo) + expression.tempo
    speech_end = phones[-1].start
    near_end = np.clip(1 - (speech_end - positions) / _PHRASE_END_FRAMES, 0, 1)
    log_stretch = np.empty_like(positions)
    for phone in phones:
        inside = (positions >= phone.start) & (positions < phone.end)
        if phone.symbol == SILENCE:
            log_stretch[inside] = np.clip(0.3 * rng.standard_normal(), -0.5, 0.5)
            continue
        own = np.clip(0.12 * rng.standard_normal(), -0.24, 0.24)
        if PHONES[phone.symbol]:
            stressed = 0.5 * phone.stress * max(expression.vowel, 0.0)
            value = (
                1.25 * slow + expression.vowel + stressed + 1.3 * expression.final * near_end[inside] + own
            )
        else:
            value = 0.65 * slow + 0.5 * expression.final * near_end[inside] + 0.6 * own
        log_stretch[inside] = value
    log_stretch += 0.06 * _smooth_noise(len(positions), 60.0, rng)
    return np.exp2(gaussian_filter1d(log_stretch, sigma=6.0, mode="nearest"))


def _smooth_noise(count: int, scale: float, rng: np.random.Generator) -> np.ndarray:
    """Normal noise of unit variance, correlated over `scale` samples."""
    noise = gaussian_filter1d(rng.standard_normal(count), scale, mode="reflect")
    return noise * np.sqrt(2 * scale * np.sqrt(np.pi))


def _phones(source: tuple[SourcePhone, ...], clock: np.ndarray, duration: float) -> tuple[Phone, ...]:
    inner = np.interp([phone.end for phone in source[:-1]], clock, np.arange(len(clock))) * FRAME_SECONDS
    edges = [0.0, *(float(t) for t in inner), duration]
    return tuple(Phone(p.symbol, a, b) for p, a, b in zip(source, edges, edges[1:], strict=False))


# -- pitch --------------------------------------------------------------------------------------------------


def _f0(
    source: SourceSpeech,
    clock: np.ndarray,
    speaker: Speaker,
    expression: Expression,
    rng: np.random.Generator,
) -> np.ndarray:
    """(frames,) float32 Hz. The contour is stretched around its mean, moved, bent and shaken, in log2."""
    voiced = source.f0 > VOICED_HZ
    mean = np.log2(source.f0[source.f0 > 2 * VOICED_HZ]).mean()
    # F0 that the network lets fall to 0 at the ends of voiced stretches is not an excursion to be widened.
    excursion = np.clip(np.log2(np.maximum(source.f0, VOICED_HZ)) - mean, -0.7, 0.8)
    # F0 samples lie half a frame later than spectra (see hibari.dsp.pulses).
    at = np.append((clock[1:] + clock[:-1]) / 2, clock[-1]) - 0.5
    index = np.arange(len(source.f0))
    contour = np.interp(at, index, excursion) * speaker.f0_range * np.exp2(expression.f0_range)
    semitones = expression.f0_level + _melody(source.phones, at, expression)
    semitones += _shake(len(clock), expression, rng)
    f0 = speaker.f0_scale * np.exp2(mean + contour + semitones / 12)
    spoken = np.interp(at, index, voiced.astype(float)) > 0.5
    return np.where(spoken, np.clip(f0, 1.4 * VOICED_HZ, 700.0), 0.0).astype(np.float32)


def _melody(phones: tuple[SourcePhone, ...], at: np.ndarray, expression: Expression) -> np.ndarray:
    start, end = phones[0].end, phones[-1].start
    progress = np.clip((at - start) / (end - start), 0, 1)
    final = np.clip(1 - (end - at) / _PHRASE_END_FRAMES, 0, 1) ** 1.5
    slope = expression.f0_slope * (progress - 0.5)
    return slope + expression.f0_final * final + expression.accent * _accents(phones, at)


def _accents(phones: tuple[SourcePhone, ...], at: np.ndarray) -> np.ndarray:
    """1 at the middle of a stressed vowel, less at secondary stress, falling off over 60 ms."""
    accents = np.zeros_like(at)
    for phone in phones:
        if phone.stress:
            centre = (phone.start + phone.end) / 2
            accents = np.maximum(accents, phone.stress / 2 * np.exp(-0.5 * ((at - centre) / 5.0) ** 2))
    return accents


def _shake(count: int, expression: Expression, rng: np.random.Generator) -> np.ndarray:
    """Semitones of tremor (a quasi-periodic oscillation) and jitter."""
    rate = rng.uniform(5.0, 8.0) * (1 + 0.15 * _smooth_noise(count, 12.0, rng))
    phase = 2 * np.pi * (np.cumsum(rate) * FRAME_SECONDS + rng.uniform())
    jitter = max(expression.jitter, 0.0) * _smooth_noise(count, 0.6, rng)
    return max(expression.tremor, 0.0) * np.sin(phase) + jitter


# -- spectrum -----------------------------------------------------------------------------------------------


def _edited(
    source: SourceSpeech, clock: np.ndarray, f0: np.ndarray, speaker: Speaker, expression: Expression
) -> tuple[np.ndarray, ...]:
    """Harmonic, its rotation, noise, free and its phase, (frames, 601) each, in the synthesiser's order."""
    scale = speaker.formant_scale * (1 + expression.formants / 100)
    warp = _Warp(clock, scale, source.harmonic.shape)
    harmonic, noise, free = warp(source.harmonic), warp(source.noise), warp(source.free)
    level, tilt = _level(source.phones, clock, expression), _tilt(speaker.tilt + expression.tilt)
    harmonic += level + tilt
    free += level + 0.5 * tilt
    free -= _ghost_cut(source, warp.positions, f0)
    breath = _breath(harmonic, f0, speaker.breath + expression.breath)
    noise = np.log(np.exp(noise + level) + breath + _ROOM)
    rotation = np.arctanh(0.999999 * warp.nearest(source.harmonic_phase) / np.float32(np.pi))
    return harmonic, rotation, noise, free, warp.nearest_centred(source.free_phase)


class _Warp:
    """Gathers source spectra at fractional frames and at frequencies divided by the formant scale."""

    def __init__(self, clock: np.ndarray, scale: float, shape: tuple[int, int]) -> None:
        frames, bins = shape
        self.positions = np.clip(clock, 0, frames - 1)
        self._row = np.minimum(self.positions.astype(int), frames - 2)
        self._row_weight = (self.positions - self._row).astype(np.float32)[:, None]
        at = np.minimum(np.arange(bins) / scale, bins - 1.0)
        self._column = np.minimum(at.astype(int), bins - 2)
        self._column_weight = (at - self._column).astype(np.float32)
        self._nearest_row = np.rint(self.positions).astype(int)
        self._nearest_column = np.rint(at).astype(int)

    def __call__(self, spectra: np.ndarray) -> np.ndarray:
        below = spectra[self._row]
        below += self._row_weight * (spectra[self._row + 1] - below)
        left = below[:, self._column]
        left += self._column_weight * (below[:, self._column + 1] - left)
        return left

    def nearest(self, phases: np.ndarray) -> np.ndarray:
        return phases[self._nearest_row][:, self._nearest_column]

    def nearest_centred(self, phases: np.ndarray) -> np.ndarray:
        """Phases of a short-time spectrum, whose frame starts half a window before its centre.

        Warping frequencies must leave a click in the middle of the frame where it is, which costs pi per bin
        of displacement, and the rounding of the row moves the content by a fraction of the hop.
        """
        bins = np.arange(phases.shape[1])
        centring = np.pi * ((self._nearest_column - bins) % 2)
        shift = (self.positions - self._nearest_row)[:, None] * (2 * np.pi * dsp.HOP / dsp.N_FFT * bins)
        return self.nearest(phases) + (centring + shift).astype(np.float32)


def _level(phones: tuple[SourcePhone, ...], clock: np.ndarray, expression: Expression) -> np.ndarray:
    """(frames, 1) float32 log gain: loudness, and its emphasis on stressed vowels."""
    decibels = expression.energy + expression.dynamics * (_accents(phones, clock) - 0.4)
    return (np.log(_GAIN) + decibels * np.log(10) / 20).astype(np.float32)[:, None]


def _tilt(decibels_per_octave: float) -> np.ndarray:
    """(601,) float32 log gain that turns the spectrum around 500 Hz, level below 100 Hz and above 6 kHz."""
    frequency = np.clip(np.arange(dsp.N_FFT // 2 + 1) * _BIN_HZ, 100.0, 6000.0)
    return (decibels_per_octave * np.log2(frequency / 500.0) * np.log(10) / 20).astype(np.float32)


def _breath(harmonic: np.ndarray, f0: np.ndarray, decibels: float) -> np.ndarray:
    """(frames, 601) float32 magnitude of aspiration: the harmonics' envelope, weaker below 1.5 kHz."""
    frequency = np.arange(harmonic.shape[1]) * _BIN_HZ
    highpass = (frequency / np.hypot(frequency, 1500.0)).astype(np.float32)
    voiced = gaussian_filter1d((f0 > VOICED_HZ).astype(np.float32), 1.0)[:, None]
    return np.exp(np.minimum(harmonic, 7.0)) * (highpass * np.float32(10 ** (decibels / 20))) * voiced


def _ghost_cut(source: SourceSpeech, positions: np.ndarray, f0: np.ndarray) -> np.ndarray:
    """(frames, 1) float32 log attenuation of the free branch where voice is strong and F0 was moved.

    The free branch keeps the original pitch in its phases, which would be heard as a second, quiet voice.
    """
    original = np.interp(positions, np.arange(len(source.f0)), np.maximum(source.f0, 1.0))
    moved = np.abs(np.log2(np.maximum(f0, 1.0) / original)) * (f0 > VOICED_HZ)
    voice = np.exp(2 * source.harmonic[:, :100]).sum(axis=1) * (source.f0 > VOICED_HZ)
    free = np.exp(2 * source.free).sum(axis=1)
    share = np.interp(positions, np.arange(len(voice)), voice / (voice + 30 * free))
    return (1.2 * share * np.clip(3 * moved, 0, 1)).astype(np.float32)[:, None]


# -- sound --------------------------------------------------------------------------------------------------


def _waveform(sound: np.ndarray, clock: np.ndarray) -> np.ndarray:
    """24 kHz sound -> 16 kHz, a whole number of video frames, below full scale."""
    count = int((len(clock) - 1) / _FRAMES_PER_VIDEO_FRAME)
    kept = sound[: count * VIDEO_FRAME_SAMPLES * dsp.SR // SAMPLE_RATE]
    waveform = soxr.resample(kept, dsp.SR, SAMPLE_RATE)[: count * VIDEO_FRAME_SAMPLES]
    peak = float(np.abs(waveform).max())
    return (waveform * min(1.0, _PEAK / peak)).astype(np.float32)


def _loudness(waveform: np.ndarray, frames: int) -> np.ndarray:
    hop = round(FRAME_SECONDS * SAMPLE_RATE)
    padded = np.pad(waveform.astype(np.float64) ** 2, (hop, (frames + 1) * hop - len(waveform)))
    blocks = padded[: (frames + 1) * hop].reshape(frames + 1, hop).mean(axis=1)
    return np.sqrt((blocks[1:] + blocks[:-1]) / 2).astype(np.float32)
