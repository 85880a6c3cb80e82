"""Names in sentences, however many and however long."""

from __future__ import annotations

from types import SimpleNamespace

from benchmark.names import LONGEST_TEXT, few, is_name, manifest_name
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


def test_any_folder_has_a_name_that_a_manifest_may_use():
    odd = ("gen#3", "mine & yours", "gen~1", "(1) gen", "results'24", ".gen", "v1.", "x" * 101, "x" * 255)
    odd = (*odd, "", "con", "a\nb", "\udcff", "..", "ü" * 101, "-x")
    names = [manifest_name(text) for text in odd]
    assert all(map(is_name, names))
    assert len(set(names)) == len(odd)
    assert manifest_name("gen-3") == "gen-3"
    assert names[0].startswith("gen-3@")
