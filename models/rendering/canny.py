"""Canny edges as scikit-image defines them, of a part of a frame: those that the whole frame has there.

The definition is that of the released condition maps: 8-bit luma as ITU-R 601; a Gaussian of sigma 1, whose
weights beyond the border count for nothing; un-normalised 3 x 3 Sobel; suppression against neighbours
interpolated along the gradient; hysteresis over 8 neighbours. The sums run in scikit-image's order, so the
edges are its own to the pixel, ties included.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numba import njit

LOW, HIGH = 0.1, 0.2
"""Hysteresis thresholds on the gradient's magnitude of intensities in [0, 1]."""

_RADIUS = 4
_GAUSSIAN = np.exp(-0.5 * np.arange(-_RADIUS, _RADIUS + 1) ** 2)
_GAUSSIAN /= _GAUSSIAN.sum()
_REACH = _RADIUS + 2
"""Pixels around a pixel that decide its thinned magnitude: smoothing, Sobel, and the neighbours compared."""
_MARGINS = (32, 128)
"""Pixels added around the part, in turn, before the whole frame is taken."""


@dataclass(frozen=True)
class Box:
    """A rectangle of whole pixels in a frame."""

    left: int
    top: int
    width: int
    height: int

    @property
    def right(self) -> int:
        return self.left + self.width

    @property
    def bottom(self) -> int:
        return self.top + self.height

    @classmethod
    def spanning(cls, left: int, top: int, right: int, bottom: int) -> Box:
        return cls(left, top, right - left, bottom - top)

    @classmethod
    def whole(cls, shape: tuple[int, ...]) -> Box:
        """All of an array (height, width, ...)."""
        return cls(0, 0, shape[1], shape[0])

    def grown(self, by: int, inside: Box) -> Box:
        """Wider by so many pixels on each side, as far as the other box reaches."""
        return Box.spanning(
            max(self.left - by, inside.left),
            max(self.top - by, inside.top),
            min(self.right + by, inside.right),
            min(self.bottom + by, inside.bottom),
        )

    def joined(self, other: Box) -> Box:
        """The smallest box around both."""
        return Box.spanning(
            min(self.left, other.left),
            min(self.top, other.top),
            max(self.right, other.right),
            max(self.bottom, other.bottom),
        )

    def shared(self, other: Box) -> Box | None:
        """What lies in both boxes, if anything does."""
        left, top = max(self.left, other.left), max(self.top, other.top)
        right, bottom = min(self.right, other.right), min(self.bottom, other.bottom)
        return Box.spanning(left, top, right, bottom) if left < right and top < bottom else None

    def within(self, outer: Box) -> tuple[slice, slice]:
        """Where this box lies in an array that shows `outer`."""
        top, left = self.top - outer.top, self.left - outer.left
        return slice(top, top + self.height), slice(left, left + self.width)


def canny(frame: np.ndarray, box: Box | None = None) -> np.ndarray:
    """Edges of an RGB frame (h, w, 3) uint8: 255 on edges, 0 elsewhere, (height, width) of the box.

    A box gets exactly what the whole frame has there. A chain of weak edges that leaves the box could be held
    by a strong one anywhere: where there is such a chain a wider part is looked at, at last the whole frame.
    """
    whole = Box.whole(frame.shape)
    box = whole if box is None else box
    parts = [box.grown(margin, whole) for margin in _MARGINS] + [whole]
    for part in parts:
        edges, settled = _edges(frame, part, box)
        if settled:
            break
    return edges


def ridges(grey: np.ndarray, unit: float = 1 / 255) -> np.ndarray:
    """(h, w) uint8 of a grey image (h, w) uint8: 2 on strong ridges of its gradient, 1 on weak ones, else 0.

    Args:
        unit: the intensity of one grey level; `LOW` and `HIGH` are thresholds of intensities.
    """
    return _ridges(grey, _GAUSSIAN, np.arange(256) * unit)


def held(thinned: np.ndarray) -> np.ndarray:
    """(h, w) uint8: 255 on the `ridges` that hang together with a strong one."""
    count, labels = cv2.connectedComponents(thinned, connectivity=8)
    return _marked(labels, _held(labels, thinned, count))


def _edges(frame: np.ndarray, part: Box, box: Box) -> tuple[np.ndarray, bool]:
    """Edges in the box from what the part around it shows, and whether the rest could add none."""
    whole = Box.whole(frame.shape)
    seen = part.grown(_REACH, whole)
    rows, columns = seen.within(whole)
    thinned = ridges(_luma(frame[rows, columns]))[part.within(seen)]
    count, labels = cv2.connectedComponents(thinned, connectivity=8)
    kept = _held(labels, thinned, count)
    inside = labels[box.within(part)]
    edges = _marked(inside, kept)
    open_ends = [
        labels[side]
        for side, cut in (
            (np.s_[0], part.top > 0),
            (np.s_[-1], part.bottom < whole.bottom),
            (np.s_[:, 0], part.left > 0),
            (np.s_[:, -1], part.right < whole.right),
        )
        if cut
    ]
    if not open_ends:
        return edges, True
    leaving = np.zeros(count, np.uint8)
    leaving[np.concatenate(open_ends).astype(np.intp)] = 255
    leaving[kept > 0] = 0
    leaving[0] = 0
    return edges, not (leaving.any() and _marked(inside, leaving).any())


@njit(cache=True)
def _held(labels: np.ndarray, ridges: np.ndarray, count: int) -> np.ndarray:
    """(count,) uint8: 255 for the chains that have a pixel over the high threshold."""
    kept = np.zeros(count, np.uint8)
    for i in range(labels.shape[0]):
        for j in range(labels.shape[1]):
            if ridges[i, j] == 2:
                kept[labels[i, j]] = 255
    return kept


@njit(cache=True)
def _marked(labels: np.ndarray, values: np.ndarray) -> np.ndarray:
    """The value of each pixel's chain."""
    out = np.empty(labels.shape, np.uint8)
    for i in range(labels.shape[0]):
        for j in range(labels.shape[1]):
            out[i, j] = values[labels[i, j]]
    return out


@njit(cache=True, error_model="numpy")
def _ridges(grey: np.ndarray, weights: np.ndarray, unit: np.ndarray) -> np.ndarray:
    """(h, w) uint8 of an 8-bit image: 2 on ridges of the gradient of at least `HIGH`, 1 of at least `LOW`.

    Row by row, so that everything between stays in the processor's cache.
    """
    height, width = grey.shape
    out = np.zeros((height, width), np.uint8)
    image, line = np.zeros((9, width)), np.zeros(width + 8)
    smooth = np.empty((3, width + 2))
    down, right, size = np.empty((3, width)), np.empty((3, width)), np.empty((3, width))
    share = _share_inside(height, width, weights)
    for i in range(height + 6):
        source = image[i % 9]
        for j in range(width):
            source[j] = unit[grey[i, j]] if i < height else 0.0
        k = i - 4
        if 0 <= k < height:
            _smooth_row(image, k, weights, line, share[_class(k, height)], smooth[k % 3])
        k = i - 5
        if 0 <= k < height:
            above, middle, below = (
                smooth[max(k - 1, 0) % 3],
                smooth[k % 3],
                smooth[min(k + 1, height - 1) % 3],
            )
            _gradient_row(above, middle, below, down[k % 3], right[k % 3], size[k % 3])
        k = i - 6
        if 0 < k < height - 1:
            _ridge_row(size[(k - 1) % 3], size[k % 3], size[(k + 1) % 3], down[k % 3], right[k % 3], out[k])
    return out


@njit(cache=True)
def _class(i: int, length: int) -> int:
    """The place's distance from the border: 0-3 near the start, 4 inside, 5-8 near the end."""
    return i if i < 4 else max(4, i - length + 9)


@njit(cache=True)
def _share_inside(height: int, width: int, weights: np.ndarray) -> np.ndarray:
    """(9, width): the Gaussian of ones, for each class of rows; less than 1 near the border."""
    out, line = np.empty((9, width)), np.zeros(width + 8)
    for row in range(9):
        for j in range(width):
            total = weights[4]
            for k in range(4):
                inside = (4 - k <= row) + (4 - k <= 8 - row)
                total += inside * weights[k]
            line[4 + j] = total
        _smooth_line(line, weights, out[row])
        for j in range(width):
            out[row, j] += 2.220446049250313e-16
    return out


@njit(cache=True)
def _smooth_row(
    image: np.ndarray, k: int, weights: np.ndarray, line: np.ndarray, share: np.ndarray, out: np.ndarray
) -> None:
    """Row k of the smoothed image, from the ring of the nine rows around it; its ends are repeated."""
    width = len(share)
    middle, source, weight = line[4 : 4 + width], image[k % 9], weights[4]
    for j in range(width):
        middle[j] = source[j] * weight
    for n in range(4):
        above, below, weight = image[(k - 4 + n) % 9], image[(k + 4 - n) % 9], weights[n]
        for j in range(width):
            middle[j] += (above[j] + below[j]) * weight
    row = out[1 : width + 1]
    _smooth_line(line, weights, row)
    for j in range(width):
        row[j] /= share[j]
    out[0], out[width + 1] = row[0], row[width - 1]


@njit(cache=True)
def _smooth_line(line: np.ndarray, weights: np.ndarray, out: np.ndarray) -> None:
    """Gaussian along a line with four more values on each side, summed from the outermost pair inwards."""
    w0, w1, w2, w3, w4 = weights[0], weights[1], weights[2], weights[3], weights[4]
    for j in range(len(out)):
        outer = (line[j + 4] * w4 + (line[j] + line[j + 8]) * w0) + (line[j + 1] + line[j + 7]) * w1
        out[j] = (outer + (line[j + 2] + line[j + 6]) * w2) + (line[j + 3] + line[j + 5]) * w3


@njit(cache=True)
def _gradient_row(
    above: np.ndarray,
    middle: np.ndarray,
    below: np.ndarray,
    down: np.ndarray,
    right: np.ndarray,
    size: np.ndarray,
) -> None:
    """Un-normalised Sobel of three smoothed rows."""
    for j in range(len(size)):
        sides = (below[j] - above[j]) + (below[j + 2] - above[j + 2])
        down[j] = (below[j + 1] - above[j + 1]) * 2 + sides
    for j in range(len(size)):
        ends = (above[j + 2] - above[j]) + (below[j + 2] - below[j])
        right[j] = (middle[j + 2] - middle[j]) * 2 + ends
    for j in range(len(size)):
        size[j] = np.sqrt(down[j] * down[j] + right[j] * right[j])


@njit(cache=True, error_model="numpy")
def _ridge_row(
    above: np.ndarray,
    here: np.ndarray,
    below: np.ndarray,
    down: np.ndarray,
    right: np.ndarray,
    out: np.ndarray,
) -> None:
    """Where the middle one of three rows of magnitudes is no less than both sides along the gradient."""
    for j in range(1, len(here) - 1):
        y, x, m = down[j], right[j], here[j]
        steep, same = abs(y) > abs(x), (y >= 0) == (x >= 0)
        share = min(abs(y), abs(x)) / max(abs(y), abs(x))
        side, opposite = (here[j + 1], here[j - 1]) if same else (here[j - 1], here[j + 1])
        straight, other = (below[j], above[j]) if steep else (side, opposite)
        corner, far = (below[j + 1], above[j - 1]) if same else (below[j - 1], above[j + 1])
        ahead = corner * share + straight * (1 - share)
        behind = far * share + other * (1 - share)
        ridge = (m >= LOW) & (ahead <= m) & (behind <= m)
        out[j] = ridge * (1 + (m >= HIGH))


@njit(cache=True)
def _luma(frame: np.ndarray) -> np.ndarray:
    """ITU-R 601 luma of (h, w, 3) uint8, rounded to 8 bits."""
    height, width = frame.shape[:2]
    grey = np.empty((height, width), np.uint8)
    for i in range(height):
        for j in range(width):
            red, green, blue = np.int32(frame[i, j, 0]), np.int32(frame[i, j, 1]), np.int32(frame[i, j, 2])
            grey[i, j] = (
                np.int32(19595) * red + np.int32(38470) * green + np.int32(7471) * blue + np.int32(32768)
            ) >> np.int32(16)
    return grey
