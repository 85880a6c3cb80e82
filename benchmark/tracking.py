"""Weights & Biases as a mirror of what is already on disk: it may be slow, absent or broken.

Each finished cell becomes one run: the curves of its stages, then its mean scores. Runs in a worker process
with a time limit; whatever goes wrong is one warning. The mode is always set in code, so nothing prompts.
"""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from benchmark.errors import one_line
from benchmark.jobs import LOG, Surroundings
from benchmark.plan import Job
from benchmark.records import WHOLE_SET, write_text
from benchmark.scoring import SCORES
from benchmark.workers import WorkerSetup
from models.errors import UserError


class TrackingError(UserError):
    """The mirror could not be written; results are not touched by that."""


def mirror(job: Job, setup: WorkerSetup, around: Surroundings) -> None:
    """Write one cell's run, and the mark that says so.

    Raises:
        TrackingError: anything at all went wrong, or it took too long.
    """
    failure: list[BaseException] = []

    def attempt() -> None:
        try:
            _write(job.payload, setup, around.stages)
        except BaseException as error:
            failure.append(error)

    thread = threading.Thread(target=attempt, daemon=True)
    thread.start()
    thread.join(float(setup.tracking["timeout"]))
    if thread.is_alive():
        raise TrackingError(f"W&B took more than {setup.tracking['timeout']} s for {job.payload['name']}")
    if failure:
        raise TrackingError(f"W&B: {one_line(failure[0])}") from failure[0]
    write_text(setup.run_directory / "wandb" / "mirrored" / job.payload["marker"], "")


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
        mode=setup.tracking["mode"],
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
