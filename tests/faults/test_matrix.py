"""The fault matrix is whole, and its page is in step. The rows themselves are run by `python -m
tests.faults`."""

from __future__ import annotations

import ast
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.faults import __main__ as runner
from tests.faults import page, toys
from tests.faults.matrix import ROWS, Row
from tests.faults.tally import Tally

UNBUILT = {13, 14, 16, 17, 44}


def test_there_are_44_rows_and_those_not_built_are_named() -> None:
    assert [row.number for row in ROWS] == list(range(1, 45))
    assert {row.number for row in ROWS if not row.built} == UNBUILT


@pytest.mark.parametrize("row", [row for row in ROWS if row.built], ids=lambda row: str(row.number))
def test_every_built_row_names_a_function(row) -> None:
    module, _, function = row.work.partition(":")
    tree = ast.parse(Path(__file__).with_name(f"{module}.py").read_text(encoding="utf-8"))
    assert function in {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}
    assert row.counts[1] >= row.counts[0]
    assert row.counts[1] > 0


def test_the_page_is_in_step() -> None:
    assert page.PAGE.read_text(encoding="utf-8") == page.page(), "run python -m tests.faults --page"


def test_recorded_outcomes_are_of_rows_that_exist() -> None:
    for number, result in page.read().items():
        assert number in {row.number for row in ROWS if row.built}
        assert 0 <= result["expected"] <= result["tried"]


def test_an_exception_is_an_unexpected_outcome() -> None:
    tally = Tally()
    with tally.case("first"):
        raise ValueError("no\ngood")
    with tally.case("second"):
        pass
    assert (tally.tried, tally.expected) == (2, 1)
    assert dict(tally.others) == {"first: ValueError: no good": 1}


class Planted(Row):
    """A row whose work is given."""

    def run(self, count: int, folder: Path) -> Tally:
        return WORK[self.work](count, folder)


def _right(count: int, folder: Path) -> Tally:
    return Tally(count, count)


def _raises(count: int, folder: Path) -> Tally:
    raise ValueError("planted")


def _hangs(count: int, folder: Path) -> Tally:
    time.sleep(60)
    return Tally()


def _dies(count: int, folder: Path) -> Tally:
    os.kill(os.getpid(), signal.SIGKILL)
    return Tally()


WORK = {"right": _right, "raises": _raises, "hangs": _hangs, "dies": _dies}


def test_a_row_that_fails_hangs_or_dies_is_told_and_the_others_go_on(monkeypatch, capsys) -> None:
    monkeypatch.setattr(toys, "warm", lambda: None)
    rows = tuple(Planted(k, name, "", "", name, (3, 3), (1, 1)) for k, name in enumerate(WORK))
    monkeypatch.setattr(runner, "ROWS", rows)
    assert runner.main(["--counts", "ci"]) == 1
    told = capsys.readouterr()
    assert "row 0: 3 of 3 as expected" in told.err
    assert "the row itself failed: ValueError: planted" in told.err
    assert "the row did not end within 1 s" in told.err
    assert "the row itself failed: its process died" in told.err
    assert "not as expected: rows 1, 2, 3" in told.err
    assert runner.main(["--counts", "ci", "--rows", "0"]) == 0


def test_calls_that_write_are_seen_and_fail_where_asked(tmp_path) -> None:
    """In a process of its own: an audit hook stays for good."""
    script = f"""
import errno, os
from pathlib import Path
from benchmark.records import write_text
from tests.faults.write_calls import Fault, Watch, recorded, recorder
place = Path({str(tmp_path)!r})
(place / "results").mkdir()
log = recorder(place / "calls.txt")
active = [log]
Watch(place, lambda call, stream: active[0](call, stream)).install()
write_text(place / "results" / "a.json", "1")
calls = recorded(place / "calls.txt")
kinds = ["mkdir", "open", "open", "write", "close", "fsync", "rename", "remove", "close"]
assert [c.kind for c in calls] == kinds, calls
class Once(Fault):
    def __call__(self, call, stream):
        if not self.happened and (call.site, call.kind) == (self.at.site, self.at.kind):
            self.at = call
        super().__call__(call, stream)

for call in calls[1:7]:
    active[0] = Once(call, errno.EIO)
    try:
        write_text(place / "results" / "a.json", "2")
    except OSError as error:
        assert error.errno == errno.EIO
    else:
        raise AssertionError(call)
    assert (place / "results" / "a.json").read_text() == "1"
print("seen")
"""
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=page.ROOT, capture_output=True, text=True, check=False, timeout=60
    )
    assert done.stdout == "seen\n", done.stderr
