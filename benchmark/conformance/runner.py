"""Somebody's function in a process of its own: it may print, hang, crash or exit, and the kit goes on."""

from __future__ import annotations

import math
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import util
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, Literal

import numpy as np

from benchmark.errors import ConfigError

IMPORT_SECONDS = 120.0
"""Until the function's module must be imported."""
LOSSES = 3
"""Processes that may hang or crash before the kit gives up."""


class AbandonedError(Exception):
    """The function hangs or crashes again and again."""


@dataclass(frozen=True)
class Answer:
    """What one call of the function gave."""

    kind: Literal["value", "none", "unusable", "error", "hang", "crash"]
    """"unusable" is something that is no number; "none" is None, a value left out on purpose."""
    value: float = math.nan
    coverage: float | None = None
    """Share of frames measured on, if the function returns one beside its value."""
    number: bool = True
    """Whether it was a number, and not an array or tensor of one."""
    returned: str = ""
    """Name of the returned type."""
    text: str = ""
    """The error, or how the process ended."""
    where: str = ""
    mutated: Sequence[str] = ()
    """Which of its two inputs the function has changed."""
    printed: str = ""
    seconds: float = 0.0

    @property
    def finite(self) -> bool:
        return self.kind == "value" and math.isfinite(self.value)

    @property
    def told(self) -> bool:
        """Whether it says that it could not measure everything."""
        return self.coverage is not None and self.coverage < 1

    def __str__(self) -> str:
        if self.kind == "value":
            covered = "" if self.coverage is None else f" at coverage {self.coverage:.3g}"
            return f"{self.value:.6g}{covered}"
        if self.kind == "none":
            return "None"
        if self.kind == "unusable":
            return f"a {self.returned}"
        return " ".join(self.text.split())[:90]


def parse(place: str) -> tuple[str, str]:
    """ "file.py:function" or "module:function" -> where, name.

    Raises:
        ConfigError: another form, or no such file or module.
    """
    where, colon, name = place.rpartition(":")
    if not colon or not where or not name:
        raise ConfigError(f"expected path/to/file.py:function or module:function, got {place!r}")
    if where.endswith(".py"):
        if not Path(where).is_file():
            raise ConfigError(f"there is no file {where}")
    elif not all(part.isidentifier() for part in where.split(".")):
        raise ConfigError(f"{where!r} is neither a .py file nor a module's name")
    elif (
        util.find_spec(where.split(".")[0]) is None
        and not Path(*where.split(".")).with_suffix(".py").exists()
    ):
        raise ConfigError(f"no module {where} can be imported from {Path.cwd()}")
    return where, name


class Subject:
    """The function under test.

    Args:
        place: "file.py:function" or "module:function".
        timeout: seconds that one call may take.

    Raises:
        ConfigError: the function cannot be loaded.
    """

    def __init__(self, place: str, *, timeout: float = 20.0) -> None:
        self.place, self.timeout = place, timeout
        self._where, self._name = parse(place)
        self._folder = tempfile.TemporaryDirectory(prefix="conformance-")
        self._process: subprocess.Popen[bytes] | None = None
        self._connection: Connection | None = None
        self._losses = 0
        self._read = 0
        try:
            self._start()
        except ConfigError:
            self.close()
            raise

    def __enter__(self) -> Subject:
        return self

    def __exit__(self, *rest: Any) -> None:
        self.close()

    def close(self) -> None:
        self._stop()
        self._folder.cleanup()

    def __call__(self, predicted: np.ndarray, target: np.ndarray) -> Answer:
        """
        Raises:
            AbandonedError: it hung or crashed too often.
        """
        if self._connection is None:
            self._start()
        assert self._connection is not None
        try:
            self._connection.send((predicted, target))
            if not self._connection.poll(self.timeout):
                return self._lost("hang", f"no answer in {self.timeout:g} s")
            found = self._connection.recv()
        except (EOFError, OSError):
            return self._lost("crash", self._ending())
        return Answer(**found, printed=self._printed())

    def _start(self) -> None:
        parent, child = Pipe()
        command = [sys.executable, str(Path(__file__).with_name("child.py")), str(child.fileno())]
        with self._file("out").open("wb") as out, self._file("err").open("wb") as err:
            self._process = subprocess.Popen(
                [*command, self._where, self._name],
                pass_fds=[child.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=err,
                start_new_session=True,
            )
        child.close()
        self._connection, self._read = parent, 0
        self._greet(parent)

    def _greet(self, connection: Connection) -> None:
        try:
            if not connection.poll(IMPORT_SECONDS):
                raise ConfigError(f"{self.place}: not imported after {IMPORT_SECONDS:g} s")
            word, why = connection.recv()
        except (EOFError, OSError):
            raise ConfigError(f"{self.place}: its import ended the process ({self._ending()})") from None
        if word == "refused":
            raise ConfigError(f"{self.place}: {why}")

    def _lost(self, kind: Literal["hang", "crash"], text: str) -> Answer:
        self._stop()
        self._losses += 1
        if self._losses >= LOSSES:
            raise AbandonedError(f"the function was lost {self._losses} times, at last: {text}")
        return Answer(kind, text=text)

    def _stop(self) -> None:
        if self._connection is not None:
            self._connection.close()
        if self._process is not None:
            if self._process.poll() is None:
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
        self._process = self._connection = None

    def _ending(self) -> str:
        """How the process ended, and the last line that it wrote to stderr."""
        assert self._process is not None
        code = self._process.wait()
        how = f"killed by {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"
        lines = self._file("err").read_text(errors="replace").split("\n")
        said = [line.strip() for line in lines if line.strip()]
        return f"{how}: {said[-1]}" if said else how

    def _file(self, name: str) -> Path:
        return Path(self._folder.name) / name

    def _printed(self) -> str:
        """What the last call wrote to stdout."""
        with self._file("out").open("rb") as file:
            file.seek(self._read)
            text = file.read()
        self._read += len(text)
        return text.decode(errors="replace").strip()
