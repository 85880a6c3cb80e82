"""Scores of a frozen input. They move only when a protocol's definition does, and then its id must change.

Regenerate with: python tests/golden/metrics/regenerate.py; for a new protocol append `values`.
"""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from types import ModuleType

import pytest

HERE = Path(__file__).resolve().parent


def regenerate() -> ModuleType:
    spec = importlib.util.spec_from_file_location("golden_metrics", HERE / "regenerate.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_scores_of_the_frozen_input() -> None:
    expected = json.loads((HERE / "values.json").read_text(encoding="utf-8"))
    assert regenerate().scores() == pytest.approx(expected, rel=1e-9)


def test_every_protocol_has_its_value_of_the_talking_face() -> None:
    expected = json.loads((HERE / "talking.json").read_text(encoding="utf-8"))
    found = regenerate().whole_ladder()
    assert set(found) == set(expected), "run: python tests/golden/metrics/regenerate.py values"
    for protocol, score in found.items():
        for name, wanted in expected[protocol].items():
            right = score[name] == (wanted if wanted is None else pytest.approx(wanted, rel=1e-6, abs=1e-9))
            assert right, f"{name} of {protocol} is {score[name]}, not {wanted}"
