"""Outputs: checked before the work that fills them, and filled so that a reader never sees half of one."""

from __future__ import annotations

import errno
import fcntl
import hashlib
import os
import secrets
import shutil
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from models.errors import NO_SPACE, InputError, StorageError

FRESH = ".new"
"""Hidden folder inside of a folder that is being filled; whoever holds the folder's lock may remove it."""
PROBE_BYTES = 4096
ROOM_BYTES = 1_000_000
"""Less than that is no room for anything that is written here."""
SHARED_MEMORY = Path("/dev/shm")


def check_output_folder(folder: Path, option: str) -> None:
    """Refuse a folder in which no file can be written, before there is anything to write.

    A folder that does not exist yet can be used if it can be made. Writing is the only test: permission bits
    mean nothing to root and do not show mounts that are read-only.

    Raises:
        InputError: the folder, or one above it, is something else.
        StorageError: nothing can be written there.
    """
    place = folder
    while not place.is_dir():
        if place.is_symlink():
            raise InputError(f"{option}: {place} is a link that leads nowhere; expected a folder")
        if os.path.lexists(place):
            raise InputError(f"{option}: expected a folder, but {place} is a file")
        if place == place.parent:
            break
        place = place.parent
    _probe(place, option, folder)


def check_output_file(path: Path, option: str, *, make_folders: bool = False) -> None:
    """Refuse a file that cannot be written, before there is anything to write.

    Raises:
        InputError: it is a folder, or there is no folder that it would lie in.
        StorageError: it cannot be written.
    """
    if path.is_dir() or path.name == "..":
        raise InputError(f"{option}: {path} is a folder; expected the name of a file")
    if not make_folders and not path.parent.is_dir():
        raise InputError(f"{option}: there is no folder {path.parent}: make it first")
    if os.path.lexists(path) and not path.is_file():
        if not path.exists():
            raise InputError(f"{option}: {path} is a link that leads nowhere; expected a file")
        _open_for_writing(path, option)
        return
    check_output_folder(path.parent, option)
    if path.exists():
        # One that is immutable or mounted cannot be replaced, though its folder can be written.
        _open_for_writing(path, option)


def _open_for_writing(path: Path, option: str) -> None:
    try:
        os.close(os.open(path, os.O_WRONLY | os.O_APPEND | os.O_NONBLOCK))
    except OSError as error:
        raise StorageError(f"{option}: {path} cannot be written: {error.strerror}") from error


def full_place(places: Iterable[Path]) -> Path | None:
    """Return the first of some folders, those of temporary files among them, that has no space left."""
    for place in (*places, Path(tempfile.gettempdir()), SHARED_MEMORY):
        try:
            room = os.statvfs(place)
        except OSError:
            continue
        if room.f_bavail * room.f_frsize < ROOM_BYTES:
            return place
    return None


def _probe(place: Path, option: str, folder: Path) -> None:
    try:
        with tempfile.TemporaryFile(dir=place) as file:
            file.write(bytes(PROBE_BYTES))
            file.flush()
    except OSError as error:
        if error.errno in NO_SPACE:
            raise StorageError(f"{option}: no space left in {place}: free some") from error
        raise StorageError(f"{option}: nothing can be written to {folder}: {error.strerror}") from error


def write_output(path: Path, text: str) -> None:
    """Write a file that was checked: replaced as a whole, or written into if it is a device or a pipe."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.exists() and not path.is_file():
        path.write_text(text, encoding="utf-8")
        return
    replace_text(path.resolve(), text)


def replace_text(path: Path, text: str) -> None:
    """Write a text file whole or not at all."""
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8", newline="\n")


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield a new hidden file that takes the place of `path` as a whole, unless something fails.

    What is written to it is on the disk before it is renamed: after a power cut the old or the new is there.
    It is locked, which tells it from one whose writer was killed.
    """
    remove_leftovers(path)
    while True:
        temporary = path.with_name(f".{_stem(path)}.{secrets.token_hex(6)}.tmp")
        with temporary.open("xb") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            if not temporary.exists():
                # `remove_leftovers` of another process came between the two.
                continue
            try:
                yield temporary
                sync(temporary)
                replace_file(temporary, path)
            finally:
                temporary.unlink(missing_ok=True)
            return


def remove_leftovers(path: Path) -> None:
    """Remove temporary files beside a file whose writers were killed."""
    for leftover in path.parent.glob(f".{_stem(path)}.*.tmp"):
        # Another process may remove it at the same time, or still write it.
        with suppress(OSError), leftover.open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            leftover.unlink()


def _stem(path: Path) -> str:
    """Return what temporary files of a file are called by: short, so that they fit wherever the file does."""
    return hashlib.blake2b(os.fsencode(path.name), digest_size=6).hexdigest()


def file_digest(path: Path) -> str:
    """Return a file's BLAKE2b digest of 20 bytes, in hexadecimal."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, lambda: hashlib.blake2b(digest_size=20)).hexdigest()


def contents_digest(path: Path) -> dict[str, str]:
    """Return the digest by relative name of a file, or of all files below a folder; empty for neither."""
    if path.is_file():
        return {path.name: file_digest(path)}
    return {str(p.relative_to(path)): file_digest(p) for p in sorted(path.rglob("*")) if p.is_file()}


def sync(path: Path) -> None:
    """Flush a file, or the entries of a folder, to the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def publish_folder(source: Path, target: Path) -> None:
    """Let a folder appear under another name of the same file system, with all that is in it on the disk."""
    for path in (*source.rglob("*"), source):
        sync(path)
    source.rename(target)
    sync(target.parent)


@contextmanager
def filled_folder(target: Path, *, last: str, prune: bool = False) -> Iterator[Path]:
    """Yield an empty folder whose files replace those of `target` at the end, unless something fails.

    Files are replaced one by one: `target` may be a mount point or a link, which cannot be renamed, and it is
    never missing. The caller holds the folder's lock.

    Args:
        target: is made if it is missing.
        last: the file that readers open, which names the others: replaced when they are there.
        prune: whether to remove the files of `target` that the new folder lacks.
    """
    made = not target.exists()
    target.mkdir(parents=True, exist_ok=True)
    fresh = target / FRESH
    shutil.rmtree(fresh, ignore_errors=True)
    fresh.mkdir()
    try:
        yield fresh
        names = _fill(fresh, target, last)
        if prune:
            _remove_others(target, names)
    finally:
        shutil.rmtree(fresh, ignore_errors=True)
        if made:
            with suppress(OSError):
                target.rmdir()


def _fill(fresh: Path, target: Path, last: str) -> set[Path]:
    """Move all files, and return their relative names."""
    names = sorted(p.relative_to(fresh) for p in fresh.rglob("*") if p.is_file())
    for name in sorted(names, key=lambda name: name == Path(last)):
        (target / name).parent.mkdir(parents=True, exist_ok=True)
        sync(fresh / name)
        replace_file(fresh / name, target / name)
    return set(names)


def _remove_others(target: Path, names: set[Path]) -> None:
    for path in sorted(target.rglob("*"), reverse=True):
        if path.is_dir() and not path.is_symlink():
            with suppress(OSError):
                path.rmdir()
        elif path.relative_to(target) not in names:
            path.unlink(missing_ok=True)


def replace_file(source: Path, target: Path) -> None:
    """Let a file take the place of another one in one step, on another file system by way of a copy.

    A target that cannot be renamed over, as a file that is mounted, is written into: that is no single step,
    and there is none that would do it.
    """
    try:
        source.replace(target)
        return
    except OSError as error:
        if error.errno not in (errno.EXDEV, errno.EBUSY):
            raise
        busy = error.errno == errno.EBUSY
    if busy:
        shutil.copyfile(source, target)
        sync(target)
    else:
        copy_file(source, target)
    source.unlink(missing_ok=True)


def copy_file(source: Path, target: Path) -> None:
    """Copy a file whole or not at all."""
    with replacing(target) as copy:
        shutil.copyfile(source, copy)
