"""What a metric returns: a value, how much of the clip it was measured on, and its interval for a set."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Score:
    """One score of a clip, or of the whole set.

    `value` is None where a protocol's rule leaves the clip out: no face in any frame, or nothing but
    identical frames under PSNR. `coverage` is the share of frames the value was measured on; for a
    velocity, of pairs of consecutive frames.
    """

    value: float | None
    coverage: float = 1.0
    low: float | None = None
    high: float | None = None
    """Bounds of a confidence interval, for scores of a set."""
    count: int | None = None
    """Frames behind a score of a set."""
    clips: int | None = None
    """Clips that these frames are of."""
    least: float | None = None
    most: float | None = None
    """The lowest and highest value that the frames without a predicted face allow, also where they leave no
    value; None where none is missing or the protocol has no such bound. Frames without a true face can be
    scored for no method: they lower the coverage only."""
    label: str | None = None
    """A judge's verdict, where the score is whether it was right."""
