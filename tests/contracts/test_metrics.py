"""What every registered metric must do, whoever adds it: the ladder of `tests.contracts.ladder`."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from benchmark.metrics.landmarks import Region, align_pair, landmark_distance
from benchmark.metrics.metric import DAMAGES, RUNGS, ClipPair, Metric, Need, Rung, info
from benchmark.metrics.registry import METRICS, metric_of
from benchmark.metrics.score import Score
from benchmark.metrics.scorer import score_clip
from benchmark.records import ProtocolInfo
from models.types import Prediction
from tests.contracts.bench import DAMAGE, Bench, make_bench, shown, talking
from tests.contracts.ladder import DRAWN, RUNG, climb, of_landmarks

CLIP_METRICS = [metric for metric in METRICS if metric.level == "clip"]
LANDMARK_METRICS = [metric for metric in CLIP_METRICS if of_landmarks(metric)]

many = settings(max_examples=500, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))


def named(metrics: list[Metric]) -> Any:
    return pytest.mark.parametrize("metric", metrics, ids=[metric.id for metric in metrics])


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Bench:
    return make_bench(tmp_path_factory.mktemp("judge"))


@pytest.mark.parametrize("rung", RUNGS)
@named(CLIP_METRICS)
def test_every_protocol_climbs_the_ladder(metric: Metric, rung: Rung, bench: Bench) -> None:
    for seed in (0, 1) if rung in DRAWN else (0,):
        climb(metric, rung, bench, seed)


@pytest.mark.parametrize("rung", DRAWN)
@many
@given(seed=st.integers(0, 2**31))
def test_landmark_protocols_climb_it_on_drawn_faces(rung: Rung, bench: Bench, seed: int) -> None:
    for metric in LANDMARK_METRICS:
        if rung not in metric.defects:
            RUNG[rung](metric, bench, seed)


def test_the_ladder_is_whole() -> None:
    assert set(RUNG) == set(RUNGS)
    assert set(DAMAGE) == set(DAMAGES)
    for damage in DAMAGES:
        assert any(damage in metric.sees for metric in METRICS), f"no metric sees {damage}"


@named(list(METRICS))
def test_it_says_what_it_means(metric: Metric) -> None:
    assert isinstance(info(metric), ProtocolInfo)
    assert metric.direction in ("lower", "higher")
    assert metric.level in ("clip", "set")
    assert metric.needs
    assert metric.needs <= set(get_args(Need))
    for text in (metric.label, metric.symbol, metric.source, metric.description):
        assert text.strip() == text
        assert text
    assert (metric.level == "set") == bool(metric.extractor)
    assert metric_of(metric.id) is metric
    assert metric.legacy or not metric.defects, "only what reproduces a published script may have defects"
    assert not (metric.legacy and metric.main)


def test_ids_and_labels_are_unique() -> None:
    assert len({metric.id for metric in METRICS}) == len(METRICS)
    assert len({metric.label for metric in METRICS}) == len(METRICS)
    with pytest.raises(ValueError, match="no metric 'lmd'; there are ld/mouth"):
        metric_of("lmd")


def test_one_call_scores_a_clip_under_all_that_apply(bench: Bench) -> None:
    predicted = shown(talking("neutral", take=2))
    everything = score_clip(
        predicted,
        bench.truth,
        clip_id="c",
        emotion="happy",
        judges=bench.judges,
        neutral=bench.neutral,
        redetected=(predicted.landmarks, bench.truth.landmarks),
        waveform=bench.waveform,
    )
    assert list(everything) == [metric.id for metric in CLIP_METRICS]
    silent = score_clip(Prediction(predicted.landmarks), bench.truth, clip_id="c")
    assert set(silent) == {m.id for m in CLIP_METRICS if m.needs == {"landmarks"}}
    assert all(silent[protocol] == everything[protocol] for protocol in silent)


# A metric that is wrong is caught, whatever its author declares


def ignoring_missing_frames(pair: ClipPair) -> Score:
    off = np.linalg.norm(pair.predicted.landmarks - pair.truth.landmarks, axis=2)
    return Score(float(np.nanmean(off)) if np.isfinite(off).any() else None)


def in_the_predicted_face(pair: ClipPair) -> Score:
    score = landmark_distance(pair.aligned, "mouth")
    eyes = np.nanmean(np.linalg.norm(np.diff(pair.sides.predicted[:, [36, 45]], axis=1), axis=2))
    return Score(score.value and float(score.value / eyes), score.coverage)


def squared(pair: ClipPair) -> Score:
    off = (pair.aligned.predicted - pair.aligned.target)[pair.aligned.found][:, 48:]
    return Score(float(np.sum(off**2, 2).mean()) if len(off) else None, float(pair.aligned.found.mean()))


def of_the_shorter(pair: ClipPair) -> Score:
    count = min(len(pair.predicted.landmarks), len(pair.truth.landmarks))
    sides = (p.landmarks[:count] for p in (pair.predicted, pair.truth))
    return landmark_distance(align_pair(*sides, clip=pair.clip), "mouth")


def of_the_mouth_alone(pair: ClipPair) -> Score:
    return landmark_distance(pair.aligned, "mouth")


class Drifting:
    """A value that depends on how often it was asked for."""

    def __init__(self) -> None:
        self.calls = 0

    def __call__(self, pair: ClipPair) -> Score:
        self.calls += 1
        score = landmark_distance(pair.aligned, "mouth")
        return replace(score, value=score.value and score.value * (1 + self.calls * 1e-3))


def spoiling(pair: ClipPair) -> Score:
    score = landmark_distance(pair.aligned, "mouth")
    pair.predicted.landmarks[0] += 1
    return score


def upside_down(pair: ClipPair) -> Score:
    score = landmark_distance(pair.aligned, "mouth")
    return replace(score, value=None if score.value is None else 1 / (1 + score.value), least=None, most=None)


def too_narrow(pair: ClipPair) -> Score:
    score = landmark_distance(pair.aligned, "mouth")
    return replace(score, most=score.most and score.value)


HONEST = metric_of("ld/mouth")
BOGUS: dict[str, tuple[Metric, Rung]] = {
    "averages NaN away": (replace(HONEST, compute=ignoring_missing_frames, bounded=False), "coverage"),
    "has no bounds": (replace(metric_of("lmd/eat"), defects={}), "coverage"),
    "takes the value for its bound": (replace(HONEST, compute=too_narrow), "coverage"),
    "measures in the predicted face": (replace(HONEST, compute=in_the_predicted_face), "symmetry"),
    "claims to be one-sided": (replace(HONEST, symmetric=False), "symmetry"),
    "squares": (replace(HONEST, compute=squared), "unit"),
    "cuts the longer sequence": (replace(HONEST, compute=of_the_shorter), "degenerate"),
    "takes the mouth for the face": (replace(metric_of("ld/face"), compute=of_the_mouth_alone), "region"),
    "drifts": (replace(HONEST, compute=Drifting()), "repetition"),
    "spoils its input": (replace(HONEST, compute=spoiling), "repetition"),
    "is upside down": (replace(HONEST, compute=upside_down), "perfection"),
    "claims not to see an offset": (
        replace(HONEST, unmoved_by=HONEST.unmoved_by | {"mouth offset"}),
        "invariance",
    ),
    "does not say what it cannot see": (
        replace(HONEST, unmoved_by=HONEST.unmoved_by - {"head motion"}),
        "invariance",
    ),
    "claims to see blur": (
        replace(HONEST, sees=HONEST.sees | {"blur"}, blind_to=frozenset()),
        "damage",
    ),
    "declares nothing": (replace(HONEST, sees=frozenset(), blind_to=frozenset()), "damage"),
    "claims to be blind": (
        replace(HONEST, sees=HONEST.sees - {"lip shift"}, blind_to=HONEST.blind_to | {"lip shift"}),
        "damage",
    ),
}


@pytest.mark.parametrize("wrong", BOGUS)
def test_a_bogus_metric_is_caught(wrong: str, bench: Bench) -> None:
    metric, rung = BOGUS[wrong]
    with pytest.raises(AssertionError):
        climb(metric, rung, bench, 0)


@named([metric for metric in METRICS if metric.defects])
def test_a_defect_that_is_gone_is_noticed(metric: Metric, bench: Bench) -> None:
    region: Region = "face" if metric.family.startswith("F-") else "mouth"
    kind = "lvd" if "LVD" in metric.family else "ld"
    if not of_landmarks(metric):
        pytest.skip("its cure is another module's")
    right = metric_of(f"{kind}/{region}")
    for rung in metric.defects:
        cured = replace(metric, compute=right.compute, unit=right.unit, bounded=True)
        with pytest.raises(AssertionError, match="no longer has the defect"):
            climb(cured, rung, bench, 0)


def test_the_registry_needs_no_torch() -> None:
    import subprocess
    import sys

    code = "import sys, benchmark.metrics.metric; sys.exit('torch' in sys.modules)"
    root = Path(__file__).resolve().parents[2]
    assert subprocess.run([sys.executable, "-c", code], cwd=root, check=False).returncode == 0
