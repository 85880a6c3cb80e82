"""A stage run by itself, outside of a study: into a folder that appears when it is complete."""

from __future__ import annotations

import hashlib
import itertools
import json
import logging
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from models.errors import storage_error
from models.files import contents_digest, publish_folder
from models.locks import locked, say_on_stderr
from models.method import Stage, Training, TrainingData
from models.seeding import derive_seed, generator, torch_generator
from models.training.loop import Loop

LOG = "log.jsonl"
FILES = "files.json"
"""Digest by name of all other files of a finished folder."""
WARNINGS = logging.getLogger("evp_bench")
CHECKPOINT_SECONDS = 10.0


def identity(**parts: Any) -> str:
    """A short hash of what a stage is computed from, which must be plain JSON."""
    text = json.dumps(parts, sort_keys=True)
    return hashlib.blake2b(text.encode(), digest_size=8).hexdigest()


def is_whole(folder: Path) -> bool:
    """Return whether a folder of `run_alone` is there with the files that were written.

    A damaged one is set aside beside it, with a warning in the log, so that it can be computed again.
    """
    if not folder.is_dir():
        return False
    found = contents_digest(folder)
    found.pop(FILES, None)
    try:
        written = json.loads((folder / FILES).read_bytes())
    except (OSError, ValueError):
        written = None
    if found == written:
        return True
    number = next(n for n in itertools.count() if not _aside(folder, n).exists())
    folder.rename(_aside(folder, number))
    WARNINGS.warning("%s was damaged; it was moved to %s and is made again", folder, _aside(folder, number))
    return False


def _aside(folder: Path, number: int) -> Path:
    return folder.with_name(f".{folder.name}.damaged-{number}")


@dataclass
class RunAlone:
    """`models.method.StageRun`: checkpoints every few seconds, resumes, reports progress."""

    directory: Path
    device: torch.device
    name: str
    seed: int
    checkpoints: Path
    owner: str
    report: Callable[[int, int], None]
    _fits: int = 0

    def generator(self, *purpose: str) -> np.random.Generator:
        return generator(self.seed, self.name, *purpose)

    def torch_generator(self, *purpose: str) -> torch.Generator:
        return torch_generator(self.seed, self.name, *purpose)

    def fit(self, training: Training) -> None:
        number, self._fits = self._fits, self._fits + 1
        loop = Loop(
            training=training,
            seed=self.seed,
            purpose=training.purpose(self.name, number),
            checkpoints=self.checkpoints / str(number),
            owner=f"{self.owner}/{number}",
            progress=self.report,
            checkpoint_seconds=CHECKPOINT_SECONDS,
        )
        for row in loop.run():
            self.log(**row)

    def progress(self, done: int, total: int) -> None:
        self.report(done, total)

    def log(self, **values: float | int | str) -> None:
        with (self.directory / LOG).open("a", encoding="utf-8") as stream:
            stream.write(json.dumps(values, sort_keys=True) + "\n")


def run_alone(
    stage: Stage,
    name: str,
    data: TrainingData,
    inputs: Mapping[str, Path],
    folder: Path,
    *,
    seed: int,
    device: torch.device,
    progress: Callable[[int, int], None],
) -> None:
    """Run a stage into `folder`, unless that is there already.

    What was interrupted goes on from its last checkpoint, in a hidden folder beside it.

    Args:
        folder: its name must tell apart whatever makes the result another one.

    Raises:
        StorageError: something could not be written; the folder is not there.
    """
    work = folder.with_name(f".{folder.name}.work")
    output = work / "out"
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with locked(folder.with_name(f".{folder.name}.lock"), str(folder), say=say_on_stderr):
            if is_whole(folder):
                return
            shutil.rmtree(output, ignore_errors=True)
            output.mkdir(parents=True)
            # Layers are initialised from torch's global generator.
            torch.manual_seed(derive_seed(seed, name, "global"))
            stage.run(
                data,
                inputs,
                RunAlone(output, device, name, seed, work / "checkpoints", folder.name, progress),
            )
            (output / FILES).write_text(json.dumps(contents_digest(output), indent=1, sort_keys=True) + "\n")
            publish_folder(output, folder)
            shutil.rmtree(work, ignore_errors=True)
    except OSError as error:
        raise storage_error(error, f"computing {folder}") from error
