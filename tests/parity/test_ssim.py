"""SSIM beside scikit-image and piq."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from benchmark.metrics.image import ssim

KINDS = ("noise", "smooth", "posterised", "bright", "identical")


def pair(kind: str, size: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    image = cv2.GaussianBlur(rng.normal(size=(size, size, 3)), (0, 0), 5)
    image = (image - image.min()) / np.ptp(image) * 255
    sigma = {"noise": 30.0, "smooth": 4.0, "posterised": 0.7, "bright": 1.0, "identical": 0.0}[kind]
    if kind == "posterised":
        image = np.round(image / 80) * 60 + 15
    if kind == "bright":
        image = 240 + image / 20
    changed = image + rng.normal(0, 1, image.shape) * sigma
    as_bytes = [np.clip(np.round(x), 0, 255).astype(np.uint8) for x in (image, changed)]
    return as_bytes[1], as_bytes[0]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("size", [64, 129, 256])
def test_equal_to_scikit_image(kind: str, size: int) -> None:
    structural_similarity = pytest.importorskip("skimage.metrics").structural_similarity
    predicted, target = pair(kind, size, 11)
    _, values = structural_similarity(
        predicted,
        target,
        gaussian_weights=True,
        sigma=1.5,
        use_sample_covariance=False,
        data_range=255,
        channel_axis=2,
        full=True,
    )
    expected = values[5:-5, 5:-5].mean()
    assert ssim(predicted[None], target[None]).value == pytest.approx(expected, abs=1e-10)


@pytest.mark.parametrize("kind", KINDS)
def test_equal_to_piq(kind: str) -> None:
    piq, torch = pytest.importorskip("piq"), pytest.importorskip("torch")
    predicted, target = pair(kind, 128, 12)
    tensors = [torch.from_numpy(x).permute(2, 0, 1)[None].double() for x in (predicted, target)]
    expected = piq.ssim(*tensors, data_range=255.0, downsample=False)
    assert ssim(predicted[None], target[None]).value == pytest.approx(float(expected), abs=1e-6)
