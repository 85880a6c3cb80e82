"""Signs of life from deep inside of long work, for whoever watches that it goes on.

Work that takes longer than a few tens of seconds calls `beat` in its loops; it costs a look at the clock. A
process that is watched says with `listen` whom to tell.
"""

from __future__ import annotations

import time
from collections.abc import Callable

SECONDS = 1.0
"""Between two signs of life that are passed on."""


class _Heart:
    def __init__(self) -> None:
        self.listener: Callable[[], None] | None = None
        self.told = -SECONDS


_HEART = _Heart()


def beat() -> None:
    """Tell the listener, if there is one and it was not told just now, that work goes on."""
    if _HEART.listener is None:
        return
    now = time.monotonic()
    if now - _HEART.told >= SECONDS:
        _HEART.told = now
        _HEART.listener()


def listen(listener: Callable[[], None] | None) -> None:
    """Let `listener` be told of signs of life in this process; None ends that."""
    _HEART.listener, _HEART.told = listener, -SECONDS
