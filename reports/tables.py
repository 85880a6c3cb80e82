"""Tables: which rows and columns, and what a cell says.

A table is built once, as text without markup; `reports.formats` writes it. Printed numbers keep two
significant digits of the interval's half-width; `Table.data` keeps all.
"""

from __future__ import annotations

import math
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import replace

import numpy as np

from benchmark.records import ProtocolInfo, RowInfo
from reports.families import families, family_of, rankings
from reports.formats import Cell, Row, Table, join, markdown_lines, markdown_text, to_csv
from reports.load import Study
from reports.stats import (
    FEWEST,
    Comparison,
    Estimate,
    compare_all,
    estimate,
    estimate_of,
    is_binary,
    limits_of,
    primary,
    undecided,
)

ARROWS = {"lower": "↓", "higher": "↑"}
BREAKDOWN = ("ld/mouth", "emotion")
"""Protocols that are shown per emotion: one of the mouth, one of the expression."""
LOW_COVERAGE, LEFT_OUT = "†", "‡"
JUDGES = {"emotion": "Judge of emotion", "emotion/network": "Second judge of emotion"}
INTERVALS = (
    "Mean and 95 % interval over seeds and sentences (± half-width; limits in brackets where it is not "
    "symmetric: proportions and scores of the whole set)."
)


def all_tables(study: Study) -> tuple[Table, ...]:
    """Every table of the report, in order."""
    tables: list[Table] = []
    for condition in study.conditions():
        tables += [main_table(study, condition)]
        tables += [t for t in (further_table(study, condition),) if t is not None]
        tables += [
            t
            for t in (comparison_table(study, condition), further_comparison_table(study, condition))
            if t is not None
        ]
        tables += emotion_tables(study, condition)
        tables += family_tables(study, condition)
    return tuple(tables)


def main_table(study: Study, condition: str) -> Table:
    """All rows under the main protocols of one condition."""
    return _scores(study, condition, study.protocols(condition), "main", "Scores")


def further_table(study: Study, condition: str) -> Table | None:
    """All rows under the protocols that no main one stands for; None without any."""
    others = further_protocols(study, condition)
    return _scores(study, condition, others, "further", "Further scores") if others else None


def further_protocols(study: Study, condition: str) -> tuple[str, ...]:
    """Protocols of the families that have no main protocol, without the legacy ones."""
    told = {family_of(study, p) for p in study.protocols(condition)}
    return tuple(
        p
        for p in study.protocols(condition, main=False)
        if family_of(study, p) not in told and not study.manifest.protocols[p].legacy
    )


def _scores(study: Study, condition: str, protocols: Sequence[str], part: str, title: str) -> Table:
    cells = {
        (row, protocol): estimate(study, row, condition, protocol)
        for row in study.rows
        for protocol in protocols
    }
    shown = {
        p: ColumnFormat(study.manifest.protocols[p], [cells[r, p] for r in study.rows]) for p in protocols
    }
    best = {p: _best(study, [cells[r, p] for r in study.rows], p) for p in protocols}
    rows = tuple(
        _row(study, key, tuple(shown[p].cell(cells[key, p], bold=key in best[p]) for p in protocols))
        for key in study.rows
    )
    return Table(
        name=f"{part}-{condition}",
        title=f"{title}, {condition}",
        part=part,
        condition=condition,
        caption=_caption(study, condition, [c for c in cells.values() if c is not None]),
        columns=tuple(heading(study.manifest.protocols[p]) for p in protocols),
        rows=rows,
        data=tuple(
            _estimate_data(study, key, condition, p, cells[key, p]) for key in study.rows for p in protocols
        ),
    )


def heading(info: ProtocolInfo) -> str:
    """Label, direction and unit: "M-LD ↓ (px@256)"."""
    unit = "%" if info.unit == "share" else info.unit
    return f"{info.label} {ARROWS[info.direction]}" + (f" ({unit})" if unit else "")


def scale_of(info: ProtocolInfo) -> float:
    """What a stored value is multiplied with to be printed."""
    return 100.0 if info.unit == "share" else 1.0


def _row(study: Study, key: str, cells: tuple[Cell, ...]) -> Row:
    info = study.rows[key]
    reason = failure(study, key)
    return Row(key, info.label, info.kind, () if reason else cells, reason)


def failure(study: Study, key: str) -> str:
    """Why a row has no numbers, by seed; empty for a row that has.

    One failed seed is enough: the mean over the seeds that survived is another quantity.
    """
    cells = study.failed.get(key, ())
    return "; ".join(f"seed {cell.seed}: {cell.reason or 'no reason was recorded'}" for cell in cells)


def _best(study: Study, column: Sequence[Estimate | None], protocol: str) -> set[str]:
    """The trained row with the best mean, and any that equals it.

    None where only one row is trained, or where missing frames could turn the order.
    """
    trained = [
        e
        for e in column
        if e is not None
        and e.interval is not None
        and study.rows[e.row].kind in ("method", "ablation")
        and e.row not in study.failed
    ]
    if len(trained) < 2:
        return set()
    means = {e.row: e.interval.mean for e in trained if e.interval is not None}
    choose = min if study.manifest.protocols[protocol].direction == "lower" else max
    target = choose(means.values())
    best = [e for e in trained if means[e.row] == target]
    others = [e for e in trained if means[e.row] != target]
    return set() if any(undecided(a, b) for a in best for b in others) else {e.row for e in best}


class ColumnFormat:
    """How one column prints: the same number of decimals for all rows."""

    def __init__(self, info: ProtocolInfo, column: Iterable[Estimate | None]) -> None:
        self.scale = scale_of(info)
        halves = [
            e.interval.half for e in column if e is not None and e.interval is not None and e.interval.known
        ]
        self.decimals = decimals([h * self.scale for h in halves])

    def number(self, value: float, sign: str = "") -> str:
        text = f"{value * self.scale:{sign}.{self.decimals}f}"
        # A rounded zero has no sign.
        return text.replace("-", "−") if any(c in "123456789" for c in text) else text.lstrip("+-")

    def cell(self, found: Estimate | None, *, bold: bool = False) -> Cell:
        if found is None:
            return Cell("n/a", title="this protocol does not apply to this row")
        if found.interval is None:
            return Cell("–", marks=LEFT_OUT, title="every clip was left out by the protocol's rule")
        interval = found.interval
        spread, spoken = "", f"no interval: {interval.reason or 'the score came without'}"
        if interval.known:
            limits = f"[{self.number(interval.low)}, {self.number(interval.high)}]"
            spread = f"± {self.number(interval.half)}" if interval.symmetric else limits
            spoken = f"95 % interval {limits}"
        marks = (LOW_COVERAGE if found.doubtful else "") + (LEFT_OUT if found.left_out else "")
        seeds = f"{found.seeds} seed{'s' if found.seeds > 1 else ''}"
        counts = (f"{found.frames} frames of " if found.frames else "") + f"{found.clips} clips"
        counts += f", {found.sentences} sentences" if found.sentences else ""
        out = f"; {found.left_out} clips left out by rule" if found.left_out else ""
        title = f"{spoken}; {seeds}, {counts}; coverage {100 * found.coverage:.1f} %{out}"
        if found.bounds is not None:
            title += f"; {self.bounds(found)}"
        return Cell(self.number(interval.mean), spread, bold=bold, marks=marks, title=title)

    def bounds(self, found: Estimate) -> str:
        assert found.bounds is not None
        least, most = self.number(found.bounds.least), self.number(found.bounds.most)
        return f"missing frames allow {least} to {most}"


def decimals(halves: Sequence[float]) -> int:
    """Decimals that give the median non-zero half-width two significant digits; 0 to 4."""
    sizes = [h for h in halves if h > 0]
    if not sizes:
        return 2
    return int(np.clip(1 - math.floor(math.log10(float(np.median(sizes)))), 0, 4))


def _caption(study: Study, condition: str, cells: Sequence[Estimate]) -> str:
    manifest = study.manifest
    sentences, clips = study.sentences(condition), len(study.items(condition))
    parts = [
        f"Corpus {manifest.corpus}, condition {condition} ({manifest.conditions[condition]}): "
        f"{counted(clips, 'clip')} of {counted(sentences, 'held-out sentence')}, "
        f"{seeds_phrase(manifest.seeds)}."
    ]
    parts.append(INTERVALS)
    if len(manifest.seeds) == 1:
        parts.append("With one seed the interval does not know how much another seed would change.")
    if clips < FEWEST or 1 < sentences < FEWEST:
        parts.append(too_few(clips, sentences))
    elif sentences == 1:
        parts.append("There is one sentence: the interval is over its clips.")
    parts.append(selection_rule(study))
    if any(study.rows[c.row].kind in ("method", "ablation") for c in cells):
        parts.append("Bold: best mean of the trained rows; it is not a test.")
    if any(c.doubtful and c.interval is not None for c in cells):
        parts.append(f"{LOW_COVERAGE} under 98 % of the frames could be measured.")
        parts += _bounds_phrases(study, cells)
    if any(c.left_out for c in cells):
        parts.append(f"{LEFT_OUT} clips left out by the protocol's rule (identical frames have no PSNR).")
    parts += _judge_phrases(study, condition)
    parts += floor_phrases(study, condition, list(dict.fromkeys(c.protocol for c in cells)))
    return " ".join(parts)


def too_few(clips: int, sentences: int) -> str:
    """Say why there are no intervals."""
    number = counted(clips, "clip") if clips < FEWEST else counted(sentences, "sentence")
    return f"There is no interval: {number} cannot say how others would score; it takes {FEWEST} or more."


def floor_phrases(study: Study, condition: str, protocols: Sequence[str]) -> list[str]:
    """What real clips score against other real clips, for the table's protocols of whole sets."""
    told = []
    for protocol in protocols:
        floor = study.manifest.floors.get(protocol, {}).get(condition)
        if floor is None:
            continue
        info = study.manifest.protocols[protocol]
        shown = ColumnFormat(info, [])
        shown.decimals = decimals([(floor.high - floor.low) / 2])
        fewer = floor.count < floor.wanted_count or floor.clips < floor.wanted_clips
        told.append(
            f"{info.label} {shown.number(floor.value)} [{shown.number(floor.low)}, "
            f"{shown.number(floor.high)}] with {floor.count} frames of {counted(floor.clips, 'clip')} a side"
            + (f" (scored: {floor.wanted_count} of {floor.wanted_clips})" if fewer else "")
        )
    return [f"Real clips against other real clips: {'; '.join(told)}."] if told else []


def _bounds_phrases(study: Study, cells: Sequence[Estimate]) -> list[str]:
    """What the marked cells could have been, where that is known."""
    told = []
    for cell in cells:
        if cell.doubtful and cell.bounds is not None:
            info = study.manifest.protocols[cell.protocol]
            shown = ColumnFormat(info, [cell])
            label = study.rows[cell.row].label
            told.append(f"{info.label} of {label} {100 * cell.coverage:.1f} %, {shown.bounds(cell)}")
    return [f"Coverage: {'; '.join(told)}."] if told else []


def counted(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"


def seeds_phrase(seeds: Sequence[int]) -> str:
    return f"{counted(len(seeds), 'seed')} ({', '.join(map(str, seeds))})"


def selection_rule(study: Study) -> str:
    """The rule that chose checkpoints, from the provenance where it says so."""
    rule = study.manifest.provenance.get("selection")
    return str(rule) if rule else "Weights were selected on validation sentences, never on test clips."


def _judge_phrases(study: Study, condition: str) -> list[str]:
    phrases = []
    for name, judge in study.manifest.judges.items():
        ceiling = judge.get("ceilings", {}).get(condition, judge.get("ceiling"))
        told = [
            f"{where} {100 * share:.1f} %"
            for where, share in (("on the true clips", ceiling), ("chance", judge.get("chance")))
            if isinstance(share, float)
        ]
        if told:
            phrases.append(f"{JUDGES.get(name, name)}: " + ", ".join(told) + ".")
    return phrases


def comparison_table(study: Study, condition: str) -> Table | None:
    """The full model against every floor, ablation and other method; None without anything to compare."""
    return _comparisons(study, condition, study.protocols(condition), "comparisons", "")


def further_comparison_table(study: Study, condition: str) -> Table | None:
    """The same under the further protocols."""
    others = further_protocols(study, condition)
    return _comparisons(study, condition, others, "further-comparisons", ", further scores")


def _comparisons(
    study: Study, condition: str, protocols: tuple[str, ...], part: str, of: str
) -> Table | None:
    found = compare_all(study, condition, protocols)
    if not found:
        return None
    protocols = tuple(p for p in protocols if any(c.protocol == p for c in found))
    shown = {
        p: _Signed(study.manifest.protocols[p], [c for c in found if c.protocol == p]) for p in protocols
    }
    by_place = {(c.other, c.protocol): c for c in found}
    others = [row for row in study.rows if any(c.other == row for c in found)]
    rows = tuple(
        Row(
            o,
            study.rows[o].label,
            study.rows[o].kind,
            tuple(shown[p].cell(by_place.get((o, p))) for p in protocols),
        )
        for o in others
    )
    full = study.rows[found[0].full].label
    smallest = min((c.p_smallest for c in found if math.isfinite(c.p_smallest)), default=math.nan)
    return Table(
        name=f"{part}-{condition}",
        title=f"{full} against each other row, {condition}{of}",
        part=part,
        condition=condition,
        caption=(
            f"By how much {full} is better (positive) or worse (negative) on the same clips and seeds, with "
            f"the 95 % interval of the paired difference, {seeds_phrase(study.manifest.seeds)}. Claim: "
            f"{full} is better. Supported or contradicted: Holm-adjusted p of at most 0.05 within the "
            "floors, the ablations or the other methods of a column (whole-set: the interval excludes 0). "
            "Undecided: frames without a face could turn the order."
            + (
                f" The exact sign-flip test over sentences can reach p = {smallest:.2g} at best."
                if math.isfinite(smallest)
                else ""
            )
        ),
        columns=tuple(heading(study.manifest.protocols[p]) for p in protocols),
        rows=rows,
        data=tuple(_comparison_data(study, c) for c in found),
    )


class _Signed(ColumnFormat):
    """Differences: signed, with limits, p values and a verdict."""

    def __init__(self, info: ProtocolInfo, column: Sequence[Comparison]) -> None:
        self.scale = scale_of(info)
        self.decimals = decimals([c.advantage.half * self.scale for c in column if c.advantage.known])

    def cell(self, found: Comparison | Estimate | None, *, bold: bool = False) -> Cell:
        if not isinstance(found, Comparison):
            return Cell("n/a", title="one of the two rows has no such score")
        a = found.advantage
        spread = f"[{self.number(a.low, '+')}, {self.number(a.high, '+')}]" if a.known else ""
        told = (
            [f"{100 * found.relative:+.1f} % of the other row's mean"]
            if math.isfinite(found.relative)
            else []
        )
        if a.reason:
            told.append(f"no interval: {a.reason}")
        if math.isfinite(found.p):
            told.append(f"p {found.p:.2g}, with Holm {found.p_holm:.2g}")
            told.append(f"exact over sentences {found.p_exact:.2g} (at best {found.p_smallest:.2g})")
        title = "; ".join(told)
        return Cell(
            self.number(a.mean, "+"), spread, found.verdict, found.verdict == "supported", title=title
        )


def family_tables(study: Study, condition: str) -> list[Table]:
    """Whether other definitions of a score rank the rows alike, then all definitions, family by family."""
    tables = [_definitions_table(study, condition)] if families(study, condition) else []
    for family, protocols in families(study, condition).items():
        plain = unicodedata.normalize("NFKD", family.lower()).encode("ascii", "ignore").decode()
        slug = "".join(c if c.isalnum() else "-" for c in plain)
        table = _scores(study, condition, protocols, "family", f"{family} in every definition")
        caption = " ".join(
            [
                f"The main protocol first. {INTERVALS} A script with a known defect carries its name.",
                *floor_phrases(study, condition, protocols),
            ]
        )
        tables.append(replace(table, name=f"family-{slug}-{condition}", caption=caption))
    return tables


def _definitions_table(study: Study, condition: str) -> Table:
    found = [r for family in families(study, condition) for r in rankings(study, condition, family)]
    protocols, rows = study.manifest.protocols, study.rows
    lines = []
    for r in found:
        turned = "; ".join(f"{rows[b].label} above {rows[a].label}" for a, b in r.reversed)
        tau = f"{r.tau:.2f}".replace("-", "−") if math.isfinite(r.tau) else "–"
        counts = (r.decided, r.kept, r.lost, len(r.reversed))
        cells = (Cell(r.family), *(Cell(str(n)) for n in counts), Cell(tau), Cell(turned or "–"))
        lines.append(Row(r.protocol, protocols[r.protocol].label, "definition", cells))
    return Table(
        name=f"definitions-{condition}",
        part="definitions",
        condition=condition,
        title=f"Does the ranking survive another definition? {condition}",
        caption=(
            "Pairs of rows (methods, ablations, floors) that the main protocol of a family decides: the 95 % "
            "interval of the paired difference excludes 0. Another definition keeps such a pair, loses it "
            "(does not decide it), or reverses it (decides the opposite). τ: Kendall's, of the rows' means."
        ),
        columns=("family", "decided", "kept", "lost", "reversed", "τ", "what it reverses"),
        rows=tuple(lines),
        data=tuple(
            {
                "condition": condition,
                "family": r.family,
                "main": r.main,
                "protocol": r.protocol,
                "tau": r.tau,
                "decided": r.decided,
                "kept": r.kept,
                "lost": r.lost,
                "reversed": "; ".join(f"{b} above {a}" for a, b in r.reversed),
            }
            for r in found
        ),
    )


def emotion_tables(study: Study, condition: str) -> list[Table]:
    """Per emotion: the mouth's distance and the judge's accuracy. Empty for a corpus without emotions."""
    wanted = [p for p in BREAKDOWN if p in study.protocols(condition)]
    emotions = emotions_of(study, condition)
    if len(emotions) < 2:
        return []
    return [_emotion_table(study, condition, protocol, emotions) for protocol in wanted]


def emotions_of(study: Study, condition: str) -> tuple[str, ...]:
    found = {str(study.manifest.clips[item].get("emotion") or "") for item in study.items(condition)}
    return tuple(sorted(found - {""}))


def _emotion_table(study: Study, condition: str, protocol: str, emotions: Sequence[str]) -> Table:
    info = study.manifest.protocols[protocol]
    cells = {key: estimates_by_emotion(study, key, condition, protocol, emotions) for key in study.rows}
    shown = ColumnFormat(info, [c for column in cells.values() for c in column])
    return Table(
        name=f"emotions-{condition}-{protocol.replace('/', '-')}",
        part="emotions",
        condition=condition,
        title=f"{info.label} per emotion, {condition}",
        caption=f"{heading(info)} of the clips of each wanted emotion, {seeds_phrase(study.manifest.seeds)}; "
        "mean and 95 % interval as in the main table. Few clips per cell: read the intervals.",
        columns=tuple(emotions),
        rows=tuple(_row(study, key, tuple(shown.cell(c) for c in cells[key])) for key in study.rows),
        data=tuple(
            {**_estimate_data(study, key, condition, protocol, c), "emotion": emotion}
            for key in study.rows
            for emotion, c in zip(emotions, cells[key], strict=True)
        ),
    )


def estimates_by_emotion(
    study: Study, row: str, condition: str, protocol: str, emotions: Sequence[str]
) -> list[Estimate | None]:
    part = study.select(row=row, condition=condition, protocol=protocol)
    binary, limits = is_binary(study, protocol), limits_of(study, protocol)
    return [
        estimate_of(own, row, condition, protocol, binary=binary, limits=limits)
        if not (own := part.loc[part["emotion"] == emotion]).empty
        else None
        for emotion in emotions
    ]


def _estimate_data(
    study: Study, key: str, condition: str, protocol: str, found: Estimate | None
) -> dict[str, object]:
    info, reason = study.manifest.protocols[protocol], failure(study, key)
    shown = None if reason or found is None else found
    interval = shown.interval if shown else None
    status = "FAILED" if reason else "n/a" if shown is None else "left out" if interval is None else "done"
    return {
        **_identity(study.rows[key], key, condition, protocol, info),
        "status": status,
        "reason": reason,
        "mean": interval.mean if interval else None,
        "low": interval.low if interval else None,
        "high": interval.high if interval else None,
        "seeds": shown.seeds if shown else None,
        "clips": shown.clips if shown else None,
        "sentences": shown.sentences if shown else None,
        "left_out": shown.left_out if shown else None,
        "coverage": shown.coverage if shown else None,
        "least": shown.bounds.least if shown and shown.bounds else None,
        "most": shown.bounds.most if shown and shown.bounds else None,
    }


def _comparison_data(study: Study, made: Comparison) -> dict[str, object]:
    info = study.manifest.protocols[made.protocol]
    return {
        **_identity(study.rows[made.other], made.other, made.condition, made.protocol, info),
        "full": made.full,
        "advantage": made.advantage.mean,
        "low": made.advantage.low,
        "high": made.advantage.high,
        "relative": made.relative,
        "p": made.p,
        "p_holm": made.p_holm,
        "p_exact": made.p_exact,
        "p_smallest": made.p_smallest,
        "verdict": made.verdict,
    }


def _identity(row: RowInfo, key: str, condition: str, protocol: str, info: ProtocolInfo) -> dict[str, object]:
    return {
        "condition": condition,
        "row": key,
        "label": row.label,
        "kind": row.kind,
        "protocol": protocol,
        "unit": info.unit,
        "direction": info.direction,
    }


def readme_block(study: Study) -> str:
    """The results table of the README: the main tables, and where they come from."""
    manifest = study.manifest
    lines = [
        f"Generated by `python -m reports.paper suite={manifest.suite} readme=README.md`; not typed.",
    ]
    for condition in study.conditions():
        table = main_table(study, condition)
        lines += [
            "",
            f"**{markdown_text(table.title)}**",
            "",
            *markdown_lines(table),
            "",
            markdown_text(table.caption),
        ]
    return "\n".join(lines) + "\n"


def headline(study: Study, condition: str) -> str:
    """One sentence of numbers: the full model's mouth distance and emotion accuracy, and the best floor's."""
    full = primary(study)
    if full is None:
        return ""
    if full in study.failed:
        return f"{study.rows[full].label} FAILED: {failure(study, full)}."
    told = []
    for protocol in BREAKDOWN:
        if protocol not in study.protocols(condition):
            continue
        info = study.manifest.protocols[protocol]
        own = estimate(study, full, condition, protocol)
        if own is None or own.interval is None:
            continue
        column = [estimate(study, row, condition, protocol) for row in study.rows]
        shown = ColumnFormat(info, column)
        cell = shown.cell(own)
        unit = "%" if info.unit == "share" else info.unit
        best = best_floor(study, condition, protocol)
        beside = f" (best floor: {study.rows[best[0]].label}, {shown.number(best[1])})" if best else ""
        told.append(join(info.label, cell.value, cell.spread, unit) + beside)
    if not told:
        return ""
    return f"Under {condition}, {study.rows[full].label} reaches " + ", and ".join(told) + "."


def best_floor(study: Study, condition: str, protocol: str) -> tuple[str, float] | None:
    """The floor with the best mean, and that mean."""
    means = {
        row: cell.interval.mean
        for row, info in study.rows.items()
        if info.kind == "floor"
        and row not in study.failed
        and (cell := estimate(study, row, condition, protocol)) is not None
        and cell.interval is not None
    }
    if not means:
        return None
    choose = min if study.manifest.protocols[protocol].direction == "lower" else max
    return (best := choose(means, key=lambda row: means[row])), means[best]


def seed_table(study: Study) -> str:
    """CSV of every row's mean per seed: what the intervals are made of."""
    columns = ["condition", "row", "protocol", "seed"]
    part = study.scores.sort_values([*columns, "clip"])
    grouped = part.groupby(columns, sort=True).agg(
        mean=("value", "mean"), clips=("value", "count"), coverage=("coverage", "mean")
    )
    lines = [
        {**dict(zip(columns, place, strict=True)), "mean": float(m), "clips": int(n), "coverage": float(c)}
        for place, m, n, c in zip(
            grouped.index, grouped["mean"], grouped["clips"], grouped["coverage"], strict=True
        )
    ]
    return to_csv(Table("seeds", "", "", (), (), tuple(lines)))
