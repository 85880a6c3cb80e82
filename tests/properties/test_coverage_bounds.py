"""A method does not gain by failing: a score's bounds hold what its missing frames would have made of it."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from benchmark.metrics.metric import ClipPair, Metric
from benchmark.metrics.registry import METRICS, metric_of
from benchmark.metrics.score import Score
from models.landmarks.alignment import TEMPLATE
from models.types import Prediction

many = settings(
    max_examples=500, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow]
)
FRAMES = 10
BOUNDED = [m for m in METRICS if m.bounded and m.needs <= {"landmarks", "redetected"}]
PLACES = [m for m in BOUNDED if m.id.startswith("ld/")]


def sides(seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Predicted and true (FRAMES, 68, 2): a face on the template, and one off it, in some frames more."""
    rng = np.random.default_rng(seed)
    true = rng.uniform(20, 236, (1, 68, 2)) + rng.normal(0, 3, (FRAMES, 68, 2))
    true[:, 36:48], true[:, 30] = true[0, 36:48], TEMPLATE[2]
    true[:, 36:42] += TEMPLATE[0] - true[:, 36:42].mean(1, keepdims=True)
    true[:, 42:48] += TEMPLATE[1] - true[:, 42:48].mean(1, keepdims=True)
    error = rng.normal(0, 1, true.shape) * rng.exponential(30, (FRAMES, 1, 1))
    error[:, [30, *range(36, 48)]] = 0
    return np.clip(true + error, 0, 256), true


def score(metric: Metric, predicted: np.ndarray, true: np.ndarray) -> Score:
    return metric.compute(
        ClipPair(Prediction(predicted), Prediction(true), "c", redetected=(predicted, true))
    )


def without(predicted: np.ndarray, frames: list[int]) -> np.ndarray:
    holed = predicted.copy()
    holed[frames] = np.nan
    return holed


@many
@given(seed=st.integers(0, 2**31))
def test_the_worst_tenth_removed_leaves_the_full_value_between_the_bounds(seed: int) -> None:
    predicted, true = sides(seed)
    off = np.linalg.norm(predicted - true, axis=2).mean(1)
    holed = without(predicted, [int(off.argmax())])
    for metric in BOUNDED:
        full, part = score(metric, predicted, true), score(metric, holed, true)
        assert part.coverage < 1
        assert part.least <= full.value * (1 + 1e-12), metric.id  # pyright: ignore
        assert part.most >= full.value * (1 - 1e-12), metric.id  # pyright: ignore


@settings(many, max_examples=50)
@given(seed=st.integers(0, 2**31))
def test_there_is_always_a_frame_that_it_pays_to_fail_in(seed: int) -> None:
    """A mean without its largest term is smaller: what the bounds are there for."""
    predicted, true = sides(seed)
    for metric in PLACES:
        full = score(metric, predicted, true).value
        values = [score(metric, without(predicted, [k]), true).value for k in range(FRAMES)]
        assert min(values) < full, metric.id  # pyright: ignore


@pytest.mark.parametrize("metric", PLACES, ids=lambda m: m.id)
@pytest.mark.parametrize("gone", [[0], [2, 3, 7], list(range(FRAMES))], ids=str)
def test_the_least_is_reached_by_the_truth(metric: Metric, gone: list[int]) -> None:
    predicted, true = sides(5)
    holed = score(metric, without(predicted, gone), true)
    filled = predicted.copy()
    filled[gone] = true[gone]
    assert score(metric, filled, true).value == pytest.approx(holed.least, rel=1e-6, abs=1e-6)


@pytest.mark.parametrize("protocol", ["ld/mouth", "ld/mouth/raw", "ld/face/raw"])
@pytest.mark.parametrize("gone", [[0], [2, 3, 7], list(range(FRAMES))], ids=str)
def test_the_most_is_reached_by_the_farthest_corners(protocol: str, gone: list[int]) -> None:
    """The points that frames are aligned by stay, where the protocol aligns."""
    predicted, true = sides(6)
    metric = metric_of(protocol)
    moved = slice(None) if protocol == "ld/face/raw" else slice(48, 68)
    filled = predicted.copy()
    filled[gone] = true[gone]
    filled[gone, moved] = np.where(true < 128, 256.0, 0.0)[gone, moved]
    holed = score(metric, without(predicted, gone), true)
    assert score(metric, filled, true).value == pytest.approx(holed.most, rel=1e-6)


@pytest.mark.parametrize("metric", BOUNDED, ids=lambda m: m.id)
def test_a_clip_without_any_predicted_face_has_bounds_and_no_value(metric: Metric) -> None:
    predicted, true = sides(7)
    nothing = score(metric, without(predicted, list(range(FRAMES))), true)
    assert nothing.value is None
    assert nothing.coverage == 0
    assert nothing.least == 0
    assert nothing.most >= score(metric, predicted, true).value  # pyright: ignore


@pytest.mark.parametrize("metric", BOUNDED, ids=lambda m: m.id)
def test_frames_without_a_true_face_lower_the_coverage_only(metric: Metric) -> None:
    predicted, true = sides(8)
    blind = score(metric, predicted, without(true, [1, 5]))
    assert blind.coverage < 1
    assert blind.least is None
    assert blind.most is None
    both = score(metric, without(predicted, [1]), without(true, [1, 5]))
    assert both == blind


def test_in_other_units_the_bounds_scale_with_the_value() -> None:
    predicted, true = sides(9)
    holed = without(predicted, [0, 4])
    main, half = (score(metric_of(protocol), holed, true) for protocol in ("ld/face", "ld/face/128"))
    for name in ("value", "least", "most"):
        assert getattr(half, name) == pytest.approx(getattr(main, name) / 2)
