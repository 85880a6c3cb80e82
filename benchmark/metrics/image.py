"""SSIM and PSNR of rendered frames, at the size they were rendered (metrics.md 1).

Frames are uint8 RGB of one size. Neither is resized: the same SSIM at 128 and at 256 px would be two
different numbers, so the frame size is part of what a run states.
"""

from __future__ import annotations

import cv2
import numpy as np

from benchmark.metrics.score import Score

DATA_RANGE = 255.0
WINDOW, SIGMA = 11, 1.5
C1, C2 = (0.01 * DATA_RANGE) ** 2, (0.03 * DATA_RANGE) ** 2


def _window() -> np.ndarray:
    """(11,) float32 Gaussian weights that sum to 1 exactly.

    Rounded to multiples of 2^-22, so that single precision adds them without loss: with a sum of 1 - 6e-8,
    as rounding each weight leaves, a flat white area already seems to have a variance.
    """
    offsets = np.arange(WINDOW) - WINDOW // 2
    weights = np.exp(-(offsets**2) / (2 * SIGMA**2))
    units = np.round(weights / weights.sum() * 2**22)
    units[WINDOW // 2] += 2**22 - units.sum()
    return (units / 2**22).astype(np.float32)


_WEIGHTS = _window()


def ssim(predicted: np.ndarray, target: np.ndarray, *, clip: str = "unnamed") -> Score:
    """Structural similarity, mean over positions, channels and frames, of (frames, H, W, 3) uint8.

    Gaussian 11 x 11 window of sigma 1.5, population covariance, data range 255, only windows that lie
    inside the image. Equal to scikit-image with those settings to 1e-6.

    Raises:
        ValueError: naming the clip: other types or shapes, no frames, or frames smaller than the window.

    Source: Wang et al., IEEE TIP 13(4), 2004.
    """
    _check(predicted, target, clip)
    if min(target.shape[1:3]) < WINDOW:
        raise ValueError(f"clip {clip}: SSIM needs frames of {WINDOW} px or more, got {target.shape[1:3]}")
    values = [frame_ssim(x, y) for x, y in zip(predicted, target, strict=True)]
    return Score(float(np.mean(values)))


def frame_ssim(predicted: np.ndarray, target: np.ndarray) -> float:
    """SSIM of one pair of uint8 images (H, W, 3)."""
    pair = (np.ascontiguousarray(image) for image in (predicted, target))
    planes = zip(*map(cv2.split, pair), strict=True)
    return float(np.mean([_plane_ssim(x, y) for x, y in planes]))


def _plane_ssim(x: np.ndarray, y: np.ndarray) -> float:
    """SSIM of one channel, by the moments of the sum and the difference of the images.

    2 mx my = (ms^2 - md^2) / 2 and mx^2 + my^2 = (ms^2 + md^2) / 2, and so for the covariances. Where the
    images agree the difference is small and its variance exact, which keeps single precision good enough
    (from products of x and y it is off by 1e-5 in flat areas). One channel at a time stays in the cache.
    """
    total = cv2.add(x, y, dtype=cv2.CV_32F) - np.float32(DATA_RANGE)
    difference = cv2.subtract(x, y, dtype=cv2.CV_32F)
    mean_total, mean_difference = _smooth(total), _smooth(difference)
    var_total = _smooth(total * total) - mean_total * mean_total
    mean_difference *= mean_difference
    var_difference = _smooth(difference * difference) - mean_difference
    mean_total = mean_total + np.float32(DATA_RANGE)
    mean_total *= mean_total
    c1, c2 = np.float32(2 * C1), np.float32(2 * C2)
    ratio = (mean_total - mean_difference + c1) * (var_total - var_difference + c2)
    ratio /= (mean_total + mean_difference + c1) * (var_total + var_difference + c2)
    return float(ratio.mean(dtype=np.float64))


def _smooth(image: np.ndarray) -> np.ndarray:
    """Weighted mean over the window, where it lies inside the image."""
    margin = WINDOW // 2
    filtered = cv2.sepFilter2D(image, cv2.CV_32F, _WEIGHTS, _WEIGHTS)
    return filtered[margin:-margin, margin:-margin]


def psnr(predicted: np.ndarray, target: np.ndarray, *, clip: str = "unnamed") -> Score:
    """Peak signal-to-noise ratio in dB of (frames, H, W, 3) uint8, mean over frames.

    An identical frame has an infinite ratio; it is left out and lowers the coverage, and a clip of nothing
    but identical frames has the value None. Differences don't wrap around, as they do in the
    scripts that subtract in uint8 and give noise 28 dB.

    Raises:
        ValueError: naming the clip: other types or shapes, or no frames.
    """
    _check(predicted, target, clip)
    errors = [mean_squared_error(x, y) for x, y in zip(predicted, target, strict=True)]
    finite = [10 * np.log10(DATA_RANGE**2 / error) for error in errors if error > 0]
    coverage = len(finite) / len(errors)
    return Score(float(np.mean(finite)) if finite else None, coverage=coverage)


def mean_squared_error(predicted: np.ndarray, target: np.ndarray) -> float:
    """Of two uint8 images of one shape."""
    x, y = np.ascontiguousarray(predicted), np.ascontiguousarray(target)
    return cv2.norm(x, y, cv2.NORM_L2SQR) / x.size


def _check(predicted: np.ndarray, target: np.ndarray, clip: str) -> None:
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
