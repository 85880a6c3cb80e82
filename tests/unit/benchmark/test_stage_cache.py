import json

import pytest

from benchmark.training.stage_cache import StageFolder, discard_finished_work, past_seconds, stage_id
from models.errors import StorageError

RECIPE = {
    "target": "models.x.Y",
    "version": 1,
    "config": {"steps": 5, "loss": {"a": 1.0}},
    "upstream": {"features": "abc"},
    "data": "corpus",
    "seed": 0,
    "numerics": "torch",
}


def folder(tmp_path) -> StageFolder:
    return StageFolder(tmp_path / "stages", "net", "0123")


@pytest.mark.parametrize(
    "change",
    [
        {"target": "models.x.Z"},
        {"version": 2},
        {"config": {"steps": 6, "loss": {"a": 1.0}}},
        {"config": {"steps": 5, "loss": {"a": 0.0}}},
        {"upstream": {"features": "abd"}},
        {"data": "other"},
        {"seed": 1},
        {"seed": None},
        {"numerics": "torch 2"},
    ],
)
def test_identity_follows_every_part(change):
    assert stage_id("net", **RECIPE) != stage_id("net", **{**RECIPE, **change})


def test_identity_ignores_the_order_of_keys():
    turned = {**RECIPE, "config": {"loss": {"a": 1.0}, "steps": 5}}
    assert stage_id("net", **RECIPE) == stage_id("net", **turned)


def test_appears_whole(tmp_path):
    stage = folder(tmp_path)
    with stage.locked(lambda: None):
        (stage.begin() / "weights").write_bytes(b"w")
        assert not stage.is_complete()
        assert not stage.path.exists()
        stage.publish({"name": "net"})
    assert stage.is_complete()
    assert stage.damage() is None
    assert not stage.work.exists()
    assert set(json.loads((stage.path / "stage.json").read_text())) == {"name", "files", "digest"}


def test_every_flipped_bit_of_the_recipe_is_noticed(tmp_path):
    stage = folder(tmp_path)
    (stage.begin() / "weights").write_bytes(b"w")
    stage.publish({"config": {"rate": 0.5, "über": [1, None]}, "seed": 3})
    recipe = stage.path / "stage.json"
    whole = recipe.read_bytes()
    for position in range(8 * len(whole)):
        damaged = bytearray(whole)
        damaged[position // 8] ^= 1 << position % 8
        recipe.write_bytes(damaged)
        # One kind of white space in place of another is no other recipe.
        if bytes(damaged).split() != whole.split():
            assert "stage.json" in (stage.damage() or ""), bytes(damaged)
    recipe.write_bytes(whole)
    assert stage.damage() is None


def test_work_that_a_kill_left_of_a_complete_stage_is_removed(tmp_path):
    stage = folder(tmp_path)
    other = StageFolder(stage.root, "other", "1")
    stage.begin()
    stage.publish({})
    (stage.work / "checkpoints").mkdir(parents=True)
    other.begin()
    discard_finished_work(stage.root)
    assert not stage.work.exists()
    assert other.output.is_dir()


@pytest.mark.parametrize("damage", ["flip", "truncate", "empty", "remove"])
def test_damage_is_found_and_put_aside(tmp_path, damage):
    stage = folder(tmp_path)
    (stage.begin() / "weights").write_bytes(b"some weights")
    stage.publish({})
    weights = stage.path / "weights"
    {
        "flip": lambda: weights.write_bytes(b"some weighty"),
        "truncate": lambda: weights.write_bytes(b"some"),
        "empty": lambda: weights.write_bytes(b""),
        "remove": weights.unlink,
    }[damage]()
    assert "weights" in stage.damage()
    assert stage.quarantine().is_dir()
    assert not stage.is_complete()


def test_full_disk_publishes_nothing(tmp_path, monkeypatch):
    stage = folder(tmp_path)
    (stage.begin() / "weights").write_bytes(b"w")

    def full(*args, **kwargs):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("benchmark.training.stage_cache.write_text", full)
    with pytest.raises(StorageError, match="no space left while writing"):
        stage.publish({})
    assert not stage.path.exists()
    monkeypatch.undo()
    stage.publish({})
    assert stage.is_complete()


def test_beginning_again_keeps_checkpoints_and_drops_the_rest(tmp_path):
    stage = folder(tmp_path)
    (stage.begin() / "half").write_bytes(b"h")
    stage.checkpoints.mkdir()
    (stage.checkpoints / "kept").write_bytes(b"k")
    assert not list(stage.begin().iterdir())
    assert (stage.checkpoints / "kept").is_file()


def test_a_lock_is_waited_for(tmp_path):
    stage = folder(tmp_path)
    asked = []

    class Enough(Exception):
        pass

    def wait():
        asked.append(1)
        raise Enough

    with stage.locked(lambda: None), pytest.raises(Enough), folder(tmp_path).locked(wait):
        pass
    assert asked


def test_past_seconds_are_means_by_name(tmp_path):
    root = tmp_path / "stages"
    for identity, seconds in (("a", 2.0), ("b", 4.0)):
        root.mkdir(exist_ok=True)
        StageFolder(root, "net", identity).note_seconds(seconds)
    (root / ".net-c.seconds").write_text("50", encoding="utf-8")  # torn: 5000.00 was meant
    assert past_seconds(root) == {"net": 3.0}
