"""The condition map of a crop against the same rules on the whole frame by other code, pixel for pixel."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image
from skimage.feature import canny as scikit_canny

from models.landmarks.topology import EVP106
from models.rendering.canny import Box, canny
from models.rendering.edges import EdgeSketch, crop_box, shrunk
from tests.parity.full_frame import STROKES, face, full_frame_condition, scene


def test_the_strokes_are_the_released_ones() -> None:
    assert [list(stroke) for stroke in EVP106.strokes] == STROKES


@pytest.mark.parametrize("blur", [0.1, 1.5, 4.0])
def test_canny_is_scikit_images_and_a_part_has_what_the_whole_has(blur: float) -> None:
    frame = scene(np.random.default_rng(1), 270, 480, blur)
    expected = scikit_canny(np.array(Image.fromarray(frame).convert("L")))
    assert expected.any()
    np.testing.assert_array_equal(canny(frame), 255 * expected)
    for box in (Box(0, 0, 90, 70), Box(200, 60, 120, 120), Box(411, 250, 69, 20), Box(7, 3, 470, 4)):
        rows, columns = box.within(Box.whole(frame.shape))
        np.testing.assert_array_equal(canny(frame, box), 255 * expected[rows, columns])


def test_canny_finds_the_far_end_that_holds_a_weak_edge() -> None:
    """A faint line whose contrast is enough for the high threshold only far outside the box."""
    frame = np.full((300, 900, 3), 100, np.uint8)
    frame[150:] = 112
    frame[150:, 860:] = 130
    expected = scikit_canny(np.array(Image.fromarray(frame).convert("L")))
    box = Box(20, 100, 100, 100)
    rows, columns = box.within(Box.whole(frame.shape))
    assert expected[rows, columns].any()
    assert not scikit_canny(frame[:, :700, 0]).any()
    np.testing.assert_array_equal(canny(frame, box), 255 * expected[rows, columns])


@pytest.mark.parametrize("sub_pixel", [True, False], ids=["sub_pixel", "rounded"])
@pytest.mark.parametrize("repaired", [True, False], ids=["repaired", "released"])
@pytest.mark.parametrize(
    ("centre", "width", "jitter"),
    [((240, 130), 110.3, 0.0), ((250, 120), 90.0, 0.03), ((30, 250), 120.0, 0.01), ((200, 100), 12.0, 0.05)],
    ids=["face", "crumpled", "cut by the frame", "tiny"],
)
def test_a_crop_has_what_the_whole_frame_has(
    centre: tuple[float, float], width: float, jitter: float, sub_pixel: bool, repaired: bool
) -> None:
    rng = np.random.default_rng(2)
    for _ in range(4):
        frame, points = scene(rng, 270, 480, 2.0), face(rng, centre, width, jitter)
        box = crop_box(points, frame.shape)
        rounding = "none" if sub_pixel else "released"
        sketch = EdgeSketch(channels="full", size=box.width, rounding=rounding, repaired=repaired)
        maps = sketch.draw_in_frame(points, frame, box)
        expected = full_frame_condition(points, frame, sub_pixel=sub_pixel, repaired=repaired)
        rows, columns = box.within(Box.whole(frame.shape))
        np.testing.assert_array_equal(maps, expected[:, rows, columns])


def test_a_1080p_frame() -> None:
    rng = np.random.default_rng(3)
    frame, points = scene(rng, 1080, 1920, 3.0), face(rng, (960, 520), 380, 0.004)
    box = crop_box(points, frame.shape)
    maps = EdgeSketch(channels="full", size=box.width).draw_in_frame(points, frame, box)
    rows, columns = box.within(Box.whole(frame.shape))
    np.testing.assert_array_equal(maps, full_frame_condition(points, frame)[:, rows, columns])


def test_the_rejected_pieces_occur() -> None:
    """Or the comparisons above would not see what becomes of them."""
    rng = np.random.default_rng(2)
    frame, points = np.zeros((270, 480, 3), np.uint8), face(rng, (250, 120), 90.0, 0.03)
    kept = full_frame_condition(points, frame)
    lost = full_frame_condition(points, frame, repaired=False)
    assert (kept[1:] != lost[1:]).any()


def test_shrinking_is_pillows() -> None:
    rng = np.random.default_rng(4)
    frame, points = scene(rng, 270, 480, 2.0), face(rng, (240, 130), 110, 0.0)
    maps = full_frame_condition(points, frame)[:, 20:251, 120:351]
    expected = [np.array(Image.fromarray(x).resize((160, 160), Image.Resampling.BILINEAR)) for x in maps]
    off = np.abs(shrunk(maps, 160).astype(int) - expected)
    assert off.max() <= 1
