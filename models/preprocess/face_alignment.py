"""Landmarks by face-alignment (Bulat & Tzimiropoulos 2017): S3FD finds the face, 2DFAN4 its 68 points.

The package downloads its weights when it is first used, unasked and unchecked. Here it is only used where
the weights are at hand.
"""

from __future__ import annotations

import importlib.metadata
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch

from models.errors import InputError

WEIGHTS = ("2DFAN4-11f355bf06.pth.tar", "s3fd-619a316812.pth")
"""Files in torch hub's `checkpoints` folder; their names carry the beginning of their SHA-256."""


class FaceAlignment:
    """Landmarks by face-alignment on the CPU.

    Raises:
        InputError: on first use, where a weight file is missing.
    """

    name = "face_alignment"

    def identity(self) -> str:
        self._require_weights()
        return f"face_alignment {importlib.metadata.version('face-alignment')} {' '.join(WEIGHTS)}"

    def __call__(self, frames: np.ndarray, media: Path | None = None) -> np.ndarray:
        landmarks = np.full((len(frames), 68, 2), np.nan, np.float32)
        for index, frame in enumerate(frames):
            faces = self._network.get_landmarks_from_image(np.ascontiguousarray(frame))
            if faces:
                # Its coordinates count pixel centres from 0; ours start at the pixel's outer corner.
                landmarks[index] = max((f[:, :2] for f in faces), key=_area) + 0.5
        return landmarks

    @cached_property
    def _network(self) -> Any:
        self._require_weights()
        import face_alignment

        kind = face_alignment.LandmarksType.TWO_D
        return face_alignment.FaceAlignment(kind, device="cpu", flip_input=False, compile=False)

    def _require_weights(self) -> None:
        folder = Path(torch.hub.get_dir()) / "checkpoints"
        missing = [name for name in WEIGHTS if not (folder / name).is_file()]
        if missing:
            raise InputError(
                f"face_alignment needs {' and '.join(missing)} in {folder}: put them there, or use "
                "the detector FaceMesh"
            )


def _area(points: np.ndarray) -> float:
    return float(np.prod(points.max(0) - points.min(0)))
