"""SSIM and PSNR of rendered frames, at the size they were rendered: of RGB, of luma, and of the mouth.

Frames are uint8 RGB of one size. Neither is resized: the same SSIM at 128 and at 256 px would be two
different numbers, so the frame size is part of what a run states. What older tables call SSIM and PSNR is in
`benchmark.metrics.legacy_images`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

import cv2
import numpy as np
from numba import njit

from benchmark.metrics.landmarks import faces_found
from benchmark.metrics.score import Score
from models.landmarks.topology import layout_of
from models.rendering.canny import Box
from models.types import CROP_SIZE

DATA_RANGE = 255.0
WINDOW, SIGMA = 11, 1.5
C1, C2 = (0.01 * DATA_RANGE) ** 2, (0.03 * DATA_RANGE) ** 2
MOUTH_MARGIN = 0.25
"""Of the mouth's width: how much further the mouth's box reaches on each side."""
_REACH = WINDOW // 2


def _window() -> np.ndarray:
    """(6,) Gaussian weights from the window's edge to its centre; all eleven sum to 1."""
    offsets = np.arange(WINDOW) - WINDOW // 2
    weights = np.exp(-(offsets**2) / (2 * SIGMA**2))
    return (weights / weights.sum())[: WINDOW // 2 + 1]


_WEIGHTS = _window()


def ssim(
    predicted: np.ndarray, target: np.ndarray, *, clip: str = "unnamed", sums: np.ndarray | None = None
) -> Score:
    """Structural similarity, mean over positions, channels and frames, of (frames, H, W, 3) uint8.

    Gaussian 11 x 11 window of sigma 1.5, population covariance, data range 255, only windows that lie
    inside the image. Equal to scikit-image with those settings to 1e-12.

    Args:
        sums: what `gaussian_sums` gives for these frames, where it is known already.

    Raises:
        ValueError: naming the clip: other types or shapes, no frames, or frames smaller than the window.

    Source: Wang et al., IEEE TIP 13(4), 2004.
    """
    sums = gaussian_sums(predicted, target, clip=clip) if sums is None else sums
    return Score(float(np.mean(sums / (target.shape[3] * _windows(target)))))


def ssim_luma(predicted: np.ndarray, target: np.ndarray, *, clip: str = "unnamed") -> Score:
    """SSIM of the luma (frames, H, W) uint8 of both sides (`luma_of`), with the window of `ssim`.

    Raises:
        ValueError: naming the clip: frames smaller than the window.

    Source: Wang et al., IEEE TIP 13(4), 2004, whose images are grey.
    """
    _require_window(target, clip)
    sums = [window_sum(x, y) for x, y in zip(predicted, target, strict=True)]
    return Score(float(np.mean(sums)) / _windows(target))


def ssim_in(
    predicted: np.ndarray, target: np.ndarray, boxes: Sequence[Box | None], *, clip: str = "unnamed"
) -> Score:
    """`ssim` of the windows whose centre lies in each frame's box.

    Frames without a box, or whose box no window is centred in, are left out and lower the coverage.

    Raises:
        ValueError: naming the clip: other types or shapes, no frames, or frames smaller than the window.
    """
    check_pair(predicted, target, clip)
    _require_window(target, clip)
    height, width = target.shape[1:3]
    centres = Box(_REACH, _REACH, width - 2 * _REACH, height - 2 * _REACH)
    values = []
    for x, y, box in zip(predicted, target, boxes, strict=True):
        shared = None if box is None else box.shared(centres)
        if shared is not None:
            part = shared.grown(_REACH, Box.whole(target.shape[1:3])).within(Box.whole(target.shape[1:3]))
            values.append(frame_ssim(x[part], y[part]))
    return Score(float(np.mean(values)) if values else None, coverage=len(values) / len(target))


def gaussian_sums(predicted: np.ndarray, target: np.ndarray, *, clip: str = "unnamed") -> np.ndarray:
    """(frames,) sums of the SSIM of all windows inside a frame, over its three channels.

    Raises:
        ValueError: as `ssim`.
    """
    check_pair(predicted, target, clip)
    _require_window(target, clip)
    return np.array([_frame_sum(x, y) for x, y in zip(predicted, target, strict=True)])


def frame_ssim(predicted: np.ndarray, target: np.ndarray) -> float:
    """SSIM of one pair of uint8 images (H, W, 3)."""
    return _frame_sum(predicted, target) / (3 * _windows(target[None]))


def _frame_sum(predicted: np.ndarray, target: np.ndarray) -> float:
    pairs = zip(planes(predicted), planes(target), strict=True)
    return sum(window_sum(x, y) for x, y in pairs)


def window_sum(x: np.ndarray, y: np.ndarray) -> float:
    """Sum of the SSIM of all windows inside a pair of contiguous channels (H, W) uint8."""
    return _weighted_sum(x, y, _WEIGHTS)


def planes(frame: np.ndarray) -> Sequence[np.ndarray]:
    """The channels of a frame (H, W, 3) uint8, each (H, W) and contiguous."""
    return cv2.split(np.ascontiguousarray(frame))


def luma_of(frames: np.ndarray) -> np.ndarray:
    """(frames, H, W) uint8: ITU-R BT.601 luma of RGB frames, rounded to whole grey levels."""
    grey = np.empty(frames.shape[:3], np.uint8)
    for frame, out in zip(frames, grey, strict=True):
        cv2.cvtColor(np.ascontiguousarray(frame), cv2.COLOR_RGB2GRAY, dst=out)
    return grey


def _windows(frames: np.ndarray) -> int:
    """Windows that lie inside a frame of (frames, H, W, ...)."""
    return (frames.shape[1] - WINDOW + 1) * (frames.shape[2] - WINDOW + 1)


def _require_window(frames: np.ndarray, clip: str) -> None:
    if min(frames.shape[1:3]) < WINDOW:
        raise ValueError(f"clip {clip}: SSIM needs frames of {WINDOW} px or more, got {frames.shape[1:3]}")


# Double precision: in single precision (as a chain of OpenCV filters, no faster than this) flat areas are
# off by 1e-5. Rows are kept in a ring of eleven, as integers until they are weighed, so that all of it stays
# in the cache. Values are summed by column: so every loop is one of independent elements, which compilers
# vectorise without leave to reorder sums, and the bits don't depend on how they do it. NumPy's rule of
# division saves them a test for zero.
@njit(cache=True, error_model="numpy")
def _weighted_sum(x: np.ndarray, y: np.ndarray, w: np.ndarray) -> float:
    """Sum of the SSIM values of all windows inside one channel (H, W) uint8."""
    height, width = x.shape
    ring = np.empty((4, WINDOW, width), np.int32)
    column = np.empty((4, width))
    column_x, column_y, column_squares, column_product = column[0], column[1], column[2], column[3]
    sums = np.zeros(width - WINDOW + 1)
    for i in range(height):
        slot = i % WINDOW
        row_x, row_y, squares, product = ring[0, slot], ring[1, slot], ring[2, slot], ring[3, slot]
        for j in range(width):
            a, b = np.int32(x[i, j]), np.int32(y[i, j])
            row_x[j], row_y[j], squares[j], product[j] = a, b, a * a + b * b, a * b
        if i < WINDOW - 1:
            continue
        for m in range(4):
            _weigh_rows(ring[m], i + 1, w, column[m])
        for j in range(len(sums)):
            mx, my = _weigh(column_x, j, w), _weigh(column_y, j, w)
            both, means = mx * my, mx * mx + my * my
            covariance = _weigh(column_product, j, w) - both
            variances = _weigh(column_squares, j, w) - means
            sums[j] += (2 * both + C1) * (2 * covariance + C2) / ((means + C1) * (variances + C2))
    return sums.sum()


@njit(cache=True, error_model="numpy")
def _weigh_rows(ring: np.ndarray, oldest: int, w: np.ndarray, out: np.ndarray) -> None:
    """Weighted mean over the eleven rows of a ring (11, W), of which `oldest` modulo 11 came first."""
    a0, b0 = ring[oldest % 11], ring[(oldest + 10) % 11]
    a1, b1 = ring[(oldest + 1) % 11], ring[(oldest + 9) % 11]
    a2, b2 = ring[(oldest + 2) % 11], ring[(oldest + 8) % 11]
    a3, b3 = ring[(oldest + 3) % 11], ring[(oldest + 7) % 11]
    a4, b4 = ring[(oldest + 4) % 11], ring[(oldest + 6) % 11]
    middle = ring[(oldest + 5) % 11]
    for j in range(len(out)):
        s0, s1, s2 = np.float64(a0[j] + b0[j]), np.float64(a1[j] + b1[j]), np.float64(a2[j] + b2[j])
        s3, s4 = np.float64(a3[j] + b3[j]), np.float64(a4[j] + b4[j])
        outer = w[0] * s0 + w[1] * s1 + w[2] * s2
        out[j] = outer + w[3] * s3 + w[4] * s4 + w[5] * np.float64(middle[j])


@njit(cache=True, error_model="numpy")
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
    return _mean_psnr(predicted, target)


def psnr_luma(predicted: np.ndarray, target: np.ndarray) -> Score:
    """`psnr` of the luma (frames, H, W) uint8 of both sides (`luma_of`)."""
    return _mean_psnr(predicted, target)


def psnr_in(
    predicted: np.ndarray, target: np.ndarray, boxes: Sequence[Box | None], *, clip: str = "unnamed"
) -> Score:
    """`psnr` of the pixels in each frame's box. Frames without a box are left out and lower the coverage.

    Raises:
        ValueError: naming the clip: other types or shapes, or no frames.
    """
    check_pair(predicted, target, clip)
    whole = Box.whole(target.shape[1:3])
    parts = [None if box is None else box.within(whole) for box in boxes]
    shown = [(x[part], y[part]) for x, y, part in zip(predicted, target, parts, strict=True) if part]
    score = _mean_psnr([x for x, _ in shown], [y for _, y in shown])
    return replace(score, coverage=score.coverage * len(shown) / len(target))


def _mean_psnr(predicted: Iterable[np.ndarray], target: Iterable[np.ndarray]) -> Score:
    """Of pairs of uint8 images. Identical ones are left out and lower the coverage."""
    errors = [mean_squared_error(x, y) for x, y in zip(predicted, target, strict=True)]
    finite = [10 * np.log10(DATA_RANGE**2 / error) for error in errors if error > 0]
    coverage = len(finite) / max(len(errors), 1)
    return Score(float(np.mean(finite)) if finite else None, coverage=coverage)


def mean_squared_error(predicted: np.ndarray, target: np.ndarray) -> float:
    """Of two uint8 images of one shape."""
    x, y = np.ascontiguousarray(predicted), np.ascontiguousarray(target)
    return cv2.norm(x, y, cv2.NORM_L2SQR) / x.size


def mouth_boxes(
    landmarks: np.ndarray, frames: np.ndarray, *, clip: str = "unnamed"
) -> tuple[Box | None, ...]:
    """Per frame (frames, H, W, 3), the pixels around the mouth of (frames, 68 or 106, 2) landmarks.

    The mouth's bounding box, widened on each side by a quarter of its width, as far as the frame reaches.
    None where there is no face, or its mouth lies outside the frame.

    Raises:
        ValueError: naming the clip: landmarks of another shape or number, infinite, or found in part; frames
            that are not square.
    """
    height, width = frames.shape[1:3]
    if height != width:
        raise ValueError(f"clip {clip}: mouths are cut from square crops, got frames of {width} x {height}")
    found = faces_found(landmarks, f"clip {clip}: true landmarks")
    if len(landmarks) != len(frames):
        raise ValueError(
            f"clip {clip}: expected as many landmarks as frames, got {len(landmarks)} and {len(frames)}"
        )
    mouth = np.asarray(landmarks, np.float64)[:, layout_of(landmarks).region("mouth")] * (width / CROP_SIZE)
    whole = Box.whole((height, width))
    boxes: list[Box | None] = []
    for points, face in zip(mouth, found, strict=True):
        if not face:
            boxes.append(None)
            continue
        low, high = points.min(0), points.max(0)
        margin = MOUTH_MARGIN * (high[0] - low[0])
        (left, top), (right, bottom) = np.floor(low - margin), np.ceil(high + margin)
        boxes.append(Box.spanning(int(left), int(top), int(right), int(bottom)).shared(whole))
    return tuple(boxes)


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
