"""Every image protocol beside independent code."""

from __future__ import annotations

import pytest

from benchmark.metrics.protocols.images import IMAGES
from tests.parity.agreement import Agreement, named
from tests.parity.image_cases import IMAGE_CASES

OTHERWISE = {"edges/f1", "edges/chamfer", "flicker"}
"""Defined here alone; tests/unit has them from drawings whose scores follow by hand."""


@pytest.mark.parametrize(**named(IMAGE_CASES))
def test_equal_to_independent_code(case: Agreement) -> None:
    errors = case.errors()
    worst = max(errors, key=lambda name: errors[name])
    assert errors[worst] <= case.tolerance, f"{case.name}, {case.source}: {errors[worst]} on {worst}"


def test_none_is_left_out() -> None:
    assert {metric.id for metric in IMAGES} == {case.protocol for case in IMAGE_CASES} | OTHERWISE
