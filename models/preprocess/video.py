"""Video files as RGB frames at 25 fps. Runs in the decoder's child process.

Output frame k shows what the video showed at the middle of that frame's time, (k + 1/2) / 25 s after the
first picture, by the container's timestamps; so variable and other rates are repeated or dropped, never
blended. Rotation marks are applied and pixels made square. Colour is converted by the stream's own matrix.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import BinaryIO

import av
import numpy as np
from av.container import InputContainer
from av.error import FFmpegError

from models.audio.framing import FRAMES_PER_SECOND
from models.preprocess.media import (
    MAX_FRAME_PIXELS,
    MAX_SECONDS,
    MAX_VIDEO_BYTES,
    MediaError,
    seconds,
)

MAX_GAP = 0.5
"""Seconds without a picture that are accepted as a low frame rate rather than as missing video."""
TOLERANCE = 0.1
"""Seconds by which a container may announce more video than it holds."""


@dataclass(frozen=True)
class Video:
    """Frames written: (frames, height, width, 3) uint8 at 25 fps."""

    frames: int
    height: int
    width: int
    start: float
    """Seconds: when the first picture is shown on the container's clock."""
    source_frames: int


def write_frames(path: Path, out: BinaryIO, progress: Callable[[], None]) -> Video:
    """Decode the file's first video stream into `out`, frame after frame, and say what was written.

    Raises:
        MediaError: the file is unreadable, truncated, damaged, too large or has no video.
    """
    try:
        with av.open(str(path)) as container:
            if not container.streams.video:
                raise MediaError(f"{path}: no video stream")
            return _write(path, container, out, progress)
    except FFmpegError as error:
        raise MediaError(f"{path}: the video cannot be decoded: {error.strerror}") from error


def _write(path: Path, container: InputContainer, out: BinaryIO, progress: Callable[[], None]) -> Video:
    stream = container.streams.video[0]
    _refuse_large(path, stream)
    stream.codec_context.thread_count = 1
    shape: tuple[int, ...] | None = None
    held: np.ndarray | None = None
    start = time = 0.0
    source_frames = written = 0
    step = Fraction(1) / (stream.average_rate or FRAMES_PER_SECOND)
    for time, length, picture in _pictures(path, container, stream, float(step)):
        if held is None:
            start, shape = time, picture.shape
        elif picture.shape != shape:
            raise MediaError(f"{path}: the picture changes from {shape} to {picture.shape} in mid-stream")
        else:
            written += _hold(path, held, out, written, time - start)
        held, source_frames, end = picture, source_frames + 1, time + length
        progress()
    if held is None or shape is None:
        raise MediaError(f"{path}: no frame could be decoded")
    _refuse_cut(path, container, stream, source_frames, end - start)
    written += _hold(path, held, out, written, end - start)
    if written == 0:
        out.write(held.tobytes())
        written = 1
    return Video(written, shape[0], shape[1], start, source_frames)


def _pictures(
    path: Path, container: InputContainer, stream: av.VideoStream, step: float
) -> Iterator[tuple[float, float, np.ndarray]]:
    """(seconds, length in seconds, RGB) of each decoded frame, in order."""
    last: float | None = None
    for index, frame in enumerate(container.decode(stream)):
        if frame.is_corrupt:
            raise MediaError(f"{path}: frame {index} is damaged")
        time = index * step if frame.pts is None else seconds(frame.pts, frame.time_base)
        if last is not None and not 0 < time - last <= max(MAX_GAP, 1.5 * step):
            raise MediaError(
                f"{path}: the clock moves from {last:.3f} s to {time:.3f} s between frames {index - 1} and "
                f"{index}: video is missing or out of order"
            )
        length = seconds(frame.duration, frame.time_base) or step
        yield time, min(length, MAX_GAP), _rgb(path, frame, stream.sample_aspect_ratio)
        last = time


def _rgb(path: Path, frame: av.VideoFrame, aspect: Fraction | None) -> np.ndarray:
    if frame.width * frame.height > MAX_FRAME_PIXELS:
        raise MediaError(f"{path}: frames of {frame.width}x{frame.height} are larger than allowed")
    width = frame.width
    if aspect and aspect != 1 and Fraction(1, 4) <= aspect <= 4:
        width = round(frame.width * aspect)
    picture = frame.to_ndarray(format="rgb24", width=width, height=frame.height)
    turns = round(frame.rotation / 90)
    return np.ascontiguousarray(np.rot90(picture, turns))


def _hold(path: Path, picture: np.ndarray, out: BinaryIO, written: int, until: float) -> int:
    """Write the picture for every output frame whose middle comes before `until`; how many those were."""
    total = max(0, int(np.ceil(until * FRAMES_PER_SECOND - 0.5 - 1e-6)))
    if total * picture.nbytes > MAX_VIDEO_BYTES or until > MAX_SECONDS:
        raise MediaError(f"{path}: {until:.0f} s of {picture.shape} frames are more than allowed: cut it")
    for _ in range(written, total):
        out.write(picture.data)
    return max(0, total - written)


def _refuse_large(path: Path, stream: av.VideoStream) -> None:
    width, height = stream.codec_context.width, stream.codec_context.height
    if width * height > MAX_FRAME_PIXELS:
        raise MediaError(f"{path}: frames of {width}x{height} are larger than allowed")
    length = seconds(stream.duration, stream.time_base)
    if length > MAX_SECONDS:
        raise MediaError(f"{path}: {length:.0f} s of video; at most {MAX_SECONDS:.0f} s are allowed: cut it")


def _refuse_cut(
    path: Path,
    container: InputContainer,
    stream: av.VideoStream,
    found: int,
    length: float,
) -> None:
    announced, tolerance = seconds(stream.duration, stream.time_base), TOLERANCE
    if not announced and container.duration:
        # Matroska states the length of the whole file only, and the sound may outlast the pictures.
        announced, tolerance = container.duration / av.time_base, MAX_GAP
    if found < stream.frames or length < announced - tolerance:
        frames = f"{stream.frames} frames" if stream.frames else f"{announced:.2f} s"
        raise MediaError(f"{path}: truncated: {frames} announced, {found} frames ({length:.2f} s) found")
