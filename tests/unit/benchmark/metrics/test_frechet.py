"""Fréchet distance: closed forms, both ways of computing it, the refusal, interval and floor."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest

from benchmark.metrics.frechet import (
    LARGE,
    Moments,
    TooFewVectorsError,
    distance_of_moments,
    frechet_distance,
    frechet_score,
    moments,
)


def gaussian(seed: int, count: int = 200, dimensions: int = 6) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return rng.normal(size=(count, dimensions)) @ rng.normal(size=(dimensions, dimensions)) + rng.normal()


def test_a_shift_costs_its_square() -> None:
    features = gaussian(0)
    shift = np.arange(6.0)
    assert frechet_distance(features + shift, features) == pytest.approx(shift @ shift, rel=1e-9)


def test_a_scale_costs_the_trace_times_its_square() -> None:
    features = gaussian(1)
    features -= features.mean(0)
    trace = np.trace(np.cov(features, rowvar=False))
    assert frechet_distance(1.7 * features, features) == pytest.approx(0.7**2 * trace, rel=1e-9)


def test_diagonal_gaussians() -> None:
    first, second = np.array([1.0, 4, 9]), np.array([4.0, 1, 0.25])
    mean = np.array([1.0, 0, -2])
    expected = 5 + ((np.sqrt(first) - np.sqrt(second)) ** 2).sum()
    got = distance_of_moments(Moments(9, mean, np.diag(first)), Moments(9, 0 * mean, np.diag(second)))
    assert got == pytest.approx(expected, rel=1e-12)


def test_fewer_vectors_than_dimensions_agree_with_the_covariances() -> None:
    rng = np.random.default_rng(2)
    first, second = rng.normal(size=(20, 50)), 2 * rng.normal(size=(30, 50)) + 0.3
    expected = distance_of_moments(moments(first), moments(second))
    assert frechet_distance(first, second, allow_biased=True) == pytest.approx(expected, rel=1e-6)


def test_a_constant_dimension_is_no_obstacle() -> None:
    first, second = gaussian(3), gaussian(4)
    padded = [np.concatenate([x, np.ones((len(x), 2))], 1) for x in (first, second)]
    assert frechet_distance(*padded) == pytest.approx(frechet_distance(first, second), rel=1e-6)


def test_equal_sets_are_at_zero() -> None:
    assert frechet_distance(gaussian(5), gaussian(5)) == pytest.approx(0, abs=1e-9)
    assert frechet_distance(gaussian(5, 4), gaussian(5, 4), allow_biased=True) == pytest.approx(0, abs=1e-9)


def test_too_few_vectors_are_refused_with_the_number_needed() -> None:
    with pytest.raises(TooFewVectorsError, match="expected 12 vectors or more for 6 dimensions, got 11"):
        frechet_distance(gaussian(0, 11), gaussian(1, 200))
    assert frechet_distance(gaussian(0, 12), gaussian(1, 200)) > 0
    assert frechet_distance(gaussian(0, 11), gaussian(1, 200), allow_biased=True) > 0


@pytest.mark.parametrize(
    ("features", "message"),
    [
        (np.zeros((5, 2, 2)), "expected .vectors, dimensions."),
        (np.zeros((1, 3)), "two vectors or more"),
        (np.full((9, 3), np.nan), "vector 0 is not finite"),
        (np.full((9, 3), np.inf), "vector 0 is not finite"),
        (np.zeros((9, 4)), "vectors of one length"),
    ],
)
def test_unusable_features_are_refused(features: np.ndarray, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        frechet_distance(features, gaussian(0, 40, 3))


def clips(seed: int, count: int = 12, shift: float = 0.0) -> list[np.ndarray]:
    rng = np.random.default_rng(seed)
    return [rng.normal(size=(20, 4)) + rng.normal(size=4) + shift for _ in range(count)]


def test_the_interval_encloses_the_value_and_repeats_with_its_generator() -> None:
    predicted, truth = clips(0, shift=1.0), clips(1)
    first, second = (frechet_score(predicted, truth, rng=np.random.default_rng(7)) for _ in range(2))
    assert first == second
    assert first.value == pytest.approx(frechet_distance(np.concatenate(predicted), np.concatenate(truth)))
    assert first.low is not None
    assert first.high is not None
    assert first.low < first.value < first.high  # pyright: ignore
    assert first.count == 240


def test_the_interval_narrows_with_more_clips() -> None:
    widths = []
    for count in (8, 64):
        truth = clips(3, count)
        score = frechet_score([x + 1 for x in truth], truth[::-1], rng=np.random.default_rng(0))
        widths.append(score.high - score.low)  # pyright: ignore
    assert widths[1] < 0.6 * widths[0]


def test_the_order_of_clips_changes_nothing_but_the_draw() -> None:
    predicted, truth = clips(4, shift=0.5), clips(5)
    forward = frechet_score(predicted, truth, rng=np.random.default_rng(0), resamples=0)
    backward = frechet_score(predicted[::-1], truth[::-1], rng=np.random.default_rng(0), resamples=0)
    assert forward.value == pytest.approx(backward.value, rel=1e-10)


def test_lists_of_different_length_are_refused() -> None:
    with pytest.raises(ValueError, match="as many predicted as true clips"):
        frechet_score(clips(0, 3), clips(1, 4), rng=np.random.default_rng(0))


@pytest.mark.parametrize("dimensions", [LARGE - 2, LARGE + 2])
def test_covariances_short_of_rank_have_the_distance_of_what_is_left(dimensions: int) -> None:
    """Most dimensions turned out of two spaces of 30 that share 10, on either side of the large case."""
    rng = np.random.default_rng(6)
    turn = np.linalg.qr(rng.normal(size=(dimensions, dimensions)))[0]
    first, second = np.zeros((2, dimensions + 5, dimensions))
    first[:, :30] = rng.normal(size=(len(first), 30))
    second[:, 20:50] = 1.5 * rng.normal(size=(len(second), 30))
    expected = frechet_distance(first[:, :50], second[:, :50])
    assert frechet_distance(first @ turn, second @ turn, allow_biased=True) == pytest.approx(
        expected, rel=1e-7
    )


def test_large_dimensions_agree_with_the_plain_product() -> None:
    rng = np.random.default_rng(7)
    first, second = (moments(s * rng.normal(size=(2 * LARGE, LARGE))) for s in (1.0, 1.3))
    eigenvalues = np.linalg.eigvals(first.covariance @ second.covariance).real
    shift = first.mean - second.mean
    expected = shift @ shift + np.trace(first.covariance + second.covariance) - 2 * np.sqrt(eigenvalues).sum()
    assert distance_of_moments(first, second) == pytest.approx(expected, rel=1e-10)


def test_memory_is_a_few_covariances() -> None:
    covariance = np.eye(2 * LARGE)
    gaussian = Moments(9, np.zeros(2 * LARGE), covariance)
    tracemalloc.start()
    distance_of_moments(gaussian, gaussian)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 4 * covariance.nbytes


@pytest.mark.parametrize(("count", "bias"), [(64, 258.7), (256, 88.2), (1024, 22.1)])
def test_bias_of_equal_gaussians_in_256_dimensions(count: int, bias: float) -> None:
    """Of covariance M M' / d + 0.05 I; the values are those that a general eigenvalue routine gives."""
    rng = np.random.default_rng(0)
    mixing = rng.normal(size=(256, 256)) / 16
    root = np.linalg.cholesky(mixing @ mixing.T + 0.05 * np.eye(256))
    first, second = (rng.normal(size=(count, 256)) @ root.T for _ in range(2))
    assert frechet_distance(first, second, allow_biased=True) == pytest.approx(bias, rel=0.03)


def test_bias_falls_with_the_count_by_its_first_order() -> None:
    # Second order in the difference of covariances, l_i l_j / (l_i + l_j) + tr / 2; of the means 2 tr.
    variances = np.linspace(0.2, 3, 64)
    expected = (
        np.sum(np.outer(variances, variances) / np.add.outer(variances, variances)) + 2.5 * variances.sum()
    )
    rng = np.random.default_rng(1)
    for count in (1024, 4096):
        sides = (rng.normal(size=(count, 64)) * np.sqrt(variances) for _ in range(2))
        assert count * frechet_distance(*sides) == pytest.approx(expected, rel=0.06)
