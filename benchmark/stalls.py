"""Work that makes no progress: noticed by its silence, and asked where it stands.

A worker hands its stack over a pipe when it gets SIGUSR2. The handler is C code of `faulthandler`, so that it
answers although the worker's Python waits for a lock or for a library that does not return.
"""

from __future__ import annotations

import contextlib
import faulthandler
import os
import signal
import time
from collections.abc import Iterable
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from pathlib import Path

ASK = signal.SIGUSR2
ANSWER_SECONDS = 3.0
"""How long a stack may take; a process that is stopped cannot answer."""
PAUSE_SECONDS = 5.0
"""Between two looks at the clock: a longer gap means that the watching process itself was stopped."""
STATES = {"T": "its process is stopped", "t": "its process is traced", "D": "its process waits for a disk"}
"""What a process state of /proc means, where it explains a silence."""


class Watch:
    """Remembers when each piece of work was last heard of.

    Args:
        seconds: of silence after which work is overdue; 0 for never.
    """

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self._heard: dict[str, float] = {}
        self._named: dict[str, int] = {}
        self._looked = time.monotonic()

    def heard(self, key: str, allowance: float = 0.0) -> bool:
        """Note a sign of life; whether the work had been overdue.

        Args:
            allowance: seconds that do not count as silence.
        """
        self._heard[key] = time.monotonic() + allowance
        return self._named.pop(key, 0) > 0

    def end(self, key: str) -> None:
        self._heard.pop(key, None)
        self._named.pop(key, None)

    def silence(self, key: str) -> float:
        """Return the seconds since the last sign of life."""
        return time.monotonic() - self._heard[key]

    def overdue(self) -> list[str]:
        """Return what has become overdue since the last look, and again after as long a silence.

        To be called every second or so.
        """
        now = time.monotonic()
        gap, self._looked = now - self._looked, now
        if gap > PAUSE_SECONDS:
            # Nobody could be heard: the whole group was stopped, as by Ctrl-Z.
            self._heard = {key: heard + gap for key, heard in self._heard.items()}
        if not self.seconds:
            return []
        keys = []
        for key, heard in self._heard.items():
            times = int((now - heard) / self.seconds)
            if times > self._named.get(key, 0):
                self._named[key] = times
                keys.append(key)
        return keys


class Stack:
    """The stack of one worker, as its parent reads it."""

    def __init__(self) -> None:
        self._mine, self.its = Pipe(duplex=False)
        os.set_blocking(self._mine.fileno(), False)
        self._text = b""
        self._asked: float | None = None
        self._grew = 0.0

    def started(self) -> None:
        """Close the end that the worker has got by now."""
        self.its.close()

    @property
    def asked(self) -> bool:
        return self._asked is not None

    def ask(self, pid: int) -> None:
        self.read()
        self._text = b""
        self._asked = time.monotonic()
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, ASK)

    def read(self) -> None:
        """Take what has arrived, so that a long stack does not block its writer."""
        with contextlib.suppress(BlockingIOError, OSError):
            while data := os.read(self._mine.fileno(), 65536):
                self._text += data
                self._grew = time.monotonic()

    def answer(self) -> str | None:
        """Return the stack once it is there, "" if there is none in time, or None: not yet."""
        assert self._asked is not None
        self.read()
        now = time.monotonic()
        if (self._text and now - self._grew > 0.3) or now - self._asked > ANSWER_SECONDS:
            self._asked = None
            return self._text.decode(errors="replace")
        return None

    def close(self) -> None:
        self._mine.close()


def answer_with_stack(connection: Connection) -> None:
    """Let this process write the stacks of its threads into `connection` whenever it is asked to.

    The connection has to stay open.
    """
    faulthandler.register(ASK, file=connection.fileno(), all_threads=True, chain=False)


def state_of(pid: int) -> str:
    """Return what the system says of a silent process; empty if it says nothing unusual."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return ""
    return STATES.get(state, "")


def innermost(stack: str) -> str:
    """Return the line of a stack at which the main thread stands; empty without one."""
    threads: list[list[str]] = []
    for line in stack.splitlines():
        if line.startswith(("Thread ", "Current thread ")):
            threads.append([])
        elif line.startswith("  File ") and threads:
            threads[-1].append(line.strip())
    # The main thread is the last one.
    lines = threads[-1] if threads else []
    return lines[0] if lines else ""


def sentence(name: str, seconds: float, state: str, stack: str) -> str:
    """Say what is silent, for how long and where it stands."""
    parts: Iterable[str] = filter(None, [state, innermost(stack)])
    where = "; ".join(parts)
    return f"{name}: no progress for {seconds:.0f} s" + (f" ({where})" if where else "")
