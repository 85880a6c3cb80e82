"""Contenders that take turns in one thread, timed in CPU seconds, so that a busy machine slows both alike."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

in_cpu_seconds = pytest.mark.benchmark(timer=time.process_time)


def times_faster(benchmark: Any, ours: Callable[[], Any], other: Callable[[], Any], rounds: int = 5) -> float:
    """How many times as long the other takes; both run in turn, after a round that doesn't count."""
    seconds: list[float] = []

    def run_other() -> None:
        start = time.process_time()
        other()
        seconds.append(time.process_time() - start)

    benchmark.pedantic(ours, setup=run_other, rounds=rounds, warmup_rounds=1)
    median = float(np.median(seconds[1:]))
    ratio = median / benchmark.stats.stats.median
    benchmark.extra_info |= {"other_median_seconds": median, "times_faster": ratio}
    print(
        f"\n{benchmark.name}: {benchmark.stats.stats.median:.4g} s against {median:.4g} s, {ratio:.2f} times"
    )
    return ratio
