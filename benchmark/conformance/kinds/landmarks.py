"""Probes and rungs of landmark distances (LD) and landmark velocity distances (LVD)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import groupby

import numpy as np

from benchmark.conformance.definitions.fitting import Fit, Pair
from benchmark.conformance.definitions.landmarks import REGIONS, UNITS, Region, Traits, definitions
from benchmark.conformance.ladder import CLOSED, IDENTITY, INVARIANT, ORDER, PARITY, Ladder
from benchmark.conformance.runner import Answer
from benchmark.data.synthetic.face import EXPRESSIONS, identity, landmarks3d
from models.landmarks.alignment import apply, stabilise
from models.landmarks.topology import layout_of

FRAMES = (12, 9, 15, 7, 21, 10)
"""Of the ordinary pairs: different, so that what is divided by can be told."""
SLOW = 0.05
"""Seconds of a call from which points are not moved one by one."""
MOUTH_IN_FACE = 20 / 68
EAT_CROP = 51.34 / 84
"""EAT's template has 51.34 px between the eyes (yuangan/evaluation_eat), the stabilised space 84."""

Array = np.ndarray


def resting(rng: np.random.Generator, layout: int = 68) -> Array:
    """(points, 2) float64: somebody's neutral face in the stabilised space."""
    points = landmarks3d(identity(f"person {rng.integers(1000)}"), np.zeros((1, len(EXPRESSIONS))), layout)
    return stabilise(points[0, :, :2].astype(np.float64))


def talking(face: Array, frames: int, rng: np.random.Generator) -> Array:
    """(frames, points, 2): the face opens and widens its mouth, trembles, and moves as a head does."""
    time = np.arange(frames)[:, None]
    mouth = layout_of(face).region("mouth")
    centre = face[mouth].mean(0)
    opening = 0.2 * np.sin(time * rng.uniform(0.4, 0.9) + rng.uniform(0, 6)) + rng.uniform(-0.1, 0.1)
    points = np.repeat(face[None], frames, 0) + rng.normal(0, 1.2, (frames, *face.shape))
    points[:, mouth, 1] += (face[mouth, 1] - centre[1]) * 2 * opening
    points[:, mouth, 0] -= (face[mouth, 0] - centre[0]) * 0.5 * opening
    return _as_a_head(points, rng)


def _as_a_head(points: Array, rng: np.random.Generator) -> Array:
    """Every frame a little turned, scaled and shifted; coordinates stay between 0 and 255."""
    time = np.arange(len(points))
    angle = 0.06 * np.sin(time * rng.uniform(0.1, 0.3) + rng.uniform(0, 6))
    scale = 0.85 + 0.04 * np.sin(time * rng.uniform(0.1, 0.3) + rng.uniform(0, 6))
    a, b = scale * np.cos(angle), scale * np.sin(angle)
    linear = np.stack([np.stack([a, -b], -1), np.stack([b, a], -1)], -2)
    shift = np.array([128.0, 128.0]) - linear @ points.mean((0, 1)) + rng.normal(0, 2, (1, 2))
    return apply(np.concatenate([linear, shift[..., None]], -1), points)


def pair_of(frames: int, rng: np.random.Generator, layout: int = 68) -> Pair:
    """Predicted and target."""
    face = resting(rng, layout)
    return talking(face, frames, rng), talking(face, frames, rng)


def run(ladder: Ladder, *, motion: bool, region: str | None, rng: np.random.Generator) -> None:
    """All rungs of LD, or with `motion` of LVD."""
    probes = [pair_of(frames, rng) for frames in FRAMES]
    if not ladder.begins(probes[0], probes[1]):
        return
    reference = ladder.subject(*probes[0])
    points = _listens(ladder, probes[0], reference)
    ladder.verdict.listens = _words(points)
    found = ladder.identify(definitions(motion, points), probes, "factor")
    _judge_unit(ladder, found, motion)
    _judge_region(ladder, found, region)
    _closed_forms(ladder, resting(rng), motion, region)
    _invariances(ladder, probes, reference, motion)
    _monotone(ladder, probes, rng)
    _degenerate(ladder, probes, motion)
    _order_and_dtype(ladder, probes, reference, rng)


def _listens(ladder: Ladder, pair: Pair, reference: Answer) -> list[int]:
    """The points of 68 whose move in one frame changes the value."""
    predicted, target = pair
    groups: Sequence[Sequence[int]] = [[k] for k in range(68)]
    if reference.seconds > SLOW:
        layout = layout_of(target)
        groups = [layout.regions[name] for name in ("contour", "brows", "nose", "eyes")]
        groups += [layout.regions[name] for name in ("outer_mouth", "inner_mouth")]
    heard: list[int] = []
    for group in groups:
        moved = predicted.copy()
        moved[len(moved) // 2, list(group)] += (9.3, -7.7)
        answer = ladder.subject(moved, target)
        if answer.finite and abs(answer.value - reference.value) > 1e-7 * abs(reference.value):
            heard += group
    return sorted(heard)


def _words(points: Sequence[int]) -> str:
    runs = []
    for _, group in groupby(enumerate(points), key=lambda item: item[1] - item[0]):
        run_of = [point for _, point in group]
        runs.append(f"{run_of[0]}-{run_of[-1]}" if len(run_of) > 1 else str(run_of[0]))
    return f"{len(points)} of 68 points" + (f" ({', '.join(runs)})" if runs else "")


def _judge_unit(ladder: Ladder, found: Fit | None, motion: bool) -> None:
    """Name the factor between the function and the definition it follows."""
    if found is None or found.plain:
        return
    traits = found.definition.traits
    region = traits.region if isinstance(traits, Traits) else ""
    if region == "mouth" and np.isclose(found.constant, MOUTH_IN_FACE, rtol=1e-4):
        _fail_scale(
            ladder, "its scale", f"{found.constant:.6f} of the mouth's mean",
            "the sum over the 20 mouth points divided by 68 (the mouth's mean times 20/68): a face "
            f"{'velocity ' if motion else ''}sum that accumulates the mouth's difference, "
            f"as {'flvd/eat' if motion else 'flvd/eat does for velocities'}",
        )  # fmt: skip
    elif found.constant < 0:
        says = "the sign is wrong: a worse prediction scores lower"
        _fail_scale(ladder, "its sign", f"times {found.constant:.6g}", says)
    elif not found.definition.defect:
        _name_unit(ladder, found, {"mouth": 20, "face": 68}.get(region, 0))


def _fail_scale(ladder: Ladder, asked: str, came: str, says: str) -> None:
    ladder.fit = None
    ladder.verdict.defect = "; ".join(part for part in (says, ladder.verdict.defect) if part)
    ladder.add(PARITY, asked, came, "1", "fail", says)


def _name_unit(ladder: Ladder, found: Fit, points: int) -> None:
    words = _unit_words(found.constant, points)
    definition, verdict = found.definition, ladder.verdict
    verdict.factor = words
    verdict.differs = "; ".join(part for part in (verdict.differs, words) if part)
    protocol = definition.published.split(" and ")[0]
    if protocol.endswith("lmd/eat"):
        verdict.published = "lmd/atvgnet" if protocol == "lmd/eat" and "summed" in words else protocol
    elif not definition.differs and np.isclose(found.constant, 0.5, rtol=1e-4):
        verdict.published = f"{protocol}/128"
    elif protocol != "lmd/vico":
        verdict.published = ""


def _unit_words(factor: float, points: int) -> str:
    known = {
        0.5: "in pixels of a 128 px crop (times 0.5)",
        2.0: "in pixels of a 512 px crop (times 2), or |dx| + |dy| where the definition takes their mean",
        25.0: "in pixels per second at 25 fps (times 25)",
        100.0: "in percent (times 100)",
        EAT_CROP: "in pixels of EAT's 128 px crop (times 0.611)",
        0.25: "in pixels of a 64 px crop (times 0.25)",
        1 / 256: "in widths of the 256 px crop",
    }
    if points:
        known[float(points)] = f"summed over the {points} points instead of averaged"
        known[points**0.5] = f"the Frobenius norm of a frame (times the root of {points})"
    for value, words in known.items():
        if np.isclose(factor, value, rtol=1e-4):
            return words
    return f"in a unit of its own (times {factor:.6g})"


def _judge_region(ladder: Ladder, found: Fit | None, region: str | None) -> None:
    """Compare the points it uses with what its name claims."""
    traits = found.definition.traits if found is not None else None
    used = traits.region if isinstance(traits, Traits) else ""
    if used == "own" and ladder.verdict.listens.startswith(("19 ", "67 ")):
        says = "one point is missing: a range of indices ends too early, or begins too late"
        ladder.add(PARITY, "the points of a region", ladder.verdict.listens, "20, or 68", "fail", says)
    if region is None or not used:
        return
    words = {r.name: r.words for r in REGIONS}.get(used, ladder.verdict.listens)
    good = used == region
    says = f"called a {region} metric, but it measures {words}"
    if used == "mouth" and region == "face":
        says += ": the face score repeats the mouth score, as in flvd/eat"
    ladder.add(PARITY, f"the points of a {region} metric", words, region, "pass" if good else "fail", says)


def _alternating(face: Array, region: Region) -> tuple[Array, float]:
    """Signs (points, 1) of half the mouth up, half down, and the share of the region that moves.

    Their sum is 0 and the points for alignment don't move, so no alignment but a fit to all points sees it.
    """
    over = region.indices(face)
    mouth = layout_of(face).region("mouth")
    moved = np.intersect1d(over, mouth)
    if not len(moved):
        moved = np.setdiff1d(over, [30, *range(36, 48)])
    moved = moved[: len(moved) // 2 * 2]
    signs = np.zeros((len(face), 1))
    signs[moved[::2]], signs[moved[1::2]] = 1, -1
    return signs, len(moved) / len(over)


def _closed_forms(ladder: Ladder, face: Array, motion: bool, region: str | None) -> None:
    """A displacement by (3, 4) px, or a motion in a circle and along a line, of the mouth's points."""
    frames, radius, turn = 30, 4.0, 0.3
    time = np.arange(frames)[:, None]
    circle = radius * np.concatenate([np.cos(turn * time), np.sin(turn * time)], 1)
    line = time * np.array([[0.3, -0.4]])
    cases = [("mouth points move by (3, 4) px", np.tile([[3.0, 4.0]], (frames, 1)), 5.0, 3.5)]
    if motion:
        cases = [
            ("mouth points move at (0.3, -0.4) px per frame", line, 0.5, 0.35),
            (
                "on a circle of radius 4 px by 0.3 rad per frame: 2 r sin(w/2)",
                circle,
                2 * radius * np.sin(turn / 2),
                float(np.abs(np.diff(circle, axis=0)).mean()),
            ),
        ]
    for asked, path, length, taxicab in cases:
        signs, wanted = _wanted(ladder, face, region, length, taxicab)
        if wanted:
            target = np.repeat(face[None], frames, 0)
            pair = target + signs * path[:, None], target
            near = 1e-9 + ladder.tolerance
            ladder.expect(CLOSED, asked, pair, wanted, "the closed form is missed", near=near)


def _wanted(
    ladder: Ladder, face: Array, region: str | None, length: float, taxicab: float
) -> tuple[Array, list[float]]:
    """Signs of the moved points, and the values that are right."""
    if ladder.fit is None:
        signs, _ = _alternating(face, REGIONS[0])
        values = {"mouth": length, "face": length * MOUTH_IN_FACE}
        return signs, [values[region]] if region else list(values.values())
    traits: Traits = ladder.fit.definition.traits
    by_name = {r.name: r for r in REGIONS}
    blind = "procrustes" in traits.alignment or traits.alignment == "first"
    if traits.region not in by_name or blind:
        return np.zeros((len(face), 1)), []
    signs, share = _alternating(face, by_name[traits.region])
    size = {"mean": share * length, "l1": share * taxicab, "rms": np.sqrt(share) * length}[traits.size]
    return signs, [float(ladder.fit.constant * size / UNITS[traits.unit][1](face[None])[0])]


def _invariances(ladder: Ladder, probes: Sequence[Pair], reference: Answer, motion: bool) -> None:
    predicted, target = probes[0]
    value = reference.value
    tiny = 1e-9 * abs(value)
    ladder.expect(
        IDENTITY, "the truth against itself", (target, target), 0.0,
        "equal sequences have a distance: the two sides are not treated alike", near=1e-6 * abs(value),
    )  # fmt: skip
    ladder.law(INVARIANT, "predicted and target exchanged", (target, predicted), value, "it is not symmetric")
    ladder.law(
        INVARIANT, "both sequences backwards", (predicted[::-1], target[::-1]), value,
        "the direction of time matters",
    )  # fmt: skip
    order = np.r_[0:48, 67:47:-1]
    ladder.law(
        INVARIANT, "mouth points of both in another order", (predicted[:, order], target[:, order]), value,
        "the order of the mouth points matters",
    )  # fmt: skip
    still = target.copy()
    still[:, :48] = target[:1, :48]
    residual = np.zeros_like(target)
    residual[:, 48:] = predicted[:, 48:] - target[:, 48:]
    once = ladder.subject(still + residual, still)
    ladder.law(
        INVARIANT, "errors three times as large", (still + 3 * residual, still),
        3 * once.value if once.finite else None, "it is not linear in the size of the error", near=tiny,
    )  # fmt: skip
    shifted = still.copy()
    shifted[:, 48:] += (5.0, -12.0)
    if motion:
        ladder.law(
            INVARIANT, "a constant offset of the mouth", (shifted, still), 0.0,
            "a constant offset counts: no velocity is compared", near=1e-6 * abs(value),
        )  # fmt: skip
    far = predicted * 4 - 300, target * 4 - 300
    ladder.law(
        INVARIANT, "coordinates from -300 to 700 px", far, None,
        "coordinates outside 0 to 255 are treated otherwise (cut, or wrapped around)",
    )  # fmt: skip
    long = np.tile(predicted, (40, 1, 1)), np.tile(target, (40, 1, 1))
    ladder.law(
        INVARIANT, "forty times as many frames", long, None if motion else value,
        "the score depends on the clip's length",
    )  # fmt: skip


def _monotone(ladder: Ladder, probes: Sequence[Pair], rng: np.random.Generator) -> None:
    target = np.tile(probes[4][1], (2, 1, 1))
    noise = rng.normal(size=target.shape)
    pairs = [(target + sigma * noise, target) for sigma in (0.1, 0.25, 0.5, 1.0, 2.0, 4.0)]
    ladder.monotone(
        "jitter of 0.1 to 4 px", pairs, rising=True, says="more jitter does not always score worse"
    )


def _degenerate(ladder: Ladder, probes: Sequence[Pair], motion: bool) -> None:
    predicted, target = (x.copy() for x in probes[2])
    predicted[6] += np.random.default_rng(0).normal(0, 12, predicted[6].shape)
    whole = ladder.subject(predicted, target)
    nothing = np.full_like(predicted[6], np.nan)
    holed, holed_target = predicted.copy(), target.copy()
    holed[6], holed_target[6] = nothing, nothing
    without = _without(ladder, predicted, target, holed)
    for asked, pair in (
        ("no face in the worst predicted frame", (holed, target)),
        ("no face in a target frame", (predicted, holed_target)),
        ("no face in a frame of both", (holed, holed_target)),
    ):
        ladder.undefined(asked, pair, lambda answer: _hole_words(answer, whole, without))
    infinite = predicted.copy()
    infinite[3, 50] = np.inf
    ladder.undefined(
        "an infinite coordinate", (infinite, target), lambda _: "an infinite coordinate is hidden"
    )
    empty = predicted[:0], target[:0]
    ladder.undefined("no frames at all", empty, lambda answer: f"an empty clip scores {answer}")
    one = predicted[:1], target[:1]
    if motion:
        ladder.undefined("one frame", one, lambda answer: f"one frame has no velocity, but scores {answer}")
    else:
        ladder.law(ORDER, "one frame", one, None, "a clip of one frame is scored otherwise")
    _mismatched(ladder, predicted, target)


def _without(ladder: Ladder, predicted: Array, target: Array, holed: Array) -> dict[str, Answer]:
    """What the clip with a missing frame scores if the frame is treated in a way that hides it."""
    kept = np.arange(len(target)) != 6
    ways: dict[str, Callable[[], Pair]] = {
        "the frame is dropped, and the clip scored without it": lambda: (predicted[kept], target[kept]),
        "the missing points become 0": lambda: (np.nan_to_num(holed), target),
    }
    return {words: ladder.subject(*pair()) for words, pair in ways.items()}


def _hole_words(answer: Answer, whole: Answer, ways: dict[str, Answer]) -> str:
    better = answer.value < whole.value
    gain = f"; losing the face changes the score from {whole} to {answer}"
    for words, other in ways.items():
        if other.finite and abs(other.value - answer.value) <= 1e-6 * abs(other.value):
            return f"a frame without a face vanishes silently: {words}{gain}"
    rule = "failing frames are dropped" if better else "its frames are filled in by a rule that is not told"
    return f"a frame without a face vanishes silently: {rule}{gain}"


def _mismatched(ladder: Ladder, predicted: Array, target: Array) -> None:
    short = predicted[:-4]
    cut = ladder.subject(short, target[:-4])

    def words(answer: Answer) -> str:
        if cut.finite and abs(cut.value - answer.value) <= 1e-6 * abs(cut.value):
            return (
                "a prediction that is too short is compared with the beginning of the target (zip, or a "
                "minimum of lengths): frames that a method fails to make are not scored"
            )
        return f"sequences of different length score {answer}"

    ladder.undefined("a prediction four frames short", (short, target), words)
    ladder.undefined(
        "a target four frames short", (predicted, target[:-4]),
        lambda answer: f"a prediction that is too long is cut to the target's length, and scores {answer}",
    )  # fmt: skip
    broadcast = ladder.subject(predicted[:1], target)
    ladder.add(
        "degenerate", "one predicted frame, a whole target", str(broadcast), "an error",
        "note" if broadcast.finite else "pass",
        "a single predicted frame is compared with every target frame (broadcasting); check shapes first",
    )  # fmt: skip
    other = np.concatenate([predicted, predicted[:, :38]], 1)
    mixed = ladder.subject(other, target)
    ladder.add(
        "degenerate", "106 points against 68", str(mixed), "an error", "note" if mixed.finite else "pass",
        "layouts of 106 and of 68 points are compared index by index; check shapes first",
    )  # fmt: skip


def _order_and_dtype(
    ladder: Ladder, probes: Sequence[Pair], reference: Answer, rng: np.random.Generator
) -> None:
    predicted, target = probes[0]
    ladder.same("in Fortran order", (np.asfortranarray(predicted), np.asfortranarray(target)), reference)
    single = predicted.astype(np.float32), target.astype(np.float32)
    answer = ladder.subject(*single)
    good = answer.finite and abs(answer.value - reference.value) <= 1e-3 * abs(reference.value)
    ladder.add(
        ORDER, "as float32", str(answer), f"{reference.value:.6g}", "pass" if good else "fail",
        "it is not exact to 0.1 % with float32 coordinates",
    )  # fmt: skip
    whole = np.rint(predicted).astype(np.int64), np.rint(target).astype(np.int64)
    as_float = ladder.subject(*(x.astype(np.float64) for x in whole))
    if as_float.finite:
        ladder.same("whole pixels as integers", whole, as_float)
    wide = pair_of(10, rng, layout=106)
    answer = ladder.subject(*wide)
    expected = _on_106(ladder, wide)
    if answer.finite and expected is not None:
        good = ladder.close(answer, expected)
        ladder.add(
            ORDER, "the 106-point layout", str(answer), f"{expected:.6g}, or an error",
            "pass" if good else "note",
            "on the 106-point layout it measures other points; use it with 68 points only",
        )  # fmt: skip
    elif answer.kind == "error":
        ladder.add(ORDER, "the 106-point layout", str(answer), "a value, or an error", "pass")


def _on_106(ladder: Ladder, pair: Pair) -> float | None:
    """What the definition gives on 106 points, if all of it is known by name there."""
    if ladder.fit is None:
        return None
    traits: Traits = ladder.fit.definition.traits
    by_name = traits.region in ("mouth", "face") and traits.unit.split(" per ")[0] in ("px", "eyes", "box")
    return ladder.fit(*pair) if by_name else None
