"""The tables of the probes: what a cell says, and which rows there are."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from benchmark.records import FULL, PROBES, REFERENCE, ProbeRecord, RecordsError, read_probes, write_probes
from reports.disentanglement import probe_tables
from reports.load import load_study
from reports.paper import build_report
from tests.unit.reports.fake import write_run

SENTENCES = ("s00", "s01", "s02")
FACTORS = {
    name: {"classes": classes, "chance": 1 / len(classes), "unit": unit, "home": home}
    for name, classes, unit, home in (
        ("viseme", ["p", "aa", "s", "t"], "frame", "content"),
        ("emotion", ["happy", "sad"], "clip", "emotion"),
    )
}
ABOUT = {
    "clips": 24,
    "own clips": 6,
    "frames": 700,
    "frame_every": 5,
    "sentences": list(SENTENCES),
    "speakers": ["ada", "bob"],
    "folds": 3,
    "draws": {"clip": 8, "frame": 1},
    "factors": FACTORS,
}


def probes_of(method: str, seed: int, embedding: str, level: float) -> list[ProbeRecord]:
    return [
        ProbeRecord("synthetic", method, FULL, seed, embedding, factor, measure, s, level + 0.1 * (k - 1))
        for factor in FACTORS
        for measure in ("linear", "neighbours", "random labels", "information", "silhouette")
        for k, s in enumerate(SENTENCES)
    ]


@pytest.fixture
def run(tmp_path: Path) -> Path:
    write_run(tmp_path, probes=ABOUT)
    probes = [p for seed in (0, 1) for p in probes_of("evp", seed, "content", 0.6)]
    probes += [p for seed in (0, 1) for p in probes_of("evp", seed, "emotion", 0.8)]
    probes += probes_of(REFERENCE, 0, "mfcc", 0.5)
    for seed in (0, 1):
        for k, s in enumerate(SENTENCES):
            place = ("synthetic", "evp", FULL, seed, "content+emotion", "emotion")
            probes += [ProbeRecord(*place, measure, s, 0.3 + 0.01 * k) for measure in ("mig", "block gap")]
    write_probes(tmp_path / PROBES, probes)
    return tmp_path


def test_a_cell_is_the_mean_over_seeds_and_sentences(run: Path):
    linear = next(t for t in probe_tables(load_study(run)) if t.name == "probes-linear")
    rows = {row.label: row for row in linear.rows}
    assert linear.columns == ("Viseme", "Emotion")
    assert rows["EVP: content"].cells[0].value == "60"
    # Standard deviation 10 over 3 sentences, none over seeds: t(2) 10 / sqrt(3).
    assert rows["EVP: content"].cells[0].spread == "± 25"
    assert rows["EVP: emotion"].cells[1].value == "80"
    assert rows["MFCC window"].cells[0].value == "50"
    assert [cell.value for cell in rows["Chance"].cells] == ["25", "50"]


def test_a_method_without_embeddings_says_so(run: Path):
    for table in probe_tables(load_study(run)):
        rows = {row.key: row for row in table.rows}
        assert {cell.value for cell in rows["mean_face"].cells} == {"n/a"}
        assert rows["song"].failed.startswith("seed 1")


def test_the_page_shows_the_probes_and_the_files_are_there(run: Path):
    page = build_report(run)
    text = page.read_text()
    assert 'id="disentanglement"' in text
    assert "What a linear probe reads" in text
    for name in ("linear", "neighbours", "random-labels", "information", "silhouette", "gaps"):
        assert (page.parent / "tables" / f"probes-{name}.csv").is_file()


def test_a_study_without_probes_has_no_such_section(tmp_path: Path):
    write_run(tmp_path)
    assert probe_tables(load_study(tmp_path)) == ()
    assert 'id="disentanglement"' not in build_report(tmp_path).read_text()


def test_holes_are_refused(run: Path):
    probes = read_probes(run / PROBES)
    write_probes(run / PROBES, [p for p in probes if not (p.seed == 1 and p.sentence == "s01")])
    with pytest.raises(RecordsError, match="the probes of evp differ by seed"):
        load_study(run)
    write_probes(run / PROBES, [dataclasses.replace(probes[0], corpus="other")])
    with pytest.raises(RecordsError, match="a probe is of other"):
        load_study(run)
    write_probes(run / PROBES, [])
    with pytest.raises(RecordsError, match="no probes at"):
        load_study(run)
