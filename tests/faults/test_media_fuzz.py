"""Damaged media are refused by name or come out right; never another length without a word.

`python tests/faults/media_fuzz.py video 3000` runs the large count.
"""

from __future__ import annotations

import os
from collections import Counter

import pytest

from tests.faults.media_fuzz import Judge, sound_cases, video_cases

COUNT = int(os.environ.get("EVP_FUZZ_CASES", "52"))


@pytest.fixture(scope="module")
def judge():
    judge = Judge()
    yield judge
    judge.close()


@pytest.mark.parametrize(("cases", "seed"), [(video_cases, 11), (sound_cases, 12)])
def test_damage_is_never_accepted_with_another_length_unnoticed(judge, cases, seed: int) -> None:
    outcomes = {case.name: judge(case) for case in cases(COUNT, seed)}
    assert {name: outcome for name, outcome in outcomes.items() if not outcome.fine} == {}
    kinds = Counter(outcome.kind for outcome in outcomes.values())
    assert kinds["refused"] > COUNT / 4, "damage is noticed"
    assert kinds["right"] > COUNT / 10, "and harmless damage is let pass"


def test_cases_are_the_same_every_time() -> None:
    assert [case.data for case in video_cases(30)] == [case.data for case in video_cases(30)]
    assert next(iter(video_cases(1, seed=1))).data != next(iter(video_cases(1, seed=2))).data
