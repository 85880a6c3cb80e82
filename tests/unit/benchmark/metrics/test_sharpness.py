"""CPBD of edges whose widths follow from how they were drawn."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from benchmark.metrics.score import Score
from benchmark.metrics.sharpness import cpbd

SIZE = 128


def slopes(width: int, low: int = 40, high: int = 220) -> np.ndarray:
    """(1, 128, 128) uint8: four slopes, falling and rising, 32 px apart.

    Each is monotone over `width` steps, and steepest at one pixel: where two are equally steep, as beside a
    hard step, neither is an edge.
    """
    steps = 1 / (1 + np.abs(np.arange(width) - (width - 1) / 2 - 0.3))
    slope = np.concatenate([[0], np.cumsum(steps)]) / steps.sum()
    down = np.full(32, float(low))
    down[:10], down[10 : 11 + width] = high, high - slope * (high - low)
    return np.tile(np.concatenate([down, down[::-1]] * 2).round().astype(np.uint8), (1, SIZE, 1))


def value(luma: np.ndarray) -> float:
    found = cpbd(luma).value
    assert found is not None
    return found


@pytest.mark.parametrize("turned", [False, True])
@pytest.mark.parametrize(("contrast", "noticed"), [(180, 3), (50, 5)])
def test_an_edge_is_sharp_up_to_the_width_that_is_noticed(contrast: int, noticed: int, turned: bool) -> None:
    for width in range(2, 9):
        picture = slopes(width, 60, 60 + contrast)
        picture = picture[:, :, ::-1] if turned else picture
        assert value(picture) == (1.0 if width <= noticed else 0.0), width


def test_it_falls_with_blur_and_rises_with_noise() -> None:
    rng = np.random.default_rng(0)
    picture = cv2.GaussianBlur(rng.uniform(0, 255, (SIZE, SIZE)), (0, 0), 0.8).astype(np.uint8)
    blurred = [cv2.GaussianBlur(picture, (0, 0), sigma) if sigma else picture for sigma in (0, 0.7, 1.5)]
    values = [value(image[None]) for image in blurred]
    assert values == sorted(values, reverse=True)
    assert values[0] > values[-1]
    noisy = np.clip(blurred[-1] + rng.normal(0, 20, picture.shape), 0, 255).astype(np.uint8)
    assert value(noisy[None]) > 0.5 > values[-1]


def test_horizontal_edges_do_not_count() -> None:
    assert value(slopes(3)) == 1
    assert value(slopes(3).transpose(0, 2, 1)) == 0


def test_a_picture_without_edges_is_not_sharp() -> None:
    assert value(np.full((1, SIZE, SIZE), 90, np.uint8)) == 0


def test_only_whole_blocks_with_edges_are_looked_at() -> None:
    sharp, soft = slopes(3), slopes(8)
    wide = np.concatenate([sharp, soft[:, :, :63]], axis=2)
    assert value(wide) == 1
    both = np.concatenate([sharp, soft], axis=2)
    assert value(both) == pytest.approx(0.5, abs=0.1)


def test_frames_are_averaged_and_those_below_a_block_have_no_score() -> None:
    assert value(np.concatenate([slopes(3), slopes(8)])) == 0.5
    assert cpbd(slopes(3)[:, :63]) == Score(None, coverage=0.0)
