"""Video files as RGB frames at 25 fps. Runs in the decoder's child process.

Output frame k shows what the video showed at the middle of that frame's time, (k + 1/2) / 25 s after the
first picture, by the container's timestamps; so variable and other rates are repeated or dropped, never
blended. Turns and mirrors are applied and pixels made square. Colour is converted by the stream's own matrix
and range; where it names no matrix, by the one that players assume for its size.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import BinaryIO, cast

import av
import numpy as np
from av.container import InputContainer
from av.error import FFmpegError
from av.sidedata.sidedata import SideData, Type
from av.video.reformatter import Colorspace, ColorTrc, Interpolation, VideoReformatter

from models.audio.framing import FRAMES_PER_SECOND
from models.preprocess.container import count_of_track, open_container, video_track
from models.preprocess.geometry import GeometryError, oriented, quarter_turn, square_width
from models.preprocess.layout.mpeg import missing_pictures
from models.preprocess.lengths import ROUNDING, check_end, checked_layout, container_kind, tagged_end
from models.preprocess.media import MAX_FRAME_PIXELS, MAX_VIDEO_BYTES, MediaError, is_hd
from models.preprocess.timeline import Timeline, read_timeline

UNSPECIFIED = 2
"""FFmpeg's colour matrix where the stream names none."""
ACCURATE = Interpolation.BILINEAR | Interpolation.ACCURATE_RND | Interpolation.FULL_CHR_H_INT
"""Within half a level of the formula; FFmpeg's default is a level darker and repeats colour samples."""
HDR = {int(ColorTrc.SMPTE2084): "PQ", int(ColorTrc.ARIB_STD_B67): "HLG"}


@dataclass(frozen=True)
class Video:
    """Frames written: (frames, height, width, 3) uint8 at 25 fps."""

    frames: int
    height: int
    width: int
    start: float
    """Seconds: when the first picture is shown on the container's clock."""
    source_frames: int
    notes: tuple[str, ...] = ()
    """What was done to the pictures beyond decoding, and what the file cannot tell."""


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
    resampled: bool = False
    """Whether pictures are repeated, dropped or moved in time to make 25 a second."""
    notes: tuple[str, ...] = ()


def write_frames(path: Path, out: BinaryIO, progress: Callable[[], None]) -> Video:
    """Decode the file's main video track into `out`, frame after frame, and say what was written.

    Raises:
        MediaError: the file is unreadable, truncated, damaged, too large or has no video.
    """
    timeline, notes = _timeline(path, progress)
    with open_container(path, "video") as container:
        stream, _ = video_track(path, container)
        pictures = Pictures(path, stream)
        timeline, start_notes, converted = _from_first(pictures, container, timeline)
        written = 0
        for index, picture in enumerate(converted):
            progress()
            repeats = int(timeline.repeats[index])
            if timeline.frames * picture.nbytes > MAX_VIDEO_BYTES:
                raise MediaError(
                    f"{path}: {timeline.frames} frames of {picture.shape} are more than allowed: cut it"
                )
            for _ in range(repeats):
                out.write(picture.data)
            written += repeats
        assert written == timeline.frames
        height, width = pictures.size
        notes = (*notes, *start_notes, *_clock_notes(timeline), *pictures.notes())
    return Video(written, height, width, timeline.start, len(timeline.times), notes)


def read_outline(path: Path, progress: Callable[[], None]) -> Outline:
    """What a video is, without decoding more than its first picture; damage further on is not seen.

    Raises:
        MediaError: the file is unreadable, truncated, too large or has no video.
    """
    timeline, notes = _timeline(path, progress)
    with open_container(path, "video") as container:
        stream, _ = video_track(path, container)
        pictures = Pictures(path, stream)
        timeline, start_notes, converted = _from_first(pictures, container, timeline)
        next(converted)
        height, width = pictures.size
        notes = (*notes, *start_notes, *_clock_notes(timeline), *pictures.notes())
    rate = timeline.rate
    if stream.average_rate and abs(rate / float(stream.average_rate) - 1) < 1e-3:
        # Measured between rounded time stamps; the header's number is the rounder one.
        rate = float(stream.average_rate)
    return Outline(
        timeline.frames,
        height,
        width,
        rate,
        timeline.start,
        len(timeline.times),
        timeline.resampled,
        notes,
    )


def _timeline(path: Path, progress: Callable[[], None]) -> tuple[Timeline, tuple[str, ...]]:
    """The main video track's timeline, checked against what the container says of itself; notes."""
    with open_container(path, "video") as container:
        stream, notes = video_track(path, container)
        _refuse_large(path, stream.codec_context.width, stream.codec_context.height)
        layout = checked_layout(path, container_kind(container))
        notes += layout.notes
        repeats = count_of_track(layout.repeats, container, stream)
        timeline = read_timeline(path, container, stream, progress, repeats)
        missing = missing_pictures(timeline.numbers)
        if missing:
            raise MediaError(f"{path}: {missing} pictures are missing: their numbers have gaps")
        # Of some codecs, as GIF, packets last shorter than their pictures are shown.
        packets_end = timeline.ends.get(stream.index, 0.0)
        usual_end = max(timeline.usual_end, packets_end)
        check_end(path, container, layout, {**timeline.ends, stream.index: usual_end})
        stated = tagged_end(stream)
        if packets_end < stated - ROUNDING:
            timeline = replace(timeline, end=min(stated, usual_end))
        pictures = count_of_track(layout.pictures, container, stream)
        if timeline.packets < pictures:
            raise MediaError(f"{path}: {pictures} pictures in its tables, {timeline.packets} can be read")
    if timeline.hidden:
        total = len(timeline.times) + timeline.hidden
        notes.append(f"its edit list shows {len(timeline.times)} of {total} pictures")
    return timeline, tuple(notes)


def _clock_notes(timeline: Timeline) -> list[str]:
    if not timeline.resampled:
        return []
    shown = len(np.unique(timeline.shown))
    steady = "" if timeline.steady else " at unequal intervals"
    return [
        f"{len(timeline.times)} pictures{steady}, {timeline.rate:.5g} a second, brought to "
        f"{timeline.frames} frames at {FRAMES_PER_SECOND} fps that show {shown} of them"
    ]


def _from_first(
    pictures: Pictures, container: InputContainer, timeline: Timeline
) -> tuple[Timeline, list[str], Iterator[np.ndarray]]:
    """The timeline from the first picture that can be decoded, a note on lost ones, and all RGB pictures.

    The first pictures of a cut may refer to pictures before it.
    """
    decoded = pictures.decoded(container)
    first = next(decoded, None)
    if first is None:
        raise MediaError(f"{pictures.path}: no frame could be decoded")
    lost = timeline.ticks.index(first.pts) if timeline.ticks and first.pts in timeline.ticks else 0
    notes = []
    if lost > timeline.leading:
        raise MediaError(f"{pictures.path}: the first {lost} pictures cannot be decoded")
    if lost:
        timeline = timeline.without_first(lost)
        notes.append(f"its first {lost} pictures refer to others that were cut off, and are left out")
    return timeline, notes, pictures.converted(first, decoded, timeline)


class Pictures:
    """Decodes one video track and converts its frames to upright RGB with square pixels."""

    def __init__(self, path: Path, stream: av.VideoStream) -> None:
        self.path = path
        self.size = (0, 0)
        """Height and width of the converted pictures."""
        self._stream = stream
        self._format: tuple[object, ...] = ()
        self._interlaced = False
        self._transfer = UNSPECIFIED
        self._reformatter = VideoReformatter()
        stream.codec_context.thread_count = 1
        # Damage that the codec can detect is an error, not a picture patched from its neighbours.
        stream.codec_context.options = {"err_detect": "crccheck+explode"}

    def notes(self) -> list[str]:
        notes = []
        if self._interlaced:
            notes.append("interlaced: both fields of a picture are used as one; deinterlace it first")
        if self._transfer in HDR:
            notes.append(f"high dynamic range ({HDR[self._transfer]}) without tone mapping")
        return notes

    def decoded(self, container: InputContainer) -> Iterator[av.VideoFrame]:
        """Yield the frames in presentation order.

        Raises:
            MediaError: one is damaged.
        """
        count = 0
        try:
            for packet in container.demux(self._stream):
                # An empty packet, AVI's sign for a repeated picture, would end the decoding.
                if packet.size == 0 and packet.dts is not None:
                    continue
                for frame in packet.decode():
                    if frame.is_corrupt and not count and not frame.key_frame:
                        continue
                    if frame.is_corrupt:
                        raise MediaError(f"{self.path}: frame {count} is damaged")
                    yield frame
                    count += 1
        except FFmpegError as error:
            raise MediaError(
                f"{self.path}: the video cannot be decoded: {error.strerror} after frame {count}"
            ) from error

    def converted(
        self, first: av.VideoFrame, following: Iterator[av.VideoFrame], timeline: Timeline
    ) -> Iterator[np.ndarray]:
        """Yield (h, w, 3) uint8 of every picture of the timeline.

        Raises:
            MediaError: pictures are missing or too many, or their size or format changes.
        """
        yield self._rgb(first, 0)
        count = 1
        for frame in following:
            if count == len(timeline.times) or (timeline.ticks and frame.pts != timeline.ticks[count]):
                self._refuse_missing(frame, count, timeline)
            yield self._rgb(frame, count)
            count += 1
        if count < len(timeline.times):
            self._refuse_missing(None, count, timeline)

    def _refuse_missing(self, frame: av.VideoFrame | None, count: int, timeline: Timeline) -> None:
        if frame is not None and count == len(timeline.times):
            raise MediaError(f"{self.path}: more pictures decoded than its {count} packets hold")
        time = timeline.times[count] - timeline.start
        raise MediaError(
            f"{self.path}: the picture at {time:.3f} s, {count + 1} of {len(timeline.times)}, cannot be "
            "decoded"
        )

    def _rgb(self, frame: av.VideoFrame, index: int) -> np.ndarray:
        _refuse_large(self.path, frame.width, frame.height)
        matrix = _display_matrix(frame)
        aspect = self._stream.sample_aspect_ratio
        now = (frame.width, frame.height, frame.format.name, frame.colorspace, matrix, aspect)
        self._format = self._format or now
        if now != self._format:
            raise MediaError(f"{self.path}: {_difference(self._format, now)} at frame {index}, in mid-stream")
        self._interlaced |= frame.interlaced_frame
        self._transfer = frame.color_trc
        try:
            width = square_width(frame.width, aspect)
            turn = quarter_turn(matrix) if matrix else np.eye(2, dtype=int)
        except GeometryError as error:
            raise MediaError(f"{self.path}: {error}") from error
        _refuse_large(self.path, width, frame.height)
        converted = self._reformatter.reformat(
            frame,
            width,
            frame.height,
            "rgb24",
            src_colorspace=_matrix(frame),
            interpolation=ACCURATE,
            threads=1,
        )
        picture = np.ascontiguousarray(oriented(converted.to_ndarray(), turn))
        self.size = picture.shape[:2]
        return picture


def _display_matrix(frame: av.VideoFrame) -> bytes:
    """The frame's display matrix as FFmpeg stores it; empty where there is none."""
    data = cast("dict[Type, SideData]", frame.side_data).get(Type.DISPLAYMATRIX)
    return b"" if data is None else bytes(data)


def _matrix(frame: av.VideoFrame) -> int | None:
    """The colour matrix to assume; None for the frame's own."""
    if frame.colorspace != UNSPECIFIED or frame.format.is_rgb:
        return None
    return Colorspace.ITU709 if is_hd(frame.width, frame.height) else Colorspace.ITU601


def _difference(before: tuple[object, ...], after: tuple[object, ...]) -> str:
    if before[:2] != after[:2]:
        return f"the picture changes from {before[0]}x{before[1]} to {after[0]}x{after[1]}"
    names = ("", "", "pixel format", "colour matrix", "orientation", "pixel shape")
    name = next(name for name, old, new in zip(names, before, after, strict=True) if old != new)
    return f"the {name} changes"


def _refuse_large(path: Path, width: int, height: int) -> None:
    if width * height > MAX_FRAME_PIXELS:
        raise MediaError(f"{path}: frames of {width}x{height} are larger than allowed")
