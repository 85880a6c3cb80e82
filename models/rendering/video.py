"""Writes frames and sound as an mp4 that any player shows, the same bytes every time."""

from __future__ import annotations

from collections.abc import Iterable
from fractions import Fraction
from itertools import chain
from pathlib import Path

import av
import cv2
import numpy as np
from av.codec.context import Flags

SAMPLE_RATE = 16000

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
    temporary = path.with_name(f".{path.name}.partial")
    try:
        with av.open(str(temporary), "w", format="mp4", options={"fflags": "+bitexact"}) as container:
            _write(container, first, chain([first], following), waveform, fps)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


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
    for index, pixels in enumerate(frames):
        even = np.ascontiguousarray(_even(pixels, first.shape))
        planes = np.asarray(cv2.cvtColor(even, cv2.COLOR_RGB2YUV_I420), np.uint8)
        frame = av.VideoFrame.from_ndarray(planes, format="yuv420p")
        frame.pts = index
        frame.time_base = Fraction(1, fps)
        container.mux(video.encode(frame))
    container.mux(video.encode())
    if audio is not None and waveform is not None:
        _write_sound(container, audio, waveform)


def _write_sound(container, audio, waveform: np.ndarray) -> None:
    samples = np.clip(waveform, -1, 1).astype(np.float32)
    for start in range(0, len(samples), 1024):
        block = av.AudioFrame.from_ndarray(samples[None, start : start + 1024], format="fltp", layout="mono")
        block.sample_rate = SAMPLE_RATE
        block.pts = start
        block.time_base = Fraction(1, SAMPLE_RATE)
        container.mux(audio.encode(block))
    container.mux(audio.encode())
