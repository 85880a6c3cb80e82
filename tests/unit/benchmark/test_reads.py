"""The harness's own jobs read the labels that `benchmark.study.READS` declares, and no others."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from benchmark.config import load
from benchmark.execute import _ordered
from benchmark.jobs import Surroundings, run_job
from benchmark.plan import make_plan
from benchmark.study import READS, Study, StudyConfig
from models.types import LABELS, Clip

TOYS = Path(__file__).parents[2] / "toys"


def test_jobs_read_no_label_that_their_identities_lack(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(TOYS))
    import toy_run

    toy_run.lend(monkeypatch.setattr, report=False)
    places = (f"out={tmp_path}/out", f"cache={tmp_path}/cache")
    arguments = ("suite=toy", "seeds=[0]", "ablations=[full]", "methods=[toy,ground_truth]", *places)
    settings = load([*arguments], search_path=[str(TOYS / "configs")])
    study = Study(StudyConfig.of(settings))
    plan = make_plan(settings, study)
    study.identities()
    learned = {clip.id for clip in (*study.split.train, *study.split.validation)}
    reads: dict[str, set[str]] = {kind: set() for kind in READS}
    kind = ""
    plain = Clip.__getattribute__

    def watched(clip: Clip, name: str) -> Any:
        # A predictor may read everything of what the method has learned from.
        if name in LABELS and kind in READS and not (kind == "predict" and plain(clip, "id") in learned):
            reads[kind].add(name)
        return plain(clip, name)

    monkeypatch.setattr(Clip, "__getattribute__", watched)
    around = Surroundings(study, settings.out / "stages")
    for job in _ordered(list(plan.jobs.values())):
        kind = job.kind
        run_job(job, around)
    assert {"judge", "predict", "truth", "score"} <= {kind for kind, labels in reads.items() if labels}
    for kind, labels in reads.items():
        assert labels <= set(READS[kind]), kind
