"""What the user sees while a suite runs: a live display, or one line per finished job without a terminal."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from rich.console import Console, Group
from rich.live import Live
from rich.markup import escape
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from benchmark.plan import Job

DEFAULT_SECONDS = {
    "prepare": 8.0,
    "stage": 30.0,
    "judge": 5.0,
    "truth": 15.0,
    "predict": 20.0,
    "score": 20.0,
    "observe": 60.0,
}
"""Guesses for what was never timed here; corrected by the first job of a kind."""


def duration(seconds: float) -> str:
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"


class Estimates:
    """Seconds of a job, from what jobs of its name took before, here or in an earlier run."""

    def __init__(self, past: Mapping[str, float]) -> None:
        self._past = dict(past)
        self._now: dict[str, list[float]] = {}

    def learn(self, job: Job, seconds: float) -> None:
        self._now.setdefault(job.name, []).append(seconds)

    def known(self, job: Job) -> bool:
        return job.name in self._now or job.name in self._past

    def seconds(self, job: Job) -> float:
        if job.name in self._now:
            values = self._now[job.name]
            return sum(values) / len(values)
        return self._past.get(job.name, DEFAULT_SECONDS.get(job.kind, 5.0))


class Display:
    """Progress over the whole suite."""

    def __init__(
        self, jobs: Iterable[Job], workers: int, estimates: Estimates, console: Console | None = None
    ) -> None:
        self.jobs = {job.key: job for job in jobs}
        self.workers, self.estimates = workers, estimates
        self.console = console or Console(file=sys.stderr, highlight=False, soft_wrap=True)
        self.finished: set[str] = set()
        self.shares: dict[str, float] = {}
        self.silent: set[str] = set()
        """Running jobs that make no progress."""
        self.started = time.monotonic()
        self._live: Live | None = None

    def __enter__(self) -> Display:
        if self.console.is_terminal:
            self._live = Live(self._render(), console=self.console, refresh_per_second=4, transient=True)
            self._live.start()
        return self

    def __exit__(self, *rest: Any) -> None:
        if self._live is not None:
            self._live.stop()

    def begin(self, key: str) -> None:
        self.shares[key] = 0.0
        self._refresh()

    def stalled(self, key: str, message: str) -> None:
        """Name a job that makes no progress."""
        self.silent.add(key)
        self.say(message)
        self._refresh()

    def recovered(self, key: str) -> None:
        self.silent.discard(key)
        self.say(f"{key}: goes on")
        self._refresh()

    def progress(self, key: str, done: int, total: int) -> None:
        self.shares[key] = done / max(total, 1)
        self._refresh()

    def end(self, key: str, seconds: float | None, note: str = "") -> None:
        """`seconds` is None for a job that failed."""
        self.shares.pop(key, None)
        self.silent.discard(key)
        self.finished.add(key)
        if seconds is not None:
            self.estimates.learn(self.jobs[key], seconds)
        took = duration(seconds) if seconds is not None else "FAILED"
        left = f", about {duration(self.remaining())} left" if len(self.finished) < len(self.jobs) else ""
        if self._live is None or seconds is None:
            self.say(f"[{len(self.finished)}/{len(self.jobs)}] {key}: {took}{note and f' ({note})'}{left}")
        self._refresh()

    def drop(self, keys: Sequence[str]) -> None:
        """Jobs that will not run, because something that they read has failed."""
        self.finished.update(keys)
        if keys:
            names = ", ".join(dict.fromkeys(self.jobs[key].name for key in keys))
            self.say(f"[{len(self.finished)}/{len(self.jobs)}] not run for that reason: {names}")
        self._refresh()

    def again(self, key: str, jobs: Iterable[Job], reason: str) -> None:
        """A job goes back to wait for `jobs`, which have to be done again."""
        self.shares.pop(key, None)
        for job in jobs:
            self.jobs[job.key] = job
            self.finished.discard(job.key)
        self.say(f"{reason}: it is computed again")
        self._refresh()

    def put_back(self, key: str) -> None:
        """Let a job that ran wait again."""
        self.shares.pop(key, None)
        self._refresh()

    def say(self, message: str) -> None:
        self.console.print(escape(message))

    def remaining(self) -> float:
        """Seconds, if the work divides evenly over the workers."""
        left = 0.0
        for key, job in self.jobs.items():
            if key not in self.finished:
                left += self.estimates.seconds(job) * (1 - self.shares.get(key, 0.0))
        return left / max(self.workers, 1)

    def _refresh(self) -> None:
        if self._live is not None:
            self._live.update(self._render())

    def _render(self) -> Group:
        head = Text(
            f"{len(self.finished)} of {len(self.jobs)} jobs, "
            f"{duration(time.monotonic() - self.started)} so far, "
            f"about {duration(self.remaining())} left"
        )
        table = Table.grid(padding=(0, 1))
        table.add_row(
            "all", ProgressBar(total=max(len(self.jobs), 1), completed=len(self.finished), width=40)
        )
        for key, share in self.shares.items():
            note = f"{100 * share:.0f} %" + (", no progress" if key in self.silent else "")
            table.add_row(Text(key), ProgressBar(total=1.0, completed=share, width=40), note)
        return Group(head, table)
