"""The processes that score a folder: one thread each, and the same numbers however many there are."""

from __future__ import annotations

import multiprocessing
import os
import signal
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from benchmark.errors import is_storage_fault, one_line
from benchmark.floors import real_floors
from benchmark.metrics.frechet import TooFewVectorsError
from benchmark.metrics.score import Score
from benchmark.metrics.scorer import score_set, set_protocols
from benchmark.records import Floor
from benchmark.score.clip import ClipResult, Rules, prepare, score_pair
from benchmark.score.pairing import Pair
from benchmark.signals import check
from benchmark.stalls import Stack, Watch, answer_with_stack, sentence, state_of
from benchmark.workers import end_with_parent, one_thread
from models.errors import InputError, StageError, StorageError, UserError, storage_error, storage_faults
from models.files import SHARED_MEMORY, full_place
from models.heartbeat import listen
from models.seeding import generator

Answer = TypeVar("Answer")
SPEAKERS_UNKNOWN = (
    "Real clips are not compared with other real clips: nothing says which are of one speaker, and different "
    "people would be compared. --speakers one, folder or a CSV says so."
)


@dataclass(frozen=True)
class SetScores:
    """What the protocols of the whole set say."""

    scores: Mapping[str, Score]
    floors: Mapping[str, Mapping[str, Floor]]
    """As in the manifest: by protocol and condition."""
    notes: tuple[str, ...]
    """What is left out and why, in sentences."""


@dataclass(frozen=True)
class Stalls:
    """What to do about work that makes no progress."""

    seconds: float = 0.0
    """Of silence, after which it is named; 0: never."""
    end: bool = False
    """Whether it ends the command."""
    say: Callable[[str], None] = lambda message: None


class Workers:
    """A pool that scores pairs and sets. A context: leaving it ends the processes."""

    def __init__(self, processes: int, rules: Rules, cache: Path, stalls: Stalls | None = None) -> None:
        self._rules, self._cache, self._stalls = rules, cache, stalls or Stalls()
        self._watch, self._stack = Watch(self._stalls.seconds), Stack()
        self._life, its = multiprocessing.Pipe(duplex=False)
        self._doing: dict[str, int] = {}
        """Process by the name of what it does."""
        one_thread()
        self._before = set(multiprocessing.active_children())
        with storage_faults(f"starting processes: they need {SHARED_MEMORY}"):
            self._pool = ProcessPoolExecutor(
                processes,
                mp_context=multiprocessing.get_context("spawn"),
                initializer=_begin,
                initargs=(os.getpid(), its, self._stack.its),
            )

    def __enter__(self) -> Workers:
        return self

    def __exit__(self, kind: type[BaseException] | None, *rest: Any) -> None:
        self._pool.shutdown(wait=kind is None, cancel_futures=True)
        for process in set(multiprocessing.active_children()) - self._before:
            # Not terminate: a process that is stopped would not end.
            process.kill()
        self._stack.close()
        self._life.close()

    def prepare(self) -> None:
        """Make what the rules ask for.

        Raises:
            InputError: the extractors or the detector that the rules ask for cannot be made.
        """
        self._answer(self._submit("getting ready", prepare, self._rules))

    def score(self, pairs: Sequence[Pair]) -> Iterator[tuple[Pair, ClipResult | str]]:
        """Yield each pair with its result, or with a sentence on why it has none, as they are done.

        Raises:
            StorageError: a disk is full or fails.
            InputError: a process died.
            StageError: a pair made no progress, and is to end the command.
        """
        asked = {self._submit(p.name, _scored, p, self._rules, self._cache): p for p in pairs}
        for future in self._as_completed(asked):
            yield asked[future], self._result(future)

    def score_sets(
        self,
        results: Sequence[ClipResult],
        *,
        condition: str,
        resamples: int,
        allow_biased: bool,
        speakers: Mapping[str, str] | None = None,
    ) -> SetScores:
        """Score every protocol of the whole set, and the references against each other.

        Args:
            speakers: speaker by clip; None where nothing says who they are: then the references are not
                compared with each other, as different people would be.
        """
        asked: dict[str, Future[Score | str]] = {}
        for protocol, features in set_protocols(self._rules.extractors).items():
            generated, reference = zip(*(result.features[features] for result in results), strict=True)
            asked[protocol] = self._submit(
                protocol, _set_scored, protocol, generated, reference, resamples, allow_biased
            )
        floors: Future[tuple[dict[str, dict[str, Floor]], list[str]]] | None = None
        if speakers is not None:
            floors = self._submit(
                "the floors",
                real_floors,
                {condition: [{name: pair[1] for name, pair in r.features.items()} for r in results]},
                [],
                self._rules.extractors,
                allow_biased=allow_biased,
                speakers={condition: [speakers[result.name] for result in results]},
            )
        answers = {protocol: self._answer(future) for protocol, future in asked.items()}
        scores = {protocol: answer for protocol, answer in answers.items() if isinstance(answer, Score)}
        refused = [answer for answer in answers.values() if isinstance(answer, str)]
        found, notes = self._answer(floors) if floors else ({}, [SPEAKERS_UNKNOWN] if asked else [])
        return SetScores(scores, found, (*refused, *notes))

    def _submit(
        self, name: str, function: Callable[..., Answer], *given: Any, **named: Any
    ) -> Future[Answer]:
        return self._pool.submit(_watched, name, function, *given, **named)

    def _as_completed(self, futures: Iterable[Future[Any]]) -> Iterator[Future[Any]]:
        """Yield futures as they are done, and look after the processes meanwhile."""
        pending = set(futures)
        while pending:
            done, pending = wait(pending, timeout=1.0, return_when=FIRST_COMPLETED)
            yield from done
            check()
            self._look()

    def _answer(self, future: Future[Answer]) -> Answer:
        for _ in self._as_completed([future]):
            pass
        return self._result(future)

    def _result(self, future: Future[Answer]) -> Answer:
        try:
            return future.result()
        except BrokenProcessPool as error:
            # A process that writes into a mapped file on a full disk gets a bus error.
            if (place := full_place([self._cache])) is not None:
                raise StorageError(f"no space left in {place}: free some") from error
            raise InputError(
                "a worker process was ended from outside, most likely for lack of memory: try --workers 1"
            ) from error

    def _look(self) -> None:
        while self._life.poll():
            name, process = self._life.recv()
            if process is None:
                self._watch.end(name)
                self._doing.pop(name, None)
                continue
            self._doing[name] = process
            if self._watch.heard(name):
                self._stalls.say(f"{name}: goes on")
        for name in self._watch.overdue():
            self._name(name, self._doing[name])

    def _name(self, name: str, process: int) -> None:
        self._stack.ask(process)
        while (stack := self._stack.answer()) is None:
            time.sleep(0.1)
        said = sentence(name, self._watch.silence(name), state_of(process), stack)
        self._stalls.say(said + (f"; where it stands:\n{stack.rstrip()}" if stack else ""))
        if self._stalls.end:
            raise StageError(f"{said}: it is ended")


_life: list[Connection] = []
"""Of a worker: where it says what it does, and the pipe for its stack, which have to stay open."""


def _begin(parent: int, life: Connection, stack: Connection) -> None:
    """A worker's first steps. Whoever interrupts the command ends the workers through their parent."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    _life[:] = [life, stack]
    answer_with_stack(stack)
    end_with_parent(parent)


def _watched(name: str, function: Callable[..., Answer], *given: Any, **named: Any) -> Answer:
    """Call a function, with signs of life under a name meanwhile."""

    def tell() -> None:
        # Shorter than what a pipe takes in one piece, so that workers can share it.
        _life[0].send((name[:300], os.getpid()))

    tell()
    listen(tell)
    try:
        return function(*given, **named)
    finally:
        listen(None)
        _life[0].send((name[:300], None))


def _scored(pair: Pair, rules: Rules, cache: Path) -> ClipResult | str:
    try:
        return score_pair(pair, rules, cache)
    except StorageError:
        raise
    except OSError as error:
        if is_storage_fault(error):
            raise storage_error(error, f"scoring {pair.name}") from error
        return f"{pair.name}: {one_line(error)}"
    except (UserError, ValueError) as error:
        return " ".join(str(error).split())


def _set_scored(
    protocol: str,
    generated: Sequence[np.ndarray],
    reference: Sequence[np.ndarray],
    resamples: int,
    allow_biased: bool,
) -> Score | str:
    try:
        return score_set(
            protocol,
            generated,
            reference,
            rng=generator(0, "score", protocol, "folder"),
            resamples=resamples,
            allow_biased=allow_biased,
        )
    except TooFewVectorsError as error:
        return f"{protocol} is left out: {error}"
