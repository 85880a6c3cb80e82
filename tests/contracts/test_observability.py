"""What every protocol declares that it sees agrees with what is measured on damaged truth."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmark.metrics.metric import DAMAGES as DECLARED
from benchmark.metrics.metric import Metric
from benchmark.metrics.registry import METRICS
from benchmark.observability.damage import DAMAGES, damage_of
from benchmark.observability.measure import observe, observed_study
from benchmark.observations import UNDAMAGED, Observations, read_observations, write_observations
from benchmark.records import WHOLE_SET
from reports.observability import MONOTONE, responses, sentence

SETTINGS = {"clips": 4, "frame_size": 64, "judge_sentences": 2, "resamples": 20}
SCORED = {
    "extractors": ["mobilenetv2-96"],
    "feature_every": 1,
    "allow_biased": True,
    "inception_weights": None,
    "redetect": None,
    "network_steps": 200,
    "sync_steps": 300,
}


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(tmp_path_factory.mktemp("cache"))


def measured(cache: str, place: Path, *, clips: int = 4, damages=DAMAGES, **scored) -> Observations:
    place.mkdir()
    study = observed_study({**SETTINGS, "clips": clips, "cache": cache}, {**SCORED, **scored})
    return observe(study, place, frames=16, damages=damages)


@pytest.fixture(scope="module")
def found(cache: str, tmp_path_factory: pytest.TempPathFactory) -> Observations:
    return measured(cache, tmp_path_factory.mktemp("observed") / "judges")


def test_every_declarable_damage_is_made() -> None:
    assert set(DECLARED) <= {damage.name for damage in DAMAGES}


def test_every_protocol_that_can_be_is_measured_under_every_dose(found: Observations) -> None:
    expected = {
        m.id for m in METRICS if "redetected" not in m.needs and m.extractor in ("", "mobilenetv2-96")
    }
    assert set(found.protocols) == expected
    keys = [(r.damage, r.dose, r.protocol, r.clip) for r in found.rows]
    assert len(keys) == len(set(keys))
    doses = 1 + sum(len(d.doses) for d in DAMAGES)
    for protocol in expected:
        clips = {r.clip for r in found.rows if r.protocol == protocol}
        assert clips == {WHOLE_SET} or clips == set(found.clips)
        assert sum(r.protocol == protocol for r in found.rows) == doses * len(clips)


@pytest.mark.parametrize("metric", METRICS, ids=lambda m: m.id)
def test_what_a_protocol_declares_is_what_is_measured(metric: Metric, found: Observations) -> None:
    if metric.id not in found.protocols:
        pytest.skip("needs a detector or weights that are not asked for here")
    made = responses(found)
    for damage in metric.sees:
        response = made[metric.id, damage]
        assert response.monotone >= MONOTONE, f"{metric.id} under {damage}: {response.shares}"
        # A judge answers yes or no, so that it may take more than the smallest dose.
        judged = metric.needs & {"judge", "emotion network", "sync judge"}
        assert response.shares[-1 if judged else 0] > 0, f"{metric.id} under {damage}: {response.shares}"
    for damage in metric.blind_to:
        assert made[metric.id, damage].verdict == "blind", f"{metric.id} moves under {damage}"


@pytest.mark.parametrize("metric", [m for m in METRICS if m.level == "clip"], ids=lambda m: m.id)
def test_truth_scores_as_perfect(metric: Metric, found: Observations) -> None:
    for row in found.rows:
        if (row.protocol, row.damage) == (metric.id, UNDAMAGED) and metric.best is not None:
            assert row.value == pytest.approx(metric.best, abs=1e-6)


def test_lost_faces_lower_the_coverage_and_widen_the_bounds(found: Observations) -> None:
    for dose in damage_of("lost faces").doses:
        rows = [r for r in found.rows if (r.damage, r.dose, r.protocol) == ("lost faces", dose, "ld/mouth")]
        assert rows
        for row in rows:
            assert row.value == pytest.approx(0, abs=1e-6)
            assert row.coverage == pytest.approx(1 - dose, abs=1 / 16)
            assert row.most is not None
            assert row.most > 0


def test_a_sentence_names_the_blindness(found: Observations) -> None:
    said = sentence(found, "ld/mouth")
    assert said.startswith("M-LD does not see ")
    assert "blur" in said.split(".")[0]
    assert "lip shift from 20 ms" in said


def test_it_is_the_same_bytes_again(cache: str, tmp_path: Path) -> None:
    few = tuple(damage_of(name) for name in ("identity drift", "lost faces"))
    for run in ("first", "second"):
        found = measured(cache, tmp_path / run, clips=1, damages=few, network_steps=2, sync_steps=2)
        write_observations(tmp_path / f"{run}.json", found)
    assert (tmp_path / "first.json").read_bytes() == (tmp_path / "second.json").read_bytes()
    again = read_observations(tmp_path / "first.json")
    write_observations(tmp_path / "third.json", again)
    assert (tmp_path / "third.json").read_bytes() == (tmp_path / "first.json").read_bytes()
