"""Matroska and WebM: elements, their checksums, and the blocks of each track."""

from __future__ import annotations

import struct
import zlib
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

from models.preprocess.layout.reading import CROPPED, Layout, LayoutError, Parts

OPEN_END = "it does not say how long it is, as when streamed: a cut at its end cannot be noticed"
HEADER, SEGMENT, CLUSTER, CRC, VOID = 0x1A45DFA3, 0x18538067, 0x1F43B675, 0xBF, 0xEC
INFO, DURATION, SCALE = 0x1549A966, 0x4489, 0x2AD7B1
BLOCK_GROUP, BLOCK, SIMPLE_BLOCK = 0xA0, 0xA1, 0xA3
LEVEL_1 = (0x114D9B74, INFO, 0x1654AE6B, CLUSTER, 0x1C53BB6B, 0x1941A469, 0x1043A770, 0x1254C367, VOID, CRC)
"""SeekHead, Info, Tracks, Cluster, Cues, Attachments, Chapters, Tags, Void, CRC-32."""
SETTINGS, CROPS = 0xE0, (0x54AA, 0x54BB, 0x54CC, 0x54DD)
"""Of a picture track: its settings, and in them the pixels to cut off at each border."""
TRACKS, ENTRY, NUMBER, TYPE, CODEC_DELAY = 0x1654AE6B, 0xAE, 0xD7, 0x83, 0x56AA
VIDEO, SOUND = 1, 2
"""Types of tracks."""
IN_CLUSTER = (0xE7, 0xA7, 0xAB, BLOCK_GROUP, SIMPLE_BLOCK, 0x5854, VOID, CRC)
"""Timestamp, Position, PrevSize, BlockGroup, SimpleBlock, SilentTracks, Void, CRC-32."""


@dataclass(frozen=True)
class Element:
    name: int
    start: int
    """Offset of the content."""
    end: int | None
    """None: of unknown size."""


@dataclass
class Contents:
    blocks: Counter[int] = field(default_factory=Counter)
    """Blocks by track number."""
    duration: float = 0.0
    """Seconds; 0 where nothing is said."""
    video: list[int] = field(default_factory=list)
    """Numbers of the picture tracks."""
    delays: list[float] = field(default_factory=list)
    """Seconds that the codec of each sound track needs to start."""
    cropped: bool = False
    """Whether players cut borders off a picture track."""


def check_matroska(parts: Parts) -> Layout:
    """Walk all elements down to the blocks.

    Raises:
        LayoutError: the file ends early, or elements are damaged.
    """
    header = _element(parts, 0, parts.size)
    segment = _element(parts, header.end or 0, parts.size)
    if segment.name != SEGMENT:
        raise LayoutError("damaged: no segment")
    contents = Contents()
    _walk_segment(parts, segment, contents)
    layout = Layout(notes=[] if contents.duration else [OPEN_END], delays=contents.delays)
    if contents.cropped:
        layout.notes.append(CROPPED)
    if contents.duration:
        layout.ends.append(contents.duration)
    layout.pictures = [contents.blocks[number] for number in contents.video]
    return layout


def _number(parts: Parts, place: int, *, keep_mark: bool) -> tuple[int, int, bool]:
    """A variable-length number, its length in bytes, and whether all its bits are set."""
    first = parts.at(place, 1)
    if not first or not first[0]:
        raise LayoutError(f"truncated or damaged: no element at byte {place}")
    length = 9 - first[0].bit_length()
    data = parts.at(place, length)
    if len(data) < length:
        raise LayoutError("truncated: the file ends inside a header")
    value, mark = int.from_bytes(data), 1 << 7 * length
    return (value if keep_mark else value - mark), length, value - mark == mark - 1


def _element(parts: Parts, place: int, limit: int) -> Element:
    name, name_length, _ = _number(parts, place, keep_mark=True)
    size, size_length, unknown = _number(parts, place + name_length, keep_mark=False)
    start = place + name_length + size_length
    if unknown:
        return Element(name, start, None)
    if start + size > limit:
        where = "the file" if limit == parts.size else "its parent"
        raise LayoutError(f"truncated or damaged: {where} ends inside element {name:X} of {size} bytes")
    return Element(name, start, start + size)


def _walk_segment(parts: Parts, segment: Element, contents: Contents) -> None:
    place, end = segment.start, segment.end or parts.size
    while place < end:
        element = _element(parts, place, end)
        if element.name not in LEVEL_1:
            raise LayoutError(f"damaged: unknown element {element.name:X} at byte {place}")
        if element.name == CLUSTER:
            place = _walk_cluster(parts, element, end, contents)
            continue
        if element.end is None:
            raise LayoutError(f"damaged: element {element.name:X} has no size")
        _check_sum(parts, element)
        if element.name == INFO:
            contents.duration = _duration(parts, element)
        elif element.name == TRACKS:
            tracks = list(_tracks(parts, element))
            contents.video = [track.get(NUMBER, 0) for track in tracks if track.get(TYPE) == VIDEO]
            contents.delays = [
                track.get(CODEC_DELAY, 0) / 1e9 for track in tracks if track.get(TYPE) == SOUND
            ]
            contents.cropped = _is_cropped(parts, element)
        place = element.end


def _walk_cluster(parts: Parts, cluster: Element, limit: int, contents: Contents) -> int:
    """Count the blocks of a cluster; return where the next element of the segment begins."""
    _check_sum(parts, cluster)
    place, end = cluster.start, cluster.end or limit
    while place < end:
        element = _element(parts, place, end)
        if element.name not in IN_CLUSTER or element.end is None:
            if cluster.end is None and element.name in LEVEL_1:
                return place
            raise LayoutError(f"damaged: unknown element {element.name:X} in a cluster at byte {place}")
        if element.name == SIMPLE_BLOCK:
            contents.blocks[_number(parts, element.start, keep_mark=False)[0]] += 1
        elif element.name == BLOCK_GROUP:
            for child in _children(parts, element):
                if child.name == BLOCK:
                    contents.blocks[_number(parts, child.start, keep_mark=False)[0]] += 1
        place = element.end
    return end


def _children(parts: Parts, element: Element) -> Iterator[Element]:
    place, end = element.start, element.end or parts.size
    while place < end:
        child = _element(parts, place, end)
        if child.end is None:
            raise LayoutError(f"damaged: element {child.name:X} has no size")
        yield child
        place = child.end


def _check_sum(parts: Parts, element: Element) -> None:
    """Compare a leading CRC-32 with what follows it, where there is one."""
    if element.end is None or element.end - element.start < 6 or parts.at(element.start, 2) != b"\xbf\x84":
        return
    (expected,) = parts.fields("<I", element.start + 2)
    if zlib.crc32(parts.at(element.start + 6, element.end - element.start - 6)) != expected:
        raise LayoutError(f"damaged: the checksum of the element at byte {element.start} does not fit")


def _duration(parts: Parts, info: Element) -> float:
    scale, ticks = 1_000_000, 0.0
    for child in _children(parts, info):
        data = parts.at(child.start, (child.end or child.start) - child.start)
        if child.name == SCALE:
            scale = int.from_bytes(data)
        elif child.name == DURATION and len(data) in (4, 8):
            (ticks,) = struct.unpack(">f" if len(data) == 4 else ">d", data)
    return ticks * scale / 1e9


def _tracks(parts: Parts, tracks: Element) -> Iterator[dict[int, int]]:
    """Number, type and codec delay in nanoseconds of each track."""
    for entry in _children(parts, tracks):
        if entry.name == ENTRY:
            yield {
                child.name: int.from_bytes(parts.at(child.start, (child.end or child.start) - child.start))
                for child in _children(parts, entry)
                if child.name in (NUMBER, TYPE, CODEC_DELAY)
            }


def _is_cropped(parts: Parts, tracks: Element) -> bool:
    return any(
        value.name in CROPS and any(parts.at(value.start, (value.end or value.start) - value.start))
        for entry in _children(parts, tracks)
        if entry.name == ENTRY
        for settings in _children(parts, entry)
        if settings.name == SETTINGS
        for value in _children(parts, settings)
    )
