"""The toy suite in forked processes: what took seconds to import is imported once.

`warm` imports and composes in this process, which must not compute anything; `start` forks a process that
runs the real command, whose workers are forked too instead of spawned. Every run lies in a folder of its
own, in `results` and `cache` below it, and is started there, so that one composed configuration fits all.
"""

from __future__ import annotations

import functools
import hashlib
import multiprocessing
import os
import re
import signal
import sys
import time
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

TOYS = Path(__file__).resolve().parents[1] / "toys"
ROOT = TOYS.parents[1]
SMALL = ("seeds=[0]", "ablations=[full]", "methods=[toy]")
PLACES = ("out=results", "cache=cache")
TINY = (*PLACES, *SMALL, "metrics.network_steps=0", "metrics.sync_steps=0", "metrics.resamples=2")
"""A study of one cell that takes a second."""
PATIENCE = 120.0
"""Seconds that a process may take on a machine that is busy with something else."""
COMMAND = [sys.executable, str(TOYS / "toy_run.py")]
"""The same command as a process of its own, started from nothing."""


class _Forking:
    """The `multiprocessing` module with workers that are forked: they inherit imports and injected faults."""

    def __getattr__(self, name: str) -> Any:
        return getattr(multiprocessing, name)

    def get_context(self, method: str | None = None) -> Any:
        return multiprocessing.get_context("fork")


@functools.cache
def warm() -> None:
    """Import what runs need and compose the tiny study, so that forked processes begin at once."""
    sys.path[:0] = [str(TOYS)]
    import torch
    import torch._dynamo  # imported by the first optimizer, for seconds
    import toy_run

    import models.rendering.video  # noqa: F401
    from benchmark import config, workers

    torch.set_num_threads(1)
    toy_run.lend(setattr, report=False)
    workers.multiprocessing = _Forking()  # pyright: ignore[reportAttributeAccessIssue]
    config.Composer.compose = functools.cache(config.Composer.compose)  # pyright: ignore
    tiny_plan()


@functools.cache
def tiny_plan() -> Any:
    """The plan of the tiny study, in paths relative to a run's folder."""
    from benchmark import config
    from benchmark.plan import make_plan
    from benchmark.study import Study, StudyConfig

    settings = config.load(["suite=toy", *TINY, "workers=1"], [str(TOYS / "configs")])
    plan = make_plan(settings, Study(StudyConfig.of(settings)))
    _ = plan.study.clips, plan.study.items
    return plan


@dataclass(frozen=True)
class Ended:
    """How a process ended."""

    code: int
    """The exit code; negative: the number of the signal that killed it."""
    stdout: str
    stderr: str

    @property
    def last(self) -> str:
        """The last line of the error output."""
        return (self.stderr.strip().splitlines() or [""])[-1]

    @property
    def trace(self) -> str:
        """The last traceback of the error output, on one line; empty without one."""
        _, mark, trace = self.stderr.rpartition("Traceback (most recent call last):")
        lines = [line.strip() for line in trace.splitlines() if line.strip()]
        return " | ".join(lines[-6:]) if mark else ""


@dataclass
class Running:
    """A forked process in a session of its own."""

    pid: int
    folder: Path
    status: int | None = None

    def poll(self) -> int | None:
        """The exit code, once it has ended."""
        if self.status is None:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                self.status = os.waitstatus_to_exitcode(status)
        return self.status

    def kill(self, signum: int = signal.SIGKILL, *, everyone: bool = False) -> None:
        """Send a signal to the process, or to all of its session."""
        try:
            (os.killpg if everyone else os.kill)(self.pid, signum)
        except ProcessLookupError:
            return

    def wait(self, seconds: float = PATIENCE) -> Ended:
        """Wait for its end.

        Raises:
            AssertionError: it did not end in `seconds`; it was killed.
        """
        deadline = time.monotonic() + seconds
        while self.poll() is None:
            if time.monotonic() > deadline:
                self.kill(everyone=True)
                os.waitpid(self.pid, 0)
                self.status = -signal.SIGKILL
                raise AssertionError(f"hung for {seconds:.0f} s: {self._read('err')[-300:]}")
            time.sleep(0.005)
        assert self.status is not None
        return Ended(self.status, self._read("out"), self._read("err"))

    def sleep(self, seconds: float) -> bool:
        """Wait at most so long; whether it has ended by itself."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            if self.poll() is not None:
                return True
            time.sleep(min(0.002, seconds))
        return self.poll() is not None

    def workers(self) -> list[int]:
        """Process ids of its workers."""
        try:
            children = Path(f"/proc/{self.pid}/task/{self.pid}/children").read_text().split()
            return [int(p) for p in children if "resource_tracker" not in _command(p)]
        except (FileNotFoundError, ProcessLookupError):
            return []

    def _read(self, ending: str) -> str:
        path = self.folder / f"{self.pid}.{ending}"
        return path.read_text(errors="replace") if path.exists() else ""


def _command(pid: str) -> str:
    return Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace")


def fork(folder: Path, work: Callable[[], int], environment: Mapping[str, str] | None = None) -> Running:
    """Fork a process that does `work` in `folder` and exits with what it returns."""
    folder.mkdir(parents=True, exist_ok=True)
    sys.stdout.flush()
    sys.stderr.flush()
    pid = os.fork()
    if pid:
        return Running(pid, folder)
    code = 70
    try:
        os.setsid()
        for number, ending in ((1, "out"), (2, "err")):
            target = os.open(folder / f"{os.getpid()}.{ending}", os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
            os.dup2(target, number)
            os.close(target)
        os.chdir(folder)
        os.environ.update(environment or {})
        code = work()
    except SystemExit as stop:
        code = stop.code if isinstance(stop.code, int) else 1
    except BaseException:
        traceback.print_exc()
    finally:
        try:
            sys.stdout.flush()
            sys.stderr.flush()
        finally:
            os._exit(code)


def start(
    folder: Path,
    *arguments: str,
    environment: Mapping[str, str] | None = None,
    before: Callable[[], object] = lambda: None,
) -> Running:
    """Fork the tiny study's command.

    Args:
        before: what the process does first: where faults are injected.
    """
    warm()

    def work() -> int:
        import toy_run

        from benchmark import signals

        before()
        signals.run_and_exit(lambda: toy_run.main([*TINY, *arguments]))

    return fork(folder, work, environment)


def run(folder: Path, *arguments: str, **options: Any) -> Ended:
    """Run the tiny study's command to its end, with one worker unless told otherwise."""
    workers = () if any(a.startswith("workers=") for a in arguments) else ("workers=1",)
    return start(folder, *workers, *arguments, **options).wait()


def train(folder: Path, *, checkpoint_seconds: float = 0.0, **options: Any) -> Running:
    """Fork a process that does the tiny study's training by itself: clips, features, network."""
    warm()
    before: Callable[[], object] = options.pop("before", lambda: None)

    def work() -> int:
        from benchmark.jobs import Surroundings, run_job

        before()
        plan = tiny_plan()
        said: list[str] = []
        around = Surroundings(
            plan.study, Path("results/stages"), checkpoint_seconds=checkpoint_seconds, say=said.append
        )
        for job in training_jobs():
            run_job(job, around)
        print("\n".join(said))
        return 0

    return fork(folder, work, **options)


def training_jobs() -> list[Any]:
    jobs = tiny_plan().jobs.values()
    return [j for j in jobs if j.key.startswith("prepare-training") or j.name in ("features", "net")]


def without_command(path: Path) -> bytes:
    """Return a file's bytes without the command of the run, which names the places that it was given."""
    data = path.read_bytes()
    if path.name == "manifest.json":
        # Up to the end of the JSON string, past escaped quotes.
        return re.sub(rb'python -m benchmark\.run (?:[^"\\]|\\.)*', b"", data)
    if path.name == "index.html":
        return re.sub(rb"python -m benchmark\.run [^<]*", b"", data)
    return data


def contents(folder: Path, *, below: str = "results") -> dict[str, str]:
    """Digests of all that a run left, but for its times, whose lock it was, and the command."""
    root = folder / below
    return {
        str(p.relative_to(root)): hashlib.sha256(without_command(p)).hexdigest()
        for p in sorted(root.rglob("*"))
        # A report's marker is a digest of the manifest, which holds the command.
        if p.is_file() and p.suffix not in (".seconds", ".lock") and p.name != ".report.json"
    }


def difference(found: Mapping[str, str], wanted: Mapping[str, str]) -> str:
    """What sets two `contents` apart, in words; empty if they are the same."""
    lost = sorted(wanted.keys() - found.keys())
    more = sorted(found.keys() - wanted.keys())
    other = sorted(k for k in wanted.keys() & found.keys() if wanted[k] != found[k])
    parts = [("missing", lost), ("left over", more), ("different", other)]
    return "; ".join(f"{what}: {', '.join(names[:3])}" for what, names in parts if names)


def remains(folder: Path) -> list[str]:
    """Temporary files and unfinished work in the folders of results and clips."""
    return sorted(
        str(p.relative_to(folder))
        for below in ("results", "cache")
        for p in (folder / below).rglob("*")
        if p.suffix in (".tmp", ".work")
    )


def identical(folder: Path, wanted: Mapping[str, str]) -> str:
    """Run the command again; what is wrong with what it leaves, empty if nothing is."""
    again = run(folder)
    if again.code != 0:
        return f"the next run ended with {again.code}: {again.last}"
    return difference(contents(folder), wanted) or "; ".join(remains(folder))
