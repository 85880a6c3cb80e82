"""Writes frames and sound as an mp4 that any player shows, the same bytes every time.

Colours are converted by the matrix that players assume for the size, BT.709 for HD and BT.601 below, and
tagged with it, so that a picture that was read and written unchanged is shown unchanged.
"""

from __future__ import annotations

from collections.abc import Iterable
from fractions import Fraction
from itertools import chain
from pathlib import Path

import av
import numpy as np
from av.codec.context import Flags
from av.video.reformatter import ColorRange, Colorspace, Interpolation, VideoReformatter

from models.files import replacing
from models.preprocess.media import file_url, is_hd

SAMPLE_RATE = 16000
BT709, BT601 = 1, 6
"""FFmpeg's numbers, the same for matrix, primaries and transfer curve (6 is SMPTE 170M)."""
EXACT = (
    Interpolation.BICUBIC | Interpolation.ACCURATE_RND | Interpolation.BITEXACT | Interpolation.FULL_CHR_H_INP
)
"""Flags of a conversion that rounds to the nearest level and is the same on every processor."""

SAME_BYTES = "threads=1:lookahead-threads=1:sync-lookahead=0:mbtree=0"
"""x264 decides on frame types in a thread of its own unless told not to, and then not always alike; and its
macroblock tree rounds differently once in a hundred runs where it is computed with AVX-512."""


def write_video(
    path: Path, frames: Iterable[np.ndarray], waveform: np.ndarray | None = None, fps: int = 25
) -> None:
    """H.264 (yuv420p) and AAC in mp4, complete or not at all.

    Args:
        path: where to write; its folder must exist. A file that is there is replaced.
        frames: (time, h, w, 3) uint8 RGB, or one frame after another where a video is larger than memory.
            An odd side is extended by repeating its last row or column, because 4:2:0 video has even sides.
        waveform: (samples,) float at 16 kHz, or None for no sound.

    Raises:
        ValueError: the arrays have other shapes or types, or there is no frame.
    """
    following = iter(frames)
    first = next(following, None)
    if first is None:
        raise ValueError("expected frames (time >= 1, h, w, 3) uint8, got none")
    if waveform is not None and waveform.ndim != 1:
        raise ValueError(f"expected a waveform (samples,), got {waveform.shape}")
    with (
        replacing(path) as temporary,
        av.open(file_url(temporary), "w", format="mp4", options={"fflags": "+bitexact"}) as container,
    ):
        _write(container, first, chain([first], following), waveform, fps)


def _even(frame: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """The frame with even sides; Raises ValueError if it is not like the first."""
    if frame.ndim != 3 or frame.shape[-1] != 3 or frame.dtype != np.uint8 or frame.shape != shape:
        raise ValueError(f"expected frames (h, w, 3) uint8 of one size, got {frame.shape} {frame.dtype}")
    height, width = shape[:2]
    return np.pad(frame, ((0, height % 2), (0, width % 2), (0, 0)), mode="edge")


def _write(
    container, first: np.ndarray, frames: Iterable[np.ndarray], waveform: np.ndarray | None, fps: int
) -> None:
    size = _even(first, first.shape).shape
    options = {"crf": "18", "preset": "medium", "x264-params": SAME_BYTES}
    video = container.add_stream("libx264", rate=fps, options=options)
    video.height, video.width = size[:2]
    video.pix_fmt = "yuv420p"
    video.codec_context.thread_count = 1
    video.codec_context.flags |= Flags.bitexact
    audio = None
    if waveform is not None:
        audio = container.add_stream("aac", rate=SAMPLE_RATE, layout="mono")
        audio.codec_context.thread_count = 1
        audio.codec_context.flags |= Flags.bitexact
    matrix, tag = (Colorspace.ITU709, BT709) if is_hd(size[1], size[0]) else (Colorspace.ITU601, BT601)
    video.codec_context.color_range = ColorRange.MPEG
    video.codec_context.colorspace = tag
    video.codec_context.color_primaries = tag
    video.codec_context.color_trc = tag
    reformatter = VideoReformatter()
    for index, pixels in enumerate(frames):
        frame = _subsampled(_even(pixels, first.shape), matrix, reformatter)
        frame.pts = index
        frame.time_base = Fraction(1, fps)
        container.mux(video.encode(frame))
    container.mux(video.encode())
    if audio is not None and waveform is not None:
        _write_sound(container, audio, waveform)


def _subsampled(picture: np.ndarray, matrix: int, reformatter: VideoReformatter) -> av.VideoFrame:
    """Convert a picture (h, w, 3) RGB to 4:2:0 video of limited range.

    Colour samples lie on every other column and between two rows, as H.264 has them unless told otherwise;
    FFmpeg's own conversion puts them between columns, too.
    """
    height, width = picture.shape[:2]
    source = av.VideoFrame.from_ndarray(np.ascontiguousarray(picture), format="rgb24")
    full = reformatter.reformat(
        source,
        format="yuv444p",
        dst_colorspace=matrix,
        dst_color_range=ColorRange.MPEG,
        interpolation=EXACT,
        threads=1,
    ).to_ndarray()
    planes = [full[0].ravel()]
    for colour in full[1:].astype(np.uint16):
        rows = colour[0::2] + colour[1::2]
        sides = np.pad(rows, ((0, 0), (1, 1)), "edge")
        columns = sides[:, 0:-2:2] + 2 * sides[:, 1:-1:2] + sides[:, 2::2]
        planes.append(((columns + 4) >> 3).astype(np.uint8).ravel())
    return av.VideoFrame.from_ndarray(
        np.concatenate(planes).reshape(height * 3 // 2, width), format="yuv420p"
    )


def _write_sound(container, audio, waveform: np.ndarray) -> None:
    samples = np.clip(waveform, -1, 1).astype(np.float32)
    for start in range(0, len(samples), 1024):
        block = av.AudioFrame.from_ndarray(samples[None, start : start + 1024], format="fltp", layout="mono")
        block.sample_rate = SAMPLE_RATE
        block.pts = start
        block.time_base = Fraction(1, SAMPLE_RATE)
        container.mux(audio.encode(block))
    container.mux(audio.encode())
