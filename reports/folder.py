"""The report of a folder that was scored by `benchmark.score`: a page and the same tables as Markdown.

Built from `records.jsonl` and `manifest.json` alone. Clips are the units of every interval.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from benchmark.records import ProtocolInfo, write_text
from reports import stats
from reports.formats import Cell, Row, Table, markdown_lines, markdown_text
from reports.load import Study, load_study
from reports.page import TEMPLATES
from reports.tables import (
    LEFT_OUT,
    LOW_COVERAGE,
    ColumnFormat,
    counted,
    floor_phrases,
    heading,
    scale_of,
    too_few,
)

PAGE, TEXT = "report.html", "report.md"
WORST = 5
"""Worst clips that are named per main protocol."""
COLUMNS = ("score", "95 % interval", "coverage", "missing faces allow", "clips")
CAPTION = (
    "The mean over clips, with the 95 % interval of what other clips would give (Student's t over clips; for "
    "scores of the whole set from resampling clips). It takes clips as independent: if several share a "
    "speaker or a sentence, it is too narrow, and file names do not tell. Coverage is the share of frames "
    "(or pairs of frames) that could be measured; beside it stands what the others could have made of the "
    "mean."
)


@dataclass(frozen=True)
class Dot:
    """One clip on a protocol's line: where it lies from 0 to 1, and what to say of it."""

    place: float
    clip: str
    value: str


@dataclass(frozen=True)
class Spread:
    """How the clips of one protocol are spread, and the worst of them."""

    title: str
    low: str
    high: str
    dots: tuple[Dot, ...]
    worst: tuple[Dot, ...]


def build_folder_report(directory: Path) -> Path:
    """Write report.html and report.md into a folder with records and a manifest, and return the page.

    Raises:
        RecordsError: the records cannot be used; the message says why.
        OSError: the folder cannot be written.
    """
    study = load_study(directory)
    tables, spreads = family_tables(study), clip_spreads(study)
    write_text(directory / TEXT, _markdown(study, tables, spreads))
    write_text(directory / PAGE, _page(study, tables, spreads))
    return directory / PAGE


def family_tables(study: Study) -> tuple[Table, ...]:
    """One table per family of protocols: a row for each definition, the main one first in bold."""
    families: dict[str, list[Row]] = {}
    for protocol in _scored(study):
        info = study.manifest.protocols[protocol]
        found = families.setdefault(info.family or info.label, [])
        row = Row(protocol, _label(info), "main" if info.main else "other", _cells(study, protocol))
        found.insert(0 if info.main else len(found), row)
    return tuple(
        Table(name=f"family-{number}", title=family, caption="", columns=COLUMNS, rows=tuple(rows))
        for number, (family, rows) in enumerate(families.items())
    )


def _scored(study: Study) -> tuple[str, ...]:
    (condition,) = study.conditions()
    return study.protocols(condition, main=False)


def _label(info: ProtocolInfo) -> str:
    return heading(info) + (" (legacy)" if info.legacy else "")


def _cells(study: Study, protocol: str) -> tuple[Cell, ...]:
    (row,), (condition,) = study.rows, study.conditions()
    info = study.manifest.protocols[protocol]
    found = stats.estimate(study, row, condition, protocol)
    assert found is not None
    shown = ColumnFormat(info, [found])
    interval = found.interval
    limits = "none" if interval is not None and not interval.known else "–"
    reason = interval.reason if interval is not None else ""
    bounds = "–"
    if interval is not None and interval.known:
        limits = f"[{shown.number(interval.low)}, {shown.number(interval.high)}]"
    if found.bounds is not None:
        bounds = f"{shown.number(found.bounds.least)} to {shown.number(found.bounds.most)}"
    marks = LOW_COVERAGE if found.doubtful else ""
    left_out = f"{LEFT_OUT} {found.left_out} left out" if found.left_out else ""
    whole = stats.is_whole_set(study.select(row=row, condition=condition, protocol=protocol))
    count = (
        f"{counted(found.frames, 'frame')} of {counted(found.clips, 'clip')}" if whole else str(found.clips)
    )
    return (
        Cell("–" if interval is None else shown.number(interval.mean), bold=info.main),
        Cell(limits, remark=f"({reason})" if reason else ""),
        Cell(f"{100 * found.coverage:.1f} %", marks=marks),
        Cell(bounds),
        Cell(count, remark=left_out),
    )


def clip_spreads(study: Study) -> tuple[Spread, ...]:
    """How clips are spread under every main protocol that scores clips."""
    (row,), (condition,) = study.rows, study.conditions()
    spreads = []
    for protocol in study.protocols(condition):
        part = study.select(row=row, condition=condition, protocol=protocol)
        values = dict(zip(part["clip"].astype(str), stats.numbers(part, "value"), strict=True))
        known = {clip: value for clip, value in values.items() if math.isfinite(value)}
        if known and not stats.is_whole_set(part):
            spreads.append(_spread(study.manifest.protocols[protocol], known))
    return tuple(spreads)


def _spread(info: ProtocolInfo, values: Mapping[str, float]) -> Spread:
    scale = scale_of(info)
    low, high = min(values.values()), max(values.values())
    sizes = [abs(value) * scale for value in values.values() if value]
    digits = int(np.clip(2 - math.floor(math.log10(max(sizes))), 0, 4)) if sizes else 2
    dots = [
        Dot((v - low) / (high - low) if high > low else 0.5, clip, f"{v * scale:.{digits}f}")
        for clip, v in sorted(values.items())
    ]
    sign = -1 if info.direction == "lower" else 1
    order = sorted(dots, key=lambda dot: (sign * values[dot.clip], dot.clip))
    limits = (f"{limit * scale:.{digits}f}" for limit in (low, high))
    return Spread(heading(info), *limits, dots=tuple(dots), worst=tuple(order[:WORST]))


def _page(study: Study, tables: tuple[Table, ...], spreads: tuple[Spread, ...]) -> str:
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    return environment.get_template("folder.html.j2").render(
        manifest=study.manifest,
        title=_title(study),
        lead=_lead(study),
        style=Markup((TEMPLATES / "page.css").read_text(encoding="utf-8")),
        tables=tables,
        columns=COLUMNS,
        caption=_caption(study),
        spreads=spreads,
        protocols=study.manifest.protocols,
        heading=heading,
        provenance=_flat(study.manifest.provenance),
    )


def _title(study: Study) -> str:
    (row,) = study.rows
    reference = study.manifest.provenance.get("reference name", study.manifest.corpus)
    return f"{study.rows[row].label} against {reference}"


def _lead(study: Study) -> str:
    """The main scores in one sentence."""
    (row,), (condition,) = study.rows, study.conditions()
    told = []
    for protocol in study.protocols(condition):
        info = study.manifest.protocols[protocol]
        found = stats.estimate(study, row, condition, protocol)
        if found is not None and found.interval is not None:
            unit = {"share": " %", "": ""}.get(info.unit, f" {info.unit}")
            told.append(f"{info.label} {ColumnFormat(info, [found]).number(found.interval.mean)}{unit}")
    return "; ".join(told) + "." if told else "No main protocol has a score."


def _caption(study: Study) -> str:
    parts = [CAPTION, "Bold: the main definition of its family; legacy ones repeat a published script's."]
    if len(study.manifest.clips) < stats.FEWEST:
        parts.append(too_few(len(study.manifest.clips), 0))
    parts.append(f"{LOW_COVERAGE} under 98 % could be measured. {LEFT_OUT} left out by the protocol's rule.")
    (condition,) = study.conditions()
    parts += floor_phrases(study, condition, _scored(study))
    return " ".join(parts)


def _markdown(study: Study, tables: tuple[Table, ...], spreads: tuple[Spread, ...]) -> str:
    manifest = study.manifest
    lines = [f"# {markdown_text(_title(study))}", "", markdown_text(manifest.corpus_description), ""]
    lines += [markdown_text(_lead(study)), ""]
    lines += [f"- {markdown_text(note)}" for note in manifest.notes] + [""]
    lines += ["## Scores", ""]
    for table in tables:
        lines += [f"### {markdown_text(table.title)}", "", *markdown_lines(table), ""]
    lines += [markdown_text(_caption(study)), ""]
    lines += ["## Worst clips", ""]
    for spread in spreads:
        worst = ", ".join(f"{markdown_text(dot.clip)} {dot.value}" for dot in spread.worst)
        lines.append(f"- {markdown_text(spread.title)}: {worst}")
    lines += ["", "## What the protocols are", ""]
    for protocol, info in manifest.protocols.items():
        text = f"{info.description} Source: {info.source}."
        lines.append(f"- {markdown_text(heading(info))} (`{protocol}`): {markdown_text(text)}")
    lines += ["", "## How it was scored", ""]
    lines += [f"- {markdown_text(f'{name}: {text}')}" for name, text in _flat(manifest.provenance)]
    return "\n".join([*lines, ""])


def _flat(values: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Nested facts as names and texts."""
    found = []
    for name, value in values.items():
        if isinstance(value, Mapping):
            found += [(f"{name}: {inner}", text) for inner, text in _flat(value)]
        elif isinstance(value, list):
            found.append((name, ", ".join(map(str, value)) or "none"))
        else:
            found.append((name, "none" if value is None else str(value)))
    return found
