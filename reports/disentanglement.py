"""What embeddings hold of content, emotion, intensity and speaker: the tables of the probes.

A measure's value is the mean of its jackknife pseudo-values over sentences; with one line of them for each
seed, they get the interval of any other score: see `reports.stats`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np

from benchmark.records import FULL, REFERENCE, ProbeRecord
from reports.formats import Cell, Row, Table
from reports.load import Study, row_key
from reports.stats import Interval, two_way_interval
from reports.tables import counted, decimals, failure, seeds_phrase

CHANCE = "chance"
ANCHOR = "disentanglement"
"""Of the page's section, to which rows lead that are no method's."""
EXTRA_ROWS = (REFERENCE, CHANCE)
EXPLANATION = (
    "A probe is trained to tell a factor of the speech from an embedding, and asked on sentences that it was "
    "not trained on, nor was the method. A content embedding should tell visemes and no emotion, an emotion "
    "embedding emotion and intensity and no viseme. What one probe cannot read may still be there, so a "
    "linear one stands beside the vote of the nearest neighbours. The MFCC windows that the encoders "
    "hear, probed alike, show what is there before anything has been separated; the linear probe on random "
    "labels shows what it reads where there is nothing, and must sit at chance."
)
PROBE_TABLES = {
    "linear": (
        "What a linear probe reads",
        "Balanced accuracy (%) of a logistic regression with a fixed L2 penalty on standardised dimensions.",
    ),
    "neighbours": (
        "What the nearest neighbours read",
        "Balanced accuracy (%) of the vote of 5 nearest neighbours, weighted by class frequency.",
    ),
    "random labels": (
        "Control: the linear probe on random labels",
        "Balanced accuracy (%) with labels drawn at the factor's frequencies: at chance, which about one "
        "interval in twenty misses.",
    ),
    "information": (
        "What a linear probe knows",
        "Share (%) of a factor's entropy that the linear probe takes away, a lower bound of the normalised "
        "mutual information; its confidence is scaled by one number to fit the answers.",
    ),
    "silhouette": (
        "Silhouettes",
        "Mean silhouette of the factor's classes, from −1 to 1; every class counts alike.",
    ),
}
"""By measure: title and what it is. All but silhouettes are shares."""
GAPS = {"mig": "MIG", "block gap": "Gap between embeddings"}

Values = Mapping[tuple[str, str, str, str], Interval]
"""By row, embedding, factor and measure."""


def probe_tables(study: Study) -> tuple[Table, ...]:
    """Every table of the probes; none for a study without any."""
    if not study.probes:
        return ()
    values = _intervals(study.probes)
    return (*(_probe_table(study, values, measure) for measure in PROBE_TABLES), _gap_table(study, values))


def _intervals(probes: Sequence[ProbeRecord]) -> dict[tuple[str, str, str, str], Interval]:
    found: dict[tuple[str, str, str, str], dict[int, dict[str, float]]] = {}
    for p in probes:
        key = (row_key(p.method, p.ablation), p.embedding, p.factor, p.measure)
        found.setdefault(key, {}).setdefault(p.seed, {})[p.sentence] = p.value
    intervals = {}
    for key, by_seed in found.items():
        sentences = sorted(next(iter(by_seed.values())))
        values = np.array([[by_seed[seed][s] for s in sentences] for seed in sorted(by_seed)])
        intervals[key] = two_way_interval(
            values, sentences, limits=(-1.0 if key[3] == "silhouette" else 0.0, 1.0)
        )
    return intervals


def _probe_table(study: Study, values: Values, measure: str) -> Table:
    factors = list(study.manifest.probes["factors"])
    shown = {key: value for key, value in values.items() if key[3] == measure}
    scale = 1.0 if measure == "silhouette" else 100.0
    columns = [_Column([v for k, v in shown.items() if k[2] == factor], scale) for factor in factors]

    def row(key: str, label: str, kind: str, embedding: str) -> Row:
        found = [values.get((key, embedding, factor, measure)) for factor in factors]
        return Row(key, label, kind, tuple(c.cell(v) for c, v in zip(columns, found, strict=True)))

    rows: list[Row] = []
    for key, info in study.rows.items():
        names = list(dict.fromkeys(k[1] for k in shown if k[0] == key))
        rows += [row(key, f"{info.label}: {name}", info.kind, name) for name in names]
        rows += [] if names else [_without(study, key, len(factors))]
    rows += [
        row(REFERENCE, "MFCC window", "ceiling", name) for k, name, *_ in _first(shown) if k == REFERENCE
    ]
    if measure in ("linear", "neighbours", "random labels"):
        rows.append(_chance(study, columns))
    title, meaning = PROBE_TABLES[measure]
    return Table(
        name=f"probes-{measure.replace(' ', '-')}",
        title=title,
        caption=f"{meaning} {_caption(study)}",
        columns=tuple(factor.capitalize() for factor in factors),
        rows=tuple(rows),
        data=tuple(_data(key, value) for key, value in shown.items()),
    )


def _first(shown: Values) -> list[tuple[str, str, str, str]]:
    """One key for each row and embedding."""
    return list({key[:2]: key for key in shown}.values())


def _without(study: Study, key: str, columns: int) -> Row:
    info, reason = study.rows[key], failure(study, key)
    absent = Cell("n/a", title="this method has no embeddings")
    return Row(key, info.label, info.kind, () if reason else (absent,) * columns, reason)


def _chance(study: Study, columns: Sequence[_Column]) -> Row:
    chances = [factor["chance"] for factor in study.manifest.probes["factors"].values()]
    cells = (c.cell(Interval(share, math.nan, math.nan)) for c, share in zip(columns, chances, strict=True))
    return Row(CHANCE, "Chance", "ceiling", tuple(cells))


def _gap_table(study: Study, values: Values) -> Table:
    factors = study.manifest.probes["factors"]
    places = [(f, m) for m in GAPS for f in factors if any(k[2:] == (f, m) for k in values)]
    shown = {key: value for key, value in values.items() if key[3] in GAPS}
    columns = {place: _Column([v for k, v in shown.items() if k[2:] == place], 1.0) for place in places}
    by_row = {(key[0], *key[2:]): value for key, value in shown.items()}
    labels = {key: (info.label, info.kind) for key, info in study.rows.items()}
    labels[REFERENCE] = ("MFCC window", "ceiling")
    rows = []
    for key, (label, kind) in labels.items():
        if any(k[0] == key for k in shown):
            cells = tuple(columns[place].cell(by_row.get((key, *place))) for place in places)
            rows.append(Row(key, label, kind, cells))
        elif key != REFERENCE:
            rows.append(_without(study, key, len(places)))
    return Table(
        name="probes-gaps",
        title="How far a factor's own place is ahead",
        caption=(
            "MIG: the mutual information of single dimensions of all embeddings together, in 20 bins each, "
            "with the factor of a frame; the largest less the second largest, over the factor's entropy "
            "(Chen et al. 2018). It asks for one dimension to a factor, which embeddings of hundreds of "
            "dimensions were never trained to have. Gap between embeddings: the same of whole embeddings, "
            "with what a linear probe knows: content's less emotion's for visemes, emotion's less content's "
            f"otherwise. {_caption(study)}"
        ),
        columns=tuple(f"{GAPS[measure]}: {factor}" for factor, measure in places),
        rows=tuple(rows),
        data=tuple(_data(key, value) for key, value in shown.items()),
    )


class _Column:
    """One column's numbers, printed with the same decimals."""

    def __init__(self, column: Sequence[Interval], scale: float) -> None:
        self.scale = scale
        # An interval may be empty where a probe knows nothing; its digits would be rounding errors.
        self.decimals = min(decimals([scale * v.half for v in column if v.known]), 1 if scale > 1 else 3)

    def number(self, value: float) -> str:
        text = f"{value * self.scale:.{self.decimals}f}"
        return text.replace("-", "−") if any(c in "123456789" for c in text) else text.lstrip("-")

    def cell(self, found: Interval | None) -> Cell:
        if found is None:
            return Cell("n/a", title="this measure does not apply to this row")
        if not found.known:
            return Cell(self.number(found.mean), title="no interval")
        limits = f"[{self.number(found.low)}, {self.number(found.high)}]"
        return Cell(self.number(found.mean), f"± {self.number(found.half)}", title=f"95 % interval {limits}")


def _caption(study: Study) -> str:
    about = study.manifest.probes
    factors = about["factors"]
    classes = ", ".join(f"{len(factor['classes'])} of {name}" for name, factor in factors.items())
    return (
        f"{counted(about['clips'], 'clip')} of {counted(len(about['sentences']), 'held-out sentence')} by "
        f"{counted(len(about['speakers']), 'speaker')}, {counted(about['frames'], 'frame')} of them for "
        f"visemes; for the emotion of the subject its {counted(about['own clips'], 'test clip')}. Classes: "
        f"{classes}. Probes are trained on the sentences of all but one of {about['folds']} folds and read "
        f"on the others; {seeds_phrase(study.manifest.seeds)}. Mean and 95 % interval over seeds and "
        "sentences (jackknife over sentences)."
    )


def _data(key: tuple[str, str, str, str], value: Interval) -> dict[str, object]:
    row, embedding, factor, measure = key
    method, _, ablation = row.partition("/")
    return {
        "method": method,
        "ablation": ablation or FULL,
        "embedding": embedding,
        "factor": factor,
        "measure": measure,
        "mean": value.mean,
        "low": value.low,
        "high": value.high,
    }
