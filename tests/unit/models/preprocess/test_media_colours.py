"""Colours survive reading and writing, by formulas of BT.601 and BT.709 that share no code with FFmpeg."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
import pytest

from models.rendering.video import write_video

BT709, BT601 = (0.2126, 0.0722), (0.299, 0.114)
"""Weights of red and blue in the luma."""


def as_players_show(planes: np.ndarray, height: int, width: int, weights, full: bool = False) -> np.ndarray:
    """(h, w, 3) float RGB of 4:2:0 planes: colour samples on even columns, between rows."""
    red, blue = weights
    luma = planes[:height].astype(float)
    halves = planes[height:].reshape(2, height // 2, width // 2).astype(float)
    place = np.array([[2.0, 0, 0], [0, 2, 0.5]])
    size, edge = (width, height), cv2.BORDER_REPLICATE
    cb, cr = (
        cv2.warpAffine(half, place, size, flags=cv2.INTER_LINEAR, borderMode=edge) - 128 for half in halves
    )
    luma, gain = (luma, 1.0) if full else ((luma - 16) * 255 / 219, 255 / 224)
    b = luma + 2 * (1 - blue) * gain * cb
    r = luma + 2 * (1 - red) * gain * cr
    g = (luma - red * r - blue * b) / (1 - red - blue)
    return np.clip(np.stack([r, g, b], -1), 0, 255)


def planes_of(path: Path) -> list[np.ndarray]:
    with av.open(str(path)) as container:
        return [frame.to_ndarray() for frame in container.decode(video=0)]


def scene(height: int, width: int) -> np.ndarray:
    """(h, w, 3) of smooth colour, flat patches and some texture."""
    rng = np.random.default_rng(5)
    coarse = rng.integers(20, 236, (6, 8, 3)).astype(np.uint8)
    picture = cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)
    colours = [(200, 30, 40), (30, 160, 60), (40, 60, 210), (128, 128, 128), (250, 250, 250)]
    for index, colour in enumerate(colours):
        picture[20:100, 20 + 100 * index : 100 + 100 * index] = colour
    return picture


def write_planes(path: Path, planes: np.ndarray, tags: dict[str, int], pixels: str = "yuv420p") -> Path:
    with av.open(str(path), "w") as container:
        video = container.add_stream("libx264", rate=25, options={"qp": "0", "preset": "ultrafast"})
        video.width, video.height, video.pix_fmt = planes.shape[1], planes.shape[0] * 2 // 3, pixels
        for name, value in tags.items():
            setattr(video.codec_context, name, value)
        for index in range(2):
            frame = av.VideoFrame.from_ndarray(planes, format=pixels)
            frame.pts, frame.time_base = index, Fraction(1, 25)
            container.mux(video.encode(frame))
        container.mux(video.encode())
    return path


READ = [
    ((720, 1280), {"colorspace": 1}, BT709, False),
    ((720, 1280), {}, BT709, False),
    ((720, 1280), {"colorspace": 6}, BT601, False),
    ((288, 360), {}, BT601, False),
    ((288, 360), {"colorspace": 1}, BT709, False),
    ((288, 360), {"colorspace": 6, "color_range": 2}, BT601, True),
    ((720, 1280), {"colorspace": 1, "color_range": 2}, BT709, True),
]


@pytest.mark.parametrize(("size", "tags", "weights", "full"), READ)
def test_a_video_is_read_by_its_own_matrix_and_range(
    decoder, tmp_path: Path, size, tags, weights, full
) -> None:
    height, width = size
    rng = np.random.default_rng(1)
    planes = rng.integers(90, 150, (height * 3 // 2, width)).astype(np.uint8)
    planes[:height] = cv2.GaussianBlur(rng.integers(30, 220, (height, width)).astype(np.uint8), (9, 9), 3)
    pixels = "yuvj420p" if full else "yuv420p"
    path = write_planes(tmp_path / "v.mp4", planes, tags, pixels)
    _, shown = decoder.video(path)
    expected = as_players_show(planes_of(path)[0], height, width, weights, full)
    difference = shown[0].astype(float) - expected
    assert np.abs(difference.mean((0, 1))).max() < 0.1
    assert np.abs(difference).max() < 1.6


@pytest.mark.parametrize(("height", "width", "weights", "tag"), [(720, 1280, BT709, 1), (288, 360, BT601, 6)])
def test_untouched_pictures_are_shown_as_they_were(
    decoder, tmp_path: Path, height: int, width: int, weights, tag: int
) -> None:
    """A target's frames, read and written again without a change, as a player shows both."""
    write_video(tmp_path / "source.mp4", [scene(height, width)] * 3)
    _, read = decoder.video(tmp_path / "source.mp4")
    write_video(tmp_path / "film.mp4", read)
    before, after = (
        as_players_show(planes_of(tmp_path / f"{name}.mp4")[1], height, width, weights)
        for name in ("source", "film")
    )
    assert np.abs((after - before).mean((0, 1))).max() < 0.3
    assert np.percentile(np.abs(after - before), 90) <= 2, "the rest are coloured edges, by compression"
    for left in list(range(30, width - 100, 100))[:5]:
        patch = (slice(30, 90), slice(left, left + 60))
        assert np.abs(after[patch].mean((0, 1)) - before[patch].mean((0, 1))).max() <= 1
        assert np.abs(after[patch] - before[patch]).mean() <= 1
        assert np.abs(before[patch].mean((0, 1)) - scene(height, width)[patch].mean((0, 1))).max() <= 2
    with av.open(str(tmp_path / "film.mp4")) as container:
        context = container.streams.video[0].codec_context
        tags = (context.colorspace, context.color_primaries, context.color_trc, context.color_range)
    assert tags == (tag, tag, tag, 1)


def test_colour_samples_lie_where_h264_has_them(tmp_path: Path) -> None:
    """On the even columns: a step in colour between columns 15 and 16 moves into no other one."""
    picture = np.zeros((64, 64, 3), np.uint8)
    picture[:] = (100, 100, 100)
    picture[:, 16:] = (180, 80, 90)
    write_video(tmp_path / "step.mp4", [picture] * 2)
    planes = planes_of(tmp_path / "step.mp4")[0]
    red = planes[64 + 16 :].reshape(32, 32)[16].astype(float)
    share = (red - red[2]) / (red[-3] - red[2])
    np.testing.assert_allclose(share[[6, 7, 8, 9]], [0, 0, 0.75, 1], atol=0.08)
