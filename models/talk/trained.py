"""A trained run of EVP, read from what the benchmark left: its manifest, and the folders of its stages."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from models.errors import ConfigError, InputError
from models.evp import EVP
from models.targets import build

FULL = "full"
MANIFEST = "manifest.json"
METHOD = f"{EVP.__module__}.{EVP.__qualname__}"
PACKAGE = "models"
"""Only classes of this package are built from a run's configuration."""

_Part = TypeVar("_Part")


@dataclass(frozen=True)
class TrainedRun:
    """One seed of one row of a study."""

    directory: Path
    method: EVP
    stages: Mapping[str, Path]
    """Folder by stage name."""
    configs: Mapping[str, Mapping[str, Any]]
    """Configuration by stage name, `_target_` included."""

    @staticmethod
    def read(directory: Path, *, row: str = "evp", seed: int | None = None) -> TrainedRun:
        """
        Args:
            directory: of a finished suite; the stages' folders lie beside it.
            row: the method, or `method/ablation`.
            seed: None takes the lowest that is done.

        Raises:
            InputError: there is no such run, row or seed, it failed, or the row is no EVP.
        """
        cell = _cell(directory, row, seed)
        folders = {name: _stage_folder(directory, name, id) for name, id in cell["stages"].items()}
        if "predict" not in folders:
            raise InputError(f"{directory / MANIFEST} names no predictions of row {row}: run the suite again")
        own = _config(folders.pop("predict"))
        if own.get("_target_") != METHOD:
            raise InputError(
                f"row {row} of {directory} is {own.get('_target_')!r}: only EVP and its ablations talk"
            )
        for judged in ("score", "probe"):
            folders.pop(judged, None)
        configs = {name: _config(path) for name, path in folders.items()}
        method = build_of_run({**own, **configs}, EVP)
        return TrainedRun(directory, method, {name: folders[name] for name in method.stages()}, configs)

    def folder(self, stage: str) -> Path:
        self.config(stage)
        return self.stages[stage]

    def config(self, stage: str) -> Mapping[str, Any]:
        """
        Raises:
            InputError: the run has no such stage, as one without video has no renderer.
        """
        if stage not in self.stages:
            raise InputError(f"{self.directory} has no {stage}: its corpus has no video; name another run")
        return self.configs[stage]


def build_of_run(tree: Mapping[str, Any], kind: type[_Part]) -> _Part:
    """Build an object of a kind from a run's resolved configuration.

    Raises:
        InputError: a class of another package or kind, or arguments that a class does not take.
    """
    try:
        return build(tree, "the run's configuration", kinds=(kind,), packages=(PACKAGE,))
    except ConfigError as error:
        raise InputError(f"this version cannot build the run: {error}; train it again") from error


def _stage_folder(directory: Path, name: Any, identity: Any) -> Path:
    """Return a stage's folder beside the run.

    Raises:
        InputError: a name or identity that would lead elsewhere.
    """
    if not all(isinstance(part, str) and re.fullmatch(r"\w{1,100}", part) for part in (name, identity)):
        raise InputError(f"{directory / MANIFEST} names a stage {name!r}-{identity!r}: run the suite again")
    return directory.parent / "stages" / f"{name}-{identity}"


def _cell(directory: Path, row: str, seed: int | None) -> Mapping[str, Any]:
    path = directory / MANIFEST
    if not path.is_file():
        raise InputError(
            f"no trained run at {directory}: train one with `python -m benchmark.run suite=quick`, or name "
            "another with --run"
        )
    method, _, ablation = row.partition("/")
    try:
        cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
        rows = {(c["method"], c["ablation"]) for c in cells}
        found = [c for c in cells if (c["method"], c["ablation"]) == (method, ablation or FULL)]
        found = sorted((c for c in found if seed in (None, c["seed"])), key=lambda c: c["seed"])
        done = [c for c in found if c["status"] == "done"]
        if done:
            return {"stages": dict(done[0]["stages"])}
        reason = f" ({found[0]['reason']})" if found else ""
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(f"{path} is not a manifest of the benchmark: {error}") from error
    what = f"row {row}" + ("" if seed is None else f" with seed {seed}")
    if found:
        raise InputError(f"{what} of {directory} FAILED{reason}: run the suite again")
    names = ", ".join(sorted(m if a == FULL else f"{m}/{a}" for m, a in rows))
    raise InputError(f"{directory} has no {what}; its rows are {names}")


def _config(folder: Path) -> dict[str, Any]:
    path = folder / "stage.json"
    try:
        return dict(json.loads(path.read_text(encoding="utf-8"))["config"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(
            f"the run's stage {folder.name} is missing or damaged ({error}): run the same suite again"
        ) from error
