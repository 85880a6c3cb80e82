"""Small media files for tests, made with PyAV."""

from __future__ import annotations

import io
import struct
from collections.abc import Iterator, Sequence
from fractions import Fraction
from pathlib import Path
from typing import cast

import av
import numpy as np


def write_video(
    path: Path,
    *,
    frames: int = 25,
    rate: int | Fraction = 25,
    size: tuple[int, int] = (96, 64),
    times: list[float] | None = None,
    sound: bool = True,
    pictures: np.ndarray | None = None,
) -> Path:
    """A video whose frame k is grey of level 8 + 4 k (so frames can be told apart), with a 440 Hz tone."""
    width, height = size
    if pictures is not None:
        frames, height, width = pictures.shape[:3]
    with av.open(str(path), "w") as container:
        video = container.add_stream("libx264", rate=rate, options={"qp": "0", "preset": "ultrafast"})
        video.width, video.height, video.pix_fmt = width, height, "yuv444p"
        video.thread_count = 1
        video.codec_context.time_base = Fraction(1, 90000)
        audio = container.add_stream("aac", rate=44100, layout="stereo") if sound else None
        for index in range(frames):
            picture = np.full((height, width, 3), min(8 + 4 * index, 250), np.uint8)
            frame = av.VideoFrame.from_ndarray(picture if pictures is None else pictures[index])
            time = index / float(rate) if times is None else times[index]
            frame.pts, frame.time_base = round(time * 90000), Fraction(1, 90000)
            container.mux(video.encode(frame))
        container.mux(video.encode())
        if audio is not None:
            tone = 0.3 * np.sin(2 * np.pi * 440 * np.arange(round(44100 * frames / float(rate))) / 44100)
            block = av.AudioFrame.from_ndarray(np.stack([tone, tone]).astype(np.float32), "fltp", "stereo")
            block.sample_rate = 44100
            container.mux(audio.encode(block))
            container.mux(audio.encode())
    return path


WIDTH, HEIGHT = 96, 64


def numbered_picture(number: int, step: int = 3) -> np.ndarray:
    """(64, 96, 3) uint8 without any symmetry; its number is the grey level of one corner, in steps."""
    picture = np.full((HEIGHT, WIDTH, 3), 60, np.uint8)
    picture[:20, :30] = (220, 40, 40)
    picture[44:, :30] = (40, 220, 40)
    picture[44:, 66:] = step * number
    return picture


def numbers(frames: np.ndarray, step: int = 3) -> list[int]:
    """The numbers of upright numbered pictures, (n, 64, 96, 3)."""
    return [round(float(frame[48:60, 72:90].mean()) / step) for frame in frames]


def write_numbered(
    path: Path,
    *,
    count: int = 25,
    ticks: Sequence[int] | None = None,
    unit: int = 25,
    codec: str = "libx264",
    pixels: str = "yuv444p",
    options: dict[str, str] | None = None,
    muxing: dict[str, str] | None = None,
    sound: Sequence[tuple[int, np.ndarray]] = (),
    aspect: Fraction | None = None,
    form: str | None = None,
    step: int = 3,
) -> Path:
    """A video of numbered pictures.

    Args:
        ticks: presentation time of each picture in units of 1/`unit` s.
        sound: (first sample, samples) of blocks at 16 kHz in whole blocks of 1152.
    """
    ticks = range(count) if ticks is None else ticks
    lossless = {"qmin": "1", "qmax": "1"} if codec.startswith("mpeg") else {}
    if codec == "libx264":
        lossless = {"qp": "0", "bf": "0", "preset": "ultrafast"}
    with av.open(f"file:{path}", "w", options=muxing or {}, format=form) as container:
        video = cast(
            "av.VideoStream", container.add_stream(codec, rate=25, options=lossless | (options or {}))
        )
        video.width, video.height, video.pix_fmt = WIDTH, HEIGHT, pixels
        video.codec_context.time_base = Fraction(1, unit)
        video.codec_context.thread_count = 1
        if aspect is not None:
            video.codec_context.sample_aspect_ratio = aspect
        audio = container.add_stream("flac", rate=16000, layout="mono") if sound else None
        for number, tick in enumerate(ticks):
            frame = av.VideoFrame.from_ndarray(numbered_picture(number, step))
            frame.pts, frame.time_base = int(tick), Fraction(1, unit)
            container.mux(video.encode(frame))
        container.mux(video.encode())
        if audio is not None:
            for start, samples in sound:
                assert len(samples) % 1152 == 0, "the encoder would merge blocks across a hole"
                whole = np.round(samples[None] * 32767).astype(np.int16)
                for offset in range(0, len(samples), 1152):
                    block = av.AudioFrame.from_ndarray(whole[:, offset : offset + 1152], "s16", "mono")
                    block.sample_rate, block.pts, block.time_base = 16000, start + offset, Fraction(1, 16000)
                    container.mux(audio.encode(block))
            container.mux(audio.encode())
    return path


def boxes(data: bytes, path: Sequence[str], start: int = 0, end: int | None = None) -> Iterator[int]:
    """Offsets of all mp4 boxes along a path of names."""
    end = len(data) if end is None else end
    while start < end:
        size, name = struct.unpack(">I4s", data[start : start + 8])
        if name.decode("latin1") == path[0]:
            if len(path) == 1:
                yield start
            else:
                yield from boxes(data, path[1:], start + 8, start + size)
        start += size


def with_matrix(source: Path, path: Path, matrix: Sequence[float]) -> Path:
    """A copy of an mp4 whose first track has the display matrix a, b, c, d."""
    data = bytearray(source.read_bytes())
    place = next(boxes(data, ["moov", "trak", "tkhd"])) + 48
    a, b, c, d = (round(65536 * value) for value in matrix)
    data[place : place + 36] = struct.pack(">9i", a, b, 0, c, d, 0, 0, 0, 1 << 30)
    path.write_bytes(data)
    return path


def with_edits(source: Path, path: Path, edits: Sequence[tuple[float, float]], rate: int = 1) -> Path:
    """A copy of an mp4 whose first track shows parts: (seconds shown, second of the media; -1: nothing)."""
    data = bytearray(source.read_bytes())
    movie = struct.unpack(">I", data[next(boxes(data, ["moov", "mvhd"])) + 20 :][:4])[0]
    media = struct.unpack(">I", data[next(boxes(data, ["moov", "trak", "mdia", "mdhd"])) + 20 :][:4])[0]
    place = next(boxes(data, ["moov", "trak", "edts"]))
    old = struct.unpack(">I", data[place : place + 4])[0]
    entries = b"".join(
        struct.pack(">IiHH", round(length * movie), -1 if start < 0 else round(start * media), rate, 0)
        for length, start in edits
    )
    table = struct.pack(">I4sII", 16 + len(entries), b"elst", 0, len(edits)) + entries
    box = struct.pack(">I4s", 8 + len(table), b"edts") + table
    assert next(boxes(data, ["mdat"])) < place, "sample offsets would move"
    data[place : place + old] = box
    for path_of_parent in (["moov"], ["moov", "trak"]):
        parent = next(boxes(data, path_of_parent))
        size = struct.unpack(">I", data[parent : parent + 4])[0] + len(box) - old
        data[parent : parent + 4] = struct.pack(">I", size)
    path.write_bytes(data)
    return path


def avi_of(path: Path, *tracks: str, rate: int = 25) -> Path:
    """Write an AVI with one MJPEG track of numbered pictures for each of `tracks`.

    Args:
        tracks: a letter for each chunk: P is a picture, - an empty chunk, which repeats the one before.
    """
    count = max(len(track) for track in tracks)
    pictures = [iter(_jpegs(track.count("P"))) for track in tracks]
    chunks = [
        (b"%02ddc" % number, next(pictures[number]) if track[index] == "P" else b"")
        for index in range(count)
        for number, track in enumerate(tracks)
        if index < len(track)
    ]
    movie, entries = b"movi", b""
    for name, data in chunks:
        entries += struct.pack("<4sIII", name, 16 if data else 0, len(movie), len(data))
        movie += _chunk(name, data)
    headers = b"hdrl" + _chunk(
        b"avih",
        struct.pack("<14I", 10**6 // rate, 0, 0, 16, count, 0, len(tracks), 0, WIDTH, HEIGHT, *[0] * 4),
    )
    picture_format = struct.pack("<IiiHH4s5I", 40, WIDTH, HEIGHT, 1, 24, b"MJPG", 0, 0, 0, 0, 0)
    for track in tracks:
        header = struct.pack(
            "<4s4s10I4H", b"vids", b"MJPG", *[0] * 3, 1, rate, 0, len(track), *[0] * 3, *[0] * 4
        )
        stream = b"strl" + _chunk(b"strh", header) + _chunk(b"strf", picture_format)
        headers += _chunk(b"LIST", stream)
    body = b"AVI " + _chunk(b"LIST", headers) + _chunk(b"LIST", movie) + _chunk(b"idx1", entries)
    path.write_bytes(_chunk(b"RIFF", body))
    return path


def _chunk(name: bytes, data: bytes) -> bytes:
    return name + struct.pack("<I", len(data)) + data + bytes(len(data) % 2)


def _jpegs(count: int) -> list[bytes]:
    """Numbered pictures as JPEG files, by PyAV's encoder."""
    file = io.BytesIO()
    with av.open(file, "w", format="mjpeg") as container:
        stream = cast(
            "av.VideoStream", container.add_stream("mjpeg", rate=25, options={"qmin": "1", "qmax": "1"})
        )
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuvj444p"
        packets = []
        for number in range(count):
            frame = av.VideoFrame.from_ndarray(numbered_picture(number))
            frame.pts, frame.time_base = number, Fraction(1, 25)
            packets += stream.encode(frame)
        packets += stream.encode()
        return [bytes(packet) for packet in packets]
