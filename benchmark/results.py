"""From finished stages to `records.jsonl`, `manifest.json`, the report and the summary on the screen."""

from __future__ import annotations

import json
import os
import platform
import subprocess
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from importlib import metadata
from pathlib import Path
from typing import Any

from benchmark.config import Settings
from benchmark.data.corpus import Split
from benchmark.data.items import Item, condition_text
from benchmark.data.warped import ERROR
from benchmark.jobs import WARPED
from benchmark.judging import AGREEMENT
from benchmark.metrics.calibration import cohen_kappa
from benchmark.metrics.metric import info
from benchmark.metrics.registry import METRICS, metric_of
from benchmark.names import slug
from benchmark.observations import OBSERVATIONS
from benchmark.plan import Cell, Job, Plan
from benchmark.probing import FILE as PROBED
from benchmark.records import (
    FULL,
    MANIFEST,
    PROBES,
    RECORDS,
    REFERENCE,
    CellInfo,
    Floor,
    Manifest,
    ProbeRecord,
    Record,
    RowInfo,
    read_records,
    write_manifest,
    write_probes,
    write_records,
    write_text,
)
from benchmark.run_folder import command_of
from benchmark.scoring import FLOORS, JUDGED, SCORES, video_file
from benchmark.tracking import CONNECT, ONLINE
from benchmark.training.stage_cache import StageFolder, digest_of
from models.files import copy_file, file_digest
from models.locks import folder_lock, say_on_stderr

PACKAGES = (
    "torch",
    "torchvision",
    "numpy",
    "scipy",
    "hydra-core",
    "omegaconf",
    "av",
    "opencv-python",
    "hibari-tts",
)
BUILT_FROM = ".report.json"


def folder_of(settings: Settings, plan: Plan, key: str) -> StageFolder:
    folder = plan.jobs[key].folder(settings.out / "stages")
    assert folder is not None
    return folder


def scores_of(folder: StageFolder) -> dict[str, Any]:
    return json.loads((folder.path / SCORES).read_text(encoding="utf-8"))


def cell_records(plan: Plan, cell: Cell, scores: Mapping[str, Any]) -> list[Record]:
    return [
        Record(
            corpus=plan.study.corpus.name,
            method=cell.variant.method.name,
            ablation=cell.variant.ablation,
            seed=cell.seed,
            **row,
        )
        for row in scores["rows"]
    ]


def writing(directory: Path, say: Callable[[str], None] = say_on_stderr) -> AbstractContextManager[None]:
    """Hold a run's folder: two processes that end together would write its report over each other's."""
    return folder_lock(directory, f"the results in {directory}", say=say)


def write_results(settings: Settings, plan: Plan, failed: Mapping[str, str]) -> None:
    """Records, then the manifest; files that would not change are not touched."""
    records: list[Record] = []
    notes: list[str] = list(plan.notes)
    counts: dict[str, Any] = {}
    for cell in plan.cells:
        if cell.name in failed:
            continue
        scores = scores_of(folder_of(settings, plan, cell.score))
        records += cell_records(plan, cell, scores)
        notes += scores["notes"]
        _add_counts(counts, cell, scores["judged"])
    floors, left_out = _floors(settings, plan)
    notes += left_out
    notes += _warp_notes(settings, plan)
    judged = _judged_truth(settings, plan)
    notes += judged.get("notes", [])
    notes += plan.study.missing_judges
    judges = _judges(judged, counts)
    directory = settings.run_directory
    write_probes(directory / PROBES, probe_records(settings, plan, failed))
    write_records(directory / RECORDS, records)
    manifest = _manifest(settings, plan, failed, tuple(dict.fromkeys(notes)), judges, records, floors)
    write_manifest(directory / MANIFEST, manifest)
    _write_observations(settings, plan)


def _write_observations(settings: Settings, plan: Plan) -> None:
    """What each metric can see, beside the records; absent where it was not asked for or has failed."""
    place = settings.run_directory / OBSERVATIONS
    folder = None if plan.observed is None else folder_of(settings, plan, plan.observed)
    if folder is None or not folder.is_complete():
        place.unlink(missing_ok=True)
    else:
        write_text(place, (folder.path / OBSERVATIONS).read_text(encoding="utf-8"))


def probe_records(settings: Settings, plan: Plan, failed: Mapping[str, str]) -> list[ProbeRecord]:
    """What was read from the embeddings of all cells, and from the reference."""
    probed = [(c.variant.method.name, c.variant.ablation, c.seed, c.probe, c.name) for c in plan.cells]
    if plan.reference is not None:
        probed.append((REFERENCE, FULL, 0, plan.reference, ""))
    records = []
    for method, ablation, seed, key, cell in probed:
        if key is None or cell in failed:
            continue
        rows = _probed(settings, plan, key)["rows"]
        records += [ProbeRecord(plan.study.corpus.name, method, ablation, seed, **row) for row in rows]
    return records


def _probed(settings: Settings, plan: Plan, key: str) -> dict[str, Any]:
    path = folder_of(settings, plan, key).path / PROBED
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {"rows": [], "about": {}}


def _probes_about(settings: Settings, plan: Plan) -> dict[str, Any]:
    return {} if plan.reference is None else _probed(settings, plan, plan.reference)["about"]


def _add_counts(found: dict[str, Any], cell: Cell, judged: Mapping[str, Any]) -> None:
    """Add a cell's tables of verdicts to those of its row, whatever its seed."""
    tables = {name: table["confusion"] for name, table in judged.items() if "confusion" in table}
    for name, by_condition in {**tables, AGREEMENT: judged.get(AGREEMENT, {})}.items():
        for condition, counts in by_condition.items():
            key = f"{cell.variant.method.name}/{cell.variant.ablation}/{condition}"
            own = found.setdefault(name, {})
            own[key] = _sum(own[key], counts) if key in own else counts


def _sum(first: Sequence[Sequence[int]], second: Sequence[Sequence[int]]) -> list[list[int]]:
    return [[a + b for a, b in zip(x, y, strict=True)] for x, y in zip(first, second, strict=True)]


def _manifest(
    settings: Settings,
    plan: Plan,
    failed: Mapping[str, str],
    notes: tuple[str, ...],
    judges: Mapping[str, Any],
    records: Sequence[Record],
    floors: Mapping[str, Mapping[str, Floor]],
) -> Manifest:
    study = plan.study
    used = {record.protocol for record in records}
    conditions = dict.fromkeys(item.condition for item in study.items)
    return Manifest(
        suite=settings.suite,
        corpus=study.corpus.name,
        corpus_description=study.corpus.description,
        protocols={m.id: info(m) for m in METRICS if m.id in used},
        methods={c.variant.row: RowInfo(c.variant.label, c.variant.kind, c.variant.asks) for c in plan.cells},
        conditions={name: condition_text(name, study.items) for name in conditions},
        seeds=settings.seeds,
        clips={item.id: _described(item) for item in study.items},
        cells=tuple(_cell_info(cell, failed) for cell in plan.cells),
        notes=notes,
        judges=judges,
        floors=floors,
        provenance=_provenance(settings, plan),
        probes=_probes_about(settings, plan),
        media=_media(settings, plan, failed),
    )


def _described(item: Item) -> dict[str, Any]:
    return {
        "condition": item.condition,
        "sentence": item.audio.sentence,
        "text": item.audio.text,
        "emotion": item.emotion.emotion,
        "intensity": item.emotion.intensity,
        "speaker": item.target.speaker,
        "audio": item.audio.id,
        "emotion_from": item.emotion.id,
        "target": item.target.id,
    }


def _cell_info(cell: Cell, failed: Mapping[str, str]) -> CellInfo:
    return CellInfo(
        method=cell.variant.method.name,
        ablation=cell.variant.ablation,
        seed=cell.seed,
        status="FAILED" if cell.name in failed else "done",
        reason=failed.get(cell.name, ""),
        run_id=cell.run_id,
        overrides=cell.variant.overrides,
        stages=dict(cell.stages),
    )


def _warp_notes(settings: Settings, plan: Plan) -> list[str]:
    """What the warped truth of a recorded corpus gets wrong by itself."""
    path = folder_of(settings, plan, plan.truth).path / WARPED
    if not path.is_file():
        return []
    found = json.loads(path.read_text(encoding="utf-8"))
    trip = ", ".join(f"{metric_of(name).label} {value:.2f}" for name, value in found["round trip"].items())
    floors = "; ".join(f"on {speech} {_listed(error)}" for speech, error in ERROR.items())
    return [
        "The truth of transfer is another recording, warped in time, and wrong by itself. Against the exact "
        f"truth, which parametric faces know, such truths score {floors}; the {found['clips']} of this "
        f"study, warped there and back, {trip}. A method at that level cannot be told from a perfect one, "
        "nor two methods whose difference is below it. Frames cannot be warped: transfer has no image scores."
    ]


def _listed(error: Mapping[str, tuple[float, float]]) -> str:
    return ", ".join(f"{metric_of(n).label} {mean:.2f} ± {half:.2f}" for n, (mean, half) in error.items())


def _judged_truth(settings: Settings, plan: Plan) -> dict[str, Any]:
    """What the judges make of the true clips; empty without judges."""
    folder = folder_of(settings, plan, plan.truth)
    if not folder.is_complete():
        return {}
    return json.loads((folder.path / JUDGED).read_text(encoding="utf-8"))


def _agreed(counts: Sequence[Sequence[int]]) -> dict[str, Any]:
    return {"counts": counts, "kappa": cohen_kappa(counts)}


def _judges(judged: Mapping[str, Any], counts: Mapping[str, Any]) -> dict[str, Any]:
    """By judge what `records.Manifest.judges` says."""
    judges: dict[str, Any] = {}
    for name, table in judged.items():
        if "labels" in table:
            told = {key: table[key] for key in ("labels", "chance", "temperature", "calibration")}
            ceilings = table["accuracy"]
            judges[name] = {
                **told,
                "ceiling": ceilings.get("self"),
                "ceilings": ceilings,
                "truth": table["confusion"],
                "confusion": dict(counts.get(name, {})),
            }
    if judged.get(AGREEMENT):
        judges[AGREEMENT] = {
            "truth": {c: _agreed(table) for c, table in judged[AGREEMENT].items()},
            "rows": {key: _agreed(table) for key, table in counts.get(AGREEMENT, {}).items()},
        }
    if judged.get("sync"):
        judges["sync"] = {"truth": judged["sync"]}
    return judges


def _floors(settings: Settings, plan: Plan) -> tuple[dict[str, dict[str, Floor]], list[str]]:
    """What real clips score against other real clips, and what is left out of it, in sentences."""
    folder = folder_of(settings, plan, plan.truth)
    if not folder.is_complete():
        return {}, []
    found = json.loads((folder.path / FLOORS).read_text(encoding="utf-8"))
    floors = {p: {c: Floor(**f) for c, f in own.items()} for p, own in found["floors"].items()}
    return floors, found["notes"]


def _provenance(settings: Settings, plan: Plan) -> dict[str, Any]:
    study, split = plan.study, plan.study.split
    unheard = study.config.pretraining_left_out
    return {
        "command": command_of(settings),
        "corpus identity": study.corpus_id,
        "subject": split.subject,
        "split": {
            "train": len(split.train),
            "validation": len(split.validation),
            "test": len(split.test),
            "judge": len(split.judge_train),
            "items": len(study.items),
        },
        "test sentences": sorted({clip.sentence for clip in split.test}),
        **({"left out": dict(study.config.left_out)} if study.config.left_out else {}),
        **({"left out of pre-training": dict(unheard)} if unheard else {}),
        "numerics": {"digest": plan.numerics.digest, **plan.numerics.facts},
        "python": platform.python_version(),
        "packages": {name: _version(name) for name in PACKAGES},
        "commit": _commit(),
        "configuration": {
            "split": dict(settings.split),
            "film": dict(settings.film),
            "items": dict(settings.items),
            "metrics": {k: v for k, v in settings.metrics.items() if k != "inception_weights"},
        },
        "selection": f"Weights were selected on {_held_out(split)}, never on test clips.",
    }


def _held_out(split: Split) -> str:
    return "validation sentences" if split.validation_by_sentence else "other takes of a training sentence"


def _version(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return "not installed"


def _commit() -> str:
    root = Path(__file__).resolve().parents[1]

    def git(*arguments: str) -> str | None:
        try:
            done = subprocess.run(
                ["git", "-C", str(root), *arguments], capture_output=True, text=True, timeout=10, check=True
            )
        except (OSError, subprocess.SubprocessError):
            return None
        return done.stdout.strip()

    if git("rev-parse", "--show-toplevel") != str(root):
        return "unknown"
    commit = git("rev-parse", "HEAD")
    if commit is None:
        return "unknown"
    return commit + (" with changes" if git("status", "--porcelain", "--untracked-files=no") else "")


def _media(settings: Settings, plan: Plan, failed: Mapping[str, str]) -> dict[str, dict[str, str]]:
    media: dict[str, dict[str, str]] = {}

    def add(name: str, key: str) -> None:
        folder = folder_of(settings, plan, key)
        for item in plan.study.items:
            video = folder.path / video_file(item)
            if video.is_file():
                place = Path("media") / folder.path.name / f"{slug(item.id)}.mp4"
                _lend(video, settings.run_directory / place)
                media.setdefault(item.id, {})[name] = place.as_posix()

    add("truth", plan.truth)
    for cell in plan.cells:
        if cell.name not in failed:
            add(f"{cell.variant.method.name}/{cell.variant.ablation}/{cell.seed}", cell.media)
    return media


def _lend(video: Path, place: Path) -> None:
    """Let the run's folder hold a stage's video, so that it can be moved; linked where possible."""
    if place.is_file():
        return
    place.parent.mkdir(parents=True, exist_ok=True)
    try:
        os.link(video, place)
    except OSError:
        copy_file(video, place)


# Mirror


def mirror_jobs(settings: Settings, plan: Plan) -> dict[str, Job]:
    """One per cell that the tracker has not seen with these scores; none where tracking is off."""
    mode = settings.tracking["mode"]
    if mode == "disabled":
        return {}
    jobs: dict[str, Job] = {}
    for cell in plan.cells:
        marker = settings.run_directory / "wandb" / "mirrored" / f"{cell.run_id}-{cell.stages['score']}"
        if marker.exists():
            continue
        key = f"mirror-{cell.run_id}-{cell.seed}"
        payload = {
            "mode": mode,
            "marker": marker.name,
            "run_id": f"{cell.run_id}-{cell.seed}",
            "name": cell.name,
            "group": cell.variant.row,
            "suite": settings.suite,
            "corpus": plan.study.corpus.name,
            "seed": cell.seed,
            "config": {"method": dict(cell.variant.method.config), "ablation": cell.variant.ablation},
            "logs": {name: f"{name}-{identity}" for name, identity in cell.stages.items()},
            "scores": f"score-{cell.stages['score']}",
        }
        jobs[f"{key}"] = Job(key, "mirror", "mirror", needs=(cell.score,), payload=payload)
    if jobs and mode == ONLINE:
        # Asked once for all cells, which wait for the answer.
        jobs = {k: replace(job, needs=(*job.needs, CONNECT)) for k, job in jobs.items()}
        jobs[CONNECT] = Job(CONNECT, "mirror", "mirror", payload={"mode": mode})
    return jobs


# Report and summary


def report(directory: Path) -> Path:
    """The report's page, built again only if the records, the manifest or the report's code have changed."""
    import reports

    root = Path(reports.__file__).parent
    code = {
        p.relative_to(root).as_posix(): file_digest(p)
        for p in sorted(root.rglob("*"))
        if p.suffix in (".py", ".html", ".css", ".js", ".j2", ".tex")
    }
    read = [p for name in (RECORDS, MANIFEST, PROBES, OBSERVATIONS) if (p := directory / name).is_file()]
    now = digest_of([{p.name: file_digest(p) for p in read}, code])
    page, marker = directory / "report" / "index.html", directory / BUILT_FROM
    if page.is_file() and marker.is_file() and marker.read_text().strip() == now:
        return page
    from reports.paper import build_report

    built = Path(build_report(directory))
    write_text(marker, now + "\n")
    return built if built.is_file() else page


def summary(
    settings: Settings, plan: Plan, failed: Mapping[str, str], page: Path, *, nothing_done: bool
) -> str:
    """The main landmark scores per row, what failed, and where the report is."""
    records = read_records(settings.run_directory / RECORDS)
    shown = [m for m in METRICS if m.main and m.level == "clip" and any(r.protocol == m.id for r in records)]
    widths = [max(11, len(m.label) + 2) for m in shown]
    lines: list[str] = []
    for condition in dict.fromkeys(item.condition for item in plan.study.items):
        heads = zip(shown, widths, strict=True)
        lines.append(f"{condition:26}" + "".join(f"{m.label:>{width}}" for m, width in heads))
        for row in dict.fromkeys(cell.variant.row for cell in plan.cells):
            label = next(c.variant.label for c in plan.cells if c.variant.row == row)
            cells = zip((_mean(records, row, condition, m.id) for m in shown), widths, strict=True)
            lines.append(f"  {label[:24]:24}" + "".join(f"{c:>{width}}" for c, width in cells))
    lines += [f"FAILED {name}: {reason}" for name, reason in failed.items()]
    lines += [f"note: {note}" for note in plan.notes]
    if nothing_done:
        lines.append("nothing was left to do")
    lines.append(f"report: {page}")
    return "\n".join(lines)


def _mean(records: Sequence[Record], row: str, condition: str, protocol: str) -> str:
    method, _, ablated = row.partition("/")
    values = [
        r.value
        for r in records
        if r.method == method
        and r.ablation == (ablated or "full")
        and r.condition == condition
        and r.protocol == protocol
        and r.value is not None
    ]
    return f"{sum(values) / len(values):.3f}" if values else "n/a"
