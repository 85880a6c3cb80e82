"""The judges' tables from a manifest whose numbers are known."""

from __future__ import annotations

import json
import re
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from benchmark.records import RecordsError, read_manifest
from reports.formats import Table
from reports.judges import judge_tables
from reports.load import load_study
from reports.paper import main
from tests.unit.reports.fake import write_run


def calibrated(accuracy: float) -> dict[str, Any]:
    bins = [
        {"count": 4, "confidence": 0.55, "accuracy": 0.5},
        {"count": 6, "confidence": 0.9, "accuracy": 1.0},
    ]
    return {"clips": 10, "accuracy": accuracy, "log_loss": 0.5, "brier": 0.3, "ece": 0.125, "bins": bins}


def judge(ceiling: float) -> dict[str, Any]:
    both = {"trained": calibrated(ceiling), "fitted": calibrated(ceiling)}
    return {
        "labels": ["happy", "neutral"],
        "chance": 0.5,
        "temperature": 0.7,
        "ceiling": ceiling,
        "ceilings": {"self": ceiling},
        "truth": {},
        "confusion": {"evp/full/self": [[6, 2], [2, 10]]},
        "calibration": {"left out": both, "self": both},
    }


@pytest.fixture
def tables(tmp_path: Path) -> dict[str, Table]:
    agreed = {"counts": [[3, 1], [1, 3]], "kappa": 0.5}
    sync = {
        "clips": 4,
        "offset_ms": -3.25,
        "confidence": 0.25,
        "shifts_ms": [-200, 200, 20],
        "error_median_ms": 5.5,
        "error_p95_ms": 14.25,
        "close_ms": 20.0,
        "close": 0.975,
    }
    write_run(
        tmp_path,
        judges={
            "emotion": judge(0.8),
            "emotion/network": judge(0.9),
            "agreement": {"truth": {"self": agreed}, "rows": {"evp/full/self": agreed | {"kappa": None}}},
            "sync": {"truth": {"self": sync}},
        },
    )
    return {table.name: table for table in judge_tables(load_study(tmp_path))}


def values(table: Table, key: str) -> list[str]:
    return [cell.value for row in table.rows if row.key == key for cell in row.cells]


def test_a_share_is_the_accuracy_over_the_ceiling(tables: dict[str, Table]) -> None:
    assert values(tables["judges-shares"], "evp") == ["100.0", "88.9"]


def test_calibration_stands_by_judge_and_clips(tables: dict[str, Table]) -> None:
    assert values(tables["judges-calibration"], "emotion/self") == [
        *("10", "80.0", "50.0", "0.70"),
        *("0.125", "0.125", "0.500", "0.500", "0.300", "0.300"),
    ]
    assert values(tables["judges-reliability"], "emotion/network/1") == ["6", "90.0", "100.0"]


def test_agreement_has_kappa_where_there_is_one(tables: dict[str, Table]) -> None:
    assert values(tables["judges-agreement"], "true clips")[0] == "0.50"
    assert values(tables["judges-agreement"], "evp")[0] == "–"


def test_synchrony_is_told_in_milliseconds(tables: dict[str, Table]) -> None:
    assert values(tables["judges-sync"], "self") == ["4", "−3.2", "0.250", "5.5", "14.2", "97.5"]


def test_a_study_without_judges_has_no_such_table(tmp_path: Path) -> None:
    write_run(tmp_path, judges={})
    assert judge_tables(load_study(tmp_path)) == ()


def trusted(**changes: Any) -> dict[str, Any]:
    return {"emotion": {**judge(0.8), **changes}}


def without(key: str) -> dict[str, Any]:
    return {"emotion": {k: v for k, v in judge(0.8).items() if k != key}}


BOTH = {state: calibrated(0.5) for state in ("trained", "fitted")}
PROBED = {"clips": 1, "own clips": 1, "frames": 1, "sentences": [], "speakers": [], "folds": 2, "factors": {}}
SHIFTS = {"clips": 4, "offset_ms": 1.0, "confidence": 0.2, "shifts_ms": [-200, 200, 20]}
SHIFTS |= {"error_median_ms": 5.5, "error_p95_ms": 14.2, "close_ms": 20.0, "close": 0.9}


@pytest.mark.parametrize(
    ("change", "place"),
    [
        ({"judges": {"emotion": []}}, "judges.emotion"),
        ({"judges": without("labels")}, "judges.emotion.labels"),
        ({"judges": without("confusion")}, "judges.emotion.confusion"),
        ({"judges": without("chance")}, "no chance"),
        ({"judges": without("temperature")}, "no temperature"),
        ({"judges": trusted(chance="0.5")}, "judges.emotion.chance"),
        ({"judges": trusted(ceilings={"self": "high"})}, "judges.emotion.ceilings.self"),
        ({"judges": trusted(ceilings={"self": 7.0})}, "the ceiling 7.0"),
        ({"judges": trusted(confusion={"evp/full/self": [[1, 2], [3]]})}, "2 x 2"),
        ({"judges": trusted(confusion={"evp/full/self": [[1, -2], [3, 4]]})}, "2 x 2"),
        ({"judges": trusted(calibration={"self": {"trained": calibrated(0.5)}})}, "calibration.self.fitted"),
        (
            {"judges": trusted(calibration={"self": {s: calibrated(0.5) for s in ("trained", "fitted")}})},
            "left out",
        ),
        ({"judges": {"agreement": {"truth": {}}}}, "judges.agreement.rows"),
        (
            {"judges": {"agreement": {"truth": {"self": {"counts": [[1]], "kappa": "x"}}, "rows": {}}}},
            "kappa",
        ),
        ({"judges": {"sync": {"truth": {}}}}, "no condition"),
        ({"judges": {"sync": {"truth": {"self": {**SHIFTS, "shifts_ms": [1, 2]}}}}}, "shifts_ms"),
        ({"judges": {"sync": {"truth": {"self": {**SHIFTS, "offset_ms": None}}}}}, "offset_ms"),
        ({"probes": {**PROBED, "factors": ["viseme"]}}, "probes.factors"),
        ({"probes": {k: v for k, v in PROBED.items() if k != "own clips"}}, "probes.own clips"),
        ({"clips": {"a": {"condition": 1}}}, "clips.a.condition"),
        ({"clips": {"a": {"condition": "self", "emotion": ["sad"]}}}, "clips.a.emotion"),
        ({"clips": {"a": {}}}, "clips.a.condition"),
    ],
    ids=str,
)
def test_what_the_report_needs_is_checked_when_the_manifest_is_read(
    tmp_path: Path, change: dict[str, Any], place: str
) -> None:
    manifest = write_run(tmp_path, sentences=2)
    path = tmp_path / "manifest.json"
    path.write_text(json.dumps({**asdict(manifest), **change}))
    with pytest.raises(RecordsError, match=re.escape(place)):
        read_manifest(path)


def test_an_error_of_the_report_keeps_its_traceback(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(study: object) -> None:
        raise KeyError("ours")

    write_run(tmp_path / "quick", sentences=2)
    monkeypatch.setattr("reports.paper.judge_tables", broken)
    with pytest.raises(KeyError, match="ours"):
        main([f"out={tmp_path}"])
