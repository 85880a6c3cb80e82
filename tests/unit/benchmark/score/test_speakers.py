"""Real clips are compared with real clips of the same person, or not at all."""

from __future__ import annotations

import unicodedata
from pathlib import Path

import numpy as np
import pytest

from benchmark.floors import real_floors
from benchmark.metrics.floor import real_floor
from benchmark.metrics.score import Score
from benchmark.score.speakers import read_speakers
from models.errors import InputError

NAMES = ("ada/1", "ada/2", "bob/1")


def test_speakers_are_what_somebody_says(tmp_path: Path) -> None:
    assert read_speakers(None, NAMES) is None
    assert set((read_speakers("one", NAMES) or {}).values()) == {"one"}
    assert read_speakers("folder", NAMES) == {"ada/1": "ada", "ada/2": "ada", "bob/1": "bob"}
    table = tmp_path / "who.csv"
    table.write_text("\ufefffile,speaker\nada/1.mp4,x\nada/2,x\nbob/1.MOV,y\n", encoding="utf-8")
    assert read_speakers(str(table), NAMES) == {"ada/1": "x", "ada/2": "x", "bob/1": "y"}


def test_names_are_the_same_in_any_composition_of_their_characters(tmp_path: Path) -> None:
    table = tmp_path / "who.csv"
    table.write_text(unicodedata.normalize("NFD", "file,speaker\né/1.mp4,Zoë\n"), encoding="utf-8")
    assert read_speakers(str(table), ["é/1"]) == {"é/1": unicodedata.normalize("NFC", "Zoë")}


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"file,person\n", "line 1: expected the columns file and speaker"),
        (b"", "line 1: expected the columns"),
        (b"file,speaker\nada/1,x\n", "no row for ada/2 and 1 more"),
        (b"file,speaker\nada/1,\n", "line 2: no speaker for 'ada/1'"),
        (b"file,speaker\nada/1,x\nada/2,x\nada/1.mp4,y\n", "line 4: 'ada/1' is listed in line 2 already"),
        (b"file,speaker\n\xff\xfe,x\n", "not a CSV in UTF-8"),
        (None, "No such file or directory; expected one, folder or a CSV"),
    ],
)
def test_tables_that_do_not_say_are_refused(tmp_path: Path, content: bytes | None, words: str) -> None:
    table = tmp_path / "who.csv"
    if content is not None:
        table.write_bytes(content)
    with pytest.raises(InputError, match=words):
        read_speakers(str(table), NAMES)


def test_a_clip_in_no_folder_has_no_speaker_by_folder() -> None:
    with pytest.raises(InputError, match="--speakers folder: c lies in no folder"):
        read_speakers("folder", ("ada/1", "c"))


def test_both_sides_of_a_floor_have_the_same_people() -> None:
    people = ["ada"] * 5 + ["bob"] * 4 + ["eve"]
    real = [np.full((10, 2), float(k)) for k in range(len(people))]
    seen: list[tuple[list[str], list[str]]] = []

    def look(first, second) -> Score:
        indices = [[int(clip[0, 0]) for clip in side] for side in (first, second)]
        assert not set(indices[0]) & set(indices[1])
        sides = [sorted(people[k] for k in side) for side in indices]
        seen.append((sides[0], sides[1]))
        return Score(1.0)

    for clips in (10, 2):
        seen.clear()
        floor = real_floor(look, real, count=1000, clips=clips, rng=np.random.default_rng(0), speakers=people)
        assert floor.clips == min(clips, 4)
        assert all(first == second and "eve" not in first for first, second in seen)


def test_one_clip_of_each_has_no_floor() -> None:
    real = [{"mobilenetv2-96": np.zeros((300, 96)), "mobilenetv2-96:5f-bgr": np.zeros((5, 96))}] * 3
    floors, notes = real_floors(
        {"paired": real}, [], ["mobilenetv2-96"], allow_biased=True, speakers={"paired": ["a", "b", "c"]}
    )
    assert floors == {}
    assert all("two real clips or more of one speaker, got 3 of 3" in note for note in notes)
