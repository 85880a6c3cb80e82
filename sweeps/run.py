"""python -m sweeps.run study=landmarks trials=20: tune a stage; running again is resuming."""

from __future__ import annotations

import json
import re
import shlex
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmark.errors import ConfigError, Interrupted, one_line
from benchmark.signals import deferred, run_and_exit, run_interruptible
from benchmark.workers import one_thread
from models.arguments import shown
from models.errors import FAILED, StorageError, UserError, storage_faults

if TYPE_CHECKING:
    from sweeps.objective import Objective
    from sweeps.study import Sweep

GIVE_UP = 3
"""So many trials that fail in a row end a sweep: it is not the parameters."""
RESERVED = ("method", "methods", "ablated", "ablations", "seeds", "dry_run", "run")
"""Keys of `benchmark.run` that a sweep sets itself."""
USAGE_TEXT = """\
usage: python -m sweeps.run study=NAME [trials=20] [workers=1] [seed=0] [run=NAME] [storage=URL]
                            [any override of benchmark.run ...]

Tunes one stage of one cell with Optuna, until there are `trials` trials in all. A trial is what
`benchmark.run` would compute up to that stage, in the same folders, so stages are shared with suites
and other trials. The first trial is the configuration as it is. Running the same command again goes on.

studies
{studies}

keys
  trials   how many in all, those of earlier runs and failed ones included
  workers  trials at a time; the values proposed depend on it, and on nothing else but the seed
  seed     of the proposals, and of the cell that is trained
  run      name of the sweep, if it is not the study's: {{out}}/sweeps/<run>.db and .json
  storage  where trials are kept instead of that SQLite file: the path of another, or any SQLAlchemy address;
           one process at a time

exit codes: 0 done, 2 usage, 3 some trials FAILED (the others stand), 4 storage fault,
130/143/75 interrupted by SIGINT/SIGTERM/SIGUSR1 (the same command goes on)
"""


@dataclass(frozen=True)
class Request:
    """The sweep's own part of a command line, and the part that is `benchmark.run`'s."""

    study: str
    name: str
    trials: int
    workers: int
    seed: int
    storage: str | None
    arguments: tuple[str, ...]


def parse(arguments: Sequence[str]) -> Request:
    """
    Raises:
        ConfigError: an unknown study, a value that is none, or a key that a sweep sets itself.
    """
    from benchmark.config import plain_name
    from sweeps.spaces import SPACES

    own = {"trials": "20", "workers": "1", "seed": "0"}
    rest = []
    for text in arguments:
        key, equals, value = text.partition("=")
        if equals and key in ("study", "trials", "workers", "seed", "storage", "run"):
            own[key] = value
        else:
            rest.append(text)
    studies = ", ".join(SPACES)
    if "study" not in own:
        raise ConfigError(f"study: expected study=NAME, one of {studies}")
    if own["study"] not in SPACES:
        raise ConfigError(f"no study {shown(own['study'])}; there are {studies}")
    tuned = SPACES[own["study"]].distributions
    for text in rest:
        key = text.partition("=")[0].lstrip("+~")
        if key in RESERVED:
            raise ConfigError(f"{key}: a sweep sets it itself; seed=... chooses the cell's seed")
        if key in tuned:
            raise ConfigError(f"{key}: study {own['study']} tunes it, so it cannot be given")
    return Request(
        own["study"],
        plain_name(own.get("run", own["study"]), "run"),
        _whole("trials", own["trials"], 1),
        _whole("workers", own["workers"], 1),
        _whole("seed", own["seed"], 0),
        own.get("storage"),
        tuple(rest),
    )


def _whole(key: str, text: str, least: int) -> int:
    if not re.fullmatch(r"[0-9]{1,9}", text) or int(text) < least:
        raise ConfigError(f"{key}: expected a whole number from {least} up, got {shown(text)}")
    return int(text)


def main(arguments: Sequence[str] | None = None, search_path: Sequence[str] = ()) -> int:
    """Run a sweep; the exit code says how it went.

    Args:
        search_path: further folders with configuration groups, as for `benchmark.run`.
    """
    one_thread()
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    if any(a in ("-h", "--help", "help") for a in arguments):
        print(usage())
        return 0
    import sweeps.objective
    import sweeps.study  # noqa: F401

    return run_interruptible(lambda: _stored(parse(arguments), search_path))


def _stored(request: Request, search_path: Sequence[str]) -> int:
    """Run a sweep.

    Raises:
        StorageError: the database of the trials, or the disk, failed.
    """
    from sweeps.study import is_storage_error

    try:
        return _sweep(request, search_path)
    except UserError:
        # A refusal of the address has the storage's error as its cause.
        raise
    except Exception as error:
        if not is_storage_error(error):
            raise
        raise StorageError(f"storage fault: {one_line(error)}") from error


def _sweep(request: Request, search_path: Sequence[str]) -> int:
    from dataclasses import replace

    from models.locks import locked, say_on_stderr
    from sweeps.objective import Objective
    from sweeps.spaces import SPACES
    from sweeps.study import open_sweep

    space = SPACES[request.study]
    objective = Objective(space, request.seed, request.arguments, search_path)
    folder = objective.settings.out / "sweeps"
    objective.settings = replace(objective.settings, run_directory=folder / request.name)
    with storage_faults(f"beginning work in {folder}"):
        folder.mkdir(parents=True, exist_ok=True)
    lock = folder / f".{request.name}.lock"
    with locked(lock, f"the sweep {request.name}", say=say_on_stderr, wait=_refuse(lock, request.name)):
        sweep = open_sweep(
            request.storage or folder / f"{request.name}.db",
            request.name,
            seed=request.seed,
            distributions=space.distributions,
            defaults=objective.defaults,
            identity=objective.identity,
        )
        return _work(request, objective, sweep, folder / f"{request.name}.json")


def _refuse(lock: Path, name: str) -> Callable[[], None]:
    """Return what raises instead of waiting for another process: two would share out the trials twice."""

    def wait() -> None:
        from models.locks import holder_of

        whose = holder_of(lock) or "another process"
        raise ConfigError(f"{whose} runs the sweep {name}: wait for it, or use run=...")

    return wait


def _work(request: Request, objective: Objective, sweep: Sweep, path: Path) -> int:
    stale = sweep.mend()
    if stale:
        print(f"{stale} trials of a run that was killed are tried again")
    if sweep.outside():
        print(
            f"the configuration as it is lies outside the space ({', '.join(sweep.outside())}): not measured"
        )
    in_a_row = 0
    while (done := len(sweep.settled())) < request.trials and in_a_row < GIVE_UP:
        for succeeded in _batch(request, objective, sweep, done):
            in_a_row = 0 if succeeded else in_a_row + 1
        _write(path, request, objective, sweep)
    _write(path, request, objective, sweep)
    if in_a_row >= GIVE_UP and len(sweep.settled()) < request.trials:
        print(f"given up: the last {in_a_row} trials failed, see {path}", file=sys.stderr)
    return _conclude(request, objective, sweep, path)


def _batch(request: Request, objective: Objective, sweep: Sweep, done: int) -> list[bool]:
    """Ask for as many trials as there are workers, compute and tell them; which had a value."""
    count = min(request.workers, request.trials - done)
    trials = [sweep.ask(done + number) for number in range(count)]
    told = 0
    try:
        with deferred():
            results = objective.measure([trial.params for trial in trials], request.workers)
            for trial, result in zip(trials, results, strict=True):
                sweep.tell(trial, result.value, result.stage, result.reason)
                told += 1
                _print_trial(request, objective, trial, result)
    except (Interrupted, StorageError) as error:
        for trial in trials[told:]:
            sweep.give_back(trial, str(error))
        raise
    return [result.value is not None for result in results]


def _print_trial(request: Request, objective: Objective, trial: Any, result: Any) -> None:
    number = trial.user_attrs["index"] + 1
    what = (
        f"FAILED ({result.reason})" if result.value is None else f"{result.value:.6g} {objective.space.unit}"
    )
    typed = " ".join(objective.overrides(trial.params)) or "the configuration as it is"
    print(f"trial {number}/{request.trials}: {objective.space.metric} {what.strip()}  {typed}", flush=True)


def _summary(request: Request, objective: Objective, sweep: Sweep) -> dict[str, Any]:
    rows = [
        {
            "trial": trial.user_attrs["index"] + 1,
            "value": trial.value if trial.state.name == "COMPLETE" else None,
            "reason": trial.user_attrs.get("reason", ""),
            "stage": trial.user_attrs.get("stage", ""),
            "params": dict(trial.params),
            "overrides": list(objective.overrides(trial.params)),
        }
        for trial in sweep.settled()
    ]
    valued = [row for row in rows if row["value"] is not None]
    return {
        "study": request.study,
        "method": objective.space.method,
        "stage": objective.space.stage,
        "metric": objective.space.metric,
        "unit": objective.space.unit,
        "direction": "lower",
        "seed": request.seed,
        "overrides": list(objective.settings.overrides),
        "best": min(valued, key=lambda row: row["value"], default=None),
        "trials": rows,
    }


def _write(path: Path, request: Request, objective: Objective, sweep: Sweep) -> None:
    from benchmark.records import write_text

    text = json.dumps(_summary(request, objective, sweep), indent=1, ensure_ascii=False)
    write_text(path, text + "\n")


def _conclude(request: Request, objective: Objective, sweep: Sweep, path: Path) -> int:
    summary = _summary(request, objective, sweep)
    rows, best = summary["trials"], summary["best"]
    failed = sum(row["value"] is None for row in rows)
    print(f"{len(rows)} trials, {failed} FAILED; {path}")
    if best is not None:
        print(
            f"best {summary['metric']} {best['value']:.6g} {summary['unit']}".rstrip()
            + f", trial {best['trial']}"
        )
        print(f"python -m benchmark.run {shlex.join(_typed(request, summary, best['overrides']))}")
    return FAILED if failed else 0


def _typed(request: Request, summary: dict[str, Any], overrides: Sequence[str]) -> list[str]:
    """Other methods than the tuned one would not know a key that is added."""
    added = any(text.startswith("+") for text in (*request.arguments, *overrides))
    only = [f"methods=[{summary['method']}]"] if added else []
    return [*request.arguments, *only, *overrides]


def usage() -> str:
    from sweeps.spaces import SPACES

    studies = "\n".join(
        f"  {name:12} {space.metric} of {space.method}'s {space.stage}, over "
        + ", ".join(key.removeprefix(f"method.{space.stage}.") for key in space.distributions)
        for name, space in SPACES.items()
    )
    return USAGE_TEXT.format(studies=studies)


if __name__ == "__main__":
    run_and_exit(main)
