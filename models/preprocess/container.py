"""Opens media containers and chooses the tracks that a player would show and play.

Runs in the decoder's child process.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

import av
from av.container import InputContainer
from av.error import ArgumentError, FFmpegError
from av.stream import Disposition, Stream

from models.preprocess.media import MediaError, file_url

DEMUXERS = ("mov", "matroska", "avi", "mpeg", "mpegts", "flv", "mp3", "aac", "ogg", "wav", "flac", "aiff")
"""FFmpeg's names of what is read. Others are kept out: some open further files or addresses (concat, hls),
some guess a clock that raw streams do not have (mpegvideo, h264)."""

NO_VIDEO = Disposition.attached_pic | Disposition.timed_thumbnails | Disposition.still_image
SECONDARY = (
    Disposition.comment
    | Disposition.hearing_impaired
    | Disposition.visual_impaired
    | Disposition.descriptions
    | Disposition.dub
    | Disposition.karaoke
    | Disposition.clean_effects
)
"""Tracks beside the main one."""

Track = TypeVar("Track", bound=Stream)


@contextmanager
def open_container(path: Path, what: str) -> Iterator[InputContainer]:
    """Yield the opened file; whatever FFmpeg refuses in it becomes a MediaError.

    Args:
        what: "video" or "sound", for messages.

    Raises:
        MediaError: naming the file.
    """
    # A name is never a protocol, and no content may name another file.
    options = {"format_whitelist": ",".join(DEMUXERS), "protocol_whitelist": "file"}
    try:
        with av.open(file_url(path), options=options, metadata_errors="replace") as container:
            yield container
    except ArgumentError as error:
        raise MediaError(
            f"{path}: the {what} cannot be decoded: no readable container ({', '.join(DEMUXERS)}): "
            f"{error.strerror}"
        ) from error
    except FFmpegError as error:
        raise MediaError(f"{path}: the {what} cannot be decoded: {error.strerror}") from error
    except IndexError as error:
        # PyAV cannot number tracks that a damaged transport stream announces on the way.
        raise MediaError(f"{path}: the {what} cannot be decoded: tracks appear in mid-stream") from error


def video_track(path: Path, container: InputContainer) -> tuple[av.VideoStream, list[str]]:
    """Return the picture track to show, and a note where there was a choice.

    Raises:
        MediaError: there is none; covers and thumbnails are no video.
    """
    tracks = [each for each in container.streams.video if not each.disposition & NO_VIDEO]
    if not tracks:
        raise MediaError(f"{path}: no video stream: it holds {_contents(container)}")
    return _main(path, tracks, "picture")


def count_of_track(counts: Sequence[int], container: InputContainer, stream: av.VideoStream) -> int:
    """Return what was counted of one picture track; 0 where nothing was.

    Args:
        counts: of each picture track in the file's order; covers are no tracks.
    """
    cover, thumbnails = Disposition.attached_pic, Disposition.timed_thumbnails
    tracks = [each for each in container.streams.video if each.disposition & (cover | thumbnails) != cover]
    return counts[tracks.index(stream)] if len(counts) == len(tracks) else 0


def sound_track(path: Path, container: InputContainer) -> tuple[av.AudioStream, list[str]]:
    """Return the sound track to play, and a note where there was a choice.

    Raises:
        MediaError: there is none.
    """
    tracks = list(container.streams.audio)
    if not tracks:
        raise MediaError(
            f"{path}: no audio stream: expected a recording with sound; it holds {_contents(container)}"
        )
    return _main(path, tracks, "sound")


def _main(path: Path, tracks: Sequence[Track], kind: str) -> tuple[Track, list[str]]:
    """The track that the file marks as default; else the first that is not beside another."""
    order = sorted(
        tracks,
        key=lambda each: (
            not each.disposition & Disposition.default,
            bool(each.disposition & SECONDARY),
            each.index,
        ),
    )
    track = order[0]
    if track.codec_context is None:
        raise MediaError(f"{path}: the {kind} is in a format that cannot be decoded")
    if len(tracks) == 1:
        return track, []
    position = tracks.index(track) + 1
    marked = "marked as default" if track.disposition & Disposition.default else "none is marked as default"
    return track, [f"{kind} track {position} of {len(tracks)} is used ({marked})"]


def _contents(container: InputContainer) -> str:
    if not container.streams:
        return "no track"
    names = []
    for stream in container.streams:
        name = stream.codec_context.name if stream.codec_context else "unknown format"
        kind = {"audio": "sound", "video": "a still picture"}.get(stream.type, stream.type)
        names.append(f"{kind} ({name})")
    return ", ".join(names)
