"""Real clips against real clips, for every protocol of a set, at what a condition's truths are worth."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from benchmark.data.items import Item
from benchmark.floors import other_real_clips, real_floors
from models.types import Clip

PROTOCOLS = {"fd/mobilenetv2-96", "fd/mobilenetv2-96/extrapolated", "kid/mobilenetv2-96"}


def clip(name: str, filmed: bool = True) -> Clip:
    return Clip(name, "ada", "s0", "happy", 3, Path(name), filmed=filmed)


def features(seed: int, count: int, frames: int) -> list[dict[str, np.ndarray]]:
    rng = np.random.default_rng(seed)
    return [
        {
            "mobilenetv2-96": rng.normal(size=(frames, 96)),
            "mobilenetv2-96:5f-bgr": rng.normal(size=(5, 96)),
        }
        for _ in range(count)
    ]


def test_other_clips_are_the_filmed_ones_that_are_no_truth() -> None:
    one = clip("one")
    item = Item("self-one", "self", audio=one, emotion=one, target=one, truth=one)
    found = other_real_clips([one, clip("two"), clip("three", filmed=False), clip("two")], [item])
    assert [c.id for c in found] == ["two"]


def test_every_protocol_has_a_floor_at_the_truths_counts() -> None:
    truths = {"self": features(0, 6, 60), "transfer": features(1, 20, 60)}
    floors, notes = real_floors(truths, features(2, 8, 60), ["mobilenetv2-96"], allow_biased=False)
    assert not notes
    assert set(floors) == PROTOCOLS | {"fd/mobilenetv2-96/5f-bgr"}
    own = floors["fd/mobilenetv2-96"]
    assert (own["self"].count, own["self"].clips) == (360, 6)
    # 28 real clips have no two times 20.
    assert (own["transfer"].count, own["transfer"].clips) == (840, 14)
    assert (own["transfer"].wanted_count, own["transfer"].wanted_clips) == (1200, 20)
    # Independent frames of one distribution: what is left is the bias, which the other two are without.
    assert own["self"].low > 0
    for protocol in ("fd/mobilenetv2-96/extrapolated", "kid/mobilenetv2-96"):
        floor = floors[protocol]["transfer"]
        assert abs(floor.value) < 3 * (floor.high - floor.low)
        assert floor.low < 0 < floor.high


def test_what_has_too_few_frames_is_told() -> None:
    floors, notes = real_floors(
        {"self": features(0, 4, 20)}, features(1, 4, 20), ["mobilenetv2-96"], allow_biased=False
    )
    assert set(floors) == {"kid/mobilenetv2-96", "fd/mobilenetv2-96/5f-bgr"}
    assert len(notes) == 2
    for note in notes:
        assert "real against real is left out for self" in note
        assert "expected 192 vectors or more for 96 dimensions, got 80" in note
