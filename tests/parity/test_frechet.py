"""The Fréchet distance beside SciPy's matrix square root and torch-fidelity's, on the same features."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.linalg import sqrtm

from benchmark.metrics.frechet import frechet_distance


def features(count: int, dimensions: int, seed: int) -> np.ndarray:
    """Rectified, as pooled activations are: skewed, positive, of very different spread."""
    rng = np.random.default_rng(seed)
    mixed = rng.normal(size=(count, dimensions)) @ rng.normal(size=(dimensions, dimensions))
    return np.maximum(mixed / np.sqrt(dimensions) + rng.normal(size=dimensions), 0) * rng.uniform(0.1, 3)


SHAPES = [(64, 8), (400, 64), (1200, 128)]


@pytest.mark.filterwarnings("ignore:Matrix is singular")  # SciPy's word for some of these covariances
@pytest.mark.parametrize(("count", "dimensions"), SHAPES)
def test_equal_to_scipy(count: int, dimensions: int) -> None:
    first, second = features(count, dimensions, 0), features(count + 17, dimensions, 1)
    covariances = [np.cov(x, rowvar=False) for x in (first, second)]
    root = np.real(sqrtm(covariances[0] @ covariances[1]))
    shift = first.mean(0) - second.mean(0)
    expected = shift @ shift + np.trace(covariances[0] + covariances[1] - 2 * root)
    assert frechet_distance(first, second) == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize(("count", "dimensions"), SHAPES)
def test_equal_to_torch_fidelity(count: int, dimensions: int) -> None:
    metric_fid = pytest.importorskip("torch_fidelity.metric_fid")
    torch = pytest.importorskip("torch")
    first, second = features(count, dimensions, 2), features(count + 17, dimensions, 3)
    statistics = [metric_fid.fid_features_to_statistics(torch.from_numpy(x)) for x in (first, second)]
    result = metric_fid.fid_statistics_to_metric(*statistics, verbose=False)
    expected = result["frechet_inception_distance"]
    assert frechet_distance(first, second) == pytest.approx(expected, rel=1e-6)
