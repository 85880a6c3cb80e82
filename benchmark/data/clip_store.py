"""Prepared clips on disk: one folder a clip, one `.npy` a modality, there whole or not at all.

Arrays are written into a hidden sibling folder, flushed to the disk, and appear by one rename. Two processes
may prepare the same clip: the first rename wins, the other's work is dropped. A writer holds a lock on its
hidden folder, so that the remains of a killed writer can be told from work in progress and are removed.
"""

from __future__ import annotations

import errno
import fcntl
import os
import secrets
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from models.errors import NO_SPACE, StorageError


def holds(directory: Path, *names: str) -> bool:
    """Whether the clip's folder is there with all the named arrays."""
    return all((directory / f"{name}.npy").is_file() for name in names)


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
                _write(hidden / f"{name}.npy", array)
            _sync_folder(hidden)
            _move(hidden, directory)
        _sync_folder(directory.parent)
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


def _write(path: Path, array: np.ndarray) -> None:
    # Not np.save: it reports a full disk as an OSError without an error number.
    array = np.asarray(array, order="C")
    with path.open("wb") as file:
        np.lib.format.write_array_header_1_0(file, np.lib.format.header_data_from_array_1_0(array))
        file.write(array.tobytes() if array.nbytes < 4096 else array.data.cast("B"))
        file.flush()
        os.fsync(file.fileno())


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
        _sync_folder(directory)


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


def _sync_folder(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _explain(error: OSError, directory: Path) -> str:
    if error.errno in NO_SPACE:
        return f"no space left while writing {directory}: free some, or set cache to a folder on another disk"
    return f"cannot write {directory}: {error.strerror or error}; set cache to a folder that can be written"
