"""The one training loop: players in order, checkpoints, resume to the same bits, selection by validation."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from models.errors import NonFiniteLoss, StageError
from models.heartbeat import beat
from models.method import Player, Training
from models.seeding import derive_seed, generator
from models.training.checkpoint import Checkpoint, load_checkpoint, save_checkpoint

LOGGED_ROWS = 200
"""A training logs about this many rows, evenly spaced, and the last step."""

Row = dict[str, float | int | str]


@dataclass
class Loop:
    """One call of `StageRun.fit`.

    Step k draws from generators derived from (seed, purpose, k) and from nothing that is carried along, so
    a run that was interrupted goes on with the same bits.
    """

    training: Training
    seed: int
    purpose: tuple[str, ...]
    """What the streams are derived from: the stage's name, and which of its trainings this is."""
    checkpoints: Path
    owner: str
    """Identity of the stage: no other stage's checkpoint is loaded."""
    interrupted: Callable[[], None] = lambda: None
    """Raises `Interrupted` when it is time to stop; called after a checkpoint can be made."""
    wants_stop: Callable[[], bool] = lambda: False
    progress: Callable[[int, int], None] = lambda done, total: None
    say: Callable[[str], None] = lambda message: None
    checkpoint_seconds: float = 30.0
    rows: list[Row] = field(default_factory=list)
    _best: dict[str, Tensor] | None = None
    _best_value: float = math.inf
    _best_step: int = 0

    def run(self) -> list[Row]:
        """Train to the end; modules are left with the selected weights, and the rows logged are returned.

        Raises:
            NonFiniteLoss: a term, gradient or validation value is NaN or infinite.
            Interrupted: asked to stop; a checkpoint was saved.
        """
        self._check()
        step = self._resume()
        saved = time.monotonic()
        while step < self.training.steps:
            step += 1
            self._step(step)
            self.progress(step, self.training.steps)
            if self.wants_stop() or (
                step < self.training.steps and time.monotonic() - saved >= self.checkpoint_seconds
            ):
                self._save(step)
                saved = time.monotonic()
                self.interrupted()
        # A stage may train several times: a finished training must not start again.
        self._save(step)
        self._select()
        return self.rows

    def _check(self) -> None:
        training = self.training
        if training.steps < 1:
            raise StageError(f"a training needs 1 or more steps, got {training.steps}")
        names = [player.name for player in training.players]
        if len(set(names)) != len(names):
            raise StageError(f"players need different names, got {names}")
        if training.select_by is not None and training.validate is None:
            raise StageError(f"select_by={training.select_by!r} needs a validate function")

    # One step

    def _step(self, step: int) -> None:
        # Dropout and its like draw from the global generator.
        torch.manual_seed(derive_seed(self.seed, *self.purpose, "torch", step))
        batch = self.training.batch(generator(self.seed, *self.purpose, "batch", step))
        values: Row = {}
        for player in self.training.players:
            values.update(self._move(player, batch, step))
        every = max(1, self.training.steps // LOGGED_ROWS)
        if step % every == 0 or step == self.training.steps:
            self.rows.append({"step": step, **values})
        if self._validates_at(step):
            self._validate(step)

    def _move(self, player: Player, batch: Any, step: int) -> dict[str, float]:
        player.optimizer.zero_grad(set_to_none=True)
        terms = player.loss(batch)
        unknown = set(player.weights) - set(terms)
        if unknown:
            raise StageError(
                f"{player.name} weighs {sorted(unknown)[0]!r}, but its loss has {', '.join(terms)}"
            )
        values = {f"{player.name}/{name}": float(term.detach()) for name, term in terms.items()}
        for name, value in values.items():
            if not math.isfinite(value):
                raise NonFiniteLoss(f"{name} is {value} at step {step} of {'/'.join(self.purpose)}")
        weighted = [
            term if player.weights.get(name, 1.0) == 1.0 else term * player.weights[name]
            for name, term in terms.items()
            if player.weights.get(name, 1.0) != 0.0
        ]
        if weighted:
            torch.stack([term.reshape(()) for term in weighted]).sum().backward()
            self._check_gradients(player, step)
            player.optimizer.step()
        return values

    def _check_gradients(self, player: Player, step: int) -> None:
        gradients = [
            p.grad for group in player.optimizer.param_groups for p in group["params"] if p.grad is not None
        ]
        if not gradients:
            raise StageError(f"{player.name}: its loss reaches none of its optimizer's parameters")
        norms = torch._foreach_norm(gradients, math.inf)  # pyright: ignore[reportPrivateImportUsage]
        largest = torch.stack(norms).max()
        if not math.isfinite(float(largest)):
            raise NonFiniteLoss(
                f"gradient of {player.name} is {largest} at step {step} of {'/'.join(self.purpose)}"
            )

    # Validation and selection

    def _validates_at(self, step: int) -> bool:
        every = self.training.validate_every
        if self.training.validate is None:
            return False
        return step == self.training.steps or (every > 0 and step % every == 0)

    def _validate(self, step: int) -> None:
        assert self.training.validate is not None
        torch.manual_seed(derive_seed(self.seed, *self.purpose, "validate"))
        beat()
        with _evaluating(self.training.modules), torch.no_grad():
            values = {name: float(value) for name, value in self.training.validate().items()}
        for name, value in values.items():
            if not math.isfinite(value):
                raise NonFiniteLoss(
                    f"validation {name} is {value} at step {step} of {'/'.join(self.purpose)}"
                )
        self.rows.append({"step": step, **{f"validation/{name}": value for name, value in values.items()}})
        chosen = self.training.select_by
        if chosen is None:
            return
        if chosen not in values:
            raise StageError(f"select_by={chosen!r}, but validation gives {', '.join(values)}")
        if values[chosen] < self._best_value:
            self._best_value, self._best_step = values[chosen], step
            self._best = {name: tensor.clone() for name, tensor in self._weights().items()}

    def _select(self) -> None:
        if self._best is not None:
            self._load_weights(self._best)
            self.rows.append(
                {"step": self._best_step, f"selected/{self.training.select_by}": self._best_value}
            )

    # State

    def _weights(self) -> dict[str, Tensor]:
        return {
            f"{owner}/{name}": tensor.detach()
            for owner, module in self.training.modules.items()
            for name, tensor in module.state_dict().items()
        }

    def _load_weights(self, weights: Mapping[str, Tensor]) -> None:
        for owner, module in self.training.modules.items():
            prefix = f"{owner}/"
            module.load_state_dict({k[len(prefix) :]: v for k, v in weights.items() if k.startswith(prefix)})

    def _save(self, step: int) -> None:
        tensors = {f"weights/{name}": tensor for name, tensor in self._weights().items()}
        tensors |= {f"best/{name}": tensor for name, tensor in (self._best or {}).items()}
        optimizers = {}
        for player in self.training.players:
            held, optimizers[player.name] = _flatten(player.optimizer)
            tensors |= {f"optimizer/{player.name}/{key}": tensor for key, tensor in held.items()}
        state = {
            "optimizers": optimizers,
            "rows": self.rows,
            "best": [self._best_value, self._best_step] if self._best is not None else None,
        }
        save_checkpoint(self.checkpoints, owner=self.owner, step=step, tensors=tensors, state=state)

    def _resume(self) -> int:
        checkpoint = load_checkpoint(self.checkpoints, owner=self.owner, say=self.say)
        if checkpoint is None:
            return 0
        self._load_weights(_below(checkpoint, "weights/"))
        for player in self.training.players:
            held = _below(checkpoint, f"optimizer/{player.name}/")
            _restore(player.optimizer, held, checkpoint.state["optimizers"][player.name])
        self.rows[:] = checkpoint.state["rows"]
        if checkpoint.state["best"] is not None:
            self._best = _below(checkpoint, "best/")
            self._best_value, self._best_step = checkpoint.state["best"]
        return checkpoint.step


@contextmanager
def _evaluating(modules: Mapping[str, nn.Module]) -> Iterator[None]:
    """Every module in eval mode, and each submodule back in its own mode after."""
    modes = [(part, part.training) for module in modules.values() for part in module.modules()]
    for module in modules.values():
        module.eval()
    try:
        yield
    finally:
        for part, training in modes:
            part.training = training


def _below(checkpoint: Checkpoint, prefix: str) -> dict[str, Tensor]:
    return {k[len(prefix) :]: v for k, v in checkpoint.tensors.items() if k.startswith(prefix)}


def _flatten(optimizer: torch.optim.Optimizer) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """An optimizer's state as tensors by "parameter/name", and the rest as JSON."""
    state = optimizer.state_dict()
    tensors: dict[str, Tensor] = {}
    plain: dict[str, Any] = {}
    for index, values in state["state"].items():
        for name, value in values.items():
            if isinstance(value, Tensor):
                tensors[f"{index}/{name}"] = value
            else:
                plain[f"{index}/{name}"] = value
    groups = [
        {key: value for key, value in group.items() if key != "params" and not isinstance(value, Tensor)}
        for group in state["param_groups"]
    ]
    json.dumps([plain, groups])  # a state that JSON cannot hold would be lost: fail here, not at resume
    return tensors, {"plain": plain, "groups": groups}


def _restore(
    optimizer: torch.optim.Optimizer, tensors: Mapping[str, Tensor], rest: Mapping[str, Any]
) -> None:
    state: dict[int, dict[str, Any]] = {}
    for key, value in [*tensors.items(), *rest["plain"].items()]:
        index, name = key.split("/", 1)
        state.setdefault(int(index), {})[name] = value
    groups = optimizer.state_dict()["param_groups"]
    for group, saved in zip(groups, rest["groups"], strict=True):
        for key, value in saved.items():
            group[key] = tuple(value) if isinstance(group.get(key), tuple) else value
    optimizer.load_state_dict({"state": state, "param_groups": groups})
