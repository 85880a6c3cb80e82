"""Landmark detectors behind one interface, and landmarks that come with the corpus."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

import numpy as np

from models.errors import InputError
from models.landmarks.topology import IBUG68

POINTS = IBUG68.num_points


class FaceDetector(Protocol):
    """Finds the 68 landmarks of the largest face."""

    name: str

    def identity(self) -> str:
        """What the landmarks depend on besides the frames: model files, version, settings."""
        ...

    def __call__(self, frames: np.ndarray, media: Path | None = None) -> np.ndarray:
        """(frames, height, width, 3) uint8 RGB -> (frames, 68, 2) float32, pixels of the frame.

        (0, 0) is the outer corner of the first pixel. Frames without a face are NaN. `media` is the file
        that the frames are of, for detectors that look beside it.
        """
        ...


class Given:
    """Landmarks that came with the recordings: `<stem>.npy`, `.csv` or `.txt` beside the media file.

    One row for each frame at 25 fps, in pixels of the video's frame: an array (frames, 68, 2), or 136
    numbers a row, x before y, parted by commas or blanks. A row of NaN is a frame without a face.
    """

    name = "given"
    SUFFIXES = (".npy", ".csv", ".txt")

    def identity(self) -> str:
        return "given"

    def file(self, media: Path) -> Path:
        """The landmark file of a recording.

        Raises:
            InputError: there is none.
        """
        for suffix in self.SUFFIXES:
            if media.with_suffix(suffix).is_file():
                return media.with_suffix(suffix)
        names = ", ".join(media.with_suffix(suffix).name for suffix in self.SUFFIXES)
        raise InputError(f"{media}: no landmarks beside it: expected {names}; or set another detector")

    def __call__(self, frames: np.ndarray, media: Path | None = None) -> np.ndarray:
        if media is None:
            raise ValueError("given landmarks are found by the name of the recording: pass `media`")
        return read_landmarks(self.file(media), len(frames))


def read_landmarks(path: Path, frames: int) -> np.ndarray:
    """Landmarks of a `.npy`, `.csv` or `.txt` file, as `Given` describes them: (frames, 68, 2) float32.

    Raises:
        InputError: the file cannot be read, or is of another shape.
    """
    try:
        if path.suffix == ".npy":
            rows = np.load(path, allow_pickle=False)
        else:
            rows = np.loadtxt(path, delimiter="," if path.suffix == ".csv" else None, ndmin=2)
        rows = np.asarray(rows, np.float32)
    except (ValueError, EOFError) as error:
        raise InputError(f"{path}: cannot be read as landmarks: {error}") from error
    if rows.ndim == 2 and rows.shape[1] == 2 * POINTS:
        rows = rows.reshape(-1, POINTS, 2)
    if rows.shape != (frames, POINTS, 2):
        raise InputError(
            f"{path}: landmarks of shape {rows.shape}; expected {(frames, POINTS, 2)}, one row for "
            "each frame at 25 fps"
        )
    return rows
