"""Two folders of videos -> records, a manifest and a report, whole or not at all."""

from __future__ import annotations

import csv
import hashlib
import importlib.metadata
import io
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol

from benchmark.metrics.metric import info
from benchmark.metrics.registry import METRICS
from benchmark.metrics.score import Score
from benchmark.names import few, manifest_name
from benchmark.records import (
    FULL,
    MANIFEST,
    RECORDS,
    WHOLE_SET,
    CellInfo,
    Manifest,
    Record,
    RowInfo,
    write_manifest,
    write_records,
    write_text,
)
from benchmark.score.clip import ClipResult, Rules
from benchmark.score.pairing import NAMED, Allowances, FolderError, Pair, Paired, pair_folders, shared_notes
from benchmark.score.speakers import read_speakers
from benchmark.score.work import SetScores, Stalls, Workers
from benchmark.signals import check
from models.errors import InputError, printable, storage_faults
from models.files import FRESH, check_output_folder, filled_folder
from models.locks import LOCK, folder_lock
from models.preprocess.decoder import Decoder
from models.preprocess.facemesh import FaceMesh

CONDITION = "paired"
ASKED = "Every generated video beside the reference of the same name."
REPORT, SCORES_CSV = "report.html", "scores.csv"
DETECTION_SECONDS = 0.015
"""Of one core for one frame, by FaceMesh."""


@dataclass(frozen=True)
class Settings:
    """What `python -m benchmark.score` was asked for."""

    generated: Path
    reference: Path
    out: Path
    rules: Rules
    allow: Allowances = field(default_factory=Allowances)
    landmarks: Mapping[str, Path] | None = None
    """Folder of landmark files by side; None: FaceMesh finds them."""
    cache: Path = Path(".cache/score")
    workers: int = 1
    resamples: int = 200
    allow_biased: bool = False
    overwrite: bool = False
    speakers: str | None = None
    """Whose the clips are: see `benchmark.score.speakers.read_speakers`."""
    stall_seconds: float = 0.0
    """Seconds without progress after which a pair is named; 0: never."""
    end_stalled: bool = False
    """Whether that ends the command."""


class Follower(Protocol):
    """Whoever shows how far the work is."""

    def __call__(self, phase: str, done: int, total: int) -> None: ...

    def say(self, message: str) -> None: ...


def score_folders(settings: Settings, follow: Follower) -> Path:
    """Score a folder and return its report page.

    Raises:
        FolderError: naming every file that cannot be scored.
        InputError: a folder, a weight file or an option that cannot be used.
        StorageError: the results cannot be written.
    """
    _check_out(settings)
    check_output_folder(settings.out, "--out")
    identity = _detector_identity(settings)
    if settings.rules.landmarks and settings.landmarks is None:
        check_output_folder(settings.cache, "--cache")
    with folder_lock(settings.out, f"the scores in {settings.out}", say=follow.say, wait=check, remove=True):
        # Another process may have filled it while this one waited.
        _check_out(settings)
        return _score(settings, identity, follow)


def _score(settings: Settings, identity: str, follow: Follower) -> Path:
    paired = _pair(settings, follow)
    speakers = read_speakers(settings.speakers, [pair.name for pair in paired.pairs])
    for note in paired.notes:
        follow.say(note)
    follow.say(_forecast(settings, paired))
    stalls = Stalls(settings.stall_seconds, settings.end_stalled, follow.say)
    with Workers(settings.workers, settings.rules, settings.cache, stalls) as workers:
        workers.prepare()
        results = _score_clips(workers, paired.pairs, follow)
        sets = workers.score_sets(
            results,
            condition=CONDITION,
            resamples=settings.resamples,
            allow_biased=settings.allow_biased,
            speakers=speakers,
        )
    manifest = _manifest(settings, paired, results, sets, identity)
    records = _records(manifest, results, sets.scores)
    with storage_faults(f"writing {settings.out}"), filled_folder(settings.out, last=REPORT) as fresh:
        write_records(fresh / RECORDS, records)
        write_manifest(fresh / MANIFEST, manifest)
        write_text(fresh / SCORES_CSV, _csv(paired.pairs, results))
        from reports.folder import build_folder_report

        build_folder_report(fresh)
    return settings.out / REPORT


def _pair(settings: Settings, follow: Follower) -> Paired:
    decoder = Decoder()
    try:
        return pair_folders(
            settings.generated,
            settings.reference,
            decoder,
            allow=settings.allow,
            landmarks=settings.landmarks,
            cropped=settings.rules.crop == "face",
            progress=lambda done, total: follow("checking", done, total),
        )
    finally:
        decoder.close()


def _check_out(settings: Settings) -> None:
    out = settings.out
    if not out.exists():
        return
    if not out.is_dir():
        raise InputError(f"{out}: is a file; expected a folder for the report, or a new name")
    ours = (out / MANIFEST).is_file() and (out / REPORT).is_file()
    if any(p.name not in (LOCK, FRESH) for p in out.iterdir()) and not ours:
        raise InputError(f"{out}: has files of something else in it; set --out to a new folder")
    if ours and not settings.overwrite:
        raise InputError(f"{out}: holds scores already; --overwrite replaces them")


def _detector_identity(settings: Settings) -> str:
    """What the landmarks come from; fails before any work where the detector's files are missing."""
    if not settings.rules.landmarks:
        return "none"
    return "given" if settings.landmarks is not None else FaceMesh().identity()


def _forecast(settings: Settings, paired: Paired) -> str:
    """What lies ahead, so that nobody waits without knowing for how long."""
    frames = sum(pair.generated.outline.frames + pair.reference.outline.frames for pair in paired.pairs)
    told = f"{counted(len(paired.pairs), 'pair')}, {frames} frames"
    if not settings.rules.landmarks or settings.landmarks is not None:
        return told
    minutes = frames * DETECTION_SECONDS / settings.workers / 60
    return f"{told}; FaceMesh looks at those it has not seen yet, about {minutes:.1f} minutes at most"


def counted(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"


def _score_clips(workers: Workers, pairs: Sequence[Pair], follow: Follower) -> list[ClipResult]:
    """Results in the order of the pairs.

    Raises:
        FolderError: naming every pair that could not be scored.
    """
    found: dict[str, ClipResult] = {}
    problems: dict[str, str] = {}
    follow("scoring", 0, len(pairs))
    for pair, outcome in workers.score(pairs):
        if isinstance(outcome, str):
            problems[pair.name] = outcome
        else:
            found[pair.name] = outcome
            for note in (*outcome.notes, *(f"reference {pair.name}: {n}." for n in outcome.sound_notes)):
                follow.say(note)
        follow("scoring", len(found) + len(problems), len(pairs))
    if problems:
        raise FolderError([problems[name] for name in sorted(problems)])
    return [found[pair.name] for pair in pairs]


def _people(results: Sequence[ClipResult]) -> Iterator[str]:
    """Clips in which several people are seen, in one sentence."""
    notes = [note for result in results for note in result.notes]
    if notes:
        clips = few(notes, NAMED, between=" ")
        yield f"Several people are in the picture (--face chooses another one): {clips}"


def _sounds(results: Sequence[ClipResult]) -> list[str]:
    """Say what is wrong with the sounds that were heard."""
    return shared_notes((r.name, f"the reference's sound: {note}") for r in results for note in r.sound_notes)


def _left_out(settings: Settings, results: Sequence[ClipResult]) -> Iterator[str]:
    """Clip protocols that do not apply, in sentences."""
    scored = set(results[0].scores).union(*(result.scores for result in results))
    for metric in METRICS:
        if metric.level != "clip":
            continue
        partly = [r.name for r in results if metric.id not in r.scores]
        if metric.id in scored and partly:
            yield f"{metric.label} does not apply to {len(partly)} clips, such as {partly[0]}."
    without = [m.label for m in METRICS if m.level == "clip" and m.id not in scored]
    if without:
        yield f"Not scored, as they need more than is given here: {', '.join(without)}."
    if settings.rules.crop == "none" and settings.rules.landmarks:
        yield (
            "Landmarks are scaled so that the frame is 256 px wide; protocols without alignment depend on "
            "how the videos are cropped."
        )


def _records(
    manifest: Manifest, results: Sequence[ClipResult], sets: Mapping[str, Score]
) -> Iterator[Record]:
    (method,) = manifest.methods
    for result in results:
        for protocol, score in result.scores.items():
            yield _record(manifest.corpus, method, protocol, result.name, score)
    for protocol, score in sets.items():
        yield _record(manifest.corpus, method, protocol, WHOLE_SET, score)


def _record(corpus: str, method: str, protocol: str, clip: str, score: Score) -> Record:
    known = {
        key: value
        for key, value in asdict(score).items()
        if key in Record.__dataclass_fields__ and value is not None
    }
    return Record(corpus, method, FULL, 0, CONDITION, protocol, clip, **{"value": None, **known})


def _manifest(
    settings: Settings,
    paired: Paired,
    results: Sequence[ClipResult],
    sets: SetScores,
    identity: str,
) -> Manifest:
    generated, reference = _shown_name(settings.generated), _shown_name(settings.reference)
    method = manifest_name(generated)
    scored = set(sets.scores).union(*(result.scores for result in results))
    frames = sum(pair.frames for pair in paired.pairs)
    return Manifest(
        suite="score",
        corpus=manifest_name(reference),
        corpus_description=f"{counted(len(results), 'clip')}, {counted(frames, 'frame')} at 25 fps.",
        protocols={metric.id: info(metric) for metric in METRICS if metric.id in scored},
        methods={method: RowInfo(generated, "method")},
        conditions={CONDITION: ASKED},
        seeds=(0,),
        clips={pair.name: _facts(pair, r) for pair, r in zip(paired.pairs, results, strict=True)},
        cells=(CellInfo(method, FULL, 0, "done"),),
        notes=(
            *paired.notes,
            *_sounds(results),
            *_people(results),
            *_left_out(settings, results),
            *sets.notes,
        ),
        floors=sets.floors,
        provenance={"reference name": reference, **_provenance(settings, identity)},
    )


def _shown_name(folder: Path) -> str:
    """Return a folder's own name, or its whole path where it has none, as text that can be written."""
    path = folder.resolve()
    return printable(path.name or str(path))


def _facts(pair: Pair, result: ClipResult) -> dict[str, Any]:
    outline = pair.reference.outline
    return {
        "condition": CONDITION,
        "frames": pair.frames,
        "width": outline.width,
        "height": outline.height,
        "faces": result.faces,
    }


def _provenance(settings: Settings, identity: str) -> dict[str, Any]:
    rules = asdict(replace(settings.rules, inception_weights=None, sync_judge=None))
    weights, judge = settings.rules.inception_weights, settings.rules.sync_judge
    return {
        "generated": printable(str(settings.generated)),
        "reference": printable(str(settings.reference)),
        "landmarks": identity,
        "crop": rules["crop"],
        "face": rules["face"],
        "extractors": list(rules["extractors"]),
        "feature_every": rules["every"],
        "inception_weights": printable(weights.name) if weights else None,
        "sync_judge": hashlib.sha256(judge.read_bytes()).hexdigest()[:16] if judge else None,
        "resamples": settings.resamples,
        "speakers": printable(settings.speakers) if settings.speakers else None,
        "allowed": asdict(settings.allow),
        "versions": {
            name: importlib.metadata.version(name) for name in ("evp-bench", "av", "numpy", "opencv-python")
        },
    }


def _csv(pairs: Sequence[Pair], results: Sequence[ClipResult]) -> str:
    """A line per clip: frames, frames with a face, then every clip protocol's value and coverage."""
    scored = set().union(*(result.scores for result in results))
    names = [metric.id for metric in METRICS if metric.id in scored]
    stream = io.StringIO(newline="")
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(["clip", "frames", "faces", *(f"{n}{s}" for n in names for s in ("", " coverage"))])
    for pair, result in zip(pairs, results, strict=True):
        line: list[object] = [pair.name, pair.frames, result.faces]
        for name in names:
            score = result.scores.get(name, Score(None, coverage=0.0))
            line += ["" if score.value is None else repr(float(score.value)), repr(float(score.coverage))]
        writer.writerow(line)
    return stream.getvalue()
