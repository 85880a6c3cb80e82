"""Audio-visual offset and confidence: does the mouth move with the sound, and how late is one of them?

Two small convolutional networks look at stretches of a quarter of a second: one at the mouth's landmarks, 25
a second, one at the log-mel spectrum, 100 a second. `benchmark.metrics.sync_training` trains them on real
clips so that what they make of the same moment agrees. The agreement of a whole clip at an offset is the
correlation over time of the two embeddings; over the offsets of up to 400 ms in steps of 10 ms it is a curve.
The offset is where the curve peaks, refined by a parabola; the confidence is how far the peak stands above
the curve's median. A mouth that does not move, and silence, agree with nothing: confidence 0, and the offset
counts as the largest there is, or a method could be in time by holding still.

The mouth is taken from landmarks, stabilised and without its mean over the clip, so that head motion, the
shape of a face and the emotion of its rest are no evidence, and a method that stops at landmarks is judged
too.

Source: SyncNet (Chung & Zisserman, ACCV-W 2016) for two streams, offset and confidence (peak minus median);
Chung, Chung & Kang, ICASSP 2019, for choosing among offsets instead of pairs. Theirs look at pixels and have
other embeddings, so numbers stand beside the true clips' under this judge, not beside published LSE-C and
LSE-D.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import scipy.fft
from numpy.lib.stride_tricks import sliding_window_view

from benchmark.metrics.convolution import Layer, embed, named_layers, seen_by, stored_layers
from benchmark.metrics.judge_file import JudgeError, load_judge, save_judge
from benchmark.metrics.landmarks import faces_found, stabilised
from benchmark.metrics.score import Score
from models.audio.framing import HOP, ROW_LENGTH, ROWS_PER_FRAME, SAMPLE_RATE
from models.audio.mfcc import NUM_FFT, NUM_FILTERS, mel_filters
from models.landmarks.alignment import fill_missing
from models.landmarks.topology import to_68

FORMAT = "evp-bench sync judge 1"
MOUTH = slice(48, 68)
MOUTH_VALUES = 40
ROW_MS = 1000 * HOP / SAMPLE_RATE
LIMIT = 40
"""Rows of 10 ms that an offset is searched up to, either way."""
LIMIT_MS = LIMIT * ROW_MS
FIRST_ROW = ROWS_PER_FRAME // 2
"""The row whose centre is the middle of video frame 0."""
RANGE = 1e-5
"""Filter energies below this share of the clip's loudest are taken for silence: 50 dB."""
STILL = 1e-3
"""Pixels: a mouth that moves less does not move."""
MOST_CONFIDENT = 2.0
"""A peak of 1 above a median of -1."""
FEWEST = 5
"""Embedded frames that a correlation needs at least."""


@dataclass(frozen=True)
class Agreement:
    """How well mouth and sound of one clip agree at every offset."""

    curve: np.ndarray
    """(2 LIMIT + 1,) correlations in [-1, 1] for offsets of -LIMIT to LIMIT rows; all 0 where the mouth or
    the sound is constant."""
    coverage: float
    """The share of frames with a face."""

    @property
    def confidence(self) -> float:
        """Peak minus median."""
        return float(self.curve.max() - np.median(self.curve))

    @property
    def offset_ms(self) -> float | None:
        """How late the sound is, in ms: negative where the mouth is late. None where nothing agrees."""
        if not self.curve.any():
            return None
        peak = int(self.curve.argmax())
        return float((peak - LIMIT + _vertex(self.curve, peak)) * ROW_MS)


def _vertex(curve: np.ndarray, peak: int) -> float:
    """Where the parabola through a peak and its neighbours is highest, in steps from the peak."""
    if not 0 < peak < len(curve) - 1:
        return 0.0
    before, at, after = curve[peak - 1 : peak + 2]
    bend = before - 2 * at + after
    return float((before - after) / (2 * bend)) if bend < 0 else 0.0


@dataclass(frozen=True)
class SyncJudge:
    """Two stacks of convolutions; `benchmark.metrics.sync_training.train_sync_judge` makes one."""

    mouth: tuple[Layer, ...]
    sound: tuple[Layer, ...]

    @property
    def frames_seen(self) -> int:
        """Video frames that one embedding of the mouth sees."""
        return seen_by(self.mouth)

    @property
    def fewest_frames(self) -> int:
        return self.frames_seen + FEWEST - 1

    def agreement(self, landmarks: np.ndarray, waveform: np.ndarray, *, clip: str = "unnamed") -> Agreement:
        """The agreement of a clip's mouth with its sound.

        Args:
            landmarks: (frames, 68 or 106, 2), pixels of any crop; NaN frames have no face. An embedding that
                would look at one is left out.
            waveform: (samples,) at 16 kHz. What it lacks at its end counts as silence.

        Raises:
            JudgeError: naming the clip: too few frames with a face in and around them.
            ValueError: naming the clip: landmarks of another shape; a waveform that is empty, not mono or not
                finite.
        """
        positions, found = mouth_motion(landmarks, clip=clip)
        if not self.sees_enough(found):
            raise JudgeError(
                f"clip {clip}: the sync judge needs a face in {self.fewest_frames} consecutive frames or "
                f"more, got {len(found)} frames of which {int(found.sum())} have a face"
            )
        spectrum = log_mel(waveform, clip=clip)
        coverage = float(found.mean())
        if np.ptp(positions, axis=0).max() < STILL or not spectrum.any():
            return Agreement(np.zeros(2 * LIMIT + 1), coverage)
        mouth = embed(positions, self.mouth)
        sound = embed(padded_sound(spectrum, len(positions), self.frames_seen, self.rows_seen), self.sound)
        return Agreement(correlations(mouth, sound, self._whole(found)), coverage)

    def sees_enough(self, found: np.ndarray) -> bool:
        """Whether (frames,) bool, where a face is, has enough stretches with faces only."""
        return bool(self._whole(found).sum() >= FEWEST)

    def _whole(self, found: np.ndarray) -> np.ndarray:
        """(embeddings,) bool: which of them see faces only."""
        if len(found) < self.frames_seen:
            return np.zeros(0, bool)
        return np.asarray(sliding_window_view(found, self.frames_seen).all(1))

    @property
    def rows_seen(self) -> int:
        """Rows that one embedding of the sound sees."""
        return seen_by(self.sound)

    def save(self, path: Path) -> None:
        """Write the arrays as safetensors, whole or not at all."""
        save_judge(path, named_layers("mouth", self.mouth) | named_layers("sound", self.sound), FORMAT, {})

    @classmethod
    def load(cls, path: Path) -> SyncJudge:
        """
        Raises:
            JudgeError: the file is missing or is not a judge of this version.
        """
        arrays, _ = load_judge(path, FORMAT, "sync judge")
        return cls(stored_layers("mouth", arrays), stored_layers("sound", arrays))


def mouth_motion(landmarks: np.ndarray, *, clip: str = "unnamed") -> tuple[np.ndarray, np.ndarray]:
    """What the judge sees of a face.

    Returns:
        (frames, 40) float64: the stabilised mouth minus its mean over the clip, in pixels of the 256 crop,
        frames without a face interpolated; and (frames,) bool, where a face is. Without any face, zeros.

    Raises:
        ValueError: naming the clip: landmarks of another shape, infinite, or known in part of a frame.
    """
    what = f"clip {clip}: landmarks"
    found = faces_found(landmarks, what)
    if not found.any():
        return np.zeros((len(found), MOUTH_VALUES)), found
    mouth = fill_missing(to_68(stabilised(landmarks, found, what))[:, MOUTH])
    return (mouth - mouth[found].mean(0)).reshape(len(mouth), MOUTH_VALUES), found


def log_mel(waveform: np.ndarray, *, clip: str = "unnamed") -> np.ndarray:
    """(rows, 26) float64 log filter energies minus their mean over the clip, a row for every 10 ms.

    Row r is centred on sample 160 r. All is relative to the clip's loudest filter energy, so that gain is no
    evidence, and cut off 50 dB below it. Silence gives zeros.

    Raises:
        ValueError: naming the clip: the waveform is not mono, is empty, or holds values that are not finite.
    """
    samples = np.asarray(waveform, np.float64)
    if samples.ndim != 1 or samples.size == 0 or not np.isfinite(samples).all():
        raise ValueError(f"clip {clip}: expected a finite mono waveform, got shape {samples.shape}")
    padded = np.pad(samples, (ROW_LENGTH // 2, ROW_LENGTH))
    rows = sliding_window_view(padded, ROW_LENGTH)[: samples.size + HOP : HOP]
    spectrum = np.abs(np.asarray(scipy.fft.rfft(rows * np.hanning(ROW_LENGTH), NUM_FFT))) ** 2
    energies = spectrum @ _filters()
    loudest = energies.max()
    if loudest == 0:
        return np.zeros((len(rows), NUM_FILTERS))
    logs = np.log(np.maximum(energies / loudest, RANGE))
    return logs - logs.mean(0)


@cache
def _filters() -> np.ndarray:
    return np.ascontiguousarray(mel_filters().T)


def padded_sound(spectrum: np.ndarray, frames: int, frames_seen: int, rows_seen: int) -> np.ndarray:
    """(rows, 26): what the sound's embeddings are made of, for a clip of so many frames.

    The first embedding goes with the mouth's first at an offset of -LIMIT rows. Outside of the recording all
    is as quiet as its quietest.
    """
    embedded = frames - frames_seen + 1
    first = FIRST_ROW + ROWS_PER_FRAME * (frames_seen // 2) - LIMIT - rows_seen // 2
    places = np.arange(first, first + ROWS_PER_FRAME * (embedded - 1) + 2 * LIMIT + rows_seen)
    inside = (places >= 0) & (places < len(spectrum))
    rows = np.repeat(spectrum.min(0)[None], len(places), 0)
    rows[inside] = spectrum[places[inside]]
    return rows


def correlations(mouth: np.ndarray, sound: np.ndarray, known: np.ndarray) -> np.ndarray:
    """(offsets,) correlations over time of embeddings of the mouth with those of the sound.

    Args:
        mouth: (frames, embedding), one every 40 ms.
        sound: (4 (frames - 1) + offsets, embedding), one every 10 ms: row 4 t + k is frame t's at offset k.
        known: (frames,) bool: the frames that count.
    """
    offsets = len(sound) - ROWS_PER_FRAME * (len(mouth) - 1)
    centred = mouth[known] - mouth[known].mean(0)
    starts = ROWS_PER_FRAME * np.flatnonzero(known)
    heard = sound[starts[:, None] + np.arange(offsets)]
    spread = ((heard - heard.mean(0)) ** 2).sum((0, 2))
    # Offsets at which little is heard must not win by a small norm, so all share the mean one.
    scale = np.sqrt((centred**2).sum() * spread.mean())
    if scale == 0:
        return np.zeros(offsets)
    return np.einsum("td,tkd->k", centred, heard) / scale


def shifted(waveform: np.ndarray, milliseconds: float) -> np.ndarray:
    """The waveform later by so much, or earlier; as long as before, silence where there was nothing."""
    moved = np.zeros_like(waveform)
    by = round(milliseconds * SAMPLE_RATE / 1000)
    kept = max(len(waveform) - abs(by), 0)
    moved[max(by, 0) : max(by, 0) + kept] = waveform[max(-by, 0) : max(-by, 0) + kept]
    return moved


def offset_score(agreement: Agreement | None) -> Score:
    """How far mouth and sound are apart, in ms, either way; the largest offset where nothing agrees.

    None, with its coverage of 0, for a clip that the judge cannot look at.
    """
    if agreement is None:
        return Score(None, coverage=0.0, least=0.0, most=LIMIT_MS)
    offset = agreement.offset_ms
    value = LIMIT_MS if offset is None else min(abs(offset), LIMIT_MS)
    if agreement.coverage == 1:
        return Score(value)
    return Score(value, agreement.coverage, least=0.0, most=LIMIT_MS)


def confidence_score(agreement: Agreement | None) -> Score:
    """By how much the best offset agrees better than the median one, as a difference of correlations.

    None, with its coverage of 0, for a clip that the judge cannot look at.
    """
    if agreement is None:
        return Score(None, coverage=0.0, least=0.0, most=MOST_CONFIDENT)
    if agreement.coverage == 1:
        return Score(agreement.confidence)
    return Score(agreement.confidence, agreement.coverage, least=0.0, most=MOST_CONFIDENT)
