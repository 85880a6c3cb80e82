"""docs/reliability.md: the matrix with the outcomes that were recorded."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tests.faults.matrix import NOT_BUILT, ROWS, Row
from tests.faults.toys import ROOT

PAGE = ROOT / "docs" / "reliability.md"
SCALES = ("ci", "large")
RECORDED = Path(__file__).with_name("recorded.json")

HEAD = """\
# What the suite survives

Written by `python -m tests.faults --page` from the outcomes in `tests/faults/recorded.json`; not typed.

Each row is a fault that is injected and counted. "Identical" and "the same bytes" mean: records, tables,
weights and logs are byte for byte those of an undisturbed run with the same build of torch and the same
instruction set. Exit codes: 0 done, 2 a command line or data set that cannot be run, 3 some cells FAILED,
4 a storage fault, 75, 130 and 143 interrupted by SIGUSR1, SIGINT and SIGTERM.

```
make faults                  # all rows with the large counts: hours
make faults ROWS=1,22        # some rows; the outcomes are kept, and this page is written again
make faults COUNTS=ci        # the small counts that .ci/run uses: minutes
```

A row that is "not built yet" has nothing behind it: the suite makes no promise there. Where "as expected"
is less than "tried", what came instead stands below the table.
"""


def read() -> dict[int, dict[str, Any]]:
    """The recorded outcomes by row."""
    if not RECORDED.exists():
        return {}
    return {result["row"]: result for result in json.loads(RECORDED.read_text(encoding="utf-8"))}


def record(results: Sequence[dict[str, Any]]) -> None:
    """Keep outcomes, and write the page; those of a row replace its earlier ones."""
    known = read()
    for result in results:
        known[result["row"]] = result
    rows = [known[number] for number in sorted(known)]
    RECORDED.write_text(json.dumps(rows, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    write()


def seconds_of(number: int, scale: int) -> float:
    """How long a row took when it was last recorded at this scale; a guess where it never was."""
    result = read().get(number)
    return float(result["seconds"]) if result and result["counts"] == SCALES[scale] else 60.0


def write() -> None:
    PAGE.write_text(page(), encoding="utf-8")


def page() -> str:
    recorded = read()
    lines = [
        HEAD,
        "| # | fault | expected outcome | tried | as expected |",
        "| ---: | --- | --- | ---: | ---: |",
    ]
    lines += [_line(row, recorded.get(row.number)) for row in ROWS]
    lines += ["", *_others(recorded), *_unsupported(), *_injections(recorded)]
    return "\n".join(lines) + "\n"


def _line(row: Row, result: dict[str, Any] | None) -> str:
    if not row.built:
        outcome = f"{NOT_BUILT} | –"
    elif result is None:
        outcome = "not run yet | –"
    else:
        outcome = f"{result['tried']:,} | {result['expected']:,}"
    return f"| {row.number} | {_cell(row.fault)} | {_cell(row.expected)} | {outcome} |"


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def _others(recorded: dict[int, dict[str, Any]]) -> list[str]:
    rows = [
        f"- Row {number}: {count:,} x {_plain(what)}"
        for number, result in sorted(recorded.items())
        for what, count in result["others"].items()
    ]
    return ["## What came instead", "", *rows, ""] if rows else []


def _plain(text: str) -> str:
    """Text of a program as code, so that nothing in it is markup."""
    return "`" + text.replace("`", "'") + "`"


def _unsupported() -> list[str]:
    rows = [
        f"- Row {r.number}, {r.fault[0].lower() + r.fault[1:]}: {r.injection}" for r in ROWS if not r.built
    ]
    rows += [f"- Row {r.number}: {r.missing}" for r in ROWS if r.built and r.missing]
    return ["## What is not covered", "", *rows, ""]


def _injections(recorded: dict[int, dict[str, Any]]) -> list[str]:
    lines = ["## How each fault is injected", ""]
    for row in ROWS:
        if not row.built:
            continue
        result = recorded.get(row.number)
        ran = ""
        if result is not None:
            notes = "".join(f" {note[0].upper() + note[1:]}." for note in result["notes"])
            ran = f"{notes} *Run at commit {result['commit']}, {result['cpu']:,} s of one core.*"
        lines.append(f"{row.number}. {row.injection}{ran}")
    return lines
