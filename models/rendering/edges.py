"""The edge sketch: landmark curves, and the target frame's own edges outside the face.

Landmarks are pixels of the 256 crop, and drawing happens at the size of the frames. For a video's own frames
there are `crop_box` and `EdgeSketch.draw_in_frame`: what the whole frame would give, computed only where it
is needed.

The full condition map follows the released rules (`models.rendering.strokes`, `models.rendering.canny`) but
for three defects, which can be had back: here landmarks keep their fractions until a pixel is marked; a
segment drawn in place of a rejected curve is in its stroke's distance map too; and where a stroke crosses an
edge the sum is 255, not wrapped to 254. Whatever the layout, its strokes are those of the 106 points.

The simple sketch is anti-aliased, which small frames need: there a stroke's triples of points are joined by
the parabola through them, a fixed linear function of the landmarks.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from itertools import pairwise
from typing import Literal

import cv2
import numpy as np
import torch
from torch.nn import functional

from models.landmarks.topology import EVP106, layout_of, to_106
from models.rendering.canny import Box, canny
from models.rendering.strokes import distance_map, extent, face_outline, face_regions, stamp, trace
from models.types import CROP_SIZE

Channels = Literal["simple", "line", "full"]
Rounding = Literal["none", "released"]

CROP_WIDENING = 2.1
"""Side of the crop over the width of the landmarks. As released for EVP; vid2vid's is 2.5."""

FARTHEST = 32_000
"""Pixels from the frame's origin beyond which a landmark is no landmark."""

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


def crop_box(landmarks: np.ndarray, frame_shape: tuple[int, ...]) -> Box:
    """The square of a frame that the renderer draws, from the face in the first frame of a sequence.

    `CROP_WIDENING` times as wide as the landmarks, about their middle and a quarter of their height, moved
    until it lies inside the frame, whose shorter side it never exceeds. The released resize rule (width 512;
    height in proportion; both rounded to multiples of 4, then of 32) makes it 512 x 512.

    Args:
        landmarks: (68 or 106, 2) pixels of the frame.
        frame_shape: (height, width, ...).

    Raises:
        ValueError: a landmark is not finite, or the face is not a pixel wide.
    """
    _require_drawable(landmarks)
    height, width = frame_shape[:2]
    (left, top), (right, bottom) = landmarks.min(0).astype(float), landmarks.max(0).astype(float)
    half = int(min(CROP_WIDENING * (right - left) // 2, width // 2, height // 2))
    if half < 1:
        raise ValueError(f"expected a face in the frame, got landmarks {right - left:g} pixels wide")
    x, y = (left + right) // 2, (3 * top + bottom) // 4
    x = min(max(x, half), width - half)
    y = min(max(y, half), height - half)
    return Box(int(x - half), int(y - half), 2 * half, 2 * half)


def to_crop(landmarks: np.ndarray, box: Box) -> np.ndarray:
    """Pixels of a frame as pixels of the 256 crop that the square box cuts from it."""
    moved = landmarks - np.array([box.left, box.top], landmarks.dtype)
    return (moved * (CROP_SIZE / box.width)).astype(np.float32)


class EdgeSketch:
    """Draws the renderer's condition: the same for the target's own landmarks and for predicted ones.

    Args:
        channels: "full" is EVP's: one map of all edges and, for each of the 14 strokes, its distance map.
            "line" has the first of those alone. "simple" has three: face strokes, the inside of the mouth,
            the target's edges outside the face.
        size: side of the frames in pixels.
        rounding: "released" cuts off the fractions of landmarks before drawing, so that a slow face jumps
            by pixels; "none" keeps them until a pixel is marked. The simple sketch has no use for it.
        repaired: False leaves out of a distance map what was drawn for a rejected curve, and lets a sum of
            stroke and edge wrap to 254: as released. Only for full and line.
    """

    def __init__(
        self, *, channels: Channels, size: int, rounding: Rounding = "none", repaired: bool = True
    ) -> None:
        if channels not in ("simple", "line", "full"):
            raise ValueError(f"expected channels simple, line or full, got {channels!r}")
        if rounding not in ("none", "released"):
            raise ValueError(f"expected rounding none or released, got {rounding!r}")
        if channels == "simple" and (rounding == "released" or not repaired):
            raise ValueError(
                "the simple sketch is not drawn by the released rules: use channels=full or line"
            )
        self.channels = channels
        self.size = size
        self.sub_pixel = rounding == "none"
        self.repaired = repaired

    @property
    def num_channels(self) -> int:
        return {"simple": 3, "line": 1, "full": 15}[self.channels]

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
        _require_drawable(landmarks)
        if frame.shape != (self.size, self.size, 3) or frame.dtype != np.uint8:
            expected = f"({self.size}, {self.size}, 3) uint8"
            raise ValueError(f"expected a frame {expected}, got {frame.shape} {frame.dtype}")
        if self.channels != "simple":
            scale = self.size / CROP_SIZE
            other = None if frame_landmarks is None else frame_landmarks * scale
            return self._released(landmarks * scale, frame, other, Box.whole(frame.shape))
        weights, strokes = _curves(layout_of(landmarks).num_points)
        curves = _fixed(weights @ landmarks, self.size)
        sketch = np.zeros((3, self.size, self.size), np.uint8)
        self._draw_strokes(sketch[0], [curves[stroke] for stroke in strokes])
        inner = np.concatenate([curves[stroke] for stroke in strokes[-2:]])
        cv2.fillPoly(sketch[1], [inner], (255,), cv2.LINE_AA, SHIFT)
        sketch[2] = self._background(landmarks, frame, frame_landmarks)
        return sketch

    def draw_in_frame(
        self, landmarks: np.ndarray, frame: np.ndarray, box: Box, frame_landmarks: np.ndarray | None = None
    ) -> np.ndarray:
        """The condition map (channels, size, size) uint8 of a box of a whole frame.

        The full map is drawn in the frame's own pixels and then resized, as released, and equals that of the
        whole frame to the last pixel. The others are drawn on the resized crop.

        Args:
            landmarks: (68 or 106, 2) pixels of the frame.
            frame: (h, w, 3) uint8 RGB.
            box: the square to draw, for instance `crop_box` of the first frame.
            frame_landmarks: the face in that frame; by default the same as `landmarks`.

        Raises:
            ValueError: a landmark is not finite, or the box is not a square inside the frame.
        """
        _require_drawable(landmarks)
        whole = Box.whole(frame.shape)
        if frame.ndim != 3 or frame.shape[2] != 3 or frame.dtype != np.uint8:
            raise ValueError(f"expected a frame (h, w, 3) uint8, got {frame.shape} {frame.dtype}")
        if box.width != box.height or box.width < 1 or box.joined(whole) != whole:
            raise ValueError(
                f"expected a square inside the frame of {whole.width} x {whole.height}, got {box}"
            )
        if self.channels == "full":
            return shrunk(self._released(landmarks, frame, frame_landmarks, box), self.size)
        rows, columns = box.within(whole)
        how = cv2.INTER_AREA if box.width > self.size else cv2.INTER_CUBIC
        crop = cv2.resize(frame[rows, columns], (self.size, self.size), interpolation=how)
        other = None if frame_landmarks is None else to_crop(frame_landmarks, box)
        return self.draw(to_crop(landmarks, box), crop, other)

    def _released(
        self, landmarks: np.ndarray, frame: np.ndarray, other: np.ndarray | None, box: Box
    ) -> np.ndarray:
        """The maps (channels, height, width) of a box, landmarks in pixels of the frame."""
        whole = Box.whole(frame.shape)
        faces = [to_106(points).astype(np.float64) for points in (landmarks, other) if points is not None]
        strokes = [trace(faces[0][list(stroke)], sub_pixel=self.sub_pixel) for stroke in EVP106.strokes]
        # Distances and filled outlines are those of the whole frame if all that is drawn lies in the part.
        part = box
        for samples in strokes:
            if len(samples):
                part = part.joined(extent(samples, whole))
        for face in faces:
            x, y = face_outline(face).T
            outline = Box.spanning(int(x.min()), int(y.min()), int(x.max()) + 1, int(y.max()) + 1)
            part = part.joined(outline).grown(0, whole)
        inside = box.within(part)
        background = canny(frame, box)
        for face in faces:
            background[face_regions(face, part)[inside] > 0] = 0
        maps = np.empty((self.num_channels, box.height, box.width), np.uint8)
        face = np.zeros((part.height, part.width), np.uint8)
        where = (part.left, part.top, whole.width, whole.height)
        for k, samples in enumerate(strokes, 1):
            stamp(face, samples, *where, True)
            if self.channels == "full":
                drawn = np.zeros_like(face)
                stamp(drawn, samples, *where, self.repaired)
                maps[k] = distance_map(drawn)[inside]
        maps[0] = cv2.max(face[inside], background) if self.repaired else face[inside] + background
        return maps

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


def shrunk(maps: np.ndarray, size: int) -> np.ndarray:
    """Condition maps (channels, h, w) uint8 at (channels, size, size): bilinear, as Pillow defines it.

    Its triangle widens as the image shrinks. In a distance map, which is a plane almost everywhere, that
    changes a level at most, so only the first map pays for it.
    """
    if maps.shape[1:] == (size, size):
        return maps
    out = np.empty((len(maps), size, size), np.uint8)
    first = torch.from_numpy(np.ascontiguousarray(maps[None, :1]))
    out[0] = functional.interpolate(first, (size, size), mode="bilinear", antialias=True)[0, 0].numpy()
    for source, target in zip(maps[1:], out[1:], strict=True):
        cv2.resize(source, (size, size), dst=target, interpolation=cv2.INTER_LINEAR)
    return out


def _require_drawable(landmarks: np.ndarray) -> None:
    if not np.isfinite(landmarks).all():
        raise ValueError("expected finite landmarks to draw, got NaN; fill missing frames first")
    if np.abs(landmarks).max() > FARTHEST:
        raise ValueError(f"expected landmarks in pixels, got one at {np.abs(landmarks).max():g}")
