"""What every command does with a path that cannot be one, and with other errors of the system."""

from __future__ import annotations

import errno
import importlib
import os
from pathlib import Path

import pytest

from models.command import run_command
from models.errors import STORAGE, USAGE, InputError, StorageError, storage_faults

LONG = "x" * 300
COMMANDS = (
    ("models.talk", "--audio", "a.wav", "--target", "b.mp4", "-o", f"{LONG}.mp4"),
    ("models.talk", "--audio", "a.wav", "--target", "b.mp4", "-o", "c.mp4", "--run", LONG),
    ("models.importing", "atvgnet", LONG, "--out", "o"),
    ("models.importing", "atvgnet", "f", "--out", LONG),
    ("benchmark.score", LONG, "b"),
    ("benchmark.score", "a", "b", "--out", LONG),
    ("benchmark.data.clip_table", LONG),
    ("benchmark.metrics", "--page", f"{LONG}/p.md"),
    ("benchmark.metrics", "--page", LONG),
    ("benchmark.pose_errors", "--out", LONG),
    ("benchmark.transfer_truth", "--out", LONG),
    ("benchmark.observability", f"out={LONG}"),
    ("benchmark.conformance", f"{LONG}.py:f", "--kind", "ld"),
    ("reports.paper", f"out={LONG}"),
    ("reports.paper", f"readme={LONG}"),
    ("sweeps.run", "study=landmarks", f"out={LONG}"),
    *(
        ("benchmark.run", "suite=smoke", *texts)
        for texts in (
            (f"out={LONG}",),
            (f"cache={LONG}",),
            ("data=folder", f"data.root={LONG}"),
            ("data=folder", "data.root=.", f"data.table={LONG}"),
            (f"metrics.inception_weights={LONG}",),
            ("face3d=ict", f"face3d.path={LONG}"),
            ("features=deepspeech", f"features.logits={LONG}"),
            ("pretraining=lrw", f"pretraining.corpus.root={LONG}"),
        )
    ),
)


def main_of(module: str):
    try:
        return importlib.import_module(f"{module}.__main__").main
    except ModuleNotFoundError:
        return importlib.import_module(module).main


@pytest.mark.parametrize("command", COMMANDS, ids=lambda c: " ".join(c).replace(LONG, "LONG"))
def test_a_name_that_is_too_long_is_one_line(command, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    module, *arguments = command
    assert main_of(module)(arguments) == USAGE
    (line,) = [line for line in capsys.readouterr().err.splitlines() if not line.startswith("note: ")]
    assert line.startswith("error: ")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("number", [errno.ENAMETOOLONG, errno.ELOOP, errno.ENOTDIR, errno.EISDIR])
def test_a_path_that_cannot_be_used_is_the_users_whatever_was_being_done(number, capsys):
    def work() -> int:
        raise OSError(number, os.strerror(number), "/the/place")

    assert run_command(work) == USAGE
    assert capsys.readouterr().err == f"error: {os.strerror(number)}: /the/place\n"
    with pytest.raises(InputError, match="/the/place"), storage_faults("writing"):
        work()


def test_other_errors_of_the_system_are_the_disks_or_the_programs(capsys):
    def missing() -> int:
        return len(Path("/none/none").read_bytes())

    def full() -> int:
        raise OSError(errno.ENOSPC, "No space left on device", "/the/place")

    with pytest.raises(FileNotFoundError):
        run_command(missing)
    assert run_command(full) == STORAGE
    with pytest.raises(StorageError), storage_faults("writing"):
        full()
