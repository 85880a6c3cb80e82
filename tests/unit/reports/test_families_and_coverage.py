"""Other definitions of a score, and what missing faces do to a standing."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from benchmark.metrics.landmarks import align_pair, landmark_distance
from benchmark.metrics.score import Score
from benchmark.records import ProtocolInfo, read_manifest, read_records, write_manifest, write_records
from reports.families import families, rankings, verdict
from reports.load import load_study
from reports.page import render_page
from reports.stats import compare_all, estimate
from reports.tables import all_tables, family_tables, main_table

OTHERS = {"ld/mouth/iod": lambda v: v / 80, "lmd/bad": lambda v: 10 - v, "lmd/blind": lambda v: 1.0}
"""Other definitions of M-LD: another unit, a reversed one, and one that sees nothing."""


@pytest.fixture
def run(tmp_path, fake):
    directory = tmp_path / "quick"
    manifest = fake.write_run(directory, videos=0)
    infos = {
        name: ProtocolInfo(name, name, "", "lower", "made up", "Made up.", False, "M-LD", name == "lmd/bad")
        for name in OTHERS
    }
    main = {
        name: dataclasses.replace(info, family="M-LD" if name == "ld/mouth" else info.label)
        for name, info in manifest.protocols.items()
    }
    write_manifest(directory / "manifest.json", dataclasses.replace(manifest, protocols={**main, **infos}))
    records = read_records(directory / "records.jsonl")
    more = [
        dataclasses.replace(r, protocol=name, value=f(r.value))
        for name, f in OTHERS.items()
        for r in records
        if r.protocol == "ld/mouth" and r.value is not None
    ]
    write_records(directory / "records.jsonl", [*records, *more])
    return directory


def test_a_family_needs_a_main_protocol_and_another(run):
    assert families(load_study(run), "self") == {"M-LD": ("ld/mouth", *OTHERS)}


def test_another_unit_keeps_the_ranking_and_a_defect_that_turns_it_is_named(run):
    study = load_study(run)
    found = {r.protocol: r for r in rankings(study, "self", "M-LD")}
    unit, bad, blind = (found[name] for name in OTHERS)
    assert unit.decided > 5
    assert (unit.kept, unit.lost, unit.reversed, unit.tau) == (unit.decided, 0, (), pytest.approx(1))
    assert len(bad.reversed) == bad.decided
    assert bad.tau == pytest.approx(-1)
    assert ("evp", "mean_face") in bad.reversed
    assert blind.lost == blind.decided
    assert "M-LD: lmd/bad" in verdict(study, "self")


def test_the_tables_of_definitions_are_on_the_page(run):
    study = load_study(run)
    definitions, scores = family_tables(study, "self")
    assert [row.label for row in definitions.rows] == list(OTHERS)
    assert "Mean face above EVP" in definitions.rows[1].cells[-1].value
    assert len(scores.columns) == 1 + len(OTHERS)
    page = render_page(study, all_tables(study), ())
    assert page.count("Does the ranking survive another definition?") >= 2
    assert "Mean face above EVP" in page


def mouth_verdicts(study) -> dict[str, str]:
    return {c.other: c.verdict for c in compare_all(study, "self") if c.protocol == "ld/mouth"}


def lose_faces(directory, share: float, most: float):
    """EVP's frames lose faces: its scores get better, and say what they could have been."""

    def change(r):
        if (r.method, r.ablation, r.protocol) != ("evp", "full", "ld/mouth"):
            return r
        return dataclasses.replace(
            r, value=0.5 * r.value, coverage=1 - share, least=0.4 * r.value, most=most * r.value
        )

    write_records(directory / "records.jsonl", [change(r) for r in read_records(directory / "records.jsonl")])


def test_a_method_that_loses_faces_gains_no_standing(run):
    before = load_study(run)
    assert mouth_verdicts(before)["mean_face"] == "supported"
    lose_faces(run, 0.1, 9.0)
    study = load_study(run)
    own = estimate(study, "evp", "self", "ld/mouth")
    was = estimate(before, "evp", "self", "ld/mouth")
    assert own.interval.mean < was.interval.mean < own.bounds.most
    assert set(mouth_verdicts(study).values()) == {"undecided"}
    table = main_table(study, "self")
    column = [row.cells[0] for row in table.rows if row.cells]
    assert not any(cell.bold for cell in column)
    assert "†" in column[0].marks
    assert "missing frames allow" in column[0].title
    assert "M-LD of EVP 90.0 %, missing frames allow" in table.caption
    assert rankings(study, "self", "M-LD")[0].decided < rankings(before, "self", "M-LD")[0].decided


def test_bounds_that_part_from_the_others_leave_the_order_decided(run):
    lose_faces(run, 0.01, 0.6)
    assert mouth_verdicts(load_study(run))["mean_face"] == "supported"


def test_a_manifest_without_families_has_no_definitions(tmp_path, fake):
    fake.write_run(tmp_path / "quick")
    assert read_manifest(tmp_path / "quick" / "manifest.json").protocols["ssim"].family == ""
    assert families(load_study(tmp_path / "quick"), "self") == {}


def test_the_worst_tenth_of_the_frames_cannot_be_lost_for_gain(tmp_path, fake):
    """From landmarks to verdict: two rows of known error, the worse of which then hides its worst frames."""
    rows = {"evp": 1.0, "evp/no_dtw": 1.3}

    def written(directory, hide: bool):
        fake.write_run(directory)

        def change(r):
            row = r.method if r.ablation == "full" else f"{r.method}/{r.ablation}"
            if r.protocol != "ld/mouth" or row not in rows:
                return r
            found = landmark_score(rows[row], [r.seed, len(r.clip), *map(ord, r.clip)], hide and row != "evp")
            bounds = {"least": found.least, "most": found.most}
            return dataclasses.replace(r, value=found.value, coverage=found.coverage, **bounds)

        records = [change(r) for r in read_records(directory / "records.jsonl")]
        write_records(directory / "records.jsonl", records)
        return load_study(directory)

    whole, hidden = written(tmp_path / "whole", False), written(tmp_path / "hidden", True)
    assert mouth_verdicts(whole)["evp/no_dtw"] == "supported"
    before, after = (estimate(study, "evp/no_dtw", "self", "ld/mouth") for study in (whole, hidden))
    assert after.interval.mean < 0.95 * before.interval.mean
    assert after.bounds.least < before.interval.mean < after.bounds.most
    assert mouth_verdicts(hidden)["evp/no_dtw"] == "undecided"
    cells = {row.key: row.cells[0] for row in main_table(hidden, "self").rows if row.cells}
    assert "†" in cells["evp/no_dtw"].marks
    assert "†" not in cells["evp"].marks
    assert not any(cell.bold for cell in cells.values())


def landmark_score(error: float, seed: list[int], hide: bool) -> Score:
    """LD of a mouth that is wrong by `error` px on average, more in some frames; the worst tenth hidden."""
    truth = np.random.default_rng(1).uniform(60, 200, (1, 68, 2)).repeat(20, 0)
    size = np.random.default_rng(seed).gamma(2, error / 2, 20)
    predicted = truth.copy()
    predicted[:, 48:, 0] += size[:, None]
    if hide:
        predicted[np.argsort(size)[-2:]] = np.nan
    return landmark_distance(align_pair(predicted, truth), "mouth")
