"""The ladder that every protocol of single clips climbs: what `Metric` declares decides what is expected.

A rung is a function of a metric, the bench and a seed, that raises AssertionError where the metric fails.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import lru_cache

import numpy as np
import pytest

from benchmark.metrics.metric import CHANGES, Change, ClipPair, Metric, Rung
from benchmark.metrics.score import Score
from benchmark.records import Record
from models.landmarks.alignment import TEMPLATE
from models.types import Prediction
from tests.contracts.bench import CLIP, DAMAGE, FRAMES, SIZE, Bench, draw, frames_of, shown, talking

CORNERS = (36, 45)
CONTOUR = (0, 16)
EAT_EYES = 51.34


MEASURED = {"landmarks", "redetected", "frames", "square"}
"""Needs of protocols that no judge takes part in."""


def of_landmarks(metric: Metric) -> bool:
    return metric.needs <= {"landmarks", "redetected"}


def climb(metric: Metric, rung: Rung, bench: Bench, seed: int) -> None:
    """Check one rung; one that the metric is excused from by a defect must show the defect."""
    if rung not in metric.defects:
        RUNG[rung](metric, bench, seed)
        return
    try:
        RUNG[rung](metric, bench, seed)
    except AssertionError:
        return
    raise AssertionError(f"{metric.id} no longer has the defect of {rung!r}: {metric.defects[rung]}")


# Drawn faces


@lru_cache(maxsize=64)
def drawn(seed: int, frames: int = 5) -> np.ndarray:
    """(frames, 68, 2) random points in the crop whose eyes and nose tip lie on the template and are still."""
    rng = np.random.default_rng(seed)
    points = rng.uniform(60, 200, (1, 68, 2)) + rng.normal(0, 3, (frames, 68, 2))
    points[:, 36:48], points[:, 30] = points[0, 36:48], TEMPLATE[2]
    points[:, 36:42] += TEMPLATE[0] - points[:, 36:42].mean(1, keepdims=True)
    points[:, 42:48] += TEMPLATE[1] - points[:, 42:48].mean(1, keepdims=True)
    points.setflags(write=False)
    return points


@lru_cache(maxsize=256)
def drawn_pair(predicted: int, truth: int) -> ClipPair:
    return landmark_pair(drawn(predicted), drawn(truth))


def landmark_pair(predicted: np.ndarray, true: np.ndarray) -> ClipPair:
    """With what is detected again, and with true frames for the protocols in pixels of the frame."""
    picture = np.zeros((len(true), SIZE, SIZE, 3), np.uint8)
    return ClipPair(Prediction(predicted), Prediction(true, picture), CLIP, redetected=(predicted, true))


def value(metric: Metric, pair: ClipPair) -> float:
    found = metric.compute(pair).value
    assert found is not None, f"{metric.id} has no value"
    assert np.isfinite(found), f"{metric.id} is {found}"
    return found


def pairs_of(metric: Metric, bench: Bench, seed: int) -> tuple[ClipPair, ClipPair, ClipPair]:
    """A prediction against the truth, the two exchanged, and the truth against itself."""
    if of_landmarks(metric):
        return drawn_pair(seed, seed + 1), drawn_pair(seed + 1, seed), drawn_pair(seed, seed)
    wrong = other_face(seed)
    truth = bench.truth
    return bench.pair(wrong), bench.pair(truth, wrong), bench.pair(truth)


@lru_cache(maxsize=8)
def other_face(seed: int) -> Prediction:
    """Another person with another emotion, late, and in another place of the picture."""
    wrong = talking("surprised", speaker=1 + seed % 3, take=3, lag=3)
    return Prediction(wrong, np.roll(draw(wrong), 4, axis=2))


def worse(metric: Metric, than: float, values: float) -> bool:
    return values > than if metric.direction == "lower" else values < than


# Rungs


def perfection(metric: Metric, bench: Bench, seed: int) -> None:
    """The truth scores best, and a wrong face worse."""
    wrong, _, itself = pairs_of(metric, bench, seed)
    other = value(metric, wrong)
    if metric.best is None:
        perfect = metric.compute(itself)
        assert perfect == Score(None, coverage=0.0) or perfect.value is not None
        return
    assert value(metric, itself) == pytest.approx(metric.best, abs=1e-9), metric.id
    assert worse(metric, metric.best, other), f"{metric.id} of a wrong face is {other}"


def symmetry(metric: Metric, bench: Bench, seed: int) -> None:
    """Prediction and truth may change places, or they may not, as declared."""
    there, back, _ = pairs_of(metric, bench, seed)
    forward, backward = value(metric, there), value(metric, back)
    if metric.symmetric:
        assert forward == pytest.approx(backward, rel=1e-9), metric.id
    else:
        assert forward != pytest.approx(backward, rel=1e-9), f"{metric.id} is symmetric after all"


@lru_cache(maxsize=64)
def changed(change: Change, seed: int) -> ClipPair:
    """The drawn pair of the seed after a change that some protocols do not see."""
    predicted, true = drawn(seed).copy(), drawn(seed + 1)
    rng = np.random.default_rng([seed, CHANGES.index(change)])
    count = len(predicted)
    if change == "mouth offset":
        predicted[:, 48:] += rng.uniform(-20, 20, 2)
    elif change == "translation":
        predicted += rng.uniform(-30, 30, (count, 1, 2))
    elif change == "head motion":
        angle, scale = rng.uniform(-1, 1, count), rng.uniform(0.3, 3, count)
        cos, sin = scale * np.cos(angle), scale * np.sin(angle)
        turn = np.stack([cos, -sin, sin, cos], -1).reshape(-1, 2, 2)
        predicted = predicted @ turn.transpose(0, 2, 1) + rng.uniform(-100, 100, (count, 1, 2))
    else:
        order = np.arange(count)[::-1] if change == "time reversal" else np.array([2, 0, 4, 1, 3])
        predicted, true = predicted[order], true[order]
    return landmark_pair(predicted, true)


def reordered(change: Change, pair: ClipPair) -> ClipPair:
    order = np.arange(FRAMES)[::-1]
    if change == "frame order":
        order = np.random.default_rng(5).permutation(FRAMES)
    sides = (Prediction(p.landmarks[order], frames_of(p)[order]) for p in (pair.predicted, pair.truth))
    predicted, truth = sides
    return replace(pair, predicted=predicted, truth=truth)


def invariance(metric: Metric, bench: Bench, seed: int) -> None:
    """What is declared to leave the value unmoved does; of landmarks, nothing else does."""
    for change in CHANGES:
        if not of_landmarks(metric):
            frames_in_order(metric, bench, seed, change)
        elif change in metric.unmoved_by:
            assert same_after(metric, change, seed), f"{metric.id} moves under {change}"
        else:
            # A value may stay by chance, but not for three faces.
            stays = all(same_after(metric, change, seed + k) for k in range(3))
            assert not stays, f"{metric.id} does not see {change} and does not say so"


def same_after(metric: Metric, change: Change, seed: int) -> bool:
    before, after = value(metric, drawn_pair(seed, seed + 1)), value(metric, changed(change, seed))
    # The stable points' weights are float32, so that 1e-7 of what a similarity moves is left.
    return after == pytest.approx(before, rel=2e-6, abs=1e-9)


def frames_in_order(metric: Metric, bench: Bench, seed: int, change: Change) -> None:
    if change in metric.unmoved_by:
        assert change in ("frame order", "time reversal"), f"nothing checks {metric.id} under {change}"
        pair = pairs_of(metric, bench, seed)[0]
        before, after = value(metric, pair), value(metric, reordered(change, pair))
        assert after == pytest.approx(before, rel=1e-9), f"{metric.id} moves under {change}"


def damage(metric: Metric, bench: Bench, seed: int) -> None:
    """Strictly worse at every larger dose of what it sees, the same at all doses of what it is blind to.

    A judge's verdict is 0 or 1: it may stay, but the largest dose must change it.
    """
    assert metric.sees | metric.blind_to, f"{metric.id} declares no damage that it sees or does not see"
    assert not metric.sees & metric.blind_to
    for name in metric.sees | metric.blind_to:
        make, doses = DAMAGE[name]
        values = [bench.score(metric, make(bench.truth, dose)).value for dose in doses]
        if name in metric.blind_to:
            untouched = bench.score(metric, bench.truth).value
            assert all(v == untouched for v in values), f"{metric.id} sees {name}: {values}"
            continue
        worsening = np.diff(np.array(values, float)) * (1 if metric.direction == "lower" else -1)
        graded = (
            (worsening >= 0).all() and worsening.any()
            if metric.needs & {"judge", "emotion network"}
            else (worsening > 0).all()
        )
        assert graded, f"{metric.id} is not graded under {name}: {values}"


def region(metric: Metric, bench: Bench, seed: int) -> None:
    """A distance of the face sees points outside the mouth, and each sees the mouth."""
    if not of_landmarks(metric):
        return
    true = drawn(seed)
    noise = np.random.default_rng(seed).normal(0, 3, true.shape)
    parts = {"contour": slice(0, 17), "brows": slice(17, 27), "mouth": slice(48, 68)}
    for name, points in parts.items():
        if name == "mouth" or metric.family.startswith("F-"):
            predicted = true.copy()
            predicted[:, points] += noise[:, points]
            assert value(metric, landmark_pair(predicted, true)) > 1e-6, (
                f"{metric.id} does not see the {name}"
            )


@lru_cache(maxsize=64)
def known_error(seed: int, frames: int, motion: bool) -> tuple[ClipPair, float]:
    """Every point of a face that lies on the template is equally far off, at random angles, with no mean.

    The nose tip and a partner of the other sign stay, so that the alignment does. Under `motion` the error
    changes its sign from frame to frame, so that each point's motion is off by twice the length.
    """
    rng = np.random.default_rng([seed, frames])
    length, angle = rng.uniform(0.1, 8), rng.uniform(0.1, 1.4)
    sign = np.where(np.arange(68) % 2, -1.0, 1.0)
    sign[[30, 31]] = 0
    error = sign[:, None] * length * np.array((np.cos(angle), np.sin(angle)))
    in_time = np.where(np.arange(frames) % 2, -1.0, 1.0) if motion else np.ones(frames)
    true = drawn(seed, frames)
    return landmark_pair(true + in_time[:, None, None] * error, true), length * (1 + motion)


def in_unit(metric: Metric, true: np.ndarray) -> float:
    """How many of the metric's units a pixel of the 256 px template is."""
    eyes = np.hypot(*(TEMPLATE[1] - TEMPLATE[0]))
    apart = {ends: np.hypot(*(true[:, ends[0]] - true[:, ends[1]]).T).mean() for ends in (CORNERS, CONTOUR)}
    return {
        "px": 1.0,
        "px@256": 1.0,
        "px@128": 0.5,
        "px@128 (EAT)": EAT_EYES / eyes,
        "px of the frame": SIZE / 256,
        "IOD": 1 / apart[CORNERS],
        "face width": 1 / apart[CONTOUR],
    }[metric.unit.removesuffix("/frame")]


def landmark_unit(metric: Metric, seed: int) -> None:
    motion = metric.unit.endswith("/frame")
    for frames in (2, 5):
        pair, length = known_error(seed, frames, motion)
        share = 66 / 68 if metric.family.startswith("F-") else 1.0
        expected = length * share * in_unit(metric, drawn(seed, frames))
        found = value(metric, pair)
        assert found == pytest.approx(expected, rel=1e-5), (
            f"{metric.id}: {found}, not {expected} {metric.unit}"
        )


def grey(level: int) -> np.ndarray:
    return np.full((FRAMES, SIZE, SIZE, 3), level, np.uint8)


def flat_pair(bench: Bench, first: int, second: int) -> ClipPair:
    landmarks = bench.truth.landmarks
    return bench.pair(Prediction(landmarks, grey(first)), Prediction(landmarks, grey(second)))


def psnr_unit(metric: Metric, bench: Bench, seed: int) -> None:
    for difference in (3, 20, 100):
        expected = 20 * np.log10(255 / difference)
        assert value(metric, flat_pair(bench, 120 + difference, 120)) == pytest.approx(expected), metric.id


def ssim_unit(metric: Metric, bench: Bench, seed: int) -> None:
    """Of flat pictures only the luminance term is left."""
    for a, b in ((100, 140), (0, 255), (7, 30)):
        c = (0.01 * 255) ** 2
        expected = (2 * a * b + c) / (a * a + b * b + c)
        assert value(metric, flat_pair(bench, a, b)) == pytest.approx(expected, abs=1e-6), metric.id


def flicker_unit(metric: Metric, bench: Bench, seed: int) -> None:
    pair = flat_pair(bench, 120, 120)
    frames_of(pair.predicted)[::2] += 9
    assert value(metric, pair) == pytest.approx(9), metric.id


CLOSED_FORM: Mapping[str, Callable[[Metric, Bench, int], None]] = {
    "PSNR": psnr_unit,
    "PSNR of the mouth": psnr_unit,
    "SSIM": ssim_unit,
    "SSIM of the mouth": ssim_unit,
    "Flicker": flicker_unit,
}
"""By family, where a known error of frames has a value on paper."""


def unit(metric: Metric, bench: Bench, seed: int) -> None:
    """A known error has the value that the unit says, whatever the clip's length."""
    if metric.id.endswith("/procrustes"):
        return  # what a fit leaves of an error is no simple number: tests/parity has it from other code
    if of_landmarks(metric):
        landmark_unit(metric, seed)
    elif metric.family in CLOSED_FORM:
        CLOSED_FORM[metric.family](metric, bench, seed)


def without(predicted: np.ndarray, frames: np.ndarray) -> np.ndarray:
    holed = predicted.copy()
    holed[frames] = np.nan
    return holed


def coverage(metric: Metric, bench: Bench, seed: int) -> None:
    """A frame without a predicted face changes nothing, or it lowers the coverage and the bounds hold it.

    What is dropped are the worst frames, so that the value would improve; so would a clip with none left.
    """
    predicted, true = coverage_case(metric, bench, seed)
    full = metric.compute(predicted)
    assert (full.least, full.most) == (None, None), f"{metric.id} has bounds with nothing missing"
    for share in (0.1, 0.4, 1.0):
        holed = metric.compute(dropping_the_worst(predicted, share))
        if holed == full:
            continue
        assert holed.coverage < full.coverage, f"{metric.id} does not say that frames are missing"
        assert holed.value is not None or share > 0.1
        assert metric.bounded or not metric.needs <= MEASURED, f"{metric.id} has no bounds"
        if metric.bounded:
            assert holed.least is not None, metric.id
            assert holed.most is not None, metric.id
            slack = 1e-9 * (1 + abs(holed.most))
            assert full.value is not None
            assert holed.least - slack <= full.value <= holed.most + slack, f"{metric.id}: {holed}, {full}"
    for_nobody = metric.compute(true)
    assert (for_nobody.least, for_nobody.most) == (None, None), f"{metric.id} blames a missing true face"


def coverage_case(metric: Metric, bench: Bench, seed: int) -> tuple[ClipPair, ClipPair]:
    """A pair, and the same where the truth has no face in some frames."""
    if of_landmarks(metric):
        pair = drawn_in_crop(seed)
        holed = without(pair.truth.landmarks, np.array([1, 2]))
        return pair, landmark_pair(pair.predicted.landmarks, holed)
    wrong, truth = other_face(seed), bench.truth
    holed = replace(truth, landmarks=without(truth.landmarks, np.array([1, 2])))
    return bench.pair(wrong), bench.pair(wrong, holed)


@lru_cache(maxsize=16)
def drawn_in_crop(seed: int) -> ClipPair:
    """A prediction that is further off in some frames than in others, inside the crop once it is aligned."""
    true = drawn(seed, 10)
    rng = np.random.default_rng(seed)
    error = rng.normal(0, 1, true.shape) * rng.uniform(0, 40, (len(true), 1, 1))
    error[:, [30, *range(36, 48)]] = 0
    return landmark_pair(np.clip(true + error, 0, 256), true)


def dropping_the_worst(pair: ClipPair, share: float) -> ClipPair:
    off = np.linalg.norm(pair.predicted.landmarks - pair.truth.landmarks, axis=2).mean(1)
    worst = np.argsort(-off)[: max(1, round(share * len(off)))]
    holed = without(pair.predicted.landmarks, worst)
    again = pair.redetected and (holed, pair.redetected[1])
    return replace(pair, predicted=replace(pair.predicted, landmarks=holed), redetected=again)


GOOD = talking("neutral")
PICTURE = draw(GOOD)
WHOLE = Prediction(GOOD, PICTURE)


def with_nan(*frames: int) -> Prediction:
    return Prediction(without(GOOD, np.array(frames)), PICTURE)


def first(count: int) -> Prediction:
    return Prediction(GOOD[:count], PICTURE[:count])


def one_value(bad: float) -> Prediction:
    landmarks = GOOD.copy()
    landmarks[3, 50, 0] = bad
    return Prediction(landmarks, PICTURE)


DEGENERATE: Mapping[str, tuple[Prediction, Prediction]] = {
    "empty": (first(0), first(0)),
    "one frame": (first(1), first(1)),
    "shorter": (first(FRAMES - 1), WHOLE),
    "longer": (WHOLE, first(FRAMES - 1)),
    "NaN in some frames": (with_nan(3, 4), WHOLE),
    "NaN in all": (with_nan(*range(FRAMES)), WHOLE),
    "NaN in every other": (with_nan(*range(0, FRAMES, 2)), WHOLE),
    "no true face": (WHOLE, with_nan(*range(FRAMES))),
    "no true face in some": (WHOLE, with_nan(0, 7)),
    "one NaN": (one_value(np.nan), WHOLE),
    "one infinite": (one_value(np.inf), WHOLE),
    "infinite": (Prediction(GOOD + np.inf, PICTURE), WHOLE),
    "constant": (Prediction(np.zeros_like(GOOD), np.zeros_like(PICTURE)), WHOLE),
    "a still face": (Prediction(np.repeat(GOOD[:1], FRAMES, 0), PICTURE), WHOLE),
    "other points": (Prediction(GOOD[:, :60], PICTURE), WHOLE),
    "one dimension less": (Prediction(GOOD[..., 0], PICTURE[..., 0]), WHOLE),
    "float frames": (Prediction(GOOD, PICTURE / 255), WHOLE),
    "other size": (Prediction(GOOD, PICTURE[:, ::2]), WHOLE),
    "tiny frames": (Prediction(GOOD, PICTURE[:, :4, :4]), Prediction(GOOD, PICTURE[:, :4, :4])),
}
REFUSED = ("empty", "shorter", "longer", "one infinite", "infinite", "one NaN", "other points")
"""What no distance of landmarks may score."""


def scored_or_refused(
    metric: Metric, bench: Bench, predicted: Prediction, true: Prediction
) -> tuple[Score | None, str]:
    try:
        return bench.score(metric, predicted, true), ""
    except ValueError as error:
        return None, str(error)


def degenerate(metric: Metric, bench: Bench, seed: int) -> None:
    """A defined value, or an error that names the clip; never a silent NaN, never a shorter sequence."""
    for kind, (predicted, true) in DEGENERATE.items():
        result, refusal = scored_or_refused(metric, bench, predicted, true)
        if result is None:
            assert CLIP in refusal, f"{metric.id} refuses {kind} without naming the clip: {refusal}"
            continue
        assert kind not in REFUSED or not of_landmarks(metric), f"{metric.id} scores {kind}: {result}"
        assert 0 <= result.coverage <= 1, f"{metric.id}, {kind}"
        assert result.value is None or np.isfinite(result.value), f"{metric.id} of {kind} is {result.value}"
        assert result.value is not None or result.coverage < 1, f"{metric.id}, {kind}"
        for bound in (result.least, result.most):
            assert bound is None or np.isfinite(bound), f"{metric.id} of {kind} has a bound {bound}"
        Record("c", "m", "full", 0, "self", metric.id, CLIP, result.value, result.coverage)


def repetition(metric: Metric, bench: Bench, seed: int) -> None:
    """The same bits twice, the input left alone, no matter how arrays are laid out, stored or cut in two."""
    predicted = shown(talking("neutral", take=2))
    arrays = [x for p in (predicted, bench.truth) for x in (p.landmarks, frames_of(p))]
    before = [array.tobytes() for array in arrays]
    once, again = (bench.score(metric, predicted) for _ in range(2))
    assert once == again, f"{metric.id} does not repeat"
    assert before == [array.tobytes() for array in arrays], f"{metric.id} changes its input"
    strided = np.repeat(frames_of(predicted), 2, axis=2)[:, :, ::2]
    single = np.asfortranarray(predicted.landmarks.astype(np.float32))
    other = bench.score(metric, Prediction(single, strided))
    assert other.coverage == once.coverage
    assert other.value == pytest.approx(once.value, rel=1e-4), f"{metric.id} depends on the arrays' layout"
    if "frame order" in metric.unmoved_by:
        halves = [half_of(side, k) for k in (0, 1) for side in (predicted, bench.truth)]
        parts = [bench.score(metric, *halves[k : k + 2]).value for k in (0, 2)]
        # What is measured in a length of the face has it from the clip, so that halves have their own.
        near = 1e-9 if metric.symmetric else 1e-2
        assert np.mean(parts) == pytest.approx(once.value, rel=near), f"{metric.id} is no mean over frames"


def half_of(side: Prediction, which: int) -> Prediction:
    frames = slice(which * FRAMES // 2, (which + 1) * FRAMES // 2)
    return Prediction(side.landmarks[frames], frames_of(side)[frames])


RUNG: Mapping[Rung, Callable[[Metric, Bench, int], None]] = {
    "perfection": perfection,
    "symmetry": symmetry,
    "invariance": invariance,
    "damage": damage,
    "region": region,
    "unit": unit,
    "coverage": coverage,
    "degenerate": degenerate,
    "repetition": repetition,
}
DRAWN: tuple[Rung, ...] = ("perfection", "symmetry", "invariance", "region", "unit")
"""Those that landmark protocols climb on any number of drawn faces. (The bounds of coverage have a module of
their own among the properties.)"""
