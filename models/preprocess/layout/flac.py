"""FLAC: the number of samples in its header."""

from __future__ import annotations

from models.preprocess.layout.reading import Layout, LayoutError, Parts
from models.preprocess.layout.wave import PIPED


def announced_samples(parts: Parts) -> int:
    """Return the samples a channel that STREAMINFO announces; 0 where it leaves them open.

    Raises:
        LayoutError: there is no STREAMINFO.
    """
    place = 0
    if parts.at(0, 3) == b"ID3":
        size = parts.at(6, 4)
        place = 10 + (size[0] << 21 | size[1] << 14 | size[2] << 7 | size[3])
    magic, kind = parts.fields(">4sB", place)
    if magic != b"fLaC" or kind & 0x7F:
        raise LayoutError("damaged: no FLAC header")
    (value,) = parts.fields(">Q", place + 18)
    return value & (1 << 36) - 1


def check_flac(parts: Parts) -> Layout:
    """Read the number of samples, and note a header that does not say how long the sound is."""
    samples = announced_samples(parts)
    return Layout([] if samples else [PIPED], samples=samples or None)
