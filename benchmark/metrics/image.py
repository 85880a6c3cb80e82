"""SSIM and PSNR of rendered frames, at the size they were rendered.

Frames are uint8 RGB of one size. Neither is resized: the same SSIM at 128 and at 256 px would be two
different numbers, so the frame size is part of what a run states.
"""

from __future__ import annotations

import cv2
import numpy as np
from numba import njit

from benchmark.metrics.score import Score

DATA_RANGE = 255.0
WINDOW, SIGMA = 11, 1.5
C1, C2 = (0.01 * DATA_RANGE) ** 2, (0.03 * DATA_RANGE) ** 2


def _window() -> np.ndarray:
    """(6,) Gaussian weights from the window's edge to its centre; all eleven sum to 1."""
    offsets = np.arange(WINDOW) - WINDOW // 2
    weights = np.exp(-(offsets**2) / (2 * SIGMA**2))
    return (weights / weights.sum())[: WINDOW // 2 + 1]


_WEIGHTS = _window()


def ssim(predicted: np.ndarray, target: np.ndarray, *, clip: str = "unnamed") -> Score:
    """Structural similarity, mean over positions, channels and frames, of (frames, H, W, 3) uint8.

    Gaussian 11 x 11 window of sigma 1.5, population covariance, data range 255, only windows that lie
    inside the image. Equal to scikit-image with those settings to 1e-12.

    Raises:
        ValueError: naming the clip: other types or shapes, no frames, or frames smaller than the window.

    Source: Wang et al., IEEE TIP 13(4), 2004.
    """
    check_pair(predicted, target, clip)
    if min(target.shape[1:3]) < WINDOW:
        raise ValueError(f"clip {clip}: SSIM needs frames of {WINDOW} px or more, got {target.shape[1:3]}")
    values = [frame_ssim(x, y) for x, y in zip(predicted, target, strict=True)]
    return Score(float(np.mean(values)))


def frame_ssim(predicted: np.ndarray, target: np.ndarray) -> float:
    """SSIM of one pair of uint8 images (H, W, 3)."""
    planes = zip(np.moveaxis(predicted, -1, 0), np.moveaxis(target, -1, 0), strict=True)
    sums = [_ssim_sum(np.ascontiguousarray(x), np.ascontiguousarray(y), _WEIGHTS) for x, y in planes]
    height, width = predicted.shape[:2]
    return sum(sums) / (len(sums) * (height - WINDOW + 1) * (width - WINDOW + 1))


_FAST = {"reassoc", "contract", "nsz"}
"""Let sums be vectorised; the input is finite, so nothing else may be assumed."""


# Double precision: in single precision (as a chain of OpenCV filters, no faster than this) flat areas are
# off by 1e-5. Rows are kept in a ring of eleven, so that all of it stays in the cache.
@njit(cache=True, fastmath=_FAST)
def _ssim_sum(x: np.ndarray, y: np.ndarray, w: np.ndarray) -> float:
    """Sum of the SSIM values of all windows inside one channel (H, W) uint8."""
    height, width = x.shape
    ring = np.empty((4, WINDOW, width))
    column = np.empty((4, width))
    column_x, column_y, column_squares, column_product = column[0], column[1], column[2], column[3]
    total = 0.0
    for i in range(height):
        slot = i % WINDOW
        row_x, row_y, squares, product = ring[0, slot], ring[1, slot], ring[2, slot], ring[3, slot]
        for j in range(width):
            a, b = np.float64(x[i, j]), np.float64(y[i, j])
            row_x[j], row_y[j], squares[j], product[j] = a, b, a * a + b * b, a * b
        if i < WINDOW - 1:
            continue
        for m in range(4):
            _weigh_rows(ring[m], i + 1, w, column[m])
        for j in range(width - WINDOW + 1):
            mx, my = _weigh(column_x, j, w), _weigh(column_y, j, w)
            both, means = mx * my, mx * mx + my * my
            covariance = _weigh(column_product, j, w) - both
            variances = _weigh(column_squares, j, w) - means
            total += (2 * both + C1) * (2 * covariance + C2) / ((means + C1) * (variances + C2))
    return total


@njit(cache=True, fastmath=_FAST)
def _weigh_rows(ring: np.ndarray, oldest: int, w: np.ndarray, out: np.ndarray) -> None:
    """Weighted mean over the eleven rows of a ring (11, W), of which `oldest` modulo 11 came first."""
    a0, b0 = ring[oldest % 11], ring[(oldest + 10) % 11]
    a1, b1 = ring[(oldest + 1) % 11], ring[(oldest + 9) % 11]
    a2, b2 = ring[(oldest + 2) % 11], ring[(oldest + 8) % 11]
    a3, b3 = ring[(oldest + 3) % 11], ring[(oldest + 7) % 11]
    a4, b4 = ring[(oldest + 4) % 11], ring[(oldest + 6) % 11]
    middle = ring[(oldest + 5) % 11]
    for j in range(len(out)):
        outer = w[0] * (a0[j] + b0[j]) + w[1] * (a1[j] + b1[j]) + w[2] * (a2[j] + b2[j])
        out[j] = outer + w[3] * (a3[j] + b3[j]) + w[4] * (a4[j] + b4[j]) + w[5] * middle[j]


@njit(cache=True, fastmath=_FAST)
def _weigh(row: np.ndarray, j: int, w: np.ndarray) -> float:
    """Weighted mean over row[j], ..., row[j + 10]."""
    outer = w[0] * (row[j] + row[j + 10]) + w[1] * (row[j + 1] + row[j + 9])
    inner = w[3] * (row[j + 3] + row[j + 7]) + w[4] * (row[j + 4] + row[j + 6])
    return outer + w[2] * (row[j + 2] + row[j + 8]) + inner + w[5] * row[j + 5]


def psnr(predicted: np.ndarray, target: np.ndarray, *, clip: str = "unnamed") -> Score:
    """Peak signal-to-noise ratio in dB of (frames, H, W, 3) uint8, mean over frames.

    An identical frame has an infinite ratio; it is left out and lowers the coverage, and a clip of nothing
    but identical frames has the value None. Differences don't wrap around, as they do in the
    scripts that subtract in uint8 and give noise 28 dB.

    Raises:
        ValueError: naming the clip: other types or shapes, or no frames.
    """
    check_pair(predicted, target, clip)
    errors = [mean_squared_error(x, y) for x, y in zip(predicted, target, strict=True)]
    finite = [10 * np.log10(DATA_RANGE**2 / error) for error in errors if error > 0]
    coverage = len(finite) / len(errors)
    return Score(float(np.mean(finite)) if finite else None, coverage=coverage)


def mean_squared_error(predicted: np.ndarray, target: np.ndarray) -> float:
    """Of two uint8 images of one shape."""
    x, y = np.ascontiguousarray(predicted), np.ascontiguousarray(target)
    return cv2.norm(x, y, cv2.NORM_L2SQR) / x.size


def check_pair(predicted: np.ndarray, target: np.ndarray, clip: str) -> None:
    for name, frames in (("predicted", predicted), ("true", target)):
        if frames.dtype != np.uint8 or frames.ndim != 4 or frames.shape[-1] != 3:
            raise ValueError(
                f"clip {clip}: expected {name} frames (frames, H, W, 3) uint8 RGB, got {frames.shape} "
                f"{frames.dtype}"
            )
        if frames.size == 0:
            raise ValueError(f"clip {clip}: expected at least one {name} frame, got shape {frames.shape}")
    if predicted.shape != target.shape:
        raise ValueError(
            f"clip {clip}: expected predicted and true frames of one shape, got {predicted.shape} and "
            f"{target.shape}; neither is cut or resized to fit"
        )
