"""Pictures come upright, unmirrored and with square pixels, whatever a container says of them."""

from __future__ import annotations

import struct
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
import pytest

from models.preprocess.media import MediaError
from tests.unit.models.preprocess.media_files import HEIGHT, WIDTH, boxes, with_matrix, write_numbered


@pytest.fixture(scope="module")
def plain(tmp_path_factory) -> Path:
    return write_numbered(tmp_path_factory.mktemp("geometry") / "plain.mp4", count=3)


# a, b, c, d of x' = a x + c y, y' = b x + d y, and the same by OpenCV, which the decoder does not use for it.
ORIENTATIONS: list[tuple[tuple[int, int, int, int], Callable[[np.ndarray], np.ndarray]]] = [
    ((1, 0, 0, 1), lambda p: p),
    ((-1, 0, 0, 1), lambda p: cv2.flip(p, 1)),
    ((1, 0, 0, -1), lambda p: cv2.flip(p, 0)),
    ((-1, 0, 0, -1), lambda p: cv2.rotate(p, cv2.ROTATE_180)),
    ((0, 1, -1, 0), lambda p: cv2.rotate(p, cv2.ROTATE_90_CLOCKWISE)),
    ((0, -1, 1, 0), lambda p: cv2.rotate(p, cv2.ROTATE_90_COUNTERCLOCKWISE)),
    ((0, 1, 1, 0), cv2.transpose),
    ((0, -1, -1, 0), lambda p: cv2.flip(cv2.transpose(p), -1)),
]


@pytest.mark.parametrize(("matrix", "expected"), ORIENTATIONS)
@pytest.mark.parametrize("scale", [1, 2])
def test_all_turns_and_mirrors_are_applied(decoder, plain: Path, tmp_path: Path, matrix, expected, scale):
    stored = decoder.video(plain)[1]
    path = with_matrix(plain, tmp_path / "turned.mp4", [scale * value for value in matrix])
    outline, (video, shown) = decoder.outline(path), decoder.video(path)
    for before, after in zip(stored, shown, strict=True):
        np.testing.assert_array_equal(after, expected(np.array(before)))
    assert (outline.height, outline.width) == (video.height, video.width) == shown.shape[1:3]


@pytest.mark.parametrize(
    "matrix", [(0.707, 0.707, -0.707, 0.707), (1, 0, 0.5, 1), (0.9397, 0.342, -0.342, 0.9397)]
)
def test_other_matrices_are_refused_by_name(decoder, plain: Path, tmp_path: Path, matrix) -> None:
    path = with_matrix(plain, tmp_path / "tilted.mp4", matrix)
    with pytest.raises(MediaError, match=r"tilted\.mp4: the display matrix .* is no quarter turn or mirror"):
        decoder.video(path)


@pytest.mark.parametrize("suffix", ["mp4", "mkv", "avi", "ts", "mpg"])
def test_pixels_are_made_square(decoder, tmp_path: Path, suffix: str) -> None:
    codec = "mpeg2video" if suffix == "mpg" else "mpeg4" if suffix == "avi" else "libx264"
    # MPEG-2 knows pictures of 4:3 and 16:9 only: 16:9 of 96x64 are pixels of 32:27.
    aspect = Fraction(32, 27) if suffix == "mpg" else Fraction(4, 3)
    form = "vob" if suffix == "mpg" else None
    path = write_numbered(
        tmp_path / f"wide.{suffix}", codec=codec, pixels="yuv420p", aspect=aspect, form=form
    )
    _, shown = decoder.video(path)
    assert shown.shape[1:3] == (64, round(96 * aspect))
    assert decoder.outline(path).width == shown.shape[2]
    red = (shown[0, 10].astype(int) @ (1, -1, 0)) > 100
    assert abs(int(red.sum()) - 30 * aspect) <= 2, "the red block is stretched with the picture"


def test_the_containers_pixel_shape_wins_over_the_codecs(decoder, tmp_path: Path) -> None:
    path = write_numbered(tmp_path / "codec.mkv", count=3, aspect=Fraction(2))
    with av.open(str(path)) as source, av.open(str(tmp_path / "both.mkv"), "w") as out:
        stream = out.add_stream_from_template(source.streams.video[0])
        stream.codec_context.sample_aspect_ratio = Fraction(4, 3)
        for packet in source.demux(video=0):
            if packet.dts is not None:
                packet.stream = stream
                out.mux(packet)
    shown = decoder.video(tmp_path / "both.mkv")[1]
    with av.open(str(tmp_path / "both.mkv")) as container:
        stated = container.streams.video[0].sample_aspect_ratio
    assert stated is not None
    assert shown.shape[2] == round(96 * stated)


def test_a_turned_picture_with_wide_pixels_is_stretched_before_it_is_turned(decoder, tmp_path: Path) -> None:
    source = write_numbered(tmp_path / "wide.mp4", count=2, aspect=Fraction(3, 2))
    shown = decoder.video(with_matrix(source, tmp_path / "turned.mp4", (0, 1, -1, 0)))[1]
    assert shown.shape[1:3] == (144, 64)


def test_a_pixel_shape_that_cannot_be_meant_is_refused(decoder, tmp_path: Path) -> None:
    path = write_numbered(tmp_path / "thin.mkv", count=2, aspect=Fraction(1, 9))
    with pytest.raises(MediaError, match=r"thin\.mkv: pixels of shape 1/9"):
        decoder.video(path)


@pytest.mark.parametrize("change", ["size", "format"])
def test_a_change_in_mid_stream_is_refused(decoder, tmp_path: Path, change: str) -> None:
    size = (64, 48) if change == "size" else (96, 64)
    pixels = "yuv420p" if change == "size" else "yuv422p"
    path = tmp_path / "joined.ts"
    parts = [
        write_part(tmp_path / "a.ts", 0, (96, 64), "yuv420p"),
        write_part(tmp_path / "b.ts", 10, size, pixels),
    ]
    path.write_bytes(b"".join(part.read_bytes() for part in parts))
    with pytest.raises(MediaError, match=r"joined\.ts: .*(in mid-stream|damaged)"):
        decoder.video(path)


def write_part(path: Path, start: int, size: tuple[int, int], pixels: str) -> Path:
    with av.open(str(path), "w") as container:
        video = container.add_stream("mpeg2video", rate=25)
        video.width, video.height, video.pix_fmt = *size, pixels
        for number in range(start, start + 10):
            frame = av.VideoFrame.from_ndarray(np.full((size[1], size[0], 3), 90, np.uint8))
            frame.pts, frame.time_base = number, Fraction(1, 25)
            container.mux(video.encode(frame))
        container.mux(video.encode())
    return path


@pytest.mark.parametrize(("width", "cropped"), [(64, True), (96, False)])
def test_a_crop_that_mp4_asks_for_is_noted(decoder, tmp_path: Path, width: int, cropped: bool) -> None:
    path = write_numbered(tmp_path / "a.mp4", count=3)
    data = bytearray(path.read_bytes())
    parents = ["moov", "trak", "mdia", "minf", "stbl", "stsd"]
    entry = next(boxes(bytes(data), parents)) + 16
    (size,) = struct.unpack_from(">I", data, entry)
    clean = struct.pack(">I4s8i", 40, b"clap", width, 1, HEIGHT, 1, 0, 1, 0, 1)
    for place in (entry, *(next(boxes(bytes(data), parents[:depth])) for depth in range(1, 7))):
        struct.pack_into(">I", data, place, struct.unpack_from(">I", data, place)[0] + len(clean))
    data[entry + size : entry + size] = clean
    path.write_bytes(data)
    video, shown = decoder.video(path)
    assert shown.shape == (3, HEIGHT, WIDTH, 3)
    assert any("cut the picture's borders off" in note for note in video.notes) == cropped


@pytest.mark.parametrize(("pixels", "cropped"), [(16, True), (0, False)])
def test_a_crop_that_matroska_asks_for_is_noted(decoder, tmp_path: Path, pixels: int, cropped: bool) -> None:
    path = write_numbered(tmp_path / "a.mkv", count=3, muxing={"write_crc32": "0"})
    data = path.read_bytes()
    display_unit, crop_left = b"\x54\xb2\x81\x04", b"\x54\xcc\x81" + bytes([pixels])
    assert data.count(display_unit) == 1
    path.write_bytes(data.replace(display_unit, crop_left))
    video, shown = decoder.video(path)
    assert shown.shape == (3, HEIGHT, WIDTH, 3)
    assert any("cut the picture's borders off" in note for note in video.notes) == cropped
