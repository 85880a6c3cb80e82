"""Image protocols beside scikit-image, piq, pytorch-msssim, torchmetrics and plain code."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import cv2
import numpy as np
import piq
import torch
from pytorch_msssim import ssim as msssim_ssim
from skimage.metrics import peak_signal_noise_ratio, structural_similarity
from torch.nn.functional import conv2d
from torchmetrics.functional.image import (
    peak_signal_noise_ratio as torchmetrics_psnr,
)
from torchmetrics.functional.image import (
    structural_similarity_index_measure as torchmetrics_ssim,
)

from benchmark.metrics.metric import ClipPair
from benchmark.metrics.registry import metric_of
from models.types import Prediction
from tests.parity.agreement import Agreement
from tests.parity.plain_cpbd import plain_cpbd

KINDS = {"noise": 30.0, "smooth": 4.0, "posterised": 0.7, "bright": 1.0, "flat": 0.0}
"""Grey levels of the noise that a prediction of each kind has more than the truth."""
SIZES = ((64, 64), (256, 256), (97, 130))
Frames = tuple[np.ndarray, np.ndarray]


def picture(kind: str, height: int, width: int) -> Frames:
    """Predicted and true frame (height, width, 3) uint8."""
    rng = np.random.default_rng([len(kind), height, width])
    image = cv2.GaussianBlur(rng.normal(size=(height, width, 3)), (0, 0), 5)
    image = (image - image.min()) / np.ptp(image) * 255
    if kind == "posterised":
        image = np.round(image / 80) * 60 + 15
    if kind == "bright":
        image = 240 + image / 20
    changed = image + rng.normal(0, 1, image.shape) * KINDS[kind]
    if kind == "flat":
        image, changed = np.full_like(image, 17), np.full_like(image, 200)
        changed[height // 3 :, : width // 2] = 17
        changed[0, 0] = 90
    predicted, true = (np.clip(np.round(x), 0, 255).astype(np.uint8) for x in (changed, image))
    return predicted, true


@cache
def pictures() -> dict[str, Frames]:
    return {f"{kind} {h} x {w}": picture(kind, h, w) for kind in KINDS for h, w in SIZES}


@cache
def square_pictures() -> dict[str, tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """With landmarks (1, 68, 2) of a true face, whose mouth also lies at the border or over it."""
    rng = np.random.default_rng(3)
    found = {}
    for k, (name, frames) in enumerate(
        (n, f) for n, f in pictures().items() if f[0].shape[0] == f[0].shape[1]
    ):
        landmarks = rng.uniform(60, 200, (1, 68, 2))
        centre = ((128, 170), (20, 250), (240, 100))[k % 3]
        landmarks[0, 48:] = np.array(centre) + rng.uniform(-1, 1, (20, 2)) * (40, 18)
        found[name] = (*frames, landmarks)
    return found


def ours(protocol: str) -> Callable[..., float | None]:
    """The protocol's value of one pair of frames, with the true landmarks if it needs them."""

    def value(predicted: np.ndarray, true: np.ndarray, landmarks: np.ndarray | None = None) -> float | None:
        points = np.zeros((1, 68, 2)) if landmarks is None else landmarks
        sides = (Prediction(points, frame[None]) for frame in (predicted, true))
        return metric_of(protocol).compute(ClipPair(*sides, "parity")).value

    return value


def tensors(predicted: np.ndarray, true: np.ndarray) -> list[torch.Tensor]:
    return [torch.from_numpy(x).permute(2, 0, 1)[None].double() for x in (predicted, true)]


def torchmetrics_inside(predicted: np.ndarray, true: np.ndarray) -> float:
    """Without the windows over the border, where torchmetrics mirrors the picture."""
    everywhere = torchmetrics_ssim(*tensors(predicted, true), data_range=255.0, return_full_image=True)[1]
    return float(everywhere[..., 5:-5, 5:-5].mean())


def piq_psnr(predicted: np.ndarray, true: np.ndarray) -> float:
    """Without what piq adds to the mean squared error of intensities in [0, 1], so that it is never 0."""
    value = float(piq.psnr(*tensors(predicted, true), data_range=255.0))
    return -10 * np.log10(10 ** (-value / 10) - 1e-8)


def luma(frame: np.ndarray) -> np.ndarray:
    return cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY)


GAUSSIAN: dict[str, Any] = {
    "gaussian_weights": True,
    "sigma": 1.5,
    "use_sample_covariance": False,
    "data_range": 255,
}


def skimage_map(predicted: np.ndarray, true: np.ndarray) -> np.ndarray:
    """(H, W, 3) SSIM around each pixel; those of windows over the border mean nothing."""
    return structural_similarity(predicted, true, channel_axis=2, full=True, **GAUSSIAN)[1]


def skimage_ssim(predicted: np.ndarray, true: np.ndarray) -> float:
    return skimage_map(predicted, true)[5:-5, 5:-5].mean()


def skimage_luma(predicted: np.ndarray, true: np.ndarray) -> float:
    return structural_similarity(luma(predicted), luma(true), full=True, **GAUSSIAN)[1][5:-5, 5:-5].mean()


def mouth(frame: np.ndarray, landmarks: np.ndarray, border: int) -> tuple[slice, slice]:
    """Rows and columns of the mouth's box, without those so close to the frame's border."""
    size = len(frame)
    points = landmarks[0, 48:] * (size / 256)
    margin = np.ptp(points[:, 0]) / 4
    first = np.maximum(np.floor(points.min(0) - margin), border).astype(int)
    last = np.minimum(np.ceil(points.max(0) + margin), size - border).astype(int)
    return slice(first[1], last[1]), slice(first[0], last[0])


def skimage_mouth(predicted: np.ndarray, true: np.ndarray, landmarks: np.ndarray) -> float:
    return skimage_map(predicted, true)[mouth(true, landmarks, 5)].mean()


def skimage_mouth_psnr(predicted: np.ndarray, true: np.ndarray, landmarks: np.ndarray) -> float:
    part = mouth(true, landmarks, 0)
    return peak_signal_noise_ratio(true[part], predicted[part])


def zero_padded(predicted: np.ndarray, true: np.ndarray) -> float:
    """The formula of `pytorch_ssim`, of intensities in [0, 1] in double precision."""
    line = torch.exp(-((torch.arange(11.0, dtype=torch.float64) - 5) ** 2) / (2 * 1.5**2))
    window = torch.outer(line, line) / line.sum() ** 2

    def smooth(x: torch.Tensor) -> torch.Tensor:
        return conv2d(x, window.expand(3, 1, 11, 11), padding=5, groups=3)

    x, y = (t / 255 for t in tensors(predicted, true))
    mx, my = smooth(x), smooth(y)
    vx, vy, vxy = smooth(x * x) - mx * mx, smooth(y * y) - my * my, smooth(x * y) - mx * my
    c1, c2 = 0.01**2, 0.03**2
    values = (2 * mx * my + c1) * (2 * vxy + c2) / ((mx * mx + my * my + c1) * (vx + vy + c2))
    return float(values.mean())


def wrapped_psnr(predicted: np.ndarray, true: np.ndarray) -> float:
    """With the wrapping written out in whole numbers."""
    difference = (luma(predicted).astype(int) - luma(true).astype(int)) % 256
    error = (difference**2 % 256).mean()
    return 100.0 if error == 0 else 20 * np.log10(255 / np.sqrt(error))


def agreement(
    protocol: str,
    package: str,
    call: str,
    theirs: Callable[..., Any],
    tolerance: float,
    inputs: Callable[[], dict[str, Any]] = pictures,
) -> Agreement:
    return Agreement(protocol, package, call, inputs(), ours(protocol), theirs, tolerance)


IMAGE_CASES: tuple[Agreement, ...] = (
    agreement("ssim", "scikit-image", "structural_similarity(gaussian_weights)", skimage_ssim, 1e-6),
    agreement(
        "ssim",
        "piq",
        "ssim(downsample=False)",
        lambda p, t: piq.ssim(*tensors(p, t), data_range=255.0, downsample=False),
        1e-4,
    ),
    agreement(
        "ssim",
        "pytorch-msssim",
        "ssim(data_range=255)",
        lambda p, t: msssim_ssim(*tensors(p, t), data_range=255),
        1e-4,
    ),
    agreement(
        "ssim",
        "torchmetrics",
        "structural_similarity_index_measure(data_range=255) inside",
        torchmetrics_inside,
        1e-4,
    ),
    agreement(
        "ssim/luma", "scikit-image", "structural_similarity(gaussian_weights) of luma", skimage_luma, 1e-6
    ),
    agreement(
        "ssim/skimage",
        "scikit-image",
        "structural_similarity()",
        lambda p, t: structural_similarity(p, t, channel_axis=2),
        1e-6,
    ),
    agreement("ssim/zero-pad", "torch", "conv2d(padding=5), pytorch_ssim's formula", zero_padded, 1e-6),
    agreement(
        "ssim/mouth",
        "scikit-image",
        "structural_similarity(full) in the box",
        skimage_mouth,
        1e-6,
        square_pictures,
    ),
    agreement(
        "psnr",
        "scikit-image",
        "peak_signal_noise_ratio()",
        lambda p, t: peak_signal_noise_ratio(t, p),
        1e-6,
    ),
    agreement(
        "psnr",
        "piq",
        "psnr(data_range=255) but for its 1e-8",
        piq_psnr,
        1e-4,
    ),
    agreement(
        "psnr",
        "torchmetrics",
        "peak_signal_noise_ratio(data_range=255)",
        lambda p, t: torchmetrics_psnr(*tensors(p, t), data_range=255.0),
        1e-4,
    ),
    agreement("psnr", "opencv-python", "PSNR()", cv2.PSNR, 1e-6),
    agreement(
        "psnr/luma",
        "scikit-image",
        "peak_signal_noise_ratio() of luma",
        lambda p, t: peak_signal_noise_ratio(luma(t), luma(p)),
        1e-6,
    ),
    agreement("psnr/uint8-wrap", "", "wrapping in whole numbers", wrapped_psnr, 1e-9),
    agreement(
        "psnr/mouth",
        "scikit-image",
        "peak_signal_noise_ratio() in the box",
        skimage_mouth_psnr,
        1e-6,
        square_pictures,
    ),
    agreement(
        "cpbd",
        "",
        "the paper's steps on scikit-image's and SciPy's filters",
        lambda p, t: plain_cpbd(luma(p)),
        1e-9,
    ),
)
