"""The 68- and 106-point landmark layouts: which index is what. The one home of index lists.

Both layouts run over the image from left to right, so "a" is the image's left side (the subject's right)
and "b" the image's right. The 68 points are iBUG's; the 106 are those of EVP's detector,
whose indices [0, 2, ..., 32, 33-51, 52-63, 84-103] are the 68 points.

Pure NumPy, so that metrics and reports can use it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

Indices = tuple[int, ...]


def _span(first: int, last: int) -> Indices:
    """first..last, both included."""
    return tuple(range(first, last + 1))


@dataclass(frozen=True)
class Layout:
    """A landmark layout.

    `strokes` are the 14 curves of the condition map, in EVP's order: contour, brows, three of the nose,
    two per eye, two each of the outer and the inner lips.
    """

    name: str
    num_points: int
    regions: Mapping[str, Indices]
    mirror: Indices
    """mirror[i] is the point on the other side of the face; a point of the midline is its own."""
    strokes: tuple[Indices, ...]
    eye_a: Indices
    eye_b: Indices
    nose_tip: int
    outer_brows: tuple[int, int]
    inner_lips: tuple[int, int]
    """Middle of the upper and of the lower inner lip: their distance is the mouth's opening."""

    def region(self, name: str) -> np.ndarray:
        """Indices of a region.

        Raises:
            ValueError: the layout has no such region; the message lists those it has.
        """
        if name not in self.regions:
            raise ValueError(f"no region {name!r} in layout {self.name}: it has {', '.join(self.regions)}")
        return np.array(self.regions[name])

    @cached_property
    def stable(self) -> np.ndarray:
        """(3, points) float32 weights of the points that speech does not move: eye a, eye b, nose tip.

        The eyes are the centroids of their contours, which stay put under gaze and hardly move in a blink.
        """
        weights = np.zeros((3, self.num_points), np.float32)
        weights[0, list(self.eye_a)] = 1 / len(self.eye_a)
        weights[1, list(self.eye_b)] = 1 / len(self.eye_b)
        weights[2, self.nose_tip] = 1
        return weights

    @cached_property
    def five(self) -> np.ndarray:
        """(5, points) float32 weights of eye a, eye b, nose tip and the outer ends of the brows.

        EVP's pose swap is refined on these (points 104, 105, 46, 33, 42 of the 106).
        """
        brows = np.zeros((2, self.num_points), np.float32)
        brows[[0, 1], list(self.outer_brows)] = 1
        return np.concatenate([self.stable, brows])


def _mirror(num_points: int, pairs: Sequence[tuple[int, int]]) -> Indices:
    other = list(range(num_points))
    for a, b in pairs:
        other[a], other[b] = b, a
    return tuple(other)


def _facing(a: Sequence[int], b: Sequence[int]) -> list[tuple[int, int]]:
    return list(zip(a, b, strict=True))


def _eye_and_mouth_pairs(eye_a: int, eye_b: int, mouth: int) -> list[tuple[int, int]]:
    """Pairs of the blocks that both layouts share: six points per eye, twelve and eight of the lips."""
    eyes = [(0, 3), (1, 2), (2, 1), (3, 0), (4, 5), (5, 4)]
    lips = [(0, 6), (1, 5), (2, 4), (11, 7), (10, 8), (12, 16), (13, 15), (19, 17)]
    return [(eye_a + a, eye_b + b) for a, b in eyes] + [(mouth + a, mouth + b) for a, b in lips]


def _eye_and_mouth_strokes(eye_a: int, eye_b: int, mouth: int) -> tuple[Indices, ...]:
    lids = ((0, 1, 2, 3), (3, 4, 5, 0))
    eyes = [tuple(eye + k for k in lid) for eye in (eye_a, eye_b) for lid in lids]
    lips = [
        _span(mouth, mouth + 6),
        (*_span(mouth + 6, mouth + 11), mouth),
        _span(mouth + 12, mouth + 16),
        (*_span(mouth + 16, mouth + 19), mouth + 12),
    ]
    return (*eyes, *lips)


IBUG68 = Layout(
    name="68",
    num_points=68,
    regions={
        "face": _span(0, 67),
        "mouth": _span(48, 67),
        "outer_mouth": _span(48, 59),
        "inner_mouth": _span(60, 67),
        "contour": _span(0, 16),
        "brows": _span(17, 26),
        "nose": _span(27, 35),
        "eyes": _span(36, 47),
        "inner_face": _span(17, 67),
    },
    mirror=_mirror(
        68,
        _facing(_span(0, 7), _span(9, 16)[::-1])
        + _facing(_span(17, 21), _span(22, 26)[::-1])
        + [(31, 35), (32, 34)]
        + _eye_and_mouth_pairs(36, 42, 48),
    ),
    strokes=(
        _span(0, 16),
        _span(17, 21),
        _span(22, 26),
        (28, 31),
        _span(31, 35),
        (35, 28),
        *_eye_and_mouth_strokes(36, 42, 48),
    ),
    eye_a=_span(36, 41),
    eye_b=_span(42, 47),
    nose_tip=30,
    outer_brows=(17, 26),
    inner_lips=(62, 66),
)

EVP106 = Layout(
    name="106",
    num_points=106,
    regions={
        # 64-83, 104 and 105 are derived where the detector has 68 points, so no score counts them.
        "face": (*_span(0, 63), *_span(84, 103)),
        "mouth": _span(84, 103),
        "outer_mouth": _span(84, 95),
        "inner_mouth": _span(96, 103),
        "contour": _span(0, 32),
        "brows": (*_span(33, 42), *_span(64, 71)),
        "nose": (*_span(43, 51), *_span(78, 83)),
        "eyes": (*_span(52, 63), *_span(72, 77), 104, 105),
        "inner_face": _span(33, 105),
    },
    mirror=_mirror(
        106,
        _facing(_span(0, 15), _span(17, 32)[::-1])
        + _facing(_span(33, 37), _span(38, 42)[::-1])
        + [(47, 51), (48, 50)]
        + _facing(_span(64, 67), _span(68, 71)[::-1])
        + [(72, 75), (73, 76), (74, 77), (78, 79), (80, 81), (82, 83), (104, 105)]
        + _eye_and_mouth_pairs(52, 58, 84),
    ),
    strokes=(
        _span(0, 32),
        (37, 36, 35, 34, 33, 64, 65, 66, 67, 37),
        (38, 39, 40, 41, 42, 71, 70, 69, 68, 38),
        (44, 47),
        _span(47, 51),
        (51, 44),
        *_eye_and_mouth_strokes(52, 58, 84),
    ),
    eye_a=_span(52, 57),
    eye_b=_span(58, 63),
    nose_tip=46,
    outer_brows=(33, 42),
    inner_lips=(98, 102),
)

LAYOUTS: Mapping[int, Layout] = {68: IBUG68, 106: EVP106}

POINTS_68_IN_106: Indices = (*range(0, 33, 2), *_span(33, 63), *_span(84, 103))
"""Index in the 106 layout of each of the 68 points."""


def layout_of(landmarks: np.ndarray) -> Layout:
    """The layout of an array (..., points, coordinates).

    Raises:
        ValueError: the array has neither 68 nor 106 points.
    """
    points = landmarks.shape[-2] if landmarks.ndim >= 2 else 0
    if points not in LAYOUTS:
        raise ValueError(f"expected landmarks (..., 68 or 106, coordinates), got shape {landmarks.shape}")
    return LAYOUTS[points]


def _lower_brow(brow: Sequence[int], eye: Sequence[int], at: int) -> dict[int, float]:
    """A point of a brow's lower edge, from its upper edge: a fifth of the way to the eye, between points."""
    weights = dict.fromkeys(brow, -0.2 / len(brow)) | dict.fromkeys(eye, 0.2 / len(eye))
    for point in (brow[at], brow[at + 1]):
        weights[point] += 0.5
    return weights


def _derived() -> dict[int, dict[int, float]]:
    """Weights over the 68 points of those of the 106 that the 68 lack."""
    eye_a, eye_b = IBUG68.eye_a, IBUG68.eye_b
    rows = {i: {i // 2: 0.5, i // 2 + 1: 0.5} for i in range(1, 32, 2)}
    rows |= {64 + k: _lower_brow(_span(17, 21), eye_a, k) for k in range(4)}
    rows |= {68 + k: _lower_brow(_span(22, 26), eye_b, k) for k in range(4)}
    for eye, (top, bottom, centre, pupil) in ((eye_a, (72, 73, 74, 104)), (eye_b, (75, 76, 77, 105))):
        rows[top] = {eye[1]: 0.5, eye[2]: 0.5}
        rows[bottom] = {eye[4]: 0.5, eye[5]: 0.5}
        rows[centre] = rows[pupil] = dict.fromkeys(eye, 1 / 6)
    for (root, side, wing), (corner, base) in (((78, 80, 82), (39, 31)), ((79, 81, 83), (42, 35))):
        rows[root] = {27: 0.5, corner: 0.5}
        rows[side] = {29: 0.5, base: 0.5}
        rows[wing] = {30: -0.25, base: 1.25}
    return rows


def _expansion() -> np.ndarray:
    matrix = np.zeros((106, 68), np.float32)
    matrix[list(POINTS_68_IN_106), range(68)] = 1
    for row, weights in _derived().items():
        for column, weight in weights.items():
            matrix[row, column] += weight
    return matrix


FROM_68: np.ndarray = _expansion()
"""(106, 68) float32: every point of the 106 as a fixed affine combination of the 68."""


def to_68(landmarks: np.ndarray) -> np.ndarray:
    """(..., 68 or 106, d) -> (..., 68, d)."""
    if layout_of(landmarks) is IBUG68:
        return landmarks
    return landmarks[..., list(POINTS_68_IN_106), :]


def in_layout(landmarks: np.ndarray, layout: Layout) -> np.ndarray:
    """(..., 68 or 106, d) -> (..., points of the layout, d)."""
    return to_106(landmarks) if layout is EVP106 else to_68(landmarks)


def to_106(landmarks: np.ndarray) -> np.ndarray:
    """(..., 68 or 106, d) -> (..., 106, d). Points that 68 lack are combinations of their neighbours."""
    if layout_of(landmarks) is EVP106:
        return landmarks
    return FROM_68 @ landmarks
