"""What the surfaces are painted with: one picture (atlas) per identity, a region for each part.

The skin's region is its parameter plane, so lips, brows and lashes are painted along the mesh's own feature
curves and move with them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import cv2
import numpy as np

from benchmark.data.synthetic.head_mesh import CAVITY, EAR, EYE, SKIN, TEETH, TONGUE, rest_head

if TYPE_CHECKING:
    from benchmark.data.synthetic.face import Identity

HAIR, CLOTHES = 6, 7
PAINT = 3.0
"""Pixels per millimetre of the skin while it is painted."""
_LEFT, _TOP, _WIDE, _HIGH = -140.0, -106.0, 280.0, 322.0
_TILE = 192


class Atlas:
    """The painted picture and where each part lies in it."""

    def __init__(self, identity: Identity, pixels_per_mm: float) -> None:
        scale = min(pixels_per_mm / PAINT, 1.0)
        skin = _shrink(_paint_skin(identity), scale)
        height, width = skin.shape[:2]
        tile = max(int(_TILE * scale), 48)
        tiles = {
            EYE: _paint_eye(identity), TEETH: _paint_teeth(), TONGUE: _flat((176, 92, 92)),
            CAVITY: _flat((52, 18, 20)),
            EAR: _flat(tuple(np.array(identity.skin) * (0.98, 0.90, 0.88))), HAIR: _paint_hair(identity),
            CLOTHES: _paint_clothes(identity),
        }  # fmt: skip
        rows = -(-len(tiles) // 2)
        self.pixels = np.zeros((max(height, rows * tile), width + tile * 2, 3), np.float32)
        self.pixels[:height, :width] = skin
        self._skin_scale = PAINT * scale
        self._tile = tile
        self._origin: dict[int, tuple[int, int]] = {}
        for k, (part, picture) in enumerate(tiles.items()):
            x, y = width + (k % 2) * tile, (k // 2) * tile
            self.pixels[y : y + tile, x : x + tile] = cv2.resize(
                picture, (tile, tile), interpolation=cv2.INTER_AREA
            )
            self._origin[part] = (x, y)

    def place(self, part: np.ndarray, plane: np.ndarray) -> np.ndarray:
        """(V, 2) float32 atlas pixels of vertices at `plane` of their parts; clamped to the part's region."""
        out = np.zeros((len(part), 2))
        on = part == SKIN
        x = np.clip((plane[on, 0] - _LEFT) * self._skin_scale, 0, _WIDE * self._skin_scale - 3)
        y = np.clip((plane[on, 1] - _TOP) * self._skin_scale, 0, _HIGH * self._skin_scale - 3)
        out[on] = np.stack([x, y], 1)
        for kind, origin in self._origin.items():
            on = part == kind
            unit = np.clip(_unit(kind, plane[on]), 0, 1)
            out[on] = np.array(origin) + unit * (self._tile - 3) + 0.5
        return out.astype(np.float32)


def _unit(part: int, plane: np.ndarray) -> np.ndarray:
    """A part's own plane -> [0, 1] squared."""
    if part == EYE:
        return plane / 36.0 + 0.5
    if part == TEETH:
        return np.stack([plane[:, 0] / 52.0 + 0.5, plane[:, 1] / 3.0], 1)
    if part in (HAIR, CLOTHES):
        return plane
    return np.full_like(plane, 0.5)


def _shrink(picture: np.ndarray, scale: float) -> np.ndarray:
    size = (round(_WIDE * PAINT * scale), round(_HIGH * PAINT * scale))
    return cv2.resize(picture, size, interpolation=cv2.INTER_AREA)


def _flat(colour: tuple[float, ...]) -> np.ndarray:
    return np.full((_TILE, _TILE, 3), colour, np.float32)


class _Canvas:
    """The skin's picture under the brush; points are millimetres of the parameter plane, both sides at
    once."""

    def __init__(self, colour: tuple[int, int, int]) -> None:
        shape = (round(_HIGH * PAINT), round(_WIDE * PAINT))
        self.picture = np.empty((*shape, 3), np.float32)
        self.picture[:] = colour
        y, x = np.mgrid[: shape[0], : shape[1]].astype(np.float32)
        self.x, self.v = np.abs(x / PAINT + _LEFT), y / PAINT + _TOP

    def blend(self, mask: np.ndarray, colour: np.ndarray | tuple[float, ...]) -> None:
        self.picture += mask[..., None] * (np.asarray(colour, np.float32) - self.picture)

    def darken(self, mask: np.ndarray, tint: tuple[float, float, float]) -> None:
        """Multiply by `tint` where mask is 1."""
        self.picture *= 1 + mask[..., None] * (np.asarray(tint, np.float32) - 1)

    def bell(self, x: float, v: float, sx: float, sv: float) -> np.ndarray:
        return np.exp(-(((self.x - x) / sx) ** 2) - ((self.v - v) / sv) ** 2)

    def _both(self, points: np.ndarray) -> list[np.ndarray]:
        return [
            np.rint((points * (side, 1) - (_LEFT, _TOP)) * PAINT * 16).astype(np.int32) for side in (1, -1)
        ]

    def area(self, polygon: np.ndarray, blur: float) -> np.ndarray:
        mask = np.zeros(self.picture.shape[:2], np.uint8)
        for points in self._both(polygon):
            cv2.fillPoly(mask, [points], 255, cv2.LINE_AA, 4)
        return cv2.GaussianBlur(mask.astype(np.float32) / 255, (0, 0), blur * PAINT)

    def line(self, points: np.ndarray, width: float, blur: float) -> np.ndarray:
        mask = np.zeros(self.picture.shape[:2], np.uint8)
        for side in self._both(points):
            cv2.polylines(mask, [side], False, 255, max(round(width * PAINT), 1), cv2.LINE_AA, 4)
        return cv2.GaussianBlur(mask.astype(np.float32) / 255, (0, 0), blur * PAINT)


def _paint_skin(identity: Identity) -> np.ndarray:
    head = rest_head()
    rng = np.random.default_rng(identity.texture_seed)
    canvas = _Canvas(identity.skin)
    rows = {name: head.plane[index] for name, index in head.named.items()}
    _complexion(canvas, identity, rng)
    _lips(canvas, rows, identity)
    _eyes(canvas, rows)
    _brows(canvas, rows, identity)
    canvas.darken(canvas.bell(7.0, 45.6, 3.2, 1.8), (0.26, 0.18, 0.18))
    canvas.darken(0.9 * canvas.bell(13.5, 42.5, 1.5, 5.0), (0.82, 0.74, 0.72))
    return np.clip(canvas.picture, 0, 255)


def _complexion(canvas: _Canvas, identity: Identity, rng: np.random.Generator) -> None:
    shape = canvas.picture.shape[:2]
    for width, amount in ((26.0, 3.5), (7.0, 2.2), (1.2, 2.0)):
        noise = cv2.GaussianBlur(rng.standard_normal(shape).astype(np.float32), (0, 0), width)
        canvas.picture *= 1 + (amount / 255) * (noise / noise.std())[..., None]
    canvas.darken(0.8 * canvas.bell(36, 33, 17, 15), (1.0, 0.91, 0.90))
    canvas.darken(0.8 * canvas.bell(0, 38, 13, 9), (1.0, 0.93, 0.92))
    canvas.darken(0.9 * canvas.bell(30, 11, 14, 5), (0.95, 0.92, 0.93))
    canvas.darken(0.9 * canvas.bell(31, -9, 15, 5), (0.93, 0.87, 0.86))
    canvas.darken(0.8 * canvas.bell(16, 0, 5, 10), (0.92, 0.88, 0.87))
    canvas.darken(0.7 * canvas.bell(0, 86, 14, 3.5), (0.90, 0.87, 0.86))
    canvas.darken(0.5 * canvas.bell(0, 53, 2.6, 5.0), (0.92, 0.89, 0.88))
    if identity.brow_weight >= 1.0:
        beard = np.clip((canvas.v - 50) / 16, 0, 1) * np.clip((128 - canvas.v) / 14, 0, 1)
        beard *= np.clip((92 - canvas.x) / 20, 0, 1) * np.clip(
            0.35 + canvas.x / 60 + (canvas.v - 66) / 40, 0, 1
        )
        canvas.darken(0.75 * np.clip(beard, 0, 1), (0.90, 0.905, 0.925))


def _lips(canvas: _Canvas, rows: dict[str, np.ndarray], identity: Identity) -> None:
    border = np.concatenate([rows["lip_upper_0"], rows["lip_lower_0"][::-1]])
    red = canvas.area(np.vstack([border, border[:1] * (-1, 1)]), 0.35)
    canvas.blend(0.92 * red, identity.lips)
    upper = np.concatenate([rows["lip_upper_0"], rows["lip_upper_3"][::-1]])
    canvas.darken(0.7 * canvas.area(upper, 0.5), (0.88, 0.84, 0.85))
    canvas.darken(0.5 * red * canvas.bell(0, 74.5, 11, 2.5), (1.14, 1.14, 1.14))
    inner = np.concatenate([rows["lip_upper_3"], rows["lip_lower_3"][::-1]])
    canvas.darken(canvas.area(inner, 0.45), (0.52, 0.40, 0.42))


def _eyes(canvas: _Canvas, rows: dict[str, np.ndarray]) -> None:
    crease = rows["lid_ring"][1:11] * 0.35 + rows["lid_crease"][1:11] * 0.65
    canvas.darken(0.85 * canvas.line(crease, 0.7, 0.5), (0.62, 0.52, 0.50))
    canvas.darken(
        0.5 * canvas.area(np.concatenate([rows["lid_upper"], crease[::-1]]), 0.6), (0.90, 0.83, 0.83)
    )
    lash = np.array([34.0, 24.0, 22.0])
    canvas.blend(0.95 * np.clip(1.3 * canvas.line(rows["lid_upper"][1:] - (0, 0.25), 1.0, 0.22), 0, 1), lash)
    canvas.blend(0.55 * canvas.line(rows["lid_lower"][2:] - (0, -0.2), 0.5, 0.25), lash)


def _brows(canvas: _Canvas, rows: dict[str, np.ndarray], identity: Identity) -> None:
    upper, lower = rows["brow_upper"], rows["brow_lower"]
    dense = np.linspace(0, 1, 25)
    top = _resample(upper, dense)
    bottom = _resample(np.vstack([lower, upper[-1:] - (-0.6, -1.2)]), dense)
    middle = 0.5 * (top + bottom)
    top, bottom = (middle + (edge - middle) * min(0.72 * identity.brow_weight, 1.0) for edge in (top, bottom))
    colour = np.array(identity.hair) * 0.72 + np.array(identity.skin) * 0.05
    body = canvas.area(np.concatenate([top, bottom[::-1]]), 0.8)
    canvas.blend(0.55 * min(identity.brow_weight, 1.2) * body, colour)
    canvas.blend(0.35 * body * (0.5 + 0.5 * np.sin(canvas.x * 3.1 + canvas.v * 1.3)), colour * 0.6)


def _resample(points: np.ndarray, at: np.ndarray) -> np.ndarray:
    steps = np.concatenate([[0.0], np.cumsum(np.linalg.norm(np.diff(points, axis=0), axis=1))])
    return np.stack([np.interp(at * steps[-1], steps, points[:, k]) for k in range(2)], 1)


def _paint_eye(identity: Identity) -> np.ndarray:
    """36 mm squared around the pupil."""
    y, x = (np.mgrid[:_TILE, :_TILE].astype(np.float32) + 0.5) * (36.0 / _TILE) - 18.0
    radius = np.hypot(x, y)
    picture = np.empty((_TILE, _TILE, 3), np.float32)
    picture[:] = (232, 226, 222)
    picture *= 1 - 0.16 * np.clip((np.abs(x) - 6) / 8, 0, 1)[..., None] * np.array(
        [0.35, 1.0, 1.0], np.float32
    )

    def inside(limit: float, soft: float) -> np.ndarray:
        return (1 / (1 + np.exp(np.clip((radius - limit) / soft, -50, 50))))[..., None]

    iris = np.array(identity.iris, np.float32)
    fibres = 1 + 0.12 * np.sin(np.arctan2(y, x) * 23)[..., None]
    ring = iris * fibres * (1.25 - 0.55 * np.clip(radius / 6.0, 0, 1))[..., None]
    picture += inside(6.0, 0.18) * (ring - picture)
    rim = np.exp(-(((radius - 5.8) / 0.7) ** 2))[..., None]
    picture *= 1 - 0.55 * rim
    picture += inside(2.5, 0.15) * (np.array([14, 12, 12]) - picture)
    # The upper lid and its lashes keep the top of the ball in shade.
    picture *= (1 - 0.45 * np.clip((-y - 1.2) / 4.5, 0, 1))[..., None]
    light = np.exp(-(((x + 1.4) / 0.95) ** 2) - ((y + 1.9) / 0.95) ** 2)[..., None]
    picture += np.clip(1.3 * light, 0, 1) * (250 - picture)
    pink = np.clip((np.abs(x + 14.0) < 2.2) * 1.0, 0, 1)[..., None]
    return picture + pink * 0.5 * (np.array([205, 150, 145]) - picture)


def _paint_teeth() -> np.ndarray:
    """52 mm across; the upper row in the first third, the lower row in the last."""
    y, x = (np.mgrid[:_TILE, :_TILE].astype(np.float32) + 0.5) / _TILE
    across = (x - 0.5) * 52
    picture = np.empty((_TILE, _TILE, 3), np.float32)
    picture[:] = (228, 222, 208)
    edges = np.array([0.0, 8.4, 15.0, 22.4])
    gaps = np.min(np.abs(np.abs(across)[..., None] - edges), axis=-1)
    picture *= (1 - 0.30 * np.exp(-((gaps / 0.35) ** 2)))[..., None]
    picture *= (1 - 0.62 * np.clip((np.abs(across) - 9) / 14, 0, 1))[..., None]
    gum = np.where(y < 0.5, np.clip((0.10 - y) / 0.04, 0, 1), np.clip((y - 0.90) / 0.04, 0, 1))[..., None]
    picture += gum * (np.array([178, 96, 98]) - picture)
    return picture


def _paint_hair(identity: Identity) -> np.ndarray:
    """x around the head, y from crown to tip."""
    rng = np.random.default_rng(identity.texture_seed + 1)
    noise = rng.standard_normal((_TILE, _TILE)).astype(np.float32)
    strands = cv2.GaussianBlur(noise, (0, 0), sigmaX=0.9, sigmaY=22)
    locks = cv2.GaussianBlur(noise[::-1], (0, 0), sigmaX=4.0, sigmaY=40)
    light = 1.05 + 0.13 * strands / strands.std() + 0.12 * locks / locks.std()
    y = np.linspace(0, 1, _TILE, dtype=np.float32)[:, None]
    light = light * (1.0 + 0.28 * np.exp(-(((y - 0.42) / 0.14) ** 2)))
    return np.array(identity.hair, np.float32) * np.clip(light, 0.45, 1.9)[..., None]


def _paint_clothes(identity: Identity) -> np.ndarray:
    """x around the shoulders, y from collar to hem."""
    rng = np.random.default_rng(identity.texture_seed + 2)
    y, x = (np.mgrid[:_TILE, :_TILE].astype(np.float32) + 0.5) / _TILE
    cloth = np.empty((_TILE, _TILE, 3), np.float32)
    cloth[:] = identity.clothes
    folds = cv2.GaussianBlur(
        rng.standard_normal((_TILE, _TILE)).astype(np.float32), (0, 0), sigmaX=7, sigmaY=18
    )
    cloth *= (1 + 0.07 * folds / folds.std())[..., None]
    kind = int(rng.integers(3))
    if kind == 1:
        cloth *= (1 - 0.35 * (np.sin(y * 2 * np.pi * 9) > 0.55))[..., None]
    collar = np.clip(1 - np.abs(y - 0.075) / 0.012, 0, 1) + (y < 0.02)
    cloth *= (1 - 0.5 * np.clip(collar, 0, 1))[..., None]
    if kind == 2:
        cloth *= (1 - 0.45 * (np.abs(x - 0.5) < 0.006) * (y > 0.08))[..., None]
    return np.clip(cloth, 0, 255)


def paint_background(identity: Identity, size: int) -> np.ndarray:
    """(size, size, 3) float32: a wall with soft light, the edge of a frame and of a shelf."""
    rng = np.random.default_rng(identity.texture_seed + 3)
    grid = (np.arange(256 * 2, dtype=np.float32) + 0.5) / 512
    x, y = np.meshgrid(grid, grid)
    wall = np.empty((512, 512, 3), np.float32)
    wall[:] = identity.background
    wall *= (1.06 - 0.35 * np.hypot(x - 0.35, y - 0.3))[..., None]
    left = float(rng.uniform(0.02, 0.10))
    right, top, bottom = (
        left + float(rng.uniform(0.13, 0.18)),
        float(rng.uniform(0.06, 0.2)),
        float(rng.uniform(0.42, 0.6)),
    )
    if rng.random() < 0.5:
        left, right = 1 - right, 1 - left
    tint = np.array(identity.background) * rng.uniform(0.55, 0.85, 3)
    inside = (x > left) & (x < right) & (y > top) & (y < bottom)
    frame = (x > left - 0.014) & (x < right + 0.014) & (y > top - 0.014) & (y < bottom + 0.014) & ~inside
    wall[inside] = tint
    wall[inside] *= (0.85 + 0.3 * ((x + y)[inside] % 0.11 > 0.055))[:, None]
    wall[frame] *= 0.55
    shelf = float(rng.uniform(0.66, 0.74))
    wall[(y > shelf) & (y < shelf + 0.012)] *= 0.7
    wall[y >= shelf + 0.012] *= 0.90
    return np.clip(cv2.resize(wall, (size, size), interpolation=cv2.INTER_AREA), 0, 255)
