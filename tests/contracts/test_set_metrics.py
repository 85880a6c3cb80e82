"""What every registered metric of a set must do, whoever adds it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from benchmark.metrics.extractors import EXTRACTORS
from benchmark.metrics.metric import Metric, SetPair
from benchmark.metrics.registry import METRICS
from benchmark.metrics.score import Score
from benchmark.metrics.scorer import score_set, set_protocols
from benchmark.records import Record

SET_METRICS = [metric for metric in METRICS if metric.level == "set"]
FRECHET = [m for m in SET_METRICS if not m.id.startswith("kid/") and not m.legacy]


def named(metrics: list[Metric]) -> Any:
    return pytest.mark.parametrize("metric", metrics, ids=[metric.id for metric in metrics])


def features(seed: int, shift: float = 0.0, scale: float = 1.0) -> list[np.ndarray]:
    rng = np.random.default_rng(seed)
    return [scale * rng.normal(size=(30, 5)) + shift for _ in range(8)]


def scored(metric: Metric, predicted: Sequence[np.ndarray], true: Sequence[np.ndarray]) -> Score:
    return metric.compute(SetPair(predicted, true, np.random.default_rng(0), resamples=20))


def value(metric: Metric, predicted: Sequence[np.ndarray], true: Sequence[np.ndarray]) -> float:
    found = scored(metric, predicted, true).value
    assert found is not None
    return found


@named(SET_METRICS)
def test_it_names_an_extractor_that_there_is(metric: Metric) -> None:
    assert metric.extractor in EXTRACTORS
    assert metric.features in set_protocols([metric.extractor]).values()
    assert "/" not in metric.features


@named(SET_METRICS)
def test_a_set_against_itself_scores_best_and_doses_are_graded(metric: Metric) -> None:
    true = features(0)
    perfect = value(metric, true, true)
    if metric.best is None:
        assert perfect < 0
    else:
        assert perfect == pytest.approx(metric.best, abs=1e-9)
    for damage in (lambda d: features(0, shift=d), lambda d: features(0, scale=1 + d)):
        values = [value(metric, damage(dose), true) for dose in (0.2, 0.6, 1.5)]
        assert values == sorted(values)
        assert values[0] > perfect


@named(SET_METRICS)
def test_a_score_has_counts_and_an_interval_and_repeats(metric: Metric) -> None:
    first, second = (scored(metric, features(1), features(2)) for _ in range(2))
    assert first == second
    assert (first.count, first.clips) == (240, 8)
    assert first.low <= first.value <= first.high  # pyright: ignore
    Record("c", "m", "full", 0, "self", metric.id, "*", first.value, clips=first.clips)


@named(SET_METRICS)
def test_sides_may_change_places(metric: Metric) -> None:
    first, second = features(1), features(2, shift=0.5)
    assert value(metric, first, second) == pytest.approx(value(metric, second, first), rel=1e-9)


@named(SET_METRICS)
def test_neither_order_in_a_clip_nor_precision_nor_rotation_matters(metric: Metric) -> None:
    first, second = features(1), features(2, shift=0.5)
    expected = value(metric, first, second)
    reverse = [x[::-1].astype(np.float32) for x in first]
    assert value(metric, reverse, second) == pytest.approx(expected, rel=1e-5)
    turn = np.linalg.qr(np.random.default_rng(3).normal(size=(5, 5)))[0]
    turned = value(metric, [x @ turn for x in first], [x @ turn for x in second])
    assert turned == pytest.approx(expected, rel=1e-9)


@named(SET_METRICS)
def test_unusable_sets_are_refused(metric: Metric) -> None:
    broken = features(0)
    broken[2][4] = np.nan
    flat = [x[:, 0] for x in features(0)]
    other = [x[:, :4] for x in features(1)]
    for predicted, true in (
        (broken, features(1)),
        ([], []),
        (features(0)[:2], features(1)),
        (flat, flat),
        (features(0), other),
    ):
        with pytest.raises(ValueError, match=r"expected|finite"):
            scored(metric, predicted, true)


@named(FRECHET)
def test_too_few_vectors_are_refused(metric: Metric) -> None:
    tiny = [x[:1] for x in features(0)]
    with pytest.raises(ValueError, match="expected 10 vectors or more for 5 dimensions"):
        scored(metric, tiny, tiny)


@named([m for m in SET_METRICS if m not in FRECHET])
def test_those_that_do_not_refuse_few_vectors_are_still_defined(metric: Metric) -> None:
    few = scored(metric, [x[:1] for x in features(0)], [x[:1] for x in features(1)])
    assert few.value is not None
    assert few.low is not None
    assert np.isfinite([few.value, few.low, few.high]).all()


def test_clip_and_set_protocols_are_not_confused() -> None:
    with pytest.raises(ValueError, match="ssim is scored per clip"):
        score_set("ssim", features(0), features(1), rng=np.random.default_rng(0))
    result = score_set("fd/mobilenetv2-96", features(0), features(1), rng=np.random.default_rng(0))
    assert result.value is not None
