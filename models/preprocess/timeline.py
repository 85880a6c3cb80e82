"""When each picture of a video is shown, from its packets alone: nothing is decoded here."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from fractions import Fraction
from functools import cached_property
from pathlib import Path

import av
import numpy as np
from av.container import InputContainer

from models.audio.framing import FRAMES_PER_SECOND
from models.preprocess.media import MAX_SECONDS, MediaError, seconds

MAX_GAP = 0.5
"""Seconds without a picture that are accepted as a low frame rate rather than as missing video."""
JITTER = 0.005
"""Seconds by which an interval may differ from the usual one in steady video; clocks are rounded."""
RATE_TOLERANCE = 0.05
"""Pictures a second by which a mean rate counts as 25."""

MPEG_VIDEO = ("mpeg1video", "mpeg2video")


@dataclass(frozen=True)
class Timeline:
    """Presentation times of a video's pictures."""

    times: np.ndarray
    """(pictures,) seconds on the container's clock, increasing."""
    end: float
    """Seconds: when the last picture ends."""
    ticks: tuple[int, ...]
    """`times` in units of the stream's clock; empty where packets are stamped in decoding order only."""
    leading: int = 0
    """Pictures shown before the first key picture: after a cut they may refer to others that are gone."""
    hidden: int = 0
    """Pictures that an edit list leaves out."""
    packets: int = 0
    """Packets of the track, hidden ones included."""
    ends: Mapping[int, float] = field(default_factory=dict)
    """Seconds: when each track of the container ends, by its index."""
    numbers: tuple[tuple[int, bool], ...] = ()
    """MPEG-1 and -2: number of each picture in its group, and whether a group begins with it."""

    @property
    def start(self) -> float:
        return float(self.times[0])

    @property
    def usual_end(self) -> float:
        """Seconds: when the last picture ends if it is shown for as long as most are."""
        intervals = np.diff(self.times)
        return float(self.times[-1]) + (float(np.median(intervals)) if len(intervals) else 0.0)

    @cached_property
    def frames(self) -> int:
        """Frames at 25 fps, at least one."""
        return max(1, frames_until(self.end - self.start))

    @cached_property
    def shown(self) -> np.ndarray:
        """(frames,) index of the picture that each frame at 25 fps shows, by the middle of its time."""
        # Clocks are rounded, so a picture may appear a hair after the middle that it was meant for.
        middles = (np.arange(self.frames) + 0.5) / FRAMES_PER_SECOND + 1e-6
        return np.maximum(np.searchsorted(self.times - self.start, middles, side="right") - 1, 0)

    @cached_property
    def repeats(self) -> np.ndarray:
        """(pictures,) how many frames at 25 fps show each picture."""
        return np.bincount(self.shown, minlength=len(self.times))

    @cached_property
    def rate(self) -> float:
        """Pictures a second, on average."""
        count = len(self.times)
        if count < 2:
            return 1 / max(self.end - self.start, 1e-3)
        return (count - 1) / float(self.times[-1] - self.times[0])

    @cached_property
    def steady(self) -> bool:
        """Whether all intervals are alike."""
        intervals = np.diff(self.times)
        return len(intervals) == 0 or bool(np.abs(intervals - np.median(intervals)).max() <= JITTER)

    @cached_property
    def resampled(self) -> bool:
        """Whether pictures are repeated, dropped or moved in time to make 25 a second."""
        steps = max(len(self.times) - 1, 1)
        rounding = 1.5e-3 * FRAMES_PER_SECOND**2 / steps
        other_rate = abs(self.rate - FRAMES_PER_SECOND) > RATE_TOLERANCE + rounding
        return not self.steady or other_rate or not np.array_equal(self.shown, np.arange(len(self.times)))

    def without_first(self, count: int) -> Timeline:
        """Leave out the first pictures, which cannot be decoded."""
        return replace(self, times=self.times[count:], ticks=self.ticks[count:], leading=0)


def frames_until(time: float) -> int:
    """How many frames at 25 fps have their middle before `time` in seconds."""
    return max(0, int(np.ceil(time * FRAMES_PER_SECOND - 0.5 - 1e-6)))


def read_timeline(
    path: Path,
    container: InputContainer,
    stream: av.VideoStream,
    progress: Callable[[], None],
    repeats: int = 0,
) -> Timeline:
    """Return the timeline of one track, reading the packets of all.

    Args:
        repeats: how often the last picture is shown again, in units of the stream's clock.

    Raises:
        MediaError: there is no picture, a packet is damaged, pictures have no time, or the clock jumps.
    """
    pictures: list[tuple[int | None, int | None, int]] = []
    ends: dict[int, float] = {}
    numbers: list[tuple[int, bool]] = []
    packets, hidden, key = 0, 0, None
    for packet in container.demux():
        if not packet.size:
            continue
        progress()
        time = packet.pts if packet.pts is not None else packet.dts
        if time is not None:
            end = float((time + (packet.duration or 0)) * packet.time_base)
            ends[packet.stream_index] = max(ends.get(packet.stream_index, end), end)
        if packet.stream_index != stream.index:
            continue
        if packet.is_corrupt:
            raise MediaError(f"{path}: packet {len(pictures)} of the video is damaged or incomplete")
        packets += 1
        if stream.codec_context.name in MPEG_VIDEO:
            numbers += _numbered(bytes(packet))
        if key is None and packet.is_keyframe:
            key = packet.pts
        if packet.is_discard:
            hidden += 1
        elif not _unseen(stream, packet):
            pictures.append((packet.pts, packet.dts, packet.duration or 0))
    if not pictures:
        raise MediaError(f"{path}: no picture in its video stream")
    timeline = _ordered(path, container, stream, pictures, repeats)
    leading = sum(tick < key for tick in timeline.ticks) if key is not None else 0
    return replace(
        timeline, leading=leading, hidden=hidden, packets=packets, ends=ends, numbers=tuple(numbers)
    )


def _ordered(
    path: Path,
    container: InputContainer,
    stream: av.VideoStream,
    pictures: list[tuple[int | None, int | None, int]],
    repeats: int,
) -> Timeline:
    assert stream.time_base is not None
    # AVI numbers its chunks in decoding order; FFmpeg's guess is wrong with B-frames.
    numbered = container.format.name == "avi"
    by_presentation = not numbered and all(pts is not None for pts, _, _ in pictures)
    stamps = [pts if by_presentation else dts for pts, dts, _ in pictures]
    if any(stamp is None for stamp in stamps):
        raise MediaError(f"{path}: pictures without time stamps: write it anew as mp4 or mkv")
    order = sorted(range(len(stamps)), key=lambda k: stamps[k] or 0)
    ticks = [int(stamps[k] or 0) for k in order]
    times = np.array([float(tick * stream.time_base) for tick in ticks])
    step = float(1 / (stream.average_rate or Fraction(FRAMES_PER_SECOND)))
    if container.format.name == "mpeg" and stream.codec_context.name in MPEG_VIDEO:
        times = _evened(times, step)
    # A gap between numbers is a picture that is repeated; chunks that are missing leave none.
    longest = np.inf if numbered else max(MAX_GAP, 1.5 * step)
    for index in range(1, len(times)):
        _check_clock(path, index, times[index - 1], times[index], longest)
    # The last picture lasts as long as it says, or as the others do.
    usual = float(np.median(np.diff(times))) if len(times) > 1 else step
    last = seconds(pictures[order[-1]][2], stream.time_base) or usual
    end = float(times[-1]) + min(last, max(MAX_GAP, step)) + repeats * float(stream.time_base)
    if end - times[0] > MAX_SECONDS:
        raise MediaError(
            f"{path}: {end - times[0]:.0f} s of video; at most {MAX_SECONDS:.0f} s are allowed: cut it"
        )
    return Timeline(times, end, tuple(ticks) if by_presentation else ())


def _evened(times: np.ndarray, step: float) -> np.ndarray:
    """Times at equal steps, where they differ from that by one step at most.

    A program stream stamps a picture in ten or twenty. The others' times are FFmpeg's guess, which can be a
    picture late when a stamp falls between the headers of a picture; lost ones are told by their numbers.
    """
    even = times[0] + step * np.arange(len(times))
    return even if np.abs(times - even).max() < 1.5 * step else times


def _check_clock(path: Path, index: int, last: float, time: float, longest: float) -> None:
    if not 0 < time - last <= longest:
        raise MediaError(
            f"{path}: the clock moves from {last:.3f} s to {time:.3f} s between frames {index - 1} and "
            f"{index}: video is missing or out of order"
        )


def _numbered(data: bytes) -> list[tuple[int, bool]]:
    """The temporal reference of an MPEG-1 or -2 picture, and whether a group's header comes before it."""
    place = data.find(b"\0\0\1\0")
    if place < 0 or place + 6 > len(data):
        return []
    return [(data[place + 4] << 2 | data[place + 5] >> 6, data.find(b"\0\0\1\xb8", 0, place) >= 0)]


def _unseen(stream: av.VideoStream, packet: av.Packet) -> bool:
    """Whether the packet holds no picture to show but one that others refer to, as VP8 has them."""
    return stream.codec_context.name == "vp8" and not bytes(packet)[0] & 0x10
