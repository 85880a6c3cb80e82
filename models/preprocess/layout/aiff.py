"""AIFF and AIFF-C."""

from __future__ import annotations

from models.preprocess.layout.reading import Layout, LayoutError, Parts
from models.preprocess.layout.wave import PIPED, PLACEHOLDER

PLAIN = (b"NONE", b"sowt", b"twos", b"fl32", b"FL32", b"fl64", b"FL64", b"in24", b"in32", b"raw ")


def check_aiff(parts: Parts) -> Layout:
    """Compare the frames and sizes in an AIFF's header with the file.

    Raises:
        LayoutError: sound is missing, or the header contradicts itself.
    """
    form, _, kind = parts.fields(">4sI4s", 0)
    if form != b"FORM" or kind not in (b"AIFF", b"AIFC"):
        return Layout()
    start, frames, frame_bytes = 12, 0, 0
    while start + 8 <= parts.size:
        name, size = parts.fields(">4sI", start)
        if name == b"COMM":
            channels, frames, bits = parts.fields(">hIh", start + 8)
            plain = kind == b"AIFF" or parts.at(start + 26, 4) in PLAIN
            frame_bytes = channels * -(-bits // 8) if plain else 0
        elif name == b"SSND":
            return _check_sound(parts, start + 16, size - 8, frames, frame_bytes)
        start += 8 + size + size % 2
    return Layout()


def _check_sound(parts: Parts, start: int, size: int, frames: int, frame_bytes: int) -> Layout:
    there = parts.size - start
    if size + 8 >= PLACEHOLDER - 0x1000000 or (size <= 0 < there):
        return Layout([PIPED])
    if there < size:
        raise LayoutError(f"truncated: {size} bytes of sound announced, {there} found")
    if frame_bytes and frames * frame_bytes != size:
        raise LayoutError(
            f"the header is damaged: {frames} frames of {frame_bytes} bytes cannot be {size} bytes of sound"
        )
    return Layout()
