"""Real against real: as many frames and clips as asked for or as there are, no clip on both sides."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from benchmark.metrics.floor import real_floor
from benchmark.metrics.frechet import frechet_score
from benchmark.metrics.score import Score


def distance(first: Sequence[np.ndarray], second: Sequence[np.ndarray]) -> Score:
    return frechet_score(first, second, rng=np.random.default_rng(0), resamples=0)


def clips(count: int, frames: int = 50) -> list[np.ndarray]:
    rng = np.random.default_rng(1)
    return [rng.normal(size=(frames, 4)) for _ in range(count)]


def test_it_falls_with_the_count_as_the_bias_does() -> None:
    found = [
        real_floor(distance, clips(40), count=n, clips=20, rng=np.random.default_rng(0), draws=60)
        for n in (40, 160, 640)
    ]
    assert [f.count for f in found] == [40, 160, 640]
    values = [f.value for f in found]
    # (2 d + d (d + 1) / 2) / N, the first order of the bias of equal Gaussians with covariance 1.
    assert values == pytest.approx([18 / n for n in (40, 160, 640)], rel=0.2)
    for f in found:
        assert f.low < f.value < f.high  # pyright: ignore


def test_too_few_real_clips_lower_both_counts_and_it_says_so() -> None:
    found = real_floor(distance, clips(7), count=500, clips=10, rng=np.random.default_rng(0))
    assert (found.count, found.clips) == (150, 3)


def test_no_clip_is_on_both_sides_and_every_clip_gives_its_share() -> None:
    real = [np.full((40 + 10 * k, 1), k) + np.zeros((1, 3)) for k in range(8)]
    seen: list[tuple[set[int], set[int]]] = []

    def look(first: Sequence[np.ndarray], second: Sequence[np.ndarray]) -> Score:
        sides = [{int(x[0, 0]) for x in side} for side in (first, second)]
        seen.append((sides[0], sides[1]))
        shares = [len(x) / (40 + 10 * int(x[0, 0])) for x in first]
        assert max(shares) - min(shares) < 0.05
        assert sum(map(len, first)) == 100
        return Score(1.0)

    real_floor(look, real, count=100, clips=4, rng=np.random.default_rng(0))
    assert all(len(a) == len(b) == 4 and not a & b for a, b in seen)
    assert len({frozenset(a) for a, _ in seen}) > 1


def test_one_clip_has_no_floor() -> None:
    with pytest.raises(ValueError, match="needs two real clips or more of one speaker, got 1"):
        real_floor(distance, clips(1), count=9, clips=1, rng=np.random.default_rng(0))
