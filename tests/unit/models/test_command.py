"""What every command does before its own work."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

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
