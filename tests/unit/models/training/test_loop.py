"""The training loop: interrupted and not, the same bits; a checkpoint is old or new, never a third thing."""

import errno
import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from benchmark.errors import Interrupted
from models.errors import NonFiniteLoss, StageError, StorageError
from models.method import Player, Training
from models.training.checkpoint import load_checkpoint, save_checkpoint
from models.training.loop import Loop

torch.set_num_threads(1)


def training(steps=12, *, weights=None, fault=None, optimizer=torch.optim.Adam, select="error") -> Training:
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(3, 8), nn.BatchNorm1d(8), nn.Dropout(0.3), nn.Linear(8, 1))
    other = nn.Linear(1, 1)

    def first(batch):
        error = ((net(batch) - batch.sum(1, keepdim=True)) ** 2).mean()
        if fault == "term":
            error = error / 0
        if fault == "gradient":
            error = error + 0 * torch.sqrt(net[0].weight.sum() * 0)
        return {"error": error, "size": net[0].weight.abs().mean()}

    def second(batch):
        return {"other": ((other(net(batch).detach()) - 1) ** 2).mean()}

    return Training(
        modules={"net": net, "other": other},
        players=[
            Player("net", optimizer(net.parameters(), lr=0.05), first, weights or {"size": 0.1}),
            Player("other", torch.optim.SGD(other.parameters(), lr=0.01, momentum=0.9), second),
        ],
        batch=lambda rng: torch.from_numpy(rng.normal(size=(8, 3)).astype(np.float32)),
        steps=steps,
        validate=lambda: {"error": float(net(torch.ones(4, 3)).sub(3).abs().mean())},
        validate_every=4,
        select_by=select,
    )


def loop(described, folder, **kwargs) -> Loop:
    return Loop(
        training=described,
        seed=0,
        purpose=("net",),
        checkpoints=folder,
        owner="net-1",
        checkpoint_seconds=1e9,
        **kwargs,
    )


def state(described) -> dict[str, bytes]:
    return {
        f"{m}/{k}": v.numpy().tobytes()
        for m, module in described.modules.items()
        for k, v in module.state_dict().items()
    }


@pytest.mark.parametrize(
    "optimizer", [torch.optim.Adam, torch.optim.AdamW, torch.optim.RMSprop, torch.optim.SGD]
)
@pytest.mark.parametrize("stops", [[1], [5, 6], list(range(1, 13))])
def test_interrupted_or_not_the_same_bits(tmp_path, optimizer, stops):
    whole = training(optimizer=optimizer)
    rows = loop(whole, tmp_path / "whole").run()
    seen = [0]
    for stop in [*stops, None]:
        part = training(optimizer=optimizer)

        def progress(done, total):
            seen[0] = done

        def interrupted():
            raise Interrupted(15)

        running = loop(
            part,
            tmp_path / "parts",
            progress=progress,
            wants_stop=lambda stop=stop: seen[0] == stop,
            interrupted=interrupted,
        )
        if stop is None:
            assert running.run() == rows
        else:
            with pytest.raises(Interrupted):
                running.run()
    assert state(part) == state(whole)


def test_a_finished_training_is_not_repeated(tmp_path):
    first = training()
    loop(first, tmp_path).run()
    again = training()
    again.players[0].loss.__defaults__ = ()
    loop(again, tmp_path, progress=lambda done, total: pytest.fail("trained again")).run()
    assert state(again) == state(first)


def test_weight_zero_is_measured_and_changes_nothing(tmp_path):
    plain = training(weights={"size": 0.0})
    rows = loop(plain, tmp_path).run()
    assert all("net/size" in row for row in rows if "net/error" in row)
    other = training(weights={"size": 0.5})
    loop(other, tmp_path / "other").run()
    assert state(plain) != state(other)
    alone = training()
    error = alone.players[0].loss
    without = replace(alone.players[0], loss=lambda batch: {"error": error(batch)["error"]}, weights={})
    alone = replace(alone, players=[without, alone.players[1]])
    loop(alone, tmp_path / "alone").run()
    assert state(plain) == state(alone)


def test_selection_keeps_the_best_validation(tmp_path):
    described = training(steps=40)
    rows = loop(described, tmp_path).run()
    validated = {row["step"]: row["validation/error"] for row in rows if "validation/error" in row}
    best = min(validated, key=validated.get)
    assert rows[-1] == {"step": best, "selected/error": validated[best]}
    described.modules["net"].eval()
    with torch.no_grad():
        assert described.validate()["error"] == validated[best]


def test_modes_are_put_back_after_validation(tmp_path):
    described = training()
    described.modules["net"][1].eval()
    loop(described, tmp_path).run()
    assert [part.training for part in described.modules["net"]] == [True, False, True, True]


@pytest.mark.parametrize(("fault", "named"), [("term", "net/error is"), ("gradient", "gradient of net is")])
def test_nan_stops_and_names_step_and_term(tmp_path, fault, named):
    with pytest.raises(NonFiniteLoss, match=f"{named} .* at step 1 of net"):
        loop(training(fault=fault), tmp_path).run()


def test_a_weight_for_no_term_is_refused(tmp_path):
    with pytest.raises(StageError, match="weighs 'siez'"):
        loop(training(weights={"siez": 1.0}), tmp_path).run()


# Checkpoints


def save(folder, step, owner="a"):
    save_checkpoint(folder, owner=owner, step=step, tensors={"w": torch.full((3,), step)}, state={"x": step})


def test_every_flipped_byte_and_truncation_is_found(tmp_path):
    save(tmp_path, 1)
    save(tmp_path, 2)
    for name in ("000000002.safetensors", "000000002.json"):
        good = (tmp_path / name).read_bytes()
        for offset in np.linspace(0, len(good) - 1, 40).astype(int):
            for bad in (
                good[:offset],
                good[:offset] + bytes([good[offset] ^ 4]) + good[offset + 1 :],
            ):
                (tmp_path / name).write_bytes(bad)
                said = []
                assert load_checkpoint(tmp_path, owner="a", say=said.append).step == 1
                assert len(said) == 1
        (tmp_path / name).write_bytes(good)
    assert load_checkpoint(tmp_path, owner="a", say=print).step == 2


def test_a_deeply_nested_description_is_damage(tmp_path):
    save_checkpoint(tmp_path, owner="a", step=1, tensors={"w": torch.ones(2)}, state={})
    (tmp_path / "000000001.json").write_text("[" * 100_000)
    said = []
    assert load_checkpoint(tmp_path, owner="a", say=said.append) is None
    assert len(said) == 1


def test_anothers_checkpoint_is_not_loaded(tmp_path):
    save(tmp_path, 1, owner="b")
    said = []
    assert load_checkpoint(tmp_path, owner="a", say=said.append) is None
    assert "belongs to b" in said[0]


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EIO, errno.EACCES, errno.EROFS])
@pytest.mark.parametrize("call", range(2))
def test_a_failed_save_leaves_the_last_one(tmp_path, monkeypatch, number, call):
    save(tmp_path, 1)
    calls = [0]
    import os

    real = os.fsync

    def fault(descriptor):
        calls[0] += 1
        if calls[0] > 2 * call:
            raise OSError(number, os.strerror(number))
        real(descriptor)

    monkeypatch.setattr("models.training.checkpoint.os.fsync", fault)
    with pytest.raises(StorageError):
        save(tmp_path, 2)
    monkeypatch.undo()
    assert load_checkpoint(tmp_path, owner="a", say=lambda m: None).step == 1
    assert not list(tmp_path.glob(".*.tmp"))
    assert math.isfinite(calls[0])


def test_only_the_newest_two_are_kept(tmp_path):
    for step in range(1, 6):
        save(tmp_path, step)
    assert sorted(p.name for p in tmp_path.glob("*.json")) == ["000000004.json", "000000005.json"]
