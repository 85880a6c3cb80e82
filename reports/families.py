"""Does the ranking survive another definition of the same score?

Protocols of one family answer one question: the main one has the column in the table, the others are other
units, other alignments, and the published scripts with their defects. Every pair of rows that the main
protocol decides (the 95 % interval of the paired difference excludes 0, and missing frames could not turn it)
is looked up under each other definition: it may be kept, lost (not decided there) or reversed.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass

from scipy.stats import kendalltau

from reports.load import Study, remembered
from reports.stats import advantage_of, estimate, undecided

RANKED = ("method", "ablation", "floor")
"""Kinds of row that are ranked: a ceiling sees the answer."""


@dataclass(frozen=True)
class Ranking:
    """How one definition orders the rows, beside the main one of its family."""

    family: str
    main: str
    protocol: str
    tau: float
    """Kendall's tau-b of the rows' means; 1 is the same order. NaN where a side has all rows equal."""
    decided: int
    """Pairs that the main protocol decides."""
    lost: int
    """Of these, not decided by the other."""
    reversed: tuple[tuple[str, str], ...]
    """Pairs of rows (better, worse) under the main protocol that are decided the other way."""

    @property
    def kept(self) -> int:
        return self.decided - self.lost - len(self.reversed)


def family_of(study: Study, protocol: str) -> str:
    """A manifest that knows no families has one for each protocol."""
    info = study.manifest.protocols[protocol]
    return info.family or info.label


def families(study: Study, condition: str) -> dict[str, tuple[str, ...]]:
    """Family -> its protocols, the main one first; only families with a main protocol and another one."""
    found: dict[str, list[str]] = {}
    for protocol in study.protocols(condition, main=False):
        found.setdefault(family_of(study, protocol), []).append(protocol)
    main = set(study.protocols(condition))
    return {
        family: tuple(sorted(protocols, key=lambda p: p not in main))
        for family, protocols in found.items()
        if len(protocols) > 1 and main & set(protocols)
    }


@remembered
def rankings(study: Study, condition: str, family: str) -> tuple[Ranking, ...]:
    """Every other definition of a family beside its main one."""
    main, *others = families(study, condition)[family]
    rows = [row for row, info in study.rows.items() if info.kind in RANKED and row not in study.failed]
    decided = [
        pair
        for a, b in itertools.combinations(rows, 2)
        if (pair := _decided(study, a, b, condition, main)) is not None
    ]
    return tuple(_ranking(study, condition, family, main, other, rows, decided) for other in others)


def _ranking(
    study: Study,
    condition: str,
    family: str,
    main: str,
    other: str,
    rows: list[str],
    decided: list[tuple[str, str]],
) -> Ranking:
    theirs = [_decided(study, better, worse, condition, other) for better, worse in decided]
    return Ranking(
        family,
        main,
        other,
        _tau(study, rows, condition, main, other),
        len(decided),
        sum(found is None for found in theirs),
        tuple(pair for pair, found in zip(decided, theirs, strict=True) if found == pair[::-1]),
    )


def _decided(study: Study, a: str, b: str, condition: str, protocol: str) -> tuple[str, str] | None:
    """(better, worse), or None where the interval of the difference includes 0."""
    advantage = advantage_of(study, a, b, condition, protocol)
    pair = (estimate(study, row, condition, protocol) for row in (a, b))
    if advantage is None or not advantage.known or undecided(*pair):
        return None
    if advantage.low > 0:
        return a, b
    return (b, a) if advantage.high < 0 else None


def _tau(study: Study, rows: list[str], condition: str, main: str, other: str) -> float:
    found = [[estimate(study, row, condition, p) for row in rows] for p in (main, other)]
    pairs = [
        (a.interval.mean, b.interval.mean)
        for a, b in zip(*found, strict=True)
        if a is not None and b is not None and a.interval is not None and b.interval is not None
    ]
    if len(pairs) < 2:
        return math.nan
    same = study.manifest.protocols[main].direction == study.manifest.protocols[other].direction
    tau = float(kendalltau(*zip(*pairs, strict=True))[0])  # pyright: ignore
    return tau if same else -tau


def verdict(study: Study, condition: str) -> str:
    """One sentence for the summary: which families' rankings survive every definition, which don't."""
    reversing: dict[str, list[str]] = {}
    total = 0
    for family in families(study, condition):
        found = rankings(study, condition, family)
        total += len(found)
        for ranking in found:
            if ranking.reversed:
                reversing.setdefault(family, []).append(study.manifest.protocols[ranking.protocol].label)
    if not total:
        return ""
    if not reversing:
        return (
            f"Under {condition} none of the {total} other definitions of the scores reverses a difference "
            "that the main ones decide."
        )
    told = "; ".join(f"{family}: {', '.join(labels)}" for family, labels in reversing.items())
    count = sum(map(len, reversing.values()))
    return (
        f"Under {condition}, {count} of {total} other definitions of the scores reverse a difference that "
        f"the main ones decide ({told})."
    )
