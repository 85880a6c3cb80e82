"""FLV: a chain of tags that each state their size twice."""

from __future__ import annotations

from models.preprocess.layout.reading import Layout, LayoutError, Parts

OPEN_END = "FLV does not say how many pictures it holds: a cut at its end cannot be noticed"
SCRIPT = 18


def check_flv(parts: Parts) -> Layout:
    """Follow the tags to the file's end.

    Raises:
        LayoutError: the file ends inside a tag, or a tag is damaged.
    """
    (start,) = parts.fields(">I", 5)
    place = start + 4
    while place < parts.size:
        head = parts.at(place, 11)
        if len(head) < 11:
            raise LayoutError("truncated: the file ends inside a tag")
        size = int.from_bytes(head[1:4])
        if head[0] & 0x1F not in (8, 9, SCRIPT):
            raise LayoutError(f"damaged: no tag at byte {place}")
        if place + 15 + size > parts.size:
            raise LayoutError("truncated: the file ends inside a tag")
        (again,) = parts.fields(">I", place + 11 + size)
        if again not in (size + 11, 0):
            raise LayoutError(f"damaged: the tag at byte {place} states two sizes")
        place += 15 + size
    return Layout([OPEN_END])
