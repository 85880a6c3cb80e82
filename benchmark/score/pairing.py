"""Which generated video belongs to which reference, and everything that keeps a pair from being scored.

Videos are paired by their path in the folder without suffix. All problems of all files are found before
anything is scored, and told together. Nothing is cut, resampled or resized unless an option asks for it.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from benchmark.data.discovery import find_files, stem_of
from benchmark.names import few
from models.errors import InputError
from models.preprocess.decoder import Decoder
from models.preprocess.faces import Given
from models.preprocess.landmark_files import read_landmarks
from models.preprocess.media import VIDEO_SUFFIXES
from models.preprocess.video import Outline
from models.types import CROP_SIZE

SIDES = ("generated", "reference")
SHORTEST = 2
"""Frames of a clip; fewer have no motion to compare."""
MOST_PIXELS = 500_000_000
"""Of all compared frames of a clip. Frames are mapped from disk, but protocols keep about 5 bytes of each
pixel, grey levels and edges, until the clip is scored."""
NAMED = 20
"""Files that are named in one line of a message."""


class FolderError(InputError):
    """Folders that cannot be scored as asked: every problem on a line of its own."""

    def __init__(self, problems: Sequence[str]) -> None:
        self.problems = tuple(problems)
        count = f"{len(problems)} problem{'s' if len(problems) > 1 else ''}, nothing was written"
        super().__init__(count)


@dataclass(frozen=True)
class Allowances:
    """What may be done to make two videos comparable."""

    missing: bool = False
    """Score what both folders have."""
    resample: bool = False
    """Show other and variable rates at 25 fps by repeating and dropping pictures."""
    trim: int = 0
    """Frames by which the lengths of a pair may differ; the longer one is cut at its end."""
    resize: bool = False
    """Bring generated frames to the reference's size."""


@dataclass(frozen=True)
class Side:
    """One video of a pair."""

    video: Path
    outline: Outline
    landmarks: Path | None = None
    """A file with one row of landmarks for each frame at 25 fps, pixels of this video."""


@dataclass(frozen=True)
class Pair:
    name: str
    """Path in the folders without suffix."""
    generated: Side
    reference: Side

    @property
    def frames(self) -> int:
        """Frames that are compared."""
        return min(self.generated.outline.frames, self.reference.outline.frames)


@dataclass(frozen=True)
class Paired:
    pairs: tuple[Pair, ...]
    notes: tuple[str, ...] = field(default=())
    """What was left out or changed because an option allowed it."""


def find_videos(folder: Path) -> dict[str, list[Path]]:
    """Return the videos below a folder by path without suffix (`find_files`), sorted.

    Raises:
        InputError: no such folder, no video in it, or files in it that cannot be read or named.
    """
    if not folder.is_dir():
        raise InputError(f"{folder}: no such folder")
    found: dict[str, list[Path]] = {}
    for path in find_files(folder, VIDEO_SUFFIXES):
        found.setdefault(stem_of(folder, path), []).append(path)
    if not found:
        raise InputError(f"{folder}: no video in it; expected files ending in {', '.join(VIDEO_SUFFIXES)}")
    return found


def pair_folders(
    generated: Path,
    reference: Path,
    decoder: Decoder,
    *,
    allow: Allowances,
    landmarks: Mapping[str, Path] | None = None,
    cropped: bool = False,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Paired:
    """The pairs of two folders, checked by containers and landmark files; frames are not decoded yet.

    Args:
        landmarks: folder of landmark files by side, named like the videos; None: they are detected later.
        cropped: whether 256 px squares are compared instead of whole frames.

    Raises:
        FolderError: naming every file that cannot be scored, and what would allow it.
        InputError: a folder is missing or has no video.
    """
    videos = {"generated": find_videos(generated), "reference": find_videos(reference)}
    problems = [
        f"{side} {name}: there are {', '.join(path.name for path in paths)}; expected one video of this name"
        for side in SIDES
        for name, paths in videos[side].items()
        if len(paths) > 1
    ]
    unpaired, notes = _unpaired(videos, allow)
    problems += unpaired
    names = sorted(set(videos["generated"]) & set(videos["reference"]))
    if not names:
        problems.append("no name is in both folders: videos are paired by their path without suffix")
    pairs: list[Pair] = []
    for number, name in enumerate(names, start=1):
        sides: dict[str, Side] = {}
        for side in SIDES:
            try:
                sides[side] = _side(videos[side][name][0], decoder, (landmarks or {}).get(side), name)
            except (InputError, ValueError) as error:
                problems.append(f"{side} {name}: {error}")
        if len(sides) == 2:
            pair = Pair(name, sides["generated"], sides["reference"])
            pairs.append(pair)
            problems += [f"{name}: {problem}" for problem in _mismatches(pair, allow)]
            problems += [*_faceless(pair), *_too_large(pair, cropped)]
        progress(number, len(names))
    if problems:
        raise FolderError(problems)
    return Paired(tuple(pairs), (*notes, *_adjusted(pairs)))


def _unpaired(videos: Mapping[str, Mapping[str, object]], allow: Allowances) -> tuple[list[str], list[str]]:
    """Problems, or notes where they are allowed, about names that one folder lacks."""
    problems, notes = [], []
    for side, other in (SIDES, SIDES[::-1]):
        alone = sorted(set(videos[side]) - set(videos[other]))
        if alone and allow.missing:
            notes.append(f"Left out, as the {other} folder lacks them: {_listed(alone)}.")
        elif alone:
            problems.append(
                f"only in the {side} folder: {_listed(alone)}; --allow-missing scores what both have"
            )
    return problems, notes


def _listed(names: Sequence[str]) -> str:
    return few(names, NAMED)


def _side(video: Path, decoder: Decoder, folder: Path | None, name: str) -> Side:
    outline = decoder.outline(video)
    if folder is None:
        return Side(video, outline)
    # The name of one file may be composed (NFC) and that of the other decomposed (NFD).
    spellings = [folder / f"{unicodedata.normalize(form, name)}{video.suffix}" for form in ("NFC", "NFD")]
    path = Given().file(next((place for place in spellings if Given().files(place)), spellings[0]))
    read_landmarks(path, outline.frames)
    return Side(video, outline, path)


def _mismatches(pair: Pair, allow: Allowances) -> list[str]:
    generated, reference = pair.generated.outline, pair.reference.outline
    problems = []
    if (generated.resampled or reference.resampled) and not allow.resample:
        problems.append(
            f"generated runs at {_rate(generated)}, reference at {_rate(reference)}; scores are defined at "
            "25 fps: --resample shows both at that rate"
        )
    difference = abs(generated.frames - reference.frames)
    if difference > allow.trim:
        problems.append(
            f"generated has {generated.frames} frames at 25 fps, reference {reference.frames}; "
            f"--trim {difference} cuts the longer one at its end"
        )
    if pair.frames < SHORTEST:
        problems.append(f"{pair.frames} frame to compare; expected {SHORTEST} or more")
    sizes = [(each.width, each.height) for each in (generated, reference)]
    if sizes[0] != sizes[1]:
        problems += _size_problem(sizes[0], sizes[1], allow)
    return problems


def _rate(outline: Outline) -> str:
    steady = "" if abs(outline.rate - 25) > 1e-9 else ", unsteadily"
    return f"{outline.rate:.5g} fps{steady if outline.resampled else ''}"


def _size_problem(generated: tuple[int, int], reference: tuple[int, int], allow: Allowances) -> list[str]:
    text = f"generated is {generated[0]} x {generated[1]}, reference {reference[0]} x {reference[1]}"
    # Of one shape up to the rounding of a side to whole pixels.
    expected = generated[0] * reference[1] / reference[0]
    if abs(expected - generated[1]) > max(1.0, generated[1] / min(reference)):
        return [f"{text}: of another shape, so neither can be resized to the other"]
    return [] if allow.resize else [f"{text}; --resize brings the generated frames to the reference's size"]


def _too_large(pair: Pair, cropped: bool) -> list[str]:
    outline = pair.reference.outline
    height, width = (CROP_SIZE, CROP_SIZE) if cropped else (outline.height, outline.width)
    if pair.frames * height * width <= MOST_PIXELS:
        return []
    return [
        f"{pair.name}: {pair.frames} frames of {width} x {height} are more than the {MOST_PIXELS // 10**6} "
        "million pixels that one clip may have: cut it into several, or --crop face"
    ]


def _faceless(pair: Pair) -> list[str]:
    side = pair.reference
    if side.landmarks is None:
        return []
    landmarks = read_landmarks(side.landmarks, side.outline.frames)[: pair.frames]
    if np.isfinite(landmarks).any():
        return []
    return [f"{pair.name}: {side.landmarks} has no face in any frame; the truth must show one"]


def _adjusted(pairs: Sequence[Pair]) -> list[str]:
    """What options did to pairs, in sentences."""
    trimmed = [p.name for p in pairs if p.generated.outline.frames != p.reference.outline.frames]
    resampled = [p.name for p in pairs if p.generated.outline.resampled or p.reference.outline.resampled]
    resized = [p.name for p in pairs if _size(p.generated) != _size(p.reference)]
    notes = _media_notes(pairs)
    if trimmed:
        notes.append(f"The longer video was cut at its end in {len(trimmed)} clips: {_listed(trimmed)}.")
    if resampled:
        notes.append(
            f"Brought to 25 fps by repeating and dropping pictures, {len(resampled)} clips: "
            f"{_listed(resampled)}."
        )
    if resized:
        notes.append(
            "Generated frames were resized to the reference's size (areas averaged where they shrink, "
            f"bilinear where they grow) in {len(resized)} clips: {_listed(resized)}."
        )
    return notes


def _media_notes(pairs: Sequence[Pair]) -> list[str]:
    """What the files' own notes say, each with the clips that have it."""
    return shared_notes(
        (pair.name, note)
        for pair in pairs
        for side in (pair.generated, pair.reference)
        # Resampled clips are listed together.
        for note in (() if side.outline.resampled else side.outline.notes)
    )


def shared_notes(notes: Iterable[tuple[str, str]]) -> list[str]:
    """Return a sentence for each note, which names the clips that have it.

    Args:
        notes: clip and note.
    """
    clips: dict[str, dict[str, None]] = {}
    for name, note in notes:
        clips.setdefault(note, {})[name] = None
    return [f"In {len(names)} clips: {note} ({_listed(list(names))})." for note, names in clips.items()]


def _size(side: Side) -> tuple[int, int]:
    return side.outline.width, side.outline.height
