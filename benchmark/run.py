"""python -m benchmark.run suite=quick: plan, run what is missing, report.

Running again is resuming: what is there is not computed again.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

from benchmark.workers import one_thread

USAGE_TEXT = """\
usage: python -m benchmark.run [group=choice ...] [key=value ...]

Trains and scores methods and their ablations, and writes {out}/<suite>/report/index.html.
Running the same command again goes on where it stopped, and does nothing if all is there.

groups
{groups}

keys (with their defaults; nested ones as split.test_shared=2)
{keys}

ablations
{ablations}

examples
  python -m benchmark.run                                    the quick study on the embedded corpus
  python -m benchmark.run suite=smoke                        everything once, tiny
  python -m benchmark.run suite=full seeds=[0,1,2] workers=8
  python -m benchmark.run suite=quick dry_run=true           what would be done, and how long it takes
  python -m benchmark.run data=folder data.root=my/videos    your own recordings
  python -m benchmark.run methods=[evp] ablations=[full,no_dtw] method.landmarks.steps=500

exit codes: 0 done, 2 usage, 3 some cells FAILED (the report is still built), 4 storage fault,
130/143/75 interrupted by SIGINT/SIGTERM/SIGUSR1 (the same command goes on)
"""


def main(arguments: Sequence[str] | None = None, search_path: Sequence[str] = ()) -> int:
    """Run a suite; the exit code says how it went.

    Args:
        search_path: further folders with configuration groups (`method/`, `data/`, ...).
    """
    one_thread()
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    if any(a in ("-h", "--help", "help") for a in arguments):
        print(usage(search_path))
        return 0
    import benchmark.execute
    import benchmark.results  # noqa: F401
    from benchmark.config import load
    from benchmark.signals import run_interruptible

    return run_interruptible(lambda: _run(load(arguments, search_path)))


def _run(settings) -> int:
    from benchmark.execute import do_jobs, failed_cells, unobserved
    from benchmark.plan import make_plan, needed_jobs
    from benchmark.preparation import inspected_study, settled_plan
    from benchmark.results import mirror_jobs, report, summary, write_results, writing
    from benchmark.run_folder import claim
    from benchmark.training.stage_cache import discard_finished_work
    from models.errors import storage_faults

    def planned(study):
        plan = make_plan(settings, study)
        # Not before: a configuration that is refused leaves no folder behind.
        if settings.dry_run:
            claim(settings, study)
        else:
            with storage_faults(f"beginning work in {settings.out}"), writing(settings.run_directory):
                claim(settings, study)
        return plan

    plan = settled_plan(settings, inspected_study(settings), planned)
    stages = settings.out / "stages"
    jobs = needed_jobs(plan, stages, observing=True)
    if settings.dry_run:
        print(_dry_run(settings, plan, jobs))
        return 0
    for note in plan.study.data_notes if jobs else ():
        print(f"note: {note}", file=sys.stderr)
    mirrors = mirror_jobs(settings, plan)
    begin_work(settings, jobs, mirrors)
    discard_finished_work(stages)
    outcome = do_jobs(settings, plan, jobs, mirrors)
    failed = failed_cells(plan, outcome)
    with storage_faults(f"writing results to {settings.run_directory}"), writing(settings.run_directory):
        write_results(settings, plan, failed)
        page = report(settings.run_directory)
    for warning in dict.fromkeys([*outcome.warnings, *unobserved(plan, outcome)]):
        print(f"warning: {warning}", file=sys.stderr)
    print(summary(settings, plan, failed, page, nothing_done=not outcome.done and not failed))
    return 3 if failed else 0


def begin_work(settings, jobs, mirrors=()) -> None:
    """Make the folder of the stages, and refuse places that cannot be written before anything is computed.

    Raises:
        StorageError: naming the key of the configuration.
    """
    from models.errors import storage_faults
    from models.files import check_output_folder

    with storage_faults(f"beginning work in {settings.out}"):
        (settings.out / "stages").mkdir(parents=True, exist_ok=True)
    if jobs or mirrors:
        check_output_folder(settings.out / "stages", "out")
        check_output_folder(settings.run_directory, "out")
    if any(job.kind == "prepare" for job in jobs):
        check_output_folder(settings.cache, "cache")


def _dry_run(settings, plan, jobs) -> str:
    from benchmark.preparation import unprepared
    from benchmark.progress import Estimates, duration
    from benchmark.training.stage_cache import past_seconds

    estimates = Estimates(past_seconds(settings.out / "stages"))
    todo = {job.key for job in jobs}
    folders = [job for job in plan.jobs.values() if job.id]
    uses = {job.key: 0 for job in folders}
    for cell in plan.cells:
        for name, identity in cell.stages.items():
            uses[f"{name}-{identity}"] = uses.get(f"{name}-{identity}", 0) + 1
    lines = [f"{len(plan.cells)} cells"]
    for cell in plan.cells:
        own = [f"{name}-{identity}" for name, identity in cell.stages.items()]
        lines.append(f"  {cell.name}: {len(own)} stages, {sum(key not in todo for key in own)} cached")
    lines.append(f"{len(folders)} stages")
    for job in folders:
        state = (
            "to do"
            if job.key in todo
            else "cached"
            if job.folder(settings.out / "stages").is_complete()
            else "not needed"
        )
        lines.append(
            f"  {job.key}: {state}" + (f", used by {uses[job.key]} cells" if uses.get(job.key) else "")
        )
    unknown = {job.name for job in jobs if job.id and not estimates.known(job)}
    total = sum(estimates.seconds(job) for job in jobs) / settings.workers
    lines.append(
        f"{len(jobs)} jobs to do with {settings.workers} workers: about {duration(total)}"
        + (f" (never timed here, guessed: {', '.join(sorted(unknown))})" if unknown else "")
    )
    if waiting := unprepared(plan):
        lines.append(
            f"{waiting} clips are not prepared yet: whether each shows a face and decodes to its end is "
            "known then, before anything is trained"
        )
    return "\n".join([*lines, *plan.notes])


def usage(search_path: Sequence[str] = ()) -> str:
    from benchmark.ablations import ABLATIONS
    from benchmark.config import GROUPS, Composer

    composer = Composer((), (), tuple(search_path))
    groups = "\n".join(f"  {group:9} {', '.join(composer.choices(group))}" for group in GROUPS)
    keys = (_config_text().split("\n\n", 1)[1]).rstrip()
    ablations = "\n".join(f"  {a.name:24} {a.asks}" for a in ABLATIONS)
    indented = "\n".join(f"  {line}" if line else "" for line in keys.splitlines())
    return USAGE_TEXT.format(out="results", groups=groups, keys=indented, ablations=ablations)


def _config_text() -> str:
    from benchmark.config import CONFIGS

    return (CONFIGS / "config.yaml").read_text(encoding="utf-8")


if __name__ == "__main__":
    from benchmark.signals import run_and_exit

    run_and_exit(main)
