"""What a protocol is compared with: an independent implementation, on which inputs, and at what tolerance.

A file of cases makes a tuple of them; `tests.parity.report` prints all that it lists.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any


@dataclass(frozen=True)
class Agreement:
    """A protocol beside somebody else's code for it."""

    protocol: str
    package: str
    """The distribution that the other code is in; "" for a plain one written for the tests."""
    call: str
    """What is called there, with the settings that make it the same definition."""
    inputs: Mapping[str, tuple[Any, ...]]
    """By name, what both are given."""
    ours: Callable[..., float | None]
    theirs: Callable[..., float]
    tolerance: float
    relative: bool = False
    """Whether the tolerance, and the errors, are shares of the other's value."""

    @property
    def name(self) -> str:
        return f"{self.protocol} as {self.call}"

    @property
    def source(self) -> str:
        return f"{self.package} {version(self.package)}" if self.package else "written for the tests"

    def errors(self) -> dict[str, float]:
        """The difference on each input."""
        found = {}
        for name, given in self.inputs.items():
            ours = self.ours(*given)
            assert ours is not None, f"{self.protocol} has no value on {name}"
            theirs = float(self.theirs(*given))
            found[name] = abs(ours - theirs) / (abs(theirs) if self.relative else 1.0)
        return found


def named(cases: Sequence[Agreement]) -> dict[str, Any]:
    """Arguments of `pytest.mark.parametrize` for a test of each case."""
    return {"argnames": "case", "argvalues": cases, "ids": [case.name for case in cases]}
