"""Landmark detectors behind one interface, and landmarks that come with the corpus."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np

from models.errors import InputError
from models.preprocess.landmark_files import LANDMARK_SUFFIXES, POINTS, read_landmarks
from models.preprocess.people import DEFAULT_FACE, Person, choose, counted, unmistaken
from models.targets import configurable


@dataclass(frozen=True)
class Faces:
    """What a detector says of a video: the face that it followed, and who else is in the picture."""

    landmarks: np.ndarray
    """(frames, 68, 2) float32, pixels of the frame, (0, 0) the outer corner of the first pixel; NaN where the
    face isn't seen."""
    people: int
    """Faces that belong to somebody, 0 where none is seen."""
    note: str = ""
    """Which of several people is followed, in words; empty for one person."""


def no_progress(done: int, total: int) -> None:
    """Report nothing."""


OTHER_SUFFIXES = (".npz", ".pts", ".json", ".pkl", ".mat", ".pt")
"""Of files that may hold landmarks, but aren't read."""


@configurable
class FaceDetector(Protocol):
    """Finds the 68 landmarks of one person's face."""

    name: str

    def identity(self) -> str:
        """Return what landmarks depend on besides frames and `files`: model digests, versions, settings."""
        ...

    def files(self, media: Path) -> tuple[Path, ...]:
        """Return the files that come with a recording and are read beside it; none for most detectors."""
        return ()

    def find(
        self,
        frames: np.ndarray,
        media: Path | None = None,
        *,
        face: str | int = DEFAULT_FACE,
        near: np.ndarray | None = None,
        progress: Callable[[int, int], None] = no_progress,
    ) -> Faces:
        """Follow one person through a video.

        Args:
            frames: (frames, height, width, 3) uint8 RGB.
            media: the file that the frames are of, for detectors that look beside it.
            face: whose face where there are several: see `models.preprocess.people.check_face`.
            near: (time, 68, 2) where the same person is in another video of the scene, in pixels of this one;
                it comes before `face`.
            progress: is told the number of frames done and of all.

        Raises:
            InputError: a number in `face` beyond the people that there are.
        """
        ...


def faces_of(
    people: Sequence[Person], frames: np.ndarray, face: str | int, near: np.ndarray | None
) -> tuple[Person | None, Faces]:
    """The person among `people` whose face is asked for, and that face's track with a note on the others.

    Frames in which the face cannot be told from another person's are missing.
    """
    if not people:
        return None, Faces(np.full((len(frames), POINTS, 2), np.nan, np.float32), 0)
    chosen, reason = choose(people, face, len(frames), near)
    person, others = people[chosen], [other for other in people if other is not people[chosen]]
    landmarks = person.landmarks(len(frames))
    if not others:
        return person, Faces(landmarks, 1)
    landmarks[~unmistaken(person, others, frames)] = np.nan
    return person, Faces(landmarks, len(people), f"{counted(len(people))} seen; followed is {reason}")


class Given(FaceDetector):
    """Landmarks that came with the recordings: `<stem>.npy`, `.csv` or `.txt` beside the media file.

    One row for each frame at 25 fps, in pixels of the video's frame; a row of NaN is a frame without a face:
    see `models.preprocess.landmark_files`.
    """

    name = "given"

    def __init__(self, *, models: None = None) -> None:
        """Accept the key `models` of the other detectors, so that `_target_` alone chooses this one."""

    def identity(self) -> str:
        return "given"

    def files(self, media: Path) -> tuple[Path, ...]:
        """Return the landmark file of a recording; empty where it is missing, which `file` refuses.

        An array comes before a table, and a `.csv` before a `.txt`, which may be a transcript.
        """
        names = (suffix for both in LANDMARK_SUFFIXES for suffix in (both, both.upper()))
        return tuple(path for path in (media.with_suffix(suffix) for suffix in names) if path.is_file())[:1]

    def file(self, media: Path) -> Path:
        """Return the landmark file of a recording.

        Raises:
            InputError: there is none.
        """
        for path in self.files(media):
            return path
        names = ", ".join(media.with_suffix(suffix).name for suffix in LANDMARK_SUFFIXES)
        other = [
            media.with_suffix(suffix).name for suffix in OTHER_SUFFIXES if media.with_suffix(suffix).is_file()
        ]
        hint = f" ({', '.join(other)} is no landmark file that is read)" if other else ""
        raise InputError(f"{media}: no landmarks beside it: expected {names}{hint}; or set another detector")

    def find(
        self,
        frames: np.ndarray,
        media: Path | None = None,
        *,
        face: str | int = DEFAULT_FACE,
        near: np.ndarray | None = None,
        progress: Callable[[int, int], None] = no_progress,
    ) -> Faces:
        if media is None:
            raise ValueError("given landmarks are found by the name of the recording: pass `media`")
        if face != DEFAULT_FACE:
            raise InputError(f"{self.file(media)}: given landmarks are of one face: leave face={face} out")
        landmarks = read_landmarks(self.file(media), len(frames))
        progress(len(frames), len(frames))
        return Faces(landmarks, int(np.isfinite(landmarks).all((1, 2)).any()))
