"""The processes that score a folder: one thread each, and the same numbers however many there are."""

from __future__ import annotations

import multiprocessing
import os
import signal
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
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
from benchmark.workers import end_with_parent, one_thread
from models.errors import InputError, StorageError, UserError, storage_error
from models.seeding import generator

Answer = TypeVar("Answer")


@dataclass(frozen=True)
class SetScores:
    """What the protocols of the whole set say."""

    scores: Mapping[str, Score]
    floors: Mapping[str, Mapping[str, Floor]]
    """As in the manifest: by protocol and condition."""
    notes: tuple[str, ...]
    """What is left out and why, in sentences."""


class Workers:
    """A pool that scores pairs and sets. A context: leaving it ends the processes."""

    def __init__(self, processes: int, rules: Rules, cache: Path) -> None:
        self._rules, self._cache = rules, cache
        one_thread()
        self._before = set(multiprocessing.active_children())
        self._pool = ProcessPoolExecutor(
            processes,
            mp_context=multiprocessing.get_context("spawn"),
            initializer=_begin,
            initargs=(os.getpid(),),
        )

    def __enter__(self) -> Workers:
        return self

    def __exit__(self, kind: type[BaseException] | None, *rest: Any) -> None:
        self._pool.shutdown(wait=kind is None, cancel_futures=True)
        for process in set(multiprocessing.active_children()) - self._before:
            process.terminate()

    def prepare(self) -> None:
        """
        Raises:
            InputError: the extractors or the detector that the rules ask for cannot be made.
        """
        self._answer(self._pool.submit(prepare, self._rules))

    def score(self, pairs: Sequence[Pair]) -> Iterator[tuple[Pair, ClipResult | str]]:
        """Each pair with its result, or with a sentence on why it has none, as they are done.

        Raises:
            StorageError: a disk is full or fails.
            InputError: a process died.
        """
        asked = {self._pool.submit(_scored, pair, self._rules, self._cache): pair for pair in pairs}
        for future in as_completed(asked):
            yield asked[future], self._answer(future)

    def score_sets(
        self, results: Sequence[ClipResult], *, condition: str, resamples: int, allow_biased: bool
    ) -> SetScores:
        """Every protocol of the whole set, and what the references score against each other."""
        asked: dict[str, Future[Score | str]] = {}
        for protocol, features in set_protocols(self._rules.extractors).items():
            generated, reference = zip(*(result.features[features] for result in results), strict=True)
            asked[protocol] = self._pool.submit(
                _set_scored, protocol, generated, reference, resamples, allow_biased
            )
        floors = self._pool.submit(
            real_floors,
            {condition: [{name: pair[1] for name, pair in r.features.items()} for r in results]},
            [],
            self._rules.extractors,
            allow_biased=allow_biased,
        )
        answers = {protocol: self._answer(future) for protocol, future in asked.items()}
        scores = {protocol: answer for protocol, answer in answers.items() if isinstance(answer, Score)}
        refused = [answer for answer in answers.values() if isinstance(answer, str)]
        found, notes = self._answer(floors)
        return SetScores(scores, found, (*refused, *notes))

    @staticmethod
    def _answer(future: Future[Answer]) -> Answer:
        try:
            return future.result()
        except BrokenProcessPool as error:
            raise InputError(
                "a worker process was ended from outside, most likely for lack of memory: try --workers 1"
            ) from error


def _begin(parent: int) -> None:
    """A worker's first steps. Whoever interrupts the command ends the workers through their parent."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    end_with_parent(parent)


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
