"""MP4 and QuickTime: boxes, sample tables, edit lists and fragments."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

from models.preprocess.layout.reading import CROPPED, Layout, LayoutError, Parts

OPEN_END = "a fragmented mp4 without an index does not say how long it is: a cut at its end cannot be noticed"
HANDLERS = {b"vide": "video", b"soun": "sound"}


@dataclass(frozen=True)
class Box:
    name: bytes
    start: int
    """Offset of the content."""
    end: int


def check_mp4(parts: Parts) -> Layout:
    """Check that boxes fill the file and that each track's tables agree.

    Raises:
        LayoutError: the file ends early, is damaged, or plays at another speed than normal.
    """
    top = list(_boxes(parts, 0, parts.size, whole=True))
    layout = Layout()
    movie = next((box for box in top if box.name == b"moov"), None)
    if movie is None:
        raise LayoutError("truncated: no list of its contents (moov)")
    for track in _inside(parts, movie, b"trak"):
        _check_track(parts, track, layout)
    if any(box.name == b"moof" for box in top):
        _check_fragments(parts, top, movie, layout)
    return layout


def _boxes(parts: Parts, start: int, end: int, *, whole: bool = False) -> Iterator[Box]:
    """The boxes between two places, which they must fill.

    Args:
        whole: the places are the file's; zeros after its last box are let pass.
    """
    while end - start >= 8:
        size, name = parts.fields(">I4s", start)
        content = start + 8
        if size == 1:
            (size,) = parts.fields(">Q", content)
            content += 8
        elif size == 0:
            size = end - start
            if whole and name == bytes(4) and not parts.at(start, size).strip(b"\0"):
                return
        if size < content - start or start + size > end:
            where = "the file ends" if whole else "its parent ends"
            raise LayoutError(f"truncated or damaged: {where} inside box {name!r} of {size} bytes")
        yield Box(name, content, start + size)
        start += size


def _inside(parts: Parts, box: Box, *path: bytes) -> Iterator[Box]:
    """All boxes along a path of names."""
    for child in _boxes(parts, box.start, box.end):
        if child.name == path[0]:
            if len(path) == 1:
                yield child
            else:
                yield from _inside(parts, child, *path[1:])


def _first(parts: Parts, box: Box, *path: bytes) -> Box | None:
    return next(_inside(parts, box, *path), None)


def _check_track(parts: Parts, track: Box, layout: Layout) -> None:
    handler = _first(parts, track, b"mdia", b"hdlr")
    kind = HANDLERS.get(parts.at(handler.start + 8, 4)) if handler else None
    header, table = _first(parts, track, b"mdia", b"mdhd"), _first(parts, track, b"mdia", b"minf", b"stbl")
    samples = _sample_count(parts, table) if table else 0
    if kind == "video":
        layout.pictures.append(samples)
        if table and _is_cropped(parts, table):
            layout.notes.append(CROPPED)
    if kind is None or header is None or table is None:
        return
    edits = _first(parts, track, b"edts", b"elst")
    if edits is not None:
        _check_edits(parts, edits, kind)
    if not samples:
        return
    steps = _runs(parts, table, b"stts")
    counted = sum(count for count, _ in steps)
    offsets = _runs(parts, table, b"ctts")
    for name, total in (("durations", counted), ("offsets", sum(count for count, _ in offsets))):
        if total != samples and (name == "durations" or offsets):
            raise LayoutError(f"damaged: the {kind} track has {samples} samples but {total} {name}")
    in_chunks = _samples_in_chunks(parts, table)
    if in_chunks not in (None, samples):
        raise LayoutError(f"damaged: the {kind} track has {samples} samples but {in_chunks} in its chunks")
    _check_duration(parts, header, steps, kind)


def _is_cropped(parts: Parts, table: Box) -> bool:
    """Return whether a clean aperture (clap) is smaller than the pictures of a track."""
    entries = _first(parts, table, b"stsd")
    if entries is None:
        return False
    data = parts.at(entries.start + 8, entries.end - entries.start - 8)
    place = data.find(b"clap") + 4
    if place < 4 or place + 16 > len(data):
        return False
    size = struct.unpack_from(">HH", data, 32)
    width, width_unit, height, height_unit = struct.unpack_from(">4I", data, place)
    return width < size[0] * width_unit or height < size[1] * height_unit


def _check_duration(parts: Parts, header: Box, steps: list[tuple[int, int]], kind: str) -> None:
    version = parts.at(header.start, 1)[0]
    scale, duration = parts.fields(">IQ" if version else ">II", header.start + (20 if version else 12))
    total = sum(count * step for count, step in steps)
    longest = max(step for _, step in steps)
    # Writers disagree on whether the last sample's duration is counted.
    if scale and duration and abs(total - duration) > longest:
        raise LayoutError(
            f"damaged: the {kind} track's header says {duration / scale:.2f} s, its samples last "
            f"{total / scale:.2f} s"
        )


def _check_edits(parts: Parts, box: Box, kind: str) -> None:
    version, count = parts.fields(">B3xI", box.start)
    form = ">QqhH" if version else ">IihH"
    for index in range(count):
        place = box.start + 8 + index * struct.calcsize(form)
        if place >= box.end:
            raise LayoutError(f"damaged: the {kind} track's edit list is shorter than it says")
        _, media_time, whole, fraction = parts.fields(form, place)
        if media_time >= 0 and (whole, fraction) != (1, 0):
            raise LayoutError(
                f"an edit list plays the {kind} at {whole + fraction / 65536:.3g} times its speed: "
                "expected 1; write the file anew as it is shown"
            )


def _sample_count(parts: Parts, table: Box) -> int:
    for name, place in ((b"stsz", 8), (b"stz2", 8)):
        box = _first(parts, table, name)
        if box is not None:
            return parts.fields(">I", box.start + place)[0]
    return 0


def _samples_in_chunks(parts: Parts, table: Box) -> int | None:
    """Return how many samples the chunks of a track hold, None where there is no such table."""
    runs, offsets = (
        _first(parts, table, b"stsc"),
        _first(parts, table, b"stco") or _first(parts, table, b"co64"),
    )
    if runs is None or offsets is None:
        return None
    (chunks,) = parts.fields(">I", offsets.start + 4)
    (count,) = parts.fields(">I", runs.start + 4)
    if runs.start + 8 + 12 * count > runs.end:
        raise LayoutError("damaged: table stsc is shorter than it says")
    entries = [parts.fields(">II", runs.start + 8 + 12 * index) for index in range(count)]
    ends = [*(first for first, _ in entries[1:]), chunks + 1]
    return sum((end - first) * samples for (first, samples), end in zip(entries, ends, strict=True))


def _runs(parts: Parts, table: Box, name: bytes) -> list[tuple[int, int]]:
    """(count, value) of a run-length table."""
    box = _first(parts, table, name)
    if box is None:
        return []
    (count,) = parts.fields(">I", box.start + 4)
    if box.start + 8 + 8 * count > box.end:
        raise LayoutError(f"damaged: table {name.decode()} is shorter than it says")
    data = parts.at(box.start + 8, 8 * count)
    return [struct.unpack_from(">II", data, 8 * index) for index in range(count)]


def _check_fragments(parts: Parts, top: list[Box], movie: Box, layout: Layout) -> None:
    numbers: list[int] = []
    for box in top:
        if box.name == b"moof":
            header = _first(parts, box, b"mfhd")
            if header is not None:
                numbers.append(parts.fields(">I", header.start + 4)[0])
    for before, after in pairwise(numbers):
        if after != before + 1:
            raise LayoutError(f"fragments are missing: number {after} follows {before}")
    layout.pictures.clear()
    if top[-1].name == b"moof":
        raise LayoutError("truncated: the last fragment has no data")
    if not any(box.name in (b"mfra", b"sidx") for box in top) and not _first(parts, movie, b"mvex", b"mehd"):
        layout.notes.append(OPEN_END)
