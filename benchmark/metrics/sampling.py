"""Which frames of a clip a protocol of a set looks at. This module imports no torch."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Sampling:
    name: str = ""
    """As it is in the protocol's id; empty for the default."""
    frames: int | None = None
    """So many of a clip, evenly spread from the first on; None: every `every`-th."""
    swapped: bool = False
    """Whether red and blue change places, as in a script that converts from BGR what is RGB already."""

    def __call__(self, frames: np.ndarray, every: int) -> np.ndarray:
        """The frames (n, H, W, 3) out of (frames, H, W, 3).

        Raises:
            ValueError: `every` is below 1.
        """
        if every < 1:
            raise ValueError(f"every: expected 1 or more, got {every}")
        chosen = frames[::every]
        if self.frames is not None:
            count = min(self.frames, len(frames))
            chosen = frames[np.linspace(0, len(frames), count, endpoint=False).astype(int)]
        return np.ascontiguousarray(chosen[..., ::-1]) if self.swapped else chosen


ALL = Sampling()
FIVE_SWAPPED = Sampling("5f-bgr", frames=5, swapped=True)
"""EAT's: `test_fid.py` of yuangan/evaluation_eat."""
