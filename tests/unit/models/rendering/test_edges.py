import time
from itertools import pairwise

import numpy as np
import pytest

from models.landmarks.topology import EVP106, IBUG68, to_106
from models.rendering.canny import Box
from models.rendering.edges import EdgeSketch, crop_box, face_mask, frame_edges, to_crop


@pytest.fixture(scope="module")
def clip(puppets):
    return puppets.validation[0]


def plain(size: int) -> np.ndarray:
    return np.full((size, size, 3), 128, np.uint8)


def test_full_has_a_map_of_all_edges_and_fourteen_distances(clip):
    maps = EdgeSketch(channels="full", size=128).draw(to_106(clip.landmarks[0]), plain(128))
    assert maps.shape == (15, 128, 128)
    for stroke, distance in zip(EVP106.strokes, maps[1:], strict=True):
        points = to_106(clip.landmarks[0])[list(stroke)] / 2
        x, y = np.floor(points[len(points) // 2 // 2 * 2]).astype(int)
        assert distance[y - 1 : y + 2, x - 1 : x + 2].min() == 0
        assert distance.max() > 10


def test_distances_grow_by_a_third_per_pixel(clip):
    maps = EdgeSketch(channels="full", size=128).draw(clip.landmarks[0], plain(128))
    row = maps[1, :8, 64].astype(int)
    column = maps[1, 127].astype(int)
    assert np.abs(np.diff(row)).max() <= 1
    assert np.abs(np.diff(column)).max() <= 1
    assert maps[1, 0, 64] == pytest.approx((maps[1, :, 64].argmin()) / 3, abs=12)


def test_drawing_is_sub_pixel_and_at_the_landmarks_place(clip):
    sketch = EdgeSketch(channels="simple", size=64)
    still = np.tile(clip.landmarks[:1], (1, 1, 1))[0]
    first, moved = sketch.draw(still, plain(64))[0], sketch.draw(still + 1, plain(64))[0]
    assert not np.array_equal(first, moved)
    points = still[IBUG68.region("contour")] / 4
    y, x = np.nonzero(first)
    assert x.min() + 0.5 == pytest.approx(points[:, 0].min(), abs=1.6)
    assert y.max() + 0.5 == pytest.approx(points[:, 1].max(), abs=1.6)


def test_edges_of_the_face_are_left_out_and_those_around_it_kept(clip):
    size = 128
    frame = plain(size)
    frame[:, :10] = 0
    middle = (clip.landmarks[0, 30] / 2).astype(int)
    frame[middle[1] - 6 : middle[1] + 6, middle[0] - 6 : middle[0] + 6] = 255
    background = EdgeSketch(channels="simple", size=size).draw(clip.landmarks[0], frame)[2]
    assert background[:, 8:12].any()
    assert not background[:, 20:].any()
    assert frame_edges(frame)[:, 20:].any()


def test_the_targets_own_face_is_left_out_too(clip):
    frame = plain(64)
    frame[40:44, 30:34] = 255
    away = clip.landmarks[0] - [150, 0]
    sketch = EdgeSketch(channels="simple", size=64)
    assert sketch.draw(away, frame)[2].any()
    assert not sketch.draw(away, frame, clip.landmarks[0])[2].any()


def test_the_mask_covers_the_face_and_a_forehead(clip):
    mask = face_mask(clip.landmarks[0], 256)
    for x, y in clip.landmarks[0]:
        assert mask[int(y), int(x)] == 255
    brow = int(clip.landmarks[0, 17:27, 1].min())
    assert mask[brow - 8, int(clip.landmarks[0, 30, 0])] == 255
    assert mask.mean() / 255 < 0.6


def test_a_sketch_of_128_pixels_takes_less_than_three_milliseconds(clip):
    sketch, frame = EdgeSketch(channels="simple", size=128), plain(128)
    start = time.process_time()
    for _ in range(30):
        sketch.draw(clip.landmarks[0], frame)
    assert time.process_time() - start < 0.09


def test_what_cannot_be_drawn_is_refused(clip):
    with pytest.raises(ValueError, match="simple, line or full"):
        EdgeSketch(channels="many", size=64)  # pyright: ignore[reportArgumentType]
    sketch = EdgeSketch(channels="simple", size=64)
    with pytest.raises(ValueError, match="finite"):
        sketch.draw(np.full((68, 2), np.nan), plain(64))
    with pytest.raises(ValueError, match="expected a frame"):
        sketch.draw(clip.landmarks[0], plain(32))
    with pytest.raises(ValueError, match="in pixels"):
        sketch.draw(clip.landmarks[0] * 1e6, plain(64))
    with pytest.raises(ValueError, match="rounding none or released"):
        EdgeSketch(channels="full", size=64, rounding="half")  # pyright: ignore[reportArgumentType]
    with pytest.raises(ValueError, match="channels=full or line"):
        EdgeSketch(channels="simple", size=64, rounding="released")
    for box in (Box(0, 0, 40, 30), Box(-1, 0, 40, 40), Box(100, 0, 40, 40)):
        with pytest.raises(ValueError, match="square inside the frame"):
            sketch.draw_in_frame(clip.landmarks[0], plain(128), box)


def test_line_is_the_first_map_of_full(clip):
    frame = plain(128)
    frame[:, :10] = 0
    line = EdgeSketch(channels="line", size=128)
    assert line.num_channels == 1
    full = EdgeSketch(channels="full", size=128).draw(clip.landmarks[0], frame)
    np.testing.assert_array_equal(line.draw(clip.landmarks[0], frame), full[:1])


def test_full_is_the_same_for_68_points_and_for_the_106_made_of_them(clip):
    sketch = EdgeSketch(channels="full", size=128)
    maps = [sketch.draw(x, plain(128)) for x in (clip.landmarks[0], to_106(clip.landmarks[0]))]
    np.testing.assert_array_equal(*maps)


def test_a_slow_face_moves_by_less_than_a_pixel_unless_rounded(clip):
    """Of a hundred steps of a twentieth of a pixel, rounding hides those that cross no pixel's border."""
    points = to_106(clip.landmarks[0]).astype(float)
    changes = {}
    for rounding in ("none", "released"):
        sketch = EdgeSketch(channels="line", size=256, rounding=rounding)
        maps = [sketch.draw(points + k / 20, plain(256)).astype(int) for k in range(21)]
        changes[rounding] = np.array([(a != b).sum() for a, b in pairwise(maps)])
    assert changes["none"].max() < changes["released"].max()
    assert (changes["none"] > 0).sum() >= (changes["released"] > 0).sum()


def test_a_piece_shorter_than_a_pixel_keeps_its_ends_unless_rounded():
    points = np.full((106, 2), 128.0)
    points[[96, 97, 98, 99, 100]] = np.array(
        [[40.1, 60.2], [40.2, 60.2], [40.4, 60.2], [40.6, 60.2], [40.8, 60.2]]
    )
    ours = EdgeSketch(channels="full", size=256).draw(points, plain(256))
    theirs = EdgeSketch(channels="full", size=256, rounding="released").draw(points, plain(256))
    assert ours[13, 60, 40] == 0
    assert ours[13, 60, 43] == 1
    assert theirs[13].min() == 255


def test_where_a_stroke_crosses_an_edge_the_sum_stays_white(clip):
    frame = plain(128)
    frame[:, : int(clip.landmarks[0, 0, 0] / 2) + 1] = 0
    maps = {
        r: EdgeSketch(channels="line", size=128, repaired=r).draw(clip.landmarks[0], frame)
        for r in (True, False)
    }
    assert set(np.unique(maps[True])) == {0, 255}
    assert set(np.unique(maps[False])) == {0, 254, 255}
    np.testing.assert_array_equal(maps[False] > 0, maps[True] > 0)


def test_the_crop_is_twice_and_a_tenth_the_faces_width_about_its_upper_middle():
    corners = np.zeros((68, 2))
    corners[0], corners[1:] = (500, 200), (700, 520)
    assert crop_box(corners, (1080, 1920)) == Box(600 - 210, 280 - 210, 420, 420)
    assert crop_box(corners - [480, 190], (1080, 1920, 3)) == Box(0, 0, 420, 420)
    assert crop_box(corners + np.array([1200, 550]), (1080, 1920, 3)) == Box(1500, 620, 420, 420)


def test_a_face_too_near_gets_the_largest_square():
    corners = np.zeros((68, 2))
    corners[1:] = (700, 600)
    assert crop_box(corners, (720, 1280)) == Box(0, 0, 720, 720)
    with pytest.raises(ValueError, match="pixels wide"):
        crop_box(np.zeros((68, 2)), (720, 1280))


@pytest.mark.parametrize("channels", ["simple", "line"])
def test_sketches_of_a_frame_are_those_of_its_crop(clip, channels):
    frame = np.random.default_rng(0).integers(0, 256, (400, 600, 3), dtype=np.uint8)
    landmarks = clip.landmarks[0] + [150, 60]
    box = Box(150, 60, 256, 256)
    np.testing.assert_allclose(to_crop(landmarks, box), clip.landmarks[0], atol=1e-4)
    sketch = EdgeSketch(channels=channels, size=256)
    expected = sketch.draw(to_crop(landmarks, box), frame[60:316, 150:406])
    np.testing.assert_array_equal(sketch.draw_in_frame(landmarks, frame, box), expected)
