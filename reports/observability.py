"""What each metric cannot see: how its value answered to damaged truth.

What is compared
    Clips of the embedded corpus, whose factors are known, are damaged in one thing at a time and in graded
    doses, and scored against the undamaged truth: excerpts of them, but judges, who need time, are asked
    about whole clips. The response of a protocol to a dose is by how much its score gets worse, mean over
    clips, as a share of its range: the largest change that any damage here makes to it. Decibels are taken as
    the amplitude ratio 10^(-dB/20) that they stand for, so that frames without a difference, which have no
    decibels, are 0.

When a damage is seen
    A protocol sees a dose if the 95 % interval of its response over clips (for a protocol of the whole set,
    its own interval) lies above 1 % of its range; it sees a damage from the smallest dose from which on every
    dose is seen. It is blind to a damage that does not move it, and faint to one that moves it by less than
    1 % of its range at every dose. It rewards a damage whose largest dose scores better than the truth. What
    is none of these is unsure: the value moves, but not in the same way from clip to clip, or only at some
    doses. A tilde marks responses that do not rise with the dose (Spearman's rank correlation below 0.9).

What it does not say
    Seeing a damage is no merit by itself: a metric of lips should not mind the background. One corpus and one
    renderer are no proof for others.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import seaborn as sns
from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from scipy import stats

from benchmark.observations import OBSERVATIONS, UNDAMAGED, DamageInfo, Observations, read_observations
from benchmark.records import WHOLE_SET, ProtocolInfo, write_text
from reports.figures import COLOURS, INK, Drawing, export, plain_style
from reports.formats import Cell, Row, Table, to_csv, to_latex, to_markdown
from reports.load import remembered
from reports.templating import TEMPLATES, environment

FAINT = 0.01
"""Below this share of a protocol's range a response is hardly one."""
BLIND = 1e-9
"""Below this share it is rounding."""
VERDICTS = ("sees", "faint", "blind", "rewards", "unsure")
LEVEL = 0.95
MONOTONE = 0.9
"""Rank correlation of dose and response below which a cell is marked."""
NAME = "observability"
MARK = "~"


@dataclass(frozen=True)
class Response:
    """How one protocol answers to one damage."""

    protocol: str
    damage: str
    doses: tuple[float, ...]
    shares: tuple[float, ...]
    """Per dose, the mean worsening as a share of the protocol's range."""
    lows: tuple[float, ...]
    highs: tuple[float, ...]
    """The 95 % interval of the shares; equal to them where it is unknown (one clip)."""

    @property
    def monotone(self) -> float:
        """Spearman's correlation of dose and response, the undamaged truth included; 0 without a response."""
        shares = (0.0, *self.shares)
        if max(shares) == min(shares):
            return 0.0
        # Rounded, or 0.9 would be less than 0.9.
        return round(float(stats.spearmanr((0.0, *self.doses), shares)[0]), 9)  # type: ignore[arg-type]

    @property
    def first(self) -> float | None:
        """The smallest dose from which on every dose is seen."""
        found = None
        for dose, low in zip(reversed(self.doses), reversed(self.lows), strict=True):
            if not low > FAINT:
                break
            found = dose
        return found

    @property
    def verdict(self) -> str:
        """One of `VERDICTS`."""
        most = max(map(abs, self.shares))
        if most < FAINT:
            return "blind" if most < BLIND else "faint"
        if self.first is not None:
            return "sees"
        return "rewards" if self.highs[-1] < -FAINT else "unsure"


@remembered
def responses(found: Observations) -> Mapping[tuple[str, str], Response]:
    """By (protocol, damage), of every protocol that was measured."""
    worse = _worsenings(found)
    made: dict[tuple[str, str], Response] = {}
    for protocol in found.protocols:
        means = {key: _interval(values) for key, values in worse[protocol].items()}
        extent = max((abs(mean) for mean, _, _ in means.values()), default=0.0)
        for damage, info in found.damages.items():
            if not all((damage, dose) in means for dose in info.doses):
                continue
            parts = np.array([means[damage, dose] for dose in info.doses]) / (extent or 1.0)
            mean, low, high = (tuple(map(float, column)) for column in parts.T)
            made[protocol, damage] = Response(protocol, damage, info.doses, mean, low, high)
    return made


def _worsenings(found: Observations) -> dict[str, dict[tuple[str, float], np.ndarray]]:
    """Protocol -> (damage, dose) -> by how much each clip's score is worse than the truth's (clips,), or
    value, low and high (1, 3) of a score of the whole set."""
    best = {
        (r.protocol, r.clip): _loss(r.value, found.protocols[r.protocol])
        for r in found.rows
        if r.damage == UNDAMAGED
    }
    lists: dict[str, dict[tuple[str, float], list[Any]]] = {protocol: {} for protocol in found.protocols}
    for row in found.rows:
        if row.damage == UNDAMAGED or math.isnan(best.get((row.protocol, row.clip), math.nan)):
            continue
        info, truth = found.protocols[row.protocol], best[row.protocol, row.clip]
        change = _loss(row.value, info) - truth
        if math.isnan(change):
            continue
        entry: Any = change
        if row.clip == WHOLE_SET:
            bounds = [change if b is None else _loss(b, info) - truth for b in (row.low, row.high)]
            entry = (change, min(bounds), max(bounds))
        lists[row.protocol].setdefault((row.damage, row.dose), []).append(entry)
    return {p: {key: np.array(values) for key, values in of.items()} for p, of in lists.items()}


def _loss(value: float | None, info: ProtocolInfo) -> float:
    """The value turned so that more is worse; NaN where there is none."""
    if info.unit == "dB":
        return 0.0 if value is None else 10 ** (-value / 20)
    if value is None:
        return math.nan
    return value if info.direction == "lower" else -value


def _interval(values: np.ndarray) -> tuple[float, float, float]:
    """Mean, low and high: given for a set, by Student's t over clips otherwise."""
    if values.ndim == 2:
        mean, low, high = values[0]
        return float(mean), float(low), float(high)
    mean = float(values.mean())
    if len(values) < 2:
        return mean, mean, mean
    half = float(stats.t.ppf((1 + LEVEL) / 2, len(values) - 1) * values.std(ddof=1) / math.sqrt(len(values)))
    return mean, mean - half, mean + half


def observations_of(run_directory: Path) -> Observations | None:
    """What was observed beside a run; None where it was left out.

    Raises:
        RecordsError: the file is there and cannot be read.
    """
    path = run_directory / OBSERVATIONS
    return read_observations(path) if path.is_file() else None


# In words


def amount(dose: float, unit: str) -> str:
    """A dose as a reader says it: "40 ms", "25 % of the clip"."""
    share, of, what = unit.partition("share of ")
    return f"{100 * dose:g} % of {what}" if of and not share else f"{dose:g} {unit}"


def sentence(found: Observations, protocol: str) -> str:
    """What a protocol sees and does not see, from its responses alone."""
    label = found.protocols[protocol].label
    by = {damage: responses(found).get((protocol, damage)) for damage in found.damages}
    named = {
        verdict: [damage for damage, r in by.items() if r is not None and r.verdict == verdict]
        for verdict in VERDICTS
    }
    parts = [
        f"{label} does not see {_list(named['blind'])}." if named["blind"] else f"{label} is blind to none.",
        f"It sees {_list([_from(by[d], found.damages[d]) for d in named['sees']])}." if named["sees"] else "",
        f"It hardly notices {_list(named['faint'])}." if named["faint"] else "",
        f"It scores better under {_list(named['rewards'])}." if named["rewards"] else "",
        f"It is unsure of {_list(named['unsure'])}." if named["unsure"] else "",
    ]
    return " ".join(part for part in parts if part)


def _from(response: Response | None, info: DamageInfo) -> str:
    assert response is not None
    assert response.first is not None
    return f"{response.damage} from {amount(response.first, info.unit)}"


def _list(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def lost_faces_note(found: Observations, damage: str = "lost faces") -> str:
    """What missing detections do: the value stays, the coverage and the bound tell."""
    info = found.damages.get(damage)
    if info is None:
        return ""
    dose, made = info.doses[-1], responses(found)
    parts = []
    for protocol, about in found.protocols.items():
        rows = [r for r in found.rows if (r.protocol, r.damage, r.dose) == (protocol, damage, dose)]
        worst = [r.most if about.direction == "lower" else r.least for r in rows]
        known = [w for w in worst if w is not None]
        response = made.get((protocol, damage))
        kept = response is not None and response.verdict == "blind"
        if about.main and kept and known and len(known) == len(rows):
            value = np.mean([r.value for r in rows if r.value is not None])
            parts.append(f"{about.label} {value:.2f}, at worst {np.mean(known):.2f} {about.unit}".strip())
    if not parts:
        return ""
    return (
        f"With {amount(dose, info.unit)} lost, a prediction that is otherwise perfect keeps its value; its "
        f"coverage falls, and the bound says what may hide behind it: {'; '.join(parts)}."
    )


# Table


def observability_table(found: Observations) -> Table:
    """Protocol x damage: the smallest dose that is seen, or why there is none."""
    made = responses(found)
    rows = tuple(
        Row(
            key=protocol,
            label=info.label,
            kind="legacy" if info.legacy else "main" if info.main else "other",
            cells=tuple(_cell(made.get((protocol, d)), about) for d, about in found.damages.items()),
        )
        for protocols in families_of(found).values()
        for protocol in protocols
        for info in (found.protocols[protocol],)
    )
    return Table(
        name=NAME,
        title="What each metric sees",
        caption=(
            f"The smallest dose that a protocol tells from the truth, over {len(found.clips)} clips and "
            f"{found.frames} frames of the embedded corpus. Blind: does not move. Faint: moves by less than "
            "1 % of its range. Unsure: moves, but not alike from clip to clip, or only at some doses. "
            f"Rewards: damage scores better than the truth. {MARK}: the response does not rise with the dose."
        ),
        columns=tuple(f"{name} ({_short(about.unit)})" for name, about in found.damages.items()),
        rows=rows,
        data=tuple(
            {
                "protocol": r.protocol,
                "damage": r.damage,
                "unit": found.damages[r.damage].unit,
                "dose": dose,
                "response": share,
                "low": low,
                "high": high,
                "verdict": r.verdict,
                "seen from": r.first,
                "spearman": r.monotone,
            }
            for r in made.values()
            for dose, share, low, high in zip(r.doses, r.shares, r.lows, r.highs, strict=True)
        ),
    )


def _short(unit: str) -> str:
    return "%" if unit.startswith("share of ") else unit


def _cell(response: Response | None, info: DamageInfo) -> Cell:
    if response is None:
        return Cell("n/a", title="left out by the protocol's rule, or not measured")
    doses = "; ".join(
        f"{amount(dose, info.unit)}: {100 * share:.1f} % of its range"
        for dose, share in zip(response.doses, response.shares, strict=True)
    )
    value = response.verdict
    if response.first is not None and value == "sees":
        value = f"{(100 if info.unit.startswith('share of ') else 1) * response.first:g}"
    rises = value in ("blind", "faint") or response.monotone >= MONOTONE
    return Cell(value, marks="" if rises else MARK, title=doses)


# Figure


def families_of(found: Observations) -> dict[str, list[str]]:
    """Family -> its protocols, in the order of the tables."""
    families: dict[str, list[str]] = {}
    for protocol, info in found.protocols.items():
        families.setdefault(info.family or info.label, []).append(protocol)
    return families


def observability_figure(found: Observations) -> Drawing:
    """Response against dose: a row per family of protocols, a column per damage."""
    families = families_of(found)
    with mpl.rc_context(plain_style()):
        height = 0.9 + sum(_row_height(protocols) for protocols in families.values())
        figure = Figure(figsize=(13.5, height), layout="constrained")
        FigureCanvasAgg(figure)
        ratios = [_row_height(protocols) for protocols in families.values()]
        grid = figure.subplots(len(families), 1, squeeze=False, sharex=True, height_ratios=ratios)
        for axes, (family, protocols) in zip(grid[:, 0], families.items(), strict=True):
            _family_row(axes, found, family, protocols)
        _damage_names(grid[0, 0], found)
        _dose_names(grid[-1, 0], found)
        return Drawing(
            NAME,
            "Response to damage",
            "How much worse the score gets, as a share of the largest change that any damage here makes to "
            "it, by dose from none upwards; a band is the 95 % interval over clips. Thick blue: the main "
            "protocol of its family; dashed: published scripts with their defects. Below 0 a protocol scores "
            "damage better than the truth. Heights are square roots.",
            *export(figure),
        )


def _row_height(protocols: Sequence[str]) -> float:
    return max(0.62, 0.15 * len(protocols))


def _places(found: Observations) -> dict[str, np.ndarray]:
    """Where each damage's doses lie on the axis, none of it included."""
    start, places = 0.0, {}
    for name, info in found.damages.items():
        places[name] = start + np.arange(len(info.doses) + 1)
        start = places[name][-1] + 1.0
    return places


def _family_row(axes: Axes, found: Observations, family: str, protocols: Sequence[str]) -> None:
    others = [p for p in protocols if not found.protocols[p].main]
    palette = dict(zip(others, sns.color_palette("colorblind", len(others) + 1).as_hex()[1:], strict=True))
    for protocol in protocols:
        info = found.protocols[protocol]
        style: dict[str, Any] = {
            "color": palette.get(protocol, COLOURS["method"]),
            "linewidth": 2.0 if info.main else 1.1,
        }
        if info.legacy:
            style["linestyle"] = (0, (3, 1.5))
        for damage, place in _places(found).items():
            response = responses(found).get((protocol, damage))
            if response is None:
                continue
            axes.plot(place, _drawn((0.0, *response.shares)), **style)
            if info.main:
                bounds = (0.0, *response.lows), (0.0, *response.highs)
                low, high = map(_drawn, bounds)
                axes.fill_between(place, low, high, color=style["color"], alpha=0.15, linewidth=0)
        axes.plot([], [], label=info.label, **style)
    for place in _places(found).values():
        axes.axvspan(place[0] - 0.25, place[-1] + 0.25, color="#8a9099", alpha=0.08, linewidth=0)
    axes.axhline(0, color=INK, linewidth=0.6)
    axes.set_ylim(-0.45, 1.12)
    axes.set_yticks(_drawn((0, 0.1, 1)), ["0", "10 %", "100 %"])
    axes.grid(False)
    axes.tick_params(axis="x", length=0)
    axes.spines["bottom"].set_visible(False)
    axes.margins(x=0.005)
    axes.set_ylabel(family, rotation=0, ha="right", va="center")
    axes.legend(
        loc="center left",
        bbox_to_anchor=(1.0, 0.5),
        frameon=False,
        fontsize=7,
        handlelength=1.8,
        labelspacing=0.25,
    )


def _drawn(shares: Sequence[float]) -> np.ndarray:
    """Heights of shares: square roots, or the strongest damage would hide what the others do."""
    kept = np.clip(shares, -0.2, 1.3)
    return np.sign(kept) * np.sqrt(np.abs(kept))


def _damage_names(axes: Axes, found: Observations) -> None:
    for name, place in _places(found).items():
        axes.annotate(
            name, (float(place.mean()), 1.0), (0, 4), xycoords=("data", "axes fraction"),
            textcoords="offset points", ha="center", va="bottom", fontweight="bold",
        )  # fmt: skip


def _dose_names(axes: Axes, found: Observations) -> None:
    ticks, labels = [], []
    for name, place in _places(found).items():
        info = found.damages[name]
        scale = 100 if info.unit.startswith("share of ") else 1
        ticks += list(place)
        labels += ["0", *(f"{scale * dose:g}" for dose in info.doses)]
        axes.annotate(
            _short(info.unit), (float(place.mean()), 0.0), (0, -18), xycoords=("data", "axes fraction"),
            textcoords="offset points", ha="center", va="top",
        )  # fmt: skip
    axes.set_xticks(ticks, labels, fontsize=7)


# Page


def page_parts(found: Observations) -> dict[str, Any]:
    """What the templates say of observability."""
    made = responses(found)
    return {
        "found": found,
        "table": observability_table(found),
        "shades": {
            protocol: [
                round(float(np.clip(made[protocol, d].shares[-1], 0, 1)), 3) if (protocol, d) in made else 0.0
                for d in found.damages
            ]
            for protocol in found.protocols
        },
        "starts": {protocols[0] for protocols in families_of(found).values()},
        "main": [sentence(found, p) for p, info in found.protocols.items() if info.main],
        "others": [sentence(found, p) for p, info in found.protocols.items() if not info.main],
        "lost_faces": lost_faces_note(found),
        "amount": amount,
        "how": (__doc__ or "").strip().split("\n\n")[1:],
    }


def render_observability(found: Observations, drawing: Drawing, *, back: str = "") -> str:
    """The page as text.

    Args:
        back: a link to the report that it belongs to, if there is one.
    """
    return (
        environment()
        .get_template("observability.html.j2")
        .render(
            observed=page_parts(found),
            # Safe as markup: our own drawing, in which every text is an outline.
            drawing=drawing,
            svg=Markup(drawing.svg),
            style=Markup((TEMPLATES / "page.css").read_text(encoding="utf-8")),
            back=back,
        )
    )


def write_observability(found: Observations, folder: Path, *, back: str = "") -> Path:
    """Write observability.html, tables/ and figures/ into a folder, and return the page's path."""
    drawing, table = observability_figure(found), observability_table(found)
    for ending, written in (("md", to_markdown), ("csv", to_csv), ("tex", to_latex)):
        write_text(folder / "tables" / f"{NAME}.{ending}", written(table))
    (folder / "figures").mkdir(parents=True, exist_ok=True)
    for ending, content in (("pdf", drawing.pdf), ("png", drawing.png)):
        (folder / "figures" / f"{NAME}.{ending}").write_bytes(content)
    page = folder / f"{NAME}.html"
    write_text(page, render_observability(found, drawing, back=back))
    return page
