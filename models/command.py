"""Run a command: its exit code, and one line on stderr for whatever the user can act on."""

from __future__ import annotations

import argparse
import io
import os
import signal
import sys
from collections.abc import Callable
from typing import NoReturn, TextIO

from models.errors import (
    STORAGE,
    USAGE,
    ConfigError,
    UserError,
    is_storage_fault,
    names_no_place,
    one_line,
    place_error,
    printable,
)

PREFIX = "error: "
LONGEST_MESSAGE = 2000
"""Characters."""


class Parser(argparse.ArgumentParser):
    """A parser whose refusals are one line, as those of all commands."""

    def error(self, message: str) -> NoReturn:
        raise ConfigError(f"{message}; {self.prog} --help lists what there is")


def run_command(work: Callable[[], int]) -> int:
    """Return the exit code of a command's work; an error that the user can act on becomes one line on stderr.

    Errors of the program itself keep their traceback: a report of them needs it.
    """
    _open_standard_streams()
    for stream in (sys.stdout, sys.stderr):
        # A file's name may hold bytes that are no text, or characters that the terminal lacks.
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    try:
        return flushed(work)
    except UserError as error:
        return _refused(error, error.exit_code)
    except Exception as error:
        if isinstance(error, OSError) and names_no_place(error):
            return _refused(place_error(error), USAGE)
        if not is_storage_fault(error):
            raise
        return _refused(error, STORAGE, "storage fault: ")


def _open_standard_streams() -> None:
    """Let streams that the caller has closed lead nowhere.

    The next file that is opened would get a closed one's number, and what C code prints would land in it.
    """
    for number, (name, mode) in enumerate((("stdin", "r"), ("stdout", "w"), ("stderr", "w"))):
        if getattr(sys, name) is not None:
            continue
        nowhere = os.open(os.devnull, os.O_RDWR)
        if nowhere != number:
            os.dup2(nowhere, number)
            os.close(nowhere)
        setattr(sys, name, os.fdopen(number, mode, encoding="utf-8"))


def flushed(work: Callable[[], int]) -> int:
    """Return the exit code of work once its output is written, or SIGPIPE's where the reader has gone."""
    try:
        code = work()
        # Not sys.stdout.flush: there is none where the caller has closed it.
        print(end="", flush=True)
        return code
    except BrokenPipeError:
        # Whoever reads the output has seen enough, as `head` does.
        _discard(sys.stdout)
        return 128 + signal.SIGPIPE


def _refused(error: Exception, code: int, kind: str = "") -> int:
    try:
        print(f"{PREFIX}{kind}{one_line(error, LONGEST_MESSAGE)}", file=sys.stderr)
        for problem in getattr(error, "problems", ()):
            print(f"  {printable(problem)}", file=sys.stderr)
    except OSError:
        # The exit code says it as well.
        _discard(sys.stderr)
    try:
        print(end="", flush=True)
    except OSError:
        # It may be what the error is about; Python would try once more at the end.
        _discard(sys.stdout)
    return code


def _discard(stream: TextIO) -> None:
    """Let what is still to be written to a stream go nowhere."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
