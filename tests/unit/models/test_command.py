"""What every command does before its own work."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from models.errors import STORAGE, USAGE

PROGRAM = """
import os, sys
from models.command import run_command
from models.numerics import _onednn_kernel

def work():
    file = open(sys.argv[1], "w")
    os.write(1, b"printed by C code")
    print("printed by Python", flush=True)
    print("kernel", _onednn_kernel(), file=file)
    return 0

sys.exit(run_command(work))
"""


def test_what_is_printed_to_a_closed_stream_lands_in_no_file(tmp_path: Path) -> None:
    lines = []
    for number, streams in enumerate(("", ">&-", "<&- >&- 2>&-")):
        file = tmp_path / str(number)
        command = f'"$0" -c "$1" "$2" {streams}'
        arguments = ["sh", "-c", command, sys.executable, PROGRAM, str(file)]
        run = subprocess.run(arguments, capture_output=True, text=True, cwd=Path(__file__).parents[3])
        assert (run.returncode, run.stderr) == (0, "")
        lines.append(file.read_text())
    assert lines[0].startswith("kernel ")
    assert lines[1:] == lines[:1] * 2


@pytest.mark.parametrize("module", ["benchmark.data.clip_table", "benchmark.transfer_truth", "benchmark.run"])
def test_help_for_a_reader_who_leaves_or_a_full_disk_is_no_traceback(module: str) -> None:
    command = f'"$0" -m {module} --help'
    for line, code in ((f"{command} >/dev/full", STORAGE), (f"{command} | :; exit ${{PIPESTATUS[0]}}", 141)):
        arguments = ["bash", "-c", line, sys.executable]
        run = subprocess.run(arguments, capture_output=True, text=True, cwd=Path(__file__).parents[3])
        assert run.returncode == code, run.stderr
        wanted = "error: storage fault: OSError: [Errno 28] No space left on device\n"
        assert run.stderr == (wanted if code == STORAGE else "")


def test_the_exit_code_stands_where_the_message_cannot_be_written() -> None:
    program = (
        "import sys; from models.command import run_command; from models.errors import ConfigError\n"
        "def work(): print('half'); raise ConfigError('no')\n"
        "sys.exit(run_command(work))\n"
    )
    arguments = ["sh", "-c", '"$0" -c "$1" >/dev/full 2>/dev/full', sys.executable, program]
    environment = {name: text for name, text in os.environ.items() if name != "PYTHONUNBUFFERED"}
    run = subprocess.run(arguments, env=environment, cwd=Path(__file__).parents[3])
    assert run.returncode == USAGE
