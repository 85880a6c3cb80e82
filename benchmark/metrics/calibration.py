"""Whether a judge's probabilities are what they say, and how far two judges agree beyond chance.

A judge is calibrated if of the clips that it is 80 % sure of 80 % are as it says. One temperature that
divides all logits, fitted on speakers that were left out, makes it so without changing a verdict.

Source: Guo et al., "On Calibration of Modern Neural Networks", ICML 2017 (temperature, ECE); Brier, Monthly
Weather Review 1950 (the form summed over classes, 0 to 2); Cohen, Educational and Psychological Measurement
1960 (kappa).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import log_softmax

BINS = 10
COOLEST, HOTTEST = 0.05, 20.0
"""Limits of a temperature: clips that are all judged rightly would ask for none."""


@dataclass(frozen=True)
class Bin:
    """The clips whose verdict is about equally sure."""

    count: int
    confidence: float
    """Mean probability of the verdict."""
    accuracy: float
    """Share of right verdicts."""


@dataclass(frozen=True)
class Calibration:
    clips: int
    accuracy: float
    log_loss: float
    """Mean of -ln p of the true class."""
    brier: float
    """Mean over clips of the squared distance of the probabilities to the truth, 0 to 2."""
    ece: float
    """Expected calibration error: mean over clips of |confidence - accuracy| of their bin."""
    bins: tuple[Bin, ...]
    """Of the `BINS` equal parts of [0, 1] those with clips, least sure first."""


def calibration(probabilities: np.ndarray, labels: np.ndarray) -> Calibration:
    """How good (clips, classes) probabilities are for (clips,) labels.

    Raises:
        ValueError: there are no clips, or shapes that do not fit.
    """
    _check(probabilities, labels)
    every = np.arange(len(labels))
    sure, right = probabilities.max(1), probabilities.argmax(1) == labels
    wanted = np.zeros_like(probabilities)
    wanted[every, labels] = 1
    # An impossible truth costs much, not everything.
    chosen = np.maximum(probabilities[every, labels], np.finfo(float).tiny)
    bins = _bins(sure, right)
    return Calibration(
        clips=len(labels),
        accuracy=float(right.mean()),
        log_loss=float(-np.log(chosen).mean()),
        brier=float(((probabilities - wanted) ** 2).sum(1).mean()),
        ece=sum(b.count * abs(b.confidence - b.accuracy) for b in bins) / len(labels),
        bins=bins,
    )


def _check(values: np.ndarray, labels: np.ndarray) -> None:
    if values.ndim != 2 or labels.shape != (len(values),) or len(values) == 0:
        raise ValueError(f"expected (clips, classes) and (clips,), got {values.shape} and {labels.shape}")


def _bins(sure: np.ndarray, right: np.ndarray) -> tuple[Bin, ...]:
    places = np.minimum((sure * BINS).astype(int), BINS - 1)
    return tuple(
        Bin(int(inside.sum()), float(sure[inside].mean()), float(right[inside].mean()))
        for number in range(BINS)
        if (inside := places == number).any()
    )


def fit_temperature(logits: np.ndarray, labels: np.ndarray) -> float:
    """The temperature T for which softmax(logits / T) has the least log loss, between 0.05 and 20.

    Raises:
        ValueError: there are no clips, or shapes that do not fit.
    """
    _check(logits, labels)
    every = np.arange(len(labels))

    def loss(log_temperature: float) -> float:
        return float(-log_softmax(logits / math.exp(log_temperature), axis=1)[every, labels].mean())

    # A large import that only the fit of a temperature needs.
    from scipy.optimize import minimize_scalar

    found = minimize_scalar(
        loss, bounds=(math.log(COOLEST), math.log(HOTTEST)), method="bounded", options={"xatol": 1e-6}
    )
    return float(math.exp(found.x))


def cohen_kappa(counts: np.ndarray | Sequence[Sequence[int]]) -> float | None:
    """Agreement beyond chance of a (classes, classes) table of one judge's verdicts by another's.

    None where chance alone agrees always: both judges saw one class only.

    Raises:
        ValueError: the table is not square, or holds no clip.
    """
    table = np.asarray(counts, float)
    if table.ndim != 2 or table.shape[0] != table.shape[1] or table.sum() <= 0:
        raise ValueError(f"expected a square table of counts with a clip or more, got shape {table.shape}")
    share = table / table.sum()
    by_chance = float(share.sum(1) @ share.sum(0))
    if by_chance >= 1:
        return None
    return (float(np.trace(share)) - by_chance) / (1 - by_chance)
