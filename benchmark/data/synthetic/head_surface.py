"""The skin of the rest head as a smooth function, sculpted from anthropometric points.

The head is a radius and a vertical shift over a cylinder: theta (radians, 0 towards the viewer, positive to
image right) and v (millimetres downwards, equal to y on the face, running on under the jaw and down the
neck). A thin-plate spline through the points below gives both, so every feature is a few numbers in
millimetres that can be read.

Axes as everywhere: x right, y down, z towards the viewer; here in millimetres, the origin half-way between
the pupils (x, y) and in the plane of the ear openings (z).

Source of the proportions: adult means of craniofacial surveys (Farkas, Anthropometry of the Head and Face,
1994), rounded: pupils 63 apart, face 138 wide, 181 from hairline to chin, nose 34 wide, mouth 52 wide.
"""

from __future__ import annotations

from functools import cache

import numpy as np
from scipy.interpolate import RBFInterpolator

ARC = 70.0
"""Millimetres per radian of theta where distances on the skin are measured: the head's typical radius."""

# (x, y, z) of the image-right half; v is y unless a fourth number gives it.
_PROFILE = [
    (0, -108, 40), (0, -90, 72), (0, -68, 90), (0, -45, 98), (0, -20, 101), (0, -4, 94.5), (0, 6, 97.5),
    (0, 16, 105), (0, 28, 113.5), (0, 37, 119.5), (0, 43, 115.5), (0, 47.5, 106), (0, 54, 105),
    (0, 60.5, 107.5), (0, 77, 106.5), (0, 88, 98), (0, 95, 99), (0, 103, 100.5), (0, 110, 98),
    (0, 113.5, 92),
]  # fmt: skip
_UPPER_FACE = [
    (26, -90, 64), (46, -84, 48), (25, -66, 84), (45, -64, 68), (60, -60, 38), (69, -58, 8),
    (25, -44, 94), (42, -42, 83), (55, -40, 64), (65, -38, 36), (71, -38, 6),
    (12, -19, 98.5), (26, -22, 97), (40, -22, 89), (51, -18, 76), (60, -12, 56), (66, -10, 32), (70, -10, 6),
    (8, -4, 91), (14, -10, 91.5), (31, -15.5, 91), (44, -14, 82), (53, -6, 71), (61, 2, 54), (67, 2, 32),
]  # fmt: skip
_EYE = [
    (16.5, 2.0, 80), (23, -3.4, 80.6), (31, -5.2, 81.6), (39, -3.9, 78.4), (45.3, -0.4, 72.6),
    (23, 4.6, 80.4),
    (31, 5.6, 80.8), (39, 4.0, 78.0), (21, -8, 83.5), (31, -11.5, 84.5), (42, -8.5, 79), (46.5, 0, 73.5),
    (50, 1, 72),
    (22, 8.5, 82.5), (31, 10.5, 82), (41, 8, 78), (12.5, 4, 86), (30, 17, 84), (42, 15, 80), (20, 15, 85),
]  # fmt: skip
_NOSE = [
    (6, 6, 93.5), (9.5, 14, 93), (14, 18, 89), (6.5, 17, 101.5), (11, 26, 97), (16, 28, 91), (7.5, 28, 110),
    (8.5, 36, 115.5), (14, 35, 104.5), (17, 39, 98), (20, 41, 91.5), (19, 33, 92.5), (18.5, 46, 91.5),
    (8, 42.5, 113), (13, 44.5, 104), (7, 46.5, 107), (12, 50, 100),
]  # fmt: skip
_CHEEK = [
    (26, 26, 90), (38, 25, 87.5), (50, 19, 77.5), (58, 14, 66), (64, 12, 50), (68.5, 12, 30), (70, 12, 6),
    (28, 38, 90.5), (40, 38, 85.5), (51, 36, 75), (60, 34, 58), (66, 34, 34), (68, 36, 8),
    (25, 49, 91.5), (34, 54, 88), (46, 54, 77), (56, 54, 58), (63, 54, 34), (65, 56, 10),
    (16, 54, 99), (30, 66, 90.5), (34, 78, 87), (45, 72, 75), (54, 72, 55), (60, 72, 32), (61, 70, 12),
]  # fmt: skip
_MOUTH = [
    (3.5, 57, 105.8), (6, 58.5, 107), (14, 61.2, 104), (21, 65, 98), (26.5, 69.0, 92.5), (20, 74, 97.5),
    (11, 77.5, 104),
    (13, 87, 96.5), (25, 82, 91), (22, 57, 96.5),
]  # fmt: skip
_JAW = [
    (10, 104, 99), (20, 101, 94), (30, 94, 86), (12, 112, 90), (22, 109, 84), (34, 102, 73), (42, 92, 68),
    (46, 92, 56), (54, 84, 38), (58.5, 78, 20), (59, 74, 8),
]  # fmt: skip
_UNDER = [
    (0, 116, 78, 120), (0, 120, 56, 136), (14, 116, 70, 122), (22, 113, 55, 134), (38, 104, 44, 120),
    (47, 98, 22, 108), (54, 92, 6, 96),
    (0, 133, 44, 155), (28, 130, 34, 152), (43, 126, 12, 145), (51, 120, -10, 132),
    (0, 160, 44, 184), (28, 160, 34, 184), (46, 158, 8, 182), (54, 155, -18, 180),
    (0, 190, 50, 216), (38, 190, 34, 216), (62, 188, 2, 216), (74, 188, -30, 216),
]  # fmt: skip
_BACK = [
    (76, -50, -20), (73, -15, -22), (66, 20, -28), (60, 55, -30), (54, 90, -32), (53, 130, -36, 140),
    (64, -85, -18), (62, -45, -66), (58, -5, -62), (46, 40, -56), (42, 85, -52), (44, 140, -52, 150),
    (0, -40, -98), (0, 0, -92), (0, 40, -76), (0, 85, -66), (0, 150, -64, 160), (0, -85, -70), (45, -95, -40),
    (70, 190, -50, 216), (0, 190, -70, 216),
]  # fmt: skip


@cache
def _spline() -> RBFInterpolator:
    rows = [_PROFILE, _UPPER_FACE, _EYE, _NOSE, _CHEEK, _MOUTH, _JAW, _UNDER, _BACK]
    points = [(*p, p[1]) if len(p) == 3 else p for group in rows for p in group]
    x, y, z, v = np.array(points, dtype=float).T
    theta = np.arctan2(x, z)
    sites = np.stack([ARC * theta, v], 1)
    values = np.stack([np.hypot(x, z), y - v], 1)
    mirrored = sites[(theta > 1e-9) & (theta < np.pi - 1e-9)] * (-1, 1)
    inside = (theta > 1e-9) & (theta < np.pi - 1e-9)
    # Beyond the back of the head the other half begins again: without these copies the seam would show.
    wrapped = sites[theta > 1.9] * (-1, 1) + (2 * np.pi * ARC, 0)
    unwrapped = wrapped * (-1, 1)
    sites = np.concatenate([sites, mirrored, wrapped, unwrapped])
    values = np.concatenate([values, values[inside], values[theta > 1.9], values[theta > 1.9]])
    sites, keep = np.unique(np.round(sites, 6), axis=0, return_index=True)
    return RBFInterpolator(sites, values[keep], kernel="thin_plate_spline", smoothing=2.5)


def skin(theta: np.ndarray, v: np.ndarray) -> np.ndarray:
    """(..., 3) millimetres of the skin at the given parameters (...)."""
    sites = np.stack([ARC * np.ravel(theta), np.ravel(v)], 1)
    radius, shift = _spline()(sites).T
    angle = np.ravel(theta)
    points = np.stack([radius * np.sin(angle), np.ravel(v) + shift, radius * np.cos(angle)], 1)
    return points.reshape(*np.shape(theta), 3)


def parameters_of(xy: np.ndarray) -> np.ndarray:
    """(n, 2) theta and v of the points of the face seen at `xy` (n, 2) from the front.

    Raises:
        ValueError: a point lies outside the part of the head that faces the viewer.
    """
    xy = np.asarray(xy, dtype=float)
    theta = np.arctan2(xy[:, 0], 85.0)
    v = xy[:, 1].copy()
    for _ in range(60):
        points = skin(theta, v)
        v += 0.7 * (xy[:, 1] - points[:, 1])
        theta += 0.7 * (np.arctan2(xy[:, 0], np.maximum(points[:, 2], 5.0)) - theta)
    error = np.abs(skin(theta, v)[:, :2] - xy).max(initial=0.0)
    if error > 0.5:
        raise ValueError(f"no skin faces the viewer at one of the points: nearest miss {error:.1f} mm")
    return np.stack([theta, v], 1)
