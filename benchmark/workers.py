"""Worker processes of one thread each. One that dies fails its job and is replaced.

Two threads on two cores spin against each other; two processes of one thread do the same work several
times faster, and give the same bits as one.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import sys
import threading
import time
import traceback
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any

from benchmark.errors import is_storage_fault, one_line

THREAD_VARIABLES = (
    "OMP_NUM_THREADS",
    "MKL_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "NUMBA_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
)
GRACE_SECONDS = 8.0
"""How long a worker may take to save its state when it is told to stop."""
REPORT_SECONDS = 0.2


def one_thread() -> None:
    """Tell numerical libraries, of this process and its children, to use one thread; before their import."""
    for name in THREAD_VARIABLES:
        os.environ[name] = "1"
    # Deterministic matrix products on CUDA; without meaning elsewhere.
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")


@dataclass(frozen=True)
class WorkerSetup:
    """What every worker is told once."""

    study: Any
    """A `benchmark.study.StudyConfig`."""
    stages: Path
    checkpoint_seconds: float
    tracking: Mapping[str, Any]
    run_directory: Path
    extra_targets: tuple[str, ...]


@dataclass(frozen=True)
class Done:
    key: str
    seconds: float


@dataclass(frozen=True)
class Failed:
    key: str
    reason: str
    storage: bool = False
    trace: str = ""


@dataclass(frozen=True)
class Refused:
    """A job that could not begin: the folder `input`, which it reads, must be computed again first."""

    key: str
    input: str
    reason: str


@dataclass(frozen=True)
class Progressed:
    key: str
    done: int
    total: int


@dataclass(frozen=True)
class Said:
    message: str


Event = Done | Failed | Refused | Progressed | Said


# In the worker


def work(connection: Connection, setup: WorkerSetup, parent: int) -> None:
    """A worker's life: jobs come in, events go out."""
    stop: list[int] = []
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGUSR1, signal.SIG_IGN)
    end_with_parent(parent)
    one_thread()
    from benchmark import config

    config.ALLOWED_TARGETS = setup.extra_targets
    if not setup.study.device.startswith("cuda"):
        os.environ["CUDA_VISIBLE_DEVICES"] = ""
    import torch

    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    from benchmark.jobs import Surroundings
    from benchmark.study import Study

    # Until here SIGTERM ends the process: imports take seconds, and there is nothing to save.
    signal.signal(signal.SIGTERM, lambda signum, frame: stop.append(signum))
    reporter = _Reporter(connection)
    around = Surroundings(
        Study(setup.study),
        setup.stages,
        checkpoint_seconds=setup.checkpoint_seconds,
        progress=reporter.progress,
        say=lambda message: connection.send(Said(message)),
        stop_signal=lambda: stop[0] if stop else None,
    )
    while not stop:
        if not connection.poll(0.2):
            continue
        try:
            job = connection.recv()
        except EOFError:
            return
        if job is None:
            return
        reporter.key = job.key
        _answer(connection, job, around, setup)


def _answer(connection: Connection, job: Any, around: Any, setup: WorkerSetup) -> None:
    from benchmark.errors import Interrupted, UnusableInput
    from benchmark.jobs import run_job

    started = time.monotonic()
    try:
        if job.kind == "mirror":
            from benchmark.tracking import mirror

            mirror(job, setup, around)
        else:
            run_job(job, around)
    except Interrupted:
        return
    except UnusableInput as error:
        connection.send(Refused(job.key, error.folder, one_line(error)))
    except MemoryError:
        connection.send(Failed(job.key, "out of memory"))
    except Exception as error:
        connection.send(Failed(job.key, one_line(error), is_storage_fault(error), traceback.format_exc()))
    else:
        connection.send(Done(job.key, time.monotonic() - started))


class _Reporter:
    def __init__(self, connection: Connection) -> None:
        self.connection, self.key, self._last = connection, "", 0.0

    def progress(self, done: int, total: int) -> None:
        now = time.monotonic()
        if now - self._last >= REPORT_SECONDS or done == total:
            self._last = now
            self.connection.send(Progressed(self.key, done, total))


def end_with_parent(parent: int) -> None:
    """End this process as soon as its parent has died: nobody would read its results."""

    def watch() -> None:
        while True:
            time.sleep(0.5)
            if os.getppid() != parent:
                os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


# In the parent


@dataclass
class _Worker:
    process: Any
    connection: Connection
    key: str | None = None


class Pool:
    """Workers, at most `count`, started when there is work for them."""

    def __init__(self, count: int, setup: WorkerSetup) -> None:
        self.count, self.setup = count, setup
        self._workers: list[_Worker] = []
        self._context = multiprocessing.get_context("spawn")

    def __enter__(self) -> Pool:
        return self

    def __exit__(self, kind: Any, *rest: Any) -> None:
        self.stop(grace=GRACE_SECONDS if kind is not None else 1.0)

    @property
    def running(self) -> list[str]:
        """Keys of the jobs being done, by worker."""
        return [w.key for w in self._workers if w.key is not None]

    @property
    def free(self) -> int:
        return self.count - len(self.running)

    def submit(self, job: Any) -> None:
        """Give a job to an idle worker; only when `free` is not 0."""
        worker = next((w for w in self._workers if w.key is None), None) or self._start()
        worker.key = job.key
        try:
            worker.connection.send(job)
        except (BrokenPipeError, OSError):
            # It died while idle: `events` reports it as this job's failure.
            return

    def _start(self) -> _Worker:
        mine, its = self._context.Pipe()
        process = self._context.Process(
            target=work, args=(its, self.setup, os.getpid()), name="evp-bench worker", daemon=False
        )
        worker = _Worker(process, mine)
        with _keyboard_held():
            process.start()
            # Still held: a worker that is not in the list would not be stopped.
            self._workers.append(worker)
        its.close()
        return worker

    def events(self, timeout: float) -> Iterable[Event]:
        """What the workers have to say, waiting at most `timeout` seconds for the first."""
        watched = {w.connection: w for w in self._workers} | {w.process.sentinel: w for w in self._workers}
        ready = wait(list(watched), timeout) if watched else []
        for worker in {id(watched[r]): watched[r] for r in ready}.values():
            yield from self._drain(worker)

    def _drain(self, worker: _Worker) -> Iterable[Event]:
        with contextlib.suppress(EOFError, OSError):
            while worker.connection.poll():
                event = worker.connection.recv()
                if isinstance(event, Done | Failed | Refused):
                    worker.key = None
                yield event
        if not worker.process.is_alive():
            worker.process.join()
            self._workers.remove(worker)
            if worker.key is not None:
                yield Failed(worker.key, _death(worker.process.exitcode))

    def stop(self, grace: float) -> None:
        """Ask all workers to save and end; kill those that have not after `grace` seconds."""
        busy = [w for w in self._workers if w.key is not None]
        for worker in self._workers:
            if worker in busy:
                worker.process.terminate()
            else:
                with contextlib.suppress(OSError):
                    worker.connection.send(None)
        deadline = time.monotonic() + grace
        for worker in self._workers:
            worker.process.join(max(0.05, deadline - time.monotonic()))
            if worker.process.is_alive():
                worker.process.kill()
                worker.process.join()
            worker.connection.close()
        self._workers.clear()


@contextlib.contextmanager
def _keyboard_held() -> Iterator[None]:
    """Block SIGINT and SIGUSR1 for this thread and for the processes that it starts meanwhile.

    A terminal sends Ctrl-C to every process: one that is still importing would die of it with a traceback.
    """
    resource_tracker.ensure_running()  # unblocks SIGINT when it starts, so it must have started
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGUSR1})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _death(code: int | None) -> str:
    if code is not None and code < 0:
        name = signal.Signals(-code).name
        why = " (was the machine out of memory?)" if -code == signal.SIGKILL else ""
        return f"its worker process was killed by {name}{why}"
    return f"its worker process ended with exit code {code}"


if sys.platform == "win32":  # pragma: no cover
    raise ImportError("the harness needs a POSIX system: signals and file locks")
