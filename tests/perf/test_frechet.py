"""Fréchet distance in 2048 dimensions beside SciPy's and torch-fidelity's: pytest --benchmark-only.

In one thread, and in CPU seconds.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.linalg import sqrtm
from threadpoolctl import threadpool_limits

from benchmark.metrics import extractors
from benchmark.metrics.extrapolation import extrapolated_score
from benchmark.metrics.frechet import Moments, distance_of_moments, frechet_distance, frechet_score, moments
from benchmark.metrics.kid import kernel_score
from tests.perf.contest import in_cpu_seconds, times_faster

DIMENSIONS = 2048


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    with threadpool_limits(1):
        yield


def rectified(count: int, seed: int) -> Moments:
    rng = np.random.default_rng(seed)
    mixed = rng.normal(size=(count, DIMENSIONS)) @ np.random.default_rng(9).normal(size=(DIMENSIONS,) * 2)
    return moments(np.maximum(mixed / np.sqrt(DIMENSIONS) + 0.1 * seed, 0))


@in_cpu_seconds
def test_it_is_15_times_scipys_root_and_equal_to_1e_8(benchmark: Any) -> None:
    first, second = rectified(2 * DIMENSIONS, 0), rectified(2 * DIMENSIONS + 50, 1)
    expected = []

    def by_scipy() -> None:
        root = np.real(np.asarray(sqrtm(first.covariance @ second.covariance)))
        shift = first.mean - second.mean
        expected.append(shift @ shift + np.trace(first.covariance + second.covariance - 2 * root))

    ratio = times_faster(benchmark, lambda: distance_of_moments(first, second), by_scipy, rounds=2)
    assert distance_of_moments(first, second) == pytest.approx(expected[0], rel=1e-8)
    assert ratio >= 15


@in_cpu_seconds
@pytest.mark.parametrize("score", [frechet_score, extrapolated_score, kernel_score])
def test_score_of_1200_frames_in_96_dimensions(benchmark: Any, score: Any) -> None:
    """The quick suite's sets, with all their resamples."""
    rng = np.random.default_rng(0)
    predicted, truth = ([s * rng.normal(size=(75, 96)) for _ in range(16)] for s in (1.0, 1.1))
    found = benchmark.pedantic(
        lambda: score(predicted, truth, rng=np.random.default_rng(1)), rounds=2, warmup_rounds=1
    )
    assert found.count == 1200


@in_cpu_seconds
def test_fid_by_path_is_torch_fidelitys_own(
    benchmark: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Here because its general eigenvalues of 2048 dimensions take half a minute."""
    pytest.importorskip("torch_fidelity")
    from tests.parity.random_inception import calculated_by_inception, pictures, random_inception

    path, sides = random_inception(tmp_path), pictures()
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    monkeypatch.setattr(extractors, "INCEPTION_DIGEST", digest)
    ours = [extractors.extractor("inception", inception_weights=path)(side) for side in sides]
    theirs = calculated_by_inception(path, tmp_path, sides, fid=True)["frechet_inception_distance"]
    found = benchmark.pedantic(lambda: frechet_distance(*ours, allow_biased=True), rounds=1)
    benchmark.extra_info["relative_error"] = found / theirs - 1
    print(f"\nFID {found:.9g}, torch-fidelity {theirs:.9g}")
    # They keep means in single precision and lose half the digits of the 2040 eigenvalues that are 0.
    assert found == pytest.approx(theirs, rel=1e-4)
