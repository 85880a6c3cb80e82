"""Hostile command lines end in one line; `EVP_COMMAND_LINES=600` runs more of them."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.faults.command_lines import Case, cases, problem, run_case

COUNT = int(os.environ.get("EVP_COMMAND_LINES", "40"))


@pytest.mark.parametrize("case", cases(COUNT), ids=lambda case: f"{case.command} {case.arguments!a}"[:80])
def test_a_hostile_command_line_is_one_line_and_leaves_nothing(case: Case, tmp_path: Path) -> None:
    outcome = run_case(case, tmp_path)
    assert problem(outcome) is None, outcome.trace or outcome.stderr
    assert not outcome.code or not outcome.written


def test_the_same_cases_in_every_process() -> None:
    many = cases(2000)
    assert len(set(many)) == 2000
    assert many[:COUNT] == cases(COUNT)
    assert {case.command for case in many} >= {
        "run",
        "sweeps",
        "score",
        "conformance",
        "talk",
        "paper",
        "metrics",
    }
