"""The edge sketch: landmark curves, and the target frame's own edges outside the face.

Landmarks are pixels of the 256 crop; drawing happens at the size of the frames, anti-aliased at sub-pixel
positions (the released code truncates to integers). A stroke's consecutive triples of points are joined by
the parabola through them, so a stroke is a fixed linear function of the landmarks.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from itertools import pairwise
from typing import Literal

import cv2
import numpy as np

from models.landmarks.topology import layout_of
from models.types import CROP_SIZE

SHIFT = 4
"""Fractional bits of the coordinates handed to OpenCV."""

SAMPLES = 6
"""Points drawn for each parabola."""


def _parabolas(stroke: Sequence[int], num_points: int) -> np.ndarray:
    """(samples, num_points): the stroke's curve as weights of the landmarks."""
    pieces = []
    for start in range(0, max(1, len(stroke) - 1), 2):
        piece = stroke[start : start + 3]
        t = np.linspace(0, 1, SAMPLES if len(piece) == 3 else 2)
        basis = [(1 - t) * (1 - 2 * t), 4 * t * (1 - t), t * (2 * t - 1)] if len(piece) == 3 else [1 - t, t]
        weights = np.zeros((len(t), num_points), np.float32)
        for point, weight in zip(piece, basis, strict=True):
            weights[:, point] += weight
        pieces.append(weights)
    return np.concatenate(pieces)


@cache
def _curves(layout_points: int) -> tuple[np.ndarray, tuple[slice, ...]]:
    """Weights of all strokes below each other, and where each stroke's samples lie."""
    layout = layout_of(np.empty((layout_points, 2)))
    strokes = [_parabolas(stroke, layout_points) for stroke in layout.strokes]
    ends = np.cumsum([0, *(len(stroke) for stroke in strokes)])
    return np.concatenate(strokes), tuple(slice(a, b) for a, b in pairwise(ends))


def _fixed(points: np.ndarray, size: int) -> np.ndarray:
    """Crop pixels to OpenCV's fixed point, whose (0, 0) is the centre of the first pixel."""
    return np.round((points * (size / CROP_SIZE) - 0.5) * (1 << SHIFT)).astype(np.int32)


def face_mask(landmarks: np.ndarray, size: int, margin: float = 0.03) -> np.ndarray:
    """Where the face is: (size, size) uint8, 255 inside the contour and the forehead mirrored from it.

    The forehead is the contour reflected at the height of its ends and lowered to two thirds. The mask is
    widened by `margin` of the frame, so that edges of the chin itself stay out of the background.
    """
    contour = landmarks[layout_of(landmarks).region("contour")]
    top = contour[[0, -1], 1].mean()
    forehead = contour[1:-1][::-1].copy()
    forehead[:, 1] = top + (top - forehead[:, 1]) * 2 / 3
    mask = np.zeros((size, size), np.uint8)
    cv2.fillPoly(mask, [_fixed(np.concatenate([contour, forehead]), size)], (255,), cv2.LINE_8, SHIFT)
    width = 2 * round(margin * size) + 1
    return cv2.dilate(mask, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (width, width)))


def frame_edges(frame: np.ndarray) -> np.ndarray:
    """Canny edges of an RGB frame (h, w, 3) uint8 as (h, w) uint8: sigma 1, thresholds 0.1 and 0.2."""
    grey = cv2.GaussianBlur(cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY), (0, 0), 1.0)
    return cv2.Canny(grey, 25.5, 51.0, L2gradient=True)


class EdgeSketch:
    """Draws the renderer's condition: the same for the target's own landmarks and for predicted ones.

    Args:
        channels: "full" is EVP's: one map of all edges and, for each of the 14 strokes, its distance map.
            "simple" has three: face strokes, the inside of the mouth, the target's edges outside the face.
        size: side of the frames in pixels.
    """

    def __init__(self, *, channels: Literal["simple", "full"], size: int) -> None:
        if channels not in ("simple", "full"):
            raise ValueError(f"expected channels simple or full, got {channels!r}")
        self.channels = channels
        self.size = size

    @property
    def num_channels(self) -> int:
        return 15 if self.channels == "full" else 3

    def draw(
        self, landmarks: np.ndarray, frame: np.ndarray, frame_landmarks: np.ndarray | None = None
    ) -> np.ndarray:
        """One condition map (channels, size, size) uint8.

        Args:
            landmarks: (68 or 106, 2) pixels of the 256 crop, what the face shall do.
            frame: (size, size, 3) uint8 RGB of the target, whose edges outside both faces are kept.
            frame_landmarks: the face in that frame; by default the same as `landmarks`.

        Raises:
            ValueError: a landmark is not finite, or the frame has another size.
        """
        if not np.isfinite(landmarks).all():
            raise ValueError("expected finite landmarks to draw, got NaN; fill missing frames first")
        if frame.shape != (self.size, self.size, 3) or frame.dtype != np.uint8:
            expected = f"({self.size}, {self.size}, 3) uint8"
            raise ValueError(f"expected a frame {expected}, got {frame.shape} {frame.dtype}")
        weights, strokes = _curves(layout_of(landmarks).num_points)
        curves = _fixed(weights @ landmarks, self.size)
        background = self._background(landmarks, frame, frame_landmarks)
        if self.channels == "full":
            return self._full([curves[stroke] for stroke in strokes], background)
        sketch = np.zeros((3, self.size, self.size), np.uint8)
        self._draw_strokes(sketch[0], [curves[stroke] for stroke in strokes])
        inner = np.concatenate([curves[stroke] for stroke in strokes[-2:]])
        cv2.fillPoly(sketch[1], [inner], (255,), cv2.LINE_AA, SHIFT)
        sketch[2] = background
        return sketch

    def draw_clip(
        self, landmarks: np.ndarray, frames: np.ndarray, frame_landmarks: np.ndarray | None = None
    ) -> np.ndarray:
        """A clip's condition maps (time, channels, size, size) uint8; arguments as `draw`, time first."""
        faces = landmarks if frame_landmarks is None else frame_landmarks
        maps = np.empty((len(landmarks), self.num_channels, self.size, self.size), np.uint8)
        for k, (points, frame, face) in enumerate(zip(landmarks, frames, faces, strict=True)):
            maps[k] = self.draw(points, frame, face)
        return maps

    def _background(self, landmarks: np.ndarray, frame: np.ndarray, other: np.ndarray | None) -> np.ndarray:
        mask = face_mask(landmarks, self.size)
        if other is not None and other is not landmarks:
            mask |= face_mask(other, self.size)
        edges = frame_edges(frame)
        edges[mask > 0] = 0
        return edges

    @staticmethod
    def _draw_strokes(canvas: np.ndarray, strokes: Sequence[np.ndarray]) -> None:
        cv2.polylines(canvas, list(strokes), False, (255,), 1, cv2.LINE_AA, SHIFT)

    def _full(self, strokes: Sequence[np.ndarray], background: np.ndarray) -> np.ndarray:
        maps = np.empty((15, self.size, self.size), np.uint8)
        maps[0] = background
        for k, stroke in enumerate(strokes, 1):
            drawn = np.zeros((self.size, self.size), np.uint8)
            self._draw_strokes(drawn, [stroke])
            np.maximum(maps[0], drawn, out=maps[0])
            away = cv2.distanceTransform(np.where(drawn > 127, 0, 255).astype(np.uint8), cv2.DIST_L1, 3)
            maps[k] = np.minimum(away / 3, 255)
        return maps
