"""The processes that score a folder: what becomes of one that hangs, and of a disk that is full."""

from __future__ import annotations

import os
import signal
import subprocess
import tempfile
import threading
import time
from pathlib import Path

import pytest

from benchmark.score.clip import Rules, _on_disk
from benchmark.score.work import Stalls, Workers
from models.errors import StageError, StorageError


def _wait_for_ever() -> None:
    threading.Event().wait()


def test_work_that_hangs_is_named_with_its_stack_and_ends_the_command_if_so_asked(tmp_path: Path) -> None:
    said: list[str] = []
    with (
        pytest.raises(StageError, match=r"^a pair: no progress for \d+ s \(File .*\): it is ended"),
        Workers(1, Rules(), tmp_path, Stalls(1.0, end=True, say=said.append)) as workers,
    ):
        workers._answer(workers._submit("a pair", _wait_for_ever))
    assert len(said) == 1
    assert "where it stands:\n" in said[0]
    assert "threading.py" in said[0]


def stop_for(seconds: float) -> int:
    pid = os.getpid()
    subprocess.Popen(["sh", "-c", f"sleep {seconds}; kill -CONT {pid}"])
    os.kill(pid, signal.SIGSTOP)
    return pid


def test_a_stopped_process_is_named_and_goes_on(tmp_path: Path) -> None:
    said: list[str] = []
    with Workers(1, Rules(), tmp_path, Stalls(1.0, say=said.append)) as workers:
        assert workers._answer(workers._submit("a pair", stop_for, 8.0)) != os.getpid()
    assert said[0].startswith("a pair: no progress for ")
    assert "(its process is stopped)" in said[0]


def test_a_full_folder_for_temporary_files_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(tmp_path)], capture_output=True
    )
    if mounted.returncode:
        pytest.skip("mounting needs root")
    try:
        monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
        assert _on_disk((10, 10, 10, 3)).shape == (10, 10, 10, 3)
        with pytest.raises(StorageError, match=f"no space left while decoding into {tmp_path}"):
            _on_disk((100, 100, 100, 3))
    finally:
        subprocess.run(["umount", str(tmp_path)], check=True)


def test_silence_is_counted_only_while_somebody_listens(monkeypatch: pytest.MonkeyPatch) -> None:
    from benchmark import stalls

    clock = [0.0]
    monkeypatch.setattr(time, "monotonic", lambda: clock[0])
    watch = stalls.Watch(10.0)
    watch.heard("a")

    def after(seconds: float) -> list[str]:
        clock[0] += seconds
        return watch.overdue()

    assert [after(4.0) for _ in range(5)] == [[], [], ["a"], [], ["a"]]
    assert watch.heard("a")
    assert not watch.heard("a")
    # The whole group was stopped for a minute, as by Ctrl-Z.
    assert [after(60.0), after(4.0), after(4.0), after(4.0)] == [[], [], [], ["a"]]
    watch.end("a")
    assert [after(4.0) for _ in range(5)] == [[]] * 5
    never = stalls.Watch(0.0)
    never.heard("a")
    clock[0] += 4.0
    assert never.overdue() == []
