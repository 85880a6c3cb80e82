"""Probes and rungs of Fréchet distances: functions of two feature arrays (N, d) and (M, d)."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from benchmark.conformance.definitions.features import definitions, frechet
from benchmark.conformance.definitions.fitting import Fit, Pair
from benchmark.conformance.ladder import CLOSED, DEGENERATE, IDENTITY, INVARIANT, PARITY, Ladder
from benchmark.conformance.runner import Answer

SHAPES = ((60, 60, 6), (45, 70, 6), (90, 50, 12), (40, 40, 3))
"""Vectors of either side and dimensions; the dimensions are multiples of three, as colours are."""

Array = np.ndarray


def features(count: int, dimensions: int, rng: np.random.Generator) -> Array:
    """(count, dimensions) float64: correlated, rectified, of unlike spread, as pooled activations are."""
    mixed = rng.normal(size=(count, dimensions)) @ rng.normal(size=(dimensions, dimensions))
    spread = rng.uniform(0.2, 1.5, dimensions)
    return np.maximum(mixed / np.sqrt(dimensions) + rng.uniform(-0.5, 2, dimensions), 0) * spread


def pair_of(first: int, second: int, dimensions: int, rng: np.random.Generator) -> Pair:
    return features(first, dimensions, rng), features(second, dimensions, rng)


def run(ladder: Ladder, *, rng: np.random.Generator) -> None:
    """All rungs of a Fréchet distance."""
    probes = [pair_of(*shape, rng) for shape in SHAPES]
    small = tuple(0.02 * x for x in pair_of(50, 50, 6, rng))
    probes.append((small[0], small[1]))
    if not ladder.begins(probes[0], probes[4]):
        return
    reference = ladder.subject(*probes[0])
    usable = _usable(ladder, probes)
    found = ladder.identify(definitions(), usable, "factor")
    _judge_factor(ladder, found)
    _closed_forms(ladder, rng)
    _every_vector(ladder, probes[1] if len(usable) == len(probes) else probes[0])
    _invariances(ladder, probes[1] if len(usable) == len(probes) else probes[0], rng)
    _monotone(ladder, rng)
    _degenerate(ladder, probes[0])
    _dtype(ladder, probes[0], reference)


def _usable(ladder: Ladder, probes: Sequence[Pair]) -> list[Pair]:
    """All probes, or those of equal length where others are refused: that by itself is a failure."""
    answer = ladder.subject(*probes[1])
    if answer.finite:
        return list(probes)
    ladder.add(
        PARITY, "sets of 45 and 70 vectors", str(answer), "a value", "fail",
        "sets of different size cannot be compared: the vectors, not the features, are taken for variables",
    )  # fmt: skip
    return [probes[0], probes[3], probes[4]]


def _judge_factor(ladder: Ladder, found: Fit | None) -> None:
    if found is not None and not found.plain and not found.definition.defect:
        words = f"times {found.constant:.6g}"
        ladder.verdict.differs = "; ".join(part for part in (ladder.verdict.differs, words) if part)
        ladder.verdict.factor, ladder.verdict.published = words, ""


def _standardised(count: int, dimensions: int, rng: np.random.Generator) -> Array:
    """Vectors whose mean is 0 and whose sample covariance is the identity, exactly."""
    x = rng.normal(size=(count, dimensions))
    x -= x.mean(0)
    return x @ np.linalg.inv(np.linalg.cholesky(np.cov(x, rowvar=False))).T


def _closed_forms(ladder: Ladder, rng: np.random.Generator) -> None:
    """Commuting covariances: |m|² + sum over features of (s_a - s_b)²."""
    white = _standardised(50, 6, rng)
    turn, _ = np.linalg.qr(rng.normal(size=(6, 6)))
    a, b = np.arange(1.0, 7.0), np.array([2.0, 2.0, 1.0, 5.0, 3.0, 6.0])
    shift = np.array([1.0, -2.0, 0.0, 0.5, 0.0, 3.0])
    cases = {
        "a set and the same moved by m: |m|²": ((white @ turn, white @ turn + shift), shift @ shift),
        "a set and the same spread by 3: d (3 - 1)²": ((white, 3 * white), 6 * 4.0),
        "spreads a and b along common axes: sum of (a - b)²": (
            ((white * a) @ turn, (white * b) @ turn), ((a - b) ** 2).sum(),
        ),
    }  # fmt: skip
    for asked, (pair, wanted) in cases.items():
        if ladder.fit is not None and ladder.verdict.differs:
            wanted = ladder.fit(*pair)
        ladder.expect(
            CLOSED, asked, pair, float(wanted), "the closed form is missed",
            near=1e-4 if ladder.tolerance < 1e-5 else 1e-2,
        )  # fmt: skip


def _invariances(ladder: Ladder, pair: Pair, rng: np.random.Generator) -> None:
    x, y = pair
    value = ladder.subject(x, y).value
    scale = float(np.trace(np.cov(x, rowvar=False)))
    near = (1e-5 if ladder.tolerance < 1e-5 else 5e-3) * scale
    # The root of a singular product is known to half the digits only, as every public implementation shows.
    ladder.expect(
        IDENTITY, "the truth against itself", (x, x), 0.0 if ladder.fit is None else ladder.fit(x, x),
        "a set has a distance to itself: the two sides are not treated alike", near=1e-3 * scale,
    )  # fmt: skip
    ladder.law(INVARIANT, "predicted and target exchanged", (y, x), value, "it is not symmetric", near=near)
    ladder.law(
        INVARIANT, "vectors in another order", (rng.permutation(x), rng.permutation(y)), value,
        "the order of the vectors matters", near=near,
    )  # fmt: skip
    turn, _ = np.linalg.qr(rng.normal(size=(x.shape[1], x.shape[1])))
    ladder.law(
        INVARIANT, "both sets rotated", (x @ turn, y @ turn), value,
        "the axes of the features matter: no distance of Gaussians does that", near=near,
    )  # fmt: skip
    order = rng.permutation(x.shape[1])
    ladder.law(
        INVARIANT, "features of both in another order", (x[:, order], y[:, order]), value,
        "the order of the features matters", near=near,
    )  # fmt: skip
    ladder.law(
        INVARIANT, "both sets three times as large", (3 * x, 3 * y), 9 * value,
        "it is not quadratic in scale", near=near,
    )  # fmt: skip
    ladder.law(
        INVARIANT, "both sets moved by 50", (x + 50, y + 50), value, "it depends on where the origin is",
        near=max(near, 1e-5),
    )  # fmt: skip


def _every_vector(ladder: Ladder, pair: Pair) -> None:
    """Each vector must count, as none does that is cut off or not drawn."""
    value = ladder.subject(*pair).value
    deaf: list[str] = []
    for side, name in enumerate(("predicted", "target")):
        for k in (0, len(pair[side]) // 3, len(pair[side]) // 2, len(pair[side]) - 9, len(pair[side]) - 1):
            moved = [x.copy() for x in pair]
            moved[side][k] += 3.0
            answer = ladder.subject(moved[0], moved[1])
            if answer.finite and abs(answer.value - value) <= 1e-6 * abs(value):
                deaf.append(f"{name} {k}")
    ladder.add(
        INVARIANT, "vectors moved one by one", f"no change: {', '.join(deaf)}" if deaf else "changes",
        "every vector counts", "fail" if deaf else "pass",
        "some vectors do not count: a set is cut to the other's length, or only a part of it is drawn",
    )  # fmt: skip


def _monotone(ladder: Ladder, rng: np.random.Generator) -> None:
    x = features(60, 6, rng)
    other, noise = features(60, 6, rng), rng.normal(size=x.shape)
    grades = (0.1, 0.2, 0.4, 0.8, 1.6)
    ladder.monotone(
        "means moved by 0.1 to 1.6", [(x + step, x) for step in grades], rising=True,
        says="sets that lie further apart do not score worse",
    )  # fmt: skip
    noisy = [(x + sigma * noise, x) for sigma in (0.25, 0.5, 1, 2, 4)]
    ladder.monotone(
        "noise of 0.25 to 4 in every feature", noisy, rising=True, says="more noise does not score worse"
    )
    mixed = [(np.where(np.arange(60)[:, None] < k, other, x), x) for k in (12, 24, 36, 60)]
    ladder.monotone(
        "a fifth to all vectors from another set", mixed, rising=True,
        says="more foreign vectors do not score worse",
    )  # fmt: skip


def _degenerate(ladder: Ladder, pair: Pair) -> None:
    x, y = pair
    holed = x.copy()
    holed[7] = np.nan
    dropped = frechet(np.delete(x, 7, 0), y)
    zeroed = frechet(np.nan_to_num(holed), y)

    def words(answer: Answer) -> str:
        for how, value in (("dropped", dropped), ("replaced by 0", zeroed)):
            if math.isclose(answer.value, value, rel_tol=1e-4):
                return f"a NaN vector is {how} silently: frames that fail are not counted"
        return f"a NaN vector is hidden: the distance is {answer}"

    ladder.undefined("a vector of NaN among the predicted", (holed, y), words)
    endless = x.copy()
    endless[3, 2] = np.inf
    ladder.undefined(
        "an infinite feature", (endless, y), lambda answer: f"infinity is hidden: it scores {answer}"
    )
    ladder.undefined("no vectors", (x[:0], y), lambda answer: f"an empty set scores {answer}")
    ladder.undefined(
        "one vector, which has no covariance", (x[:1], y),
        lambda answer: f"a set of one vector scores {answer}: its covariance is made up",
        defined=math.nan if ladder.fit is None else ladder.fit(x[:1], y),
    )  # fmt: skip
    ladder.undefined(
        "features of 6 and 5 dimensions",
        (x, y[:, :5]),
        lambda answer: f"features that do not fit score {answer}",
    )
    _short_of_rank(ladder, pair)


def _short_of_rank(ladder: Ladder, pair: Pair) -> None:
    """Fewer vectors than dimensions, where a matrix square root fails in many implementations."""
    rng = np.random.default_rng(0)
    x, y = features(8, 12, rng), features(9, 12, rng)
    answer = ladder.subject(x, y)
    wanted = ladder.fit(x, y) if ladder.fit is not None else frechet(x, y)
    good = answer.kind in ("error", "none") or ladder.close(answer, wanted, 2e-2 * abs(wanted))
    lost = answer.kind == "value" and not answer.finite
    ladder.add(
        DEGENERATE, "8 and 9 vectors of 12 dimensions", str(answer), f"{wanted:.4g} to 2 %, or an error",
        "pass" if good else "note" if lost else "fail",
        "covariances short of rank give NaN" if lost
        else "covariances short of rank give a wrong value, silently: refuse fewer vectors than dimensions",
    )  # fmt: skip


def _dtype(ladder: Ladder, pair: Pair, reference: Answer) -> None:
    ladder.same("in Fortran order", (np.asfortranarray(pair[0]), np.asfortranarray(pair[1])), reference)
    single = pair[0].astype(np.float32), pair[1].astype(np.float32)
    ladder.same("as float32", single, reference, loose=True)
