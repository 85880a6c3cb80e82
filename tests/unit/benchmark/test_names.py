"""Names in sentences, however many and however long."""

from __future__ import annotations

from types import SimpleNamespace

from benchmark.names import LONGEST_TEXT, few
from benchmark.study import Study, StudyConfig


def test_few_of_many_names_are_listed_and_the_others_counted():
    assert few(["a"]) == "a"
    assert few(["a", "b", "c"], 2) == "a, b and 1 more"
    assert few(["a", "b"], between="; ") == "a; b"
    assert len(few(["x" * 4000] * 1000)) < 1100


def test_the_note_on_recordings_that_are_left_out_is_short_however_many_there_are():
    reasons = {f"s{i}/{'long' * 900}{i}.mpg": "unreadable: " + "x" * 280 for i in range(3000)}
    config = StudyConfig({}, {}, {}, {}, {}, {}, "cpu", left_out=reasons)
    study = Study(config)
    study.__dict__["corpus"] = SimpleNamespace(notes=())
    (note,) = study.data_notes
    assert note.startswith("3000 recordings are left out")
    assert note.endswith(" and 2990 more.")
    assert len(note) < LONGEST_TEXT / 4
