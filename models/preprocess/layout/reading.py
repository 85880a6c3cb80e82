"""Reads parts of a file by their place, and the results of checking a layout."""

from __future__ import annotations

import struct
from dataclasses import dataclass, field
from typing import Any, BinaryIO

CROPPED = "its container says that players cut the picture's borders off, which is not done"


class LayoutError(ValueError):
    """A file that ends early, or whose parts contradict each other."""


@dataclass
class Layout:
    """What was learned from a file's layout."""

    notes: list[str] = field(default_factory=list)
    """What the file cannot tell, for people."""
    pictures: list[int] = field(default_factory=list)
    """Pictures that the table or the blocks of each picture track hold, in the tracks' order; empty: not
    counted."""
    samples: int | None = None
    """Samples a channel that a sound file announces; None: not said."""
    patches: list[tuple[int, bytes]] = field(default_factory=list)
    """Places in a header that state no length, or a kind that readers do not know, and what should be there
    for readers that believe them."""
    repeats: list[int] = field(default_factory=list)
    """How often the last picture of each picture track is repeated by empty packets after it."""
    delays: list[float] = field(default_factory=list)
    """Seconds that each sound track's codec needs to start, in the tracks' order: stated ends contain them,
    the packets' times do not."""
    is_open: bool = False
    """Whether the header of a recording that broke off leaves the lengths of its tracks open."""
    ends: list[float] = field(default_factory=list)
    """Seconds: when the file says that it, or one of its tracks, ends."""


class Parts:
    """Random access to a file's bytes."""

    def __init__(self, file: BinaryIO, size: int) -> None:
        self._file = file
        self.size = size

    def at(self, place: int, count: int) -> bytes:
        """Return up to `count` bytes from `place`; fewer at the end of the file."""
        self._file.seek(place)
        return self._file.read(count)

    def fields(self, form: str, place: int) -> tuple[Any, ...]:
        """Return the values of a struct format at a place.

        Raises:
            LayoutError: the file ends before.
        """
        data = self.at(place, struct.calcsize(form))
        if len(data) < struct.calcsize(form):
            raise LayoutError("truncated: the file ends inside a header")
        return struct.unpack(form, data)
