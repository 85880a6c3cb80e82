"""The feature curves of the rest head, image-right half: eyelid margins, lips, brows, nose, jaw line.

Each curve is a polyline of (x, y) or (x, y, z) millimetres in the axes of `head_surface`. They are lines of
the mesh, so the landmarks on them are vertices. Where the points lie follows the iBUG 68 annotation: the
contour runs from the front of the ear along the jaw, brows along their upper edge, lids on their margins,
lips on the border of the red.
"""

from __future__ import annotations

import numpy as np
from scipy.interpolate import PchipInterpolator

EYE_INNER, EYE_OUTER = (16.8, 2.2), (45.6, -0.6)
PUPIL = (31.5, -0.2)
LID_SAMPLES = 10
"""Intervals along a lid margin; the landmarks stand at 3 and 7 of them."""

MOUTH_CORNER = (26.0, 69.0)
INNER_CORNER = (24.0, 68.9)
LIP_SAMPLES = 8
"""Intervals from the middle of a lip to its corner; the outer landmarks stand at 2 (5 below) and 5."""


def lid(upper: bool) -> np.ndarray:
    """(LID_SAMPLES + 1, 3) margin from the inner to the outer corner."""
    t = np.linspace(0, 1, LID_SAMPLES + 1)
    x = EYE_INNER[0] + t * (EYE_OUTER[0] - EYE_INNER[0])
    base = EYE_INNER[1] + t * (EYE_OUTER[1] - EYE_INNER[1])
    height = 6.4 * np.sin(np.pi * t**0.92) ** 0.8 if upper else -4.6 * np.sin(np.pi * t**1.12) ** 0.9
    y = base - height
    return np.stack([x, y, lid_depth(x, y)], 1)


def lid_depth(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """z of the lids' margins: a ball's curvature up and down, the corners further back than the middle."""
    across = np.where(x < 31, ((x - 31) / 14.5) ** 2 * 2.4, ((x - 31) / 14.5) ** 2 * 8.6)
    return 82.0 - across - y**2 / 26.0


def _through(points: list[tuple[float, float]], x: np.ndarray) -> np.ndarray:
    known = np.array(sorted(points))
    return PchipInterpolator(known[:, 0], known[:, 1])(x)


def outer_lip(upper: bool) -> np.ndarray:
    """(LIP_SAMPLES + 1, 2) border of the red from the middle to the corner."""
    x = MOUTH_CORNER[0] * np.linspace(0, 1, LIP_SAMPLES + 1) ** 0.95
    if upper:
        y = _through([(0, 60.6), (2.5, 59.8), (5.6, 58.9), (12, 61.3), (19, 65.0), MOUTH_CORNER], x)
    else:
        y = _through([(0, 78.6), (6, 78.3), (13, 76.4), (20, 73.0), MOUTH_CORNER], x)
    return np.stack([x, y], 1)


def lip_line() -> np.ndarray:
    """(LIP_SAMPLES + 1, 3) where the closed lips meet, from the middle to the inner corner."""
    x = INNER_CORNER[0] * np.linspace(0, 1, LIP_SAMPLES + 1) ** 0.95
    y = _through([(0, 69.0), (5, 68.4), (12, 68.3), (18, 68.7), INNER_CORNER], x)
    z = _through([(0, 104.2), (6, 103.6), (12, 101.4), (18, 97.6), (INNER_CORNER[0], 93.0)], x)
    return np.stack([x, y, z], 1)


BROW_UPPER = np.array([(13.0, -18.5), (24.0, -22.8), (35.5, -24.8), (46.0, -22.6), (54.0, -16.6)])
BROW_LOWER = np.array([(14.0, -13.6), (24.5, -16.6), (35.5, -18.6), (45.6, -18.0)])
"""Inner to outer; the fifth upper point is the tail."""

NOSE_RIDGE = np.array([(0.0, -1.0), (0.0, 12.0), (0.0, 25.0), (0.0, 37.5)])
NOSE_BASE = np.array([(0.0, 47.8), (7.2, 46.6), (14.2, 44.6)])
NOSE_SIDES = np.array([(8.6, 3.0), (14.5, 27.0), (17.6, 39.0)])
"""Root, side and wing."""

JAW = np.array(
    [
        (0.0, 113.0), (19.5, 110.2), (35.5, 101.5), (48.5, 88.5), (57.6, 72.0), (62.6, 54.0), (66.0, 36.0),
        (67.6, 17.5), (68.6, -1.5),
    ]
)  # fmt: skip
"""Chin to temple: contour points 8 to 16."""
