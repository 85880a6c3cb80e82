"""SSIM and PSNR as older tables of talking faces have them. Compare a number with the table it is beside.

Frames are uint8 RGB (frames, H, W, 3) and luma is (frames, H, W) uint8, both at the rendered size.
"""

from __future__ import annotations

import cv2
import numpy as np
from numba import njit

from benchmark.metrics.image import (
    C1,
    C2,
    DATA_RANGE,
    WINDOW,
    check_pair,
    gaussian_sums,
    planes,
    window_sum,
)
from benchmark.metrics.score import Score

UNIFORM = 7
"""Side of the uniform window."""
IDENTICAL = 100.0
"""What the scripts give identical frames, in dB."""


def ssim_uniform(predicted: np.ndarray, target: np.ndarray, *, clip: str = "unnamed") -> Score:
    """SSIM with a uniform 7 x 7 window and the sample covariance, mean over positions, RGB and frames.

    Data range 255, only windows that lie inside the image: `structural_similarity(x, y, channel_axis=2)` of
    scikit-image, once `compare_ssim(x, y, multichannel=True)`.

    Raises:
        ValueError: naming the clip: other types or shapes, no frames, or frames smaller than the window.

    Source: scikit-image's defaults, as in ATVGnet's `evaluation_matrix.py` (there after resizing to 256 px).
    """
    check_pair(predicted, target, clip)
    height, width = target.shape[1:3]
    if min(height, width) < UNIFORM:
        raise ValueError(f"clip {clip}: SSIM needs frames of {UNIFORM} px or more, got {(height, width)}")
    sums = [
        sum(_uniform_sum(a, b) for a, b in zip(planes(x), planes(y), strict=True))
        for x, y in zip(predicted, target, strict=True)
    ]
    return Score(float(np.mean(sums)) / (3 * (height - UNIFORM + 1) * (width - UNIFORM + 1)))


# All sums are whole numbers below 2^31: numerator and denominator are multiplied by the powers of n and
# n - 1 that make them so, and nothing is lost before the last line.
@njit(cache=True, error_model="numpy")
def _uniform_sum(x: np.ndarray, y: np.ndarray) -> float:
    """Sum of the SSIM values of all 7 x 7 windows inside one channel (H, W) uint8."""
    height, width = x.shape
    n = np.int32(UNIFORM * UNIFORM)
    c1, c2 = C1 * n * n, C2 * n * (n - 1)
    columns = np.zeros((4, width), np.int32)
    of_x, of_y, of_squares, of_products = columns[0], columns[1], columns[2], columns[3]
    sums = np.zeros(width - UNIFORM + 1)
    for i in range(height):
        for j in range(width):
            a, b = np.int32(x[i, j]), np.int32(y[i, j])
            of_x[j] += a
            of_y[j] += b
            of_squares[j] += a * a + b * b
            of_products[j] += a * b
        if i >= UNIFORM:
            for j in range(width):
                a, b = np.int32(x[i - UNIFORM, j]), np.int32(y[i - UNIFORM, j])
                of_x[j] -= a
                of_y[j] -= b
                of_squares[j] -= a * a + b * b
                of_products[j] -= a * b
        if i < UNIFORM - 1:
            continue
        for j in range(len(sums)):
            sx, sy = _over(of_x, j), _over(of_y, j)
            both, means = np.int32(sx * sy), np.int32(sx * sx + sy * sy)
            covariance = np.int32(n * _over(of_products, j) - both)
            variances = np.int32(n * _over(of_squares, j) - means)
            sums[j] += (2.0 * both + c1) * (2.0 * covariance + c2) / ((means + c1) * (variances + c2))
    return sums.sum()


@njit(cache=True)
def _over(row: np.ndarray, j: int) -> np.int32:
    """Sum of row[j], ..., row[j + 6]."""
    first = row[j] + row[j + 1] + row[j + 2]
    return np.int32(first + row[j + 3] + row[j + 4] + row[j + 5] + row[j + 6])


def ssim_zero_padded(
    predicted: np.ndarray, target: np.ndarray, *, clip: str = "unnamed", sums: np.ndarray | None = None
) -> Score:
    """SSIM with the window of `ssim` around every pixel: beyond the border everything is black.

    Where a window reaches over the border its statistics are those of a darker picture with a dark frame,
    which both sides share, so that the border scores better than it should.

    Args:
        sums: what `gaussian_sums` gives for these frames, where it is known already.

    Raises:
        ValueError: naming the clip: other types or shapes, no frames, or frames smaller than the window.

    Source: `pytorch_ssim` (Po-Hsun Su), of images in [0, 1], as copied in ATVGnet and EVP.
    """
    sums = gaussian_sums(predicted, target, clip=clip) if sums is None else sums
    borders = [_border_sum(x, y) for x, y in zip(predicted, target, strict=True)]
    return Score(float(np.mean(sums + borders) / np.prod(target.shape[1:])))


def _border_sum(predicted: np.ndarray, target: np.ndarray) -> float:
    """Sum of the SSIM of all windows that reach over the border, over the channels of a frame."""
    sides = [[_border_strips(plane) for plane in planes(frame)] for frame in (predicted, target)]
    pairs = ((x, y) for xs, ys in zip(*sides, strict=True) for x, y in zip(xs, ys, strict=True))
    return sum(window_sum(x, y) for x, y in pairs)


def _border_strips(plane: np.ndarray) -> list[np.ndarray]:
    """Four strips of a channel, padded with black, whose windows are those that reach over the border.

    Those of the left and the right side lie on theirs, as their windows are the same when mirrored.
    """
    reach = WINDOW // 2
    padded = cv2.copyMakeBorder(plane, reach, reach, reach, reach, cv2.BORDER_CONSTANT, value=0)
    deep = WINDOW + reach - 1
    sides = padded[reach:-reach].T
    return [np.ascontiguousarray(x) for x in (padded[:deep], padded[-deep:], sides[:deep], sides[-deep:])]


def psnr_uint8_wrap(predicted: np.ndarray, target: np.ndarray) -> Score:
    """PSNR of luma (frames, H, W) uint8 as it comes out when it is computed in uint8; mean over frames.

    The difference wraps around at 256, and so does its square: an error of 16 grey levels counts as none,
    and independent noise has 27.9 dB instead of 7.8. A frame whose errors all vanish counts as 100 dB.

    Source: `psnr_f` of ATVGnet's `evaluation_matrix.py` (there after resizing to 256 px, and of all frames of
    all clips at once).
    """
    values = []
    for x, y in zip(predicted, target, strict=True):
        error = (x - y) ** 2
        mean = float(error.mean())
        values.append(10 * np.log10(DATA_RANGE**2 / mean) if mean else IDENTICAL)
    return Score(float(np.mean(values)))
