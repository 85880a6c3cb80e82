"""Building reports: one at a time in a folder, and for ever in one process."""

from __future__ import annotations

import gc
import os
import subprocess
import sys
import time
import weakref

import pytest

from models.locks import LOCK, locked
from reports import paper


@pytest.fixture
def run(tmp_path, fake):
    fake.write_run(tmp_path / "results" / "quick", sentences=2, seeds=(0,))
    return tmp_path / "results" / "quick"


def start(run, *arguments: str, **environment: str) -> subprocess.Popen[str]:
    # Without figures, which take longer than all the rest; they have their own tests.
    code = "import sys, reports.paper as p; p.all_figures = lambda study: (); sys.exit(p.main(sys.argv[1:]))"
    line = [sys.executable, "-c", code, f"out={run.parent}", *arguments]
    return subprocess.Popen(
        line, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env={**os.environ, **environment}
    )


def test_no_study_outlives_its_report(run, monkeypatch):
    studies = []
    load = paper.load_study
    monkeypatch.setattr(paper, "load_study", lambda d: (studies.append(weakref.ref(s := load(d))), s)[1])
    monkeypatch.setattr(paper, "all_figures", lambda study: ())
    for _ in range(2):
        paper.build_report(run)
    gc.collect()
    assert [study() for study in studies] == [None, None]


def test_builds_beside_each_other_and_while_somebody_holds_the_run_leave_one_whole_report(run):
    messages: list[str] = []
    # A notebook hands its own backend to the processes that it starts.
    inline = {"MPLBACKEND": "module://matplotlib_inline.backend_inline"}
    with locked(run / LOCK, "it", say=messages.append):
        processes = [start(run, **inline) for _ in range(2)]
        for process in processes:
            line = process.stderr.readline()
            assert line.startswith(f"waiting for the results in {run}: held by process {os.getpid()} on ")
            assert process.poll() is None
        assert not (run / "report").exists()
    for process in processes:
        out, errors = process.communicate(timeout=500)
        assert process.returncode == 0, errors
        assert out == f"{run}/report/index.html\n"
    report = run / "report"
    assert {p.name for p in report.iterdir()} == {"index.html", "tables"}
    assert {p.suffix for p in (report / "tables").iterdir()} == {".md", ".csv", ".tex"}


def test_a_report_is_whole_whenever_it_is_read(run, monkeypatch):
    monkeypatch.setattr(paper, "all_figures", lambda study: ())
    page = paper.build_report(run)
    (page.parent / "tables" / "stale.csv").write_text("of an earlier report")
    before, seen = page.read_text(), []
    replace = type(page).replace
    monkeypatch.setattr(
        type(page), "replace", lambda self, to: (seen.append(page.read_text()), replace(self, to))[1]
    )
    paper.build_report(run)
    assert len(seen) > 5
    assert set(seen) == {before}
    assert not (page.parent / "tables" / "stale.csv").exists()


@pytest.mark.parametrize("readme", ["/proc/version", "none/README.md", "results"])
def test_a_readme_that_cannot_be_written_is_refused_before_the_report_is_built(
    run, readme, monkeypatch, capsys
):
    monkeypatch.chdir(run.parents[1])
    started = time.monotonic()
    assert paper.main([f"out={run.parent}", f"readme={readme}"]) in (2, 4)
    assert time.monotonic() - started < 5
    errors = capsys.readouterr().err
    assert errors.startswith("error: readme: ")
    assert errors.count("\n") == 1
    assert not (run / "report").exists()


def test_a_run_that_is_not_there_is_not_made(tmp_path, capsys):
    assert paper.main([f"out={tmp_path}", "suite=none"]) == 2
    assert "no records at" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []
