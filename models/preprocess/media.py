"""What recordings are accepted, and the error that names the one that is not."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

from models.errors import InputError

DECODING = "media v3"
"""The version of the code in `models.preprocess`, in the identities of prepared clips and kept landmarks.

Raise it whenever a picture, a sample or a landmark may come out differently. A test reminds whoever edits the
code."""
MAX_SECONDS = 300.0
"""Longest recording read. An utterance lasts seconds; a header that claims hours is a mistake or a bomb."""
MAX_FRAME_PIXELS = 4096 * 2304
MAX_VIDEO_BYTES = 12 * 2**30
"""Of decoded RGB frames, which lie in an unnamed scratch file until they are cropped."""
HD_WIDTH, SD_HEIGHT = 1280, 576
"""Narrowest HD picture, and highest SD one."""

AUDIO_SUFFIXES = (".wav", ".flac", ".ogg", ".aif", ".aiff", ".mp3", ".m4a", ".aac", ".opus")
VIDEO_SUFFIXES = (".mp4", ".mpg", ".mpeg", ".avi", ".mov", ".mkv", ".webm", ".flv", ".m4v")


class MediaError(InputError):
    """A recording that cannot be used; the message begins with its path."""


class DecodingFailure(MediaError):
    """Decoding that broke off: a stall, a crash, an error of the disk, a lack of memory.

    The file may be the cause or the machine, so this is no verdict on the file: another try may succeed.
    """


def seconds(ticks: int | None, unit: Fraction | None) -> float:
    """A container's time in seconds; 0 where it does not say."""
    return float(ticks * unit) if ticks and unit else 0.0


def is_hd(width: int, height: int) -> bool:
    """Return whether players take unnamed colours of this size for BT.709; below, for BT.601."""
    return width >= HD_WIDTH or height > SD_HEIGHT


def file_url(path: Path) -> str:
    """Return the path as FFmpeg takes it without reading a protocol, an option or standard input into it."""
    return f"file:{path}"
