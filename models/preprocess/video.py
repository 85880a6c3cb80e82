"""Video files as RGB frames at 25 fps. Runs in the decoder's child process.

Output frame k shows what the video showed at the middle of that frame's time, (k + 1/2) / 25 s after the
first picture, by the container's timestamps; so variable and other rates are repeated or dropped, never
blended. Rotation marks are applied and pixels made square. Colour is converted by the stream's own matrix.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
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
RATE_TOLERANCE = 0.05
"""Frames a second by which a rate counts as 25; containers round their timestamps."""


@dataclass(frozen=True)
class Video:
    """Frames written: (frames, height, width, 3) uint8 at 25 fps."""

    frames: int
    height: int
    width: int
    start: float
    """Seconds: when the first picture is shown on the container's clock."""
    source_frames: int


@dataclass(frozen=True)
class Outline:
    """What a video is by its container's timestamps and its first picture."""

    frames: int
    """How many `write_frames` makes of it, at 25 fps."""
    height: int
    width: int
    rate: float
    """Pictures a second, on average."""
    start: float
    """Seconds: when the first picture is shown on the container's clock."""
    source_frames: int

    @property
    def resampled(self) -> bool:
        """Whether pictures are repeated or dropped to make 25 a second."""
        steady = abs(self.rate - FRAMES_PER_SECOND) <= RATE_TOLERANCE
        return not steady or self.frames != self.source_frames


def write_frames(path: Path, out: BinaryIO, progress: Callable[[], None]) -> Video:
    """Decode the file's first video stream into `out`, frame after frame, and say what was written.

    Raises:
        MediaError: the file is unreadable, truncated, damaged, too large or has no video.
    """
    with _opened(path) as container:
        return _write(path, container, out, progress)


def read_outline(path: Path, progress: Callable[[], None]) -> Outline:
    """What a video is, without decoding more than its first picture; damage further on is not seen.

    Raises:
        MediaError: the file is unreadable, truncated, too large or has no video.
    """
    with _opened(path) as container:
        return _outline(path, container, progress)


@contextmanager
def _opened(path: Path) -> Iterator[InputContainer]:
    """The file with a video stream; whatever FFmpeg refuses in it becomes a MediaError."""
    try:
        with av.open(str(path)) as container:
            if not container.streams.video:
                raise MediaError(f"{path}: no video stream")
            yield container
    except FFmpegError as error:
        raise MediaError(f"{path}: the video cannot be decoded: {error.strerror}") from error


def _outline(path: Path, container: InputContainer, progress: Callable[[], None]) -> Outline:
    stream = container.streams.video[0]
    _refuse_large(path, stream)
    stream.codec_context.thread_count = 1
    rate = stream.average_rate or Fraction(FRAMES_PER_SECOND)
    step = float(1 / rate)
    shape: tuple[int, ...] | None = None
    shown: list[tuple[float | None, float]] = []
    for packet in container.demux(stream):
        if packet.size and not packet.is_discard:
            time = None if packet.pts is None else seconds(packet.pts, packet.time_base)
            shown.append((time, min(seconds(packet.duration, packet.time_base) or step, MAX_GAP)))
        if shape is None:
            for frame in packet.decode():
                shape = _rgb(path, frame, stream.sample_aspect_ratio).shape
        progress()
    if shape is None or not shown:
        raise MediaError(f"{path}: no frame could be decoded")
    times = [time for time, _ in shown if time is not None]
    if len(times) < len(shown):
        times = [index * step for index in range(len(shown))]
    order = sorted(range(len(shown)), key=lambda k: times[k])
    for index in range(1, len(order)):
        _check_clock(path, index, times[order[index - 1]], times[order[index]], step)
    start = times[order[0]]
    length = times[order[-1]] + shown[order[-1]][1] - start
    _refuse_cut(path, container, stream, len(shown), length)
    return Outline(max(1, _shown_until(length)), shape[0], shape[1], float(rate), start, len(shown))


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
        if last is not None:
            _check_clock(path, index, last, time, step)
        length = seconds(frame.duration, frame.time_base) or step
        yield time, min(length, MAX_GAP), _rgb(path, frame, stream.sample_aspect_ratio)
        last = time


def _check_clock(path: Path, index: int, last: float, time: float, step: float) -> None:
    if not 0 < time - last <= max(MAX_GAP, 1.5 * step):
        raise MediaError(
            f"{path}: the clock moves from {last:.3f} s to {time:.3f} s between frames {index - 1} and "
            f"{index}: video is missing or out of order"
        )


def _rgb(path: Path, frame: av.VideoFrame, aspect: Fraction | None) -> np.ndarray:
    if frame.width * frame.height > MAX_FRAME_PIXELS:
        raise MediaError(f"{path}: frames of {frame.width}x{frame.height} are larger than allowed")
    width = frame.width
    if aspect and aspect != 1 and Fraction(1, 4) <= aspect <= 4:
        width = round(frame.width * aspect)
    picture = frame.to_ndarray(format="rgb24", width=width, height=frame.height)
    turns = round(frame.rotation / 90)
    return np.ascontiguousarray(np.rot90(picture, turns))


def _shown_until(time: float) -> int:
    """How many output frames have their middle before `time` in seconds."""
    return max(0, int(np.ceil(time * FRAMES_PER_SECOND - 0.5 - 1e-6)))


def _hold(path: Path, picture: np.ndarray, out: BinaryIO, written: int, until: float) -> int:
    """Write the picture for every output frame whose middle comes before `until`; how many those were."""
    total = _shown_until(until)
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
