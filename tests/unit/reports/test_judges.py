"""The judges' tables from a manifest whose numbers are known."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from reports.formats import Table
from reports.judges import judge_tables
from reports.load import load_study
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
