"""The released rules for drawing a face: strokes as chains of parabolas, distance maps, the face's region.

A point at x lies in pixel floor(x): (0, 0) is the outer corner of the first pixel.
"""

from __future__ import annotations

import cv2
import numpy as np
from numba import njit

from models.landmarks.topology import EVP106
from models.rendering.canny import Box

STEEPEST = 1.0
"""Largest |a|, 1/pixel, of a parabola y = a x^2 + b x + c that is drawn; beyond it, two segments are."""

DISTANCE_STEP = 3
"""Pixels of L1 distance to one level of a distance map."""

_FAR = 10_000
"""Pixels; farther than any distance that a map tells apart."""

_CLOSE = 1e-6
"""How far below a whole number a coordinate still counts as that number, so that the last bits of a sum do
not decide where a curve through whole pixels goes."""

_NOSE = (44, *range(47, 52), 44)
REGIONS: tuple[tuple[int, tuple[int, ...]], ...] = (
    (2, EVP106.strokes[1]),
    (2, EVP106.strokes[2]),
    (3, _NOSE),
    (4, EVP106.eye_a),
    (4, EVP106.eye_b),
    (5, EVP106.regions["outer_mouth"]),
    (6, EVP106.regions["inner_mouth"]),
)
"""Labels and outlines of the parts of a face, in the order they are filled, after the face itself (1)."""


def trace(points: np.ndarray, *, sub_pixel: bool) -> np.ndarray:
    """The samples of a stroke through (n, 2) pixels: (samples, 3) int32, x, y, and 1 for a rejected fit.

    Three points at a time, two of which are new, are joined by the parabola through them, y over x or, where
    the steps are larger downwards, x over y. It is sampled about once per pixel between its first and last
    point. One that bends more than `STEEPEST`, or is none as two abscissae are equal, is rejected for the two
    straight segments. Two equal points are one.

    Args:
        points: the stroke's landmarks.
        sub_pixel: whether coordinates keep their fractions until a sample is drawn. As released they are cut
            off before, and a piece shorter than a pixel vanishes, which here keeps its two ends.
    """
    points = np.ascontiguousarray(points if sub_pixel else np.trunc(points), np.float64)
    length = np.abs(np.diff(points, axis=0)).sum()
    samples = np.empty((int(2 * length) + 8 * len(points), 3), np.int32)
    return samples[: _trace(points, sub_pixel, samples)]


@njit(cache=True)
def _trace(points: np.ndarray, sub_pixel: bool, out: np.ndarray) -> int:
    done = 0
    for i in range(0, max(1, len(points) - 1), 2):
        if i + 2 >= len(points):
            done = _line(points[i], points[i + 1], sub_pixel, 0, out, done)
            continue
        first, middle, last = points[i], points[i + 1], points[i + 2]
        if _same(first, middle) or _same(middle, last):
            done = _line(first, last, sub_pixel, 0, out, done)
            continue
        over_y = _over_y(first, middle, last)
        x0, y0 = _axes(first, over_y)
        x1, y1 = _axes(middle, over_y)
        x2, y2 = _axes(last, over_y)
        rejected = x0 in (x1, x2) or x1 == x2
        slope, bend = 0.0, 0.0
        if not rejected:
            slope = (y1 - y0) / (x1 - x0)
            bend = ((y2 - y1) / (x2 - x1) - slope) / (x2 - x0)
            rejected = abs(bend) > STEEPEST + _CLOSE
        if rejected:
            done = _line(first, middle, sub_pixel, 1, out, done)
            done = _line(middle, last, sub_pixel, 1, out, done)
            continue
        count, start, step = _sampling(x0, x2, sub_pixel)
        for k in range(count):
            x = start + k * step if k < count - 1 or count == 1 else max(x0, x2)
            y = y0 + (x - x0) * (slope + bend * (x - x1))
            done = _put(x, y, over_y, 0, out, done)
    return done


@njit(cache=True)
def _line(
    first: np.ndarray, last: np.ndarray, sub_pixel: bool, rejected: int, out: np.ndarray, done: int
) -> int:
    over_y = _over_y(first, first, last)
    x0, y0 = _axes(first, over_y)
    x1, y1 = _axes(last, over_y)
    slope = (y1 - y0) / (x1 - x0) if x1 != x0 else 0.0
    count, start, step = _sampling(x0, x1, sub_pixel)
    for k in range(count):
        x = start + k * step if k < count - 1 or count == 1 else max(x0, x1)
        done = _put(x, y0 + (x - x0) * slope, over_y, rejected, out, done)
    return done


@njit(cache=True)
def _same(a: np.ndarray, b: np.ndarray) -> bool:
    return a[0] == b[0] and a[1] == b[1]


@njit(cache=True)
def _over_y(first: np.ndarray, middle: np.ndarray, last: np.ndarray) -> bool:
    across = max(abs(middle[0] - first[0]), abs(last[0] - middle[0]))
    down = max(abs(middle[1] - first[1]), abs(last[1] - middle[1]))
    return across < down


@njit(cache=True)
def _axes(point: np.ndarray, over_y: bool) -> tuple[float, float]:
    return (point[1], point[0]) if over_y else (point[0], point[1])


@njit(cache=True)
def _sampling(first: float, last: float, sub_pixel: bool) -> tuple[int, float, float]:
    """How many samples, from where, how far apart: evenly from the smaller to the larger."""
    count = int(abs(last - first))
    if sub_pixel:
        count = max(count, 2)
    return count, min(first, last), abs(last - first) / max(count - 1, 1)


@njit(cache=True)
def _put(x: float, y: float, over_y: bool, rejected: int, out: np.ndarray, done: int) -> int:
    a, b = int(x + np.copysign(_CLOSE, x)), int(y + np.copysign(_CLOSE, y))
    out[done, 0], out[done, 1] = (b, a) if over_y else (a, b)
    out[done, 2] = rejected
    return done + 1


def extent(samples: np.ndarray, frame: Box) -> Box:
    """The pixels that `stamp` may mark."""
    x, y = samples[:, 0], samples[:, 1]
    left, right = np.clip([x.min() - 1, x.max()], 0, frame.width - 1)
    top, bottom = np.clip([y.min() - 1, y.max()], 0, frame.height - 1)
    return Box.spanning(int(left), int(top), int(right) + 1, int(bottom) + 1)


@njit(cache=True)
def stamp(
    canvas: np.ndarray, samples: np.ndarray, left: int, top: int, width: int, height: int, rejected: bool
) -> None:
    """Mark 2 x 2 pixels (a sample's own, and those left and above) of each sample with 255.

    Args:
        canvas: (h, w) uint8, the part of a frame of width x height whose first pixel is (left, top).
        samples: see `trace`; what lies outside the frame is moved to its border.
        rejected: whether samples of rejected fits are marked too.
    """
    for k in range(len(samples)):
        if samples[k, 2] and not rejected:
            continue
        for across in range(2):
            for down in range(2):
                x = min(max(samples[k, 0] - across, 0), width - 1) - left
                y = min(max(samples[k, 1] - down, 0), height - 1) - top
                canvas[y, x] = 255


@njit(cache=True, error_model="numpy")
def distance_map(marked: np.ndarray) -> np.ndarray:
    """L1 distance of each pixel (h, w) to the nearest marked one, in steps of three pixels, at most 255."""
    height, width = marked.shape
    away = np.empty((height, width), np.uint16)
    for i in range(height):
        row, source = away[i], marked[i]
        found = np.uint8(0)
        for j in range(width):
            found |= source[j]
        if found:
            steps = _FAR
            for j in range(width):
                steps = 0 if source[j] else steps + 1
                row[j] = min(steps, _FAR)
            for j in range(width - 1, -1, -1):
                steps = 0 if source[j] else steps + 1
                row[j] = min(steps, row[j])
        else:
            row[:] = _FAR
        if i:
            above = away[i - 1]
            for j in range(width):
                near = above[j] + 1
                row[j] = near if near < row[j] else row[j]
    out = np.empty((height, width), np.uint8)
    below = np.full(width, np.uint16(_FAR))
    for i in range(height - 1, -1, -1):
        row, levels = away[i], out[i]
        for j in range(width):
            near = below[j] + 1
            below[j] = near if near < row[j] else row[j]
        for j in range(width):
            levels[j] = min(below[j] // DISTANCE_STEP, 255)
    return out


def face_outline(points: np.ndarray) -> np.ndarray:
    """The contour of (106, 2) points and a forehead mirrored from it, as whole pixels (64, 2).

    Contour points 31 to 1 are reflected at the height of the contour's ends, and lowered to two thirds.
    """
    contour = np.trunc(points[:33]).astype(np.int64)
    ends = (contour[0, 1] + contour[32, 1]) / 2
    forehead = contour[31:0:-1].copy()
    forehead[:, 1] = np.trunc(ends + np.floor((ends - forehead[:, 1]) * 2 / 3))
    return np.concatenate([contour, forehead])


def face_regions(points: np.ndarray, box: Box) -> np.ndarray:
    """Labels (height, width) uint8 of a box of a frame with a face of (106, 2) pixels.

    0 background, 1 face and forehead, 2 brows, 3 nose, 4 eyes, 5 outer and 6 inner mouth.
    """
    labels = np.zeros((box.height, box.width), np.uint8)
    offset = (-box.left, -box.top)
    outlines = [(1, face_outline(points))]
    outlines += [(label, np.trunc(points[list(part)]).astype(np.int64)) for label, part in REGIONS]
    for label, outline in outlines:
        cv2.fillPoly(labels, [outline.astype(np.int32)], (label,), offset=offset)
    return labels
