"""PSNR beside scikit-image and OpenCV."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from benchmark.metrics.image import psnr


@pytest.mark.parametrize("sigma", [1, 10, 40, 200])
def test_equal_to_scikit_image_and_opencv(sigma: float) -> None:
    peak_signal_noise_ratio = pytest.importorskip("skimage.metrics").peak_signal_noise_ratio
    rng = np.random.default_rng(int(sigma))
    target = rng.integers(0, 256, (3, 96, 80, 3)).astype(np.uint8)
    predicted = np.clip(target + rng.normal(0, sigma, target.shape), 0, 255).astype(np.uint8)
    value = psnr(predicted, target).value
    frames = list(zip(target, predicted, strict=True))
    assert value == pytest.approx(np.mean([peak_signal_noise_ratio(t, p) for t, p in frames]), rel=1e-12)
    assert value == pytest.approx(np.mean([cv2.PSNR(t, p) for t, p in frames]), rel=1e-9)
