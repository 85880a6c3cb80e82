"""A stage run by itself: complete or not there, and the same after an interruption."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn

from models.artefacts import save_module
from models.errors import StorageError
from models.method import Player, Stage, Training
from models.training import alone
from models.training.alone import identity, run_alone


class Line(Stage):
    """Fits lines, with dropout, so that every random stream matters; the last one is kept.

    Args:
        names: of its trainings, one after the other.
    """

    def __init__(self, *names: str | None) -> None:
        self.names = names

    def run(self, data, inputs, run) -> None:
        for name in self.names:
            torch.manual_seed(0)
            net = nn.Sequential(nn.Linear(2, 4), nn.Dropout(0.5), nn.Linear(4, 1))
            run.fit(self.training(net, name))
            save_module(run.directory / "net.safetensors", net)

    def training(self, net: nn.Module, name: str | None) -> Training:
        rate = torch.optim.Adam(net.parameters(), 0.05)
        return Training(
            name=name,
            modules={"net": net},
            players=[
                Player("net", rate, lambda x: {"error": (net(x) - x.sum(1, keepdim=True)).square().mean()})
            ],
            batch=lambda rng: torch.from_numpy(rng.normal(size=(4, 2)).astype("float32")),
            steps=9,
        )


def carry_out(
    folder: Path, progress=lambda done, total: None, names: tuple[str | None, ...] = (None,)
) -> bytes:
    stage = Line(*names)
    run_alone(stage, "line", None, {}, folder, seed=0, device=torch.device("cpu"), progress=progress)  # type: ignore[arg-type]
    return (folder / "net.safetensors").read_bytes()


def test_an_interrupted_training_goes_on_to_the_same_bits(tmp_path, monkeypatch):
    whole = carry_out(tmp_path / "whole")
    # Checkpoints at every step, as far as the clock is concerned.
    monkeypatch.setattr(alone, "CHECKPOINT_SECONDS", 0.0)
    seen: list[int] = []

    def stop(done: int, total: int) -> None:
        seen.append(done)
        if done == 5:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        carry_out(tmp_path / "cut", stop)
    assert not (tmp_path / "cut").exists()
    seen.clear()
    assert carry_out(tmp_path / "cut", lambda done, total: seen.append(done)) == whole
    assert seen == [5, 6, 7, 8, 9]
    assert not list(tmp_path.glob(".*.work"))


def test_a_named_training_is_the_same_whatever_comes_before_it(tmp_path):
    """As in a study, where a cycle loss's network may be trained before the renderer."""
    alone_it_is = carry_out(tmp_path / "one", names=("renderer",))
    assert carry_out(tmp_path / "two", names=("regressor", "renderer")) == alone_it_is
    assert carry_out(tmp_path / "numbered", names=(None,)) != alone_it_is


def test_what_is_there_is_not_computed_again(tmp_path):
    carry_out(tmp_path / "line")
    seen: list[int] = []
    carry_out(tmp_path / "line", lambda done, total: seen.append(done))
    assert not seen


def test_a_place_that_cannot_be_written_is_a_storage_error(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match="storage fault while computing"):
        carry_out(tmp_path / "file" / "line")


def test_identities_differ_with_every_part():
    assert identity(a=1, b=[2]) == identity(b=[2], a=1)
    assert len({identity(a=1), identity(a=2), identity(b=1), identity(a="1")}) == 4
