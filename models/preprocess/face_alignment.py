"""Landmarks by face-alignment (Bulat & Tzimiropoulos 2017): S3FD finds the face, 2DFAN4 its 68 points.

The package downloads its weights when it is first used, unasked and unchecked. Here it is only used where
the weights are at hand.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
from collections.abc import Callable
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch

from models.errors import InputError
from models.heartbeat import beat
from models.preprocess.faces import FaceDetector, Faces, faces_of, no_progress
from models.preprocess.people import DEFAULT_FACE, Piece, continued, gather
from models.weights import own_file, published_tensors

VERSION = 2
WEIGHTS = ("2DFAN4-11f355bf06.pth.tar", "s3fd-619a316812.pth")
"""Files in torch hub's `checkpoints` folder; their names carry the beginning of their SHA-256."""
DIGESTS = (
    "11f355bf0693120222f5955ce3f9dc8fb5763ebb30a47d7906e509490d32e4aa",
    "619a31681264d3f7f7fc7a16a42cbbe8b23f31a256f75a366e5a1bcd59b33543",
)
"""SHA-256 of these files, as projects quote them that check them; the beginnings are those of the names."""


class FaceAlignment(FaceDetector):
    """Landmarks by face-alignment on the CPU.

    Raises:
        InputError: on first use, where a weight file is missing.
    """

    name = "face_alignment"

    def __init__(self, *, models: None = None) -> None:
        """Accept the key `models` of FaceMesh, so that `_target_` alone chooses this detector."""

    def identity(self) -> str:
        self._require_weights()
        versions = f"{importlib.metadata.version('face-alignment')} torch {torch.__version__}"
        return f"face_alignment v{VERSION} {versions} {self._weights_digest}"

    def find(
        self,
        frames: np.ndarray,
        media: Path | None = None,
        *,
        face: str | int = DEFAULT_FACE,
        near: np.ndarray | None = None,
        progress: Callable[[int, int], None] = no_progress,
    ) -> Faces:
        followed: list[Piece] = []
        pieces: list[Piece] = []
        for index, frame in enumerate(frames):
            beat()
            seen = self._network.get_landmarks_from_image(np.ascontiguousarray(frame)) or []
            # Its coordinates count pixel centres from 0; ours start at the pixel's outer corner.
            followed = continued(followed, [points[:, :2].astype(np.float32) + 0.5 for points in seen], index)
            pieces += [piece for piece in followed if piece.start == index]
            progress(index + 1, len(frames))
        _, faces = faces_of(gather(pieces, frames), frames, face, near)
        return faces

    @cached_property
    def _network(self) -> Any:
        self._require_weights()
        import face_alignment

        _, detector = (
            published_tensors(_weights_folder() / name, digest)
            for name, digest in zip(WEIGHTS, DIGESTS, strict=True)
        )
        # Without a path of its own, the face detector's file would be unpickled whatever it holds.
        given = {"path_to_detector": own_file(detector)}
        kind = face_alignment.LandmarksType.TWO_D
        return face_alignment.FaceAlignment(
            kind, device="cpu", flip_input=False, compile=False, face_detector_kwargs=given
        )

    @cached_property
    def _weights_digest(self) -> str:
        digest = hashlib.sha256()
        for name in WEIGHTS:
            with (_weights_folder() / name).open("rb") as file:
                digest.update(hashlib.file_digest(file, "sha256").digest())
        return digest.hexdigest()

    def _require_weights(self) -> None:
        folder = _weights_folder()
        missing = [name for name in WEIGHTS if not (folder / name).is_file()]
        if missing:
            raise InputError(
                f"face_alignment needs {' and '.join(missing)} in {folder}: put them there, or use "
                "the detector FaceMesh"
            )


def _weights_folder() -> Path:
    return Path(torch.hub.get_dir()) / "checkpoints"
