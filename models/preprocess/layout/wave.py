"""WAV in its kinds: RIFF, RIFX (big-endian), RF64 and BW64 (64-bit sizes), and Sony's W64."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass

from models.preprocess.layout.reading import Layout, LayoutError, Parts

PLACEHOLDER = 0x7FFF0000
"""Sizes from here on are written by programs that cannot go back to the header (SoX, espeak-ng, ffmpeg and
arecord into a pipe), and so is 0; a recording of this size is longer than what is accepted."""
PIPED = (
    "its header does not say how long it is, as when written to a pipe: a cut at its end cannot be noticed"
)
PLAIN_FORMATS = {1: "PCM", 3: "float"}
W64_RIFF = bytes.fromhex("726966662e91cf11a5d628db04c10000")
W64_DATA = b"data"
EXTENSIBLE = 0xFFFE


@dataclass(frozen=True)
class Chunk:
    name: bytes
    start: int
    """Offset of the content."""
    size: int


def check_wave(parts: Parts) -> Layout:
    """Compare the sizes in a WAV's header with the file.

    Raises:
        LayoutError: sound is missing, or the header contradicts itself.
    """
    magic = parts.at(0, 16)
    if magic == W64_RIFF:
        return _check_w64(parts)
    if magic[:4] not in (b"RIFF", b"RIFX", b"RF64", b"BW64"):
        return Layout()
    layout = _check_riff(parts, ">" if magic[:4] == b"RIFX" else "<")
    if magic[:4] == b"BW64":
        # The same format by another name, which libsndfile does not know.
        layout.patches.append((0, b"RF64" if parts.at(12, 4) == b"ds64" else b"RIFF"))
    return layout


def _check_riff(parts: Parts, order: str) -> Layout:
    wide: dict[bytes, int] = {}
    wide_place = 0
    align = 1
    for chunk in _chunks(parts, order):
        if chunk.name == b"ds64":
            riff, data = parts.fields("<QQ", chunk.start)
            wide, wide_place = {b"RIFF": riff, b"data": data}, chunk.start
        elif chunk.name == b"fmt ":
            align = _check_format(parts, chunk, order)
        elif chunk.name == b"data":
            if chunk.size == 0xFFFFFFFF and wide and not wide[b"data"]:
                return _open_wide(parts, chunk, wide_place, align)
            return _check_data(parts, chunk, wide, order, align)
    return Layout()


def _open_wide(parts: Parts, chunk: Chunk, wide_place: int, align: int) -> Layout:
    """The layout of a file with 64-bit sizes that were left open."""
    there = parts.size - chunk.start
    if there < align:
        return Layout()
    sizes = struct.pack("<QQ", parts.size - 8, there - there % align)
    return Layout([PIPED], patches=[(wide_place, sizes)])


def _chunks(parts: Parts, order: str, start: int = 12) -> Iterator[Chunk]:
    while start + 8 <= parts.size:
        name, size = parts.fields(f"{order}4sI", start)
        yield Chunk(name, start + 8, size)
        start += 8 + size + size % 2


def _check_format(parts: Parts, chunk: Chunk, order: str) -> int:
    """Bytes of one sample of all channels; 1 where samples are compressed."""
    code, channels, rate, byte_rate, align, bits = parts.fields(f"{order}HHIIHH", chunk.start)
    if code == EXTENSIBLE and chunk.size >= 26:
        (code,) = parts.fields(f"{order}H", chunk.start + 24)
    if code not in PLAIN_FORMATS:
        return 1
    if align != channels * -(-bits // 8) or byte_rate != rate * align or not align:
        raise LayoutError(
            f"the header is damaged: {rate} Hz x {channels} channels x {bits} bits cannot be {byte_rate} "
            f"bytes a second in blocks of {align}"
        )
    return align


def _check_data(parts: Parts, chunk: Chunk, wide: dict[bytes, int], order: str, align: int) -> Layout:
    size, there = chunk.size, parts.size - chunk.start
    if size == 0xFFFFFFFF and wide:
        size = wide[b"data"]
    elif size >= PLACEHOLDER:
        return Layout([PIPED])
    elif size == 0 and there >= align:
        return Layout([PIPED], patches=[(chunk.start - 4, struct.pack(f"{order}I", there - there % align))])
    if there < size:
        raise LayoutError(f"truncated: {size} bytes of sound announced, {there} found")
    if size % align:
        raise LayoutError(f"the header is damaged: {size} bytes of sound are no multiple of {align}")
    _check_rest(parts, chunk.start + size + size % 2, order, wide)
    return Layout()


def _check_rest(parts: Parts, end: int, order: str, wide: dict[bytes, int]) -> None:
    """Nothing but chunks may follow the sound, up to the end of the RIFF or of the file."""
    (riff,) = parts.fields(f"{order}I", 4)
    announced = 8 + (wide.get(b"RIFF", riff) if riff == 0xFFFFFFFF else riff)
    if end >= min(announced, parts.size):
        return
    for chunk in _chunks(parts, order, end):
        end = chunk.start + chunk.size
        if not chunk.name.isascii() or end > parts.size:
            break
        if end + 1 >= min(announced, parts.size):
            return
    raise LayoutError("the header is damaged: what follows the announced sound is no chunk")


def _check_w64(parts: Parts) -> Layout:
    start = 40
    align = 1
    while start + 24 <= parts.size:
        name, size = parts.fields("<16sQ", start)
        chunk = Chunk(name[:4], start + 24, size - 24)
        if chunk.name == b"fmt ":
            align = _check_format(parts, chunk, "<")
        if chunk.name == W64_DATA:
            there = parts.size - chunk.start
            if size < 24 or size >= 1 << 62:
                return Layout([PIPED])
            if there < chunk.size:
                raise LayoutError(f"truncated: {chunk.size} bytes of sound announced, {there} found")
            if chunk.size % align:
                raise LayoutError(
                    f"the header is damaged: {chunk.size} bytes of sound are no multiple of {align}"
                )
            return Layout()
        start += max(24, -(-size // 8) * 8)
    return Layout()
