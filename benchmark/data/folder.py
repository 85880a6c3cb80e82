"""Any folder of recordings, with or without a table that says what they are.

The table is a CSV with a column `file` (a path below the root) and, where known, `speaker`, `sentence`,
`emotion` and `intensity`. Without a table every recording below the root is taken; its speaker is the name of
its folder, its sentence its own name, and it has no emotion.
"""

from __future__ import annotations

import csv
import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmark.data.clip_store import holds, publish
from benchmark.data.corpus import CorpusError
from benchmark.data.parametric import synthetic_heads
from benchmark.data.recordings import (
    Recordings,
    fullest_speaker,
    naming,
    require_files,
    require_folder,
)
from models.preprocess.audio import RESAMPLER
from models.preprocess.decoder import shared_decoder
from models.preprocess.faces import FaceDetector
from models.preprocess.media import AUDIO_SUFFIXES, VIDEO_SUFFIXES
from models.preprocess.pipeline import Preprocess, whole_frames
from models.types import MEAD_EMOTIONS, Clip

VERSION = 1
COLUMNS = ("file", "speaker", "sentence", "emotion", "intensity")
EXPECTED = f"recordings ({', '.join((*VIDEO_SUFFIXES[:3], *AUDIO_SUFFIXES[:2]))}, ...)"


@dataclass(frozen=True)
class Row:
    """What is known of one recording."""

    path: Path
    speaker: str
    sentence: str
    emotion: str | None
    intensity: int


class Folder(Recordings):
    """The recordings below `root`: all videos, or all sound files.

    Args:
        table: the CSV, a path below the root or an absolute one; None takes every recording.
        emotions: the labels that the table may use, in their order; only those that occur are kept.
        frame_size: side of the prepared frames in pixels.
    """

    name = "folder"
    description = "Recordings from a folder of the user's."

    def __init__(
        self,
        *,
        root: str,
        cache: str,
        detector: FaceDetector,
        table: str | None = None,
        emotions: Sequence[str] = MEAD_EMOTIONS,
        frame_size: int = 128,
    ) -> None:
        self._root = Path(root)
        self._cache = cache
        require_folder("data=folder", self._root, EXPECTED)
        if table is None:
            rows = list(_untold(self._root))
        else:
            rows = read_table(self._root, self._root / table, tuple(emotions))
        require_files("data=folder", self._root, [row.path for row in rows], EXPECTED)
        self._rows = {_clip_id(self._root, row.path): row for row in rows}
        self._files = {name: row.path for name, row in self._rows.items()}
        if len(self._rows) < len(rows):
            raise CorpusError(f"data=folder: recordings in {self._root} differ only in their suffix")
        self.has_frames = _all_videos(self._root, [row.path for row in rows])
        found = {row.emotion for row in rows}
        self.emotions = tuple(e for e in emotions if e in found)
        if self.emotions and None in found:
            raise CorpusError(f"{table}: some rows have an emotion and some have none; label all or none")
        self.has_landmarks = self.has_frames
        self._preprocess = Preprocess(detector=detector, size=frame_size) if self.has_frames else None
        self.default_subject = fullest_speaker(self.clips())

    def _settings(self) -> str:
        return f"folder v{VERSION} {self._preprocess.identity() if self._preprocess else RESAMPLER}"

    def _clip(self, name: str, directory: Path) -> Clip:
        row = self._rows[name]
        return Clip(
            id=name,
            speaker=row.speaker,
            sentence=row.sentence,
            emotion=row.emotion,
            intensity=row.intensity,
            directory=directory,
        )

    def prepare(self, clip: Clip, *, frames: bool = True) -> None:
        wanted = ("waveform", "landmarks", "frames") if self._preprocess else ("waveform",)
        if holds(clip.directory, *wanted):
            return
        path = self._files[clip.id]
        with naming(clip):
            if self._preprocess:
                arrays = self._preprocess.video(path)
            else:
                arrays = {"waveform": whole_frames(shared_decoder().sound(path).waveform)}
        publish(clip.directory, arrays)

    def heads(self) -> np.ndarray:
        return synthetic_heads()


def _untold(root: Path) -> Iterator[Row]:
    paths = [p for p in sorted(root.rglob("*")) if p.suffix.lower() in VIDEO_SUFFIXES]
    if not paths:
        paths = [p for p in sorted(root.rglob("*")) if p.suffix.lower() in AUDIO_SUFFIXES]
    for path in paths:
        speaker = path.parent.name if path.parent != root else "speaker"
        yield Row(path, speaker, path.stem, None, 1)


def read_table(root: Path, table: Path, emotions: Sequence[str]) -> list[Row]:
    """The rows of a clip table, in its order.

    Raises:
        CorpusError: naming the table and the line: a missing or unknown column, a missing or duplicate file,
            an unknown emotion, an intensity that is not 1, 2 or 3, or no rows.
    """
    if not table.is_file():
        raise CorpusError(f"{table}: no such table; set data.table, or null to take every recording")
    try:
        with table.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file, strict=True)
            _check_columns(table, reader.fieldnames or ())
            rows: dict[Path, Row] = {}
            for record in reader:
                row = _row(root, table, reader.line_num, record, emotions)
                if row.path in rows:
                    raise CorpusError(f"{table}, line {reader.line_num}: {record['file']} is listed twice")
                rows[row.path] = row
    except (csv.Error, UnicodeDecodeError) as error:
        raise CorpusError(f"{table}: not a CSV in UTF-8: {error}") from error
    if not rows:
        raise CorpusError(f"{table}: the table has no rows")
    return list(rows.values())


def _check_columns(table: Path, columns: Sequence[str]) -> None:
    if len(columns) == 1 and any(mark in columns[0] for mark in ";\t"):
        raise CorpusError(f"{table}, line 1: columns must be parted by commas, got {columns[0]!r}")
    if "file" not in columns:
        raise CorpusError(f"{table}, line 1: no column 'file', but {', '.join(columns) or 'nothing'}")
    unknown = [column for column in columns if column not in COLUMNS]
    if unknown:
        raise CorpusError(f"{table}, line 1: unknown column {unknown[0]!r}; known are {', '.join(COLUMNS)}")
    twice = [column for column in COLUMNS if columns.count(column) > 1]
    if twice:
        raise CorpusError(f"{table}, line 1: column {twice[0]!r} is there twice")


def _row(root: Path, table: Path, line: int, record: dict, emotions: Sequence[str]) -> Row:
    where = f"{table}, line {line}"
    if None in record or None in record.values():
        raise CorpusError(f"{where}: not as many fields as columns")
    name = record["file"].strip()
    path = root / name
    if not name or Path(name).is_absolute() or ".." in Path(name).parts:
        raise CorpusError(f"{where}: file {name!r} must be a path below {root}")
    if not os.path.isfile(path):  # noqa: PTH113 - Path's raises where the name is too long
        raise CorpusError(f"{where}: no such file: {path}")
    if path.suffix.lower() not in (*AUDIO_SUFFIXES, *VIDEO_SUFFIXES):
        raise CorpusError(f"{where}: {name} is no recording: expected {EXPECTED}")
    emotion = record.get("emotion", "").strip() or None
    if emotion is not None and emotion not in emotions:
        raise CorpusError(
            f"{where}: unknown emotion {emotion!r}; known are {', '.join(emotions)}; add others by "
            "data.emotions=[...]"
        )
    intensity = record.get("intensity", "").strip() or ("1" if emotion in (None, "neutral") else "3")
    if intensity not in ("1", "2", "3"):
        raise CorpusError(f"{where}: intensity {intensity!r}; expected 1, 2 or 3")
    speaker = record.get("speaker", "").strip() or (path.parent.name if path.parent != root else "speaker")
    sentence = record.get("sentence", "").strip() or path.stem
    return Row(path, speaker, sentence, emotion, int(intensity))


def _all_videos(root: Path, paths: Sequence[Path]) -> bool:
    videos = [p.suffix.lower() in VIDEO_SUFFIXES for p in paths]
    if any(videos) and not all(videos):
        other = paths[videos.index(not videos[0])]
        raise CorpusError(f"data=folder: {root} mixes videos and sound files ({other.name}); list one kind")
    return all(videos)


def _clip_id(root: Path, path: Path) -> str:
    """A plain file name for a recording: its path below the root without suffix."""
    name = path.relative_to(root).with_suffix("").as_posix().replace("/", "_")
    return re.sub(r"[^\w.+-]", "-", name).lstrip(".") or "clip"
