"""Expressions that a target's own video does not show, made by bending its frames.

A renderer draws what it has seen. Who speaks calmly raises no corners of the mouth and drops no jaw, and
landmarks that ask for it are drawn as smears. So a renderer also learns from the same frames with mouth and
brows pulled about, and landmarks that were pulled along.
"""

from __future__ import annotations

import cv2
import numpy as np

from models.landmarks.topology import IBUG68
from models.types import CROP_SIZE

REACH = 12.0
"""Pixels of the 256 crop over which skin follows a landmark."""
STIFF = 0.3
"""How much skin between landmarks stays where it is."""
GRID = 64
"""Side of the grid that the bend is computed on; it is smooth."""
CORNERS_OUT, CORNERS_DOWN, LIP_DOWN, BROWS_DOWN = (-5.0, 13.0), (-12.0, 12.0), (0.0, 10.0), (-9.0, 6.0)
"""Least and most that each is pulled, in pixels of the 256 crop; the skin gives way to a part of it."""
LOWER_LIP, CHIN = (*range(55, 60), *range(65, 68)), tuple(range(6, 11))


def bent(
    landmarks: np.ndarray, frames: np.ndarray, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """A clip with one random expression laid over all of its frames.

    Args:
        landmarks: (frames, 68, 2), finite.
        frames: (frames, size, size, 3) uint8 of the same crop.
    """
    limits = (CORNERS_OUT, CORNERS_DOWN, LIP_DOWN, BROWS_DOWN)
    pulls = [rng.uniform(*each) for each in limits]
    moved, pictures = np.empty_like(landmarks), np.empty_like(frames)
    for k, (points, frame) in enumerate(zip(landmarks, frames, strict=True)):
        offsets = _offsets(points, *pulls)
        field = _field(points, offsets, len(frame))
        y, x = np.mgrid[: len(frame), : len(frame)].astype(np.float32)
        shift = field * (len(frame) / CROP_SIZE)
        pictures[k] = cv2.remap(
            frame, x - shift[..., 0], y - shift[..., 1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
        )
        moved[k] = _followed(points, field)
    return moved, pictures


def _offsets(points: np.ndarray, out: float, down: float, lip: float, brows: float) -> np.ndarray:
    """(68, 2): the corners of the mouth, the lower lip with the chin, and the brows are pulled."""
    offsets = np.zeros((68, 2))
    mouth = list(IBUG68.regions["mouth"])
    across = points[mouth, 0] - points[mouth, 0].mean()
    share = across / max(float(np.abs(across).max()), 1e-6)
    offsets[mouth] = np.stack([out * share, down * share**2], 1)
    offsets[list(LOWER_LIP), 1] += lip * (1 - share[[k - 48 for k in LOWER_LIP]] ** 2)
    offsets[list(CHIN), 1] = lip
    offsets[list(IBUG68.regions["brows"]), 1] = brows
    return offsets


def _field(points: np.ndarray, offsets: np.ndarray, size: int) -> np.ndarray:
    """(size, size, 2) how far what is now at each pixel was moved, in pixels of the 256 crop."""
    centres = (np.arange(GRID) + 0.5) * (CROP_SIZE / GRID)
    wide, high = (np.exp(-((centres[:, None] - points[:, axis]) ** 2) / (2 * REACH**2)) for axis in (0, 1))
    weights = high[:, None] * wide[None]
    field = weights @ offsets / (weights.sum(-1, keepdims=True) + STIFF)
    return cv2.resize(field.astype(np.float32), (size, size), interpolation=cv2.INTER_LINEAR)


def _followed(points: np.ndarray, field: np.ndarray) -> np.ndarray:
    """Where the points (68, 2) went: q with q - field(q) = p, by fixed-point iteration."""
    scale = len(field) / CROP_SIZE
    there = points.astype(np.float32)
    for _ in range(6):
        at = there * scale - 0.5
        step = cv2.remap(
            field, at[:, None, 0], at[:, None, 1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
        )
        there = (points + step[:, 0]).astype(np.float32)
    return there
