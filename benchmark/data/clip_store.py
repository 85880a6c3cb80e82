"""Prepared clips on disk: one folder a clip, one `.npy` a modality, there whole or not at all.

Arrays are written into a hidden sibling folder, flushed to the disk, and appear by one rename. Two processes
may prepare the same clip: the first rename wins, the other's work is dropped. A writer holds a lock on its
hidden folder, so that the remains of a killed writer can be told from work in progress and are removed.

Every array carries a digest (`models.sealed`). A damaged one is set aside in `.<clip>.damaged-<n>` and made
again.
"""

from __future__ import annotations

import errno
import fcntl
import logging
import os
import secrets
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

import numpy as np

from models.errors import NO_SPACE, DamagedFile, StorageError
from models.files import sync
from models.numerics import array_numerics
from models.sealed import check_sealed, place_of, write_sealed

LOG = logging.getLogger("evp_bench")
"""What is said here reaches the display of a suite, or stderr."""


def corpus_folder(cache: Path | str, name: str, identity: str) -> Path:
    """Return where a corpus's prepared clips lie: another folder for other contents or other numerics."""
    return Path(cache) / f"{name}-{identity[:12]}-{array_numerics().digest[:8]}"


def holds(directory: Path, *names: str) -> bool:
    """Return whether the clip's folder is there with all the named arrays, undamaged.

    A damaged array is set aside, so that it can be made again, see `set_aside`.
    """
    if not directory.is_dir():
        if os.path.lexists(directory):
            set_aside(directory, directory, "is no folder")
        return False
    # Every array is looked at, so that all damage is set aside at once.
    sound = [_is_sound(directory / f"{name}.npy") for name in names]
    return all(sound)


def _is_sound(path: Path) -> bool:
    if not os.path.lexists(path):
        return False
    try:
        check_sealed(path)
    except DamagedFile as damage:
        set_aside(path, path.parent, damage.reason)
        return False
    return True


def set_aside(path: Path, directory: Path, reason: str) -> None:
    """Move a damaged file out of a clip's folder into a hidden folder beside it, and say so in the log."""
    for number in range(1000):
        place = directory.with_name(f".{directory.name}.damaged-{number}")
        try:
            place.mkdir(parents=True)
            path.rename(place / path.name)
        except FileExistsError:
            continue
        except FileNotFoundError:
            # Another process was faster.
            with suppress(OSError):
                place.rmdir()
            return
        except OSError as error:
            raise StorageError(_explain(error, place)) from error
        LOG.warning(
            "prepared clip %s: %s %s; it was moved to %s and is made again",
            directory.name,
            path.name,
            reason,
            place,
        )
        return
    raise StorageError(f"{directory} was damaged a thousand times: check the disk")


def publish(directory: Path, arrays: Mapping[str, np.ndarray]) -> None:
    """Make `directory` with one `<name>.npy` for each array; does nothing for arrays that are there already.

    A folder that exists gains what it lacks, array by array, each whole and in the order given.

    Raises:
        StorageError: the disk is full or the folder cannot be written; nothing was published.
        ValueError: an array holds objects, or its name is not a plain file name.
    """
    _check(arrays)
    if directory.is_dir() and holds(directory, *arrays):
        return
    try:
        directory.parent.mkdir(parents=True, exist_ok=True)
        with _hidden_sibling(directory) as hidden:
            for name, array in arrays.items():
                file = f"{name}.npy"
                write_sealed(hidden / file, array, place_of(directory / file))
            sync(hidden)
            _move(hidden, directory)
        sync(directory.parent)
    except OSError as error:
        raise StorageError(_explain(error, directory)) from error


def _check(arrays: Mapping[str, np.ndarray]) -> None:
    if not arrays:
        raise ValueError("nothing to publish: no arrays given")
    for name, array in arrays.items():
        if not name or name != Path(name).name or name.startswith("."):
            raise ValueError(f"array name {name!r} is not a plain file name")
        if array.dtype.hasobject:
            raise ValueError(f"array {name} holds Python objects ({array.dtype}); give numbers or strings")


def _move(hidden: Path, directory: Path) -> None:
    """Let the hidden folder become `directory`, or hand over what a folder there lacks."""
    try:
        hidden.replace(directory)
    except OSError as error:
        if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
            raise
        for file in sorted(hidden.iterdir(), key=lambda path: path.stat().st_mtime_ns):
            if not (directory / file.name).is_file():
                file.replace(directory / file.name)
        sync(directory)


@contextmanager
def _hidden_sibling(directory: Path) -> Iterator[Path]:
    """A new locked folder beside `directory`; whatever is left of it at the end is removed."""
    _remove_abandoned(directory)
    hidden, lock = _locked_folder(directory)
    try:
        yield hidden
    finally:
        shutil.rmtree(hidden, ignore_errors=True)
        os.close(lock)


def _locked_folder(directory: Path) -> tuple[Path, int]:
    while True:
        hidden = directory.parent / f".{directory.name}.{secrets.token_hex(6)}.tmp"
        hidden.mkdir()
        try:
            lock = os.open(hidden, os.O_RDONLY)
        except FileNotFoundError:
            continue
        fcntl.flock(lock, fcntl.LOCK_EX)
        # A cleaner may have taken the folder for abandoned between its making and its locking.
        if hidden.is_dir():
            return hidden, lock
        os.close(lock)


def _remove_abandoned(directory: Path) -> None:
    for path in directory.parent.glob(f".{_literal(directory.name)}.*.tmp"):
        try:
            lock = os.open(path, os.O_RDONLY)
        except FileNotFoundError:
            continue
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(path, ignore_errors=True)
        except BlockingIOError:
            continue
        finally:
            os.close(lock)


def _literal(name: str) -> str:
    return "".join(f"[{c}]" if c in "*?[" else c for c in name)


def _explain(error: OSError, directory: Path) -> str:
    if error.errno in NO_SPACE:
        return f"no space left while writing {directory}: free some, or set cache to a folder on another disk"
    return f"cannot write {directory}: {error.strerror or error}; set cache to a folder that can be written"
