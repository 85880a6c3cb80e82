"""Every configuration there is: methods under every scale, corpora, suites. No media is read or made."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmark.ablations import ABLATIONS
from benchmark.config import CONFIGS, KINDS, instantiate, load, parse
from benchmark.data.corpus import Corpus
from benchmark.plan import make_plan
from benchmark.study import Study, StudyConfig
from models.method import Method, Stage
from models.targets import check_tree

COMPOSER = parse([])
METHODS, SCALES, CORPORA, SUITES, TRACKING = (
    COMPOSER.choices(group) for group in ("method", "scale", "data", "suite", "tracking")
)
KNOWN = [{"emotions": emotions, "frames": frames} for emotions in (True, False) for frames in (True, False)]


@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize("name", METHODS)
def test_a_method_is_built_with_its_stages_in_order(name: str, scale: str):
    config = parse([f"scale={scale}"]).method(name, (), {"emotions": True, "frames": True})
    assert config.label
    assert config.kind in KINDS
    method = instantiate(config.config, "method", Method)
    assert isinstance(method, Method)
    before: list[str] = []
    for stage_name, stage in method.stages().items():
        assert isinstance(stage, Stage)
        assert set(stage.upstream) <= set(before), f"{stage_name} reads what is not before it"
        tree = config.config[stage_name]
        assert tree["_target_"] == f"{type(stage).__module__}.{type(stage).__qualname__}"
        before.append(stage_name)


@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize("name", ["evp", "evp@paper", "evp@code"])
@pytest.mark.parametrize("pretraining", COMPOSER.choices("pretraining"))
def test_the_content_encoder_starts_from_any_pretraining(pretraining: str, name: str, scale: str):
    chosen = parse([f"pretraining={pretraining}", f"scale={scale}"])
    method = instantiate(chosen.method(name, (), {"emotions": True, "frames": True}).config, "method", Method)
    stages = method.stages()
    present = pretraining != "none"
    assert ("content_pretraining" in stages) == present
    assert ("content_pretraining" in stages["disentangle"].upstream) == present
    if present:
        for size in ("width", "hidden", "content_dim"):
            expected = getattr(stages["disentangle"], size)
            assert getattr(stages["content_pretraining"], size) == expected


@pytest.mark.parametrize("facts", KNOWN, ids=lambda f: ",".join(k for k in f if f[k]) or "nothing")
@pytest.mark.parametrize("name", METHODS)
def test_a_method_is_built_for_whatever_the_corpus_has(name: str, facts: dict[str, bool]):
    method = instantiate(COMPOSER.method(name, (), facts).config, "method", Method)
    before: list[str] = []
    for stage_name, stage in method.stages().items():
        assert set(stage.upstream) <= set(before)
        before.append(stage_name)


@pytest.mark.parametrize("choice", COMPOSER.choices("face3d"))
@pytest.mark.parametrize("name", ["evp", "mean_face", "neutral_face", "nearest_neighbour"])
def test_every_face_model_serves_every_method(name: str, choice: str):
    composer = parse([f"face3d={choice}", "face3d.shapes=7"])
    method = instantiate(
        composer.method(name, (), {"emotions": True, "frames": True}).config, "method", Method
    )
    assert vars(method.stages()["face3d"])["shapes"] == 7


@pytest.mark.parametrize("name", CORPORA)
def test_a_corpus_composes(name: str, tmp_path: Path):
    settings = load([f"data={name}", f"out={tmp_path}/results", f"cache={tmp_path}/cache"])
    check_tree(settings.data, "data", kinds=(Corpus,))
    assert settings.data_name == name
    suffix = "" if name == "synthetic" else f"-{name}"
    assert settings.run_directory == tmp_path / "results" / f"quick{suffix}"


@pytest.mark.parametrize("name", SUITES)
def test_a_suite_plans(name: str, tmp_path: Path):
    settings = load([f"suite={name}", f"out={tmp_path}/results", f"cache={tmp_path}/cache"])
    plan = make_plan(settings, Study(StudyConfig.of(settings)))
    rows = len(settings.methods) - len(settings.ablated) + len(settings.ablated) * len(settings.ablations)
    assert len(plan.cells) == rows * len(settings.seeds)
    assert set(settings.ablations) <= {entry.name for entry in ABLATIONS}
    for key, job in plan.jobs.items():
        assert key == job.key
        assert set(job.needs) <= plan.jobs.keys()
    assert not (tmp_path / "results").exists()


@pytest.mark.parametrize("name", TRACKING)
def test_a_tracking_mode_is_its_name(name: str, tmp_path: Path):
    assert load([f"tracking={name}", f"out={tmp_path}"]).tracking["mode"] == name


def test_every_group_is_looked_at():
    folders = {p.name for p in CONFIGS.iterdir() if p.is_dir()}
    assert folders == {
        "method",
        "scale",
        "features",
        "dtw",
        "pretraining",
        "face3d",
        "align",
        "cycle",
        "data",
        "suite",
        "tracking",
        "face",
    }
