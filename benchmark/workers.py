"""Worker processes of one thread each. One that dies fails its job and is replaced.

Two threads on two cores spin against each other; two processes of one thread do the same work several
times faster, and give the same bits as one.
"""

from __future__ import annotations

import contextlib
import logging
import multiprocessing
import os
import signal
import sys
import threading
import time
import traceback
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmark.errors import is_out_of_memory, is_storage_fault, one_line
from benchmark.stalls import Stack, Watch, answer_with_stack, sentence, state_of
from models.errors import DamagedFile, StorageError
from models.files import full_place

if TYPE_CHECKING:
    from benchmark.study import Study

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
START_SECONDS = 120.0
"""How long a new worker may take to be ready, beyond what work may be silent: imports say nothing."""


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
    numerics: Any
    """The `models.numerics.Numerics` that identities hold; a worker with others computes nothing."""
    stages: Path
    checkpoint_seconds: float
    tracking: Mapping[str, Any]
    run_directory: Path
    packages: tuple[str, ...]
    """Whose classes configurations may name: see `models.targets.PACKAGES`."""
    stall_seconds: float = 0.0
    """Seconds without progress after which a job is named; 0: never."""
    end_stalled: bool = False
    """Whether such a job is ended as failed, and its worker replaced."""
    places: tuple[Path, ...] = ()
    """Folders that jobs write to; a full one explains why a worker died of a bus error."""
    identities: Mapping[str, str] = field(default_factory=dict)
    """Of the data that was planned with, see `Study.identities`."""


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
    leaves: bool = False
    """Whether the worker ends after it."""


@dataclass(frozen=True)
class Refused:
    """A job that could not be done: what it reads must be made again first."""

    key: str
    input: str
    """Key of the job whose folder is damaged, or the id of a clip whose prepared arrays are."""
    reason: str


@dataclass(frozen=True)
class Progressed:
    key: str
    done: int
    total: int


@dataclass(frozen=True)
class Said:
    message: str


@dataclass(frozen=True)
class Unlike:
    """A worker that would compute other bits than identities say."""

    reason: str


@dataclass(frozen=True)
class Alive:
    """A sign of life that says nothing of how far the work is."""


@dataclass(frozen=True)
class Ready:
    """A worker that has imported what it needs, and takes jobs."""


@dataclass(frozen=True)
class Stalled:
    """A job that has not been heard of for too long."""

    key: str
    sentence: str
    stack: str
    """Of all threads of its process; empty if it could not answer."""


@dataclass(frozen=True)
class Recovered:
    """A job that had stalled and goes on."""

    key: str


Event = Done | Failed | Refused | Progressed | Said | Unlike | Alive | Ready | Stalled | Recovered


# In the worker


def work(connection: Connection, stack: Connection, setup: WorkerSetup, parent: int) -> None:
    """Run a worker's main loop: receive jobs, send events."""
    answer_with_stack(stack)
    connection.send(Alive())
    stop: list[int] = []
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGUSR1, signal.SIG_IGN)
    end_with_parent(parent)
    one_thread()
    from models import targets

    targets.PACKAGES = setup.packages
    if not setup.study.device.startswith("cuda"):
        os.environ["CUDA_VISIBLE_DEVICES"] = ""
    import torch

    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    from benchmark.jobs import Surroundings
    from benchmark.study import Study
    from models.heartbeat import listen

    study = Study(setup.study)
    difference = unlike(setup, study)
    if difference is not None:
        connection.send(difference)
        return
    # Until here SIGTERM ends the process: imports take seconds, and there is nothing to save.
    signal.signal(signal.SIGTERM, lambda signum, frame: stop.append(signum))
    reporter = _Reporter(connection)
    logging.getLogger("evp_bench").addHandler(_Speaker(connection))
    listen(lambda: connection.send(Alive()))
    around = Surroundings(
        study,
        setup.stages,
        checkpoint_seconds=setup.checkpoint_seconds,
        progress=reporter.progress,
        say=lambda message: connection.send(Said(message)),
        stop_signal=lambda: stop[0] if stop else None,
    )
    connection.send(Ready())
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


def unlike(setup: WorkerSetup, study: Study) -> Unlike | None:
    """Return how this process would compute other bits than the one that planned; None if it would not."""
    # Read again by each worker, hours later if one is replaced.
    identities = study.identities() if setup.identities else {}
    changed = [name for name, identity in setup.identities.items() if identities.get(name) != identity]
    if changed:
        return Unlike(
            f"the data changed after this run was planned ({', '.join(changed)}): run the same command again"
        )
    from models.numerics import numerics, thread_count

    others = setup.numerics.differences(numerics(setup.study.device))
    if thread_count() != 1:
        others.append(f"threads: 1 here, {thread_count()} there")
    if not others:
        return None
    return Unlike(f"worker processes compute with other numerics than this process: {'; '.join(others)}")


def _answer(connection: Connection, job: Any, around: Any, setup: WorkerSetup) -> None:
    from benchmark.errors import Interrupted, UnusableInput
    from benchmark.jobs import run_job

    started = time.monotonic()
    try:
        if job.kind == "mirror":
            _mirror(connection, job, around, setup)
        else:
            run_job(job, around)
    except Interrupted:
        return
    except UnusableInput as error:
        connection.send(Refused(job.key, error.folder, one_line(error)))
    except DamagedFile as error:
        connection.send(refuse_clip(job, error, around.study))
    except Exception as error:
        reason = "out of memory" if is_out_of_memory(error) else one_line(error)
        connection.send(Failed(job.key, reason, is_storage_fault(error), traceback.format_exc()))
    else:
        connection.send(Done(job.key, time.monotonic() - started))


def refuse_clip(job: Any, damage: DamagedFile, study: Study) -> Refused | Failed:
    """Set a damaged array of a prepared clip aside, so that it is made again before the job is.

    Another process may have done so.
    """
    from benchmark.data.clip_store import holds

    directory = damage.path.parent
    reason = f"{job.name} cannot go on: {directory.name}/{damage.path.name} {damage.reason}"
    try:
        holds(directory, damage.path.stem)
    except StorageError as error:
        return Failed(job.key, f"{reason}, and {one_line(error)}", storage=True, trace=traceback.format_exc())
    return Refused(job.key, study.clip_in(directory) or directory.name, reason)


class _Speaker(logging.Handler):
    """Sends what is logged to the display."""

    def __init__(self, connection: Connection) -> None:
        super().__init__(logging.WARNING)
        self.connection = connection

    def emit(self, record: logging.LogRecord) -> None:
        self.connection.send(Said(record.getMessage()))


def _mirror(connection: Connection, job: Any, around: Any, setup: WorkerSetup) -> None:
    from benchmark.tracking import CONNECT, TrackingTimeout, connect, mirror

    try:
        if job.key == CONNECT:
            connect(setup)
        else:
            mirror(job, setup, around)
    except TrackingTimeout as error:
        connection.send(Failed(job.key, one_line(error), leaves=True))
        # W&B still waits in a thread, and would be waited for at the end: another worker goes on.
        os._exit(0)


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
    stack: Stack
    key: str | None = None
    began: bool = False
    """Whether it has been heard of: until then it cannot be asked for its stack."""
    ready: bool = False
    """Whether it takes jobs."""
    leaves: bool = False
    """Whether it ends, and takes no more."""


class Pool:
    """Workers, at most `count`, started when there is work for them."""

    def __init__(self, count: int, setup: WorkerSetup) -> None:
        self.count, self.setup = count, setup
        self._workers: list[_Worker] = []
        self._watch = Watch(setup.stall_seconds)
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
        worker = next((w for w in self._workers if w.key is None and not w.leaves), None) or self._start()
        worker.key = job.key
        self._watch.heard(job.key, allowance=0.0 if worker.ready else START_SECONDS)
        try:
            worker.connection.send(job)
        except (BrokenPipeError, OSError):
            # It died while idle: `events` reports it as this job's failure.
            return

    def _start(self) -> _Worker:
        mine, its = self._context.Pipe()
        stack = Stack()
        process = self._context.Process(
            target=work, args=(its, stack.its, self.setup, os.getpid()), name="evp-bench worker", daemon=False
        )
        worker = _Worker(process, mine, stack)
        with _keyboard_held():
            process.start()
            # Still held: a worker that is not in the list would not be stopped.
            self._workers.append(worker)
        its.close()
        stack.started()
        return worker

    def events(self, timeout: float) -> Iterable[Event]:
        """Yield what the workers have to say, waiting at most `timeout` seconds for the first."""
        watched = {w.connection: w for w in self._workers} | {w.process.sentinel: w for w in self._workers}
        ready = wait(list(watched), timeout) if watched else []
        for worker in {id(watched[r]): watched[r] for r in ready}.values():
            yield from self._drain(worker)
        yield from self._stalls()

    def _drain(self, worker: _Worker) -> Iterable[Event]:
        with contextlib.suppress(EOFError, OSError):
            while worker.connection.poll():
                event = worker.connection.recv()
                worker.began = True
                worker.ready |= isinstance(event, Ready)
                if worker.key is not None and worker.ready and self._watch.heard(worker.key):
                    yield Recovered(worker.key)
                if isinstance(event, Done | Failed | Refused):
                    self._free(worker)
                    worker.leaves = isinstance(event, Failed) and event.leaves
                yield event
        if not worker.process.is_alive():
            worker.process.join()
            yield from self._lost(worker, worker.process.exitcode)

    def _free(self, worker: _Worker) -> None:
        if worker.key is not None:
            self._watch.end(worker.key)
        worker.key = None

    def _forget(self, worker: _Worker) -> None:
        self._workers.remove(worker)
        worker.connection.close()
        worker.stack.close()

    def _lost(self, worker: _Worker, code: int | None) -> Iterable[Event]:
        """Forget a worker that has ended; its job has failed."""
        self._forget(worker)
        if (key := worker.key) is None:
            return
        self._free(worker)
        place = full_place(self.setup.places) if code == -signal.SIGBUS else None
        if place is None:
            yield Failed(key, _death(code))
        else:
            yield Failed(key, f"no space left in {place}: free some and run the same command again", True)

    def _stalls(self) -> Iterable[Event]:
        """Yield the jobs that have become silent, each with its stack, and end them if so asked."""
        silent = self._watch.overdue()
        for worker in list(self._workers):
            if worker.key is None:
                continue
            if worker.key in silent and worker.began:
                worker.stack.ask(worker.process.pid)
            # A stack of which nobody has asked would block its writer once the pipe is full.
            worker.stack.read()
            if worker.key in silent and not worker.began:
                yield from self._name(worker, "")
            elif worker.stack.asked and (stack := worker.stack.answer()) is not None:
                yield from self._name(worker, stack)

    def _name(self, worker: _Worker, stack: str) -> Iterable[Event]:
        key = worker.key
        assert key is not None
        state = state_of(worker.process.pid) if worker.ready else "its process does not begin"
        said = sentence(key, self._watch.silence(key), state, stack)
        yield Stalled(key, said, stack)
        if not self.setup.end_stalled:
            return
        worker.process.kill()
        worker.process.join()
        self._free(worker)
        self._forget(worker)
        yield Failed(key, f"stalled: {said.partition(': ')[2]}", trace=stack)

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
            worker.stack.close()
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
