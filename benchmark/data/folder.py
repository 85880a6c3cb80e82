"""Any folder of recordings, with or without a table that says what they are.

`benchmark.data.clip_table` describes the table, a CSV. Without one every video below the root is taken, or
every sound file where there is no video; its speaker is the name of its folder, its sentence its own name,
and it has no emotion. A tree whose folders are emotions, intensities or views is refused: it needs a table.

Where the sound of a video is, in this order: the table's column `sound`; the video's own; a sound file of the
same stem beside it, which then begins with the first picture.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from benchmark.data.clip_table import EXPECTED, Row, check_tree, folder_name, read_table, recordings_below
from benchmark.data.corpus import CorpusError
from benchmark.data.discovery import composed, find_files, ids_of
from benchmark.data.parametric import synthetic_heads, synthetic_heads_identity
from benchmark.data.recordings import (
    Recordings,
    Unusable,
    check_video,
    few_names,
    fullest_speaker,
    require_files,
    require_folder,
)
from benchmark.training.stage_cache import digest_of
from models.preprocess.decoder import shared_decoder
from models.preprocess.faces import FaceDetector
from models.preprocess.media import AUDIO_SUFFIXES, DECODING, VIDEO_SUFFIXES
from models.preprocess.people import DEFAULT_FACE
from models.preprocess.pipeline import NOTES, Preprocess, notes_array, whole_frames
from models.types import MEAD_EMOTIONS, Clip

VERSION = 1
MUTE = "mute"
"""Inspection's remark on a video that has no sound of its own, or whose own is not used."""


class Folder(Recordings):
    """The recordings below `root`: all videos, or all sound files.

    Args:
        table: the CSV, a path below the root or an absolute one; None takes every recording.
        emotions: the labels that the table may use, in their order; only those that occur are kept.
        frame_size: side of the prepared frames in pixels.
        face: whose face where several people are in the picture: `largest`, `left`, `right`, or a number from
            the left.
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
        face: str | int = DEFAULT_FACE,
        unusable: Unusable = "refuse",
        left_out: Sequence[str] = (),
    ) -> None:
        self._root = Path(root)
        self._cache = cache
        self.unusable = unusable
        require_folder("data=folder", self._root, EXPECTED)
        if table is None:
            paths = recordings_below(self._root)
            require_files("data=folder", self._root, paths, EXPECTED)
            check_tree(self._root, paths)
            rows = [Row(p, folder_name(self._root, p), composed(p.stem), None, 1) for p in paths]
        else:
            rows = read_table(self._root, self._root / table, tuple(emotions))
        self.has_frames = any(row.path.suffix.lower() in VIDEO_SUFFIXES for row in rows)
        self._sounds = {row.path: row.sound or _sound_beside(row.path) for row in rows if self.has_frames}
        self._every_row = tuple(rows)
        # Of all rows, so that leaving one out doesn't rename another.
        self._ids = {path: name for name, path in ids_of(self._root, [row.path for row in rows]).items()}
        usable = set(self._split_off((row.path for row in rows), left_out))
        rows = [row for row in rows if row.path in usable]
        self._rows = {self._ids[row.path]: row for row in rows}
        self._files = {name: row.path for name, row in self._rows.items()}
        self._unlisted = _without_video(self._root, self._sounds) if table is None else []
        found = {row.emotion for row in rows}
        self.emotions = tuple(e for e in emotions if e in found)
        if self.emotions and None in found:
            raise CorpusError(f"{table}: some rows have an emotion and some have none; label all or none")
        self.has_landmarks = self.has_frames
        self._detector = detector if self.has_frames else None
        self._preprocess = (
            Preprocess(detector=detector, size=frame_size, face=face) if self.has_frames else None
        )
        self.default_subject = fullest_speaker(self.clips())

    def _settings(self) -> str:
        named = [(row.path, row.sound, row.sound_start) for row in self._every_row if row.sound]
        named = [[*(p.relative_to(self._root).as_posix() for p in pair), start] for *pair, start in named]
        sounds = f" sounds {digest_of(named)}" if named else ""
        return f"folder v{VERSION} {self._preprocess.identity() if self._preprocess else DECODING}{sounds}"

    def _sources(self) -> Sequence[Path]:
        return (*super()._sources(), *(sound for sound in self._sounds.values() if sound))

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

    @property
    def _modalities(self) -> tuple[str, ...]:
        return ("waveform", "landmarks", "frames", NOTES) if self._preprocess else ("waveform", NOTES)

    def _arrays(self, clip: Clip) -> Mapping[str, np.ndarray]:
        path = self._files[clip.id]
        if self._preprocess:
            sound, start = self._sound(clip.id)
            return self._preprocess.video(path, sound=sound, sound_start=start)
        sound_only = shared_decoder().sound(path)
        return {"waveform": whole_frames(sound_only.waveform), NOTES: notes_array(sound_only.notes)}

    def _sound(self, clip_id: str) -> tuple[Path | None, float | None]:
        """Return where a video's sound is, None for in itself, and when it is said to begin."""
        row = self._rows[clip_id]
        if row.sound is not None:
            return row.sound, row.sound_start
        beside = self._sounds[row.path]
        alone = beside is not None and not shared_decoder().has_sound(row.path)
        return (beside if alone else None), None

    def _inputs(self, clip_id: str) -> tuple[Path, ...]:
        path = self._files[clip_id]
        sound = self._sounds.get(path)
        return (path, sound) if sound else (path,)

    def _circumstances(self, clip_id: str) -> str:
        row = self._rows[clip_id]
        return f"{self.has_frames} {row.sound is not None} {row.sound_start}"

    def _check(self, path: Path, *others: Path) -> str:
        """Return `MUTE` for a video whose sound is elsewhere; see `Recordings._check`."""
        if not self.has_frames:
            return super()._check(path)
        if path.suffix.lower() not in VIDEO_SUFFIXES:
            raise CorpusError("a sound file, where other recordings are videos: nobody's face is in it")
        sound, start = self._sound(self._ids[path])
        check_video(path, sound, start)
        return "" if sound is None else MUTE

    def _inspection_notes(self, remarks: Mapping[str, str]) -> tuple[str, ...]:
        mute: list[Path] = []
        heard: list[Path] = []
        for name, row in self._rows.items():
            remark = remarks.get(self.recording(name))
            if remark is not None and row.sound is None and self._sounds.get(row.path):
                (mute if remark == MUTE else heard).append(row.path)
        return tuple(
            f"{len(paths)} {what}: {few_names(self._root, paths)}."
            for paths, what in (
                (mute, "videos without sound take it from the sound file of the same name beside them"),
                (heard, "videos have sound, and a sound file of the same name beside them is not used"),
                (self._unlisted, "sound files belong to no video and are not used"),
            )
            if paths
        )

    def heads(self) -> np.ndarray:
        return synthetic_heads()

    def heads_identity(self) -> str:
        return synthetic_heads_identity()


def _sound_beside(path: Path) -> Path | None:
    """Return the sound file of a video's stem in its folder, the first by the order of suffixes."""
    if path.suffix.lower() not in VIDEO_SUFFIXES:
        return None
    places = (path.with_suffix(ending) for s in AUDIO_SUFFIXES for ending in (s, s.upper()))
    return next((place for place in places if place.is_file()), None)


def _without_video(root: Path, sounds: Mapping[Path, Path | None]) -> list[Path]:
    """Return the sound files below a folder of videos that are of none of them."""
    used = set(sounds.values())
    return [path for path in find_files(root, AUDIO_SUFFIXES) if path not in used] if sounds else []
