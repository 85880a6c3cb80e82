import time

import numpy as np
import pytest

from models.landmarks.topology import EVP106, IBUG68, to_106
from models.rendering.edges import EdgeSketch, face_mask, frame_edges


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
    with pytest.raises(ValueError, match="simple or full"):
        EdgeSketch(channels="many", size=64)  # pyright: ignore[reportArgumentType]
    sketch = EdgeSketch(channels="simple", size=64)
    with pytest.raises(ValueError, match="finite"):
        sketch.draw(np.full((68, 2), np.nan), plain(64))
    with pytest.raises(ValueError, match="expected a frame"):
        sketch.draw(clip.landmarks[0], plain(32))
