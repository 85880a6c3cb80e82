"""Which definition of a catalogue gives the values that a function gave on the probes."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

Pair = tuple[np.ndarray, np.ndarray]
Gauge = Literal["factor", "offset", "none"]

EXACT = 1e-6
SINGLE = 3e-4
"""Largest relative deviations of an implementation in double and in single precision."""


@dataclass(frozen=True)
class Definition:
    """One way to compute a metric."""

    name: str
    compute: Callable[[np.ndarray, np.ndarray], float]
    differs: str = ""
    """In what it differs from the standard definition."""
    defect: str = ""
    """What is wrong with it; empty for a sound one."""
    published: str = ""
    traits: Any = None
    """What the kind's own rungs need to know of it."""


@dataclass(frozen=True)
class Fit:
    """A definition, and what its values are multiplied by or increased by to give the function's."""

    definition: Definition
    gauge: Gauge
    constant: float
    error: float
    """Largest relative deviation on the probes."""

    def __call__(self, predicted: np.ndarray, target: np.ndarray) -> float:
        """The value that the function must have; NaN where the definition has none."""
        return _applied(self.gauge, self.constant, _computed(self.definition, predicted, target))

    @property
    def plain(self) -> bool:
        """Whether no factor or offset is needed."""
        return self.constant == (1.0 if self.gauge == "factor" else 0.0)


def fit(
    definitions: Iterable[Definition], probes: Sequence[Pair], values: Sequence[float], gauge: Gauge = "none"
) -> Fit | None:
    """The first definition that gives the values exactly, else the nearest in single precision, else None.

    One with a constant of its own comes after all that need none.
    """
    fits = [f for d in definitions if (f := _fitted(d, probes, values, gauge)) is not None]
    exact = [f for f in fits if f.error <= EXACT]
    if exact:
        return min(exact, key=lambda f: not f.plain)
    return min(fits, key=lambda f: (not f.plain, f.error), default=None)


def _fitted(
    definition: Definition, probes: Sequence[Pair], values: Sequence[float], gauge: Gauge
) -> Fit | None:
    found: list[float] = []
    constant = 0.0
    for (predicted, target), value in zip(probes, values, strict=True):
        found.append(_computed(definition, predicted, target))
        if not math.isfinite(found[-1]):
            return None
        constant = _constant(gauge, found, values[: len(found)])
        if _deviation(_applied(gauge, constant, found[-1]), value) > 2 * SINGLE:
            return None
    errors = [_deviation(_applied(gauge, constant, f), v) for f, v in zip(found, values, strict=True)]
    return Fit(definition, gauge, constant, max(errors)) if max(errors) <= SINGLE else None


def _computed(definition: Definition, predicted: np.ndarray, target: np.ndarray) -> float:
    with np.errstate(all="ignore"):
        try:
            return float(definition.compute(predicted, target))
        except (ValueError, IndexError, ZeroDivisionError, np.linalg.LinAlgError):
            return math.nan


def _constant(gauge: Gauge, found: Sequence[float], values: Sequence[float]) -> float:
    """The factor or offset that the values suggest; none if they do without."""
    neutral = 1.0 if gauge == "factor" else 0.0
    if gauge == "none" or all(_deviation(f, v) <= SINGLE for f, v in zip(found, values, strict=True)):
        return neutral
    if gauge == "offset":
        return float(np.median(np.subtract(values, found)))
    if any(f == 0 for f in found):
        return neutral
    return float(np.median(np.divide(values, found)))


def _applied(gauge: Gauge, constant: float, value: float) -> float:
    return value * constant if gauge == "factor" else value + constant if gauge == "offset" else value


def _deviation(expected: float, value: float) -> float:
    return abs(expected - value) / max(abs(expected), abs(value), 1e-300)
