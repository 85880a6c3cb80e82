"""The shared vocabulary: what a clip, a request and a prediction are, in which units and spaces.

Spaces are fixed here, once:

* time is video frames at 25 fps or audio samples at 16 kHz (`models.audio.framing`);
* landmarks are float32 pixels of a clip's crop, whose side is 256 by definition whatever the size of
  the frames: x right, y down, (0, 0) the outer corner of the first pixel. A point at x is at
  x * width / 256 in a frame of that width;
* frames are uint8 RGB where they are stored or exchanged, and float RGB in [0, 1] inside networks.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from models.sealed import read_sealed

CROP_SIZE = 256
"""Side of the landmark coordinate system, in its own pixels."""

MEAD_EMOTIONS = ("angry", "contempt", "disgusted", "fear", "happy", "neutral", "sad", "surprised")
"""MEAD's eight labels in the order of the 2022 EVP release. Index 0 is the DTW time reference there."""


@dataclass(frozen=True)
class Clip:
    """One recorded or generated utterance: what it is, and where its prepared arrays lie.

    A prepared clip is a folder with one `.npy` per modality, read lazily (frames memory-mapped):

    ========================  =======================  ==================================================
    file                      shape, type              meaning
    ========================  =======================  ==================================================
    waveform.npy              (samples,) float32       16 kHz mono in [-1, 1]
    landmarks.npy             (frames, 68, 2) float32  pixels of the 256 crop; NaN where no face was found
    frames.npy                (frames, H, W, 3) uint8  RGB of the same crop
    <factor>.npy              any                      a generated corpus's known factors (see its module)
    ========================  =======================  ==================================================
    """

    id: str
    speaker: str
    sentence: str
    emotion: str | None
    intensity: int
    directory: Path
    text: str = ""
    filmed: bool = False
    """Whether this study uses the clip's frames. The cache may hold frames that another study asked for;
    what a stage sees must not depend on that."""

    def has(self, modality: str) -> bool:
        if modality == "frames":
            return self.filmed
        return (self.directory / f"{modality}.npy").is_file()

    def load(self, modality: str) -> np.ndarray:
        """Return the named array, memory-mapped read-only; its digest is checked, see `models.sealed`.

        Raises:
            DamagedFile: it is missing or not what was written.
        """
        return read_sealed(self.directory / f"{modality}.npy")

    def labels(self) -> dict[str, Any]:
        """Return every label by name, in the order of `LABELS`."""
        return {name: getattr(self, name) for name in LABELS}

    @cached_property
    def waveform(self) -> np.ndarray:
        return np.array(self.load("waveform"))

    @cached_property
    def landmarks(self) -> np.ndarray:
        return np.array(self.load("landmarks"))

    @property
    def frames(self) -> np.ndarray:
        return self.load("frames")

    @property
    def num_frames(self) -> int:
        return int(self.load("landmarks").shape[0])


LABELS = tuple(f.name for f in fields(Clip) if f.name not in ("id", "directory", "filmed"))
"""Names of a clip's labels: what a corpus says of a recording besides its sound and pictures."""


@dataclass(frozen=True)
class Transcribed:
    """Speech with its words, for training a speech recogniser."""

    waveform: np.ndarray
    """(samples,) float32, 16 kHz mono in [-1, 1]."""
    text: str


@dataclass(frozen=True)
class Portrait:
    """The target video: whose face speaks, under which head motion, before which background."""

    speaker: str
    landmarks: np.ndarray
    """(frames, 68, 2) float32, pixels of the 256 crop."""
    frames: np.ndarray | None
    """(frames, H, W, 3) uint8, or None where the corpus has no video."""


@dataclass(frozen=True)
class Request:
    """What is asked of a method: make this portrait say this speech with this emotion."""

    waveform: np.ndarray
    """(samples,) float32, 16 kHz: what is said."""
    num_frames: int
    """How many frames to return; the target video is extended by time reversal where it is shorter."""
    emotion: str | None
    intensity: int
    emotion_waveform: np.ndarray | None
    """(samples,) float32: an utterance spoken with the wanted emotion; None on a corpus without emotions."""
    target: Portrait
    recording: str = ""
    """Id of the clip that `waveform` is from, for features computed elsewhere; "" for new speech."""
    truth: Prediction | None = None
    """The answer. Filled for methods that declare `sees_truth` (ceilings) and for no other."""


@dataclass(frozen=True)
class Prediction:
    landmarks: np.ndarray
    """(frames, 68, 2) float32, pixels of the target's 256 crop, under the target's head pose."""
    frames: np.ndarray | None = None
    """(frames, H, W, 3) uint8 RGB of the target's size; None for a method that stops at landmarks."""


def ping_pong(length: int, count: int) -> np.ndarray:
    """Indices that play a sequence of `length` forwards, backwards, forwards... for `count` steps.

    The turning frames are shown twice, as the EVP release extends a target video: 0..n-1, n-1..0, ...
    """
    if length < 1:
        raise ValueError("cannot extend an empty sequence")
    cycle = np.concatenate([np.arange(length), np.arange(length)[::-1]])
    return cycle[np.arange(count) % (2 * length)]
