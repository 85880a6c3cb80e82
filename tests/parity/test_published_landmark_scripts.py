"""The landmark distances of published scripts against plain re-implementations of what those scripts do.

Written from the scripts' arithmetic, point by point and frame by frame, without the package's code; only the
aligned crop that EAT's kit starts from is made by the package.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import pytest

from benchmark.metrics.legacy_landmarks import EAT_SCALE
from benchmark.metrics.metric import ClipPair
from benchmark.metrics.registry import metric_of
from models.landmarks.alignment import stabilise
from models.types import Prediction

MOUTH = range(48, 68)
Face = list[list[float]]


def clip(seed: int, frames: int = 12, holes: Sequence[int] = (), size: int = 96) -> ClipPair:
    rng = np.random.default_rng(seed)
    true = rng.uniform(60, 200, (68, 2)) + rng.normal(0, 3, (frames, 68, 2))
    true[:, 36:42] += np.array([84, 80]) - true[:, 36:42].mean(1, keepdims=True)
    true[:, 42:48] += np.array([168, 80]) - true[:, 42:48].mean(1, keepdims=True)
    true[:, 30] = (129.5, 118.5)
    predicted = true + rng.normal(0, 2, true.shape)
    predicted[list(holes)] = np.nan
    picture = np.zeros((frames, size, size, 3), np.uint8)
    return ClipPair(Prediction(predicted), Prediction(true, picture), "c")


def faces(landmarks: np.ndarray) -> list[Face | None]:
    return [None if np.isnan(frame).any() else frame.tolist() for frame in landmarks]


def minus_mean(points: Face) -> Face:
    x = sum(p[0] for p in points) / len(points)
    y = sum(p[1] for p in points) / len(points)
    return [[p[0] - x, p[1] - y] for p in points]


def summed_distance(first: Face, second: Face) -> float:
    return sum(math.hypot(a[0] - b[0], a[1] - b[1]) for a, b in zip(first, second, strict=True))


def atvgnet(predicted: list[Face | None], true: list[Face | None]) -> float:
    distances = []
    for p, t in zip(predicted, true, strict=True):
        if p is not None and t is not None:
            distances.append(
                summed_distance(minus_mean([p[k] for k in MOUTH]), minus_mean([t[k] for k in MOUTH]))
            )
    return sum(distances) / len(distances)


def eat(predicted: list[Face | None], true: list[Face | None]) -> dict[str, float]:
    sums = dict.fromkeys(("lmd/eat", "flmd/eat", "lvd/eat", "flvd/eat"), 0.0)
    last: tuple[Face, Face] | None = None
    valid = 0
    for p, t in zip(predicted, true, strict=True):
        if p is None or t is None:
            continue
        mouths = [p[k] for k in MOUTH], [t[k] for k in MOUTH]
        sums["lmd/eat"] += summed_distance(*map(minus_mean, mouths))
        sums["flmd/eat"] += summed_distance(minus_mean(p), minus_mean(t))
        if last is not None:
            steps = [
                [[b[0] - a[0], b[1] - a[1]] for a, b in zip(before, now, strict=True)]
                for before, now in zip(last, mouths, strict=True)
            ]
            of_mouth = summed_distance(*steps)
            sums["lvd/eat"] += of_mouth
            sums["flvd/eat"] += of_mouth
        last = mouths
        valid += 1
    points = {"lmd/eat": 20, "flmd/eat": 68, "lvd/eat": 20, "flvd/eat": 68}
    return {name: total / (valid * points[name]) for name, total in sums.items()}


def vico(predicted: list[Face | None], true: list[Face | None]) -> float:
    values = []
    for p, t in zip(predicted, true, strict=True):
        if p is not None and t is not None:
            values += [abs(p[k][axis] - t[k][axis]) for k in MOUTH for axis in (0, 1)]
    return sum(values) / len(values)


def score(protocol: str, pair: ClipPair) -> float:
    value = metric_of(protocol).compute(pair).value
    assert value is not None
    return value


@pytest.mark.parametrize("holes", [(), (0,), (4, 5, 9)], ids=str)
@pytest.mark.parametrize("size", [96, 256, 400])
def test_atvgnet_and_vico_measure_the_frames_own_pixels(holes: tuple[int, ...], size: int) -> None:
    pair = clip(1, holes=holes, size=size)
    sides = [faces(side.landmarks * size / 256) for side in (pair.predicted, pair.truth)]
    assert score("lmd/atvgnet", pair) == pytest.approx(atvgnet(*sides), rel=1e-12)
    assert score("lmd/vico", pair) == pytest.approx(vico(*sides), rel=1e-12)


def test_without_frames_the_pixels_are_those_of_the_crop() -> None:
    pair = clip(2)
    bare = ClipPair(pair.predicted, Prediction(pair.truth.landmarks), "c")
    assert score("lmd/atvgnet", bare) == pytest.approx(
        atvgnet(faces(bare.predicted.landmarks), faces(bare.truth.landmarks)), rel=1e-12
    )


@pytest.mark.parametrize("holes", [(), (0,), (4, 5, 9), tuple(range(11))], ids=str)
@pytest.mark.parametrize("protocol", ["lmd/eat", "flmd/eat", "lvd/eat", "flvd/eat"])
def test_eat(protocol: str, holes: tuple[int, ...]) -> None:
    pair = clip(3, holes=holes)
    sides = [faces(stabilise(side.landmarks) * EAT_SCALE) for side in (pair.predicted, pair.truth)]
    assert score(protocol, pair) == pytest.approx(eat(*sides)[protocol], rel=1e-9)


def test_the_crop_of_eat_has_the_eyes_of_its_template() -> None:
    eyes = stabilise(clip(4).truth.landmarks)[:, 36:48].reshape(-1, 2, 6, 2).mean(2) * EAT_SCALE
    assert np.hypot(*(eyes[:, 0] - eyes[:, 1]).T).mean() == pytest.approx(51.34, rel=1e-3)


@pytest.mark.parametrize("seed", range(5))
def test_eats_face_velocity_is_its_mouth_velocity_times_20_of_68(seed: int) -> None:
    pair = clip(seed)
    assert score("flvd/eat", pair) == pytest.approx(score("lvd/eat", pair) * 20 / 68, rel=1e-12)


def test_eats_own_log_has_that_ratio() -> None:
    """result/deepprompt_eam3d_all_final_313_v4_filter100.txt of the kit: M-LVD, and what it calls F-LVD."""
    assert pytest.approx(1.7991839352355146 * 20 / 68, rel=1e-14) == 0.5291717456575045


def test_eats_face_velocity_does_not_see_the_face() -> None:
    pair = clip(6)
    still = pair.truth.landmarks.copy()
    still[:, :27] += np.random.default_rng(0).normal(0, 20, (len(still), 27, 2))
    wrong = ClipPair(Prediction(still), pair.truth, "c")
    assert score("flvd/eat", wrong) == pytest.approx(0, abs=1e-12)
    assert score("lvd/face", wrong) > 5


def test_one_residual_has_three_values() -> None:
    """A residual of sigma 2 px scores 50.0, 2.50 and 1.59 under ATVGnet's, EAT's and ViCo's LMD.

    A Gaussian's mean length is sigma sqrt(pi / 2), its mean absolute value sigma sqrt(2 / pi). The faces lie
    on the template, so that alignment moves nothing and EAT's crop differs by its scale alone.
    """
    rng = np.random.default_rng(0)
    true = clip(7, frames=1500).truth.landmarks
    residual = rng.normal(0, 2, (len(true), 20, 2))
    residual -= residual.mean(1, keepdims=True)
    residual *= 2 / residual.std()
    predicted = true.copy()
    predicted[:, 48:] += residual
    pair = ClipPair(Prediction(predicted), Prediction(true), "c")
    found = {
        "ATVGnet": score("lmd/atvgnet", pair),
        "EAT": score("lmd/eat", pair) / EAT_SCALE,
        "ViCo": score("lmd/vico", pair),
    }
    length, component = 2 * math.sqrt(math.pi / 2), 2 * math.sqrt(2 / math.pi)
    assert found == pytest.approx({"ATVGnet": 20 * length, "EAT": length, "ViCo": component}, rel=5e-3)
    assert found == pytest.approx({"ATVGnet": 50.0, "EAT": 2.50, "ViCo": 1.59}, rel=1e-2)


@pytest.mark.parametrize("protocol", ["lmd/atvgnet", "lmd/eat", "flmd/eat", "lmd/vico"])
def test_dropping_the_worst_frames_improves_them_silently(protocol: str) -> None:
    pair = clip(8, frames=20)
    spoiled = pair.predicted.landmarks.copy()
    spoiled[[3, 11], 48:] += np.random.default_rng(0).normal(0, 15, (2, 20, 2))
    full = metric_of(protocol).compute(ClipPair(Prediction(spoiled), pair.truth, "c"))
    spoiled[[3, 11]] = np.nan
    dropped = metric_of(protocol).compute(ClipPair(Prediction(spoiled), pair.truth, "c"))
    assert dropped.value < 0.9 * full.value  # pyright: ignore
    assert dropped.least is None
    assert dropped.most is None
