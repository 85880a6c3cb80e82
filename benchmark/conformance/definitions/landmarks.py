"""Landmark distances and landmark velocity distances as they are, or were, computed.

A definition is a chain: what is done to the coordinates, an alignment, the points, the difference (of place
or of motion), its size per frame, the mean over frames, and a unit. Sound links are combined freely; a broken
link is combined with the common sound ones.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np

from benchmark.conformance.definitions.fitting import Definition
from models.landmarks.alignment import apply, similarity, stabilise
from models.landmarks.topology import layout_of

Array = np.ndarray
Link = Callable[..., Array]


@dataclass(frozen=True)
class Traits:
    """The links of a definition."""

    alignment: str
    region: str
    size: str
    unit: str


@dataclass(frozen=True)
class Region:
    name: str
    words: str
    points: tuple[int, ...] | None = None
    """Indices, of a region that the layout does not know by name."""

    def indices(self, landmarks: Array) -> Array:
        return np.array(self.points) if self.points else layout_of(landmarks).region(self.name)


MOUTH, FACE = Region("mouth", "the 20 mouth points"), Region("face", "all points of the face")
REGIONS = (
    MOUTH,
    FACE,
    Region("inner_mouth", "the 8 points of the inner lips"),
    Region("outer_mouth", "the 12 points of the outer lips"),
    Region("inner_face", "the face without its contour"),
)


def _centred(points: Array, over: Array) -> Array:
    return points - points[:, over].mean(1, keepdims=True)


def _procrustes(predicted: Array, target: Array, over: Array) -> tuple[Array, Array]:
    return apply(similarity(predicted[:, over], target[:, over]), predicted), target


def _nose(points: Array) -> Array:
    return points - points[:, [layout_of(points).nose_tip]]


ALIGNMENTS: Mapping[str, tuple[str, Callable[[Array, Array, Array], tuple[Array, Array]]]] = {
    "stable": (
        "stabilised on eyes and nose tip",
        lambda p, t, over: (stabilise(p), stabilise(t)),
    ),
    "none": ("unaligned", lambda p, t, over: (p, t)),
    "centred": ("mean-centred per region", lambda p, t, over: (_centred(p, over), _centred(t, over))),
    "face-centred": (
        "mean-centred over the face",
        lambda p, t, over: (_centred(p, np.arange(p.shape[1])), _centred(t, np.arange(t.shape[1]))),
    ),
    "first": (
        "relative to each sequence's first frame",
        lambda p, t, over: (p - p[:1], t - t[:1]),
    ),
    "nose": ("relative to the nose tip", lambda p, t, over: (_nose(p), _nose(t))),
    "procrustes": (
        "each frame fitted to the target by a similarity over the face",
        lambda p, t, over: _procrustes(p, t, np.arange(p.shape[1])),
    ),
    "stable-centred": (
        "stabilised on eyes and nose tip, then mean-centred per region",
        lambda p, t, over: (_centred(stabilise(p), over), _centred(stabilise(t), over)),
    ),
    "stable-procrustes": (
        "each frame fitted to the stabilised target by a similarity over the face",
        lambda p, t, over: _procrustes(p, stabilise(t), np.arange(p.shape[1])),
    ),
    "region-procrustes": (
        "each frame fitted to the target by a similarity over the region",
        _procrustes,
    ),
}


def _length(r: Array) -> Array:
    return np.sqrt((r**2).sum(-1))


SIZES: Mapping[str, tuple[str, Link]] = {
    "mean": ("mean distance", lambda r: _length(r).mean(1)),
    "l1": ("mean of |dx| and |dy|", lambda r: np.abs(r).mean((1, 2))),
    "rms": ("root mean square distance per frame", lambda r: np.sqrt((r**2).sum(-1).mean(1))),
}
REDUCTIONS: Mapping[str, tuple[str, Callable[[Array], float]]] = {
    "mean": ("", lambda per_frame: float(per_frame.mean())),
    "median": ("median over frames", lambda per_frame: float(np.median(per_frame))),
}


def _eyes(target: Array) -> Array:
    """Distance of the eyes' centroids in every frame."""
    a, b = (layout_of(target).stable[k] @ target for k in (0, 1))
    return _length(a - b)


def _between(first: int, last: int) -> Callable[[Array], Array]:
    """Distance of two of the 68 points in every frame."""
    return lambda target: _length(target[:, first] - target[:, last])


def _box(target: Array) -> Array:
    return np.sqrt(np.ptp(target, axis=1).prod(-1))


def _over_clip(lengths: Callable[[Array], Array]) -> Callable[[Array], Array]:
    return lambda target: np.full(len(target), lengths(target).mean())


_LENGTHS: Mapping[str, tuple[str, Callable[[Array], Array]]] = {
    "eyes": ("the distance of the eyes' centres", _eyes),
    "eye corners": ("the distance of the outer eye corners", _between(36, 45)),
    "face width": ("the face's width (points 0 to 16)", _between(0, 16)),
    "box": ("the root of the face's box", _box),
}
UNITS: Mapping[str, tuple[str, Callable[[Array], Array]]] = {
    "px": ("", lambda target: np.ones(len(target))),
    **{
        name: (f"divided by {words}, mean over the clip", _over_clip(lengths))
        for name, (words, lengths) in _LENGTHS.items()
    },
    **{
        f"{name} per frame": (f"divided by {words} in every frame", lengths)
        for name, (words, lengths) in _LENGTHS.items()
    },
}
"""What a distance may be divided by, of the target, for every frame."""

BROKEN_SIZES: Mapping[str, tuple[str, Link]] = {
    "squared": (
        "squared distances: px², so that one bad frame outweighs many and no value is a distance",
        lambda r: (r**2).sum(-1).mean(1),
    ),
    "signed": (
        "the length of the mean difference: errors of opposite sign cancel",
        lambda r: _length(r.mean(1)),
    ),
    "signed coordinates": (
        "the absolute value of a mean of signed differences: errors of opposite sign cancel",
        lambda r: np.broadcast_to(np.abs(r.mean()), len(r)),
    ),
    "signed over frames": (
        "differences averaged over frames before their length: errors of opposite sign cancel",
        lambda r: np.broadcast_to(_length(r.mean(0)).mean(), len(r)),
    ),
    "x": ("horizontal differences only", lambda r: np.abs(r[..., 0]).mean(1)),
    "y": ("vertical differences only", lambda r: np.abs(r[..., 1]).mean(1)),
    "worst": ("the worst point only", lambda r: _length(r).max(1)),
}
BROKEN_REDUCTIONS: Mapping[str, tuple[str, Callable[[Array], float]]] = {
    "sum": ("a sum over frames: a longer clip scores worse", lambda f: float(f.sum())),
    "without first": ("the first term is left out", lambda f: float(f[1:].mean())),
    "without last": ("the last term is left out", lambda f: float(f[:-1].mean())),
    "worst": ("the worst frame only", lambda f: float(f.max())),
    "first": ("the first frame only", lambda f: float(f[0])),
    "last": ("the last frame only", lambda f: float(f[-1])),
}
BY_FRAMES = "divides a sum of T - 1 velocities by T frames: short clips score better (as in lvd/eat)"
BROKEN_COORDINATES: Mapping[str, tuple[str, Callable[[Array, Array], tuple[Array, Array]]]] = {
    "rounded": (
        "coordinates rounded to whole pixels: errors below half a pixel vanish",
        lambda p, t: (np.rint(p), np.rint(t)),
    ),
    "truncated": (
        "coordinates cut to whole pixels: sub-pixel errors vanish",
        lambda p, t: (np.trunc(p), np.trunc(t)),
    ),
    "reversed": ("the target runs backwards in time", lambda p, t: (p, t[::-1])),
    "late": ("one side is a frame late", lambda p, t: (p[1:], t[:-1])),
    "early": ("one side is a frame early", lambda p, t: (p[:-1], t[1:])),
    "swapped": ("x and y of one side are exchanged", lambda p, t: (p[..., ::-1], t)),
    "mirrored": ("the points of one side are in the opposite order", lambda p, t: (p[:, ::-1], t)),
}


def _wrapped(p: Array, t: Array) -> Array:
    return (p.astype(np.uint8) - t.astype(np.uint8)).astype(float)


def definitions(motion: bool, listens: Sequence[int]) -> Iterator[Definition]:
    """The catalogue of LD, or with `motion` of LVD.

    Args:
        listens: indices of the points that change the function's value; if they are no region with a name,
            they become one.
    """
    regions = REGIONS
    named = {region.points or _named(region) for region in REGIONS}
    if listens and tuple(listens) not in named:
        regions = (*REGIONS, Region("own", f"{len(listens)} points of its own choice", tuple(listens)))
    for alignment, region, size, reduction, unit in product(ALIGNMENTS, regions, SIZES, REDUCTIONS, UNITS):
        yield _sound(motion, alignment, region, size, reduction, unit)
    yield from (_rmse(motion, a, r) for a, r in product(ALIGNMENTS, regions))
    for alignment, region in product(("none", "centred", "stable"), regions):
        yield from _broken(motion, alignment, region)


def _named(region: Region) -> tuple[int, ...]:
    return tuple(region.indices(np.zeros((1, 68, 2))).tolist())


def _chain(
    motion: bool,
    alignment: str,
    region: Region,
    size: Link,
    reduce: Callable[[Array], float],
    unit: Callable[[Array], Array] = UNITS["px"][1],
    coordinates: Callable[[Array, Array], tuple[Array, Array]] = lambda p, t: (p, t),
) -> Callable[[Array, Array], float]:
    def compute(predicted: Array, target: Array) -> float:
        over = region.indices(target)
        p, t_given = coordinates(np.asarray(predicted, float), np.asarray(target, float))
        p, t = ALIGNMENTS[alignment][1](p, t_given, over)
        residual = (p - t)[:, over]
        lengths = unit(stabilise(t_given) if alignment.startswith("stable") else t_given)
        if motion:
            return reduce(size(np.diff(residual, axis=0)) / lengths[1:])
        return reduce(size(residual) / lengths)

    return compute


def _words(alignment: str, region: Region, *more: str) -> str:
    return ", ".join(part for part in (ALIGNMENTS[alignment][0], region.words, *more) if part)


def _sound(motion: bool, alignment: str, region: Region, size: str, reduction: str, unit: str) -> Definition:
    chain = _chain(motion, alignment, region, SIZES[size][1], REDUCTIONS[reduction][1], UNITS[unit][1])
    standard = (
        alignment == "stable"
        and region in (MOUTH, FACE)
        and (size, reduction, unit) == ("mean", "mean", "px")
    )
    differing = [
        "" if alignment == "stable" else f"{ALIGNMENTS[alignment][0]} instead of stabilised",
        "" if region in (MOUTH, FACE) else region.words,
        "" if size == "mean" else SIZES[size][0],
        REDUCTIONS[reduction][0],
        UNITS[unit][0],
    ]
    words = _words(alignment, region, SIZES[size][0], REDUCTIONS[reduction][0], UNITS[unit][0])
    return Definition(
        ("velocities: " if motion else "") + words,
        chain,
        differs="" if standard else "; ".join(part for part in differing if part),
        published=_protocol(motion, alignment, region, size, reduction, unit),
        traits=Traits(alignment, region.name, size, unit),
    )


def _protocol(motion: bool, alignment: str, region: Region, size: str, reduction: str, unit: str) -> str:
    if reduction != "mean" or region not in (MOUTH, FACE):
        return ""
    own = f"{'lvd' if motion else 'ld'}/{region.name}"
    known = {
        ("stable", "mean", "px"): own,
        ("stable", "mean", "eye corners"): f"{own}/iod",
        ("stable", "mean", "face width"): f"{own}/face-width",
        ("none", "mean", "px"): f"{own}/raw",
        ("centred", "mean", "px"): f"{own}/centred",
        ("stable-procrustes", "mean", "px"): f"{own}/procrustes",
    }
    if not motion:
        eat = "lmd/eat" if region is MOUTH else "flmd/eat"
        known["centred", "mean", "px"] = f"{eat} and {own}/centred"
        known["stable-centred", "mean", "px"] = eat
        known["none", "l1", "px"] = "lmd/vico" if region is MOUTH else ""
    return known.get((alignment, size, unit), "")


def _rmse(motion: bool, alignment: str, region: Region) -> Definition:
    chain = _chain(
        motion, alignment, region, lambda r: (r**2).sum(-1).mean(1), lambda f: float(np.sqrt(f.mean()))
    )
    words = _words(alignment, region, "root mean square over the clip")
    return Definition(words, chain, differs=words, traits=Traits(alignment, region.name, "rms", "px"))


def _broken(motion: bool, alignment: str, region: Region) -> Iterator[Definition]:
    size, mean = SIZES["mean"][1], REDUCTIONS["mean"][1]

    def broken(what: str, chain: Callable[[Array, Array], float]) -> Definition:
        traits = Traits(alignment, region.name, "mean", "px")
        return Definition(_words(alignment, region, what), chain, defect=what, traits=traits)

    for what, link in BROKEN_SIZES.values():
        yield broken(what, _chain(motion, alignment, region, link, mean))
    for what, reduce in BROKEN_REDUCTIONS.values():
        yield broken(what, _chain(motion, alignment, region, size, reduce))
    for what, change in BROKEN_COORDINATES.values():
        yield broken(what, _chain(motion, alignment, region, size, mean, coordinates=change))
    other = "places are compared, not motions: this is LD" if motion else "motions are compared: this is LVD"
    yield broken(other, _chain(not motion, alignment, region, size, mean))
    if motion:
        yield from (broken(what, chain) for what, chain in _broken_motions(alignment, region))
    if alignment == "none":
        yield broken(
            "coordinates are subtracted as uint8, so that a negative difference wraps around to 255",
            lambda p, t: float(size(_wrapped(p, t)[:, region.indices(t)]).mean()),
        )


def _broken_motions(alignment: str, region: Region) -> Iterator[tuple[str, Callable[[Array, Array], float]]]:
    def aligned(p: Array, t: Array) -> tuple[Array, Array]:
        over = region.indices(t)
        p, t = ALIGNMENTS[alignment][1](np.asarray(p, float), np.asarray(t, float), over)
        return p[:, over], t[:, over]

    def of_points(p: Array, t: Array) -> float:
        p, t = aligned(p, t)
        return float(_length(np.diff(p - t, axis=1)).mean())

    def of_speeds(p: Array, t: Array) -> float:
        p, t = aligned(p, t)
        return float(np.abs(_length(np.diff(p, axis=0)) - _length(np.diff(t, axis=0))).mean())

    def by_frames(p: Array, t: Array) -> float:
        p, t = aligned(p, t)
        return float(_length(np.diff(p - t, axis=0)).mean(1).sum() / len(t))

    def wrapped_around(p: Array, t: Array) -> float:
        p, t = aligned(p, t)
        return float(_length((p - t) - np.roll(p - t, 1, axis=0)).mean())

    def of_lengths(p: Array, t: Array) -> float:
        p, t = aligned(p, t)
        return float(np.abs(np.diff(_length(p - t), axis=0)).mean())

    yield "differences run over points, not over time: no velocity is compared", of_points
    yield "speeds are compared, so that a motion in the wrong direction costs nothing", of_speeds
    yield BY_FRAMES, by_frames
    yield "the first frame is compared with the last, as if the clip were a loop", wrapped_around
    yield "the change of a distance is taken, not the distance of the changes", of_lengths
