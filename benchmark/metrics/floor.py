"""What real clips score against other real clips: the part of a set's score that is no method's doing."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from benchmark.metrics.resampling import LEVEL
from benchmark.metrics.score import Score

DRAWS = 20


def real_floor(
    score: Callable[[Sequence[np.ndarray], Sequence[np.ndarray]], Score],
    real: Sequence[np.ndarray],
    *,
    count: int,
    clips: int,
    rng: np.random.Generator,
    draws: int = DRAWS,
    speakers: Sequence[str] | None = None,
) -> Score:
    """The score of some real clips against others, with `clips` clips and `count` vectors a side.

    Both numbers matter: few clips are far apart however many frames they have. Where there are not twice as
    many real clips, or not as many vectors in them, as many as there are on both sides; the result says how
    many that was.

    Args:
        score: what scores two lists of clips, each (frames, d).
        real: per real clip (frames, d); each clip once.
        speakers: of each real clip. Both sides have the same people, each as often; None: one person.

    Returns:
        The mean over random choices of clips, the 2.5 and 97.5 % quantiles of single ones as bounds, and
        the fewest vectors and clips of a side.

    Raises:
        ValueError: fewer than two clips of a speaker; or whatever `score` raises.
    """
    people = [""] * len(real) if speakers is None else list(speakers)
    groups = [np.flatnonzero(np.array(people) == name) for name in dict.fromkeys(people)]
    size = min(clips, sum(len(group) // 2 for group in groups))
    if size < 1:
        raise ValueError(
            f"the floor needs two real clips or more of one speaker, got {len(real)} of {len(groups)}"
        )
    sides = [[real[i] for i in side] for _ in range(draws) for side in _drawn(groups, size, rng)]
    count = min(count, *(sum(map(len, side)) for side in sides))
    thinned = [_thinned(side, count) for side in sides]
    values = []
    for first, second in zip(thinned[::2], thinned[1::2], strict=True):
        value = score(first, second).value
        assert value is not None  # no rule leaves a whole set out
        values.append(value)
    low, high = np.quantile(values, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return Score(float(np.mean(values)), low=float(low), high=float(high), count=count, clips=size)


def _drawn(
    groups: Sequence[np.ndarray], size: int, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Two disjoint choices of `size` clips each, with as many of each group on both sides."""
    orders = [rng.permutation(group) for group in groups]
    first = np.concatenate([order[: len(order) // 2] for order in orders])
    second = np.concatenate([order[len(order) // 2 : len(order) // 2 * 2] for order in orders])
    if len(groups) == 1:
        return orders[0][:size], orders[0][size : 2 * size]
    chosen = np.sort(rng.permutation(len(first))[:size])
    return first[chosen], second[chosen]


def _thinned(clips: Sequence[np.ndarray], count: int) -> list[np.ndarray]:
    """About `count` vectors of all clips together: the same share of each clip, evenly spread."""
    ends = np.round(np.cumsum([len(c) for c in clips]) * count / sum(map(len, clips))).astype(int)
    quotas = np.maximum(np.diff(ends, prepend=0), 1)
    return [
        clip[np.linspace(0, len(clip), quota, endpoint=False).astype(int)]
        for clip, quota in zip(clips, quotas, strict=True)
    ]
