"""The HTML page: one file that opens from a disk or a mail, without network.

Styles, script and figures are inside. So are the videos, up to `EMBED_BYTES`: the worst clips first, then
the others in order, one seed per row; what does not fit is read from the run's media folder beside the page.
The template escapes everything; names come from outside.
"""

from __future__ import annotations

import base64
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from markupsafe import Markup

from benchmark.records import RecordsError
from reports import disentanglement, judges, stats
from reports.families import verdict
from reports.figures import Drawing, scoped
from reports.load import Study, row_key
from reports.observability import observations_of, page_parts
from reports.tables import Table, counted, failure, heading, headline, scale_of, seeds_phrase
from reports.templating import TEMPLATES, environment

EMBED_BYTES = 40_000_000
"""Videos inside the page, before base64 adds a third."""
WORST = 5
"""Worst clips shown per row and condition."""
WORST_BY = "ld/mouth"
PARTS = ("main", "further", "comparisons", "further-comparisons", "definitions", "family", "emotions")


@dataclass(frozen=True)
class WorstClip:
    item: str
    value: str
    emotion: str
    text: str


def render_page(study: Study, tables: tuple[Table, ...], drawings: tuple[Drawing, ...]) -> str:
    """The page as text. Relative links assume that it lies in `<run directory>/report/`."""
    worst = {condition: worst_clips(study, condition) for condition in study.conditions()}
    players, embedded, missing = _players(study, worst)
    template = environment().get_template("index.html.j2")
    return template.render(
        study=study,
        manifest=study.manifest,
        style=Markup((TEMPLATES / "page.css").read_text(encoding="utf-8")),
        script=Markup((TEMPLATES / "page.js").read_text(encoding="utf-8")),
        summary=_summary(study),
        sections=[_section(study, c, tables, drawings) for c in study.conditions()],
        worst=worst,
        players=players,
        embedded=embedded,
        missing=missing,
        failures={row: failure(study, row) for row in study.failed},
        cells=[(row_key(c.method, c.ablation), c) for c in study.manifest.cells],
        run_anchor={row: f"run-{place}" for place, row in enumerate(study.rows)}
        | dict.fromkeys(disentanglement.EXTRA_ROWS, disentanglement.ANCHOR),
        judges=[t for t in tables if t.name.startswith("judges-")],
        judges_explained=judges.EXPLANATION,
        probes=[t for t in tables if t.name.startswith("probes-")],
        probes_explained=disentanglement.EXPLANATION,
        player_anchor={player["id"]: place for place, player in enumerate(players)},
        heading=heading,
        intervals=(stats.__doc__ or "").strip().split("\n\n")[1:],
        provenance=list(_flat(study.manifest.provenance)),
        counted=counted,
        seeds=seeds_phrase(study.manifest.seeds),
        observed=page_parts(found) if (found := observations_of(study.directory)) is not None else None,
        worst_by=study.manifest.protocols.get(WORST_BY),
    )


def _section(
    study: Study, condition: str, tables: tuple[Table, ...], drawings: tuple[Drawing, ...]
) -> dict[str, Any]:
    """Tables and figures of a condition; a table's figure stands below it."""
    # Safe as markup: our own drawings, in which every text is an outline.
    names = {"main": "scores", "comparisons": "comparisons", "emotions": "emotions", "confusion": "confusion"}
    of = {d.name: {"drawing": d, "svg": Markup(scoped(d.svg, d.name))} for d in drawings}
    return {
        "condition": condition,
        "asks": study.manifest.conditions[condition],
        "survives": verdict(study, condition),
        "tables": {
            part: [t for t in tables if t.condition == condition and t.part == part] for part in PARTS
        },
        "figures": {name: of.get(f"{figure}-{condition}") for name, figure in names.items()},
    }


def _summary(study: Study) -> str:
    """One paragraph, from the numbers alone."""
    manifest = study.manifest
    sentences = [headline(study, condition) for condition in study.conditions()]
    for kind, many in (("floor", "floors"), ("ablation", "ablations")):
        for condition in study.conditions():
            found = [c for c in stats.compare_all(study, condition) if c.kind == kind]
            if found:
                yes = sum(c.verdict == "supported" for c in found)
                no = sum(c.verdict == "contradicted" for c in found)
                full = study.rows[found[0].full].label
                lost = sum(c.verdict == "undecided" for c in found)
                rest = f"inconclusive in {len(found) - yes - no - lost}"
                if lost:
                    rest += f", and undecided in {lost}, where frames lack a face"
                sentences.append(
                    f"That {full} is better is supported in {yes} of {len(found)} comparisons with {many} "
                    f"under {condition}, contradicted in {no}, {rest}."
                )
    sentences += [verdict(study, condition) for condition in study.conditions()]
    if study.failed:
        count = sum(len(cells) for cells in study.failed.values())
        sentences.append(f"{count} of {len(manifest.cells)} cells FAILED; they are listed below.")
    return " ".join(s for s in sentences if s)


def worst_clips(study: Study, condition: str) -> dict[str, list[WorstClip]]:
    """The clips with the largest mouth distance of every trained row, seeds averaged."""
    if WORST_BY not in study.protocols(condition, main=False):
        return {}
    scale = scale_of(study.manifest.protocols[WORST_BY])
    found = {}
    for row, info in study.rows.items():
        if info.kind not in ("method", "ablation") or row in study.failed:
            continue
        part = study.select(row=row, condition=condition, protocol=WORST_BY)
        values, clips = part["value"].to_numpy(dtype=float), part["clip"].to_numpy(dtype=str)
        means = {str(clip): float(values[clips == clip].mean()) for clip in np.unique(clips)}
        known = {clip: mean for clip, mean in means.items() if np.isfinite(mean)}
        order = sorted(known, key=lambda clip: (-known[clip], clip))[:WORST]
        found[row] = [_worst(study, clip, known[clip] * scale) for clip in order]
    return found


def _worst(study: Study, item: str, value: float) -> WorstClip:
    info = study.manifest.clips[item]
    return WorstClip(item, f"{value:.2f}", str(info.get("emotion") or ""), str(info.get("text") or ""))


def _players(
    study: Study, worst: dict[str, dict[str, list[WorstClip]]]
) -> tuple[list[dict[str, Any]], int, int]:
    """Items with videos in the manifest's order, how many videos are embedded and how many are missing."""
    media = study.manifest.media
    first = [clip.item for rows in worst.values() for clips in rows.values() for clip in clips]
    order = [item for item in dict.fromkeys([*first, *media]) if item in media]
    tracks: dict[str, list[dict[str, str]]] = {}
    left, embedded, missing = EMBED_BYTES, 0, 0
    for item in order:
        tracks[item] = []
        for row, label, path in _tracks(study, item):
            file = media_file(study.directory, path)
            if not file.is_file():
                missing += 1
                continue
            source = f"../{path}"
            if (size := file.stat().st_size) <= left:
                left -= size
                embedded += 1
                source = "data:video/mp4;base64," + base64.b64encode(file.read_bytes()).decode("ascii")
            tracks[item].append({"row": row, "label": label, "source": source})
    players = [
        {
            "id": item,
            "condition": str(study.manifest.clips.get(item, {}).get("condition") or ""),
            "facts": _facts(study, item),
            "tracks": tracks[item],
        }
        for item in media
        if tracks[item]
    ]
    return players, embedded, missing


def _tracks(study: Study, item: str) -> Iterator[tuple[str, str, str]]:
    """(row, label, path) of the truth and of every row's first seed, in the table's order."""
    paths = study.manifest.media[item]
    if "truth" in paths:
        yield "truth", "Ground truth", paths["truth"]
    for row, info in study.rows.items():
        if info.kind == "ceiling":
            continue
        for seed in study.seeds_of(row):
            key = f"{row if '/' in row else f'{row}/full'}/{seed}"
            if key in paths:
                label = info.label if info.kind == "floor" else f"{info.label} (seed {seed})"
                yield row, label, paths[key]
                break


def media_file(directory: Path, path: str) -> Path:
    try:
        file = (directory / path).resolve()
    except (OSError, ValueError) as error:
        raise RecordsError(f"the manifest names the video {path[:100]!r}: {error}") from error
    if not file.is_relative_to(directory.resolve()):
        raise RecordsError(f"the manifest names the video {path!r}, which lies outside the run directory")
    return file


def _facts(study: Study, item: str) -> str:
    info = study.manifest.clips.get(item, {})
    felt = ("emotion", "intensity") if info.get("emotion") else ()
    named = [f"{key}: {info[key]}" for key in (*felt, "speaker", "target") if info.get(key)]
    said = [f"“{info['text']}”"] if info.get("text") else []
    return " · ".join([*said, *named])


def _flat(value: Any, name: str = "") -> Iterator[tuple[str, str]]:
    """Nested provenance as lines of name and text."""
    if isinstance(value, dict):
        for key in value:
            yield from _flat(value[key], f"{name}.{key}" if name else str(key))
    elif isinstance(value, list) and not any(isinstance(v, dict | list) for v in value):
        yield name, ", ".join(map(str, value))
    elif isinstance(value, list):
        for place, part in enumerate(value):
            yield from _flat(part, f"{name}[{place}]")
    else:
        yield name, str(value)
