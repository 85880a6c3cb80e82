"""Sweeps on toys: real stages by the harness's own code, computed in this process."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution

from benchmark.config import load
from benchmark.errors import ConfigError, Interrupted, one_line
from benchmark.execute import Outcome
from benchmark.jobs import Surroundings, run_job
from models import targets
from sweeps import objective, run, spaces
from sweeps.objective import default_of, validation_value
from sweeps.spaces import SPACES, Space
from sweeps.study import open_sweep, storage_of

TOYS = Path(__file__).parents[2] / "toys"
TOY = Space(
    method="toy",
    stage="net",
    metric="error",
    unit="",
    distributions={
        "method.net.weight": FloatDistribution(0.5, 2.0),
        "method.net.steps": CategoricalDistribution((20, 40)),
    },
)
FAULTY = Space(
    method="toy",
    stage="net",
    metric="error",
    unit="",
    distributions={"method.net.fault": CategoricalDistribution((None, "raise", "nan"))},
)


@pytest.fixture(autouse=True)
def toys(monkeypatch):
    monkeypatch.syspath_prepend(str(TOYS))
    monkeypatch.setattr(targets, "PACKAGES", (*targets.PACKAGES, "toy_parts"))
    monkeypatch.setitem(spaces.SPACES, "toy", TOY)
    monkeypatch.setitem(spaces.SPACES, "faulty", FAULTY)
    monkeypatch.setattr(objective, "do_jobs", in_this_process)


def in_this_process(settings, plan, jobs, mirrors):
    outcome = Outcome()
    around = Surroundings(plan.study, settings.out / "stages")
    for job in jobs:
        if outcome.reason(job.key, plan.jobs) is None:
            try:
                run_job(job, around)
            except Exception as error:
                outcome.failures[job.key] = one_line(error)
    return outcome


def sweep(place: Path, *arguments: str) -> int:
    shared = ("suite=toy", f"out={place}/results", f"cache={place}/cache")
    return run.main([*shared, *arguments], search_path=[str(TOYS / "configs")])


def trials(place: Path, name: str = "toy") -> list[dict]:
    return json.loads((place / f"results/sweeps/{name}.json").read_text())["trials"]


def test_resumed_sweep_has_the_trials_of_an_undisturbed_one(tmp_path, capsys):
    assert sweep(tmp_path / "a", "study=toy", "trials=3") == 0
    assert len(trials(tmp_path / "a")) == 3
    assert sweep(tmp_path / "a", "study=toy", "trials=4") == 0
    assert sweep(tmp_path / "b", "study=toy", "trials=4") == 0
    assert trials(tmp_path / "a") == trials(tmp_path / "b")
    assert trials(tmp_path / "a")[0]["params"] == {"method.net.weight": 1.0, "method.net.steps": 40}
    assert trials(tmp_path / "a")[0]["overrides"] == []
    features = list((tmp_path / "a/results/stages").glob("features-*"))
    assert len(features) == 1
    rows = trials(tmp_path / "a")
    best = min(rows, key=lambda row: row["value"])
    typed = capsys.readouterr().out.strip().splitlines()[-1]
    assert typed.startswith("python -m benchmark.run suite=toy")
    assert all(text in typed for text in best["overrides"])


def test_overrides_that_are_printed_lead_to_the_stage_that_was_measured(tmp_path):
    assert sweep(tmp_path, "study=toy", "trials=2") == 0
    row = trials(tmp_path)[1]
    again = objective.Objective(
        TOY,
        0,
        ["suite=toy", f"out={tmp_path}/results", f"cache={tmp_path}/cache"],
        [str(TOYS / "configs")],
    )
    [result] = again.measure([row["params"]], 1)
    assert (result.stage, result.value) == (row["stage"], row["value"])
    assert row["value"] == validation_value(tmp_path / "results/stages" / row["stage"] / "log.jsonl", "error")


def test_failing_trials_are_recorded_and_the_sweep_goes_on_up_to_a_limit(tmp_path):
    code = sweep(tmp_path, "study=faulty", "trials=5")
    rows = trials(tmp_path, "faulty")
    failed = [row for row in rows if row["value"] is None]
    assert code == 3
    assert rows[0]["value"] is not None
    assert failed
    assert all("a toy fault" in row["reason"] or "nan" in row["reason"] for row in failed)


def test_interrupted_trial_is_asked_for_again(tmp_path, monkeypatch, capsys):
    calls = []

    def stop(*arguments):
        calls.append(1)
        if len(calls) == 2:
            raise Interrupted(signal.SIGINT)
        return in_this_process(*arguments)

    monkeypatch.setattr(objective, "do_jobs", stop)
    assert sweep(tmp_path / "a", "study=toy", "trials=3") == 130
    assert len(trials(tmp_path / "a")) == 1
    assert sweep(tmp_path / "a", "study=toy", "trials=3") == 0
    assert sweep(tmp_path / "b", "study=toy", "trials=3", "workers=1") == 0
    assert trials(tmp_path / "a") == trials(tmp_path / "b")


def test_trial_of_a_killed_process_is_tried_again_and_given_up_in_the_end(tmp_path, monkeypatch):
    def die(*arguments):
        raise RuntimeError("as if killed")

    assert sweep(tmp_path, "study=toy", "trials=1") == 0
    monkeypatch.setattr(objective, "do_jobs", die)
    for _ in range(3):
        with pytest.raises(RuntimeError):
            sweep(tmp_path, "study=toy", "trials=3")
    monkeypatch.setattr(objective, "do_jobs", in_this_process)
    assert sweep(tmp_path, "study=toy", "trials=3") == 3
    rows = trials(tmp_path)
    assert [row["value"] is None for row in rows] == [False, True, False]
    assert "died 3 times" in rows[1]["reason"]


def test_locked_database_is_waited_for(tmp_path):
    def connection():
        return sqlite3.connect(tmp_path / "a.db", isolation_level=None, check_same_thread=False)

    def release():
        holder.execute("ROLLBACK")

    distributions = {"x": FloatDistribution(0.0, 1.0)}
    arguments = (f"sqlite:///{tmp_path}/a.db", "toy")
    settings = {"seed": 0, "distributions": distributions, "defaults": {"x": 0.5}, "identity": {}}
    opened = open_sweep(*arguments, **settings)
    holder = connection()
    holder.execute("BEGIN EXCLUSIVE")
    # SQLite's own patience is 5 s.
    timer = threading.Timer(6.5, release)
    timer.start()
    trial = opened.ask(0)
    opened.tell(trial, 1.0, "stage", "")
    timer.join()
    assert [t.value for t in opened.settled()] == [1.0]


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["trials=2"], "expected study=NAME"),
        (["study=nose"], "no study 'nose'"),
        (["study=toy", "trials=none"], "trials: expected a whole number"),
        (["study=toy", "workers=0"], "workers: expected"),
        (["study=toy", "method.net.weight=1"], "tunes it"),
        (["study=toy", "seeds=[1]"], "sets it itself"),
        (["study=toy", "splitt.subject=A"], "no configuration key"),
        (["study=toy", "storage=nonsense"], "storage: expected an address"),
        (["study=toy", "storage=nonsense://"], "error: storage: expected a file, or an address"),
    ],
)
def test_what_cannot_be_run_is_refused_in_one_line(tmp_path, capsys, arguments, says):
    assert sweep(tmp_path, *arguments) == 2
    error = capsys.readouterr().err
    assert says in error
    assert error.count("\n") == 1


def test_trials_of_different_configurations_are_not_mixed(tmp_path, capsys):
    assert sweep(tmp_path, "study=toy", "trials=1") == 0
    assert sweep(tmp_path, "study=toy", "trials=2", "method.shift=1.0") == 2
    assert "another configuration" in capsys.readouterr().err
    assert sweep(tmp_path, "study=toy", "trials=1", "method.shift=1.0", "run=shifted") == 0


@pytest.mark.parametrize("name", sorted(SPACES))
@pytest.mark.parametrize("scale", ["tiny", "small", "paper"])
def test_every_space_names_keys_of_the_method_and_holds_their_defaults(name, scale):
    space = SPACES[name]
    settings = load([f"scale={scale}", f"methods=[{space.method}]"])
    method = settings.composer.method(space.method, (), {"emotions": True, "frames": True})
    assert space.stage in method.config
    for key, distribution in space.distributions.items():
        default = default_of(method, key)
        assert distribution._contains(distribution.to_internal_repr(default)), (key, default)


def test_module_says_how_it_is_used_without_torch():
    code = "import sys, sweeps.run as r; r.main(['--help']); assert 'torch' not in sys.modules"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=dict(os.environ), check=False
    )
    assert done.returncode == 0, done.stderr
    assert "landmarks" in done.stdout


@pytest.mark.parametrize("name", ["a b.db", "50%41.db", "#1.sqlite", "ü{}.db", "it's.db", "what?.db"])
@pytest.mark.parametrize("form", ["{}", "sqlite:///{}"])
def test_the_file_of_a_storage_may_have_any_name(tmp_path, name, form):
    path = tmp_path / name
    storage = storage_of(form.format(path))
    assert storage.get_all_studies() == []
    assert path.is_file()


@pytest.mark.parametrize(
    "place",
    [
        "sqlite://",
        "sqlite:///:memory:",
        "sqlite+pysqlite://",
        "sqlite+pysqlite:///:memory:",
        "sqlite:///file::memory:?cache=shared&uri=true",
        "sqlite:///file:m?mode=memory&cache=shared&uri=true",
    ],
)
def test_a_storage_that_does_not_last_is_refused(place: str) -> None:
    with pytest.raises(ConfigError, match="storage: "):
        storage_of(place)
