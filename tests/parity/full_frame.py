"""The condition map by the plainest means: everything on the whole frame, one fit per three points.

scikit-image's Canny, NumPy's least squares, one distance transform of the frame per stroke. And something to
draw: `face` and `scene`.
"""

from __future__ import annotations

import warnings

import cv2
import numpy as np
from PIL import Image
from skimage.feature import canny

from models.landmarks.topology import to_106

BROW_A, BROW_B = [37, 36, 35, 34, 33, 64, 65, 66, 67, 37], [38, 39, 40, 41, 42, 71, 70, 69, 68, 38]
STROKES = [
    list(range(33)),
    BROW_A,
    BROW_B,
    [44, 47],
    [47, 48, 49, 50, 51],
    [51, 44],
    [52, 53, 54, 55],
    [55, 56, 57, 52],
    [58, 59, 60, 61],
    [61, 62, 63, 58],
    [84, 85, 86, 87, 88, 89, 90],
    [90, 91, 92, 93, 94, 95, 84],
    [96, 97, 98, 99, 100],
    [100, 101, 102, 103, 96],
]


def whole(values: np.ndarray) -> np.ndarray:
    """Fractions cut off, where the last bits of a sum don't count as one."""
    return np.trunc(values + np.copysign(1e-6, values)).astype(int)


def curve(xs: list[float], ys: list[float], sub_pixel: bool) -> tuple[np.ndarray, np.ndarray] | None:
    """Pixels of a piece of two or three points; None if it may not be drawn as a curve."""
    if np.abs(np.diff(xs)).max() < np.abs(np.diff(ys)).max():
        swapped = curve(ys, xs, sub_pixel)
        return None if swapped is None else (swapped[1], swapped[0])
    if len(xs) == 3 and len(set(xs)) < 3:
        return None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        fit = np.polyfit(xs, ys, len(xs) - 1) if len(set(xs)) > 1 else np.array([ys[0]])
    if len(xs) == 3 and abs(fit[0]) > 1 + 1e-6:
        return None
    first, last = sorted([xs[0], xs[-1]])
    count = int(last - first)
    x = np.linspace(first, last, max(count, 2) if sub_pixel else count)
    return whole(x), whole(np.polyval(fit, x))


def paint(canvas: np.ndarray, pixels: tuple[np.ndarray, np.ndarray]) -> None:
    height, width = canvas.shape
    for dx in (-1, 0):
        for dy in (-1, 0):
            x, y = pixels[0] + dx, pixels[1] + dy
            canvas[np.clip(y, 0, height - 1), np.clip(x, 0, width - 1)] = 255


def draw_stroke(points: np.ndarray, drawn: np.ndarray, measured: np.ndarray, sub_pixel: bool, repaired: bool):
    i = 0
    while i < max(1, len(points) - 1):
        piece = points[i : i + 3]
        if len(piece) == 3 and (np.array_equal(*piece[:2]) or np.array_equal(*piece[1:])):
            piece = piece[[0, 2]]
        found = curve(*piece.T.tolist(), sub_pixel)
        if found is not None:
            paint(drawn, found)
            paint(measured, found)
        else:
            for two in (piece[:2], piece[1:]):
                segment = curve(*two.T.tolist(), sub_pixel)
                paint(drawn, segment)
                if repaired:
                    paint(measured, segment)
        i += 2


def region_labels(points: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    points = points.astype(int)
    middle = (points[0, 1] + points[32, 1]) / 2
    forehead = [[points[p, 0], int(middle + (middle - points[p, 1]) * 2 // 3)] for p in range(31, 0, -1)]
    labels = np.zeros(shape, np.uint8)
    parts = [(1, np.concatenate([points[:33], forehead, points[:1]]))]
    parts += [(2, points[BROW_A]), (2, points[BROW_B]), (3, points[[44, 47, 48, 49, 50, 51, 44]])]
    parts += [(4, points[52:58]), (4, points[58:64]), (5, points[84:96]), (6, points[96:104])]
    for label, outline in parts:
        cv2.fillPoly(labels, [outline.astype(np.int32)], label)
    return labels


def full_frame_condition(
    points: np.ndarray, frame: np.ndarray, *, sub_pixel: bool = True, repaired: bool = True
) -> np.ndarray:
    """(15, h, w) uint8 of 106 points in pixels of the frame (h, w, 3) uint8."""
    height, width = frame.shape[:2]
    background = canny(np.array(Image.fromarray(frame).convert("L")))
    background[region_labels(points, (height, width)) > 0] = False
    points = points if sub_pixel else np.trunc(points)
    sketch = np.zeros((height, width), np.uint8)
    maps = []
    for stroke in STROKES:
        measured = np.zeros((height, width), np.uint8)
        draw_stroke(points[stroke], sketch, measured, sub_pixel, repaired)
        away = cv2.distanceTransform(255 - measured, cv2.DIST_L1, 3)
        maps.append(np.clip(away / 3, 0, 255).astype(np.uint8))
    both = sketch + 255 * background.astype(int)
    edges = np.minimum(both, 255) if repaired else np.where(both > 255, 254, both)
    return np.stack([edges.astype(np.uint8), *maps])


def face(rng: np.random.Generator, centre: tuple[float, float], width: float, jitter: float) -> np.ndarray:
    """(106, 2) points roughly of a face, each off by `jitter` of its width."""
    angle = np.linspace(-1.7, 1.7, 17)
    contour = np.stack([np.sin(angle), 0.15 + 1.1 * np.cos(angle)], -1)
    t = np.linspace(0, 1, 5)
    brow = np.stack([-0.8 + 0.6 * t, -0.55 - 0.12 * np.sin(np.pi * t)], -1)
    bridge = np.stack([np.zeros(4), np.linspace(-0.35, 0.15, 4)], -1)
    base = np.stack([np.linspace(-0.2, 0.2, 5), 0.27 + 0.06 * np.sin(np.pi * t)], -1)
    eye = np.array([[-0.17, 0], [-0.07, -0.08], [0.07, -0.08], [0.17, 0], [0.07, 0.06], [-0.07, 0.06]])
    eyes = [eye + np.array([side, -0.32]) for side in (-0.45, 0.45)]
    outer, inner = 2 * np.pi * np.arange(12) / 12, 2 * np.pi * np.arange(8) / 8
    lips = [np.stack([-0.35 * np.cos(outer), 0.65 - 0.2 * np.sin(outer)], -1)]
    lips += [np.stack([-0.25 * np.cos(inner), 0.65 - 0.08 * np.sin(inner)], -1)]
    points = np.concatenate([contour, brow, brow[::-1] * [-1, 1], bridge, base, *eyes, *lips])
    points = to_106(points * width / 2 + centre)
    return points + rng.normal(0, jitter * width, points.shape)


def scene(rng: np.random.Generator, height: int, width: int, blur: float) -> np.ndarray:
    """A frame with texture, straight edges and curves."""
    frame = cv2.GaussianBlur(rng.integers(0, 256, (height, width, 3), dtype=np.uint8), (0, 0), blur)
    frame = cv2.normalize(frame, None, 0, 255, cv2.NORM_MINMAX)
    frame[:, : width // 4] //= 2
    cv2.circle(frame, (2 * width // 3, height // 2), height // 3, (90, 200, 240), -1)
    return frame
