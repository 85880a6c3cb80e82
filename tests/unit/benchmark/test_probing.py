"""Which clips and factors are probed, and that planted factors are found where they were planted."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from benchmark.config import load
from benchmark.data.corpus import CorpusError
from benchmark.data.parametric import Parametric
from benchmark.plan import make_plan, needed_jobs, result_jobs
from benchmark.probing import (
    FACTORS,
    FILE,
    OWN_EMOTION,
    Facts,
    classes_of,
    measures,
    probe,
    probe_clips,
    reference,
    visemes_at,
)
from benchmark.study import Study, StudyConfig


@pytest.fixture(scope="module")
def study(tmp_path_factory) -> Study:
    folder = tmp_path_factory.mktemp("probing")
    return Study(
        StudyConfig.of(load(["suite=smoke", f"cache={folder}", "split.test_shared=2", "probes.clips=72"]))
    )


@pytest.fixture(scope="module")
def facts(study: Study) -> Facts:
    for clip in (*study.probe_clips, *study.split.test):
        study.corpus.prepare(clip, frames=False)
    assert isinstance(study.corpus, Parametric)
    return Facts.of(study.corpus, study.probe_clips, study.split.test, 6)


def test_probes_speak_sentences_that_nothing_was_trained_on(study: Study):
    split = study.split
    spoken = {clip.sentence for clip in study.probe_clips}
    assert spoken == {clip.sentence for clip in split.test}
    for learned in (split.train, split.validation, split.judge_train):
        assert not spoken & {clip.sentence for clip in learned}
    seen = replace(split, train=(*split.train, split.test[0]))
    with pytest.raises(CorpusError, match="was trained or selected on"):
        probe_clips(study.corpus, seen, clips=72, frame_every=6)


def test_every_speaker_says_every_sentence_equally_often_in_many_emotions(study: Study):
    said = Counter((clip.sentence, clip.speaker) for clip in study.probe_clips)
    assert len(said) == 3 * 4
    assert set(said.values()) == {6}
    for place in said:
        felt = [c.emotion for c in study.probe_clips if (c.sentence, c.speaker) == place]
        kinds = len({c.emotion for c in study.corpus.clips() if (c.sentence, c.speaker) == place})
        assert len(set(felt)) == min(6, kinds)


def test_a_viseme_is_that_of_the_middle_of_a_frame():
    said = [("sil", 0.0, 0.05), ("p", 0.05, 0.105), ("aa", 0.105, 0.2)]
    assert visemes_at(said, 6).tolist() == ["sil", "p", "p", "aa", "aa", "aa"]


def planted(facts: Facts, *, separated: bool) -> dict[str, list[np.ndarray]]:
    """Embeddings that hold the viseme and the emotion, each in its own or both in both."""
    rng = np.random.default_rng(0)
    said = {name: k for k, name in enumerate(np.unique(np.concatenate(facts.visemes)))}
    felt = {name: k for k, name in enumerate(sorted({str(c.emotion) for c in facts.clips}))}
    content, emotion = [], []
    for clip, visemes in zip(facts.clips, facts.visemes, strict=True):
        a = np.eye(len(said))[[said[v] for v in visemes]]
        b = np.tile(np.eye(len(felt))[felt[str(clip.emotion)]], (len(visemes), 1))
        mixed = np.hstack([a, b])
        for into, values in ((content, a if separated else mixed), (emotion, b if separated else mixed)):
            into.append(values + 0.02 * rng.normal(size=values.shape))
    return {"content": content, "emotion": emotion}


def means(rows) -> dict[tuple[str, str, str], float]:
    found: dict[tuple[str, str, str], list[float]] = {}
    for row in rows:
        found.setdefault((row["embedding"], row["factor"], row["measure"]), []).append(row["value"])
    return {key: float(np.mean(values)) for key, values in found.items()}


@pytest.mark.parametrize("separated", [True, False])
def test_planted_factors_are_found_where_they_are_and_random_ones_nowhere(facts: Facts, separated: bool):
    found = means(measures(facts, planted(facts, separated=separated)))
    for kind in ("linear", "neighbours"):
        assert found["content", "viseme", kind] > 0.97
        assert found["emotion", "emotion", kind] > 0.97 or not separated
    for factor in FACTORS:
        chance = 1 / len(classes_of(facts, factor))
        for embedding in ("content", "emotion"):
            assert found[embedding, factor.name, "random labels"] == pytest.approx(chance, abs=0.12)
    chance = 1 / len(classes_of(facts, next(f for f in FACTORS if f.name == "emotion")))
    leaked = found["content", "emotion", "linear"]
    # Where both are mixed, three sentences are few to learn that the words don't matter.
    assert (leaked < 2 * chance) if separated else (leaked > 2 * chance)
    for factor in ("viseme", "emotion"):
        gap = found["content+emotion", factor, "block gap"]
        assert (gap > 0.5) if separated else (abs(gap) < 0.3)
        # One-hot codes share a factor among dimensions, whatever the embedding: MIG asks for one dimension.
        assert found["content+emotion", factor, "mig"] < 0.2


def test_a_probing_leaves_rows_and_what_they_mean(facts: Facts, tmp_path: Path):
    steps = []
    probe(facts, reference, tmp_path, lambda done, total: steps.append((done, total)))
    left = json.loads((tmp_path / FILE).read_text())
    assert steps[-1][0] == steps[-1][1]
    assert left["about"]["clips"] == 72
    assert set(left["about"]["factors"]) == {factor.name for factor in FACTORS}
    assert left["about"]["factors"]["speaker"]["chance"] == 0.25
    assert left["about"]["factors"][OWN_EMOTION]["unit"] == "clip"
    assert {row["embedding"] for row in left["rows"]} == {"mfcc"}
    assert {row["sentence"] for row in left["rows"]} == {c.sentence for c in facts.clips}


def test_an_embedding_of_another_length_is_refused(facts: Facts):
    short = [np.zeros((len(said) - 1, 2)) for said in facts.visemes]
    with pytest.raises(ValueError, match="frames and"):
        facts.units(short, "frame")


def plan_of(tmp_path: Path, *arguments: str):
    settings = load(["suite=smoke", f"out={tmp_path}/results", f"cache={tmp_path}/cache", *arguments])
    return make_plan(settings, Study(StudyConfig.of(settings)))


def test_only_methods_that_embed_are_probed_and_ablations_share_a_probe(tmp_path: Path):
    plan = plan_of(tmp_path, "methods=[evp,mean_face]", "ablations=[full,no_3d_alignment,no_dtw]")
    probes = {cell.variant.row: cell.probe for cell in plan.cells}
    assert probes["mean_face"] is None
    assert probes["evp"] == probes["evp/no_3d_alignment"] != probes["evp/no_dtw"]
    assert plan.reference not in probes.values()
    assert {plan.reference, probes["evp"]} <= set(result_jobs(plan))
    for key in (plan.reference, probes["evp"]):
        assert key in {job.key for job in needed_jobs(plan, tmp_path)}


@pytest.mark.parametrize(
    "arguments", [("probes.clips=0",), ("methods=[mean_face]",)], ids=["not asked for", "nothing embeds"]
)
def test_nothing_is_probed_where_nothing_can_be(tmp_path: Path, arguments: tuple[str, ...]):
    plan = plan_of(tmp_path, *arguments)
    assert plan.reference is None
    assert not any(job.kind == "probe" for job in needed_jobs(plan, tmp_path))
