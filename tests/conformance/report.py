"""The verdict on every planted and every sound function: python -m tests.conformance.report"""

from __future__ import annotations

import sys

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from benchmark.conformance.verdict import Verdict
from tests.conformance.cases import FRAMES, OURS, PLAIN, PLANTED, THIRD_PARTY, Case

GROUPS = {
    "planted": PLANTED,
    "third party": THIRD_PARTY,
    "plain NumPy": (*PLAIN, *FRAMES),
    "this project": OURS,
}


def as_it_must_be(case: Case, verdict: Verdict) -> bool:
    return verdict.passed == (case not in PLANTED) and all(word in verdict.sentence for word in case.words)


def main() -> int:
    """The number of verdicts that are not what they must be."""
    table = Table(title="Verdicts of the conformance kit")
    for name in ("", "function", "kind", "verdict", "right", "s"):
        table.add_column(name, overflow="fold")
    wrong = 0
    for group, cases in GROUPS.items():
        for case in cases:
            if not case.can_run:
                table.add_row(group, case.id, case.kind, f"not run: {case.needs} is not installed", "", "")
                continue
            verdict = case.verdict()
            good = as_it_must_be(case, verdict)
            wrong += not good
            mark = "yes" if good else "[red]NO[/]"
            row = (group, case.id, case.kind, escape(verdict.sentence), mark, f"{verdict.seconds:.1f}")
            table.add_row(*row)
    Console(width=150).print(table)
    return wrong


if __name__ == "__main__":
    sys.exit(main())
