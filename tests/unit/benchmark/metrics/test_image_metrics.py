"""SSIM and PSNR: closed forms, the wrap-around trap, rules for identical frames, unusable input."""

from __future__ import annotations

import numpy as np
import pytest

from benchmark.metrics.image import C1, mouth_boxes, psnr, psnr_in, psnr_luma, ssim, ssim_in, ssim_luma
from benchmark.metrics.metric import ClipPair
from benchmark.metrics.registry import metric_of
from models.rendering.canny import Box
from models.types import Prediction


def noise(seed: int, frames: int = 2, size: int = 48) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (frames, size, size, 3)).astype(np.uint8)


def flat(level: int) -> np.ndarray:
    return np.full((1, 32, 32, 3), level, np.uint8)


@pytest.mark.parametrize("error", [1, 5, 40, 200, 255])
def test_psnr_of_a_constant_error(error: int) -> None:
    expected = 20 * np.log10(255 / error)
    assert psnr(flat(error), flat(0)).value == pytest.approx(expected, rel=1e-9, abs=1e-9)
    assert psnr(flat(0), flat(error)).value == pytest.approx(expected, rel=1e-9, abs=1e-9)


def test_psnr_of_independent_noise_is_not_28_db() -> None:
    """Uniform independent noise has MSE (256^2 - 1) / 6; subtracting in uint8 would report 27.9 dB."""
    value = psnr(noise(0, 4, 128), noise(1, 4, 128)).value
    assert value == pytest.approx(10 * np.log10(255**2 / ((256**2 - 1) / 6)), abs=0.02)


@pytest.mark.parametrize(("sigma", "expected"), [(10, 28.2), (20, 22.5), (40, 17.2)])
def test_psnr_falls_with_noise(sigma: float, expected: float) -> None:
    rng = np.random.default_rng(3)
    image = rng.integers(0, 256, (1, 256, 256, 3)).astype(np.uint8)
    noisy = np.clip(np.round(image + rng.normal(0, sigma, image.shape)), 0, 255).astype(np.uint8)
    assert psnr(noisy, image).value == pytest.approx(expected, abs=0.45)


def test_identical_frames_are_left_out_of_psnr_and_counted() -> None:
    target = noise(0, 4)
    predicted = target.copy()
    predicted[2] ^= 1
    score = psnr(predicted, target)
    assert score.value == pytest.approx(20 * np.log10(255))
    assert score.coverage == pytest.approx(0.25)
    same = psnr(target, target)
    assert same.value is None
    assert same.coverage == 0


def test_ssim_of_flat_images_is_the_luminance_term() -> None:
    expected = (2 * 40 * 200 + C1) / (40**2 + 200**2 + C1)
    assert ssim(flat(40), flat(200)).value == pytest.approx(expected, abs=1e-6)


def test_ssim_of_a_negative_is_negative_and_of_itself_one() -> None:
    image = noise(4)
    assert ssim(image, image).value == pytest.approx(1, abs=1e-12)
    negative = ssim(255 - image, image).value
    assert negative is not None
    assert negative < -0.5


def test_ssim_and_psnr_are_means_over_frames() -> None:
    predicted, target = noise(5, 3), noise(6, 3)
    for metric in (ssim, psnr):
        singles = [metric(predicted[k : k + 1], target[k : k + 1]).value for k in range(3)]
        assert metric(predicted, target).value == pytest.approx(np.mean(singles), rel=1e-12)


def test_views_score_as_their_copies() -> None:
    predicted, target = noise(7)[:, ::-1, :, ::-1], noise(8)[:, ::-1, :, ::-1]
    for metric in (ssim, psnr):
        assert metric(predicted, target) == metric(predicted.copy(), target.copy())


@pytest.mark.parametrize("metric", [ssim, psnr])
@pytest.mark.parametrize(
    ("predicted", "target", "message"),
    [
        (noise(0, 3), noise(0, 2), "clip c: expected predicted and true frames of one shape"),
        (noise(0, 1, 48), noise(0, 1, 32), "clip c: expected predicted and true frames of one shape"),
        (noise(0) / 255, noise(0), r"clip c: expected predicted frames .* uint8 RGB, got .* float64"),
        (noise(0), noise(0)[..., :1], "clip c: expected true frames"),
        (noise(0)[:0], noise(0)[:0], "clip c: expected at least one predicted frame"),
    ],
)
def test_unusable_frames_are_refused_by_name(metric, predicted, target, message) -> None:
    with pytest.raises(ValueError, match=message):
        metric(predicted, target, clip="c")


def test_ssim_needs_frames_as_large_as_its_window() -> None:
    with pytest.raises(ValueError, match="clip c: SSIM needs frames of 11 px"):
        ssim(noise(0, 1, 10), noise(0, 1, 10), clip="c")
    assert ssim(noise(0, 1, 11), noise(0, 1, 11)).value == 1


def mouths(*centres: tuple[float, float]) -> np.ndarray:
    """(frames, 68, 2): mouths 40 px wide and 20 px high about the centres, the other points elsewhere."""
    landmarks = np.random.default_rng(0).uniform(0, 256, (len(centres), 68, 2))
    corners = np.array([(-20, -10), (20, -10), (-20, 10), (20, 10)])
    landmarks[:, 48:] = np.array(centres)[:, None] + np.tile(corners, (5, 1))
    return landmarks


def test_the_mouth_s_box_is_a_quarter_of_its_width_wider_on_each_side() -> None:
    frames = np.zeros((5, 128, 128, 3), np.uint8)
    landmarks = mouths((128, 180), (128.9, 180.9), (20, 250), (128, 300), (128, 180))
    landmarks[4] = np.nan
    assert mouth_boxes(landmarks, frames) == (
        Box.spanning(49, 80, 79, 100),
        Box.spanning(49, 80, 80, 101),
        Box.spanning(0, 115, 25, 128),
        None,
        None,
    )


def test_what_happens_outside_the_mouth_does_not_count() -> None:
    target = noise(9, 1, 128)
    landmarks = mouths((128, 180))
    far, near, inside = target.copy(), target.copy(), target.copy()
    far[:, :70], near[:, 79], inside[:, 85] = 0, 0, 0

    def score(protocol: str, predicted: np.ndarray) -> float | None:
        pair = ClipPair(Prediction(landmarks, predicted), Prediction(landmarks, target), "c")
        return metric_of(protocol).compute(pair).value

    assert score("psnr/mouth", far) is None
    assert score("psnr/mouth", near) is None
    assert score("psnr/mouth", inside) is not None
    assert score("ssim/mouth", far) == 1
    assert score("ssim/mouth", near) < 1, "a window in the box reaches out of it"  # pyright: ignore
    assert score("ssim/mouth", inside) < score("ssim/mouth", near)  # pyright: ignore


def test_frames_without_a_mouth_lower_the_coverage() -> None:
    predicted, target = noise(10, 4), noise(11, 4)
    box = Box(10, 12, 20, 9)
    corner = Box(0, 0, 4, 4)
    same = predicted.copy()
    same[3] = target[3]
    for metric, boxes, others in (
        (ssim_in, (box, None, box, None), slice(0, 3, 2)),
        (ssim_in, (box, corner, box, corner), slice(0, 3, 2)),
        (psnr_in, (box, None, box, None), slice(0, 3, 2)),
        (psnr_in, (box, None, box, box), slice(0, 3, 2)),
    ):
        score = metric(same, target, boxes)
        alone = metric(same[others], target[others], (box, box))
        assert score.value == alone.value
        assert score.coverage == 0.5
        assert metric(predicted, target, (None,) * 4).value is None
        assert metric(predicted, target, (None,) * 4).coverage == 0


def test_the_mouth_is_sought_in_the_true_landmarks_of_square_frames() -> None:
    landmarks, frames = mouths((128, 180), (128, 180)), noise(0)
    with pytest.raises(ValueError, match="clip c: expected as many landmarks as frames, got 1 and 2"):
        mouth_boxes(landmarks[:1], frames, clip="c")
    with pytest.raises(ValueError, match="clip c: mouths are cut from square crops, got frames of 24 x 48"):
        mouth_boxes(landmarks, frames[:, :, ::2], clip="c")


@pytest.mark.parametrize("error", [1, 40, 255])
def test_luma_of_a_constant_error(error: int) -> None:
    assert psnr_luma(flat(error)[..., 0], flat(0)[..., 0]).value == pytest.approx(
        20 * np.log10(255 / error), abs=1e-9
    )
    expected = (2 * error * 200 + C1) / (error**2 + 200**2 + C1)
    assert ssim_luma(flat(error)[..., 0], flat(200)[..., 0]).value == pytest.approx(expected, abs=1e-6)


def test_luma_does_not_see_a_change_of_hue_alone() -> None:
    """Red for green and a little blue: 0.299 x 50 is nearly 0.587 x 25 + 0.114 x 2."""
    target = np.full((1, 32, 32, 3), 100, np.uint8)
    hue = target.copy()
    hue[..., 0] += 50
    hue[..., 1] -= 25
    hue[..., 2] -= 2
    pair = ClipPair(Prediction(mouths((128, 180)), hue), Prediction(mouths((128, 180)), target), "c")
    assert metric_of("psnr/luma").compute(pair).value is None
    assert metric_of("ssim/luma").compute(pair).value == pytest.approx(1, abs=1e-12)
    assert metric_of("psnr").compute(pair).value == pytest.approx(
        10 * np.log10(255**2 * 3 / (50**2 + 25**2 + 2**2))
    )
