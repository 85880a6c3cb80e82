"""Signals that ask for an end: an exception where something can be saved, an exit where nothing has begun."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NoReturn

from benchmark.errors import INTERRUPTED, Interrupted
from models.command import flushed, run_command

RESUMED = "the same command goes on from here"


@contextmanager
def signals_interrupt() -> Iterator[None]:
    """Let SIGINT, SIGTERM and SIGUSR1 raise `Interrupted` in the main thread, once."""

    def handle(signum: int, frame: Any) -> None:
        for each in INTERRUPTED:
            signal.signal(each, signal.SIG_IGN)
        raise Interrupted(signum)

    before = {each: signal.signal(each, handle) for each in INTERRUPTED}
    try:
        yield
    finally:
        for each, handler in before.items():
            signal.signal(each, handler)


def run_interruptible(work: Callable[[], int], then: str = RESUMED) -> int:
    """Return the exit code of work that signals may interrupt, as `run_command` does.

    Args:
        then: what an interruption has left, as stderr says it.
    """
    with signals_interrupt():
        try:
            return run_command(work)
        except Interrupted as stop:
            tell_stopped(stop, then)
            return exit_code(stop.signum)


def tell_stopped(stop: Interrupted, then: str = RESUMED) -> None:
    print(f"stopped by {stop}; {then}", file=sys.stderr, flush=True)


def exit_code(signum: int) -> int:
    return INTERRUPTED[signal.Signals(signum)]


def run_and_exit(main: Callable[[], int]) -> NoReturn:
    """End the process with the code of `main()`.

    Until `main` lets signals interrupt it they end the process at once: nothing has begun during the seconds
    of imports, and an exception in the middle of one may get lost. Once it is over they are ignored.
    """

    def leave(signum: int, frame: Any) -> None:
        tell_stopped(Interrupted(signum))
        os._exit(exit_code(signum))

    for each in INTERRUPTED:
        signal.signal(each, leave)
    code = flushed(main)
    for each in INTERRUPTED:
        signal.signal(each, signal.SIG_IGN)
    sys.exit(code)
