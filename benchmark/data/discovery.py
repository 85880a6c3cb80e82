"""Which files are below a folder: one routine for every command and corpus that looks for recordings.

Links are followed without running in circles, and what operating systems leave behind is passed over. The
order depends on the names alone, not on the file system, and ids are one to one.
"""

from __future__ import annotations

import hashlib
import os
import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Sequence, Set
from pathlib import Path

from models.errors import InputError

LEFTOVERS = frozenset({"__macosx", "thumbs.db", "desktop.ini", "$recycle.bin", "system volume information"})
"""Names, in lower case, of what archives and systems leave beside people's files; so are hidden ones."""
NAMED = 3
"""Problems that are named in a message."""
LONGEST_ID = 80
"""Bytes of an id: two and what is added to them make up the name of a file, of which systems allow 255."""
_UNSAFE = re.compile(r"[^\w.+-]")


def find_files(root: Path, suffixes: Sequence[str]) -> list[Path]:
    """Return the files below a folder that have one of some suffixes, in whatever case, sorted by name.

    Links are followed, but none to a folder that it lies in.

    Args:
        suffixes: in lower case, with their dot.

    Raises:
        InputError: links are broken, folders cannot be listed, or names aren't text in UTF-8; by name.
    """
    files: list[Path] = []
    problems: list[str] = []
    _walk(root, frozenset(suffixes), files, problems, ())
    if problems:
        more = f"; and {len(problems) - NAMED} more" if len(problems) > NAMED else ""
        raise InputError("; ".join(sorted(problems)[:NAMED]) + more)
    return sorted(files, key=lambda path: _sort_key(path.relative_to(root)))


def _sort_key(path: Path) -> tuple[tuple[str, str], ...]:
    return tuple((composed(part), part) for part in path.parts)


def _walk(
    folder: Path,
    suffixes: Set[str],
    files: list[Path],
    problems: list[str],
    above: tuple[tuple[int, int], ...],
) -> None:
    """Append what is below a folder; `above` are device and inode of the folders that it lies in."""
    try:
        state = folder.stat()
        place = (state.st_dev, state.st_ino)
        with os.scandir(folder) as entries:
            listed = [] if place in above else list(entries)
    except OSError as error:
        problems.append(f"{printable(folder)}: this folder cannot be read ({error.strerror})")
        return
    for entry in listed:
        if entry.name.startswith(".") or entry.name.lower() in LEFTOVERS:
            continue
        path = folder / entry.name
        if _is_folder(entry):
            _walk(path, suffixes, files, problems, (*above, place))
        elif path.suffix.lower() in suffixes:
            problem = _problem(entry)
            if problem:
                problems.append(f"{printable(path)}: {problem}")
            else:
                files.append(path)


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:
        # A link in a circle; whether it matters is seen by its suffix.
        return False


def _problem(entry: os.DirEntry[str]) -> str:
    """What keeps a file from being read at all; empty where nothing does."""
    path = Path(entry.path)
    try:
        regular = entry.is_file()
    except OSError:
        regular = False
    if not regular:
        return f"a broken link to {printable(path.readlink())}" if entry.is_symlink() else "no regular file"
    try:
        entry.name.encode()
    except UnicodeEncodeError:
        return "its name isn't text in UTF-8: rename it"
    return ""


def printable(path: str | Path) -> str:
    """Return a path as text that can be printed and written, whatever bytes are in it."""
    return os.fsencode(path).decode(errors="backslashreplace")


def composed(text: str) -> str:
    """Return a text as NFC, so that a name is equal to itself however its characters were composed."""
    return unicodedata.normalize("NFC", text)


def stem_of(root: Path, path: Path) -> str:
    """Return a file's path below a folder without its suffix, parted by slashes, composed as NFC."""
    return composed(path.relative_to(root).with_suffix("").as_posix())


def ids_of(root: Path, paths: Iterable[Path]) -> dict[str, Path]:
    """Return files by id: a plain file name that no two have, even where case is ignored.

    An id is the path below the root without suffix, slashes replaced by _ and other marks by -. Those that
    would share one, or are longer than `LONGEST_ID`, carry a part of the digest of their path.

    Raises:
        InputError: two files differ in nothing but their suffix or the composition of their characters.
    """
    stems: dict[str, Path] = {}
    for path in paths:
        stem = stem_of(root, path)
        if stem in stems:
            both = f"{printable(stems[stem])} and {printable(path)}"
            raise InputError(
                f"{both} differ only in their suffix or spelling; expected one recording of a name"
            )
        stems[stem] = path
    plain = {stem: _UNSAFE.sub("-", stem.replace("/", "_")).lstrip(".") or "clip" for stem in stems}
    shared = Counter(name.casefold() for name in plain.values())
    ids: dict[str, Path] = {}
    for stem, name in plain.items():
        digest = hashlib.sha256(stem.encode()).hexdigest()[:8]
        short = name.encode()[:LONGEST_ID].decode(errors="ignore")
        unique = name if shared[name.casefold()] == 1 and short == name else f"{short}-{digest}"
        ids[unique] = stems[stem]
    if len(ids) < len(stems):
        raise InputError(
            f"{printable(root)}: two recordings have names that cannot be told apart; rename one"
        )
    return ids
