"""Ogg: pages with checksums, numbers and an end mark."""

from __future__ import annotations

import zlib
from collections.abc import Iterator

from models.preprocess.layout.reading import Layout, LayoutError, Parts

LAST = 4
"""Flag of a track's last page."""
REVERSED = bytes(int(f"{byte:08b}"[::-1], 2) for byte in range(256))
OPEN_END = "its last Ogg page is not marked as the last: a cut at its end cannot be noticed"


def check_ogg(parts: Parts) -> Layout:
    """Check the pages of an Ogg file.

    Raises:
        LayoutError: pages are missing, damaged or cut.
    """
    numbers: dict[int, int] = {}
    open_tracks: set[int] = set()
    for flags, serial, number in _pages(parts):
        if serial in numbers and number != numbers[serial] + 1:
            raise LayoutError(f"pages are missing: {number} follows {numbers[serial]}")
        numbers[serial] = number
        (open_tracks.discard if flags & LAST else open_tracks.add)(serial)
    return Layout([OPEN_END] if open_tracks else [])


def _pages(parts: Parts) -> Iterator[tuple[int, int, int]]:
    """Flags, track and number of each page."""
    place = 0
    while place < parts.size:
        magic, _, flags, _, serial, number, checksum, count = parts.fields("<4sBBqIIIB", place)
        if magic != b"OggS":
            raise LayoutError(f"damaged: no Ogg page at byte {place}")
        table = parts.at(place + 27, count)
        length = 27 + count + sum(table)
        page = parts.at(place, length)
        if len(page) < length:
            raise LayoutError("truncated: the file ends inside a page")
        if _checksum(page[:22] + bytes(4) + page[26:]) != checksum:
            raise LayoutError(f"damaged: the checksum of page {number} does not fit")
        yield flags, serial, number
        place += length


def _checksum(page: bytes) -> int:
    """CRC-32 with Ogg's bit order and start value, from zlib's."""
    plain = zlib.crc32(page.translate(REVERSED), 0xFFFFFFFF) ^ 0xFFFFFFFF
    return int(f"{plain:032b}"[::-1], 2)
