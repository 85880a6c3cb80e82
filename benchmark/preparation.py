"""Settles which recordings a study uses: inspect all, prepare what it needs, leave out what cannot be used.

Two things make a recording unusable. Its headers, packets or sound (truncated, silent, no picture), which
`Recordings.inspect` sees before anything is split; and what only preparation finds (no face, damage inside a
packet). `data.unusable` says what follows: `refuse` names all such recordings and stops before the work,
`skip` leaves them out and says so.

With `skip` the corpus is split as if the recordings were not there. What preparation finds leads to another
split, whose clips are prepared in turn, until all can be used. Every round looks at the clips of its own
split alone, whatever else is prepared already: so the outcome is a function of the files, and a run that is
resumed, or that comes after another suite, ends with the same split.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import replace

from benchmark.config import Settings
from benchmark.data.corpus import CorpusError
from benchmark.data.recordings import Recordings
from benchmark.execute import do_jobs
from benchmark.plan import Job, Plan, needed_jobs
from benchmark.study import Study, StudyConfig
from models.errors import storage_faults
from models.types import Clip

SAY_SECONDS = 5.0
"""How often the progress of an inspection is told; a second one takes its verdicts from the cache."""


class UnusableRecordings(CorpusError):
    """Recordings that cannot be used, where `data.unusable=refuse`: each is named in `problems`."""

    def __init__(self, corpus: Recordings, reasons: Mapping[str, str]) -> None:
        plural = len(reasons) > 1
        super().__init__(
            f"{corpus.name}: {len(reasons)} recording{'s' if plural else ''} cannot be used (named below): "
            f"mend or remove {'them' if plural else 'it'}, or leave {'them' if plural else 'it'} out by "
            "data.unusable=skip",
            problems=[f"cannot be used: {name}: {reason}" for name, reason in reasons.items()],
        )


def settled_plan(settings: Settings, study: Study, make: Callable[[Study], Plan]) -> Plan:
    """Plan a study whose recordings can all be used; clips are prepared on the way unless `dry_run`.

    Args:
        study: inspected.
        make: plans a study.

    Raises:
        UnusableRecordings: some cannot be used, and `data.unusable=refuse`.
        CorpusError: without them, nothing that can be split is left.
    """
    while True:
        plan = make(study)
        new = {} if study.recordings is None else _prepared(settings, plan)
        if not new:
            return plan
        study = _without(study, new)


def inspected_study(settings: Settings) -> Study:
    """Return the study of settings without the recordings that are seen to be unusable before any work.

    Raises:
        UnusableRecordings: there are some, and `data.unusable=refuse`.
    """
    study = Study(StudyConfig.of(settings))
    if study.recordings is None:
        return study
    inspection = study.recordings.inspect(_tell(study.recordings))
    return _without(Study(replace(study.config, notes=inspection.notes)), inspection.unusable)


def _without(study: Study, reasons: Mapping[str, str]) -> Study:
    """Return the study that leaves further recordings out."""
    assert study.recordings is not None
    if not reasons:
        return study
    if study.recordings.unusable == "refuse":
        raise UnusableRecordings(study.recordings, reasons)
    left_out = {**study.config.left_out, **reasons}
    return Study(replace(study.config, left_out=dict(sorted(left_out.items()))))


def _prepared(settings: Settings, plan: Plan) -> dict[str, str]:
    """Prepare what unfinished stages read, and return the plan's recordings that cannot be used."""
    study, recordings = plan.study, plan.study.recordings
    assert recordings is not None
    clip_ids = [clip.id for clip in study.clips if recordings.holds_clip(clip.id)]
    missing = {clip.id for clip in study.clips if not _is_prepared(study, clip)}
    if settings.dry_run:
        return recordings.refusals(clip_ids)
    # Clips are tried again where the machine may have been at fault, and all of them after a refusal.
    recordings.forget_refusals(clip_ids, lasting=recordings.unusable == "refuse")
    if known := recordings.refusals(clip_ids):
        return known
    jobs = [_collecting(job) for job in needed_jobs(plan, settings.out / "stages") if job.kind == "prepare"]
    jobs = [job for job in jobs if missing.intersection(job.payload["clips"])]
    if not jobs:
        return {}
    with storage_faults(f"beginning work in {settings.out}"):
        (settings.out / "stages").mkdir(parents=True, exist_ok=True)
    do_jobs(settings, replace(plan, jobs={job.key: job for job in jobs}), jobs, {})
    return recordings.refusals(clip_ids)


def unprepared(plan: Plan) -> int:
    """Count the clips of recordings that nobody has prepared yet: what preparation finds is not known."""
    study = plan.study
    if study.recordings is None:
        return 0
    return sum(not _is_prepared(study, clip) for clip in study.clips if study.recordings.holds_clip(clip.id))


def _collecting(job: Job) -> Job:
    """Return the job told to remember unusable recordings rather than to fail."""
    return replace(job, payload={**job.payload, "collect": True})


def _is_prepared(study: Study, clip: Clip) -> bool:
    names = ["waveform", "landmarks", *(["frames"] if clip.filmed and study.corpus.has_frames else [])]
    return all((clip.directory / f"{name}.npy").is_file() for name in names)


def _tell(recordings: Recordings) -> Callable[[int, int], None]:
    """Return a progress callback that speaks up only where inspection takes its time."""
    last = time.monotonic()

    def progress(done: int, total: int) -> None:
        nonlocal last
        if time.monotonic() - last >= SAY_SECONDS:
            last = time.monotonic()
            print(f"inspecting the recordings of {recordings.name}: {done} of {total}", file=sys.stderr)

    return progress
