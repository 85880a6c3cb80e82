"""Invariances of the landmark, image and set functions, on 500 drawn examples each.

Those that every protocol declares are checked over the registry (tests/contracts/ladder.py).
"""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from benchmark.metrics.frechet import frechet_distance
from benchmark.metrics.image import luma_of, psnr, ssim
from benchmark.metrics.landmarks import align_pair, landmark_distance, landmark_velocity_distance
from benchmark.metrics.legacy_images import psnr_uint8_wrap, ssim_uniform, ssim_zero_padded

many = settings(
    max_examples=500, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow]
)
seeds = st.integers(0, 2**32 - 1)
lengths = st.integers(2, 6)
METRICS = {"ld": landmark_distance, "lvd": landmark_velocity_distance}
REGIONS = ("mouth", "face")
CASES = [(name, region) for name in METRICS for region in REGIONS]


def face(seed: int, frames: int) -> np.ndarray:
    """(frames, 68, 2) random points whose eyes and nose tip lie apart, as in a face."""
    rng = np.random.default_rng(seed)
    points = rng.uniform(60, 200, (1, 68, 2)) + rng.normal(0, 3, (frames, 68, 2))
    points[:, 36:42] += np.array([84, 80]) - points[:, 36:42].mean(1, keepdims=True)
    points[:, 42:48] += np.array([168, 80]) - points[:, 42:48].mean(1, keepdims=True)
    points[:, 30] = np.array((129.5, 118.5)) + rng.normal(0, 3, (frames, 2))
    return points


def value(case: tuple[str, str], predicted: np.ndarray, target: np.ndarray) -> float:
    name, region = case
    found = METRICS[name](align_pair(predicted, target), region).value  # pyright: ignore
    assert found is not None
    return found


@pytest.mark.parametrize("case", CASES)
@many
@given(seed=seeds, frames=lengths, factor=st.floats(0.01, 50))
def test_linear_in_the_residual(case: tuple[str, str], seed: int, frames: int, factor: float) -> None:
    """Points that alignment does not use are moved, so the alignment stays as it is."""
    target = face(seed, frames)
    residual = np.zeros_like(target)
    residual[:, 48:] = np.random.default_rng(seed).normal(0, 2, (frames, 20, 2))
    once, scaled = value(case, target + residual, target), value(case, target + factor * residual, target)
    assert scaled == pytest.approx(factor * once, rel=1e-9)


@pytest.mark.parametrize("case", CASES)
@many
@given(seed=seeds, frames=lengths)
def test_order_of_mouth_points_does_not_matter(case: tuple[str, str], seed: int, frames: int) -> None:
    first, second = face(seed, frames), face(seed + 1, frames)
    order = np.r_[0:48, 48 + np.random.default_rng(seed).permutation(20)]
    assert value(case, first[:, order], second[:, order]) == pytest.approx(
        value(case, first, second), rel=1e-12
    )


@many
@given(seed=seeds, frames=lengths, x=st.floats(-30, 30), y=st.floats(-30, 30))
def test_only_lvd_is_blind_to_an_offset_of_the_mouth(seed: int, frames: int, x: float, y: float) -> None:
    """The points that frames are aligned by are held still, so every frame has the same similarity."""
    target = face(seed, frames)
    target[:, 30], target[:, 36:48] = target[0, 30], target[0, 36:48]
    predicted = target.copy()
    predicted[:, 48:] += (x, y)
    assert value(("lvd", "mouth"), predicted, target) == pytest.approx(0, abs=1e-9)
    scale = value(("ld", "mouth"), target + np.where(np.arange(68)[:, None] >= 48, [1.0, 0.0], 0.0), target)
    assert value(("ld", "mouth"), predicted, target) == pytest.approx(scale * np.hypot(x, y), abs=1e-6)


@many
@given(seed=seeds, frames=lengths, missing=st.integers(0, 5))
def test_a_missing_frame_scores_as_if_it_were_not_there(seed: int, frames: int, missing: int) -> None:
    first, second = face(seed, frames), face(seed + 1, frames)
    gone = missing % frames
    holed = first.copy()
    holed[gone] = np.nan
    score = landmark_distance(align_pair(holed, second), "face")
    kept = np.delete(np.arange(frames), gone)
    assert score.value == pytest.approx(value(("ld", "face"), first[kept], second[kept]), rel=1e-12)
    assert score.coverage == pytest.approx(1 - 1 / frames)


def picture(seed: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (1, 13, 14, 3)).astype(np.uint8)


@many
@given(seed=seeds)
def test_images_are_symmetric_and_know_no_sides_or_channels(seed: int) -> None:
    first, second = picture(seed), picture(seed + 1)
    for metric in (ssim, ssim_uniform, ssim_zero_padded, psnr):
        expected = metric(first, second).value
        assert metric(second, first).value == pytest.approx(expected, rel=1e-12)
        for view in (lambda x: x[:, ::-1], lambda x: x[:, :, ::-1], lambda x: x[..., ::-1]):
            assert metric(view(first), view(second)).value == pytest.approx(expected, rel=1e-9, abs=1e-12)
    for metric in (ssim, ssim_uniform, ssim_zero_padded):
        assert metric(first, first).value == pytest.approx(1, abs=1e-12)
        assert -1 <= metric(first, second).value <= 1  # pyright: ignore


@many
@given(seed=seeds)
def test_wrapped_psnr_does_not_know_white_from_grey(seed: int) -> None:
    """(d + 128)^2 is d^2 modulo 256, and so is (-d)^2: half of all grey levels are no error."""
    first, second = luma_of(picture(seed)), luma_of(picture(seed + 1))
    expected = psnr_uint8_wrap(first, second)
    assert psnr_uint8_wrap(second, first) == psnr_uint8_wrap(first + 128, second) == expected


@many
@given(seed=seeds, factor=st.floats(0.1, 10))
def test_frechet_knows_rotation_scale_and_order(seed: int, factor: float) -> None:
    rng = np.random.default_rng(seed)
    first, second = rng.normal(size=(30, 3)), 2 * rng.normal(size=(40, 3)) + 1
    expected = frechet_distance(first, second)
    turn, _ = np.linalg.qr(rng.normal(size=(3, 3)))
    assert frechet_distance(second, first) == pytest.approx(expected, rel=1e-8)
    assert frechet_distance(first @ turn, second @ turn) == pytest.approx(expected, rel=1e-8)
    assert frechet_distance(factor * first, factor * second) == pytest.approx(factor**2 * expected, rel=1e-8)
    assert frechet_distance(rng.permutation(first), second) == pytest.approx(expected, rel=1e-8)
