"""How far the judges can be trusted: ceilings, chance, calibration, agreement, and shifts of sound found."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from benchmark.described import AGREEMENT, LEFT_OUT, SYNC
from reports.formats import Cell, Row, Table
from reports.load import Study

EXPLANATION = (
    "A judge is itself a measurement. The emotion judges are trained on other speakers: the first weighs "
    "summaries of a clip linearly and gives the emotion accuracy, the second is a convolutional network over "
    "the landmarks in their order. What they score on the true clips is the most that a method can be given; "
    "where they differ about a method, neither is to be believed alone. The judge of synchrony is shown true "
    "clips whose sound was shifted by a known time."
)


def judge_tables(study: Study) -> tuple[Table, ...]:
    """Every table of the judges that the study had."""
    emotion = {name: judge for name, judge in study.manifest.judges.items() if judge.get("calibration")}
    made = []
    if emotion:
        made += [_trust(emotion), _reliability(emotion)]
    shares = _shares(study)
    if shares is not None:
        made.append(shares)
    agreement = study.manifest.judges.get(AGREEMENT)
    if agreement:
        made.append(_agreement(study, agreement))
    sync = study.manifest.judges.get(SYNC)
    if sync:
        made.append(_sync(sync["truth"]))
    return tuple(made)


def _called(name: str) -> str:
    return {"emotion": "Linear judge", "emotion/network": "Network"}.get(name, name)


def _clips(where: str) -> str:
    return "speakers left out" if where == LEFT_OUT else f"true clips, {where}"


def _percent(share: float | None) -> Cell:
    return Cell("n/a" if share is None else f"{100 * share:.1f}")


def _trust(judges: Mapping[str, Any]) -> Table:
    rows, data = [], []
    for name, judge in judges.items():
        for where, both in judge["calibration"].items():
            trained, fitted = both["trained"], both["fitted"]
            cells = [
                Cell(str(fitted["clips"])),
                _percent(fitted["accuracy"]),
                _percent(judge["chance"]),
                Cell(f"{judge['temperature']:.2f}"),
            ]
            for measure in ("ece", "log_loss", "brier"):
                cells += [Cell(f"{made[measure]:.3f}") for made in (trained, fitted)]
            rows.append(Row(f"{name}/{where}", f"{_called(name)}: {_clips(where)}", "method", tuple(cells)))
            for state, made in both.items():
                told = {key: value for key, value in made.items() if key != "bins"}
                data.append({"judge": name, "clips of": where, "probabilities": state, **told})
    return Table(
        name="judges-calibration",
        title="Ceilings and calibration of the emotion judges",
        caption=(
            "Accuracy (%) on clips that the judge was not trained on, beside chance, and how honest its "
            "probabilities are: as trained, then divided by the temperature that was fitted on the speakers "
            "left out. ECE: mean distance of confidence and accuracy in ten bins; log loss; Brier score from "
            "0 to 2; all the lower the better."
        ),
        columns=(
            "Clips",
            "Accuracy",
            "Chance",
            "Temperature",
            *(f"{m}, {s}" for m in ("ECE", "Log loss", "Brier") for s in ("trained", "fitted")),
        ),
        rows=tuple(rows),
        data=tuple(data),
    )


def _reliability(judges: Mapping[str, Any]) -> Table:
    rows, data = [], []
    for name, judge in judges.items():
        for number, found in enumerate(judge["calibration"][LEFT_OUT]["fitted"]["bins"]):
            cells = (Cell(str(found["count"])), _percent(found["confidence"]), _percent(found["accuracy"]))
            rows.append(Row(f"{name}/{number}", _called(name), "method", cells))
            data.append({"judge": name, **found})
    return Table(
        name="judges-reliability",
        title="Reliability of the emotion judges",
        caption=(
            "Clips of speakers left out, by how sure the judge is of its verdict (%), with the temperature "
            "fitted: a calibrated judge is right as often as it is sure."
        ),
        columns=("Clips", "Mean confidence", "Accuracy"),
        rows=tuple(rows),
        data=tuple(data),
    )


def _shares(study: Study) -> Table | None:
    """Accuracy of every row under both judges, as a share of the judge's own on the true clips."""
    places = [
        (condition, name, ceiling)
        for condition in study.conditions()
        for name, judge in study.manifest.judges.items()
        if (ceiling := judge.get("ceilings", {}).get(condition))
    ]
    rows, data = [], []
    for key, info in study.rows.items():
        cells = []
        for condition, name, ceiling in places:
            counts = study.manifest.judges[name]["confusion"].get(_key(key, condition))
            accuracy = None if counts is None or key in study.failed else _accuracy(counts)
            share = None if accuracy is None else accuracy / ceiling
            title = "" if accuracy is None else f"{100 * accuracy:.1f} % of {100 * ceiling:.1f} %"
            cells.append(Cell(_percent(share).value, title=title))
            data.append(
                {"row": key, "condition": condition, "judge": name, "accuracy": accuracy, "share": share}
            )
        rows.append(Row(key, info.label, info.kind, tuple(cells)))
    if not places:
        return None
    return Table(
        name="judges-shares",
        title="Emotion accuracy as a share of the judge's on true clips",
        caption=(
            "Accuracy (%) of the asked emotion, all clips and seeds together, divided by what the same judge "
            "scores on the true clips of the condition. Over 100: more typical of the emotion than the truth."
        ),
        columns=tuple(f"{_called(name)}, {condition}" for condition, name, _ in places),
        rows=tuple(rows),
        data=tuple(data),
    )


def _key(row: str, condition: str) -> str:
    method, _, ablation = row.partition("/")
    return f"{method}/{ablation or 'full'}/{condition}"


def _accuracy(counts: list[list[int]]) -> float | None:
    total = sum(map(sum, counts))
    return sum(row[k] for k, row in enumerate(counts)) / total if total else None


def _agreement(study: Study, agreement: Mapping[str, Any]) -> Table:
    conditions = study.conditions()
    rows, data = [], []
    for key, label, kind, found in _agreements(study, agreement):
        tables = {c: found[c] for c in conditions if c in found}
        cells = [_kappa_cell(tables.get(c)) for c in conditions]
        rows.append(Row(key, label, kind, tuple(cells)))
        data += [
            {"row": key, "condition": c, "kappa": t["kappa"], "same": _accuracy(t["counts"])}
            for c, t in tables.items()
        ]
    return Table(
        name="judges-agreement",
        title="Agreement of the two emotion judges",
        caption=(
            "Cohen's kappa of their verdicts on the same clips, all seeds together: 1 is the same verdict "
            "always, 0 what chance would give, in brackets the share of equal verdicts (%). Without kappa: "
            "both always say the same one thing."
        ),
        columns=tuple(c.capitalize() for c in conditions),
        rows=tuple(rows),
        data=tuple(data),
    )


def _agreements(
    study: Study, agreement: Mapping[str, Any]
) -> Iterator[tuple[str, str, str, Mapping[str, Any]]]:
    yield "true clips", "True clips", "ceiling", agreement["truth"]
    for key, info in study.rows.items():
        if key in study.failed:
            continue
        found = {c: agreement["rows"].get(_key(key, c)) for c in study.conditions()}
        yield key, info.label, info.kind, {c: table for c, table in found.items() if table is not None}


def _kappa_cell(table: Mapping[str, Any] | None) -> Cell:
    if table is None:
        return Cell("n/a")
    kappa, same = table["kappa"], _accuracy(table["counts"])
    shown = "–" if kappa is None else f"{kappa:.2f}".replace("-", "−")
    return Cell(shown, "" if same is None else f"({100 * same:.0f})")


def _sync(truth: Mapping[str, Any]) -> Table:
    first = next(iter(truth.values()))
    low, high, step = first["shifts_ms"]
    rows = [
        Row(
            condition,
            f"True clips, {condition}",
            "method",
            (
                Cell(str(found["clips"])),
                Cell(f"{found['offset_ms']:.1f}".replace("-", "−")),
                Cell(f"{found['confidence']:.3f}"),
                Cell(f"{found['error_median_ms']:.1f}"),
                Cell(f"{found['error_p95_ms']:.1f}"),
                _percent(found["close"]),
            ),
        )
        for condition, found in truth.items()
    ]
    return Table(
        name="judges-sync",
        title="What the judge of synchrony finds in true clips",
        caption=(
            "Median offset (ms, positive where the sound is late) and mean confidence on the true clips; "
            f"then the sound shifted from {low} to {high} ms in steps of {step} ms: median and 95th "
            "percentile of the error (ms), and the share (%) of shifts found to within "
            f"{first['close_ms']:.0f} ms."
        ),
        columns=("Clips", "Offset", "Confidence", "Median error", "95th percentile", "Found"),
        rows=tuple(rows),
        data=tuple({"condition": condition, **found} for condition, found in truth.items()),
    )
