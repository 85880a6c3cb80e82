"""From a recording to a clip's arrays: decode, find the landmarks, cut out the face.

The cut-out is one similarity per clip, so the head's own motion stays. It places the clip's median eyes and
nose tip on EVP's template, shrunk: that template fills the crop with the face from brow to
chin, and a portrait shows hair and shoulders too.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

import cv2
import numpy as np

from models.audio.framing import SAMPLE_RATE, SAMPLES_PER_FRAME
from models.errors import InputError
from models.landmarks.alignment import TEMPLATE, apply, similarity
from models.landmarks.topology import IBUG68
from models.preprocess.decoder import shared_decoder
from models.preprocess.faces import FaceDetector, Faces, no_progress
from models.preprocess.media import DECODING
from models.preprocess.people import DEFAULT_FACE, check_face
from models.types import CROP_SIZE

EYE_DISTANCE = 56.0
"""Between the eyes' centres, in the 256 crop; the template's 84 leave no room for hair and shoulders."""
EYE_HEIGHT = 108.0
"""Of the eyes in the crop. They are the middle of a head; hair needs less room than the neck."""
MAX_DIFFERENCE = 0.5
"""Seconds by which sound and video of one recording may differ; cameras stop them at different packets."""


NOTES = "notes"
"""Array of a clip with what a reader must know of its recording, such as who of several is followed."""


def portrait_template(distance: float = EYE_DISTANCE, height: float = EYE_HEIGHT) -> np.ndarray:
    """(3, 2) eye a, eye b and nose tip in the 256 crop."""
    eyes = TEMPLATE[:2].mean(0)
    scale = distance / float(np.hypot(*(TEMPLATE[1] - TEMPLATE[0])))
    return (TEMPLATE - eyes) * scale + (CROP_SIZE / 2, height)


class Preprocess:
    """Makes a clip's arrays from its files.

    Args:
        detector: finds the landmarks.
        size: side of the frames in pixels; landmarks are in the 256 crop whatever it is.
        face: whose face where there are several: see `models.preprocess.people.check_face`.

    Raises:
        InputError: `face` is no such rule.
    """

    def __init__(self, *, detector: FaceDetector, size: int = 256, face: str | int = DEFAULT_FACE) -> None:
        if not 16 <= size <= 1024:
            raise ValueError(f"frame size must be from 16 to 1024 pixels, got {size}")
        self.detector = detector
        self.size = size
        self.face = check_face(face)

    def identity(self) -> str:
        where = f"{EYE_DISTANCE} {EYE_HEIGHT}"
        whose = "" if self.face == DEFAULT_FACE else f" face={self.face}"
        return f"portrait {self.size} {where}{whose} | {self.detector.identity()} | {DECODING}"

    def video(
        self,
        media: Path,
        *,
        sound: Path | None = None,
        sound_start: float | None = None,
        scratch: Path | None = None,
    ) -> Mapping[str, np.ndarray]:
        """Return waveform, landmarks and frames of a video with sound, and the notes on it.

        Args:
            sound: where the sound is, if not in the video.
            sound_start: when that begins, in seconds after the first picture; negative before it. Where it is
                stated, the sound may go on after the video; else it begins and ends with it.
            scratch: folder for the decoded video, which is as large as it is uncompressed.

        Raises:
            InputError: the file cannot be used, or shows no face.
        """
        decoder = shared_decoder()
        track = decoder.sound(sound or media)
        video, pictures = decoder.video(media, scratch)
        if sound is None:
            waveform = fit_sound(track.waveform, track.start - video.start, len(pictures), media)
        else:
            waveform = fit_separate(track.waveform, sound_start, len(pictures), media)
        faces = find_face(self.detector, pictures, media, self.face)
        landmarks = faces.landmarks
        if not np.isfinite(landmarks).all((1, 2)).any():
            raise InputError(f"{media}: no face found in any of its {len(pictures)} frames")
        matrix = portrait_similarity(landmarks)
        notes = [*video.notes, *track.notes, *([faces.note] if faces.note else [])]
        return {
            "waveform": waveform,
            "landmarks": apply(matrix, landmarks.astype(np.float32)),
            "frames": crop(pictures, matrix, self.size),
            NOTES: notes_array(notes),
        }


def notes_array(notes: Iterable[str]) -> np.ndarray:
    """Return notes as the array `NOTES` of a clip: (1,) with one line a note, each once."""
    return np.array(["\n".join(dict.fromkeys(notes))])


def find_face(
    detector: FaceDetector,
    pictures: np.ndarray,
    media: Path,
    face: str | int,
    progress: Callable[[int, int], None] = no_progress,
    near: np.ndarray | None = None,
) -> Faces:
    """Follow one person by a detector: see `FaceDetector.find`.

    Raises:
        InputError: naming the file, if it does not show as many people as `face` counts.
    """
    try:
        return detector.find(pictures, media, face=face, near=near, progress=progress)
    except InputError as error:
        raise InputError(f"{media}: {error}") from error


def fit_sound(waveform: np.ndarray, start: float, frames: int, media: Path) -> np.ndarray:
    """The sound moved to start with the video and made exactly as long, with zeros where there is none.

    Raises:
        InputError: they differ by more than cameras explain.
    """
    offset, moved = round(start * SAMPLE_RATE), begun(waveform, start)
    length = frames * SAMPLES_PER_FRAME
    if max(abs(offset), abs(len(moved) - length)) > MAX_DIFFERENCE * SAMPLE_RATE:
        raise InputError(
            f"{media}: sound from {start:.2f} s to {len(moved) / SAMPLE_RATE:.2f} s, video from 0 to "
            f"{length / SAMPLE_RATE:.2f} s: they do not belong together"
        )
    return np.pad(moved, (0, max(0, length - len(moved))))[:length]


def fit_separate(waveform: np.ndarray, start: float | None, frames: int, media: Path) -> np.ndarray:
    """The sound of another recorder made exactly as long as the video.

    Args:
        start: when it begins, in seconds after the first picture. Where it is stated, what follows the video
            is cut: recorders are not stopped with the camera. None: it begins and ends with the video.

    Raises:
        InputError: it ends earlier than cameras explain, or without a stated start later.
    """
    moved = begun(waveform, start or 0.0)
    if start is not None:
        moved = moved[: frames * SAMPLES_PER_FRAME]
    return fit_sound(moved, 0.0, frames, media)


def begun(waveform: np.ndarray, start: float) -> np.ndarray:
    """Return a sound that begins `start` seconds after the video as one that begins with it.

    Zeros precede it where it begins later; what comes before the video is cut.
    """
    offset = round(start * SAMPLE_RATE)
    return np.concatenate([np.zeros(max(0, offset), np.float32), waveform[max(0, -offset) :]])


def whole_frames(waveform: np.ndarray) -> np.ndarray:
    """The sound with zeros appended up to a whole number of video frames."""
    return np.pad(waveform, (0, -len(waveform) % SAMPLES_PER_FRAME))


def portrait_similarity(landmarks: np.ndarray, template: np.ndarray | None = None) -> np.ndarray:
    """(2, 3): the similarity that puts a clip's median face onto a template, by default the portrait's."""
    template = portrait_template() if template is None else template
    return similarity(IBUG68.stable @ np.nanmedian(landmarks, 0), template)


def crop(pictures: np.ndarray, matrix: np.ndarray, size: int) -> np.ndarray:
    """Frames (n, size, size, 3) uint8 under a similarity into the 256 crop.

    Beyond the border of a picture its edge is repeated: black would be an edge that the camera never saw.
    """
    matrix = matrix * (size / CROP_SIZE)
    # Bilinear sampling aliases below half size, so whole pixel blocks are averaged first.
    shrink = max(1, int(1 / np.hypot(matrix[0, 0], matrix[1, 0])))
    centred = matrix.copy()
    centred[:, :2] *= shrink
    centred[:, 2] += centred[:, :2] @ (0.5, 0.5) - 0.5
    frames = np.empty((len(pictures), size, size, 3), np.uint8)
    for index, picture in enumerate(pictures):
        frames[index] = cv2.warpAffine(
            _shrunk(picture, shrink),
            centred,
            (size, size),
            flags=cv2.INTER_LINEAR,
            borderMode=cv2.BORDER_REPLICATE,
        )
    return frames


def _shrunk(picture: np.ndarray, factor: int) -> np.ndarray:
    if factor == 1:
        return picture
    height, width = (-(-side // factor) * factor for side in picture.shape[:2])
    padded = np.pad(picture, ((0, height - picture.shape[0]), (0, width - picture.shape[1]), (0, 0)), "edge")
    return cv2.resize(padded, (width // factor, height // factor), interpolation=cv2.INTER_AREA)
