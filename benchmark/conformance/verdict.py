"""What the kit found: steps with what was asked, what came and what it must be, and the words for it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from rich.console import Console
from rich.markup import escape
from rich.table import Table

Outcome = Literal["pass", "note", "fail"]
COLOURS = {"pass": "green", "note": "yellow", "fail": "red"}


@dataclass(frozen=True)
class Step:
    rung: str
    asked: str
    came: str
    expected: str
    outcome: Outcome
    says: str = ""
    """Of a failed step or a note: what it means, in words."""


@dataclass
class Verdict:
    function: str
    kind: str
    steps: list[Step] = field(default_factory=list)
    definition: str = ""
    """What the function computes, if it was recognised."""
    differs: str = ""
    """In what that differs from the standard definition; empty for the standard itself."""
    published: str = ""
    """Protocol or paper with this definition."""
    defect: str = ""
    """What is wrong with the definition, or empty for a sound one."""
    factor: str = ""
    """The unit or scale of the values, where it is not the standard's."""
    accuracy: str = ""
    listens: str = ""
    """Landmarks: which points count."""
    seconds: float = 0.0

    @property
    def passed(self) -> bool:
        """Whether a sound definition was recognised and no step has failed."""
        return (
            bool(self.definition) and not self.defect and all(step.outcome != "fail" for step in self.steps)
        )

    @property
    def looks_like(self) -> list[str]:
        """What is wrong, in words, the most telling first."""
        told = [self.defect] if self.defect else []
        failed = [step for step in self.steps if step.outcome == "fail"]
        told += [step.says for step in failed if step.says]
        if not told and not self.definition:
            told.append(
                "no definition that the kit knows, sound or broken; it fails because nobody could say what "
                "its numbers mean. Name what it computes, or send the definition to be added"
            )
        return list(dict.fromkeys(told))

    @property
    def notes(self) -> list[str]:
        return list(dict.fromkeys(s.says for s in self.steps if s.outcome == "note" and s.says))

    @property
    def sentence(self) -> str:
        """The verdict in one line."""
        if not self.passed:
            told = self.looks_like[: 1 if self.defect else 2]
            return f"FAILS. It looks like: {'; '.join(told) or 'a failed step, see above'}."
        protocol = f" (protocol {self.published})" if self.published else ""
        if not self.differs:
            return f"PASSES as the standard definition: {self.definition}{protocol}."
        if self.differs in self.definition:
            return f"PASSES as a variant of the standard{protocol}: {self.differs}."
        return f"PASSES as {self.definition}{protocol}. Differs from the standard: {self.differs}."

    def as_json(self) -> str:
        found: dict[str, Any] = asdict(self)
        found.update(passed=self.passed, looks_like=self.looks_like, notes=self.notes, sentence=self.sentence)
        return json.dumps(found, indent=1, ensure_ascii=False) + "\n"


def show(verdict: Verdict, console: Console) -> None:
    """The table of steps, then the verdict."""
    console.print(steps_table(verdict.steps))
    if verdict.listens:
        console.print(escape(f"It listens to: {verdict.listens}"))
    if verdict.definition:
        extra = ", ".join(part for part in (verdict.factor, verdict.accuracy) if part)
        console.print(escape(f"It computes: {verdict.definition}" + (f" ({extra})" if extra else "")))
    for note in verdict.notes:
        console.print(escape(f"Note: {note}"))
    colour = "green" if verdict.passed else "red"
    console.print(f"[bold {colour}]{escape(verdict.sentence)}[/]")
    for more in verdict.looks_like if not verdict.passed else ():
        if more in verdict.sentence:
            continue
        console.print(escape(f"Also: {more}"))


def steps_table(steps: Sequence[Step]) -> Table:
    table = Table(expand=False)
    for name in ("rung", "asked", "came", "must be", "verdict"):
        table.add_column(name, overflow="fold")
    for step in steps:
        mark = f"[{COLOURS[step.outcome]}]{step.outcome}[/]"
        table.add_row(escape(step.rung), escape(step.asked), escape(step.came), escape(step.expected), mark)
    return table
