"""The head as a portrait: skin, eyes, teeth, hair, shoulders and a still background, lit from the upper left.

Pure NumPy and numba on one thread; the same input gives the same bits. A frame of width S shows the whole 256
crop, so a landmark at x lies at x * S / 256.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from benchmark.data.synthetic import face, head_dress, head_fields, head_raster
from benchmark.data.synthetic.face import HEAD, PIXELS_PER_MM, Identity
from benchmark.data.synthetic.head_mesh import CAVITY, EAR, EYE, SKIN, TEETH, TONGUE
from benchmark.data.synthetic.head_texture import CLOTHES, HAIR, Atlas, paint_background
from models.types import CROP_SIZE

SAMPLES = 2
"""Surface samples per pixel, each way."""

_KEY = (-0.46, -0.52, 0.72, 0.74)
_FILL = (0.62, 0.05, 0.78, 0.16)
_GLOSS = {SKIN: 0.055, EYE: 0.05, TEETH: 0.22, TONGUE: 0.2, CAVITY: 0.0, EAR: 0.03, HAIR: 0.09, CLOTHES: 0.0}
# The eyeball sits within a millimetre of the lids; pushed back for the depth test, a blink cannot cut it.
_EYE_SETBACK = 1.2 * PIXELS_PER_MM


class _Figure:
    """Everything of one identity that does not change from frame to frame."""

    def __init__(self, identity: Identity, size: int) -> None:
        self.head_size = len(HEAD.rest)
        hair, body = head_dress.hair(identity.hairstyle), head_dress.shoulders(_breadth(identity))
        shape = np.asarray(identity.shape)
        hair_points = hair.points + np.tensordot(shape, head_fields.shape_fields(hair.points), 1)
        self.dress = face.to_crop(np.concatenate([hair_points, body.points]))
        starts = (self.head_size, self.head_size + len(hair.points))
        skin_first = np.argsort(HEAD.part[HEAD.triangles[:, 0]] != SKIN, kind="stable")
        self.triangles = np.concatenate(
            [HEAD.triangles[skin_first], hair.triangles + starts[0], body.triangles + starts[1]]
        ).astype(np.int32)
        self.one_sided = int((HEAD.part[HEAD.triangles[:, 0]] == SKIN).sum())
        part = np.concatenate(
            [HEAD.part, np.full(len(hair.points), HAIR), np.full(len(body.points), CLOTHES)]
        )
        plane = np.concatenate([HEAD.plane, hair.plane, body.plane])
        neck = np.clip((172.0 - HEAD.plane[:, 1]) / 46.0, 0, 1)
        self.follows = np.concatenate([np.where(HEAD.part == SKIN, neck, 1.0), hair.follows, body.follows])
        self.follows = (self.follows**2 * (3 - 2 * self.follows)).astype(np.float32)[:, None]
        self.atlas = Atlas(identity, PIXELS_PER_MM * SAMPLES * size / CROP_SIZE)
        gloss = np.array([_GLOSS[k] for k in range(8)])[part]
        lips = np.zeros(len(part))
        for name, rows in HEAD.named.items():
            if name.startswith("lip_") and name[-1] in "123":
                lips[rows] = lips[HEAD.mirror[rows]] = 1.0
        looks = [
            self.atlas.place(part, plane),
            _openness(part, plane)[:, None],
            (gloss + 0.10 * lips)[:, None],
        ]
        self.looks = np.concatenate(looks, 1).astype(np.float32)
        self.setback = np.where(part == EYE, _EYE_SETBACK, 0.0).astype(np.float32)
        self.background = paint_background(identity, size).astype(np.float32)


def _breadth(identity: Identity) -> float:
    return 176.0 + 14.0 * (identity.brow_weight >= 1.0)


def _openness(part: np.ndarray, plane: np.ndarray) -> np.ndarray:
    """(V,) how much of the light reaches a vertex: less under the jaw, inside the mouth and beneath the
    hair."""
    v, x = plane[:, 1], np.abs(plane[:, 0])
    skin = 1 - 0.42 * np.clip((v - 113) / 12, 0, 1) * np.clip((190 - v) / 50, 0, 1)
    skin *= 1 - 0.22 * np.clip((-v - 52) / 14, 0, 1)
    skin *= 1 - 0.25 * np.clip((x - 92) / 18, 0, 1)
    out = np.where(part == SKIN, skin, 1.0)
    for name, rows in HEAD.named.items():
        if name.startswith("lip_") and name[-1] in "45":
            out[rows] = out[HEAD.mirror[rows]] = 0.75 if name[-1] == "4" else 0.35
    out[part == TEETH] = 0.82
    out[part == TONGUE] = 0.62
    out[part == CAVITY] = 0.45
    out[part == EYE] = 0.97
    radius = np.hypot(plane[:, 0], plane[:, 1])
    return np.where(part == EAR, 0.62 + 0.38 * np.clip(radius * 1.2, 0, 1), out)


@lru_cache(maxsize=16)
def _figure(identity: Identity, size: int) -> _Figure:
    return _Figure(identity, size)


class Renderer:
    """Draws portraits of `size` by `size` pixels.

    Raises:
        ValueError: a size outside 32 to 1024.
    """

    def __init__(self, size: int = 128) -> None:
        if not 32 <= size <= 1024:
            raise ValueError(f"expected a frame size between 32 and 1024 pixels, got {size}")
        self.size = size
        fine = size * SAMPLES
        self._depth = np.empty((fine, fine), np.float32)
        self._owner = np.empty((fine, fine), np.int32)
        self._place = np.empty((fine, fine, 2), np.float32)
        lights = np.array([_KEY, _FILL], np.float32)
        lights[:, :3] /= np.linalg.norm(lights[:, :3], axis=1, keepdims=True)
        self._lights = lights

    def render(self, identity: Identity, expression: np.ndarray, pose: np.ndarray) -> np.ndarray:
        """(T, size, size, 3) uint8 RGB of expressions (T, E) under poses (T, 6).

        Raises:
            ValueError: shapes that do not fit, or values that are not finite.
        """
        expression, pose = face.check_expression(expression), np.asarray(pose, dtype=np.float32)
        if pose.shape != (len(expression), 6) or not np.isfinite(pose).all():
            raise ValueError(f"expected finite poses ({len(expression)}, 6), got {pose.shape}")
        figure = _figure(identity, self.size)
        frames = np.empty((len(expression), self.size, self.size, 3), np.uint8)
        for t in range(len(expression)):
            self._frame(figure, identity, expression[t : t + 1], pose[t : t + 1], frames[t])
        return frames

    def _frame(
        self, figure: _Figure, identity: Identity, expression: np.ndarray, pose: np.ndarray, out: np.ndarray
    ) -> None:
        rest = np.concatenate([face.vertices(identity, expression)[0], figure.dress])
        moved = face.posed(rest[None], pose)[0]
        points = np.ascontiguousarray(rest + figure.follows * (moved - rest), dtype=np.float32)
        normals = head_raster.vertex_normals(points, figure.triangles)
        points[:, 2] -= figure.setback
        points *= np.float32(self.size * SAMPLES / CROP_SIZE)
        head_raster.visible(points, figure.triangles, figure.one_sided, self._depth, self._owner, self._place)
        head_raster.shade(
            self._owner, self._place, figure.triangles, normals, figure.looks, figure.atlas.pixels,
            self._lights,
            figure.background, out,
        )  # fmt: skip
