"""What older tables call SSIM and PSNR: the defects are there, with the values they are known for."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from scipy.special import ndtr

from benchmark.metrics.image import C1, gaussian_sums, luma_of, psnr_luma, ssim
from benchmark.metrics.legacy_images import psnr_uint8_wrap, ssim_uniform, ssim_zero_padded


def noise(seed: int, frames: int = 2, size: int = 48) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (frames, size, size, 3)).astype(np.uint8)


def flat(level: int, size: int = 32) -> np.ndarray:
    return np.full((1, size, size, 3), level, np.uint8)


def grey_noise(seed: int, size: int = 512) -> np.ndarray:
    """(1, size, size) uint8, uniform."""
    return np.random.default_rng(seed).integers(0, 256, (1, size, size)).astype(np.uint8)


@pytest.mark.parametrize(
    ("sigma", "wrapped", "right"), [(10, 30.3, 28.2), (20, 28.7, 22.5), (40, 28.0, 17.2)]
)
def test_wrapped_psnr_hardly_sees_noise(sigma: float, wrapped: float, right: float) -> None:
    """Normal noise, first where it is not clipped, then on all grey levels, which clip and so soften it."""
    errors = np.arange(-250, 251)
    share = np.diff(ndtr((np.arange(-250, 252) - 0.5) / sigma))
    expected = 10 * np.log10(255**2 / (share @ (errors**2 % 256)))
    assert expected == pytest.approx(wrapped, abs=0.06)
    drawn = np.random.default_rng(1).choice(errors, (1, 512, 512), p=share / share.sum())
    middle = np.full(drawn.shape, 128, np.uint8)
    noisy = (middle + drawn).astype(np.uint8)
    assert psnr_uint8_wrap(noisy, middle).value == pytest.approx(expected, abs=0.03)
    image = grey_noise(0)
    clipped = np.clip(image + drawn, 0, 255).astype(np.uint8)
    assert psnr_uint8_wrap(clipped, image).value == pytest.approx(wrapped, abs=0.2)
    assert psnr_luma(clipped, image).value == pytest.approx(right, abs=0.35)


def test_wrapped_psnr_of_independent_noise_is_28_db() -> None:
    """The difference of two uniform bytes is a uniform byte modulo 256."""
    value = psnr_uint8_wrap(grey_noise(2), grey_noise(3)).value
    expected = 10 * np.log10(255**2 / np.mean(np.arange(256) ** 2 % 256))
    assert value == pytest.approx(expected, abs=0.02)
    assert value == pytest.approx(27.9, abs=0.05)


@pytest.mark.parametrize("error", range(0, 256, 15))
def test_wrapped_psnr_of_a_constant_error(error: int) -> None:
    square = error**2 % 256
    expected = 10 * np.log10(255**2 / square) if square else 100
    for predicted, target in ((error, 0), (0, error)):
        value = psnr_uint8_wrap(flat(predicted)[..., 0], flat(target)[..., 0]).value
        assert value == pytest.approx(expected, rel=1e-12)


def test_an_error_of_16_grey_levels_counts_as_none() -> None:
    image = grey_noise(4, 64) // 2
    assert psnr_uint8_wrap(image + 16, image).value == psnr_uint8_wrap(image, image).value == 100


def test_frames_that_wrap_to_nothing_are_averaged_as_100_db() -> None:
    image = np.concatenate([grey_noise(5, 64)] * 2)
    changed = image.copy()
    changed[0] ^= 1
    assert psnr_uint8_wrap(changed, image).value == pytest.approx((20 * np.log10(255) + 100) / 2)


def test_padding_with_black_flatters_the_border() -> None:
    """Away from the border both definitions agree; windows over it share what lies beyond."""
    predicted, target = noise(6, 1, 64), noise(7, 1, 64)
    inside, padded = ssim(predicted, target).value, ssim_zero_padded(predicted, target).value
    assert inside is not None
    assert padded is not None
    assert padded > inside + 0.005
    larger = noise(6, 1, 256), noise(7, 1, 256)
    assert abs(ssim_zero_padded(*larger).value - ssim(*larger).value) < padded - inside  # pyright: ignore


def test_zero_padding_of_flat_frames_by_hand() -> None:
    """Of two flat frames every window sees the share of its weight that lies inside, and what that varies."""
    size, a, b = 24, 60, 120
    weights = np.exp(-((np.arange(11) - 5) ** 2) / (2 * 1.5**2))
    weights /= weights.sum()
    line = np.convolve(np.ones(size), weights, "same")
    share = np.outer(line, line)
    spread = share - share**2
    c2 = (0.03 * 255) ** 2
    luminance = (2 * a * b * share**2 + C1) / ((a**2 + b**2) * share**2 + C1)
    structure = (2 * a * b * spread + c2) / ((a**2 + b**2) * spread + c2)
    expected = (luminance * structure).mean()
    assert ssim_zero_padded(flat(a, size), flat(b, size)).value == pytest.approx(expected, abs=1e-12)


def test_known_sums_are_taken_as_they_are() -> None:
    predicted, target = noise(8), noise(9)
    sums = gaussian_sums(predicted, target)
    for metric in (ssim, ssim_zero_padded):
        assert metric(predicted, target, sums=sums) == metric(predicted, target)


def test_uniform_windows_of_flat_frames_have_the_luminance_term() -> None:
    expected = (2 * 40 * 200 + C1) / (40**2 + 200**2 + C1)
    assert ssim_uniform(flat(40), flat(200)).value == pytest.approx(expected, rel=1e-12)


def test_the_largest_sums_fit_their_integers() -> None:
    """A chessboard beside its negative, and white beside white."""
    board = np.zeros((1, 33, 33, 3), np.uint8)
    board[:, ::2, ::2] = board[:, 1::2, 1::2] = 255
    means, n = np.array((25, 24)) * 255 / 49, 49 / 48
    variance = 25 * 24 / 49**2 * 255**2 * n
    c2 = (0.03 * 255) ** 2
    luminance = (2 * means.prod() + C1) / ((means**2).sum() + C1)
    expected = luminance * (c2 - 2 * variance) / (c2 + 2 * variance)
    assert ssim_uniform(255 - board, board).value == pytest.approx(expected, rel=1e-12)
    assert ssim_uniform(flat(255), flat(255)).value == 1


@pytest.mark.parametrize("metric", [ssim_uniform, ssim_zero_padded])
def test_frames_score_alone_and_as_views(metric) -> None:
    predicted, target = noise(10, 3)[:, ::-1, :, ::-1], noise(11, 3)[:, ::-1, :, ::-1]
    assert metric(predicted, target) == metric(predicted.copy(), target.copy())
    singles = [metric(predicted[k : k + 1], target[k : k + 1]).value for k in range(3)]
    assert metric(predicted, target).value == pytest.approx(np.mean(singles), rel=1e-12)
    assert metric(target, target).value == pytest.approx(1, abs=1e-12)


@pytest.mark.parametrize(("metric", "least"), [(ssim_uniform, 7), (ssim_zero_padded, 11)])
def test_unusable_frames_are_refused_by_name(metric, least: int) -> None:
    small = noise(0, 1, least - 1)
    with pytest.raises(ValueError, match=f"clip c: SSIM needs frames of {least} px"):
        metric(small, small, clip="c")
    with pytest.raises(ValueError, match="clip c: expected predicted and true frames of one shape"):
        metric(noise(0), noise(0, 3), clip="c")


def test_luma_is_itu_r_601() -> None:
    frames = noise(12, 2, 64)
    exact = frames @ np.array([0.299, 0.587, 0.114])
    assert np.abs(luma_of(frames) - exact).max() <= 0.502
    assert (luma_of(frames[..., :1].repeat(3, -1)) == frames[..., 0]).all()
    assert cv2.cvtColor(frames[0], cv2.COLOR_RGB2GRAY).tolist() == luma_of(frames)[0].tolist()
