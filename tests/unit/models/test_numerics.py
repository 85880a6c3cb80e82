"""The numerics fingerprint follows what changes bits, and nothing else."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from functools import cache

import pytest

from models.numerics import Numerics, numerics

ARRAYS_ALONE = "from models.numerics import array_numerics as measured"
TORCH = "from models.numerics import numerics as measured"
PRINT = "; import json; print('FACTS' + json.dumps(measured().facts))"


@cache
def facts(code: str, **settings: str) -> Numerics:
    """The facts of a fresh process."""
    run = subprocess.run(
        [sys.executable, "-c", code + PRINT],
        env={**os.environ, "OMP_NUM_THREADS": "1", **settings},
        capture_output=True,
        text=True,
        check=True,
    )
    return Numerics(json.loads(run.stdout.rpartition("FACTS")[2]))


@pytest.mark.parametrize(
    ("setting", "value", "code"),
    [
        ("ONEDNN_MAX_CPU_ISA", "SSE41", TORCH),
        ("MKL_CBWR", "COMPATIBLE", TORCH),
        ("ATEN_CPU_CAPABILITY", "default", TORCH),
        ("MKL_ENABLE_INSTRUCTIONS", "SSE4_2", ARRAYS_ALONE),
        ("OPENBLAS_CORETYPE", "Nehalem", ARRAYS_ALONE),
        ("NPY_DISABLE_CPU_FEATURES", "X86_V3", ARRAYS_ALONE),
    ],
)
def test_a_setting_that_chooses_kernels_changes_the_fingerprint(setting: str, value: str, code: str) -> None:
    plain, other = facts(code), facts(code, **{setting: value})
    assert plain.digest != other.digest
    assert plain.differences(other)


def test_what_changes_no_bit_does_not() -> None:
    unrelated = {
        "TZ": "Asia/Tokyo",
        "LC_ALL": "C",
        "HOME": "/nowhere",
        "PYTHONHASHSEED": "7",
        "PADDING": "x" * 333,
    }
    assert facts(TORCH, **unrelated).differences(facts(TORCH)) == []


def test_the_same_process_finds_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    assert numerics.__wrapped__("cpu") == numerics("cpu")
    assert numerics("cpu").digest == numerics("cpu").digest


def test_differences_are_told_in_words() -> None:
    here, there = (
        Numerics({"torch": "2.14", "blas": ["a"]}),
        Numerics({"torch": "2.13", "blas": ["a"], "gpu": "x"}),
    )
    assert here.differences(there) == ["torch: 2.14 here, 2.13 there", "gpu: nothing here, x there"]
