"""Every call that writes below a folder, counted and, where asked, made to fail or interrupted by a kill.

An audit hook sees what Python opens for writing, renames, links, makes and removes; files that are opened for
writing are wrapped, for writes, flushes and closing; `os.fsync` is replaced. A call is known by where it
stands (`file:line kind`) and how often this process had been there, so that it is found again in another run.
What C libraries write themselves (encoders, SQLite) is not seen.
"""

from __future__ import annotations

import errno
import io
import mmap
import os
import signal
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

PROJECT = Path(__file__).resolve().parents[2]
OURS = tuple(f"{PROJECT}/{name}/" for name in ("models", "baselines", "benchmark", "sweeps", "reports"))
TOYS = f"{PROJECT}/tests/toys/"
ALLOCATING = frozenset({"open", "write", "flush", "close", "mkdir", "link", "rename", "fsync"})
"""Calls that need space on the disk: on a full one they all fail. A rename may need a larger folder."""


@dataclass(frozen=True, order=True)
class Call:
    """One call: where it stands, what it does, and how many times the process had been there before."""

    site: str
    kind: str
    number: int

    def __str__(self) -> str:
        return f"{self.kind} at {self.site} (time {self.number + 1})"


Action = Callable[[Call, Any], None]
"""What is done at a call, before it happens; the second argument is the wrapped file, if there is one."""


class Watch:
    """The calls of this process, and of those that it forks, below the folders it is in."""

    def __init__(self, folder: Path, act: Action) -> None:
        self.roots = (f"{folder.resolve()}/results", f"{folder.resolve()}/cache")
        self.act = act
        self._counts: Counter[tuple[str, str]] = Counter()
        self._pid = os.getpid()
        self._busy = False

    def install(self) -> None:
        """Watch from now on; for the rest of this process's life."""
        sys.addaudithook(self._hook)
        plain_open, plain_sync = io.open, os.fsync
        import builtins

        def opened(file: Any, mode: str = "r", *rest: Any, **named: Any) -> Any:
            stream = plain_open(file, mode, *rest, **named)
            if isinstance(file, int) or not set(mode) & set("wax+") or not self._inside(file):
                return stream
            return _Watched(stream, self)

        def synced(descriptor: int) -> None:
            if self._inside(_path_of(descriptor)):
                self.see("fsync")
            plain_sync(descriptor)

        builtins.open = io.open = opened  # type: ignore[assignment]
        os.fsync = synced  # type: ignore[assignment]

    def see(self, kind: str, stream: Any = None) -> None:
        if self._busy:
            return
        self._busy = True
        try:
            if os.getpid() != self._pid:  # a forked process counts for itself
                self._pid = os.getpid()
                self._counts.clear()
            site = _site()
            if site is None:
                return
            number = self._counts[site, kind]
            self._counts[site, kind] += 1
            self.act(Call(site, kind, number), stream)
        finally:
            self._busy = False

    def _inside(self, path: Any) -> bool:
        if isinstance(path, bytes):
            path = os.fsdecode(path)
        if isinstance(path, os.PathLike):
            path = os.fspath(path)
        return isinstance(path, str) and os.path.abspath(path).startswith(self.roots)  # noqa: PTH100

    def _hook(self, event: str, arguments: tuple[Any, ...]) -> None:
        if event == "open":
            path, _, flags = arguments
            if flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT) and self._inside(path):
                self.see("open")
        elif event in ("os.rename", "os.link"):
            if self._inside(arguments[1]):
                self.see(event[3:])
        elif event in ("os.mkdir", "os.remove", "os.rmdir", "os.truncate") and self._inside(arguments[0]):
            self.see(event[3:])


class _Watched:
    """A file that was opened for writing."""

    def __init__(self, stream: Any, watch: Watch) -> None:
        self._stream, self._watch = stream, watch

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def __enter__(self) -> _Watched:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def __iter__(self) -> Iterator[Any]:
        return iter(self._stream)

    def write(self, data: Any) -> Any:
        self._watch.see("write", (self._stream, data))
        return self._stream.write(data)

    def writelines(self, lines: Any) -> None:
        for line in lines:
            self.write(line)

    def flush(self) -> None:
        self._watch.see("flush")
        self._stream.flush()

    def close(self) -> None:
        if not self._stream.closed:
            try:
                self._watch.see("close")
            finally:
                self._stream.close()


def _path_of(descriptor: int) -> str:
    try:
        return os.readlink(f"/proc/self/fd/{descriptor}")  # noqa: PTH115
    except OSError:
        return ""


def _site() -> str | None:
    """The nearest line of this project's code on the stack; None for what the toys write for themselves."""
    frame: Any = sys._getframe(2)
    while frame is not None:
        name = frame.f_code.co_filename
        if name.startswith(OURS):
            return f"{name[len(str(PROJECT)) + 1 :]}:{frame.f_lineno}"
        if name.startswith(TOYS):
            return None
        frame = frame.f_back
    return None


def recorder(log: Path) -> Action:
    """An action that writes down every call of every process."""
    target = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)

    def act(call: Call, stream: Any) -> None:
        os.write(target, f"{call.site}\t{call.kind}\t{call.number}\n".encode())

    return act


def recorded(log: Path) -> list[Call]:
    """The calls of a recording, once each, in order of their first appearance."""
    rows = (line.split("\t") for line in log.read_text().splitlines())
    return list(dict.fromkeys(Call(site, kind, int(number)) for site, kind, number in rows))


class Fault:
    """An action that lets one call fail, and on a full disk all that follow it, in every process."""

    def __init__(self, at: Call, code: int) -> None:
        self.at, self.code = at, code
        self._shared = mmap.mmap(-1, 1)  # seen by forked processes

    @property
    def happened(self) -> bool:
        return self._shared[0] != 0

    def __call__(self, call: Call, stream: Any) -> None:
        full = self.happened and self.code == errno.ENOSPC and call.kind in ALLOCATING
        if full or (call == self.at and not self.happened):
            self._shared[0] = 1
            raise OSError(self.code, os.strerror(self.code))


class Kill:
    """An action that kills at one call.

    Args:
        how: "process" kills the process that is at the call, "everyone" its whole session, "half" writes half
            of the data first and then kills everyone.
    """

    def __init__(self, at: Call, how: str) -> None:
        self.at, self.how = at, how

    def __call__(self, call: Call, stream: Any) -> None:
        if call != self.at:
            return
        if self.how == "half" and stream is not None:
            file, data = stream
            file.write(data[: len(data) // 2])
            file.flush()
        if self.how == "process":
            os.kill(os.getpid(), signal.SIGKILL)
        os.killpg(os.getpgid(0), signal.SIGKILL)
