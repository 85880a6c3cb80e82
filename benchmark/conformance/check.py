"""One function through the whole ladder."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Literal, get_args

import numpy as np

from benchmark.conformance.kinds import features, images, landmarks
from benchmark.conformance.ladder import CALL, Ladder
from benchmark.conformance.runner import AbandonedError, Subject
from benchmark.conformance.verdict import Step, Verdict

if TYPE_CHECKING:
    from benchmark.metrics.extractors import FrameExtractor

Kind = Literal["ld", "lvd", "ssim", "psnr", "frechet"]
KINDS: tuple[Kind, ...] = get_args(Kind)


def check(
    function: str,
    kind: Kind,
    *,
    region: str | None = None,
    extractor: FrameExtractor | None = None,
    seed: int = 0,
    timeout: float = 20.0,
    on_step: Callable[[Step], None] = lambda step: None,
) -> Verdict:
    """Run every rung of the kind.

    Args:
        function: "file.py:function" or "module:function".
        region: "mouth" or "face": the points that an LD or LVD claims to measure.
        extractor: of a Fréchet distance that takes frames: the network that it claims to use.
        seed: of the probe inputs.
        timeout: seconds that one call may take.

    Raises:
        ConfigError: the function cannot be loaded.
    """
    started = time.monotonic()
    verdict = Verdict(function, kind)
    with Subject(function, timeout=timeout) as subject:
        ladder = Ladder(subject, verdict, on_step)
        try:
            _run(ladder, kind, region, extractor, np.random.default_rng(seed))
        except AbandonedError as error:
            ladder.add(CALL, "goes on", str(error), "an answer", "fail", str(error))
    verdict.seconds = time.monotonic() - started
    return verdict


def _run(
    ladder: Ladder,
    kind: Kind,
    region: str | None,
    extractor: FrameExtractor | None,
    rng: np.random.Generator,
) -> None:
    if kind in ("ld", "lvd"):
        landmarks.run(ladder, motion=kind == "lvd", region=region, rng=rng)
    elif kind in ("ssim", "psnr"):
        images.run(ladder, kind=kind, rng=rng)
    elif extractor is not None:
        # The networks need torch, which is slow to import and which nothing else here needs.
        from benchmark.conformance.kinds import frames

        frames.run(ladder, extractor=extractor, rng=rng)
    else:
        features.run(ladder, rng=rng)
