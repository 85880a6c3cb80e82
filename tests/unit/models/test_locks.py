"""Locks between processes: who holds them is said, and believed only of the living."""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
import time
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from models.locks import LOCK, Holder, command_line, folder_lock, holder_of, locked

PATIENCE = 60


def hold(path: Path, begun, seconds: float) -> None:
    with locked(path, "it", say=lambda message: None):
        begun.set()
        time.sleep(seconds)


def count(path: Path, number: Path, rounds: int, remove: bool) -> None:
    for _ in range(rounds):
        with locked(path, "it", say=lambda message: None, remove=remove):
            number.write_text(str(int(number.read_text()) + 1))


@pytest.fixture
def held(tmp_path):
    """A lock file that another process holds, and that process."""
    context = multiprocessing.get_context("fork")
    path, begun = tmp_path / "a.lock", context.Event()
    process = context.Process(target=hold, args=(path, begun, PATIENCE))
    process.start()
    assert begun.wait(PATIENCE)
    yield path, process
    process.kill()
    process.join()


def test_a_waiting_process_says_whose_lock_it_is_and_a_killed_holder_frees_it_at_once(held):
    path, process = held
    messages: list[tuple[float, str]] = []
    started = time.monotonic()

    def wait() -> None:
        if messages and process.is_alive():
            process.kill()
            process.join()

    with locked(path, "the cake", say=lambda m: messages.append((time.monotonic(), m)), wait=wait):
        taken = time.monotonic()
    (said, message), *_ = messages
    assert said - started < 5
    assert message.startswith(
        f"waiting for the cake: held by process {process.pid} on {os.uname().nodename} ("
    )
    assert time.strftime("since %Y-%m-%d") in message
    assert taken - said < 10


def test_the_text_of_a_dead_holder_is_not_believed(held):
    path, process = held
    holder = holder_of(path)
    assert holder is not None
    assert holder.pid == process.pid
    process.kill()
    process.join()
    assert json.loads(path.read_text())["pid"] == process.pid
    assert holder_of(path) is None


def test_a_later_process_with_the_same_pid_is_another_one(tmp_path):
    path = tmp_path / "a.lock"
    mine = Holder.this_process()
    path.write_text(json.dumps(asdict(mine)))
    assert holder_of(path) == mine
    path.write_text(json.dumps(asdict(replace(mine, born="1"))))
    assert holder_of(path) is None


@pytest.mark.parametrize("text", ["", "{", "[1]", '{"pid": 1}', "\xff"])
def test_a_text_that_is_none_names_nobody(tmp_path, text):
    path = tmp_path / "a.lock"
    path.write_bytes(text.encode("latin-1"))
    assert holder_of(path) is None


def test_a_stopped_holder_still_holds_and_is_named(held):
    path, process = held
    os.kill(process.pid, signal.SIGSTOP)
    messages: list[str] = []

    def wait() -> None:
        if messages:
            raise TimeoutError

    with pytest.raises(TimeoutError), locked(path, "it", say=messages.append, wait=wait):
        pass
    assert f"process {process.pid} " in messages[0]


@pytest.mark.parametrize("remove", [False, True])
def test_one_at_a_time_also_where_the_file_is_deleted_at_the_end(tmp_path, remove):
    number = tmp_path / "number"
    number.write_text("0")
    context = multiprocessing.get_context("fork")
    args = (tmp_path / "a.lock", number, 20, remove)
    processes = [context.Process(target=count, args=args) for _ in range(4)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(PATIENCE)
    assert number.read_text() == "80"
    assert (tmp_path / "a.lock").exists() != remove


def test_the_text_is_gone_at_the_end_and_short_waits_say_nothing(tmp_path):
    messages: list[str] = []
    for _ in range(2):
        with folder_lock(tmp_path / "new", "it", say=messages.append):
            assert holder_of(tmp_path / "new" / LOCK) == Holder(**json.loads(_text(tmp_path)))
    assert _text(tmp_path) == ""
    assert messages == []


def _text(place: Path) -> str:
    return (place / "new" / LOCK).read_text()


def test_passwords_are_not_written_down(monkeypatch):
    line = ["/a/b/sweeps/run.py", "study=x", "storage=postgresql://me:s3cret@host/db", "a\nb"]
    monkeypatch.setattr("sys.argv", line)
    assert command_line() == "sweeps/run.py study=x storage=postgresql://***@host/db a?b"
    monkeypatch.setattr("sys.argv", ["x" * 900])
    assert len(command_line()) == 200


def give_up(folder: Path, begun, seconds: float) -> None:
    with folder_lock(folder, "it", say=lambda message: None, remove=True):
        begun.set()
        time.sleep(seconds)


def test_who_waits_for_a_folder_that_vanishes_makes_it_again(tmp_path):
    context = multiprocessing.get_context("fork")
    folder, begun = tmp_path / "out", context.Event()
    first = context.Process(target=give_up, args=(folder, begun, 1.0))
    first.start()
    assert begun.wait(PATIENCE)
    said: list[str] = []
    with folder_lock(folder, "it", say=said.append, remove=True):
        assert folder.is_dir()
        assert said
    first.join()
    assert first.exitcode == 0
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_was_there_or_is_filled_stays(tmp_path):
    (tmp_path / "old").mkdir()
    for name in ("old", "new"):
        with folder_lock(tmp_path / name, "it", say=lambda message: None, remove=True):
            if name == "new":
                (tmp_path / name / "a").write_text("")
    assert sorted(p.name for p in tmp_path.rglob("*")) == ["a", "new", "old"]
    (tmp_path / "file").write_text("")
    with pytest.raises(FileExistsError), folder_lock(tmp_path / "file", "it", say=lambda message: None):
        pass
