"""Closing the mouth where nobody speaks: the released rule, and a milder one.

The network never saw long silence, and its mouth trembles there. Where speech pauses for long, the predicted
frames are blended with the one frame whose inner lips are closest: over four frames into and out of the
pause, and almost fully within.

`released` is the rule of the EVP release. Its detector sums samples with their signs, so a loud tone without
an offset counts as silent; it blends all points, so brows and eyes freeze too; and it draws at random how
fully. `recommended` detects by energy, moves mouth and contour only, and draws nothing. Where the release
would write beyond the first or last frame (and fails, or wraps around), the ramp is cut off here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from models.audio.framing import SAMPLES_PER_FRAME
from models.landmarks.topology import layout_of

SUM_THRESHOLD = 0.1
"""Released: of the absolute sum of a frame's 640 samples, which is that of their mean, not of their power."""
SHORTEST_PAUSE = 20
"""Frames; a shorter pause counts as speech."""
RAMP = np.array([0.8, 0.6, 0.4, 0.2])
"""Shares of the last speaking frame over the first frames of a pause, and in reverse over its last."""
QUIET = 0.05
"""Share of the utterance's loud frames' amplitude (their 95th percentile) below which a frame is silent."""
CLOSING = 0.95
"""Share of the closed mouth within a pause; the release draws it from 0.9 to 1 for each frame."""


def voiced_by_sum(waveform: np.ndarray) -> np.ndarray:
    """(samples,) -> (whole frames,) bool: the released detector."""
    blocks = _blocks(waveform)
    return _without_specks(np.abs(blocks.sum(1)) > SUM_THRESHOLD)


def voiced_by_energy(waveform: np.ndarray) -> np.ndarray:
    """(samples,) -> (whole frames,) bool: root mean square amplitude against that of the loud frames."""
    amplitude = np.sqrt(np.square(_blocks(waveform)).mean(1))
    if not len(amplitude):
        return np.zeros(0, bool)
    return _without_specks(amplitude > QUIET * np.quantile(amplitude, 0.95))


def released(landmarks: np.ndarray, waveform: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Landmarks (frames, points, 2) with all points blended towards the closed mouth in pauses."""
    closed = landmarks[closed_frame(landmarks)]
    marks = pause_marks(voiced_by_sum(waveform), len(landmarks))
    share = np.where(marks == 0, rng.uniform(0.9, 1.0, len(marks)), 1 - marks)
    return _blended(landmarks, closed, marks, share)


def recommended(landmarks: np.ndarray, waveform: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Landmarks (frames, points, 2) with mouth and contour blended towards the closed mouth in pauses."""
    layout = layout_of(landmarks)
    moved = np.concatenate([layout.region("mouth"), layout.region("contour")])
    points = landmarks[:, moved]
    marks = pause_marks(voiced_by_energy(waveform), len(landmarks))
    share = np.where(marks == 0, CLOSING, 1 - marks)
    out = landmarks.copy()
    out[:, moved] = _blended(points, points[closed_frame(landmarks)], marks, share)
    return out


def untouched(landmarks: np.ndarray, waveform: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    return landmarks


RULES: Mapping[str, Callable[[np.ndarray, np.ndarray, np.random.Generator], np.ndarray]] = {
    "none": untouched,
    "released": released,
    "recommended": recommended,
}
"""What a configuration can name. Each takes landmarks, what is said, and a generator."""


def closed_frame(landmarks: np.ndarray) -> int:
    """The first frame in which the lower inner lip is least below the upper."""
    upper, lower = layout_of(landmarks).inner_lips
    return int(np.argmin(landmarks[:, lower, 1] - landmarks[:, upper, 1]))


def pause_marks(voiced: np.ndarray, frames: int) -> np.ndarray:
    """(frames,) 1 where a frame is left alone, 0 deep in a pause, and in between on the ramps.

    On a ramp, the mark is the share of the neighbouring speaking frame. Frames beyond the last whole block of
    samples are taken to be as that one.
    """
    marks = np.ones(frames)
    known = voiced[:frames].astype(float)
    marks[: len(known)] = known
    if len(known):
        marks[len(known) :] = known[-1]
    for k in range(1, frames):
        if marks[k] != 0:
            continue
        if marks[k - 1] == 1:
            length = min(len(RAMP), frames - k)
            marks[k : k + length] = RAMP[:length]
        elif k + 1 < frames and marks[k + 1] == 1:
            length = min(len(RAMP), k + 1)
            marks[k - length + 1 : k + 1] = RAMP[:length][::-1]
    return marks


def _blended(points: np.ndarray, closed: np.ndarray, marks: np.ndarray, share: np.ndarray) -> np.ndarray:
    """Each frame, or on a ramp the speaking frame at its foot, with its share of the closed mouth."""
    base = np.arange(len(points))
    for k in range(1, len(points)):
        if marks[k] == RAMP[0] and marks[k - 1] == 1:
            base[k : k + len(RAMP)] = k - 1
        if marks[k] == 1 and marks[k - 1] == RAMP[0]:
            base[max(k - len(RAMP), 0) : k] = k
    weight = share[:, None, None]
    return ((1 - weight) * points[base] + weight * closed).astype(points.dtype)


def _blocks(waveform: np.ndarray) -> np.ndarray:
    count = len(waveform) // SAMPLES_PER_FRAME
    return waveform[: count * SAMPLES_PER_FRAME].reshape(count, SAMPLES_PER_FRAME).astype(np.float64)


def _without_specks(voiced: np.ndarray) -> np.ndarray:
    """From left to right: short pauses become speech, and single frames of speech within a pause silence."""
    out = voiced.copy()
    for k in range(len(out)):
        if out[k]:
            if 0 < k < len(out) - 1 and not out[k - 1] and not out[k + 1]:
                out[k] = False
        elif k == 0 or out[k - 1]:
            speech = np.flatnonzero(out[k:])
            length = speech[0] if len(speech) else len(out) - k
            if length < SHORTEST_PAUSE:
                out[k : k + length] = True
    return out
