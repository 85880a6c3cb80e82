"""CPBD: how much of a picture is sharp, with no other picture to compare it with.

Each edge has a width. Up to the width at which a viewer just notices blur, 5 px where the picture has little
contrast and 3 px elsewhere, the edge is sharp; CPBD is the share of such edges.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from benchmark.metrics.score import Score
from models.rendering.canny import held, ridges

BLOCK = 64
"""Side of the blocks whose contrast decides what a viewer notices."""
EDGES_OF_A_BLOCK = 0.002
"""Share of a block's pixels above which it is looked at."""
LOW_CONTRAST = 50
"""Grey levels between a block's darkest and brightest pixel up to which `JUST_NOTICEABLE` is the first."""
JUST_NOTICEABLE = (5, 3)
"""Width of an edge in px that is just noticed as blurred. The probability of noticing blur in an edge of
width w is 1 - exp(-(w / this)^3.6): 63 % at this width, and up to 63 % an edge counts as sharp."""
_FLATTEST = np.tan(np.pi / 8)
"""Vertical over horizontal gradient up to which an edge counts as vertical: half a step of 45 degrees."""


def cpbd(luma: np.ndarray) -> Score:
    """CPBD of (frames, H, W) uint8 luma, mean over frames; a frame without edges has the value 0.

    It compares with nothing: noise and hard edges raise it, whether the truth has them or not. Frames smaller
    than a block can't be scored: the value is None, at a coverage of 0.

    Source: Narvekar and Karam, IEEE TIP 20(9), 2011, as computed by the package `cpbd` 1.0.7: the edges are
    those of a horizontal Sobel filter; Canny's only say which blocks of 64 x 64 px are looked at; what whole
    blocks leave over at the right and the lower side is not. The package finds no edges at all in a picture
    whose every gradient points exactly to the right; here they are counted.
    """
    if min(luma.shape[1:]) < BLOCK:
        return Score(None, coverage=0.0)
    return Score(float(np.mean([frame_cpbd(np.ascontiguousarray(grey)) for grey in luma])))


def frame_cpbd(grey: np.ndarray) -> float:
    """CPBD of one contiguous grey image (H, W) uint8 of at least 64 x 64 px; 0 where it has no edges."""
    squares = np.empty(grey.shape, np.int32)
    total = _squared_sobel(grey, squares)
    threshold = 64 * 2 * np.sqrt(total / 64 / grey.size)
    edges, sharp = _count_edges(grey, squares, threshold, _noticeable_widths(grey))
    return sharp / edges if edges else 0.0


def _noticeable_widths(grey: np.ndarray) -> np.ndarray:
    """(rows, columns) of blocks: the just noticeable width, or 0 where a block has too few edges."""
    # The thresholds are meant for intensities in [0, 1] but meet grey levels, so that nearly all ridges are
    # strong: whether weak ones hang together with strong ones is seldom asked.
    thinned = ridges(grey, unit=1.0)
    contrast, strong, possible = _block_statistics(grey, thinned)
    enough = EDGES_OF_A_BLOCK * BLOCK**2
    looked_at = strong > enough
    if (looked_at != (possible > enough)).any():
        looked_at = _block_statistics(grey, held(thinned))[2] > enough
    return np.where(looked_at, np.where(contrast <= LOW_CONTRAST, *JUST_NOTICEABLE), 0)


@njit(cache=True)
def _block_statistics(grey: np.ndarray, thinned: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Of each whole block (rows, columns): its contrast in grey levels, its strong ridges, all its ridges."""
    rows, columns = grey.shape[0] // BLOCK, grey.shape[1] // BLOCK
    out = np.empty((3, rows, columns), np.int64)
    for r in range(rows):
        for c in range(columns):
            low, high, strong, ridges_there = np.uint8(255), np.uint8(0), 0, 0
            for i in range(r * BLOCK, (r + 1) * BLOCK):
                for j in range(c * BLOCK, (c + 1) * BLOCK):
                    low, high = min(low, grey[i, j]), max(high, grey[i, j])
                    strong += thinned[i, j] == 2
                    ridges_there += thinned[i, j] > 0
            out[0, r, c], out[1, r, c], out[2, r, c] = np.int64(high) - np.int64(low), strong, ridges_there
    return out[0], out[1], out[2]


@njit(cache=True)
def _squared_sobel(grey: np.ndarray, out: np.ndarray) -> int:
    """Squares of the horizontal Sobel filter (weights 1, 2, 1; the border repeated), and their sum."""
    height, width = grey.shape
    smooth = np.empty(width, np.int32)
    total = 0
    for i in range(height):
        above, middle, below = grey[max(i - 1, 0)], grey[i], grey[min(i + 1, height - 1)]
        for j in range(width):
            smooth[j] = np.int32(above[j]) + np.int32(2) * np.int32(middle[j]) + np.int32(below[j])
        out[i, 0] = (smooth[1] - smooth[0]) ** 2
        out[i, width - 1] = (smooth[width - 1] - smooth[width - 2]) ** 2
        for j in range(1, width - 1):
            step = smooth[j + 1] - smooth[j - 1]
            out[i, j] = step * step
        for j in range(width):
            total += out[i, j]
    return total


@njit(cache=True)
def _count_edges(
    grey: np.ndarray, squares: np.ndarray, threshold: float, widths: np.ndarray
) -> tuple[int, int]:
    """Vertical edges in the blocks that are looked at, and how many of them are sharp."""
    edges, sharp = 0, 0
    bottom = min(widths.shape[0] * BLOCK, grey.shape[0] - 1)
    end = min(widths.shape[1] * BLOCK, grey.shape[1] - 1)
    crests = np.empty(end, np.bool_)
    for i in range(1, bottom):
        _mark_crests(squares[i - 1], squares[i], squares[i + 1], np.int32(threshold), crests)
        for j in range(1, end):
            noticeable = widths[i // BLOCK, j // BLOCK] if crests[j] else 0
            if noticeable == 0:
                continue
            right = np.int64(grey[i, j + 1]) - np.int64(grey[i, j - 1])
            down = np.int64(grey[i + 1, j]) - np.int64(grey[i - 1, j])
            if right == 0 or abs(down) <= _FLATTEST * abs(right):
                edges += 1
                sharp += _is_narrow(grey[i], j, 1 if right >= 0 else -1, noticeable)
    return edges, sharp


# A loop of its own without branches, which no processor could predict.
@njit(cache=True)
def _mark_crests(
    above: np.ndarray, here: np.ndarray, below: np.ndarray, threshold: np.int32, out: np.ndarray
) -> None:
    """Where a row exceeds the threshold, and both neighbours in the row or both in the column."""
    for j in range(1, len(out)):
        x = here[j]
        beside = (x > here[j - 1]) & (x > here[j + 1])
        out[j] = (x > threshold) & (beside | ((x > above[j]) & (x > below[j])))


@njit(cache=True)
def _is_narrow(row: np.ndarray, j: int, sign: int, noticeable: int) -> bool:
    """Whether the slope through row[j], rising to the right if `sign` is 1, is as short as noticeable."""
    width = 2
    left, right = j - 1, j + 1
    while width <= noticeable and left > 0 and sign * (np.int64(row[left]) - np.int64(row[left - 1])) > 0:
        left -= 1
        width += 1
    while (
        width <= noticeable
        and right < len(row) - 1
        and sign * (np.int64(row[right + 1]) - np.int64(row[right])) > 0
    ):
        right += 1
        width += 1
    return width <= noticeable
