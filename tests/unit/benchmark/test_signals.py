"""Signals outside of the work itself: one line, an exit code, no traceback."""

from __future__ import annotations

import signal
import subprocess
import sys

import pytest

from benchmark.signals import run_interruptible


@pytest.mark.parametrize(
    ("body", "code", "message"),
    [
        (
            "os.kill(os.getpid(), signal.SIGINT)",
            130,
            "stopped by SIGINT; the same command goes on from here",
        ),
        (
            "os.kill(os.getpid(), signal.SIGTERM)",
            143,
            "stopped by SIGTERM; the same command goes on from here",
        ),
        ("atexit.register(os.kill, os.getpid(), signal.SIGINT)", 3, ""),
    ],
)
def test_before_and_after_the_work(body: str, code: int, message: str) -> None:
    lines = [
        "import atexit, os, signal",
        "from benchmark.signals import run_and_exit",
        "def main():",
        f"    {body}",
        "    return 3",
        "run_and_exit(main)",
    ]
    line = [sys.executable, "-c", "\n".join(lines)]
    done = subprocess.run(line, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr.strip()) == (code, message)


WORK = """
import os, signal, sys
from benchmark.signals import check, deferred, run_interruptible

def library():
    # As libraries do: errors are taken for the caller's, and tidying up goes wrong in the middle.
    try:
        os.kill(os.getpid(), signal.SIGTERM)
    except BaseException:
        raise ValueError("not yours")

def work():
    print("begun")
    try:
        {body}
    finally:
        print("tidied up")
    return 0

sys.exit(run_interruptible(work))
"""


@pytest.mark.parametrize(
    ("body", "tidy"),
    [
        ("library()", False),
        ("with deferred(): library(); check(); print('never')", True),
        ("with deferred(): library()", True),
        ("\n        with deferred():\n            with deferred(): pass\n            library()", True),
    ],
)
def test_a_signal_raises_nothing_but_where_work_can_stop(body: str, tidy: bool) -> None:
    line = [sys.executable, "-c", WORK.replace("{body}", body)]
    done = subprocess.run(line, capture_output=True, text=True, timeout=60)
    assert done.stderr == "stopped by SIGTERM; the same command goes on from here\n"
    assert done.stdout == ("begun\ntidied up\n" if tidy else "begun\n")
    assert done.returncode == 143


def test_handlers_are_put_back() -> None:
    before = signal.getsignal(signal.SIGTERM)
    assert run_interruptible(lambda: 0) == 0
    assert signal.getsignal(signal.SIGTERM) is before


def test_work_that_cannot_stop_is_ended() -> None:
    body = "benchmark.signals.PATIENCE_SECONDS = 1\n        with deferred(): library(); time.sleep(60)"
    program = WORK.replace("{body}", body).replace("import os,", "import benchmark.signals, time, os,")
    line = [sys.executable, "-c", program]
    done = subprocess.run(line, capture_output=True, text=True, timeout=30)
    assert done.stderr == "stopped by SIGTERM; the same command goes on from here\n"
    assert done.returncode == 143


@pytest.mark.parametrize("module", ["benchmark.run", "sweeps.run"])
def test_the_commands_take_signals_before_they_import_anything_slow(module: str) -> None:
    code = f"import sys, {module}; assert not {{'torch', 'numpy', 'hydra'}} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


def test_a_reader_that_has_seen_enough_gets_no_traceback() -> None:
    lines = [
        "from benchmark.signals import run_and_exit",
        "run_and_exit(lambda: print('line\\n' * 100_000) or 0)",
    ]
    with subprocess.Popen(
        [sys.executable, "-c", "\n".join(lines)], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert process.stdout.readline() == b"line\n"
        process.stdout.close()
        assert process.stderr.read() == b""
    assert process.returncode == 141
