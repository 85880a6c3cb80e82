"""Counting outcomes: how many faults were injected, how many ended as expected, and what else came."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

MAX_TEXT = 600
MAX_KINDS = 8
"""How many different unexpected outcomes a tally prints."""


@dataclass
class Tally:
    """The outcomes of one row."""

    tried: int = 0
    expected: int = 0
    others: Counter[str] = field(default_factory=Counter)
    """Unexpected outcome -> how often it came."""
    notes: list[str] = field(default_factory=list)
    """What a reader of the numbers must know: parts that could not be run here, figures that were
    measured."""

    def add(self, expected: bool, other: str = "something else") -> None:
        """Count one injection.

        Args:
            other: what came instead of the expected outcome.
        """
        self.tried += 1
        if expected:
            self.expected += 1
        else:
            self.others[" ".join(other.split())[:MAX_TEXT]] += 1

    @contextmanager
    def case(self, name: str) -> Iterator[None]:
        """Count the block as one injection: an exception out of it is an unexpected outcome."""
        try:
            yield
        except Exception as error:
            self.add(False, f"{name}: {type(error).__name__}: {error}")
        else:
            self.add(True)

    def as_json(self) -> dict[str, Any]:
        others = dict(self.others.most_common(MAX_KINDS))
        return {"tried": self.tried, "expected": self.expected, "others": others, "notes": self.notes}


def check(condition: bool, otherwise: str) -> None:
    """Raise AssertionError where a case's outcome is not the expected one; unlike assert, never optimised
    away."""
    if not condition:
        raise AssertionError(otherwise)
