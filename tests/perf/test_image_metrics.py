"""Image protocols against scikit-image, and what each costs: pytest --benchmark-only.

A clip is a second of 256 px frames: smooth pictures, and the same with noise.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from functools import cache
from typing import Any

import cv2
import numpy as np
import pytest
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from benchmark.metrics.image import psnr, ssim
from benchmark.metrics.metric import ClipPair, Metric
from benchmark.metrics.protocols.images import IMAGES
from models.landmarks.alignment import TEMPLATE
from models.types import Prediction
from tests.perf.contest import in_cpu_seconds, times_faster

FRAMES = 25
SIZES = (128, 256)


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    before = cv2.getNumThreads()
    cv2.setNumThreads(1)
    yield
    cv2.setNumThreads(before)


@cache
def clip(size: int) -> tuple[Prediction, Prediction]:
    """Predicted and true."""
    rng = np.random.default_rng(0)
    smooth = [cv2.GaussianBlur(rng.normal(size=(size, size, 3)), (0, 0), size / 64) for _ in range(FRAMES)]
    true = cv2.normalize(np.stack(smooth), None, 0, 255, cv2.NORM_MINMAX).astype(np.uint8)
    predicted = np.clip(true + rng.normal(0, 10, true.shape), 0, 255).astype(np.uint8)
    along = np.linspace(0, np.pi, 17)
    landmarks = rng.uniform(100, 150, (FRAMES, 68, 2)).astype(np.float32)
    landmarks[:, :17] = np.stack([128 - 60 * np.cos(along), 110 + 90 * np.sin(along)], 1)
    landmarks[:, 48:] = TEMPLATE[2] + (0, 35) + rng.uniform(-1, 1, (FRAMES, 20, 2)) * (25, 10)
    return Prediction(landmarks, predicted), Prediction(landmarks, true)


def frames(size: int) -> tuple[np.ndarray, np.ndarray]:
    predicted, true = clip(size)
    assert predicted.frames is not None
    assert true.frames is not None
    return predicted.frames, true.frames


@in_cpu_seconds
def test_ssim_is_6_times_scikit_image_s(benchmark: Any) -> None:
    predicted, true = frames(256)

    def other() -> float:
        maps = [
            structural_similarity(
                t,
                p,
                gaussian_weights=True,
                sigma=1.5,
                use_sample_covariance=False,
                data_range=255,
                channel_axis=2,
                full=True,
            )[1][5:-5, 5:-5].mean()
            for p, t in zip(predicted, true, strict=True)
        ]
        return float(np.mean(maps))

    assert ssim(predicted, true).value == pytest.approx(other(), abs=1e-6)
    assert times_faster(benchmark, lambda: ssim(predicted, true), other, rounds=3) >= 6


@in_cpu_seconds
def test_psnr_is_10_times_scikit_image_s(benchmark: Any) -> None:
    predicted, true = frames(256)

    def other() -> float:
        return float(np.mean([peak_signal_noise_ratio(t, p) for p, t in zip(predicted, true, strict=True)]))

    def many() -> None:
        """So many rounds that the clock can tell."""
        for _ in range(10):
            psnr(predicted, true)

    def many_others() -> None:
        for _ in range(10):
            other()

    assert psnr(predicted, true).value == pytest.approx(other(), abs=1e-6)
    assert times_faster(benchmark, many, many_others) >= 10


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("metric", IMAGES, ids=lambda metric: metric.id)
@pytest.mark.benchmark(timer=time.process_time, group="image protocols, a second of frames, each alone")
def test_a_protocol(benchmark: Any, metric: Metric, size: int) -> None:
    predicted, true = clip(size)
    benchmark.pedantic(lambda: metric.compute(ClipPair(predicted, true, "perf")), rounds=3, warmup_rounds=1)
    milliseconds = benchmark.stats.stats.min / FRAMES * 1e3
    print(f"\n{metric.id}: {milliseconds:.2f} ms a frame of {size} px")


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.benchmark(timer=time.process_time, group="image protocols, a second of frames, all together")
def test_all_protocols(benchmark: Any, size: int) -> None:
    predicted, true = clip(size)

    def score() -> None:
        pair = ClipPair(predicted, true, "perf")
        for metric in IMAGES:
            metric.compute(pair)

    benchmark.pedantic(score, rounds=3, warmup_rounds=1)
    milliseconds = benchmark.stats.stats.min / FRAMES * 1e3
    print(f"\nall image protocols: {milliseconds:.2f} ms a frame of {size} px")
