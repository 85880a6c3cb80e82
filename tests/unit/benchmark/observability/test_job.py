"""The job that damages the truth: whole or not at all, and known by what it depends on."""

from __future__ import annotations

import signal
from pathlib import Path
from typing import Any

import pytest

from benchmark.config import load
from benchmark.errors import ConfigError, Interrupted
from benchmark.jobs import Surroundings, run_job
from benchmark.observations import OBSERVATIONS, read_observations
from benchmark.plan import Job, make_plan, needed_jobs, observing_plan
from benchmark.study import Study, StudyConfig

TINY = (
    *("observe.clips=1", "observe.frames=2", "observe.frame_size=32", "observe.resamples=2"),
    *("metrics.network_steps=2", "metrics.sync_steps=2"),
)


def job_of(*overrides: str, cache: str = "nowhere") -> Job:
    (job,) = observing_plan(load([*TINY, f"cache={cache}", *overrides])).jobs.values()
    return job


def test_it_is_known_by_what_is_measured_and_not_by_where_or_for_which_corpus() -> None:
    own = job_of().id
    assert job_of("workers=1", "data=emodb", cache="elsewhere").id == own
    for other in ("observe.clips=2", "observe.frames=3", "observe.frame_size=64", "observe.resamples=3"):
        assert job_of(other).id != own


def test_a_suite_observes_unless_it_is_told_not_to_and_a_sweep_never() -> None:
    settings = load(["suite=smoke"])
    plan = make_plan(settings, Study(StudyConfig.of(settings)))
    assert plan.observed is not None
    nowhere = Path("nowhere")
    assert plan.observed in {job.key for job in needed_jobs(plan, nowhere, observing=True)}
    assert plan.observed not in {job.key for job in needed_jobs(plan, nowhere)}
    without = load(["suite=smoke", "observe.clips=0"])
    assert make_plan(without, Study(StudyConfig.of(without))).observed is None


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("observe.clips=-1", "observe.clips: expected 0 or more"),
        ("observe.frames=1", "observe.frames: expected 2 or more"),
        ("observe.frame_size=16", "observe.frame_size: expected 32 or more"),
        ("observe.judge_sentences=1", "observe.judge_sentences: expected 2 or more"),
        ("observe.clips=many", "observe.clips: expected a whole number"),
    ],
)
def test_what_cannot_be_observed_is_refused(override: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        load([override])


def test_an_interrupted_job_leaves_nothing_half_written_and_goes_on(tmp_path: Path) -> None:
    job = job_of(cache=str(tmp_path / "cache"))
    stages = tmp_path / "stages"
    folder = job.folder(stages)
    assert folder is not None
    stop: list[int] = [signal.SIGTERM]
    asked: dict[str, Any] = {"stop_signal": lambda: stop[0] if stop else None}
    study = Study(StudyConfig.of(load(["suite=smoke"])))
    with pytest.raises(Interrupted):
        run_job(job, Surroundings(study, stages, **asked))
    assert not folder.path.exists()
    stop.clear()
    run_job(job, Surroundings(study, stages, **asked))
    assert folder.damage() is None
    assert len(read_observations(folder.path / OBSERVATIONS).clips) == 1
