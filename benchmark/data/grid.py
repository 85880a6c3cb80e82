"""GRID (Cooke et al. 2006): short commands by 34 speakers, video with sound, no emotions.

Layout: `s1/bbaf2n.mpg` (also `s1/video/bbaf2n.mpg` or `s1/video/mpg_6000/...`) and `s1/align/bbaf2n.align`,
or one flat folder. A file's name is its sentence, letter by letter: verb, colour, preposition, letter, digit,
adverb. In a flat folder a prefix such as `id2_vcd_` names the speaker; a file without one counts as a speaker
of its own, as nothing says who it is. Every clip has 75 frames: another count is a damaged file.
"""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np

from benchmark.data.clip_store import holds, publish
from benchmark.data.corpus import CorpusError
from benchmark.data.parametric import synthetic_heads
from benchmark.data.preprocess.faces import FaceDetector
from benchmark.data.preprocess.pipeline import Preprocess
from benchmark.data.recordings import (
    Recordings,
    Segment,
    fullest_speaker,
    naming,
    require_files,
    require_folder,
)
from models.types import Clip

VERSION = 1
FRAMES = 75
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


class Grid(Recordings):
    """The recordings at `root`, prepared with the given landmark detector.

    Args:
        frame_size: side of the prepared frames in pixels.
    """

    name = "grid"
    description = "GRID: video of speakers reading short commands without emotion (Cooke et al., 2006)."
    emotions: tuple[str, ...] = ()
    has_frames = True

    def __init__(self, *, root: str, cache: str, detector: FaceDetector, frame_size: int = 128) -> None:
        self._root = Path(root)
        self._cache = cache
        self._preprocess = Preprocess(detector=detector, size=frame_size)
        require_folder("GRID", self._root, EXPECTED)
        found = (p for p in self._root.rglob("*") if p.suffix.lower() in (".mpg", ".mp4", ".avi"))
        self._files: dict[str, Path] = {}
        for path in sorted(found):
            if spoken_words(path.stem):
                self._files.setdefault(f"{self._speaker(path)}_{_code(path.stem)}", path)
        require_files("GRID", self._root, tuple(self._files.values()), EXPECTED)
        self.default_subject = fullest_speaker(self.clips())

    def _settings(self) -> str:
        return f"grid v{VERSION} {self._preprocess.identity()}"

    def _clip(self, name: str, directory: Path) -> Clip:
        path = self._files[name]
        return Clip(
            id=name,
            speaker=self._speaker(path),
            sentence=_code(path.stem),
            emotion=None,
            intensity=1,
            directory=directory,
            text=" ".join(spoken_words(path.stem)),
        )

    def prepare(self, clip: Clip, *, frames: bool = True) -> None:
        if holds(clip.directory, "waveform", "landmarks", "frames"):
            return
        path = self._files[clip.id]
        with naming(clip):
            arrays = self._preprocess.video(path)
            if len(arrays["frames"]) != FRAMES:
                raise CorpusError(
                    f"{path}: {len(arrays['frames'])} frames; a GRID clip has {FRAMES}: truncated or damaged"
                )
        publish(clip.directory, arrays)

    def words(self, clip: Clip) -> list[Segment]:
        """The corpus's own word times.

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
            rows = [line.split() for line in file.read_text().splitlines() if line.strip()]
            return [Segment(word, int(a) / ALIGN_RATE, int(b) / ALIGN_RATE) for a, b, word in rows]
        except ValueError as error:
            raise CorpusError(f"{file}: expected lines of start, end and word: {error}") from error

    def heads(self) -> np.ndarray:
        return synthetic_heads()

    def _speaker(self, path: Path) -> str:
        folders = [part for part in path.relative_to(self._root).parts[:-1] if re.fullmatch(r"s\d+", part)]
        if folders:
            return folders[0]
        match = _STEM.fullmatch(path.stem)
        assert match is not None
        return match["speaker"] or f"of-{match['code']}"


def _code(stem: str) -> str:
    match = _STEM.fullmatch(stem)
    return match["code"] if match else ""


def spoken_words(stem: str) -> tuple[str, ...]:
    """The six words that a file's name stands for; none where it is not a GRID name."""
    letters = _code(stem)
    if any(letter not in choices for letter, choices in zip(letters, WORDS, strict=False)):
        return ()
    return tuple(choices[letter] for letter, choices in zip(letters, WORDS, strict=False))
