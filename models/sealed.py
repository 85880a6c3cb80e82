"""Arrays on disk that carry a digest: `.npy` files with a seal behind the data, which others pass over.

The seal is the digest of the file's place (its own name and those of the two folders above it) and of all
that comes before, so a file that was cut, changed, emptied or exchanged with another one is told from what
was written. A file is checked when a process reads it first, and again whenever it has changed since.
"""

from __future__ import annotations

import hashlib
import io
import os
from pathlib import Path
from typing import NamedTuple

import numpy as np

from models.errors import DamagedFile

MARK = b"\x93SEALED1"
"""Begins the seal."""
DIGEST_SIZE = 32
SEAL_SIZE = len(MARK) + DIGEST_SIZE
_BLOCK = 1 << 20


class Stamp(NamedTuple):
    """What changes whenever a file is written to or replaced."""

    inode: int
    size: int
    modified: int
    changed: int

    @staticmethod
    def of(path: Path) -> Stamp:
        state = path.stat()
        return Stamp(state.st_ino, state.st_size, state.st_mtime_ns, state.st_ctime_ns)


_checked: dict[Path, Stamp] = {}
"""Files that this process found undamaged."""
_read: dict[Path, Stamp] = {}
"""Files that were read since `forget_readings`."""


def write_sealed(path: Path, array: np.ndarray, place: str | None = None) -> None:
    """Write an array and its seal, and flush them to the disk.

    Args:
        place: where the file will be read from, see `place_of`, if it is to be moved there.

    Raises:
        OSError: it could not be written.
    """
    # Not np.save: it reports a full disk as an OSError without an error number.
    array = np.asarray(array, order="C")
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(header, np.lib.format.header_data_from_array_1_0(array))
    data = array.tobytes() if array.nbytes < 4096 else array.data.cast("B")
    digest = _begun(place or place_of(path))
    with path.open("wb") as file:
        for part in (header.getvalue(), data):
            file.write(part)
            digest.update(part)
        file.write(MARK + digest.digest())
        file.flush()
        os.fsync(file.fileno())


def place_of(path: Path) -> str:
    """Return what the seal says of where a file lies: the same wherever the whole cache is moved."""
    return "/".join(path.absolute().parts[-3:])


def read_sealed(path: Path) -> np.ndarray:
    """Return the array, memory-mapped read-only.

    Raises:
        DamagedFile: it is missing or not what was written.
    """
    check_sealed(path)
    try:
        array = np.load(path, mmap_mode="r", allow_pickle=False)
        _read.setdefault(path, _checked[path])
    except (OSError, ValueError, EOFError, KeyError) as error:
        raise DamagedFile(path, f"cannot be read: {error}") from error
    return array


def check_sealed(path: Path) -> None:
    """Compare a file with its seal, unless this process has done so and the file has not changed since.

    Raises:
        DamagedFile: it is missing or not what was written.
    """
    try:
        stamp = Stamp.of(path)
        if _checked.get(path) == stamp:
            return
        reason = _damage(path)
    except FileNotFoundError as error:
        raise DamagedFile(path, "is missing") from error
    except IsADirectoryError as error:
        raise DamagedFile(path, "is a folder") from error
    if reason is not None:
        raise DamagedFile(path, reason)
    _checked[path] = stamp


def _damage(path: Path) -> str | None:
    with path.open("rb") as file:
        left = os.fstat(file.fileno()).st_size - SEAL_SIZE
        if left < 0:
            return "is empty" if left == -SEAL_SIZE else "is cut off"
        digest = _begun(place_of(path))
        while left > 0 and (block := file.read(min(_BLOCK, left))):
            digest.update(block)
            left -= len(block)
        seal = file.read()
    if not seal.startswith(MARK):
        return "is cut off, or has no digest"
    return None if seal == MARK + digest.digest() else "is not what was written"


def _begun(place: str) -> hashlib.blake2b:
    return hashlib.blake2b(place.encode(errors="surrogateescape") + b"\0", digest_size=DIGEST_SIZE)


def forget_readings() -> None:
    """Begin a piece of work, at whose end `check_readings` is called."""
    _read.clear()


def check_readings() -> None:
    """Check that all files that were read since `forget_readings` are still the same.

    Mapped files are read when their pages are touched, which may be after they were checked.

    Raises:
        DamagedFile: one was changed or replaced meanwhile.
    """
    for path, stamp in _read.items():
        try:
            now = Stamp.of(path)
        except OSError as error:
            raise DamagedFile(path, "has vanished while it was read") from error
        if now == stamp:
            continue
        if now.inode != stamp.inode:
            raise DamagedFile(path, "was replaced while it was read")
        check_sealed(path)
