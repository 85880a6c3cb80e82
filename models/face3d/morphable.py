"""The linear face model: 3D landmarks as a mean plus principal components of many heads and expressions.

The paper uses BFM and FaceWarehouse, which are not free. Shape and expression share one basis here: a clip's
*shape* is the part of the coefficients that all its frames have in common, its *expression* the rest.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from safetensors.numpy import load_file

from models.artefacts import save_arrays
from models.method import Stage, StageRun, TrainingData

FILE = "face_model.safetensors"


@dataclass(frozen=True)
class FaceModel:
    """Landmarks = mean + sum of coefficients times components, in units of the 256 crop at rest."""

    mean: np.ndarray
    """(68, 3), centred."""
    components: np.ndarray
    """(k, 68, 3), orthonormal as vectors, strongest first."""
    deviation: np.ndarray
    """(k,) standard deviation of each coefficient over the heads."""

    def points(self, coefficients: np.ndarray) -> np.ndarray:
        """Coefficients (..., k) to model points (..., 68, 3)."""
        return self.mean + np.tensordot(coefficients, self.components, 1)

    def coefficients(self, points: np.ndarray) -> np.ndarray:
        """Coefficients (..., k) of the heads nearest to points (..., 68, 3) in model space."""
        return np.tensordot(points - self.mean, self.components, ((-2, -1), (-2, -1)))

    def save(self, directory: Path) -> None:
        arrays = {"mean": self.mean, "components": self.components, "deviation": self.deviation}
        save_arrays(directory / FILE, arrays)

    @staticmethod
    def load(directory: Path) -> FaceModel:
        """Raises FileNotFoundError where `Face3DStage` left nothing."""
        return FaceModel(**load_file(directory / FILE))


def learn(heads: np.ndarray, components: int) -> FaceModel:
    """Principal components of heads (n, 68, 3).

    Heads are centred one by one, because the camera's translation absorbs where they are. The sign of a
    component makes its largest entry positive, so that equal data gives equal models everywhere.

    Raises:
        ValueError: not (n, 68, 3), not finite, or too few heads for that many components.
    """
    if heads.ndim != 3 or heads.shape[1:] != (68, 3):
        raise ValueError(f"expected heads (examples, 68, 3), got {heads.shape}")
    if not np.isfinite(heads).all():
        raise ValueError("expected finite heads; some 3D landmarks are NaN or infinite")
    limit = min(len(heads) - 1, 3 * 68)
    if not 0 < components <= limit:
        raise ValueError(f"expected 1 to {limit} components from {len(heads)} heads, got {components}")
    centred = heads.astype(np.float64) - heads.mean(1, keepdims=True, dtype=np.float64)
    mean = centred.mean(0)
    flat = (centred - mean).reshape(len(heads), -1)
    values, vectors = np.linalg.eigh(flat.T @ flat / (len(heads) - 1))
    values, vectors = values[::-1][:components], vectors[:, ::-1][:, :components].T
    strongest = np.take_along_axis(vectors, np.abs(vectors).argmax(1)[:, None], 1)
    vectors = vectors * np.sign(strongest)
    return FaceModel(mean, vectors.reshape(-1, 68, 3), np.sqrt(np.maximum(values, 1e-8)))


class Face3DStage(Stage):
    """Learns the linear face model from the corpus's 3D heads."""

    seeded = False

    def __init__(self, *, components: int = 40) -> None:
        self.components = components

    def run(self, data: TrainingData, inputs: Mapping[str, Path], run: StageRun) -> None:
        learn(data.heads(), self.components).save(run.directory)
