"""Scores of a frozen input. They move only when a protocol's definition does, and then its id must change.

Regenerate with: python tests/golden/metrics/regenerate.py
"""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parent


def test_scores_of_the_frozen_input() -> None:
    spec = importlib.util.spec_from_file_location("golden_metrics", HERE / "regenerate.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    expected = json.loads((HERE / "values.json").read_text(encoding="utf-8"))
    assert module.scores() == pytest.approx(expected, rel=1e-9)
