"""MPEG program and transport streams, which say nothing of their length but number their parts."""

from __future__ import annotations

from collections.abc import Sequence

from models.preprocess.layout.reading import Layout, LayoutError, Parts

OPEN_END = "{} does not say how long it is: a cut at its end cannot be noticed"
PACK, END, SYSTEM = 0xBA, 0xB9, 0xBB
CHUNK = 65536


def check_program_stream(parts: Parts) -> Layout:
    """Follow the packets of an MPEG program stream by their lengths.

    Raises:
        LayoutError: the chain breaks off inside a packet, or leads to what is no packet.
    """
    place, ended = 0, False
    while place < parts.size:
        head = parts.at(place, 14)
        if head[:3] != b"\0\0\1" or len(head) < 4 or head[3] < END:
            # Recorders fill sectors with zeros or ones.
            if not _is_filler(parts, place):
                raise LayoutError(f"damaged: no packet at byte {place}")
            break
        code = head[3]
        ended = code == END
        length = _packet_length(code, head)
        if place + length > parts.size:
            raise LayoutError("truncated: the file ends inside a packet")
        place += length
    return Layout([] if ended else [OPEN_END.format("an MPEG program stream without an end mark")])


def _packet_length(code: int, head: bytes) -> int:
    if code == END:
        return 4
    if code == PACK:
        if len(head) > 13 and head[4] >> 6 == 1:
            return 14 + (head[13] & 7)
        return 12
    if len(head) < 6:
        raise LayoutError("truncated: the file ends inside a packet")
    return 6 + (head[4] << 8 | head[5])


def _is_filler(parts: Parts, place: int) -> bool:
    while place < parts.size:
        data = parts.at(place, CHUNK)
        if data.strip(b"\0") and data.strip(b"\xff"):
            return False
        place += len(data)
    return True


def check_transport_stream(parts: Parts) -> Layout:
    """Check that the file is whole packets; their numbers are checked by the demuxer.

    Raises:
        LayoutError: the file ends inside a packet, or packets are damaged.
    """
    for length, first in ((188, 0), (192, 4), (204, 0)):
        if parts.at(first, 1) == b"\x47" and parts.at(first + length, 1) in (b"\x47", b""):
            break
    else:
        raise LayoutError("damaged: no transport packets at its beginning")
    if parts.size % length:
        raise LayoutError("truncated: the file ends inside a packet")
    data_start = 0
    while data_start < parts.size:
        data = parts.at(data_start, length * 4096)
        marks = data[first::length]
        if marks.strip(b"\x47"):
            raise LayoutError(f"damaged: a packet without its mark after byte {data_start}")
        data_start += len(data)
    return Layout([OPEN_END.format("an MPEG transport stream")])


def missing_pictures(references: Sequence[tuple[int, bool]]) -> int:
    """Return how many pictures are missing from an MPEG-1 or -2 stream by their numbers.

    Args:
        references: temporal reference of each picture in decoding order, and whether a group of pictures
            begins with it; numbers start at 0 in each group, modulo 1024.
    """
    groups: list[list[int]] = []
    for number, starts in references:
        if starts or not groups:
            groups.append([number])
        else:
            before = groups[-1][-1]
            groups[-1].append(before + (number - before + 512) % 1024 - 512)
    missing = 0
    for index, group in enumerate(groups):
        # Editors may cut pictures that refer to what was before the first group.
        first = min(group) if index == 0 else 0
        missing += max(group) - first + 1 - len(set(group))
    return missing
