"""Calibration and agreement against scikit-learn, formulas, and logits whose temperature is known."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import log_softmax, softmax
from sklearn.metrics import cohen_kappa_score, log_loss

from benchmark.metrics.calibration import BINS, calibration, cohen_kappa, fit_temperature


def drawn(clips: int, temperature: float, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Logits (clips, 5) too sure by a factor `temperature`, and labels drawn from what they ought to say."""
    rng = np.random.default_rng(seed)
    honest = rng.normal(0, 2, (clips, 5))
    labels = (softmax(honest, axis=1).cumsum(1) > rng.random((clips, 1))).argmax(1)
    return temperature * honest, labels


@pytest.mark.parametrize("temperature", [0.4, 1.0, 3.0])
def test_the_temperature_of_synthetic_logits_is_found(temperature: float) -> None:
    assert fit_temperature(*drawn(20_000, temperature)) == pytest.approx(temperature, rel=0.05)


def test_no_temperature_has_a_smaller_loss() -> None:
    logits, labels = drawn(300, 2.0)
    every = np.arange(len(labels))

    def loss(temperature: float) -> float:
        return -log_softmax(logits / temperature, axis=1)[every, labels].mean()

    found = fit_temperature(logits, labels)
    assert loss(found) <= min(loss(t) for t in np.geomspace(0.05, 20, 500)) + 1e-9


def test_a_fitted_temperature_mends_the_calibration_of_other_clips() -> None:
    temperature = fit_temperature(*drawn(5000, 3.0))
    logits, labels = drawn(5000, 3.0, seed=1)
    before = calibration(softmax(logits, axis=1), labels)
    after = calibration(softmax(logits / temperature, axis=1), labels)
    assert before.ece > 0.1
    assert after.ece < 0.03
    assert after.log_loss < before.log_loss
    assert after.brier < before.brier
    assert after.accuracy == before.accuracy


def test_figures_agree_with_formulas_and_scikit_learn() -> None:
    logits, labels = drawn(400, 1.0)
    probabilities = softmax(logits, axis=1)
    found = calibration(probabilities, labels)
    assert found.clips == 400
    assert found.accuracy == np.mean(probabilities.argmax(1) == labels)
    assert found.log_loss == pytest.approx(log_loss(labels, probabilities), rel=1e-12)
    squares = [np.sum((p - np.eye(5)[label]) ** 2) for p, label in zip(probabilities, labels, strict=True)]
    assert found.brier == pytest.approx(np.mean(squares), rel=1e-12)
    gaps = 0.0
    for low in np.arange(BINS) / BINS:
        inside = [
            (p.max(), p.argmax() == label)
            for p, label in zip(probabilities, labels, strict=True)
            if low <= p.max() < low + 1 / BINS
        ]
        if inside:
            gaps += len(inside) / 400 * abs(np.mean([i[0] for i in inside]) - np.mean([i[1] for i in inside]))
    assert found.ece == pytest.approx(gaps, rel=1e-9)
    assert sum(b.count for b in found.bins) == 400


def test_a_sure_mistake_costs_much_but_not_everything() -> None:
    found = calibration(np.array([[1.0, 0.0]]), np.array([1]))
    assert found.accuracy == 0
    assert found.brier == 2
    assert found.ece == 1
    assert np.isfinite(found.log_loss)
    assert found.log_loss > 700


def test_the_temperature_stays_in_its_limits() -> None:
    right = np.array([[5.0, 0.0], [0.0, 5.0]])
    assert fit_temperature(right / 50, np.array([0, 1])) == pytest.approx(0.05, rel=1e-2)
    assert fit_temperature(right, np.array([1, 0])) == pytest.approx(20, rel=1e-2)


@pytest.mark.parametrize("seed", range(5))
def test_kappa_agrees_with_scikit_learn(seed: int) -> None:
    rng = np.random.default_rng(seed)
    first = rng.integers(4, size=60)
    second = np.where(rng.random(60) < 0.6, first, rng.integers(4, size=60))
    table = np.zeros((4, 4), int)
    np.add.at(table, (first, second), 1)
    assert cohen_kappa(table) == pytest.approx(cohen_kappa_score(first, second), abs=1e-12)


def test_kappa_has_its_landmarks() -> None:
    assert cohen_kappa([[3, 0], [0, 5]]) == 1
    assert cohen_kappa([[4, 4], [4, 4]]) == pytest.approx(0)
    assert cohen_kappa([[0, 5], [5, 0]]) == pytest.approx(-1)
    assert cohen_kappa([[9, 0], [0, 0]]) is None, "two judges who only ever say one thing"


def test_what_does_not_fit_is_refused() -> None:
    with pytest.raises(ValueError, match=r"got \(2, 2\) and \(3,\)"):
        calibration(np.full((2, 2), 0.5), np.array([0, 1, 0]))
    with pytest.raises(ValueError, match="expected"):
        fit_temperature(np.zeros((0, 2)), np.zeros(0, int))
    with pytest.raises(ValueError, match="square"):
        cohen_kappa([[1, 2]])
    with pytest.raises(ValueError, match="a clip or more"):
        cohen_kappa([[0, 0], [0, 0]])
