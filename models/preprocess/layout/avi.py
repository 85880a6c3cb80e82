"""AVI: lists of chunks, and the number of chunks that each track announces."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

from models.preprocess.layout.reading import Layout, LayoutError, Parts
from models.preprocess.layout.wave import PLACEHOLDER

OPEN_END = (
    "its header does not say how long it is, as when recording broke off: a cut at its end cannot be noticed"
)

OPEN_LENGTH = 0x3FFFFFFF
"""Numbers of frames from here on are written by programs that cannot go back to the header, and so is 0."""


@dataclass
class Contents:
    announced: list[tuple[bytes, int]] = field(default_factory=list)
    """Kind of each track and the chunks or samples it says that it has."""
    chunks: Counter[int] = field(default_factory=Counter)
    """Chunks by number of the track, empty ones included."""
    empty: Counter[int] = field(default_factory=Counter)
    """Chunks that repeat the picture before."""
    trailing: Counter[int] = field(default_factory=Counter)
    """Empty chunks since the last picture."""
    indexed: Counter[int] = field(default_factory=Counter)
    has_index: bool = False


def check_avi(parts: Parts) -> Layout:
    """Count the chunks of an AVI and compare them with its header and index.

    Raises:
        LayoutError: chunks are missing, or lists are damaged.
    """
    contents = Contents()
    place = 0
    while place + 12 <= parts.size:
        name, size, _ = parts.fields("<4sI4s", place)
        if name != b"RIFF":
            break
        # Recorders into a pipe leave the size open.
        open_end = size == 0 or size >= PLACEHOLDER
        end = parts.size if open_end else place + 8 + size
        if end > parts.size:
            raise LayoutError(f"truncated: {size} bytes announced, {parts.size - place - 8} found")
        _walk(parts, place + 12, end, contents)
        place = end + end % 2
    if place < parts.size and parts.at(place, min(parts.size - place, 65536)).strip(b"\0"):
        raise LayoutError(f"damaged: what follows the announced {place} bytes is no RIFF list")
    return _compared(contents)


def _compared(contents: Contents) -> Layout:
    layout = Layout()
    for number, (kind, announced) in enumerate(contents.announced):
        if kind != b"vids":
            continue
        count = contents.chunks[number]
        if contents.has_index and contents.indexed[number] != count:
            raise LayoutError(
                f"damaged: its index lists {contents.indexed[number]} pictures, {count} are there"
            )
        if announced == 0 or announced >= OPEN_LENGTH:
            layout.notes.append(OPEN_END)
            layout.is_open = True
        elif count < announced:
            raise LayoutError(f"truncated: {announced} frames announced, {count} frames found")
        layout.pictures.append(count - contents.empty[number])
        layout.repeats.append(contents.trailing[number])
    return layout


def _walk(parts: Parts, place: int, end: int, contents: Contents) -> None:
    while end - place >= 8:
        name, size = parts.fields("<4sI", place)
        content = place + 8
        if name == b"LIST" and (size == 0 or size >= PLACEHOLDER):
            size = end - content
        if content + size > end:
            raise LayoutError(f"truncated or damaged: the file ends inside chunk {name!r} of {size} bytes")
        if name == b"LIST":
            kind = parts.at(content, 4)
            if kind in (b"hdrl", b"strl", b"movi", b"rec "):
                _walk(parts, content + 4, content + size, contents)
        elif name == b"strh":
            kind, length = parts.fields("<4s28xI", content)
            contents.announced.append((kind, length))
        elif name == b"idx1":
            contents.has_index = True
            contents.indexed.update(_tracks(parts.at(content + 16 * k, 4) for k in range(size // 16)))
        elif not name.strip(b"\0").isascii():
            raise LayoutError(f"damaged: {name!r} is no chunk at byte {place}")
        else:
            for number in _tracks([name]):
                contents.chunks[number] += 1
                contents.empty[number] += not size
                contents.trailing[number] = 0 if size else contents.trailing[number] + 1
        place = content + size + size % 2


def _tracks(names: Iterator[bytes] | list[bytes]) -> Iterator[int]:
    """Numbers of the tracks that chunk names belong to."""
    for name in names:
        if name[:2].isdigit() and name[2:] in (b"dc", b"db", b"wb", b"tx"):
            yield int(name[:2])
