"""The head's mesh: one skin with holes for eyes and mouth, and the parts behind the holes.

The skin is triangulated in its own parameter plane (theta times ARC, v), half of it, and mirrored, so its
topology is symmetric by construction. Feature curves are rows of vertices; the rest is filled with points as
dense as the face needs. In the parameter plane the mouth is slightly open and in space it is closed: the lips
meet at rest.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from itertools import pairwise

import numpy as np
from scipy.spatial import Delaunay, KDTree

from benchmark.data.synthetic import head_curves as curves
from benchmark.data.synthetic.head_surface import ARC, parameters_of, skin

SKIN, EYE, TEETH, TONGUE, CAVITY, EAR = range(6)
"""Parts of the head; `Head.part` holds one per vertex."""

UPPER, LOWER = 1, -1
_SLIT = 1.8
_TOP, _BOTTOM = -104.0, 214.0


@dataclass(frozen=True)
class Head:
    """The rest head in millimetres. V vertices, F triangles."""

    rest: np.ndarray
    """(V, 3) float64."""
    plane: np.ndarray
    """(V, 2) where each vertex lies in its part's texture plane, millimetres."""
    part: np.ndarray
    """(V,) int: SKIN to EAR."""
    lip_side: np.ndarray
    """(V,) float: 1 moves with the upper lip, 0 with the jaw, smooth beyond the corners of the mouth."""
    triangles: np.ndarray
    """(F, 3) int32, wound so that outward faces turn to the viewer."""
    mirror: np.ndarray
    """(V,) index of the vertex on the other side."""
    named: dict[str, np.ndarray]
    """Vertex rows of feature curves, image-right half, and of single points."""


class _Rows:
    """Vertices under construction: parameter-plane position, place in space, name."""

    def __init__(self) -> None:
        self.plane: list[np.ndarray] = []
        self.space: list[np.ndarray] = []
        self.named: dict[str, np.ndarray] = {}
        self.count = 0

    def add(self, name: str, plane: np.ndarray, space: np.ndarray) -> np.ndarray:
        rows = np.arange(self.count, self.count + len(plane))
        self.plane.append(np.asarray(plane, float))
        self.space.append(np.asarray(space, float))
        self.named[name] = rows
        self.count += len(plane)
        return rows

    def on_skin(self, name: str, xy: np.ndarray) -> np.ndarray:
        parameters = parameters_of(xy)
        space = skin(parameters[:, 0], parameters[:, 1])
        parameters[np.abs(xy[:, 0]) < 1e-9, 0] = 0.0
        return self.add(name, parameters * (ARC, 1), space)


def _add_eye(rows: _Rows) -> None:
    upper, lower = curves.lid(True), curves.lid(False)
    for name, margin in (("lid_upper", upper), ("lid_lower", lower[1:-1])):
        plane = parameters_of(margin[:, :2]) * (ARC, 1)
        rows.add(name, plane, margin)
    centre = np.array([31.0, 0.6])
    for name, scale, shift in (
        ("lid_ring", 1.22, -0.7),
        ("lid_crease", 1.5, -2.6),
        ("lid_orbit", 1.85, -3.4),
    ):
        ring = np.concatenate([upper, lower[1:-1][::-1]])[:, :2]
        above = np.clip((centre[1] - ring[:, 1]) / 5.0, 0, 1)
        outward = ring + (ring - centre) * (scale - 1) * np.array([0.62, 1.25])
        outward[:, 1] += shift * above
        rows.on_skin(name, outward)


def _add_lips(rows: _Rows) -> None:
    """Rows of each lip from the border of the red (0) to the line where they meet (3)."""
    line = curves.lip_line()
    for side, name in ((UPPER, "upper"), (LOWER, "lower")):
        border = curves.outer_lip(side == UPPER)
        plane = parameters_of(border) * (ARC, 1)
        plane[0, 0] = 0.0
        space = skin(plane[:, 0] / ARC, plane[:, 1])
        line_plane = parameters_of(line[:, :2]) * (ARC, 1)
        line_plane[0, 0] = 0.0
        taper = np.clip(1 - line[:, 0] / curves.INNER_CORNER[0], 0, 1) ** 0.5
        line_plane[:, 1] -= side * _SLIT * taper
        keep = slice(None) if side == UPPER else slice(None, -1)
        rows.add(f"lip_{name}_0", plane[keep], space[keep])
        bulge = 1.1 if side == UPPER else 2.2
        for step, share in ((1, 0.34), (2, 0.7)):
            blend_plane = plane + (line_plane - plane) * share
            blend = space + (line - space) * share
            width = np.clip(1 - np.linspace(0, 1, len(line)) ** 3, 0, 1)
            blend[:, 2] += bulge * width * np.sin(np.pi * min(share * 1.15, 1.0)) ** 0.7
            rows.add(f"lip_{name}_{step}", blend_plane[:-1], blend[:-1])
        rows.add(f"lip_{name}_3", line_plane[keep], line[keep])


def _spacing(plane: np.ndarray) -> np.ndarray:
    """Distance wanted between neighbouring vertices, by place in the parameter plane."""
    x, v = plane[:, 0], plane[:, 1]
    face = np.maximum(np.maximum(x / 52.0, (-v - 32) / 8 + 1), (v - 120) / 8 + 1)
    features = np.maximum(x / 34.0, np.maximum((-v - 20) / 6 + 1, (v - 92) / 6 + 1))
    side = np.maximum(x / 115.0, (v - 150) / 20 + 1)
    return np.where(features < 1, 3.0, np.where(face < 1, 4.4, np.where(side < 1, 7.0, 13.0)))


def _fill(rows: _Rows) -> np.ndarray:
    """(n, 2) further parameter points: edges of the half plane first, then ever coarser grids."""
    far = np.pi * ARC
    edge_v = np.concatenate(
        [np.arange(_TOP, -30, 7.0), np.arange(-30, 118, 3.0), np.arange(118, _BOTTOM + 1, 6.0)]
    )
    edges = [np.stack([np.zeros_like(edge_v), edge_v], 1)]
    back = np.arange(_TOP, _BOTTOM + 1, 12.0)
    edges.append(np.stack([np.full_like(back, far), back], 1))
    for v in (_TOP, back[-1]):
        across = np.linspace(0, far, 19)[1:-1]
        edges.append(np.stack([across, np.full_like(across, v)], 1))
    accepted = [np.concatenate(rows.plane)]
    added: list[np.ndarray] = []
    hole = _Holes(rows)
    candidates = [np.concatenate(edges)]
    for step in (3.0, 4.4, 7.0, 13.0):
        u, v = np.meshgrid(
            np.arange(step, far - step / 2, step), np.arange(_TOP + step, back[-1] - step / 2, step)
        )
        u[1::2] += step / 2
        grid = np.stack([u.ravel(), v.ravel()], 1)
        candidates.append(grid[(_spacing(grid) == step) & (grid[:, 0] < far - step / 2)])
    for points in candidates:
        tree = KDTree(np.concatenate(accepted))
        near = tree.query(points)[0]
        on_edge = (
            (points[:, 0] == 0) | (points[:, 0] == far) | (points[:, 1] <= _TOP) | (points[:, 1] >= back[-1])
        )
        chosen = points[(near > np.where(on_edge, 1.3, 0.68 * _spacing(points))) & ~hole.inside(points)]
        accepted.append(chosen)
        added.append(chosen)
    return np.concatenate(added)


class _Holes:
    """The eye fissure and the mouth in the parameter plane."""

    def __init__(self, rows: _Rows) -> None:
        plane = np.concatenate(rows.plane)
        named = rows.named
        self.eye = plane[np.concatenate([named["lid_upper"], named["lid_lower"][::-1]])]
        self.mouth = plane[np.concatenate([named["lip_upper_3"], named["lip_lower_3"][::-1]])]
        self.lips = plane[np.concatenate([named["lip_upper_0"], named["lip_lower_0"][::-1]])]

    def inside(self, points: np.ndarray) -> np.ndarray:
        return _within(points, self.eye) | _within(points, self.lips)

    def open(self, points: np.ndarray) -> np.ndarray:
        return _within(points, self.eye) | _within(points, self.mouth)


def _within(points: np.ndarray, polygon: np.ndarray) -> np.ndarray:
    """Even-odd rule."""
    x, y = points[:, :1], points[:, 1:]
    x0, y0 = polygon.T
    x1, y1 = np.roll(polygon, -1, axis=0).T
    crosses = (y0 > y) != (y1 > y)
    with np.errstate(divide="ignore", invalid="ignore"):
        at = x0 + (y - y0) * (x1 - x0) / (y1 - y0)
    return (np.sum(crosses & (x < at), axis=1) % 2).astype(bool)


def _half_skin() -> tuple[_Rows, np.ndarray]:
    """Vertices and triangles of the image-right half of the skin."""
    rows = _Rows()
    _add_eye(rows)
    _add_lips(rows)
    for name, points in (
        ("brow_upper", curves.BROW_UPPER), ("brow_lower", curves.BROW_LOWER),
        ("nose_ridge", curves.NOSE_RIDGE),
        ("nose_base", curves.NOSE_BASE), ("nose_sides", curves.NOSE_SIDES), ("jaw", curves.JAW),
    ):  # fmt: skip
        rows.on_skin(name, points)
    jaw = np.concatenate(rows.plane)[rows.named["jaw"]]
    between = 0.5 * (jaw[1:] + jaw[:-1])
    rows.add("jaw_between", between, skin(between[:, 0] / ARC, between[:, 1]))
    filling = _fill(rows)
    rows.add("filling", filling, skin(filling[:, 0] / ARC, filling[:, 1]))
    plane = np.concatenate(rows.plane)
    triangles = Delaunay(plane).simplices
    corners = plane[triangles]
    keep = ~_Holes(rows).open(corners.mean(1))
    area = np.abs(_cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]))
    return rows, _facing(plane, triangles[keep & (area > 1e-6)])


def _cross(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return a[..., 0] * b[..., 1] - a[..., 1] * b[..., 0]


def _facing(plane: np.ndarray, triangles: np.ndarray) -> np.ndarray:
    """Triangles with positive turning in the plane (x right, y down)."""
    a, b, c = plane[triangles[:, 0]], plane[triangles[:, 1]], plane[triangles[:, 2]]
    turned = _cross(b - a, c - a) < 0
    return np.where(turned[:, None], triangles[:, [0, 2, 1]], triangles)


def _inner_lips(rows: _Rows, triangles: np.ndarray) -> np.ndarray:
    """Roll each lip inwards by two more rows, so that an open mouth shows flesh and not an edge."""
    plane, space = np.concatenate(rows.plane), np.concatenate(rows.space)
    extra = [triangles]
    corner = rows.named["lip_upper_3"][-1]
    for side, name in ((UPPER, "upper"), (LOWER, "lower")):
        edge = rows.named[f"lip_{name}_3"]
        if side == LOWER:
            edge = np.append(edge, corner)
        before = edge
        for step, (lift, depth) in enumerate(((0.9, 2.4), (4.5, 6.0))):
            place = space[edge] + np.array([0.0, -side * lift, -depth])
            texture = plane[edge] + np.array([0.0, side * 0.25 * (step + 1)])
            after = rows.add(f"lip_{name}_{4 + step}", texture, place)
            strip = _strip(before, after)
            extra.append(strip if side == LOWER else strip[:, ::-1])
            before = after
    return np.concatenate(extra)


def _strip(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Triangles between two rows of equal length."""
    a, b, c, d = first[:-1], first[1:], second[:-1], second[1:]
    return np.concatenate([np.stack([a, c, b], 1), np.stack([b, c, d], 1)])


def _lip_side(plane: np.ndarray) -> np.ndarray:
    """1 above the mouth, 0 below: a step at the lips, a slope beyond the corners, one half at the corners."""
    beyond = np.maximum(plane[:, 0] - curves.INNER_CORNER[0], 0.0)
    height = plane[:, 1] - curves.INNER_CORNER[1]
    step = 1.0 / (1.0 + np.exp(np.clip((height - 0.12 * beyond) / (0.3 + 0.55 * beyond), -40, 40)))
    arch = np.clip(1 - (plane[:, 0] / curves.INNER_CORNER[0]) ** 2, 0, 1) ** 0.75
    near = np.exp(-((height / 13.0) ** 2)) * (plane[:, 0] < curves.INNER_CORNER[0])
    return 0.5 + (step - 0.5) * (1 - (1 - arch) * near)


def _grid(rows: int, columns: int) -> np.ndarray:
    index = np.arange(rows * columns).reshape(rows, columns)
    return np.concatenate([_strip(a, b)[:, ::-1] for a, b in pairwise(index)])


def _eye() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The visible front of the image-right eyeball, a little behind the lids."""
    x, y = np.meshgrid(np.linspace(14, 49, 15), np.linspace(-11, 10, 11))
    space = np.stack([x, y, curves.lid_depth(x, y) - 1.0], -1).reshape(-1, 3)
    space[82] = (
        *curves.PUPIL,
        float(curves.lid_depth(np.array(curves.PUPIL[0]), np.array(curves.PUPIL[1]))) - 1.0,
    )
    return space, space[:, :2] - curves.PUPIL, _grid(11, 15)


def _teeth(upper: bool) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    x, down = np.meshgrid(np.linspace(-25, 25, 21), np.linspace(0, 1, 4))
    arc = 0.016 * x**2 + 0.9e-5 * x**4
    if upper:
        space = np.stack([x, 60.0 + down * (11.2 - 0.0022 * x**2), 98.5 - arc - 1.5 * (1 - down) ** 2], -1)
    else:
        space = np.stack([x * 0.92, 71.0 + 0.0018 * x**2 + down * 9.0, 96.0 - arc - 0.8 * down**2], -1)
    texture = np.stack([x, down + (0.0 if upper else 2.0)], -1)
    return space.reshape(-1, 3), texture.reshape(-1, 2), _grid(4, 21)


def _tongue() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    x, s = np.meshgrid(np.linspace(-17, 17, 11), np.linspace(0, 1, 9))
    z = 92.5 - 0.018 * x**2 - 22 * (1 - s) ** 1.5
    y = 73.5 + 0.010 * x**2 + 7.0 * s**3 - 1.5 * np.sin(np.pi * s)
    return np.stack([x, y, z], -1).reshape(-1, 3), np.stack([x, 10 * s], -1).reshape(-1, 2), _grid(9, 11)


def _cavity() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    x, y = np.meshgrid(np.linspace(-30, 30, 11), np.linspace(54, 92, 9))
    z = 74.0 - 0.004 * x**2 + 0 * y
    return np.stack([x, y, z], -1).reshape(-1, 3), np.stack([x, y], -1).reshape(-1, 2), _grid(9, 11)


def _ear() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The image-right ear: an egg-shaped dish with a rim, standing off the head."""
    radius, angle = np.meshgrid(np.linspace(0, 1, 9), np.linspace(0, 2 * np.pi, 25))
    forward = -np.cos(angle) * radius * np.where(np.sin(angle) < 0, 17.0, 13.5)
    down = np.sin(angle) * radius * 31.0
    dish = (
        -3.0 * (1 - radius**2) * 1.2
        + 3.2 * np.exp(-(((radius - 0.86) / 0.10) ** 2))
        - 2.6 * np.clip(radius - 0.93, 0, 1) / 0.07
    )
    dish += 2.2 * np.exp(-(((radius - 0.52) / 0.13) ** 2)) * (np.cos(angle) > -0.2)
    lobe = np.clip(down / 31.0, 0, 1)
    tilt = np.deg2rad(32)
    x = 70.5 + (12.0 + forward * -1.0) * np.sin(tilt) * 0.75 + dish * np.cos(tilt) - 3.0 * lobe - 2.0
    z = -6.0 + forward * np.cos(tilt) * 0.9 + dish * np.sin(tilt)
    y = 14.0 + down + 0.18 * forward
    space = np.stack([x, y, z], -1).reshape(-1, 3)
    texture = np.stack([radius * np.cos(angle), radius * np.sin(angle)], -1).reshape(-1, 2)
    return space, texture, _grid(25, 9)


@cache
def rest_head() -> Head:
    """The head all identities are variations of."""
    rows, triangles = _half_skin()
    triangles = _inner_lips(rows, triangles)
    plane, space = np.concatenate(rows.plane), np.concatenate(rows.space)
    centre = np.abs(plane[:, 0]) < 1e-9
    back = np.abs(plane[:, 0] - np.pi * ARC) < 1e-9
    space[centre | back, 0] = 0.0
    builder = _Whole()
    builder.mirrored_skin(plane, space, triangles, centre, back)
    builder.named = {name: index for name, index in rows.named.items() if name != "filling"}
    builder.pair(EYE, *_eye(), name="eye")
    builder.pair(EAR, *_ear(), name="ear")
    for name, part, mesh, side in (
        ("teeth_upper", TEETH, _teeth(True), 1.0), ("teeth_lower", TEETH, _teeth(False), 0.0),
        ("tongue", TONGUE, _tongue(), 0.0), ("cavity", CAVITY, _cavity(), 0.5),
    ):  # fmt: skip
        builder.single(part, *mesh, name=name, side=side)
    return builder.head()


class _Whole:
    """Both halves and all parts, joined."""

    def __init__(self) -> None:
        self.blocks: dict[str, list[np.ndarray]] = {
            k: [] for k in ("rest", "plane", "part", "side", "tri", "mirror")
        }
        self.named: dict[str, np.ndarray] = {}
        self.count = 0

    def _append(
        self,
        part: int,
        rest: np.ndarray,
        plane: np.ndarray,
        tri: np.ndarray,
        mirror: np.ndarray,
        side: np.ndarray,
    ) -> None:
        for key, value in (
            ("rest", rest),
            ("plane", plane),
            ("part", np.full(len(rest), part)),
            ("side", side),
        ):
            self.blocks[key].append(value)
        self.blocks["tri"].append(tri + self.count)
        self.blocks["mirror"].append(mirror + self.count)
        self.count += len(rest)

    def mirrored_skin(self, plane, space, triangles, centre, back) -> None:
        shared = centre | back
        own = np.arange(len(plane))
        other = own.copy()
        other[~shared] = len(plane) + np.arange(int((~shared).sum()))
        mirror = np.concatenate([other, own[~shared]])
        flipped = other[triangles][:, ::-1]
        both = np.concatenate([triangles, flipped])
        rest = np.concatenate([space, space[~shared] * (-1, 1, 1)])
        planes = np.concatenate([plane, plane[~shared] * (-1, 1)])
        side = _lip_side(plane)
        self._append(SKIN, rest, planes, both, mirror, np.concatenate([side, side[~shared]]))

    def pair(self, part, space, plane, triangles, *, name: str) -> None:
        n = len(space)
        start = self.count
        rest = np.concatenate([space, space * (-1, 1, 1)])
        planes = np.concatenate([plane, plane * (-1, 1)])
        tri = np.concatenate([triangles, triangles[:, ::-1] + n])
        mirror = np.concatenate([np.arange(n, 2 * n), np.arange(n)])
        self._append(part, rest, planes, tri, mirror, np.ones(2 * n))
        self.named[name] = np.arange(start, start + n)

    def single(self, part, space, plane, triangles, *, name: str, side: float) -> None:
        n = len(space)
        nearest = np.asarray(KDTree(space * (-1, 1, 1)).query(space)[1])
        self.named[name] = np.arange(self.count, self.count + n)
        self._append(part, space, plane, triangles, nearest, np.full(n, side))

    def head(self) -> Head:
        joined = {key: np.concatenate(value) for key, value in self.blocks.items()}
        return Head(
            rest=joined["rest"], plane=joined["plane"], part=joined["part"], lip_side=joined["side"],
            triangles=joined["tri"].astype(np.int32), mirror=joined["mirror"], named=self.named,
        )  # fmt: skip
