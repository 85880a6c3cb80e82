"""The orientation and the pixel shape that a container or a stream gives its pictures."""

from __future__ import annotations

from fractions import Fraction

import numpy as np

UNIT = 1 << 16
"""1.0 in a display matrix's 16.16 fixed point."""
TILT = 0.02
"""Sine of the largest deviation from a quarter turn that is rounded away; writers round their sines."""
ASPECTS = (Fraction(1, 4), Fraction(4))
"""Narrowest and widest pixel that is stretched to a square; headers beyond are damaged."""


class GeometryError(ValueError):
    """A display matrix or a pixel shape that cannot be applied."""


def quarter_turn(matrix: bytes) -> np.ndarray:
    """Return the (2, 2) signed permutation that a display matrix applies to (x, y).

    x points right and y down: x' = a x + c y, y' = b x + d y. Its translation is ignored, and so is its
    scale: pictures keep their size in pixels.

    Args:
        matrix: nine 32-bit integers in machine order, as FFmpeg stores them.

    Raises:
        GeometryError: the matrix shears, turns by other than quarter turns, or has no area.
    """
    a, b, u, c, d, v, _, _, _ = (int(each) for each in np.frombuffer(matrix, np.int32, 9))
    linear = np.array([[a, c], [b, d]], float) / UNIT
    scales = np.hypot(linear[0], linear[1])
    if u or v or not scales.all():
        raise GeometryError(f"the display matrix {linear.tolist()} is no turn or mirror")
    directions = linear / scales
    nearest = np.rint(directions)
    if np.abs(directions - nearest).max() > TILT or abs(round(float(np.linalg.det(nearest)))) != 1:
        raise GeometryError(
            f"the display matrix {np.round(linear, 3).tolist()} is no quarter turn or mirror: "
            "encode the video again as it is shown"
        )
    return nearest.astype(int)


def oriented(picture: np.ndarray, turn: np.ndarray) -> np.ndarray:
    """Return a view of the picture (h, w, 3) as `turn`, from `quarter_turn`, shows it."""
    if turn[0, 0] == 0:
        picture = picture.swapaxes(0, 1)
    horizontal, vertical = turn.sum(1)
    return picture[:: int(vertical), :: int(horizontal)]


def square_width(width: int, aspect: Fraction | None) -> int:
    """Return the picture's width after its pixels are stretched to squares; its height stays.

    Args:
        aspect: width of a pixel by its height; None or 0 where nothing is said.

    Raises:
        GeometryError: the pixels are too narrow or too wide to be meant.
    """
    if not aspect:
        return width
    if not ASPECTS[0] <= aspect <= ASPECTS[1]:
        raise GeometryError(f"pixels of shape {aspect} are not usable: expected {ASPECTS[0]} to {ASPECTS[1]}")
    return max(1, round(width * aspect))
