"""Intervals, paired differences and verdicts.

The interval of a table cell
    A method's scores form a table of seeds x test clips; every seed is scored on the same clips, so the
    two are crossed. What is asked is the mean that *other* seeds and *other* sentences would give. Clips of
    one sentence share its words and timing, so the sentence, not the clip, is the unit that was drawn (the
    emotions are fixed); a corpus without sentence labels is its clips. With S seeds of mean a_s and
    J sentences of mean b_j (weighted by their number of clips)

        SE^2 = var(a) / S + var(b) / J,          mean +- t(df) SE,

    with Satterthwaite's df = SE^4 / (u^2 / (S-1) + v^2 / (J-1)), u and v being the two terms. The residual
    between seeds and sentences is in both terms, so it counts twice: the interval errs on the wide side. A
    method without randomness has u = 0. One seed has no u, and the caption says so.

    The two-way percentile bootstrap was measured and not taken. With two seeds it resamples one of four
    pairs, and its nominal 95 % covered 65 to 95 % over most of the simulated range (4 to 13 sentences, seed
    variance 0 to 5 times the sentences'); this interval covers 90 to 99 % there and 87 % at its worst, where
    two seeds differ far more than sentences do. Two seeds cannot tell how much seeds vary, and an interval
    that admits it may be wide. `tests/properties/test_intervals.py` measures it again.

    Fewer than three sentences (or clips, where all say one) have no interval: t(1) would make anything of
    two. Intervals are cut at the limits that a protocol's values have.

Proportions
    Where all scores are 0 or 1 (emotion accuracy), Wilson's interval with the same t(df) and the effective
    number of trials p(1-p)/SE^2, at most the number of clips: it stays in [0, 1] and is not empty at 0 or 1.

Scores of the whole set
    A Fréchet distance comes with its own interval per seed, from resampling clips. The seeds' clips are the
    same, so the mean of their half-widths is kept (not divided by S) and joined in quadrature, each side by
    itself, with t(S-1) times the standard error between seeds.

Comparisons
    Differences are taken per seed and clip, then treated like scores. p is of the same t statistic, adjusted
    by Holm within a family: the comparisons of one kind (floors, ablations, other methods) in one column.
    Beside it stands the exact sign-flip p over sentences, seeds averaged, with the smallest value that so
    many sentences can reach: it needs no distribution but speaks of these trained models only. Whole-set
    scores have no pairs; their difference gets the interval of two independent estimates (too wide, as the
    clips are shared) and is judged by it. A row whose scores were left out by a rule is not compared.

Missing faces
    Where a method's frames show no face, its score is the mean of the others, which a method could gain by.
    So such a clip brings the lowest and the highest value that the missing frames allow, and a cell the means
    of both over all clips. Two rows of which these limits overlap are "undecided", whatever the test says.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from hashlib import blake2b

import numpy as np
import pandas as pd
from scipy import stats

from benchmark.records import WHOLE_SET
from reports.load import Study, remembered

LEVEL = 0.95
MARK_COVERAGE = 0.98
"""Below this share of measured frames a cell is marked."""
FEWEST = 3
"""Sentences (or clips, where there is one sentence) below which there is no interval: two say next to nothing
about how much others would differ, and t(1) makes anything of it."""
Limits = tuple[float | None, float | None]
"""The least and the greatest value that is possible; None where there is none."""
UNLIMITED: Limits = (None, None)
EXACT_UNITS = 16
"""Up to so many sentences all sign flips are enumerated; beyond, so many random ones are drawn:"""
RANDOM_FLIPS = 20_000
CLAIMS = {
    "floor": "the full model is better than this floor",
    "ablation": "the full model is better than without this part",
    "method": "the full model is better than this method",
}
"""Kind of row -> what its comparison claims."""


@dataclass(frozen=True)
class Interval:
    """A mean with its interval; `low` and `high` are NaN where nothing can be said (one seed, one clip)."""

    mean: float
    low: float
    high: float
    error: float = math.nan
    """Standard error; NaN where the interval is not built from one."""
    df: float = math.nan
    reason: str = ""
    """Why there is no interval."""

    @property
    def half(self) -> float:
        return (self.high - self.low) / 2

    @property
    def known(self) -> bool:
        return math.isfinite(self.low) and math.isfinite(self.high)

    @property
    def symmetric(self) -> bool:
        """Whether it is built from a standard error and not cut at a limit of what is possible."""
        width = self.high - self.low
        return math.isfinite(self.error) and abs(self.high + self.low - 2 * self.mean) <= 1e-9 * width

    @property
    def p(self) -> float:
        """Two-sided p of mean = 0; NaN without a standard error."""
        if not math.isfinite(self.error):
            return math.nan
        if self.error == 0:
            return 1.0 if self.mean == 0 else 0.0
        return float(2 * stats.t.sf(abs(self.mean) / self.error, self.df))


@dataclass(frozen=True)
class Bounds:
    """The lowest and highest mean that the frames without a predicted face allow."""

    least: float
    most: float

    def overlaps(self, other: Bounds) -> bool:
        return self.least <= other.most and other.least <= self.most


@dataclass(frozen=True)
class Estimate:
    """One table cell."""

    row: str
    condition: str
    protocol: str
    interval: Interval | None
    """None: every clip was left out by the protocol's rule."""
    seeds: int
    clips: int
    """Of a score of the whole set: those that its frames are of."""
    sentences: int
    left_out: int
    """Clips without a value in some seed, by the protocol's rule."""
    coverage: float
    bounds: Bounds | None = None
    """None where no predicted face is missing, or the protocol knows no bound."""
    frames: int = 0
    """Behind a score of the whole set."""

    @property
    def doubtful(self) -> bool:
        return self.coverage < MARK_COVERAGE


@dataclass(frozen=True)
class Comparison:
    """The full model against one other row; positive differences favour the full model."""

    full: str
    other: str
    kind: str
    condition: str
    protocol: str
    advantage: Interval
    relative: float
    """The advantage as a share of the other's mean; NaN where that is 0."""
    p: float = math.nan
    p_holm: float = math.nan
    p_exact: float = math.nan
    p_smallest: float = math.nan
    verdict: str = field(default="inconclusive")


def two_way_interval(
    values: np.ndarray, sentences: Sequence[str], level: float = LEVEL, limits: Limits = UNLIMITED
) -> Interval:
    """Return the mean over seeds and clips, with its interval for new seeds and sentences (module docstring).

    Fewer than `FEWEST` sentences have no interval.

    Args:
        values: (seeds, clips), finite.
        sentences: (clips,) the sentence of each clip.
        limits: of what is possible; the interval is cut there.

    Raises:
        ValueError: empty, not two-dimensional or not finite.
    """
    values = np.asarray(values, dtype=float)
    if values.ndim != 2 or values.size == 0 or values.shape[1] != len(sentences):
        raise ValueError(f"expected (seeds, clips) values of {len(sentences)} clips, got {values.shape}")
    if not np.isfinite(values).all():
        raise ValueError("expected finite scores; leave clips without a value out first")
    mean = float(values.mean())
    units = _sentence_means(values, sentences)
    if len(units) < FEWEST:
        return Interval(mean, math.nan, math.nan, reason=_too_few(len(units), len(set(sentences)) > 1))
    terms = [
        (float(np.var(part, ddof=1)) / len(part), len(part) - 1)
        for part in (values.mean(axis=1), units)
        if len(part) > 1
    ]
    total = sum(term for term, _ in terms)
    degrees = total**2 / sum(term**2 / df for term, df in terms) if total > 0 else float(terms[-1][1])
    error = math.sqrt(total)
    half = float(stats.t.ppf((1 + level) / 2, degrees)) * error
    return Interval(mean, *_within(mean - half, mean + half, limits), error, degrees)


def _too_few(units: int, sentences: bool) -> str:
    noun = "sentence" if sentences else "clip"
    return f"{units} {noun}{'s' if units > 1 else ''}, and it takes {FEWEST}"


def _within(low: float, high: float, limits: Limits) -> tuple[float, float]:
    least, most = limits
    return (low if least is None else max(low, least)), (high if most is None else min(high, most))


def _sentence_means(values: np.ndarray, sentences: Sequence[str]) -> np.ndarray:
    """(sentences,) means over seeds and clips, stretched by size so that their plain mean is the grand mean.

    One sentence only: its clips are the units.
    """
    clips = values.mean(axis=0)
    names, index = np.unique(np.asarray(sentences), return_inverse=True)
    if len(names) < 2:
        return clips
    size = np.bincount(index)
    share = size / size.sum()
    means = np.bincount(index, weights=clips) / size
    return clips.mean() + len(names) * share * (means - clips.mean())


def proportion_interval(values: np.ndarray, sentences: Sequence[str], level: float = LEVEL) -> Interval:
    """Wilson's interval of the mean of 0/1 scores, with as many trials as the two-way error is worth."""
    plain = two_way_interval(values, sentences, level)
    if not plain.known:
        return plain
    p, clips = plain.mean, values.shape[1]
    trials = float(clips)
    if plain.error > 0:
        trials = min(trials, p * (1 - p) / plain.error**2)
    quantile = float(stats.t.ppf((1 + level) / 2, plain.df))
    shrunk = quantile**2 / trials
    centre = (p + shrunk / 2) / (1 + shrunk)
    half = math.sqrt(shrunk * p * (1 - p) + shrunk**2 / 4) / (1 + shrunk)
    return Interval(p, max(0.0, centre - half), min(1.0, centre + half))


def whole_set_interval(
    values: np.ndarray, lows: np.ndarray, highs: np.ndarray, level: float = LEVEL
) -> Interval:
    """The mean over seeds of a whole-set score, each with its own interval (module docstring).

    Args:
        values, lows, highs: (seeds,); NaN limits mean that the score came without.
    """
    array = np.asarray(values, dtype=float)
    mean, between = float(array.mean()), 0.0
    below = _mean_width(array - np.asarray(lows, dtype=float))
    above = _mean_width(np.asarray(highs, dtype=float) - array)
    if len(array) > 1:
        error = float(array.std(ddof=1)) / math.sqrt(len(array))
        between = float(stats.t.ppf((1 + level) / 2, len(array) - 1)) * error
    if math.isnan(below) or math.isnan(above):
        if len(array) == 1:
            return Interval(mean, math.nan, math.nan)
        below = above = 0.0
    low = mean - math.hypot(below, between)
    floor = 0.0 if array.min() >= 0 else -math.inf
    return Interval(mean, max(low, floor), mean + math.hypot(above, between))


def _mean_width(widths: np.ndarray) -> float:
    return math.nan if np.isnan(widths).any() else float(np.maximum(widths, 0).mean())


def independent_difference(a: Interval, b: Interval) -> Interval:
    """a - b with the interval recovered from both, as if they were independent."""
    if not (a.known and b.known):
        return Interval(a.mean - b.mean, math.nan, math.nan)
    difference = a.mean - b.mean
    low = difference - math.hypot(a.mean - a.low, b.high - b.mean)
    high = difference + math.hypot(a.high - a.mean, b.mean - b.low)
    return Interval(difference, low, high)


def sign_flip(
    differences: np.ndarray, sentences: Sequence[str], rng: np.random.Generator
) -> tuple[float, float]:
    """Exact two-sided sign-flip p over sentences, and the smallest that so many sentences can reach.

    Args:
        differences: (seeds, clips) paired differences; seeds are averaged.
    """
    clips = np.asarray(differences, dtype=float).mean(axis=0)
    names, index = np.unique(np.asarray(sentences), return_inverse=True)
    sums = np.bincount(index, weights=clips) if len(names) > 1 else clips
    count = len(sums)
    if count <= EXACT_UNITS:
        flips = 1.0 - 2.0 * ((np.arange(2**count)[:, None] >> np.arange(count)) & 1)
        smallest = 2.0 ** (1 - count)
    else:
        flips = rng.choice([-1.0, 1.0], size=(RANDOM_FLIPS, count))
        flips[0] = 1.0
        smallest = 1 / RANDOM_FLIPS
    observed = abs(sums.sum())
    reached = np.abs(flips @ sums) >= observed * (1 - 1e-9)
    return float(reached.mean()), min(1.0, smallest)


def holm(p_values: Sequence[float]) -> np.ndarray:
    """Holm's adjusted p values, in the order given."""
    p = np.asarray(p_values, dtype=float)
    order = np.argsort(p, kind="stable")
    steps = p[order] * (len(p) - np.arange(len(p)))
    adjusted = np.empty_like(p)
    adjusted[order] = np.minimum(np.maximum.accumulate(steps), 1.0)
    return adjusted


@remembered
def estimate(study: Study, row: str, condition: str, protocol: str) -> Estimate | None:
    """A table cell, or None where the row has no such score."""
    part = study.select(row=row, condition=condition, protocol=protocol)
    if part.empty:
        return None
    binary, limits = is_binary(study, protocol), limits_of(study, protocol)
    return estimate_of(part, row, condition, protocol, binary=binary, limits=limits)


def limits_of(study: Study, protocol: str) -> Limits:
    """Return the least and the greatest value that a protocol can have, as far as the manifest says."""
    info = study.manifest.protocols[protocol]
    return info.least, info.most


def estimate_of(
    part: pd.DataFrame,
    row: str,
    condition: str,
    protocol: str,
    *,
    binary: bool = False,
    limits: Limits = UNLIMITED,
) -> Estimate:
    """The cell of some of a row's records (all, or those of one emotion)."""
    seeds = len(set(part["seed"]))
    coverage = float(numbers(part, "coverage").mean())
    if is_whole_set(part):
        ordered = part.sort_values("seed")
        values, lows, highs = (numbers(ordered, n) for n in ("value", "low", "high"))
        frames, clips = (_fewest(ordered, name) for name in ("count", "clips"))
        interval = whole_set_interval(values, lows, highs) if np.isfinite(values).all() else None
        if interval is not None and 0 < clips < FEWEST:
            interval = Interval(interval.mean, math.nan, math.nan, reason=_too_few(clips, sentences=False))
        if interval is not None:
            low, high = _within(interval.low, interval.high, limits)
            interval = replace(interval, low=low, high=high)
        return Estimate(row, condition, protocol, interval, seeds, clips, 0, 0, coverage, frames=frames)
    values, sentences = _grid(part)
    kept = np.flatnonzero(np.isfinite(values).all(axis=0))
    left_out = values.shape[1] - len(kept)
    sentences = [sentences[k] for k in kept]
    interval = None
    if len(kept) and binary:
        interval = proportion_interval(values[:, kept], sentences)
    elif len(kept):
        interval = two_way_interval(values[:, kept], sentences, limits=limits)
    return Estimate(
        row,
        condition,
        protocol,
        interval,
        seeds,
        len(kept),
        len(set(sentences)),
        left_out,
        coverage,
        bounds_of(part),
    )


def bounds_of(part: pd.DataFrame) -> Bounds | None:
    """Means over seeds and all clips of what the missing frames allow; a whole clip counts as it scored.

    None where nothing is missing, or where a clip has neither a value nor bounds.
    """
    value, least, most = (numbers(part, name) for name in ("value", "least", "most"))
    if not np.isfinite(least).any():
        return None
    low, high = (np.where(np.isfinite(bound), bound, value) for bound in (least, most))
    if not (np.isfinite(low).all() and np.isfinite(high).all()):
        return None
    return Bounds(float(low.mean()), float(high.mean()))


def undecided(a: Estimate | None, b: Estimate | None) -> bool:
    """Whether the missing frames of either row could turn the order of the two."""
    if a is None or b is None or (a.bounds is None and b.bounds is None):
        return False
    first, second = (
        e.bounds or (Bounds(e.interval.mean, e.interval.mean) if e.interval else None) for e in (a, b)
    )
    return first is None or second is None or first.overlaps(second)


def _fewest(part: pd.DataFrame, name: str) -> int:
    """Over seeds; 0 where records do not say."""
    counts = numbers(part, name)
    return int(counts.min()) if np.isfinite(counts).all() else 0


def numbers(part: pd.DataFrame, name: str) -> np.ndarray:
    return part[name].to_numpy(dtype=float)


def is_whole_set(part: pd.DataFrame) -> bool:
    return bool((part["clip"] == WHOLE_SET).any())


@remembered
def is_binary(study: Study, protocol: str) -> bool:
    """Whether all scores of a protocol are 0 or 1. Distances that are all exactly 0 are not proportions."""
    values = study.scores.loc[study.scores["protocol"] == protocol, "value"].dropna()
    return bool(values.isin((0.0, 1.0)).all() and (values == 1.0).any())


def _grid(part: pd.DataFrame) -> tuple[np.ndarray, list[str]]:
    """(seeds, clips) values, NaN where left out, and the clips' sentences."""
    table = part.pivot(index="seed", columns="clip", values="value").sort_index().sort_index(axis=1)
    sentence = part.drop_duplicates("clip").set_index("clip")["sentence"]
    return table.to_numpy(dtype=float), [str(sentence[clip]) for clip in table.columns]


@remembered
def compare_all(
    study: Study, condition: str, protocols: tuple[str, ...] | None = None
) -> tuple[Comparison, ...]:
    """The first method against every other trained row and floor, under the main protocols or those given."""
    full = primary(study)
    if full is None or full in study.failed:
        return ()
    found: list[Comparison] = []
    for protocol in study.protocols(condition) if protocols is None else protocols:
        column = [
            made
            for row, info in study.rows.items()
            if row != full
            and info.kind in CLAIMS
            and row not in study.failed
            and _comparable(full, row, info.kind)
            if (made := compare(study, full, row, condition, protocol)) is not None
        ]
        found += [_with_coverage(study, made) for made in _judged(column)]
    return tuple(found)


def _with_coverage(study: Study, made: Comparison) -> Comparison:
    pair = (estimate(study, row, made.condition, made.protocol) for row in (made.full, made.other))
    return replace(made, verdict="undecided") if undecided(*pair) else made


def primary(study: Study) -> str | None:
    """The first full method of the manifest: the one that the study is about."""
    return next((row for row, info in study.rows.items() if info.kind == "method"), None)


def _comparable(full: str, row: str, kind: str) -> bool:
    return kind != "ablation" or row.startswith(f"{full}/")


def compare(study: Study, full: str, other: str, condition: str, protocol: str) -> Comparison | None:
    """One paired comparison, not yet adjusted; None where either row lacks scores."""
    advantage = advantage_of(study, full, other, condition, protocol)
    if advantage is None:
        return None
    made = Comparison(full, other, study.rows[other].kind, condition, protocol, advantage, math.nan)
    pairs = _pairs(study, full, other, condition, protocol)
    if pairs is None:
        second = estimate(study, other, condition, protocol)
        assert second is not None
        assert second.interval is not None
        return replace(made, relative=_relative(advantage.mean, second.interval.mean))
    exact, smallest = sign_flip(
        pairs.difference, pairs.sentences, _generator(f"{full} {other} {condition} {protocol}")
    )
    return replace(
        made,
        relative=_relative(advantage.mean, pairs.other_mean),
        p=advantage.p,
        p_exact=exact,
        p_smallest=smallest,
    )


def advantage_of(study: Study, row: str, other: str, condition: str, protocol: str) -> Interval | None:
    """By how much a row is better than another (positive), paired where it can be; None without scores."""
    pairs = _pairs(study, row, other, condition, protocol)
    if pairs is not None:
        least, most = limits_of(study, protocol)
        reach = None if least is None or most is None else most - least
        limits = (None if reach is None else -reach, reach)
        return two_way_interval(pairs.difference, pairs.sentences, limits=limits)
    first, second = (estimate(study, r, condition, protocol) for r in (row, other))
    whole = all(_whole_set(study, r, condition, protocol) for r in (row, other))
    if not whole or first is None or second is None or first.interval is None or second.interval is None:
        return None
    pair = (first.interval, second.interval)
    return independent_difference(*(pair if _sign(study, protocol) > 0 else pair[::-1]))


@dataclass(frozen=True)
class _Pairs:
    difference: np.ndarray
    """(seeds, clips), positive where the row is better."""
    sentences: list[str]
    other_mean: float


@remembered
def _pairs(study: Study, row: str, other: str, condition: str, protocol: str) -> _Pairs | None:
    """The scores of two rows clip by clip; None for scores of the whole set, or without a common clip."""
    parts = [study.select(row=r, condition=condition, protocol=protocol) for r in (row, other)]
    if any(part.empty or is_whole_set(part) for part in parts):
        return None
    (first, sentences), (second, _) = (_grid_of(study, r, condition, protocol) for r in (row, other))
    if first.shape[0] != second.shape[0]:
        # A floor that was run once answers for every seed.
        seeds = max(first.shape[0], second.shape[0])
        first, second = (np.broadcast_to(x, (seeds, x.shape[1])) for x in (first, second))
    difference = _sign(study, protocol) * (first - second)
    kept = np.flatnonzero(np.isfinite(difference).all(axis=0))
    if not len(kept):
        return None
    return _Pairs(difference[:, kept], [sentences[k] for k in kept], float(second[:, kept].mean()))


@remembered
def _grid_of(study: Study, row: str, condition: str, protocol: str) -> tuple[np.ndarray, list[str]]:
    return _grid(study.select(row=row, condition=condition, protocol=protocol))


def _whole_set(study: Study, row: str, condition: str, protocol: str) -> bool:
    part = study.select(row=row, condition=condition, protocol=protocol)
    return not part.empty and is_whole_set(part)


def _sign(study: Study, protocol: str) -> float:
    return 1.0 if study.manifest.protocols[protocol].direction == "higher" else -1.0


def _generator(name: str) -> np.random.Generator:
    """A comparison's own stream, so that adding a row changes no other number."""
    return np.random.default_rng(int.from_bytes(blake2b(name.encode(), digest_size=8).digest(), "big"))


def _relative(advantage: float, other: float) -> float:
    return advantage / abs(other) if other else math.nan


def _judged(column: Sequence[Comparison]) -> list[Comparison]:
    """The comparisons of one column with Holm's p per kind, and their verdicts."""
    judged = []
    adjusted: dict[str, float] = {}
    for kind in CLAIMS:
        family = [c for c in column if c.kind == kind and math.isfinite(c.p)]
        adjusted |= dict(zip((c.other for c in family), holm([c.p for c in family]), strict=True))
    for made in column:
        p = float(adjusted.get(made.other, math.nan))
        judged.append(replace(made, p_holm=p, verdict=_verdict(made.advantage, p)))
    return judged


def _verdict(advantage: Interval, p_holm: float) -> str:
    if math.isfinite(p_holm):
        decided = p_holm <= 1 - LEVEL + 1e-12
    else:
        decided = advantage.known and (advantage.low > 0 or advantage.high < 0)
    if not decided:
        return "inconclusive"
    return "supported" if advantage.mean > 0 else "contradicted"
