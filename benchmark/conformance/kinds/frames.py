"""Probes and rungs of a Fréchet distance from frames: functions of two uint8 sets (N, H, W, 3) RGB.

Of features alone nobody can tell whether their frames were read as RGB or as BGR, if both sides were read
alike: a Fréchet distance is blind to any change of axes that both sides share. So the function is given the
frames, says which network it uses, and is compared with that network's features of the same frames, read
rightly and wrongly.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial

import numpy as np

from benchmark.conformance.definitions.features import frechet
from benchmark.conformance.definitions.fitting import Definition, Pair, fit
from benchmark.conformance.kinds.images import as_bytes, picture
from benchmark.conformance.ladder import CALL, IDENTITY, Ladder
from benchmark.conformance.runner import Answer
from benchmark.metrics.extractors import FrameExtractor

SIDE = 64
"""Pixels of a frame."""
SPARE = 8
"""Frames of a set beyond the dimensions, so that covariances have full rank; a function that refuses so few
gets twice as many. Networks of more than MOST dimensions get MOST frames."""
MOST = 200
FEW = 24
"""Frames of a set where no covariance is looked at closely."""

Array = np.ndarray
Change = Callable[[Array], Array]

CHANGES: dict[str, tuple[Change, Change]] = {
    "the channels of both sides are swapped: BGR frames reach a network for RGB (as in fid/5f-bgr)": (
        lambda x: x[..., ::-1],
        lambda x: x[..., ::-1],
    ),
    "the channels of the predicted frames are swapped (BGR against RGB)": (
        lambda x: x[..., ::-1],
        lambda x: x,
    ),
    "the channels of the true frames are swapped (BGR against RGB)": (lambda x: x, lambda x: x[..., ::-1]),
    "colour is lost: grey frames reach a network for colour": (
        lambda x: _grey(x),
        lambda x: _grey(x),
    ),
}  # fmt: skip


def run(ladder: Ladder, *, extractor: FrameExtractor, rng: np.random.Generator) -> None:
    """All rungs, which are few: each call costs the network's time for two sets of frames."""
    pair = sets(min(MOST, extractor.dimensions + SPARE), rng)
    first = ladder.subject(*pair)
    if first.kind == "error":
        pair = sets(min(2 * MOST, 2 * extractor.dimensions + SPARE), rng)
        first = ladder.subject(*pair)
    if first.kind != "value":
        says = f"it refuses two sets of frames: {first}"
        ladder.add(CALL, f"{len(pair[0])} frames a side", str(first), "a number", "fail", says)
        return
    few = pair[0][:FEW], pair[1][:FEW]
    small = ladder.subject(*few)
    if small.kind == "error":
        few, small = pair, first
    _repeats(ladder, few, small)
    right, wrong = sound_definitions(extractor), broken_definitions(extractor)
    answered = [first.value]
    ladder.conclude(
        fit(right, [pair], answered) or fit(wrong, [pair], answered), "what it computes", answered
    )
    ladder.expect(
        IDENTITY, "the truth against itself", (few[1], few[1]), 0.0,
        "a set has a distance to itself: the two sides are not treated alike", near=0.02 * abs(first.value),
    )  # fmt: skip


def _repeats(ladder: Ladder, pair: Pair, first: Answer) -> None:
    again = ladder.subject(*pair)
    same = again.finite and abs(again.value - first.value) <= 1e-4 * abs(first.value)
    ladder.add(
        CALL, "the same frames again", str(again), str(first), "pass" if same else "fail",
        "another value for the same frames: a random crop or choice, or state kept between calls",
    )  # fmt: skip
    changed = " and ".join(first.mutated)
    ladder.add(
        CALL, "frames are left alone", f"changed: {changed}" if changed else "unchanged", "unchanged",
        "fail" if changed else "pass", f"it changes its input in place ({changed})",
    )  # fmt: skip


def sets(count: int, rng: np.random.Generator) -> Pair:
    """Predicted and true frames: pictures of warm colours, and more noisy ones."""
    tint = np.array([1.0, 0.75, 0.45])
    target = np.stack([picture((SIDE, SIDE), rng) * tint for _ in range(count)])
    noise = rng.normal(0, 20, target.shape)
    other = np.stack([picture((SIDE, SIDE), rng) * tint * (0.9, 1.0, 1.3) for _ in range(count)])
    return as_bytes(other + noise), as_bytes(target)


def _distance(
    extractor: FrameExtractor, changes: tuple[Change, Change], ddof: int, predicted: Array, target: Array
) -> float:
    pairs = zip(changes, (predicted, target), strict=True)
    first, second = (extractor(np.ascontiguousarray(change(x))).astype(np.float64) for change, x in pairs)
    return frechet(first, second, ddof=ddof)


def _as_they_are(frames: Array) -> Array:
    return frames


def sound_definitions(extractor: FrameExtractor) -> Iterator[Definition]:
    """The network's distance of the frames."""
    for ddof, differs in ((1, ""), (0, "population covariances (n) instead of sample covariances (n - 1)")):
        yield Definition(
            f"Fréchet distance of {extractor.name} features of RGB frames",
            partial(_distance, extractor, (_as_they_are, _as_they_are), ddof),
            differs=differs,
            published=f"fd/{extractor.name}",
        )


def broken_definitions(extractor: FrameExtractor) -> Iterator[Definition]:
    """The same of frames that are read wrongly."""
    for defect, changes in CHANGES.items():
        yield Definition(
            f"Fréchet distance of {extractor.name} features",
            partial(_distance, extractor, changes, 1),
            defect=defect,
        )


def _grey(frames: Array) -> Array:
    luma = np.rint(frames @ np.array([0.299, 0.587, 0.114])).astype(np.uint8)
    return np.repeat(luma[..., None], 3, -1)
