"""Progress on standard error: bars on a terminal, lines elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

Advance = Callable[[int, int], None]
"""Called with how much is done, of how much."""

LINES = 10
"""Lines at most between the first and the last of one piece of work, where there is no terminal."""


@contextmanager
def working(what: str) -> Iterator[Advance]:
    """Shows a piece of work from its begin to its end."""
    started = time.monotonic()
    with _bar(what) if sys.stderr.isatty() else _lines(what, started) as advance:
        yield advance
    say(f"{what}: {time.monotonic() - started:.1f} s")


def say(message: str) -> None:
    print(message, file=sys.stderr, flush=True)


@contextmanager
def _bar(what: str) -> Iterator[Advance]:
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.percentage:>3.0f} %"))
    console = Console(file=sys.stderr)
    with Progress(*columns, TimeRemainingColumn(), console=console, transient=True) as bars:
        task = bars.add_task(what, total=None)
        yield lambda done, total: bars.update(task, completed=done, total=total)


@contextmanager
def _lines(what: str, started: float) -> Iterator[Advance]:
    shown = 0

    def advance(done: int, total: int) -> None:
        nonlocal shown
        tenth = LINES * done // max(total, 1)
        if tenth > shown and done < total and time.monotonic() - started > 3:
            shown = tenth
            left = (time.monotonic() - started) * (total - done) / done
            say(f"{what}: {100 * done // total} %, about {left:.0f} s left")

    yield advance
