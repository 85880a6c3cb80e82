"""GRID (Cooke et al. 2006): short commands by 34 speakers, video with sound, no emotions.

Layout: `s1/bbaf2n.mpg` (also `s1/video/bbaf2n.mpg` or `s1/video/mpg_6000/...`) and `s1/align/bbaf2n.align`,
or one flat folder. A file's name is its sentence, letter by letter: verb, colour, preposition, letter, digit,
adverb. In a flat folder a prefix such as `id2_vcd_` names the speaker; a file without one counts as a speaker
of its own, as nothing says who it is. Every clip has 75 frames: another count is a damaged file.

The methods are made for one person. Where nobody has enough clips for that, every clip is cut into pieces of
which some train and others test: the face is known, the words are not, but light, clothes and posture are.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import numpy as np

from benchmark.data.corpus import CorpusError
from benchmark.data.discovery import find_files
from benchmark.data.parametric import synthetic_heads, synthetic_heads_identity
from benchmark.data.recordings import (
    ENOUGH,
    Recordings,
    Segment,
    Unusable,
    check_video,
    fullest_speaker,
    require_files,
    require_folder,
)
from models.audio.framing import FRAMES_PER_SECOND, SAMPLES_PER_FRAME
from models.preprocess.faces import FaceDetector
from models.preprocess.people import DEFAULT_FACE
from models.preprocess.pipeline import NOTES, Preprocess
from models.types import Clip

VERSION = 1
FRAMES = 75
PIECES = 4
"""Parts of a clip where nobody has enough whole ones: the shortest that give a landmark sequence each."""
EXPECTED = "s1/bbaf2n.mpg, ... or bbaf2n.mpg, ..."
ALIGN_RATE = 25_000
"""Units of the .align files per second."""
WORDS = (
    {"b": "bin", "l": "lay", "p": "place", "s": "set"},
    {"b": "blue", "g": "green", "r": "red", "w": "white"},
    {"a": "at", "b": "by", "i": "in", "w": "with"},
    {letter: letter for letter in "abcdefghijklmnopqrstuvxyz"},
    {"z": "zero", "1": "one", "2": "two", "3": "three", "4": "four"}
    | {"5": "five", "6": "six", "7": "seven", "8": "eight", "9": "nine"},
    {"a": "again", "n": "now", "p": "please", "s": "soon"},
)
_STEM = re.compile(r"(?:(?P<speaker>[A-Za-z0-9]+)_(?:[a-z]+_)*)?(?P<code>[a-z]{4}[a-z0-9][a-z])")


class _Part(NamedTuple):
    """A clip of the corpus, or a piece of one."""

    name: str
    of: str
    label: str
    """Which piece of how many; empty for a whole clip."""
    start: int
    end: int
    """In frames."""


class Grid(Recordings):
    """The recordings at `root`, prepared with the given landmark detector.

    Args:
        frame_size: side of the prepared frames in pixels.
        face: whose face where several people are in the picture: `largest`, `left`, `right`, or a number from
            the left.
        pieces: cut every clip into so many, each with a text of its own. 1 leaves them whole; None does so
            where a speaker has twenty clips, and cuts into four where nobody has.
    """

    name = "grid"
    description = "GRID: video of speakers reading short commands without emotion (Cooke et al., 2006)."
    emotions: tuple[str, ...] = ()
    has_frames = True

    def __init__(
        self,
        *,
        root: str,
        cache: str,
        detector: FaceDetector,
        frame_size: int = 128,
        face: str | int = DEFAULT_FACE,
        pieces: int | None = None,
        unusable: Unusable = "refuse",
        left_out: Sequence[str] = (),
    ) -> None:
        if pieces is not None and not 1 <= pieces <= FRAMES:
            raise CorpusError(f"data.pieces: expected null or 1 to {FRAMES}, got {pieces}")
        self._root = Path(root)
        self._cache = cache
        self._detector = detector
        self._preprocess = Preprocess(detector=detector, size=frame_size, face=face)
        self.unusable = unusable
        require_folder("GRID", self._root, EXPECTED)
        every: dict[str, Path] = {}
        for path in find_files(self._root, (".mpg", ".mp4", ".avi")):
            if spoken_words(path.stem):
                every.setdefault(f"{self._speaker(path)}_{_code(path.stem)}", path)
        require_files("GRID", self._root, tuple(every.values()), EXPECTED)
        usable = set(self._split_off(every.values(), left_out))
        whole = {name: path for name, path in every.items() if path in usable}
        most = max(Counter(map(self._speaker, whole.values())).values())
        self._pieces = pieces or (1 if most >= ENOUGH else PIECES)
        self._part = {part.name: part for part in self._parts(whole)}
        self._files = {name: whole[part.of] for name, part in self._part.items()}
        self.default_subject = fullest_speaker(self.clips(), ENOUGH if self._pieces == 1 else 0)
        if self._pieces > 1:
            why = f"no speaker has {ENOUGH}" if pieces is None else "data.pieces asks for it"
            self.notes = (
                f"grid's clips are cut into {self._pieces} pieces ({why}): the test pieces are unseen, but "
                "come from the recordings of the training pieces, so face, light and clothes are known.",
            )

    def _parts(self, whole: Iterable[str]) -> Iterator[_Part]:
        ends = [round(FRAMES * k / self._pieces) for k in range(self._pieces + 1)]
        for name in whole:
            if self._pieces == 1:
                yield _Part(name, name, "", 0, FRAMES)
                continue
            for number, (start, end) in enumerate(pairwise(ends), start=1):
                label = f"{number}of{self._pieces}"
                yield _Part(f"{name}-{label}", name, label, start, end)

    def _settings(self) -> str:
        cut = f" in {self._pieces} pieces" if self._pieces > 1 else ""
        return f"grid v{VERSION} {self._preprocess.identity()}{cut}"

    def _clip(self, name: str, directory: Path) -> Clip:
        path, label = self._files[name], self._part[name].label
        text = " ".join(spoken_words(path.stem))
        return Clip(
            id=name,
            speaker=self._speaker(path),
            sentence=f"{_code(path.stem)}-{label}" if label else _code(path.stem),
            emotion=None,
            intensity=1,
            directory=directory,
            text=f"{text} ({label.replace('of', ' of ')})" if label else text,
        )

    @property
    def _modalities(self) -> tuple[str, ...]:
        return ("waveform", "landmarks", "frames", NOTES)

    def _arrays(self, clip: Clip) -> Mapping[str, np.ndarray]:
        path, part = self._files[clip.id], self._part[clip.id]
        arrays = self._preprocess.video(path)
        _check_length(path, len(arrays["frames"]))
        sound = slice(part.start * SAMPLES_PER_FRAME, part.end * SAMPLES_PER_FRAME)
        pieces = {name: arrays[name][part.start : part.end] for name in ("landmarks", "frames")}
        return {**arrays, "waveform": arrays["waveform"][sound], **pieces}

    def _check(self, path: Path, *others: Path) -> str:
        _check_length(path, check_video(path))
        return ""

    def words(self, clip: Clip) -> list[Segment]:
        """The corpus's own word times, of a piece those that begin in it, from the piece's start.

        Raises:
            CorpusError: there is no .align file for the clip, or it cannot be read.
        """
        path = self._files[clip.id]
        name = f"{_code(path.stem)}.align"
        places = [folder / name for parent in path.parents[:3] for folder in (parent, parent / "align")]
        file = next((place for place in places if place.is_file()), None)
        if file is None:
            raise CorpusError(f"clip {clip.id}: no {name} beside {path}; it comes with GRID's alignments")
        try:
            rows = [line.split() for line in file.read_text("utf-8-sig").splitlines() if line.strip()]
            words = [Segment(word, int(a) / ALIGN_RATE, int(b) / ALIGN_RATE) for a, b, word in rows]
        except ValueError as error:
            raise CorpusError(f"{file}: expected lines of start, end and word: {error}") from error
        part = self._part[clip.id]
        start, end = part.start / FRAMES_PER_SECOND, part.end / FRAMES_PER_SECOND
        return [
            word._replace(start=word.start - start, end=min(word.end, end) - start)
            for word in words
            if start <= word.start < end
        ]

    def heads(self) -> np.ndarray:
        return synthetic_heads()

    def heads_identity(self) -> str:
        return synthetic_heads_identity()

    def _speaker(self, path: Path) -> str:
        folders = [part for part in path.relative_to(self._root).parts[:-1] if re.fullmatch(r"s\d+", part)]
        if folders:
            return folders[0]
        match = _STEM.fullmatch(path.stem)
        assert match is not None
        return match["speaker"] or f"of-{match['code']}"


def _check_length(path: Path, frames: int) -> None:
    if frames != FRAMES:
        raise CorpusError(f"{path}: {frames} frames; a GRID clip has {FRAMES}: truncated or damaged")


def _code(stem: str) -> str:
    match = _STEM.fullmatch(stem)
    return match["code"] if match else ""


def spoken_words(stem: str) -> tuple[str, ...]:
    """The six words that a file's name stands for; none where it is not a GRID name."""
    letters = _code(stem)
    if any(letter not in choices for letter, choices in zip(letters, WORDS, strict=False)):
        return ()
    return tuple(choices[letter] for letter, choices in zip(letters, WORDS, strict=False))
