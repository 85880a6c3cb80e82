"""KID: closed forms of the cubic kernel, unbiasedness, and the resampling of clips from sums of blocks."""

from __future__ import annotations

import numpy as np
import pytest

from benchmark.metrics.kid import kernel_distance, kernel_score


def brute(first: np.ndarray, second: np.ndarray) -> float:
    def kernel(x: np.ndarray, y: np.ndarray) -> float:
        return (float(x @ y) / len(x) + 1) ** 3

    def mean(pairs: list[float]) -> float:
        return sum(pairs) / len(pairs)

    own = [
        [kernel(x, y) for i, x in enumerate(s) for j, y in enumerate(s) if i != j] for s in (first, second)
    ]
    return mean(own[0]) + mean(own[1]) - 2 * mean([kernel(x, y) for x in first for y in second])


def test_it_is_the_mean_over_pairs() -> None:
    rng = np.random.default_rng(0)
    first, second = rng.normal(size=(9, 3)), rng.normal(size=(7, 3)) + 0.4
    assert kernel_distance(first, second) == pytest.approx(brute(first, second), rel=1e-12)


def test_points_have_a_closed_form() -> None:
    # All vectors of a side equal: k(a, a) + k(b, b) - 2 k(a, b).
    a, b = np.array([1.0, 2, 3]), np.array([0.0, -1, 1])
    expected = (14 / 3 + 1) ** 3 + (2 / 3 + 1) ** 3 - 2 * (1 / 3 + 1) ** 3
    assert kernel_distance(np.tile(a, (5, 1)), np.tile(b, (4, 1))) == pytest.approx(expected, rel=1e-12)


def test_it_is_unbiased_however_few_vectors_there_are() -> None:
    # One dimension, x ~ N(m, 1): E k(x, y) = E (xy + 1)^3 = (E x^3)(E y^3) + 3 (E x^2)(E y^2) + 3 mn + 1.
    def moment(m: float, n: float) -> float:
        return (m**3 + 3 * m) * (n**3 + 3 * n) + 3 * (m**2 + 1) * (n**2 + 1) + 3 * m * n + 1

    expected = moment(0, 0) + moment(0.5, 0.5) - 2 * moment(0, 0.5)
    rng = np.random.default_rng(0)
    values = [kernel_distance(rng.normal(size=(6, 1)), rng.normal(size=(6, 1)) + 0.5) for _ in range(20_000)]
    error = np.std(values) / np.sqrt(len(values))
    assert np.mean(values) == pytest.approx(expected, abs=4 * error)


def test_the_interval_is_that_of_scoring_drawn_clips() -> None:
    rng = np.random.default_rng(0)
    truth = [rng.normal(size=(n, 3)) for n in (5, 8, 6)]
    predicted = [x + 0.3 * rng.normal(size=x.shape) + 0.2 for x in truth]

    # The same three clips in every resample leave no spread.
    class Same:
        def integers(self, clips: int, size: int) -> np.ndarray:
            return np.arange(size)

    score = kernel_score(predicted, truth, rng=Same(), resamples=3)  # pyright: ignore
    assert score.low == pytest.approx(score.value, rel=1e-9)
    assert score.value == pytest.approx(kernel_distance(np.concatenate(predicted), np.concatenate(truth)))


def test_the_interval_covers_the_true_distance_of_independent_clips() -> None:
    # Each clip is one vector, so that clips are independent draws.
    inside = 0
    for seed in range(200):
        rng = np.random.default_rng(seed)
        predicted, truth = ([x + m for x in rng.normal(size=(40, 1, 2))] for m in (0.4, 0.0))
        score = kernel_score(predicted, truth, rng=rng)
        inside += score.low <= EXPECTED_2D <= score.high  # pyright: ignore
    assert inside >= 175


def _expected_2d() -> float:
    """By quadrature: E (x.y / 2 + 1)^3 of independent x ~ N(m, I), y ~ N(n, I) in two dimensions."""
    nodes, weights = np.polynomial.hermite_e.hermegauss(8)
    weights = weights / weights.sum()
    grid = np.stack(np.meshgrid(nodes, nodes), -1).reshape(-1, 2)
    mass = np.outer(weights, weights).ravel()

    def mean(m: float, n: float) -> float:
        return float(mass @ ((grid + m) @ (grid + n).T / 2 + 1) ** 3 @ mass)

    return mean(0, 0) + mean(0.4, 0.4) - 2 * mean(0, 0.4)


EXPECTED_2D = _expected_2d()


def test_features_whose_kernel_is_infinite_are_refused() -> None:
    features = np.random.default_rng(0).normal(size=(20, 4))
    with pytest.raises(ValueError, match=r"features: the largest is .*e\+200; expected at most 1e\+40"):
        kernel_distance(features * 1e200, features)
    assert np.isfinite(kernel_distance(features * 1e39, features))
