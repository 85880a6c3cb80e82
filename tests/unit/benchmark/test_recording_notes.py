"""What was noted of recordings while they were prepared reaches the reader of a report."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from benchmark.data.clip_store import publish
from benchmark.data.recordings import recording_notes
from models.errors import DamagedFile
from models.preprocess.pipeline import NOTES, notes_array
from models.types import Clip


def prepared(folder: Path, name: str, notes: list[str] | None) -> Clip:
    arrays = {"waveform": np.zeros(640, np.float32)}
    if notes is not None:
        arrays[NOTES] = notes_array(notes)
    clip = Clip(
        id=name, speaker="A", sentence=name, emotion=None, intensity=1, directory=folder / "corpus" / name
    )
    publish(clip.directory, arrays)
    return clip


def test_clips_with_one_note_share_a_sentence(tmp_path):
    clips = [
        prepared(tmp_path, "a", ["interlaced", "2 people seen; followed is the largest", "interlaced"]),
        prepared(tmp_path, "b", []),
        prepared(tmp_path, "generated", None),
        *(prepared(tmp_path, name, ["interlaced"]) for name in "cdef"),
    ]
    assert recording_notes([*clips, clips[0]]) == [
        "Of recordings (a, c, d and 2 more): interlaced.",
        "Of recordings (a): 2 people seen; followed is the largest.",
    ]


def test_damaged_notes_are_not_believed(tmp_path):
    clip = prepared(tmp_path, "a", ["interlaced"])
    path = clip.directory / f"{NOTES}.npy"
    path.write_bytes(path.read_bytes().replace(b"i\0\0\0n", b"u\0\0\0n"))
    with pytest.raises(DamagedFile):
        recording_notes([clip])
