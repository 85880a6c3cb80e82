"""Doing a plan: jobs in the order of the longest way still to go, failures kept to the cells they touch."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from benchmark.config import Settings
from benchmark.errors import ConfigError
from benchmark.plan import Job, Plan
from benchmark.progress import Display, Estimates
from benchmark.records import write_text
from benchmark.signals import check, deferred
from benchmark.study import StudyConfig
from benchmark.tracking import CONNECT, OFFLINE, ONLINE
from benchmark.training.stage_cache import past_seconds
from benchmark.workers import (
    Done,
    Failed,
    Pool,
    Progressed,
    Recovered,
    Refused,
    Said,
    Stalled,
    Unlike,
    WorkerSetup,
)
from models import targets
from models.errors import StorageError

MAX_REFUSALS = 2
"""How often the same job may send the same input back before it fails."""


@dataclass
class Outcome:
    """What became of a plan's jobs."""

    failures: dict[str, str] = field(default_factory=dict)
    """Job key -> reason, for jobs that failed themselves."""
    warnings: list[str] = field(default_factory=list)
    done: list[str] = field(default_factory=list)

    def reason(self, key: str, jobs: Mapping[str, Job]) -> str | None:
        """Why a job has no result: its own failure, or that of something it reads."""
        if key in self.failures:
            return f"{jobs[key].name}: {self.failures[key]}"
        for need in jobs[key].needs:
            found = self.reason(need, jobs)
            if found is not None:
                return found
        return None


def longest_ways(jobs: Sequence[Job], seconds: Callable[[Job], float]) -> dict[str, float]:
    """Seconds from each job's start to the end of the longest chain that waits for it."""
    waiting: dict[str, list[str]] = {job.key: [] for job in jobs}
    for job in jobs:
        for need in job.needs:
            if need in waiting:
                waiting[need].append(job.key)
    by_key = {job.key: job for job in jobs}
    ways: dict[str, float] = {}
    for job in reversed(_ordered(jobs)):
        ways[job.key] = seconds(by_key[job.key]) + max((ways[k] for k in waiting[job.key]), default=0.0)
    return ways


def _ordered(jobs: Sequence[Job]) -> list[Job]:
    """Upstream before downstream."""
    by_key = {job.key: job for job in jobs}
    seen: dict[str, Job] = {}

    def visit(job: Job) -> None:
        if job.key in seen:
            return
        for need in job.needs:
            if need in by_key:
                visit(by_key[need])
        seen[job.key] = job

    for job in jobs:
        visit(job)
    return list(seen.values())


def worker_setup(settings: Settings, plan: Plan) -> WorkerSetup:
    study = plan.study.config
    return WorkerSetup(
        numerics=plan.numerics,
        # Of a plan's own study, what was left out; the rest may be that of another corpus.
        study=replace(StudyConfig.of(settings).without(study.unusable), notes=study.notes),
        stages=settings.out / "stages",
        checkpoint_seconds=settings.checkpoint_seconds,
        tracking=settings.tracking,
        run_directory=settings.run_directory,
        packages=targets.PACKAGES,
        stall_seconds=settings.stall_seconds,
        end_stalled=settings.stall == "fail",
        places=(settings.out, settings.cache),
        # A plan without cells has another study than its settings' own.
        identities=plan.study.identities() if plan.cells else {},
    )


def do_jobs(settings: Settings, plan: Plan, jobs: Sequence[Job], mirrors: Mapping[str, Job]) -> Outcome:
    """Do what is to be done.

    Args:
        mirrors: by the key of a score job, what mirrors its cells to the tracker; never a reason to fail.

    Raises:
        Interrupted: by a signal; workers have saved their state and ended.
        StorageError: the disk failed; nothing half written is visible.
    """
    every = [*jobs, *mirrors.values()]
    outcome = Outcome()
    if not every:
        return outcome
    estimates = Estimates(past_seconds(settings.out / "stages"))
    ways = longest_ways(every, estimates.seconds)
    known = {**plan.jobs, **{job.key: job for job in mirrors.values()}}
    queue = Queue(known, {job.key: job for job in sorted(every, key=lambda j: -ways[j.key])})
    with (
        deferred(),
        Display(every, settings.workers, estimates) as display,
        Pool(settings.workers, worker_setup(settings, plan)) as pool,
    ):
        while queue.waiting or pool.running:
            check()
            _submit(pool, queue, display)
            for event in pool.events(timeout=0.5):
                _take(event, settings, queue, outcome, display)
            _give_up(queue, outcome, display)
    return outcome


@dataclass
class Queue:
    """Jobs that are still to do, in the order of their urgency."""

    known: Mapping[str, Job]
    waiting: dict[str, Job]
    unfinished: set[str] = field(init=False)
    """Keys of jobs that wait or run; what is not in it is taken to be there."""
    _offline: set[str] = field(default_factory=set)
    """Keys of jobs that no longer speak with the W&B server."""
    _refusals: Counter[tuple[str, str]] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        self.unfinished = set(self.waiting)

    def ready(self, job: Job) -> bool:
        return self.unfinished.isdisjoint(job.needs)

    def online(self, key: str) -> bool:
        """Whether a job speaks with the W&B server."""
        return self.known[key].payload.get("mode") == ONLINE and key not in self._offline

    def keep_offline(self) -> bool:
        """Let no further job speak with the server; whether that is news."""
        news = CONNECT not in self._offline
        self._offline |= {CONNECT, *self.waiting}
        self.waiting = {key: self._quiet(job) for key, job in self.waiting.items()}
        return news

    def put_back(self, key: str) -> None:
        """Let a job that was to speak with the server wait again, to do without."""
        self._offline.add(key)
        self.waiting[key] = self._quiet(self.known[key])

    def _quiet(self, job: Job) -> Job:
        if job.payload.get("mode") != ONLINE:
            return job
        return replace(job, payload={**job.payload, "mode": OFFLINE})

    def again(self, key: str, needed: str) -> list[Job]:
        """Put a job back behind those that make again what it cannot read.

        Args:
            needed: key of another job, or the id of a clip. A clip without such a job is its reader's.

        Returns:
            Those jobs, or [] to give up.
        """
        self._refusals[key, needed] += 1
        if self._refusals[key, needed] > MAX_REFUSALS:
            return []
        if needed in self.known:
            makers = [k for k in self.known[needed].needs if self.known[k].kind == "prepare"] + [needed]
        else:
            makers = [k for k, j in self.known.items() if needed in j.payload.get("clips", ())] or [key]
        fresh = [self.known[k] for k in makers if k not in self.unfinished]
        first = {job.key: job for job in (*fresh, self.known[key])}
        self.waiting = {**first, **{k: job for k, job in self.waiting.items() if k not in first}}
        self.unfinished.update(first)
        return [self.known[makers[-1]], *fresh]


def _submit(pool: Pool, queue: Queue, display: Display) -> None:
    for key, job in list(queue.waiting.items()):
        if not pool.free:
            return
        if queue.ready(job):
            del queue.waiting[key]
            display.begin(key)
            pool.submit(job)


def _take(event: Any, settings: Settings, queue: Queue, outcome: Outcome, display: Display) -> None:
    if isinstance(event, Unlike):
        raise ConfigError(event.reason)
    if isinstance(event, Refused):
        fresh = queue.again(event.key, event.input)
        if fresh:
            display.again(event.key, fresh, event.reason)
            return
        event = Failed(event.key, event.reason)
    if isinstance(event, Failed) and queue.online(event.key):
        _go_offline(event, settings, queue, outcome, display)
    elif isinstance(event, Progressed):
        display.progress(event.key, event.done, event.total)
    elif isinstance(event, Said):
        display.say(event.message)
    elif isinstance(event, Stalled):
        display.stalled(event.key, f"{event.sentence}{_keep_stack(event, settings)}")
    elif isinstance(event, Recovered):
        display.recovered(event.key)
    elif isinstance(event, Done | Failed):
        queue.unfinished.discard(event.key)
        _end(event, settings, outcome, display)


def _go_offline(event: Failed, settings: Settings, queue: Queue, outcome: Outcome, display: Display) -> None:
    """Let all cells be mirrored to disk from now on: the server is not waited for again in this run."""
    if queue.keep_offline():
        place = settings.run_directory / "wandb" / "wandb"
        outcome.warnings.append(
            f"W&B was not reached ({event.reason}): this run is kept offline; send it with "
            f"`wandb sync {place}/offline-run-*`"
        )
    if event.key == CONNECT:
        queue.unfinished.discard(event.key)
        outcome.done.append(event.key)
        display.end(event.key, 0.0, note="not reached")
    else:
        queue.put_back(event.key)
        display.put_back(event.key)


def _keep_stack(event: Stalled, settings: Settings) -> str:
    """Write a stalled job's stack into the run's folder, and say where."""
    if not event.stack:
        return "; it cannot say where it stands"
    place = settings.run_directory / "failures" / f"{event.key}.stalled.txt"
    write_text(place, f"{event.sentence}\n\n{event.stack}")
    return f"; where it stands: {place}"


def _end(event: Done | Failed, settings: Settings, outcome: Outcome, display: Display) -> None:
    trace = settings.run_directory / "failures" / f"{event.key}.txt"
    if isinstance(event, Done):
        trace.unlink(missing_ok=True)
        trace.with_suffix(".stalled.txt").unlink(missing_ok=True)
        outcome.done.append(event.key)
        display.end(event.key, event.seconds)
    elif event.key.startswith("mirror-"):
        outcome.warnings.append(f"not mirrored to W&B: {event.reason}")
        outcome.done.append(event.key)
        display.end(event.key, 0.0, note="not mirrored")
    elif event.storage:
        raise StorageError(event.reason)
    else:
        outcome.failures[event.key] = event.reason
        if event.trace:
            write_text(trace, event.trace)
        display.end(event.key, None, note=event.reason)


def _give_up(queue: Queue, outcome: Outcome, display: Display) -> None:
    if not outcome.failures:
        return
    lost: list[str] = []
    for key in list(queue.waiting):
        if outcome.reason(key, queue.known) is not None:
            del queue.waiting[key]
            queue.unfinished.discard(key)
            lost.append(key)
    display.drop(lost)


def failed_cells(plan: Plan, outcome: Outcome) -> dict[str, str]:
    """Cell name -> reason."""
    found: dict[str, str] = {}
    for cell in plan.cells:
        for key in (cell.score, cell.probe):
            reason = outcome.reason(key, plan.jobs) if key is not None else None
            if reason is not None:
                found.setdefault(cell.name, reason)
    return found


def unobserved(plan: Plan, outcome: Outcome) -> list[str]:
    """Why the page cannot say what each metric sees: no reason for a cell to fail, but one to tell."""
    reason = None if plan.observed is None else outcome.reason(plan.observed, plan.jobs)
    return [] if reason is None else [f"not known what each metric can see: {reason}"]
