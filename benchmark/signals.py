"""Signals that ask for an end: an exception where something can be saved, an exit where nothing can.

An exception that a handler raises may come up anywhere, also in a library that takes it for an error of
its own or in the middle of its tidying up. So handlers raise none. Work that has something to save or to undo
runs within `deferred` and calls `check` where it can stop; all other work ends at once, as a kill would end
it, and leaves no more behind than that.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any, NoReturn

from benchmark.errors import INTERRUPTED, Interrupted
from models.command import run_command

RESUMED = "the same command goes on from here"
PATIENCE_SECONDS = 20
"""How long work may take to stop: some waits in C code for what never comes, as a pipe without a writer."""


class _State:
    """What this process knows of signals."""

    signum: int | None = None
    """The first one that asked for an end."""
    depth: int = 0
    """How many `deferred` blocks the main thread is in."""


@contextmanager
def deferred() -> Iterator[None]:
    """Let signals end this block only where it calls `check`, and at its end.

    Raises:
        Interrupted: at its end, if a signal has asked for it.
    """
    _State.depth += 1
    try:
        yield
        check()
    finally:
        _State.depth -= 1


def check() -> None:
    """Stop here if a signal has asked for it.

    Raises:
        Interrupted: it has.
    """
    if _State.signum is not None:
        raise Interrupted(_State.signum)


@contextmanager
def _handled(then: str) -> Iterator[None]:
    def handle(signum: int, frame: Any) -> None:
        if _State.signum is None and _State.depth == 0:
            _leave(signum, then)
        if _State.signum is None:
            _State.signum = signum
            signal.signal(signal.SIGALRM, lambda alarm, frame: _leave(signum, then))
            signal.alarm(PATIENCE_SECONDS)

    _State.signum, _State.depth = None, 0
    before = {each: signal.signal(each, handle) for each in INTERRUPTED}
    try:
        yield
    finally:
        signal.alarm(0)
        for each, handler in before.items():
            signal.signal(each, handler)


def run_interruptible(work: Callable[[], int], then: str = RESUMED) -> int:
    """Return the exit code of work that signals may interrupt, as `run_command` does.

    Args:
        then: what an interruption has left, as stderr says it.
    """
    with _handled(then):
        try:
            return run_command(work)
        except Interrupted as stop:
            print(_stopped(stop.signum, then), file=sys.stderr, flush=True)
            return exit_code(stop.signum)


def _stopped(signum: int, then: str) -> str:
    return f"stopped by {signal.Signals(signum).name}; {then}"


def exit_code(signum: int) -> int:
    return INTERRUPTED[signal.Signals(signum)]


def _leave(signum: int, then: str) -> NoReturn:
    """End this process at once, from within a signal handler."""
    # The main thread may be in the middle of a print, which cannot be entered again.
    with suppress(OSError, RuntimeError, ValueError, AttributeError):
        sys.stdout.flush()
    with suppress(OSError):
        os.write(2, f"{_stopped(signum, then)}\n".encode())
    os._exit(exit_code(signum))


def run_and_exit(main: Callable[[], int]) -> NoReturn:
    """End the process with the code of `main()`.

    Until `main` lets signals interrupt it they end the process at once: nothing has begun during the seconds
    of imports. Once it is over they are ignored.
    """
    for each in INTERRUPTED:
        signal.signal(each, lambda signum, frame: _leave(signum, RESUMED))
    code = run_command(main)
    for each in INTERRUPTED:
        signal.signal(each, signal.SIG_IGN)
    sys.exit(code)
