"""Fréchet distance: closed forms, both ways of computing it, the refusal, interval and floor."""

from __future__ import annotations

import numpy as np
import pytest

from benchmark.metrics.frechet import (
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
