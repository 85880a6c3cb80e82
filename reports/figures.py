"""Figures: dot plots with intervals, paired differences, emotions, confusions.

One style, safe for colour-blind readers (Okabe and Ito's palette, shape beside colour). PDF and PNG carry no
dates and are the same bytes on every rebuild. The page gets SVG in which ink is `currentColor`, so that one
drawing serves light and dark.
"""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import matplotlib as mpl
import numpy as np
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from reports.load import Study
from reports.stats import Comparison, Estimate, Interval, compare_all, estimate, primary
from reports.tables import BREAKDOWN, best_floor, emotions_of, estimates_by_emotion, heading, scale_of

INK = "#1c2024"
COLOURS = {"method": "#0072B2", "ablation": "#D55E00", "floor": "#7a7f85", "ceiling": "#009E73"}
MARKERS = {"method": "o", "ablation": "s", "floor": "D", "ceiling": "^"}
VERDICT_COLOURS = {
    "supported": "#0072B2",
    "inconclusive": "#7a7f85",
    "undecided": "#7a7f85",
    "contradicted": "#D55E00",
}
STYLE = {
    "font.family": "DejaVu Sans",
    "font.size": 8.5,
    "axes.titlesize": 9,
    "axes.labelsize": 8.5,
    "axes.edgecolor": INK,
    "axes.labelcolor": INK,
    "axes.grid": True,
    "axes.grid.axis": "x",
    "axes.axisbelow": True,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.spines.left": False,
    "grid.color": "#8a9099",
    "grid.alpha": 0.35,
    "grid.linewidth": 0.6,
    "text.color": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "ytick.left": False,
    "text.parse_math": False,
    "pdf.fonttype": 42,
    "svg.fonttype": "path",
    "svg.hashsalt": "evp-bench",
    "figure.dpi": 100,
    "savefig.dpi": 160,
}


@dataclass(frozen=True)
class Drawing:
    """A figure in its three formats."""

    name: str
    title: str
    caption: str
    pdf: bytes
    png: bytes
    svg: str


def all_figures(study: Study) -> tuple[Drawing, ...]:
    """Every figure of the report, in order."""
    drawings: list[Drawing] = []
    for condition in study.conditions():
        makers = (scores_figure, comparisons_figure, emotions_figure, confusion_figure)
        drawings += [made for maker in makers if (made := maker(study, condition)) is not None]
    return tuple(drawings)


def scores_figure(study: Study, condition: str) -> Drawing | None:
    """Mean and interval of every row, one panel per protocol."""
    protocols = study.protocols(condition)
    rows = [row for row in study.rows if row not in study.failed]
    if not protocols or not rows:
        return None

    def panel(axes: Axes, protocol: str) -> None:
        info = study.manifest.protocols[protocol]
        found = [estimate(study, row, condition, protocol) for row in rows]
        for place, (row, cell) in enumerate(zip(rows, found, strict=True)):
            if cell is not None and cell.interval is not None:
                _dot(axes, cell.interval, place, scale_of(info), study.rows[row].kind)
        axes.set_title(heading(info), loc="left")
        _rows_axis(axes, [study.rows[row].label for row in rows])

    return _panels(
        f"scores-{condition}",
        f"Scores, {condition}",
        "Mean and 95 % interval over seeds and sentences. Blue circles: methods; orange squares: ablations; "
        "grey diamonds: floors; green triangles: ceilings.",
        protocols,
        len(rows),
        panel,
    )


def comparisons_figure(study: Study, condition: str) -> Drawing | None:
    """Paired differences of the full model to every other row, one panel per protocol."""
    found = compare_all(study, condition)
    if not found:
        return None
    full = study.rows[found[0].full].label
    others = [row for row in study.rows if any(c.other == row for c in found)]
    protocols = [p for p in study.protocols(condition) if any(c.protocol == p for c in found)]

    def panel(axes: Axes, protocol: str) -> None:
        info = study.manifest.protocols[protocol]
        axes.axvline(0, color=INK, linewidth=0.8)
        for made in found:
            if made.protocol == protocol:
                _difference(axes, made, others.index(made.other), scale_of(info))
        unit = "%" if info.unit == "share" else info.unit
        axes.set_title(f"{info.label}" + (f" ({unit})" if unit else ""), loc="left")
        _rows_axis(axes, [study.rows[row].label for row in others])

    return _panels(
        f"comparisons-{condition}",
        f"{full} against each other row, {condition}",
        f"Paired differences with 95 % intervals, turned so that right of the line {full} is better. Blue, "
        "filled: supported after Holm; grey, hollow: undecided or inconclusive; orange, filled: "
        "contradicted.",
        protocols,
        len(others),
        panel,
    )


def emotions_figure(study: Study, condition: str) -> Drawing | None:
    """The mouth's distance and the judge's accuracy per wanted emotion."""
    emotions = emotions_of(study, condition)
    protocols = [p for p in BREAKDOWN if p in study.protocols(condition)]
    if len(emotions) < 2 or not protocols:
        return None
    chosen = {p: _exemplary_rows(study, condition, p) for p in protocols}
    everyone = [row for row in study.rows if any(row in rows for rows in chosen.values())]
    colours = dict(zip(everyone, sns.color_palette("colorblind", len(everyone)).as_hex(), strict=True))

    def panel(axes: Axes, protocol: str) -> None:
        info = study.manifest.protocols[protocol]
        rows = chosen[protocol]
        for row, offset in zip(rows, np.linspace(-0.3, 0.3, len(rows)), strict=True):
            cells = estimates_by_emotion(study, row, condition, protocol, emotions)
            _series(axes, cells, offset, scale_of(info), colours[row], study.rows[row].kind)
        axes.set_title(heading(info), loc="left")
        _rows_axis(axes, emotions)
        if protocol == protocols[-1]:
            for row in everyone:
                style = {"color": colours[row], "markersize": 4.5, "label": study.rows[row].label}
                axes.plot([], [], MARKERS[study.rows[row].kind], **style)
            axes.figure.legend(loc="outside lower center", ncols=6, frameon=False, fontsize=8)

    return _panels(
        f"emotions-{condition}",
        f"Per emotion, {condition}",
        "Mean and 95 % interval of the clips of each wanted emotion: trained rows, the best floor and, "
        "for the accuracy, the ceiling.",
        protocols,
        1.9 * len(emotions),
        panel,
        across=2,
        legend=True,
    )


def _exemplary_rows(study: Study, condition: str, protocol: str) -> list[str]:
    """The first trained rows, the best floor, and the ceiling where it is not the definition of perfect."""
    alive = [row for row in study.rows if row not in study.failed]
    trained = [row for row in alive if study.rows[row].kind in ("method", "ablation")][:4]
    best = best_floor(study, condition, protocol)
    ceilings = [row for row in alive if study.rows[row].kind == "ceiling" and protocol == "emotion"]
    return [*trained, *([best[0]] if best else []), *ceilings]


def confusion_figure(study: Study, condition: str) -> Drawing | None:
    """What the emotion judge saw: the full model, beside the judge on the true clips."""
    judge = study.manifest.judges.get("emotion", {})
    matrices = judge.get("confusion", {})
    full = primary(study)
    wanted = [r for r, info in study.rows.items() if r == full or info.kind == "ceiling"]
    shown = {r: m for r in wanted if (m := matrices.get(_judged_key(r, condition))) is not None}
    if not shown:
        return None
    labels = [str(label) for label in judge["labels"]]

    def panel(axes: Axes, row: str) -> None:
        counts = np.asarray(shown[row], dtype=float)
        share = 100 * counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
        sns.heatmap(
            share,
            ax=axes,
            vmin=0,
            vmax=100,
            cmap="Blues",
            cbar=False,
            annot=True,
            fmt=".0f",
            square=True,
            linewidths=0.5,
            linecolor="white",
            xticklabels=labels,
            yticklabels=labels,
            annot_kws={"fontsize": 7},
        )
        axes.set_title(study.rows[row].label, loc="left")
        axes.set(xlabel="judged", ylabel="wanted")
        axes.tick_params(axis="x", rotation=45)
        axes.tick_params(axis="y", rotation=0)

    return _panels(
        f"confusion-{condition}",
        f"Emotions judged, {condition}",
        "Share (%) of the clips of each wanted emotion by what the judge saw, all seeds together.",
        list(shown),
        2.0 * len(labels),
        panel,
        across=2,
    )


def _judged_key(row: str, condition: str) -> str:
    method, _, ablation = row.partition("/")
    return f"{method}/{ablation or 'full'}/{condition}"


def _dot(axes: Axes, interval: Interval, place: float, scale: float, kind: str) -> None:
    _bar(axes, interval, place, scale, COLOURS[kind], MARKERS[kind], COLOURS[kind])


def _difference(axes: Axes, made: Comparison, place: int, scale: float) -> None:
    colour = VERDICT_COLOURS[made.verdict]
    face = "none" if made.verdict in ("inconclusive", "undecided") else colour
    _bar(axes, made.advantage, place, scale, colour, "o", face)


def _series(
    axes: Axes,
    cells: Sequence[Estimate | None],
    offset: float,
    scale: float,
    colour: str,
    kind: str,
) -> None:
    for place, cell in enumerate(cells):
        if cell is not None and cell.interval is not None:
            _bar(axes, cell.interval, place + offset, scale, colour, MARKERS[kind], colour, size=4)


def _bar(
    axes: Axes,
    interval: Interval,
    place: float,
    scale: float,
    colour: str,
    marker: str,
    face: str,
    size: float = 5.5,
) -> None:
    if interval.known:
        limits = [interval.low * scale, interval.high * scale]
        axes.plot(limits, [place, place], color=colour, linewidth=1.6, solid_capstyle="butt")
    axes.plot(
        [interval.mean * scale],
        [place],
        marker,
        color=colour,
        markerfacecolor=face,
        markersize=size,
        markeredgewidth=1.2,
    )


def _rows_axis(axes: Axes, labels: Sequence[str]) -> None:
    axes.set_yticks(range(len(labels)), list(labels))
    axes.set_ylim(len(labels) - 0.5, -0.5)
    axes.margins(x=0.08)


def _panels(
    name: str,
    title: str,
    caption: str,
    keys: Sequence[str],
    lines: float,
    panel: Callable[[Axes, str], None],
    *,
    across: int = 4,
    legend: bool = False,
) -> Drawing:
    """A grid of panels that share their rows."""
    columns = min(across, len(keys))
    down = -(-len(keys) // columns)
    with mpl.rc_context(plain_style()):
        size = (1.6 + (9.4 / columns if columns > 2 else 4.2) * columns, 0.5 + down * (0.55 + 0.21 * lines))
        figure = Figure(figsize=(size[0], size[1] + 0.5 * legend), layout="constrained")
        FigureCanvasAgg(figure)
        grid = figure.subplots(down, columns, squeeze=False, sharey=True)
        for place, axes in enumerate(grid.flat):
            if place < len(keys):
                panel(axes, keys[place])
            else:
                axes.set_visible(False)
        return Drawing(name, title, caption, *export(figure))


def plain_style() -> Any:
    """Our style over matplotlib's defaults, whatever the user's own settings."""
    return {**mpl.rcParamsDefault, **STYLE}


def export(figure: Figure) -> tuple[bytes, bytes, str]:
    """PDF, PNG and SVG, without dates."""
    _settle(figure)
    pdf, png, svg = io.BytesIO(), io.BytesIO(), io.BytesIO()
    figure.savefig(pdf, format="pdf", metadata={"CreationDate": None, "Producer": None, "Creator": None})
    figure.savefig(png, format="png", metadata={"Software": None})
    figure.savefig(svg, format="svg", transparent=True, metadata=_NO_SVG_METADATA)
    return pdf.getvalue(), png.getvalue(), _inline(svg.getvalue().decode("utf-8"))


def _settle(figure: Figure) -> None:
    """Lay the figure out once, to a thousandth of a point.

    The solver orders its variables by where they lie in memory: its last bits change from call to call, and
    with them the names that an SVG gives to its clip paths.
    """
    figure.draw_without_rendering()
    figure.set_layout_engine("none")
    for axes in figure.axes:
        left, bottom, width, height = (round(float(side), 6) for side in axes.get_position().bounds)
        axes.set_position((left, bottom, width, height))


_NO_SVG_METADATA: Mapping[str, Any] = {"Date": None, "Creator": None, "Format": None, "Type": None}


def _inline(svg: str) -> str:
    """The `<svg>` element alone, its ink following the page's text colour."""
    element = svg[svg.index("<svg") :]
    element = re.sub(r"<metadata>.*?</metadata>", "", element, flags=re.DOTALL)
    return element.replace(INK, "currentColor")


def scoped(svg: str, prefix: str) -> str:
    """The drawing with its ids prefixed, so that several can stand in one page."""
    svg = re.sub(r'\bid="([^"]+)"', rf'id="{prefix}-\1"', svg)
    svg = re.sub(r'href="#([^"]+)"', rf'href="#{prefix}-\1"', svg)
    return re.sub(r"url\(#([^)]+)\)", rf"url(#{prefix}-\1)", svg)
