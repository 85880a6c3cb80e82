"""Compares what is in a recording with what its container says, so that lost parts are told.

What is there counts. Where a loss can be told it is refused by name; where the container cannot tell, a note
says so. Runs in the decoder's child process.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from av.container import InputContainer
from av.stream import Stream

from models.preprocess.layout.aiff import check_aiff
from models.preprocess.layout.avi import check_avi
from models.preprocess.layout.flac import check_flac
from models.preprocess.layout.flv import check_flv
from models.preprocess.layout.matroska import check_matroska
from models.preprocess.layout.mp4 import check_mp4
from models.preprocess.layout.mpeg import check_program_stream, check_transport_stream
from models.preprocess.layout.ogg import check_ogg
from models.preprocess.layout.reading import Layout, LayoutError, Parts
from models.preprocess.layout.wave import check_wave
from models.preprocess.media import MediaError

CHECKS: dict[str, Callable[[Parts], Layout]] = {
    "aiff": check_aiff,
    "avi": check_avi,
    "flac": check_flac,
    "flv": check_flv,
    "matroska": check_matroska,
    "mov": check_mp4,
    "mpeg": check_program_stream,
    "mpegts": check_transport_stream,
    "ogg": check_ogg,
    "wav": check_wave,
}
"""By the first name of FFmpeg's demuxer."""
MAGICS = {
    b"RIFF": "wav",
    b"RIFX": "wav",
    b"RF64": "wav",
    b"BW64": "wav",
    b"riff": "wav",
    b"FORM": "aiff",
    b"OggS": "ogg",
    b"fLaC": "flac",
}
"""First bytes of sound files."""
OPEN_SOUND = {
    "aac": "AAC without a container does not say how long it is: a cut at its end cannot be noticed",
    "mp3": "MP3 does not say how long it is: a cut at its end cannot be noticed",
}
UNCHECKED_SOUND = (
    "its length is not checked, as its contents are no WAV, AIFF or Ogg: a cut cannot be noticed"
)
ROUNDING = 0.02
"""Seconds by which the stated end of a file may lie after the last packet's."""


def sound_file_kind(path: Path) -> str | None:
    """Return which of `CHECKS` knows a sound file, by its first bytes."""
    with path.open("rb") as file:
        return MAGICS.get(file.read(4))


def container_kind(container: InputContainer) -> str:
    """Return the first name of the container's demuxer."""
    return container.format.name.split(",")[0]


def checked_layout(path: Path, kind: str | None) -> Layout:
    """Check a file's layout by itself.

    Raises:
        MediaError: the file ends early, or its parts contradict each other.
    """
    check = CHECKS.get(kind or "")
    if check is None:
        return Layout([OPEN_SOUND[kind]] if kind in OPEN_SOUND else [])
    with path.open("rb") as file:
        try:
            return check(Parts(file, path.stat().st_size))
        except LayoutError as error:
            raise MediaError(f"{path}: {error}") from error


def check_end(path: Path, container: InputContainer, layout: Layout, ends: dict[int, float]) -> None:
    """Refuse a file, or a track, whose packets end before it says.

    Args:
        ends: seconds at which each track's last packet ends, by its index.

    Raises:
        MediaError: packets are missing at the end.
    """
    ends = dict(ends)
    sounds = container.streams.audio
    if len(layout.delays) == len(sounds):
        for stream, delay in zip(sounds, layout.delays, strict=True):
            ends[stream.index] = ends.get(stream.index, 0.0) + delay
    last = max(ends.values(), default=0.0)
    for stated in layout.ends:
        if last < stated - ROUNDING:
            raise MediaError(f"{path}: truncated: {stated:.2f} s announced, {last:.2f} s found")
    for stream in container.streams:
        stated = tagged_end(stream)
        end = ends.get(stream.index, 0.0)
        if stream.type in ("audio", "video") and end < stated - ROUNDING:
            raise MediaError(
                f"{path}: truncated: {stated:.2f} s of {stream.type} announced, {end:.2f} s found"
            )


def tagged_end(stream: Stream) -> float:
    """The end in seconds that Matroska's writers put into a track's tags; 0 where there is none."""
    parts = stream.metadata.get("DURATION", "").split(":")
    try:
        hours, minutes, rest = (float(part) for part in parts)
    except ValueError:
        return 0.0
    return 3600 * hours + 60 * minutes + rest
