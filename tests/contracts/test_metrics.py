"""What every registered metric must do, whoever adds it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, get_args

import cv2
import numpy as np
import pytest

from benchmark.metrics.emotion import neutral_reference, train_judge
from benchmark.metrics.judges import Judges
from benchmark.metrics.metric import ClipPair, Metric, Need, info
from benchmark.metrics.registry import METRICS, metric_of
from benchmark.metrics.score import Score
from benchmark.metrics.scorer import score_clip
from benchmark.records import ProtocolInfo, Record
from models.landmarks.topology import IBUG68
from models.types import Clip, Prediction

EMOTIONS = ("happy", "neutral", "surprised")
FRAMES, SIZE = 24, 96
CLIP_METRICS = [metric for metric in METRICS if metric.level == "clip"]
LANDMARK, IMAGE = ("ld/mouth", "lvd/mouth", "ld/face", "lvd/face"), ("ssim", "psnr")


def named(metrics: list[Metric]) -> Any:
    return pytest.mark.parametrize("metric", metrics, ids=[metric.id for metric in metrics])


def at_rest(speaker: int) -> np.ndarray:
    """(68, 2) of the 256 crop."""
    along = np.linspace(0, np.pi, 17)
    ring = np.linspace(np.pi, -np.pi, 12, endpoint=False)
    eye = np.stack([9 * np.cos(ring[::2]), -4 * np.sin(ring[::2])], 1)
    brow = np.stack([np.linspace(-15, 15, 5), np.full(5, -17.0)], 1)
    nose = np.concatenate([[(128, y) for y in (104, 112, 120, 128)], [(x, 136) for x in range(116, 141, 6)]])
    outer = np.stack([128 + 22 * np.cos(ring), 165 - 9 * np.sin(ring)], 1)
    inner = np.stack([128 + 16 * np.cos(ring[[0, 2, 3, 4, 6, 8, 9, 10]]), np.full(8, 165.0)], 1)
    points = np.concatenate(
        [
            np.stack([128 - 62 * np.cos(along), 100 + 105 * np.sin(along)], 1),
            brow + np.array((99, 103)),
            brow + np.array((157, 103)),
            nose,
            eye + np.array((99, 103)),
            eye + np.array((157, 103)),
            outer,
            inner,
        ]
    )
    return points + np.random.default_rng(speaker).normal(0, 1.5, (68, 2))


def talking(emotion: str, speaker: int = 0, take: int = 0, lag: float = 0.0) -> np.ndarray:
    """(FRAMES, 68, 2): lips that open and close, a head that nods, an emotion."""
    rng = np.random.default_rng([speaker, take, EMOTIONS.index(emotion)])
    time = np.arange(FRAMES) - lag
    points = np.repeat(at_rest(speaker)[None], FRAMES, 0)
    opening = 5 + 5 * np.sin(2 * np.pi * time / 12 + rng.uniform(0, 1))
    points[:, [55, 56, 57, 58, 59, 65, 66, 67], 1] += opening[:, None]
    points[:, 4:13, 1] += opening[:, None] / 2
    if emotion == "happy":
        points[:, [48, 60, 54, 64]] += np.array([(-5, -4), (-5, -4), (5, -4), (5, -4)])
    if emotion == "surprised":
        points[:, 17:27, 1] -= 8
    points[:, :, 0] += 3 * np.sin(np.arange(FRAMES) / 7)[:, None]
    return points


def draw(landmarks: np.ndarray) -> np.ndarray:
    """(frames, SIZE, SIZE, 3) uint8: a cartoon of the landmarks before a fixed background with a post."""
    background = np.random.default_rng(9).integers(60, 130, (12, 12, 3)).astype(np.uint8)
    background = cv2.resize(background, (SIZE, SIZE), interpolation=cv2.INTER_LINEAR)
    background[:, 4:10] = 230
    frames = []
    for points in landmarks:
        frame = background.copy()
        scaled = np.round(points * SIZE / 256 * 16).astype(np.int32)
        hull = cv2.convexHull(scaled[:27].reshape(-1, 1, 2))
        cv2.fillPoly(frame, [hull], (215, 170, 140), cv2.LINE_AA, 4)
        cv2.fillPoly(frame, [scaled[48:60]], (170, 60, 60), cv2.LINE_AA, 4)
        cv2.fillPoly(frame, [scaled[60:68]], (40, 10, 10), cv2.LINE_AA, 4)
        for eye in (IBUG68.eye_a, IBUG68.eye_b):
            cv2.fillPoly(frame, [scaled[list(eye)]], (250, 250, 250), cv2.LINE_AA, 4)
        for stroke in (range(17, 22), range(22, 27), range(27, 36)):
            cv2.polylines(frame, [scaled[list(stroke)]], False, (70, 40, 30), 1, cv2.LINE_AA, 4)
        frames.append(frame)
    return np.stack(frames)


@pytest.fixture(scope="module")
def judged(tmp_path_factory: pytest.TempPathFactory) -> tuple[Judges, np.ndarray]:
    """A judge that knows speakers 1 to 3, and the neutral face of speaker 0."""
    root = tmp_path_factory.mktemp("judge")
    clips = []
    for speaker in range(4):
        for emotion in EMOTIONS:
            for take in range(2):
                name = f"{speaker}-{emotion}-{take}"
                (root / name).mkdir()
                np.save(root / name / "landmarks.npy", talking(emotion, speaker, take))
                clips.append(Clip(name, f"s{speaker}", f"t{take}", emotion, 1, root / name))
    judge = train_judge([c for c in clips if c.speaker != "s0"], EMOTIONS)
    return Judges(judge), neutral_reference([c for c in clips if c.speaker == "s0"])


@pytest.fixture(scope="module")
def truth() -> Prediction:
    landmarks = talking("happy", take=7)
    return Prediction(landmarks, draw(landmarks))


Judged = tuple[Judges, np.ndarray]


def pair_of(predicted: Prediction, truth: Prediction, judged: Judged) -> ClipPair:
    """What detects landmarks in frames is perfect here."""
    redetected = (predicted.landmarks, truth.landmarks)
    return ClipPair(predicted, truth, "the-clip", "happy", *judged, redetected)


def score(metric: Metric, predicted: Prediction, truth: Prediction, judged: Judged) -> Score:
    return metric.compute(pair_of(predicted, truth, judged))


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


def test_ids_and_labels_are_unique() -> None:
    assert len({metric.id for metric in METRICS}) == len(METRICS)
    assert len({metric.label for metric in METRICS}) == len(METRICS)
    with pytest.raises(ValueError, match="no metric 'lmd'; there are ld/mouth"):
        metric_of("lmd")


@named(CLIP_METRICS)
def test_the_truth_scores_best_and_a_wrong_face_worse(
    metric: Metric, truth: Prediction, judged: Judged
) -> None:
    perfect = score(metric, truth, truth, judged)
    wrong = talking("surprised", take=3, lag=3)
    other = score(metric, Prediction(wrong, np.roll(draw(wrong), 4, axis=2)), truth, judged)
    assert other.value is not None
    assert np.isfinite(other.value)
    if metric.best is None:
        assert perfect == Score(None, coverage=0.0) or metric.id in ("cpbd", "emotion")
        return
    assert perfect.value == pytest.approx(metric.best, abs=1e-9)
    assert other.value < metric.best if metric.direction == "higher" else other.value > metric.best


@named(CLIP_METRICS)
def test_it_repeats_bit_for_bit_and_leaves_its_input_alone(
    metric: Metric, truth: Prediction, judged: Judged
) -> None:
    landmarks = talking("neutral", take=2)
    predicted = Prediction(landmarks, draw(landmarks))
    before = [x.tobytes() for p in (predicted, truth) for x in (p.landmarks, p.frames) if x is not None]
    first, second = (score(metric, predicted, truth, judged) for _ in range(2))
    assert first == second
    after = [x.tobytes() for p in (predicted, truth) for x in (p.landmarks, p.frames) if x is not None]
    assert before == after


@named(CLIP_METRICS)
def test_layout_and_precision_of_arrays_do_not_matter(
    metric: Metric, truth: Prediction, judged: Judged
) -> None:
    landmarks = talking("neutral", take=2)
    frames = draw(landmarks)
    expected = score(metric, Prediction(landmarks, frames), truth, judged)
    strided = np.repeat(frames, 2, axis=2)[:, :, ::2]
    got = score(metric, Prediction(np.asfortranarray(landmarks.astype(np.float32)), strided), truth, judged)
    assert got.value == pytest.approx(expected.value, rel=1e-4)
    assert got.coverage == expected.coverage


@named([m for m in CLIP_METRICS if m.direction == "lower" and m.symmetric])
def test_distances_are_symmetric(metric: Metric, truth: Prediction, judged: Judged) -> None:
    landmarks = talking("neutral", take=2)
    other = Prediction(landmarks, draw(landmarks))
    forward, backward = score(metric, other, truth, judged), score(metric, truth, other, judged)
    assert forward.value == pytest.approx(backward.value, rel=1e-12)


def jitter(dose: float, truth: Prediction) -> Prediction:
    noise = np.random.default_rng(4).normal(0, dose, truth.landmarks.shape)
    return Prediction(truth.landmarks + noise, draw(truth.landmarks + noise))


def lip_shift(dose: float, truth: Prediction) -> Prediction:
    late = talking("happy", take=7, lag=dose)
    return Prediction(late, draw(late))


def freeze(dose: float, truth: Prediction) -> Prediction:
    """The mouth is held where it was over the last share of the clip."""
    held = truth.landmarks.copy()
    start = int(FRAMES * (1 - dose))
    rest = held[start, 48:] - held[start, 30]
    held[start:, 48:] = rest + held[start:, 30:31]
    return Prediction(held, draw(held))


def blur(dose: float, truth: Prediction) -> Prediction:
    assert truth.frames is not None
    return Prediction(truth.landmarks, np.stack([cv2.GaussianBlur(f, (0, 0), dose) for f in truth.frames]))


def other_emotion(dose: float, truth: Prediction) -> Prediction:
    landmarks = (1 - dose) * truth.landmarks + dose * talking("surprised", take=7)
    return Prediction(landmarks, draw(landmarks))


DOSES: dict[str, tuple[Callable[[float, Prediction], Prediction], tuple[float, ...], tuple[str, ...]]] = {
    "landmark jitter": (jitter, (0.5, 1.5, 4.0), (*LANDMARK, *IMAGE)),
    "lip shift": (lip_shift, (1.0, 2.0, 4.0), (*LANDMARK, *IMAGE)),
    "frozen mouth": (freeze, (0.25, 0.5, 1.0), LANDMARK),
    "blur": (blur, (0.7, 1.5, 3.0), IMAGE),
    "emotion swap": (other_emotion, (0.2, 0.6, 1.0), ("ld/face", *IMAGE)),
}


@pytest.mark.parametrize("damage", DOSES)
def test_a_larger_dose_scores_worse(damage: str, truth: Prediction, judged: Judged) -> None:
    make, doses, sees_it = DOSES[damage]
    for metric in CLIP_METRICS:
        if metric.id in sees_it:
            values = np.array([score(metric, make(d, truth), truth, judged).value for d in doses], float)
            sign = 1 if metric.direction == "lower" else -1
            assert (np.diff(sign * values) > 0).all(), f"{metric.id} under {damage}: {values}"


def test_the_judge_sees_an_emotion_swap(truth: Prediction, judged: Judged) -> None:
    metric = metric_of("emotion")
    assert score(metric, truth, truth, judged).value == 1
    swapped = score(metric, other_emotion(1.0, truth), truth, judged)
    assert swapped.value == 0
    assert swapped.label == "surprised"


def test_landmark_metrics_do_not_see_blur(truth: Prediction, judged: Judged) -> None:
    for protocol in LANDMARK:
        assert score(metric_of(protocol), blur(3.0, truth), truth, judged).value == pytest.approx(
            0, abs=1e-12
        )


GOOD = talking("neutral")
FRAMES_OF_GOOD = draw(GOOD)


def with_nan(*frames: int) -> np.ndarray:
    landmarks = GOOD.copy()
    landmarks[list(frames)] = np.nan
    return landmarks


DEGENERATE: dict[str, tuple[Prediction, Prediction]] = {
    "empty": (Prediction(GOOD[:0], FRAMES_OF_GOOD[:0]), Prediction(GOOD[:0], FRAMES_OF_GOOD[:0])),
    "one frame": (Prediction(GOOD[:1], FRAMES_OF_GOOD[:1]), Prediction(GOOD[:1], FRAMES_OF_GOOD[:1])),
    "shorter": (Prediction(GOOD[:-1], FRAMES_OF_GOOD[:-1]), Prediction(GOOD, FRAMES_OF_GOOD)),
    "NaN in some frames": (Prediction(with_nan(3, 4), FRAMES_OF_GOOD), Prediction(GOOD, FRAMES_OF_GOOD)),
    "NaN in all": (Prediction(with_nan(*range(FRAMES)), FRAMES_OF_GOOD), Prediction(GOOD, FRAMES_OF_GOOD)),
    "NaN in every other": (
        Prediction(with_nan(*range(0, FRAMES, 2)), FRAMES_OF_GOOD),
        Prediction(GOOD, FRAMES_OF_GOOD),
    ),
    "infinite": (Prediction(GOOD + np.inf, FRAMES_OF_GOOD), Prediction(GOOD, FRAMES_OF_GOOD)),
    "constant": (
        Prediction(np.zeros_like(GOOD), np.zeros_like(FRAMES_OF_GOOD)),
        Prediction(GOOD, FRAMES_OF_GOOD),
    ),
    "a still face": (
        Prediction(np.repeat(GOOD[:1], FRAMES, 0), FRAMES_OF_GOOD),
        Prediction(GOOD, FRAMES_OF_GOOD),
    ),
    "other points": (Prediction(GOOD[:, :60], FRAMES_OF_GOOD), Prediction(GOOD, FRAMES_OF_GOOD)),
    "float frames": (Prediction(GOOD, FRAMES_OF_GOOD / 255), Prediction(GOOD, FRAMES_OF_GOOD)),
    "other size": (Prediction(GOOD, FRAMES_OF_GOOD[:, ::2]), Prediction(GOOD, FRAMES_OF_GOOD)),
}


@pytest.mark.parametrize("kind", DEGENERATE)
@named(CLIP_METRICS)
def test_degenerate_input_has_a_defined_value_or_an_error_naming_the_clip(
    metric: Metric, kind: str, judged: Judged
) -> None:
    predicted, true = DEGENERATE[kind]
    refusal, result = None, None
    try:
        result = score(metric, predicted, true, judged)
    except ValueError as error:
        refusal = str(error)
    if result is None:
        assert "the-clip" in (refusal or "")
        return
    assert 0 <= result.coverage <= 1
    assert result.value is None or np.isfinite(result.value)
    assert result.value is not None or result.coverage < 1
    Record("c", "m", "full", 0, "self", metric.id, "the-clip", result.value, result.coverage)


@pytest.mark.parametrize("kind", ["empty", "shorter", "infinite", "other points"])
@named([m for m in CLIP_METRICS if "frames" not in m.needs and "judge" not in m.needs])
def test_a_shorter_or_broken_sequence_is_never_scored(metric: Metric, kind: str, judged: Judged) -> None:
    with pytest.raises(ValueError, match="the-clip"):
        score(metric, *DEGENERATE[kind], judged)


def test_one_call_scores_a_clip_under_all_that_apply(truth: Prediction, judged: Judged) -> None:
    landmarks = talking("neutral", take=2)
    predicted = Prediction(landmarks, draw(landmarks))
    judges, neutral = judged
    everything = score_clip(
        predicted,
        truth,
        clip_id="c",
        emotion="happy",
        judges=judges,
        neutral=neutral,
        redetected=(landmarks, truth.landmarks),
    )
    assert list(everything) == [metric.id for metric in CLIP_METRICS]
    silent = score_clip(Prediction(landmarks), truth, clip_id="c")
    assert set(silent) == {m.id for m in CLIP_METRICS if m.needs == {"landmarks"}}
    assert all(silent[protocol] == everything[protocol] for protocol in silent)


def test_the_registry_needs_no_torch() -> None:
    import subprocess
    import sys

    code = "import sys, benchmark.metrics.metric; sys.exit('torch' in sys.modules)"
    root = Path(__file__).resolve().parents[2]
    assert subprocess.run([sys.executable, "-c", code], cwd=root, check=False).returncode == 0
