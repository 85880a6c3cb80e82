"""python -m benchmark.observability: what each metric can see, measured at length, as a page of its own."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from benchmark.workers import one_thread

AT_LENGTH = ("observe.clips=24", "observe.frames=null", "run=observability")
"""What the command asks for beyond a suite's page: every emotion three times, in whole clips."""
USAGE_TEXT = """\
usage: python -m benchmark.observability [key=value ...]

Damages ground truth of the embedded corpus in graded doses, scores it under every protocol, and writes
{out}/observability/: observability.json (one row per protocol, damage, dose and clip), observability.html,
tables/ and figures/. The same command again goes on where it stopped, and does nothing if all is there.

keys (those of benchmark.run that matter here)
  out=results                      where to write; out=PLACE puts it into PLACE/observability/
  cache=.cache                     prepared clips
  observe.clips=24                 test clips, spread over the emotions
  observe.frames=null              only so many frames of each clip's middle; null: whole clips
  observe.frame_size=128           pixels
  observe.judge_sentences=2        how many sentences the other speakers say to the judges
  metrics.extractors=[mobilenetv2-96]

exit codes: 0 done, 2 usage, 3 FAILED, 4 storage fault, 130/143/75 interrupted
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, and write the page; the exit code says how it went."""
    one_thread()
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    if any(a in ("-h", "--help", "help") for a in arguments):
        print(USAGE_TEXT)
        return 0
    import benchmark.execute  # noqa: F401
    import reports.observability  # noqa: F401
    from benchmark.signals import run_interruptible

    return run_interruptible(lambda: _run(arguments))


def _run(arguments: Sequence[str]) -> int:
    from benchmark.config import load
    from benchmark.errors import ConfigError
    from benchmark.execute import do_jobs, unobserved
    from benchmark.observations import OBSERVATIONS, read_observations, write_observations
    from benchmark.plan import observing_plan
    from benchmark.results import folder_of, writing
    from benchmark.run import begin_work
    from models.errors import FAILED, storage_faults
    from reports.observability import sentence, write_observability

    settings = load([*AT_LENGTH, *arguments])
    if settings.observe["clips"] == 0:
        raise ConfigError("observe.clips: expected 1 or more clips to damage, got 0")
    plan = observing_plan(settings)
    (job,) = plan.jobs.values()
    if settings.dry_run:
        print(f"1 job, {job.key}: damage {settings.observe['clips']} clips and score them")
        return 0
    folder = folder_of(settings, plan, job.key)
    jobs = [] if folder.is_complete() and folder.damage() is None else [job]
    begin_work(settings, jobs)
    outcome = do_jobs(settings, plan, jobs, {})
    for reason in unobserved(plan, outcome):
        print(f"FAILED: {reason}", file=sys.stderr)
        return FAILED
    found = read_observations(folder.path / OBSERVATIONS)
    place = settings.run_directory
    with storage_faults(f"writing results to {place}"), writing(place):
        write_observations(place / OBSERVATIONS, found)
        page = write_observability(found, place)
    print("\n".join(sentence(found, p) for p, info in found.protocols.items() if info.main))
    print(f"page: {page}")
    return 0


if __name__ == "__main__":
    from benchmark.signals import run_and_exit

    run_and_exit(main)
