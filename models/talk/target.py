"""The target video: its frames, its face, the crop that the renderer works in, and the way back."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np

from models.errors import InputError
from models.landmarks.alignment import apply, fill_missing, invert
from models.preprocess.decoder import shared_decoder
from models.preprocess.faces import FaceDetector
from models.preprocess.people import DEFAULT_FACE
from models.preprocess.pipeline import crop, find_face, portrait_similarity, portrait_template
from models.rendering.edges import face_mask
from models.types import CROP_SIZE, Portrait, ping_pong

EYE_DISTANCE, EYE_HEIGHT = 72.0, 92.0
"""In the 256 crop of a face that is put back into its frame: chin, open mouth and forehead just fit."""
FEATHER = 0.04
"""Of the crop's side: how softly the made face goes over into the target's frame."""


@dataclass(frozen=True)
class Target:
    """A video of a person.

    `pictures` (frames, h, w, 3) uint8 at 25 fps; `landmarks` (frames, 68, 2) in the 256 crop, NaN where no
    face was found; `matrix` (2, 3) takes a picture's pixels there.
    """

    pictures: np.ndarray
    landmarks: np.ndarray
    matrix: np.ndarray
    notes: tuple[str, ...] = ()
    """What is odd about the video, and which of several people in it this is, in words."""

    @staticmethod
    def read(
        path: Path,
        detector: FaceDetector,
        limit: int,
        progress: Callable[[int, int], None],
        *,
        close: bool,
        face: str | int = DEFAULT_FACE,
    ) -> Target:
        """The first `limit` frames of a video.

        Args:
            close: crop to the face alone, which gets more pixels, and not to the portrait of the corpora.
            face: whose face where there are several: see `models.preprocess.people.check_face`.

        Raises:
            InputError: it cannot be read, or shows no face.
        """
        video, pictures = shared_decoder().video(path)
        pictures = pictures[:limit]
        faces = find_face(detector, pictures, path, face, progress)
        landmarks = faces.landmarks
        if not np.isfinite(landmarks).all((1, 2)).any():
            raise InputError(
                f"{path}: no face found in any of its {len(pictures)} frames: expected a video of one person "
                "who looks roughly into the camera"
            )
        template = portrait_template(EYE_DISTANCE, EYE_HEIGHT) if close else portrait_template()
        matrix = portrait_similarity(landmarks, template)
        notes = (*video.notes, *([f"{faces.note} (--face)"] if faces.note else []))
        return Target(pictures, apply(matrix, landmarks), matrix, notes)

    def first(self, count: int) -> Target:
        return replace(self, pictures=self.pictures[:count], landmarks=self.landmarks[:count])

    def portrait(self, size: int) -> Portrait:
        return Portrait("target", self.landmarks, crop(self.pictures, self.matrix, size))

    def with_face(self, made: np.ndarray, landmarks: np.ndarray) -> Iterator[np.ndarray]:
        """The target's own frames, extended by time reversal, with the made face in place of theirs.

        Args:
            made: (time, size, size, 3) uint8 frames of the crop.
            landmarks: (time, 68, 2) that they were made from.
        """
        size = made.shape[1]
        own = fill_missing(self.landmarks)
        back = invert(self.matrix)
        for k, source in enumerate(ping_pong(len(self.pictures), len(made))):
            covered = np.maximum(face_mask(landmarks[k], size), face_mask(own[source], size))
            yield _paste(self.pictures[source], made[k], _feathered(covered), back)


def _feathered(mask: np.ndarray) -> np.ndarray:
    """A mask's (size, size) uint8 weights in [0, 1], falling softly and to 0 at the crop's border."""
    size = len(mask)
    inside = np.pad(mask[1:-1, 1:-1], 1)
    distance = cv2.distanceTransform(inside, cv2.DIST_L2, 3)
    weight = np.clip(distance / (FEATHER * size), 0, 1)
    return (weight * weight * (3 - 2 * weight)).astype(np.float32)


def _paste(picture: np.ndarray, face: np.ndarray, weight: np.ndarray, back: np.ndarray) -> np.ndarray:
    """The picture with the crop `face` (size, size, 3) laid over it under `back`, from crop to picture."""
    size = len(face)
    matrix = back.copy()
    matrix[:, :2] *= CROP_SIZE / size
    height, width = picture.shape[:2]
    corners = apply(back, np.array([[0.0, 0], [CROP_SIZE, 0], [0, CROP_SIZE], [CROP_SIZE, CROP_SIZE]]))
    left, top = np.maximum(np.floor(corners.min(0)).astype(int), 0)
    right, bottom = np.minimum(np.ceil(corners.max(0)).astype(int), (width, height))
    result = np.array(picture)
    if right <= left or bottom <= top:
        return result
    # OpenCV counts from the centre of the first pixel, our coordinates from its corner.
    matrix[:, 2] += matrix[:, :2] @ (0.5, 0.5) - 0.5 - np.array([left, top])
    area = (int(right - left), int(bottom - top))
    drawn = cv2.warpAffine(face, matrix, area, flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)
    alpha = cv2.warpAffine(weight, matrix, area, flags=cv2.INTER_LINEAR)[..., None]
    under = result[top:bottom, left:right]
    under[:] = np.round(under + alpha * (drawn.astype(np.float32) - under)).astype(np.uint8)
    return result
