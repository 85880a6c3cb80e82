"""What the loaders of recorded corpora share: finding files, their identity, and which cannot be used.

A recording may be unusable: truncated, silent, without a face. What headers, packets and the sound tell is
found by `Recordings.inspect` before the work; what only preparation can tell (a face that is not there) is
remembered beside the prepared clips. `benchmark.preparation` decides what follows.
"""

from __future__ import annotations

import errno
import hashlib
import inspect
import json
import os
import time
from abc import abstractmethod
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np

from benchmark.data.clip_store import corpus_folder, holds, publish
from benchmark.data.corpus import Corpus, CorpusError
from benchmark.names import few
from benchmark.records import write_text
from benchmark.training.stage_cache import digest_of
from models.audio.framing import SAMPLE_RATE
from models.errors import InputError, storage_faults
from models.numerics import array_numerics
from models.preprocess.decoder import shared_decoder
from models.preprocess.faces import FaceDetector
from models.preprocess.media import DecodingFailure
from models.preprocess.pipeline import NOTES, fit_separate, fit_sound
from models.sealed import read_sealed
from models.types import Clip

SETTLED_NS = 2_000_000_000
"""Nanoseconds after which a change of a file is sure to show in its times; the coarsest count two seconds."""
Unusable = Literal["refuse", "skip"]
"""What to do with recordings that cannot be used: stop before the work and name them, or leave them out."""
MIN_SECONDS = 0.4
"""Shortest recording: ten video frames. Below that, velocities and the networks' windows see padding only."""
UNREADABLE = "unreadable: "
"""Begins what stands for the digest of a file that cannot be read."""
MISSING = f"{UNREADABLE}{os.strerror(errno.ENOENT)}"
"""What stands for the digest of a file that is not there."""
SILENCE = 2.0**-12
"""Span of a waveform in [-1, 1] up to which it holds no sound: a few steps of 16-bit dither."""


class UnusableRecording(CorpusError):
    """A recording that cannot be used, though the rest of its corpus can.

    Args:
        lasting: the file is to blame; else another try may succeed.
    """

    def __init__(self, clip_id: str, reason: str, *, lasting: bool = True) -> None:
        super().__init__(f"clip {clip_id}: {reason}")
        self.clip_id, self.reason, self.lasting = clip_id, reason, lasting


NAMED = 3
"""Clips that a note names."""


class Segment(NamedTuple):
    """A stretch of a recording: a phone, a syllable, a word or a viseme, in seconds."""

    symbol: str
    start: float
    end: float


class Verdict(NamedTuple):
    """What inspection says of a recording."""

    reason: str = ""
    """Why it cannot be used; empty where it can."""
    remark: str = ""
    """What the loader has seen in it and needs for its notes."""


@dataclass(frozen=True)
class Inspection:
    """What headers, packets and sounds tell of a corpus's recordings."""

    unusable: Mapping[str, str]
    """Reason by recording, for those that cannot be used."""
    notes: tuple[str, ...] = ()
    """What a reader of the scores must know of the others, in sentences."""


class Recordings(Corpus):
    """Files below a root: their content is the corpus's identity, and each is a clip.

    A recording is named by its path below the root.
    """

    unusable: Unusable = "refuse"
    _root: Path
    _cache: str
    _files: Mapping[str, Path]
    """Recording by clip id, in the order of the clips."""
    _detector: FaceDetector | None = None
    """Finds the landmarks of video; None for a corpus of speech."""
    _left_out: Sequence[Path] = ()
    """Recordings that are no clips, as they cannot be used. They stay part of the identity, so that leaving
    one out does not let the others be prepared again."""

    def recording(self, clip_id: str) -> str:
        """Return the name of the recording that a clip is made from."""
        return self._files[clip_id].relative_to(self._root).as_posix()

    def holds_clip(self, clip_id: str) -> bool:
        return clip_id in self._files

    def _split_off(self, paths: Iterable[Path], left_out: Collection[str]) -> list[Path]:
        """Return the recordings to use, and keep those that are `left_out` for the identity."""
        names = set(left_out)
        usable: list[Path] = []
        gone: list[Path] = []
        for path in paths:
            (gone if path.relative_to(self._root).as_posix() in names else usable).append(path)
        self._left_out = tuple(gone)
        if gone and not usable:
            raise CorpusError(f"{self.name}: none of the {len(gone)} recordings in {self._root} can be used")
        return usable

    # What cannot be used

    def inspect(self, progress: Callable[[int, int], None] = lambda done, total: None) -> Inspection:
        """Check every recording without preparing it: headers, packets, lengths, and the sound.

        Verdicts are kept in the cache by the content of the files, so each file is looked at once. Those that
        may be the machine's fault are not kept.
        """
        first_clips: dict[Path, str] = {}
        for clip_id, path in self._files.items():
            first_clips.setdefault(path, clip_id)
        verdicts = _Verdicts(Path(self._cache) / "inspected" / f"{_inspection_digest()}.json")
        found: dict[str, Verdict] = {}
        for number, (path, clip_id) in enumerate(first_clips.items(), start=1):
            inputs = self._inputs(clip_id)
            name = path.relative_to(self._root).as_posix()
            contents = [self._contents.get(each, MISSING) for each in inputs]
            if any(content.startswith(UNREADABLE) for content in contents):
                verdict, _ = self._verdict(path, inputs)
            else:
                about = [type(self).__name__, path.suffix.lower(), self._circumstances(clip_id)]
                key = "\0".join([*about, *contents])
                verdict = verdicts.of(key, lambda path=path, inputs=inputs: self._verdict(path, inputs))
            found[name] = verdict
            progress(number, len(first_clips))
        verdicts.save()
        unusable = {name: verdict.reason for name, verdict in found.items() if verdict.reason}
        remarks = {name: verdict.remark for name, verdict in found.items() if not verdict.reason}
        return Inspection(unusable, self._inspection_notes(remarks))

    def _inputs(self, clip_id: str) -> tuple[Path, ...]:
        """Return the media files that a clip is made from, the recording first."""
        return (self._files[clip_id],)

    def _circumstances(self, clip_id: str) -> str:
        """Return what a verdict depends on besides the files."""
        return ""

    def _verdict(self, path: Path, inputs: tuple[Path, ...]) -> tuple[Verdict, bool]:
        """Return the verdict on a recording, and whether it lasts as long as the files stay as they are."""
        try:
            return Verdict(remark=self._check(*inputs)), True
        except InputError as error:
            reason = self._below_root(str(error).removeprefix(f"{path}: "))
            return Verdict(reason), not isinstance(error, DecodingFailure)

    def _check(self, path: Path, *others: Path) -> str:
        """Refuse a recording that cannot be used; the default is for sound alone.

        Returns:
            What `_inspection_notes` needs to know of it.

        Raises:
            InputError: saying why.
        """
        check_sound(shared_decoder().sound(path).waveform)
        return ""

    def _inspection_notes(self, remarks: Mapping[str, str]) -> tuple[str, ...]:
        """Return what a reader must know, from the remark on each usable recording."""
        return ()

    # What only preparation finds

    @property
    def _refused(self) -> Path:
        return self._folder / ".refused" / _inspection_digest()

    def remember_refusal(self, error: UnusableRecording) -> None:
        """Note that a clip could not be prepared, for the next plan."""
        place = self._refusal(error.clip_id, error.lasting)
        with storage_faults(f"writing {place.parent}"):
            write_text(place, f"{self._below_root(error.reason)}\n")

    def _refusal(self, clip_id: str, lasting: bool) -> Path:
        return (self._refused if lasting else self._refused / "passing") / f"{clip_id}.txt"

    def forget_refusals(self, clip_ids: Iterable[str], *, lasting: bool) -> None:
        """Forget what may have been the machine's fault; with `lasting` also what was the files'."""
        for clip_id in clip_ids:
            for kind in {False, lasting}:
                self._refusal(clip_id, kind).unlink(missing_ok=True)

    def refusals(self, clip_ids: Iterable[str]) -> dict[str, str]:
        """Return the reason by recording for those of these clips that could not be prepared."""
        reasons: dict[str, str] = {}
        for clip_id in clip_ids:
            for lasting in (True, False):
                note = self._refusal(clip_id, lasting)
                text = note.read_text(encoding="utf-8", errors="replace").strip() if note.is_file() else ""
                if text:
                    reasons.setdefault(self.recording(clip_id), text)
        return reasons

    def _below_root(self, text: str) -> str:
        # Reasons go into notes and manifests, which must not change when the data are moved.
        return " ".join(text.split()).replace(f"{self._root}/", "")

    @abstractmethod
    def _settings(self) -> str:
        """What prepared arrays depend on besides the files: the loader's version, how media are prepared."""

    @property
    def _modalities(self) -> tuple[str, ...]:
        """Arrays that a prepared clip has at least."""
        return ("waveform",)

    @abstractmethod
    def _arrays(self, clip: Clip) -> Mapping[str, np.ndarray]:
        """Return a clip's arrays by modality, from its files.

        Raises:
            InputError: they cannot be used.
        """

    def prepare(self, clip: Clip, *, frames: bool = True) -> None:
        """Make the clip's folder, whole or not at all; does nothing where it is there already.

        Raises:
            UnusableRecording: its files cannot be used.
            CorpusError: they changed since their identity was taken.
            StorageError: the arrays cannot be written.
        """
        if holds(clip.directory, *self._modalities):
            return
        with naming(clip):
            arrays = self._arrays(clip)
        self.check_unchanged(clip)
        publish(clip.directory, arrays)

    def check_unchanged(self, clip: Clip) -> None:
        # Under the old identity there would be arrays of other files.
        recording = self._files[clip.id]
        beside = self._detector.files(recording) if self._detector else ()
        for path in (*self._inputs(clip.id), *beside):
            if _content(path) != self._contents.get(path, MISSING):
                raise CorpusError(f"{path} changed after this run was planned: run the same command again")

    @abstractmethod
    def _clip(self, name: str, directory: Path) -> Clip:
        """The clip of this id, to be prepared in `directory`."""

    def _recordings(self) -> Sequence[Path]:
        """Return every recording once, those that are left out included."""
        return tuple(dict.fromkeys([*self._files.values(), *self._left_out]))

    def _sources(self) -> Sequence[Path]:
        """Return every file that arrays are made from: recordings, and what detectors read beside them."""
        recordings = self._recordings()
        if self._detector is None:
            return recordings
        return (*recordings, *(file for path in recordings for file in self._detector.files(path)))

    @cached_property
    def _contents(self) -> dict[Path, str]:
        """The digest of each of `_sources`, as it was when it was asked for first."""
        return contents_of(self._root, tuple(dict.fromkeys(self._sources())), Path(self._cache))

    @cached_property
    def _identity(self) -> str:
        return content_identity(self._root, self._contents, self._settings())

    def identity(self) -> str:
        return self._identity

    def content_digest(self) -> str:
        """Return a digest of the files and the clips' labels, wherever they lie and however prepared."""
        labels = [[clip.id, clip.labels()] for clip in self.clips()]
        return digest_of([content_identity(self._root, self._contents, ""), labels])

    @property
    def _folder(self) -> Path:
        """Where the prepared clips lie."""
        return corpus_folder(self._cache, self.name, self.identity())

    @cached_property
    def _clips(self) -> tuple[Clip, ...]:
        return tuple(self._clip(name, self._folder / name) for name in self._files)

    def clips(self) -> tuple[Clip, ...]:
        return self._clips


def require_folder(corpus: str, root: Path, expected: str) -> None:
    """Refuse a corpus that is not where it should be."""
    if not root.is_dir():
        raise CorpusError(
            f"{corpus} not found at {root}: expected {expected}; set data.root or use data=synthetic"
        )


def recording_notes(clips: Iterable[Clip]) -> list[str]:
    """Return what was noted of the recordings of prepared clips, in sentences; clips with one note share one.

    Raises:
        DamagedFile: the notes of a clip are not what was written.
    """
    clip_ids: dict[str, list[str]] = {}
    for clip in {clip.id: clip for clip in clips}.values():
        path = clip.directory / f"{NOTES}.npy"
        if path.is_file():
            for note in str(read_sealed(path)[0]).splitlines():
                clip_ids.setdefault(note, []).append(clip.id)
    sentences = []
    for note, ids in clip_ids.items():
        sentences.append(f"Of recordings ({few(ids, NAMED)}): {note}.")
    return sentences


def require_files(corpus: str, root: Path, found: Sequence[Path], expected: str) -> None:
    if not found:
        raise CorpusError(
            f"{corpus}: nothing usable in {root}: expected {expected}; set data.root or use data=synthetic"
        )


def contents_of(root: Path, files: Sequence[Path], cache: Path) -> dict[Path, str]:
    """Return the digest of each of some files below a root.

    Digests are kept in the cache and reused while files stay as they are, see `_Digests`.
    """
    known = _Digests.of_root(root, cache)
    contents = {path: known.of(path.relative_to(root).as_posix(), path) for path in files}
    known.save()
    return contents


def content_identity(root: Path, contents: Mapping[Path, str], settings: str) -> str:
    """Return the SHA-256 of the files' names and contents and of the settings that they are prepared with."""
    whole = hashlib.sha256(settings.encode())
    for name, digest in sorted((path.relative_to(root).as_posix(), d) for path, d in contents.items()):
        whole.update(f"\0{name}\0{digest}".encode(errors="surrogateescape"))
    return whole.hexdigest()


def _content(path: Path) -> str:
    """Return a file's digest, or what stands for it where it cannot be read."""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        return f"{UNREADABLE}{error.strerror}"


class _Digests:
    """File digests by name, reused while a file's size, times and inode stay the same.

    The time of the last change of the inode is among them: a file put in the place of another has a new
    one, even if its size and its modification time are the other's.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._changed = False
        self._known = self._read()

    def _read(self) -> dict[str, list]:
        """Return the stored table; a missing or damaged one costs a second reading of the files."""
        try:
            stored = json.loads(self._path.read_bytes())
            table, seal = stored["files"], stored["digest"]
        except (OSError, ValueError, KeyError, TypeError):
            return {}
        return table if seal == digest_of(table) else {}

    @classmethod
    def of_root(cls, root: Path, cache: Path) -> _Digests:
        place = hashlib.sha256(os.fsencode(root.resolve())).hexdigest()[:16]
        return cls(cache / "digests" / f"{place}.json")

    def of(self, name: str, path: Path) -> str:
        try:
            state = path.stat()
        except OSError as error:
            # Inspection names it, together with the others that cannot be used.
            return f"{UNREADABLE}{error.strerror}"
        stamp = [state.st_size, state.st_mtime_ns, state.st_ctime_ns, state.st_ino]
        known = self._known.get(name)
        if known is not None and known[1:] == stamp:
            return str(known[0])
        digest = _content(path)
        if digest.startswith(UNREADABLE):
            return digest
        # A file that changed a moment ago may change again within the same tick of the file system's clock.
        if time.time_ns() - max(state.st_mtime_ns, state.st_ctime_ns) > SETTLED_NS:
            self._known[name], self._changed = [digest, *stamp], True
        return digest

    def save(self) -> None:
        if not self._changed:
            return
        with storage_faults(f"writing {self._path}"):
            write_text(self._path, json.dumps({"digest": digest_of(self._known), "files": self._known}))


def few_names(root: Path, paths: Sequence[Path], most: int = 5) -> str:
    """List the first files by their names below the root, and say how many more there are."""
    return few([path.relative_to(root).as_posix() for path in paths], most)


class _Verdicts:
    """Verdicts on recordings by the content of their files."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._changed = False
        try:
            table = json.loads(path.read_text())
        except (FileNotFoundError, ValueError):
            # As for digests: a missing or torn table costs a second look.
            table = {}
        self._known: dict[str, list[str]] = table if isinstance(table, dict) else {}

    def of(self, key: str, judge: Callable[[], tuple[Verdict, bool]]) -> Verdict:
        """Return the verdict that is known, or else the judge's, which is kept if it lasts."""
        digest = hashlib.sha256(key.encode()).hexdigest()
        match self._known.get(digest):
            case [str(reason), str(remark)]:
                return Verdict(reason, remark)
        verdict, lasting = judge()
        if lasting:
            self._known[digest], self._changed = list(verdict), True
        return verdict

    def save(self) -> None:
        if self._changed:
            with storage_faults(f"writing {self._path}"):
                write_text(self._path, json.dumps(self._known))


def inspecting_code() -> list[Path]:
    """Return the files of code that decide what can be read: all that read media, and the loaders."""
    media = Path(inspect.getfile(shared_decoder)).parent
    return [*sorted(media.rglob("*.py")), *sorted(Path(__file__).parent.glob("*.py"))]


@cache
def _inspection_digest() -> str:
    """Return a digest of what decides what can be read: our code, and the libraries that decode."""
    digest = hashlib.sha256(array_numerics().digest.encode())
    for path in inspecting_code():
        digest.update(path.read_bytes())
    return digest.hexdigest()[:16]


def check_sound(waveform: np.ndarray) -> None:
    """Refuse a waveform at 16 kHz that is silent or too short to say anything.

    Raises:
        InputError: saying which.
    """
    seconds = len(waveform) / SAMPLE_RATE
    if seconds < MIN_SECONDS:
        raise InputError(f"{seconds:.2f} s of sound; at least {MIN_SECONDS} s are needed")
    if np.ptp(waveform) <= SILENCE:
        raise InputError("silent: nothing is heard in it")


def check_video(path: Path, sound: Path | None = None, sound_start: float | None = None) -> int:
    """Refuse a video with sound by its packets and its sound, and return how many frames it has at 25 fps.

    Damage inside packets and faces that are not there show in preparation only.

    Args:
        sound: where the sound is, if not in the video.
        sound_start: when it begins, in seconds after the first picture; None where nobody says.

    Raises:
        InputError: saying what is wrong.
    """
    decoder = shared_decoder()
    outline = decoder.outline(path)
    track = decoder.sound(sound or path)
    check_sound(track.waveform)
    if sound is None:
        waveform = fit_sound(track.waveform, track.start - outline.start, outline.frames, path)
    else:
        waveform = fit_separate(track.waveform, sound_start, outline.frames, path)
    # What is heard may lie before or after the video.
    check_sound(waveform)
    return outline.frames


@contextmanager
def naming(clip: Clip) -> Iterator[None]:
    """Put the clip's id before whatever is wrong with its media."""
    try:
        yield
    except UnusableRecording:
        raise
    except InputError as error:
        lasting = not isinstance(error, DecodingFailure)
        raise UnusableRecording(clip.id, str(error), lasting=lasting) from error


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
