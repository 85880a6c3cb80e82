"""Weights & Biases as a mirror of what is already on disk: it may be slow, absent or broken.

Each finished cell becomes one run: the curves of its stages, then its mean scores. Runs in a worker process
with a time limit. A server that is not reached costs that time once: `benchmark.execute` then lets all cells
be written to disk instead, for `wandb sync`. The mode is always set in code, so nothing prompts.
"""

from __future__ import annotations

import json
import os
import threading
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from benchmark.errors import one_line
from benchmark.jobs import LOG, Surroundings
from benchmark.plan import Job
from benchmark.records import WHOLE_SET, write_text
from benchmark.scoring import SCORES
from benchmark.workers import WorkerSetup
from models.errors import UserError
from models.locks import locked


class TrackingError(UserError):
    """The mirror could not be written; results are not touched by that."""


class TrackingTimeout(TrackingError):
    """It took too long: a thread of this process still waits, so nothing else should be done in it."""


ONLINE, OFFLINE = "online", "offline"
CONNECT = "mirror-connect"
"""Key of the job that asks whether the server answers."""
CONNECT_SECONDS = 10.0
SERVER = "https://api.wandb.ai"


def connect(setup: WorkerSetup) -> None:
    """Ask the server for anything at all.

    Raises:
        TrackingError: it gave no answer in time.
    """
    address = os.environ.get("WANDB_BASE_URL") or SERVER
    seconds = min(CONNECT_SECONDS, float(setup.tracking["timeout"]))

    def attempt() -> None:
        try:
            urllib.request.urlopen(urllib.request.Request(address, method="HEAD"), timeout=seconds).close()
        except urllib.error.HTTPError:
            return  # an answer

    try:
        _limited(attempt, seconds)
    except TrackingTimeout as error:
        name = urllib.parse.urlsplit(address).hostname
        raise TrackingTimeout(f"{name} gave no answer in {seconds:g} s") from error


def _limited(attempt: Callable[[], None], seconds: float) -> None:
    """Call a function that may never return.

    Raises:
        TrackingTimeout: it has not returned in time.
        TrackingError: whatever it raised.
    """
    failure: list[BaseException] = []

    def work() -> None:
        try:
            attempt()
        except BaseException as error:
            failure.append(error)

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    thread.join(seconds)
    if thread.is_alive():
        raise TrackingTimeout(f"it took more than {seconds:g} s")
    if failure:
        raise TrackingError(one_line(failure[0])) from failure[0]


def mirror(job: Job, setup: WorkerSetup, around: Surroundings) -> None:
    """Write one cell's run, and the mark that says so; nothing if another process has.

    Raises:
        TrackingError: anything at all went wrong, or it took too long.
    """
    marks = setup.run_directory / "wandb" / "mirrored"
    mark = marks / job.payload["marker"]
    marks.mkdir(parents=True, exist_ok=True)
    lock = marks / f".{mark.name}.lock"
    what = f"the W&B run of {job.payload['name']}"
    with locked(lock, what, say=around.say, wait=around.check, remove=True):
        if mark.exists():
            return
        _limited(lambda: _write(job.payload, setup, around.stages), float(setup.tracking["timeout"]))
        write_text(mark, "")


def _write(payload: Mapping[str, Any], setup: WorkerSetup, stages: Path) -> None:
    place = (setup.run_directory / "wandb").resolve()
    place.mkdir(parents=True, exist_ok=True)
    for name, folder in (
        ("WANDB_DIR", place),
        ("WANDB_CACHE_DIR", place / "cache"),
        ("WANDB_DATA_DIR", place / "cache"),
        ("WANDB_CONFIG_DIR", place / "config"),
        ("WANDB_ARTIFACT_DIR", place / "cache"),
    ):
        os.environ[name] = str(folder)
    os.environ["WANDB_SILENT"] = "true"
    import wandb

    settings = wandb.Settings(
        mode=payload["mode"],
        silent=True,
        console="off",
        disable_code=True,
        disable_git=True,
        save_code=False,
        x_disable_meta=True,
        x_disable_stats=True,
        x_disable_machine_info=True,
        x_save_requirements=False,
        host="",
        username="",
        program="benchmark.run",
        init_timeout=float(setup.tracking["timeout"]),
    )
    run = wandb.init(
        project=setup.tracking["project"],
        id=f"{payload['run_id']}",
        name=payload["name"],
        group=payload["group"],
        tags=[payload["suite"], payload["corpus"]],
        config={
            "seed": payload["seed"],
            "suite": payload["suite"],
            "corpus": payload["corpus"],
            **payload["config"],
        },
        dir=str(place),
        settings=settings,
        reinit="finish_previous",
    )
    try:
        for row in _curves(payload["logs"], stages):
            run.log(row)
        for name, value in mean_scores(stages / payload["scores"]).items():
            run.summary[name] = value
    finally:
        run.finish()


def _curves(logs: Mapping[str, str], stages: Path) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = []
    for stage, folder in logs.items():
        path = stages / folder / LOG
        if not path.is_file():
            continue
        for line in path.read_text(encoding="utf-8").splitlines():
            rows.append({f"{stage}/{key}": value for key, value in json.loads(line).items()})
    return rows


def mean_scores(folder: Path) -> dict[str, float]:
    """ "condition/protocol" -> mean over clips, or the set's own score."""
    rows = json.loads((folder / SCORES).read_text(encoding="utf-8"))["rows"]
    found: dict[str, list[float]] = {}
    for row in rows:
        if row["value"] is not None:
            end = "/set" if row["clip"] == WHOLE_SET else ""
            found.setdefault(f"{row['condition']}/{row['protocol']}{end}", []).append(row["value"])
    return {name: sum(values) / len(values) for name, values in sorted(found.items())}
