"""The linear face model: 3D landmarks as a mean plus shape (who it is) plus expression (what it does).

The paper takes shape from BFM and expression from FaceWarehouse, which are not free. `Face3DStage` learns
both from a corpus's 3D heads; `models.face3d.dense` cuts a model out of a mesh that a user has.

Model space: x right, y down, z towards the viewer, units of the 256 crop at rest.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from models.artefacts import load_arrays, save_arrays
from models.landmarks.topology import IBUG68
from models.method import Stage, StageRun, TrainingData

FILE = "face_model.safetensors"
CONTOUR = IBUG68.regions["contour"]
FIXED = np.array(CONTOUR)[:, None]
"""(17, 1): every contour landmark is one point of the face, whatever the pose."""


@dataclass(frozen=True)
class FaceModel:
    """Points = mean + shape coefficients times shapes + expression coefficients times expressions.

    Modes are scaled so that coefficients count standard deviations: a ridge on them is their prior.
    """

    mean: np.ndarray
    """(n, 3), of which the first 68 are the landmarks at rest."""
    shapes: np.ndarray
    """(s, n, 3) what one deviation of each shape coefficient adds."""
    expressions: np.ndarray
    """(e, n, 3) what one deviation of each expression coefficient adds."""
    contours: np.ndarray = field(default_factory=lambda: FIXED)
    """(17, c) points where a detector may see each contour landmark: itself first, then inwards."""

    def points(self, shape: np.ndarray, expression: np.ndarray) -> np.ndarray:
        """Coefficients (..., s) and (..., e), which broadcast, to model points (..., n, 3)."""
        return self.mean + np.tensordot(shape, self.shapes, 1) + np.tensordot(expression, self.expressions, 1)

    def seen(self, points: np.ndarray, rotation: np.ndarray) -> np.ndarray | None:
        """Which points are the landmarks, (time, 68), of model points (time, n, 3) under rotations.

        A contour landmark is that one of its points that reaches farthest out in the image. None where
        every landmark is one point: they are then the first 68.
        """
        if self.contours.shape[1] == 1:
            return None
        outwards = self.mean[self.contours[:, 0], :2] - self.mean[self.contours[:, -1], :2]
        image = points[:, self.contours] @ np.swapaxes(rotation[:, None, :2], -1, -2)
        turned = outwards @ np.swapaxes(_roll(rotation), -1, -2)
        reach = np.einsum("tpcx,tpx->tpc", image, turned)
        chosen = self.contours[np.arange(len(CONTOUR)), reach.argmax(-1)]
        inner = np.broadcast_to(np.arange(len(CONTOUR), 68), (len(points), 68 - len(CONTOUR)))
        return np.concatenate([chosen, inner], 1)

    def landmarks(self, points: np.ndarray, rotation: np.ndarray) -> np.ndarray:
        """The landmarks (time, 68, 3) among model points (time, n, 3) under rotations (time, 3, 3)."""
        seen = self.seen(points, rotation)
        return points[:, :68] if seen is None else np.take_along_axis(points, seen[..., None], 1)

    def save(self, directory: Path) -> None:
        arrays = {name: getattr(self, name) for name in ("mean", "shapes", "expressions", "contours")}
        save_arrays(directory / FILE, arrays)

    @staticmethod
    def load(directory: Path) -> FaceModel:
        """Raises ArtefactError where the stage left nothing, or something else."""
        return FaceModel(**load_arrays(directory / FILE))


def _roll(rotation: np.ndarray) -> np.ndarray:
    """(time, 2, 2) the turn in the image plane that is part of rotations (time, 3, 3)."""
    angle = np.arctan2(rotation[:, 1, 0] - rotation[:, 0, 1], rotation[:, 0, 0] + rotation[:, 1, 1])
    c, s = np.cos(angle), np.sin(angle)
    return np.stack([np.stack([c, -s], -1), np.stack([s, c], -1)], -2)


def learn(heads: np.ndarray, shapes: int, expressions: int) -> FaceModel:
    """Principal components of heads (people, examples, 68, 3): shape between people, expression within.

    A person's heads are centred together, because the camera's translation absorbs where a head is, but not
    how a jaw moves against its skull. What a few examples of a person have in common by chance is not taken
    for shape: its part is subtracted.

    Raises:
        ValueError: not (people, examples, 68, 3), not finite, or too few for that many components.
    """
    if heads.ndim != 4 or heads.shape[2:] != (68, 3):
        raise ValueError(f"expected heads (people, examples, 68, 3), got {heads.shape}")
    if not np.isfinite(heads).all():
        raise ValueError("expected finite heads; some 3D landmarks are NaN or infinite")
    people, examples = heads.shape[:2]
    for name, asked, limit in (
        ("shapes", shapes, min(people - 1, 3 * 68)),
        ("expressions", expressions, min(people * (examples - 1), 3 * 68)),
    ):
        if not 0 < asked <= limit:
            raise ValueError(
                f"expected 1 to {limit} {name} from {people} people of {examples} examples, got {asked}"
            )
    centred = heads.astype(np.float64) - heads.mean((1, 2), keepdims=True, dtype=np.float64)
    persons = centred.mean(1)
    mean = persons.mean(0)
    between = (persons - mean).reshape(people, -1)
    within = (centred - persons[:, None]).reshape(people * examples, -1)
    moved = within.T @ within / (people * (examples - 1))
    differ = between.T @ between / (people - 1) - moved / examples
    return FaceModel(mean, strongest_modes(differ, shapes), strongest_modes(moved, expressions))


def strongest_modes(covariance: np.ndarray, count: int) -> np.ndarray:
    """(count, n, 3) principal components of a covariance (3 n, 3 n), times their deviations."""
    values, vectors = np.linalg.eigh(covariance)
    values, vectors = values[::-1][:count], vectors[:, ::-1][:, :count].T
    return signed(vectors * np.sqrt(np.maximum(values, 1e-8))[:, None])


def signed(modes: np.ndarray) -> np.ndarray:
    """Modes (count, 3 n) as (count, n, 3), each with the sign that makes its largest entry positive.

    So equal data gives equal models everywhere.
    """
    largest = np.take_along_axis(modes, np.abs(modes).argmax(1)[:, None], 1)
    return (modes * np.where(largest < 0, -1, 1)).reshape(len(modes), -1, 3)


class Face3DStage(Stage):
    """Learns the linear face model from the corpus's 3D heads."""

    version = 2
    seeded = False
    reads = ("heads",)

    def __init__(self, *, shapes: int = 20, expressions: int = 24) -> None:
        self.shapes = shapes
        self.expressions = expressions

    def run(self, data: TrainingData, inputs: Mapping[str, Path], run: StageRun) -> None:
        learn(data.heads(), self.shapes, self.expressions).save(run.directory)
