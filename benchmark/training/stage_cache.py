"""Stages on disk: what a stage's identity is, and how its folder appears whole or not at all.

    stages/<name>-<id>/            complete: the stage's files, `stage.json` and nothing that depends on time
    stages/.<name>-<id>.work/      begun: `out/` becomes the folder above, `checkpoints/` lets it go on
    stages/.<name>-<id>.lock       held while somebody computes it
    stages/.<name>-<id>.seconds    how long it took, for estimates; never compared or hashed

`stage.json` holds the digest of every file, and its own, so that damage is found before the stage is used.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmark.records import write_text
from models.errors import StageError, storage_error
from models.files import file_digest, publish_folder
from models.locks import locked, say_on_stderr

FORMAT = 1
"""Raised whenever the harness itself changes what a stage computes from the same configuration."""
ID_LENGTH = 16
RECIPE = "stage.json"


def digest_of(value: Any) -> str:
    """The blake2b of the canonical JSON of `value`: the same on every machine and in every process."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    return hashlib.blake2b(text.encode(), digest_size=20).hexdigest()


def stage_id(
    name: str,
    *,
    target: str,
    version: int,
    config: Mapping[str, Any],
    upstream: Mapping[str, str],
    data: str,
    seed: int | None,
    numerics: str,
) -> str:
    """The identity of a stage: everything its files depend on, and nothing else.

    Args:
        target: the class that computes it.
        config: its own resolved subtree of the configuration.
        upstream: stage name -> id of what it reads.
        data: identity of the corpus and of the part of it that the stage sees.
        seed: None for a stage that draws nothing at random.
        numerics: fingerprint of whatever decides the bits of floating-point results.
    """
    recipe = {
        "format": FORMAT,
        "name": name,
        "target": target,
        "version": version,
        "config": config,
        "upstream": upstream,
        "data": data,
        "seed": seed,
        "numerics": numerics,
    }
    return digest_of(recipe)[:ID_LENGTH]


@dataclass(frozen=True)
class StageFolder:
    """The places of one stage."""

    root: Path
    name: str
    id: str

    @property
    def path(self) -> Path:
        return self.root / f"{self.name}-{self.id}"

    def _hidden(self, ending: str) -> Path:
        return self.root / f".{self.name}-{self.id}.{ending}"

    @property
    def work(self) -> Path:
        return self._hidden("work")

    @property
    def output(self) -> Path:
        return self.work / "out"

    @property
    def checkpoints(self) -> Path:
        return self.work / "checkpoints"

    @property
    def seconds_file(self) -> Path:
        return self._hidden("seconds")

    def is_complete(self) -> bool:
        """Whether the folder is there; a folder only ever appears complete."""
        return (self.path / RECIPE).is_file()

    def recipe(self) -> dict[str, Any]:
        return json.loads((self.path / RECIPE).read_text(encoding="utf-8"))

    def damage(self) -> str | None:
        """What is wrong with the complete folder's files; None if every digest fits."""
        try:
            recipe = self.recipe()
            digest, files = recipe.pop("digest", None), dict(recipe["files"])
        except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
            return f"{RECIPE} is unreadable"
        if digest_of(recipe) != digest:
            return f"{RECIPE} is not what was written"
        for name, expected in files.items():
            if not (self.path / name).is_file():
                return f"{name} is missing"
            if file_digest(self.path / name) != expected:
                return f"{name} is not what was written"
        return None

    def quarantine(self) -> Path:
        """Move a damaged folder out of the way, for whoever wants to look at it."""
        for number in range(1000):
            place = self._hidden(f"damaged-{number}")
            if not place.exists():
                self.path.rename(place)
                return place
        raise StageError(f"{self.path} was damaged a thousand times: check the disk")

    def locked(
        self, wait: Callable[[], None], say: Callable[[str], None] = say_on_stderr
    ) -> AbstractContextManager[None]:
        """Hold the stage.

        Args:
            wait: called while another process holds it; may raise to give up.
            say: is told whose it is.
        """
        self.root.mkdir(parents=True, exist_ok=True)
        return locked(self._hidden("lock"), f"the stage {self.path.name}", say=say, wait=wait)

    def begin(self) -> Path:
        """An empty output folder; checkpoints of an earlier attempt stay."""
        shutil.rmtree(self.output, ignore_errors=True)
        self.output.mkdir(parents=True)
        return self.output

    def publish(self, recipe: Mapping[str, Any]) -> None:
        """Let the output folder appear as the stage's, with `stage.json` in it.

        Raises:
            StorageError: it could not be written; the stage is not there.
        """
        try:
            files = {}
            for path in sorted(p for p in self.output.rglob("*") if p.is_file()):
                files[path.relative_to(self.output).as_posix()] = file_digest(path)
            whole = {**recipe, "files": files}
            sealed = {**whole, "digest": digest_of(whole)}
            text = json.dumps(sealed, indent=1, sort_keys=True, ensure_ascii=False)
            write_text(self.output / RECIPE, text + "\n")
            publish_folder(self.output, self.path)
        except OSError as error:
            raise storage_error(error, f"writing {self.path}") from error
        self.discard_work()

    def discard_work(self) -> None:
        shutil.rmtree(self.work, ignore_errors=True)

    def note_seconds(self, seconds: float) -> None:
        """Note how long the stage took; a torn note has no line break and is passed over."""
        self.seconds_file.write_text(f"{seconds:.2f}\n")


def discard_finished_work(root: Path) -> None:
    """Remove work folders of complete stages: a kill between publishing and tidying up leaves them behind."""
    for work in root.glob(".*.work"):
        if (root / work.name[1 : -len(".work")] / RECIPE).is_file():
            shutil.rmtree(work, ignore_errors=True)


def past_seconds(root: Path) -> dict[str, float]:
    """Return the mean seconds by stage name, of every stage that was ever computed below `root`."""
    seconds: dict[str, list[float]] = {}
    for path in sorted(root.glob(".*.seconds")):
        name = path.name[1 : -len(".seconds")].rsplit("-", 1)[0]
        with suppress(OSError, ValueError):
            text = path.read_text()
            if text.endswith("\n"):
                seconds.setdefault(name, []).append(float(text))
    return {name: sum(values) / len(values) for name, values in seconds.items()}
