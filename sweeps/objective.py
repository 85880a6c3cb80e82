"""A trial as overrides, and its value: computed by the harness's own stages, and shared with its suites."""

from __future__ import annotations

import inspect
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from benchmark.config import MethodConfig, Settings, load
from benchmark.errors import ConfigError
from benchmark.execute import do_jobs
from benchmark.jobs import LOG
from benchmark.plan import Job, Plan, make_plan, needed_jobs
from benchmark.preparation import inspected_study, settled_plan
from benchmark.records import FULL
from models.errors import StageError
from models.targets import class_named
from sweeps.spaces import Space

Params = Mapping[str, Any]
MISSING = object()


@dataclass(frozen=True)
class Planned:
    """A trial's cell, cut off after the stage that is tuned."""

    plan: Plan
    job: Job


@dataclass(frozen=True)
class Result:
    """What became of a trial: a value, or the reason why there is none."""

    stage: str
    """Name of the stage's folder; empty if it could not be planned."""
    value: float | None
    reason: str = ""


class Objective:
    """From parameters to the validation value of one cell's stage.

    Args:
        arguments: the command line of `benchmark.run` that all trials share.

    Raises:
        ConfigError: the command line, the space or the corpus cannot be used.
    """

    def __init__(self, space: Space, seed: int, arguments: Sequence[str], search_path: Sequence[str]) -> None:
        self.space, self._search_path = space, tuple(search_path)
        self._shared = (
            *arguments,
            f"methods=[{space.method}]",
            "ablated=[]",
            f"ablations=[{FULL}]",
            f"seeds=[{seed}]",
        )
        self.settings = self._settings(())
        study = inspected_study(self.settings)
        plan = settled_plan(self.settings, study, lambda study: make_plan(self.settings, study))
        self.study = plan.study
        if not plan.cells:
            raise ConfigError(" ".join(plan.notes))
        self._method = plan.cells[0].variant.method
        self.defaults = {key: default_of(self._method, key) for key in space.distributions}
        self._cut(plan)

    @property
    def identity(self) -> dict[str, Any]:
        """What the values of two trials must have in common to be compared."""
        tuned = {key.removeprefix("method.") for key in self.space.distributions}
        return {
            "stage": self.space.stage,
            "metric": self.space.metric,
            "configuration": _without(self._method.config, tuned),
            "data": self.study.training_id,
            "seed": self.settings.seeds[0],
        }

    def overrides(self, params: Params) -> tuple[str, ...]:
        """What to type after `python -m benchmark.run` for these values; defaults need not be typed."""
        texts = []
        for key, value in params.items():
            if value != self.defaults[key]:
                plus = "" if _select(self._method.config, key) is not MISSING else "+"
                texts.append(
                    f"{plus}{key}={value!r}" if not isinstance(value, str) else f"{plus}{key}={value}"
                )
        return tuple(texts)

    def measure(self, trials: Sequence[Params], workers: int) -> list[Result]:
        """Compute what is missing for these trials, together, and read their values.

        Raises:
            Interrupted: by a signal; running stages have saved their state.
            StorageError: the disk failed.
        """
        planned: list[Planned | str] = [self._planned(params) for params in trials]
        fine = [each for each in planned if isinstance(each, Planned)]
        if not fine:
            return [Result("", None, str(each)) for each in planned]
        whole = replace(fine[0].plan, jobs={k: j for each in fine for k, j in each.plan.jobs.items()})
        stages = self.settings.out / "stages"
        jobs = {job.key: job for each in fine for job in needed_jobs(each.plan, stages)}
        settings = replace(self.settings, workers=workers)
        outcome = do_jobs(settings, whole, list(jobs.values()), {})
        results = []
        for each in planned:
            if isinstance(each, str):
                results.append(Result("", None, each))
                continue
            reason = outcome.reason(each.job.key, whole.jobs)
            results.append(Result(each.job.key, None, reason) if reason else self._read(each.job, stages))
        return results

    def _planned(self, params: Params) -> Planned | str:
        try:
            return self._cut(make_plan(self._settings(self.overrides(params)), self.study))
        except (ConfigError, StageError) as error:
            return str(error)

    def _cut(self, plan: Plan) -> Planned:
        cell, stage = plan.cells[0], self.space.stage
        if stage not in cell.stages:
            raise ConfigError(
                f"{cell.variant.label} has no stage {stage!r} here: there are {', '.join(cell.stages)}"
            )
        job = plan.jobs[f"{stage}-{cell.stages[stage]}"]
        only = replace(cell, score=job.key, probe=None)
        return Planned(replace(plan, cells=(only,), truth=job.key, reference=None), job)

    def _settings(self, overrides: Sequence[str]) -> Settings:
        return load([*self._shared, *overrides], self._search_path)

    def _read(self, job: Job, stages: Path) -> Result:
        folder = job.folder(stages)
        assert folder is not None
        try:
            return Result(job.key, validation_value(folder.path / LOG, self.space.metric))
        except StageError as error:
            return Result(job.key, None, str(error))


def validation_value(log: Path, metric: str) -> float:
    """A stage's validation value at the step whose weights it kept, from its log.

    A stage that trains several times is judged by its last training; one that selects nothing keeps its
    last step.

    Raises:
        StageError: the stage logged no such value.
    """
    rows = (
        [json.loads(text) for text in log.read_text(encoding="utf-8").splitlines()] if log.is_file() else []
    )
    last = max((row.get("fit", 0) for row in rows), default=0)
    rows = [row for row in rows if row.get("fit", 0) == last]
    kept = [row["step"] for row in rows if any(key.startswith("selected/") for key in row)]
    name = f"validation/{metric}"
    values = {row["step"]: float(row[name]) for row in rows if name in row}
    if not values:
        known = sorted({key for row in rows for key in row if key.startswith("validation/")})
        raise StageError(
            f"{log.parent.name} logged no {name}; it has {', '.join(known) or 'no validation at all'}"
        )
    return values[kept[-1] if kept else max(values)]


def default_of(method: MethodConfig, key: str) -> Any:
    """The value that a key has without a trial: from the YAML, or else the constructor's default.

    Raises:
        ConfigError: the method has no such key.
    """
    value = _select(method.config, key)
    if value is not MISSING:
        return value
    parent, _, name = key.rpartition(".")
    tree = _select(method.config, parent)
    if isinstance(tree, Mapping) and "_target_" in tree:
        parameters = inspect.signature(class_named(tree["_target_"], f"{parent}._target_")).parameters
        if name in parameters and parameters[name].default is not inspect.Parameter.empty:
            return parameters[name].default
    raise ConfigError(f"no configuration key {key!r} in method {method.name}: correct it in sweeps/spaces.py")


def _select(config: Mapping[str, Any], key: str) -> Any:
    """The value of a key such as `method.landmarks.steps`, or MISSING."""
    first, *names = key.split(".")
    found: Any = config if first == "method" else MISSING
    for name in names:
        found = found.get(name, MISSING) if isinstance(found, Mapping) else MISSING
    return found


def _without(tree: Mapping[str, Any], keys: set[str], prefix: str = "") -> dict[str, Any]:
    return {
        name: _without(value, keys, f"{prefix}{name}.") if isinstance(value, Mapping) else value
        for name, value in tree.items()
        if f"{prefix}{name}" not in keys
    }
