"""Settles which recordings a study uses: inspect all, prepare what it needs, leave out what cannot be used.

Two things make a recording unusable. Its headers, packets or sound (truncated, silent, no picture), which
`Recordings.inspect` sees before anything is split; and what only preparation finds (no face, damage inside a
packet). `data.unusable` says what follows: `refuse` names all such recordings and stops before the work,
`skip` leaves them out and says so.

With `skip` the corpus is split as if the recordings were not there. What preparation finds leads to another
split, whose clips are prepared in turn, until all can be used. Every round looks at the clips of its own
split alone, whatever else is prepared already: so the outcome is a function of the files, and a run that is
resumed, or that comes after another suite, ends with the same split.

The corpus that content encoders are pre-trained on is treated alike, by `pretraining.corpus.unusable`.
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
from benchmark.plan import Job, Plan, corpus_of, needed_jobs
from benchmark.study import DATA, Study, StudyConfig
from models.errors import storage_faults
from models.types import Clip

SAY_SECONDS = 5.0
"""How often the progress of an inspection is told; a second one takes its verdicts from the cache."""


class UnusableRecordings(CorpusError):
    """Recordings that cannot be used, where `unusable=refuse`: each is named in `problems`.

    Args:
        reasons: by recording, by the key of their corpus.
    """

    def __init__(self, corpora: Mapping[str, Recordings], reasons: Mapping[str, Mapping[str, str]]) -> None:
        messages: list[str] = []
        problems: list[str] = []
        for key, part in reasons.items():
            plural, them = ("s", "them") if len(part) > 1 else ("", "it")
            messages.append(
                f"{corpora[key].name}: {len(part)} recording{plural} cannot be used (named below): mend or "
                f"remove {them}, or leave {them} out by {key}.unusable=skip"
            )
            problems += [f"cannot be used: {name}: {reason}" for name, reason in part.items()]
        super().__init__("; ".join(messages), problems=problems)


def settled_plan(settings: Settings, study: Study, make: Callable[[Study], Plan]) -> Plan:
    """Plan a study whose recordings can all be used; clips are prepared on the way unless `dry_run`.

    Args:
        study: inspected.
        make: plans a study.

    Raises:
        UnusableRecordings: some cannot be used, and `unusable=refuse`.
        CorpusError: without them, nothing that can be split is left.
    """
    while True:
        plan = make(study)
        reasons = _prepared(settings, plan)
        if not any(reasons.values()):
            return plan
        study = _without(study, reasons)


def inspected_study(settings: Settings) -> Study:
    """Return the study of settings without the recordings that are seen to be unusable before any work.

    Raises:
        UnusableRecordings: there are some, and `unusable=refuse`.
    """
    study = Study(StudyConfig.of(settings))
    inspections = {key: corpus.inspect(_tell(corpus)) for key, corpus in study.recorded.items()}
    notes = tuple(note for inspection in inspections.values() for note in inspection.notes)
    reasons = {key: inspection.unusable for key, inspection in inspections.items()}
    return _without(Study(replace(study.config, notes=notes)), reasons)


def _without(study: Study, reasons: Mapping[str, Mapping[str, str]]) -> Study:
    """Return the study that leaves out further recordings, by the key of their corpus."""
    refused = {k: part for k, part in reasons.items() if part and study.recorded[k].unusable == "refuse"}
    if refused:
        raise UnusableRecordings(study.recorded, refused)
    return Study(study.config.without(reasons)) if any(reasons.values()) else study


def _prepared(settings: Settings, plan: Plan) -> dict[str, dict[str, str]]:
    """Prepare what unfinished stages read, and return the plan's recordings that cannot be used."""
    recorded = plan.study.recorded
    clip_ids = {key: [clip.id for clip in _recorded_clips(plan, key)] for key in recorded}

    def refusals() -> dict[str, dict[str, str]]:
        return {key: recorded[key].refusals(ids) for key, ids in clip_ids.items()}

    if settings.dry_run or not recorded:
        return refusals()
    for key, ids in clip_ids.items():
        # Clips are tried again where the machine may have been at fault, and all of them after a refusal.
        recorded[key].forget_refusals(ids, lasting=recorded[key].unusable == "refuse")
    if any((known := refusals()).values()):
        return known
    jobs = [_collecting(job) for job in needed_jobs(plan, settings.out / "stages") if job.kind == "prepare"]
    missing = {key: _unprepared_ids(plan, key) for key in recorded}
    jobs = [job for job in jobs if missing.get(corpus_of(job), set()).intersection(job.payload["clips"])]
    if not jobs:
        return {}
    with storage_faults(f"beginning work in {settings.out}"):
        (settings.out / "stages").mkdir(parents=True, exist_ok=True)
    do_jobs(settings, replace(plan, jobs={job.key: job for job in jobs}), jobs, {})
    return refusals()


def unprepared(plan: Plan) -> int:
    """Count the clips of recordings that nobody has prepared yet: what preparation finds is not known."""
    return sum(
        not _is_prepared(plan.study, clip, key)
        for key in plan.study.recorded
        for clip in _recorded_clips(plan, key)
    )


def _recorded_clips(plan: Plan, key: str) -> list[Clip]:
    """Return the clips of a recorded corpus that the plan reads and that are recordings as they stand."""
    if key not in {corpus_of(job) for job in plan.jobs.values() if job.kind == "prepare"}:
        return []
    holds_clip = plan.study.recorded[key].holds_clip
    return [clip for clip in plan.study.clips_of(key) if holds_clip(clip.id)]


def _unprepared_ids(plan: Plan, key: str) -> set[str]:
    return {clip.id for clip in plan.study.clips_of(key) if not _is_prepared(plan.study, clip, key)}


def _collecting(job: Job) -> Job:
    """Return the job told to remember unusable recordings rather than to fail."""
    return replace(job, payload={**job.payload, "collect": True})


def _is_prepared(study: Study, clip: Clip, key: str) -> bool:
    names = ["waveform"]
    if key == DATA:
        names += ["landmarks", *(["frames"] if clip.filmed and study.corpus.has_frames else [])]
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
