"""Face models cut out of a mesh model that a user has: ICT-FaceKit, or the paper's BFM with FaceWarehouse.

Of the mesh only the vertices under the 68 landmarks are kept, and for each contour landmark a row of
vertices from it across the cheek: where a head turns away, a detector sees the contour at the outline of the
cheek, not where it is on the face. Meshes are x right, y up, z towards the viewer, in any unit.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from models.artefacts import ARRAY_FILE_ERRORS, ArtefactError
from models.face3d import bfm
from models.face3d.morphable import CONTOUR, FaceModel, signed
from models.landmarks.topology import IBUG68, POINTS_68_IN_106
from models.method import Stage, StageRun, TrainingData

EYE_DISTANCE = 52.0
"""Between the eyes' centres, in units of the 256 crop at rest."""
CONTOUR_STEPS = np.linspace(0, 0.6, 9)
"""Where contour candidates lie, as fractions of the way from the landmark to the middle of the face."""


def cut(
    mean: np.ndarray,
    landmarks: Sequence[int],
    shapes: np.ndarray,
    expressions: np.ndarray,
    num_shapes: int,
    num_expressions: int,
) -> FaceModel:
    """The landmarks and contour candidates of a mesh model.

    Args:
        mean: (v, 3) vertices of the mean face.
        landmarks: the vertices under the 68 landmarks.
        shapes: (k, v, 3) what one standard deviation of each shape coefficient adds.
        expressions: the same of expression.
        num_shapes: how many of the principal components at the kept vertices to keep; likewise expressions.

    Raises:
        ValueError: more components than the mesh model has.
    """
    for name, asked, has in (
        ("shapes", num_shapes, len(shapes)),
        ("expressions", num_expressions, len(expressions)),
    ):
        if not 0 < asked <= has:
            raise ValueError(f"expected 1 to {has} {name} of this mesh model, got {asked}")
    known = np.asarray(landmarks)
    points = _to_model_space(np.asarray(mean, np.float64))
    eyes = [points[known[list(eye)]].mean(0) for eye in (IBUG68.eye_a, IBUG68.eye_b)]
    scale = EYE_DISTANCE / np.linalg.norm(eyes[1] - eyes[0])
    points = (points - points[known].mean(0)) * scale
    across = _candidates(points, known)
    kept = np.concatenate([known, across.ravel()])
    added = 68 + np.arange(across.size).reshape(across.shape)

    def modes(basis: np.ndarray, count: int) -> np.ndarray:
        flat = _to_model_space(basis[:, kept].astype(np.float64)).reshape(len(basis), -1) * scale
        mixed = np.linalg.eigh(flat @ flat.T)[1][:, ::-1][:, :count]  # the strongest directions first
        return signed(mixed.T @ flat)

    return FaceModel(
        points[kept],
        modes(shapes, num_shapes),
        modes(expressions, num_expressions),
        np.concatenate([np.array(CONTOUR)[:, None], added], 1),
    )


def _to_model_space(points: np.ndarray) -> np.ndarray:
    return points * [1, -1, 1]


def _candidates(points: np.ndarray, landmarks: np.ndarray) -> np.ndarray:
    """(17, steps - 1) vertices from each contour landmark inwards, as seen on the mean face from the front.

    Rows run level across the cheeks, and towards the mouth where the contour is below it.
    """
    mouth = points[landmarks[IBUG68.region("mouth")], 1].mean()
    rows = []
    for start in points[landmarks[list(CONTOUR)]]:
        middle = np.array([0.0, min(start[1], mouth)])
        aims = start[:2] + CONTOUR_STEPS[1:, None] * (middle - start[:2])
        rows.append([_front_vertex(points, aim) for aim in aims])
    return np.array(rows)


def _front_vertex(points: np.ndarray, aim: np.ndarray) -> int:
    """The foremost of the vertices near a place in the front view; the nearest where none is near."""
    distance = np.linalg.norm(points[:, :2] - aim, axis=1)
    near = np.flatnonzero(distance < 0.04 * EYE_DISTANCE)
    return int(near[points[near, 2].argmax()]) if len(near) else int(distance.argmin())


class ICTFaceKitStage(Stage):
    """The face model of ICT-FaceKit (USC ICT, MIT licence), from its arrays.

    Args:
        path: folder with `ict_facekit.npz` (neutral, ident, expr) and `vertex_indices.json`
            (idx_to_landmark_verts).
        shapes: components kept of its 100 identity modes, whose coefficients are standard normal.
        expressions: components kept of its 55 blend shapes.
        expression_deviation: standard deviation of a blend shape's activation, which runs from 0 to 1.
    """

    seeded = False
    reads = ()

    def __init__(
        self, *, path: str, shapes: int = 30, expressions: int = 24, expression_deviation: float = 0.25
    ) -> None:
        if expression_deviation <= 0:
            raise ValueError(f"expected a positive expression_deviation, got {expression_deviation}")
        self.path = path
        self.shapes = shapes
        self.expressions = expressions
        self.expression_deviation = expression_deviation

    @property
    def outside(self) -> tuple[str, ...]:
        return (self.path,)

    def run(self, data: TrainingData, inputs: Mapping[str, Path], run: StageRun) -> None:
        self.model().save(run.directory)

    def model(self) -> FaceModel:
        """Raises ArtefactError for a missing file, or one of other arrays."""
        folder = Path(self.path)
        arrays = _ict_arrays(folder / "ict_facekit.npz")
        landmarks = _ict_landmarks(folder / "vertex_indices.json", len(arrays["neutral"]))
        expressions = arrays["expr"].astype(np.float32) * self.expression_deviation
        return cut(arrays["neutral"], landmarks, arrays["ident"], expressions, self.shapes, self.expressions)


def _ict_arrays(path: Path) -> dict[str, np.ndarray]:
    if not path.is_file():
        raise ArtefactError(f"{path} is missing: expected the arrays of ICT-FaceKit; set face3d.path")
    names = ("neutral", "ident", "expr")
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = {name: file[name] for name in names}
    except (KeyError, *ARRAY_FILE_ERRORS) as error:
        raise ArtefactError(f"{path} is not ICT-FaceKit's arrays {', '.join(names)} ({error})") from error
    found = {name: array.shape for name, array in arrays.items()}
    vertices = len(arrays["neutral"]) if arrays["neutral"].ndim else 0
    for name, array in arrays.items():
        if array.shape[array.ndim - 2 :] != (vertices, 3) or array.ndim != (2 if name == "neutral" else 3):
            raise ArtefactError(
                f"{path} holds {found}; expected neutral (v, 3), ident (k, v, 3) and expr (k, v, 3)"
            )
        if array.dtype.kind != "f" or not np.isfinite(array).all():
            raise ArtefactError(f"{path}: expected {name} to be finite floats")
    return arrays


def _ict_landmarks(path: Path, vertices: int) -> list[int]:
    if not path.is_file():
        raise ArtefactError(f"{path} is missing: expected the vertex lists of ICT-FaceKit")
    try:
        listed = json.loads(path.read_text())["idx_to_landmark_verts"]
    except (ValueError, KeyError, TypeError) as error:
        raise ArtefactError(f"{path} has no list idx_to_landmark_verts ({error})") from error
    valid = isinstance(listed, list) and all(type(v) is int and 0 <= v < vertices for v in listed)
    if not valid or len(listed) != 68:
        raise ArtefactError(f"{path}: expected idx_to_landmark_verts to be 68 of the {vertices} vertices")
    return listed


class BFMStage(Stage):
    """The paper's face model, from what `models.face3d.bfm.convert` wrote.

    The file does not say how its columns are scaled, so how much a coefficient varies is told here.

    Args:
        path: the converted file.
        shapes: components kept of its 199.
        expressions: components kept of its 29.
        shape_deviation: standard deviation of its shape coefficients; 1 where columns are scaled by theirs.
        expression_deviation: the same of expression.
    """

    seeded = False
    reads = ()

    def __init__(
        self,
        *,
        path: str,
        shapes: int = 30,
        expressions: int = 24,
        shape_deviation: float = 1.0,
        expression_deviation: float = 1.0,
    ) -> None:
        if min(shape_deviation, expression_deviation) <= 0:
            raise ValueError(f"expected positive deviations, got {shape_deviation}, {expression_deviation}")
        self.path = path
        self.shapes = shapes
        self.expressions = expressions
        self.shape_deviation = shape_deviation
        self.expression_deviation = expression_deviation

    @property
    def outside(self) -> tuple[str, ...]:
        return (self.path,)

    def run(self, data: TrainingData, inputs: Mapping[str, Path], run: StageRun) -> None:
        self.model().save(run.directory)

    def model(self) -> FaceModel:
        """Raises ArtefactError for a missing file, or one of other arrays."""
        read = bfm.load(self.path)
        landmarks = [bfm.LANDMARKS_106[k] for k in POINTS_68_IN_106]
        columns = np.moveaxis(read.weight, 2, 0).swapaxes(1, 2)
        shapes, expressions = columns[: bfm.SHAPES], columns[bfm.SHAPES :]
        return cut(
            read.base.T,
            landmarks,
            shapes * np.float32(self.shape_deviation),
            expressions * np.float32(self.expression_deviation),
            self.shapes,
            self.expressions,
        )
