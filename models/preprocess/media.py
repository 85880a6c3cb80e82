"""What recordings are accepted, and the error that names the one that is not."""

from __future__ import annotations

from fractions import Fraction

from models.errors import InputError

MAX_SECONDS = 300.0
"""Longest recording read. An utterance lasts seconds; a header that claims hours is a mistake or a bomb."""
MAX_FRAME_PIXELS = 4096 * 2304
MAX_VIDEO_BYTES = 12 * 2**30
"""Of decoded RGB frames, which lie in an unnamed scratch file until they are cropped."""

AUDIO_SUFFIXES = (".wav", ".flac", ".ogg", ".aif", ".aiff", ".mp3", ".m4a", ".aac", ".opus")
VIDEO_SUFFIXES = (".mp4", ".mpg", ".mpeg", ".avi", ".mov", ".mkv", ".webm", ".flv", ".m4v")


class MediaError(InputError):
    """A recording that cannot be used; the message begins with its path."""


def seconds(ticks: int | None, unit: Fraction | None) -> float:
    """A container's time in seconds; 0 where it does not say."""
    return float(ticks * unit) if ticks and unit else 0.0
