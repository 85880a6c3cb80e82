"""What the loaders of recorded corpora share: finding files, their identity, errors that name the clip."""

from __future__ import annotations

import hashlib
import json
import os
from abc import abstractmethod
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

from benchmark.data.corpus import Corpus, CorpusError
from benchmark.records import write_text
from models.errors import InputError, storage_faults
from models.types import Clip


class Segment(NamedTuple):
    """A stretch of a recording: a phone, a syllable, a word or a viseme, in seconds."""

    symbol: str
    start: float
    end: float


class Recordings(Corpus):
    """Files below a root: their content is the corpus's identity, and each is a clip."""

    _root: Path
    _cache: str
    _files: Mapping[str, Path]
    """Recording by clip id, in the order of the clips."""

    @abstractmethod
    def _settings(self) -> str:
        """What prepared arrays depend on besides the files: the loader's version, how media are prepared."""

    @abstractmethod
    def _clip(self, name: str, directory: Path) -> Clip:
        """The clip of this id, to be prepared in `directory`."""

    def _sources(self) -> Sequence[Path]:
        """Every file that the clips are made from."""
        return tuple(self._files.values())

    @cached_property
    def _identity(self) -> str:
        return content_identity(self._root, self._sources(), self._settings(), Path(self._cache))

    def identity(self) -> str:
        return self._identity

    @cached_property
    def _clips(self) -> tuple[Clip, ...]:
        folder = Path(self._cache) / f"{self.name}-{self.identity()[:12]}"
        return tuple(self._clip(name, folder / name) for name in self._files)

    def clips(self) -> tuple[Clip, ...]:
        return self._clips


def require_folder(corpus: str, root: Path, expected: str) -> None:
    """Refuse a corpus that is not where it should be."""
    if not root.is_dir():
        raise CorpusError(
            f"{corpus} not found at {root}: expected {expected}; set data.root or use data=synthetic"
        )


def require_files(corpus: str, root: Path, found: Sequence[Path], expected: str) -> None:
    if not found:
        raise CorpusError(
            f"{corpus}: nothing usable in {root}: expected {expected}; set data.root or use data=synthetic"
        )


def content_identity(root: Path, files: Sequence[Path], settings: str, cache: Path) -> str:
    """SHA-256 over the files' names and contents and the settings that they are prepared with.

    Digests of files are kept in the cache and reused while size and modification time stay the same.
    """
    place = hashlib.sha256(os.fsencode(root.resolve())).hexdigest()[:16]
    known = _Digests(cache / "digests" / f"{place}.json")
    whole = hashlib.sha256(settings.encode())
    for name, path in sorted((path.relative_to(root).as_posix(), path) for path in files):
        whole.update(f"\0{name}\0{known.of(name, path)}".encode(errors="surrogateescape"))
    known.save()
    return whole.hexdigest()


class _Digests:
    """File digests by name, with the size and the time that they were taken at."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._changed = False
        try:
            self._known: dict[str, list] = json.loads(path.read_text())
        except (FileNotFoundError, ValueError):
            # A missing or torn table costs a second reading of the files, nothing else.
            self._known = {}

    def of(self, name: str, path: Path) -> str:
        try:
            state = path.stat()
            stamp = [state.st_size, state.st_mtime_ns]
            entry = self._known.get(name)
            if not entry or entry[:2] != stamp:
                with path.open("rb") as file:
                    entry = [*stamp, hashlib.file_digest(file, "sha256").hexdigest()]
                self._known[name], self._changed = entry, True
        except OSError as error:
            raise CorpusError(f"{path}: cannot be read: {error.strerror}") from error
        return str(entry[2])

    def save(self) -> None:
        if not self._changed:
            return
        with storage_faults(f"writing {self._path}"):
            write_text(self._path, json.dumps(self._known))


@contextmanager
def naming(clip: Clip) -> Iterator[None]:
    """Put the clip's id before whatever is wrong with its media."""
    try:
        yield
    except InputError as error:
        raise CorpusError(f"clip {clip.id}: {error}") from error


ENOUGH = 20
"""Clips of one speaker that a model can be trained and tested on."""


def fullest_speaker(clips: Sequence[Clip], enough: int = ENOUGH) -> str | None:
    """The speaker with the most clips, the first by name among equals.

    None if even these are not enough, unless there is nobody else.
    """
    counts = Counter(clip.speaker for clip in clips)
    if not counts or (len(counts) > 1 and max(counts.values()) < enough):
        return None
    return min(counts, key=lambda speaker: (-counts[speaker], speaker))
