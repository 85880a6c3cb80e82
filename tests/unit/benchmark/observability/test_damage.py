"""Damage is what it says: the factor that is named changes by the dose, and nothing else does."""

from __future__ import annotations

import numpy as np
import pytest

from benchmark.data.parametric import Parametric
from benchmark.data.synthetic import face
from benchmark.data.synthetic.corpus import SyntheticSpeech
from benchmark.data.synthetic.morph import between
from benchmark.metrics.landmarks import align_pair, landmark_distance, landmark_velocity_distance
from benchmark.observability.damage import DAMAGES, Damage, damage_of
from benchmark.observability.scene import STRANGER, Scene, other_emotion, scene_of
from models.types import MEAD_EMOTIONS, Prediction

CLIP = "F01_happy_3_s01"
OF_FACTORS = ("lip shift", "frozen mouth", "emotion swap", "identity drift")


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Parametric:
    cache = str(tmp_path_factory.mktemp("cache"))
    return Parametric(corpus=SyntheticSpeech(cache=cache), cache=cache, frame_size=64)


def scene(corpus: Parametric, frames: int | None = None) -> Scene:
    return scene_of(corpus, next(c for c in corpus.clips() if c.id == CLIP), frames=frames)


def damaged(of: Scene, name: str, dose: float) -> Prediction:
    return damage_of(name).apply(of, dose, np.random.default_rng(3))


def frames_of(prediction: Prediction) -> np.ndarray:
    assert prediction.frames is not None
    return prediction.frames


def test_undamaged_is_the_clip_of_the_corpus_to_the_bit(corpus: Parametric) -> None:
    whole = scene(corpus)
    corpus.prepare(whole.clip, frames=True)
    np.testing.assert_array_equal(whole.expression(), whole.clip.load("expression"))
    np.testing.assert_array_equal(whole.truth.landmarks, whole.clip.landmarks)
    np.testing.assert_array_equal(whole.truth.frames, whole.clip.load("frames"))
    np.testing.assert_array_equal(whole.waveform, whole.clip.waveform[: 640 * len(whole)])


def test_an_excerpt_is_the_middle_of_the_clip(corpus: Parametric) -> None:
    whole, part = scene(corpus), scene(corpus, frames=20)
    start = (len(whole) - 20) // 2
    assert len(part) == 20
    np.testing.assert_allclose(part.truth.landmarks, whole.truth.landmarks[start : start + 20], atol=1e-4)
    np.testing.assert_array_equal(part.waveform, whole.waveform[640 * start : 640 * (start + 20)])


@pytest.mark.parametrize("name", OF_FACTORS)
def test_no_dose_of_a_factor_is_the_truth(corpus: Parametric, name: str) -> None:
    part = scene(corpus, frames=12)
    nothing = damaged(part, name, 0.0)
    np.testing.assert_allclose(nothing.landmarks, part.truth.landmarks, atol=1e-4)
    np.testing.assert_array_equal(nothing.frames, part.truth.frames)


def test_lips_forty_milliseconds_late_are_one_frame_late(corpus: Parametric) -> None:
    whole = scene(corpus)
    late = whole.speech(delay=0.04)
    # The clip's first sound is longer by the delay.
    np.testing.assert_allclose(late[12:], whole.speech()[11:-1], atol=1e-4)


def test_lips_may_be_late_by_less_than_a_frame(corpus: Parametric) -> None:
    part = scene(corpus, frames=40)
    half, one = (np.abs(damaged(part, "lip shift", ms).landmarks - part.truth.landmarks) for ms in (20, 40))
    assert 0 < half.mean() < one.mean()
    late, brows = damaged(part, "lip shift", 160).landmarks, slice(17, 27)
    np.testing.assert_allclose(late[:, brows], part.truth.landmarks[:, brows], atol=0.02)


def test_a_wholly_frozen_mouth_keeps_still_while_the_head_moves(corpus: Parametric) -> None:
    part = scene(corpus, frames=40)
    frozen = damaged(part, "frozen mouth", 1.0)

    def opening(landmarks: np.ndarray) -> np.ndarray:
        return np.linalg.norm(landmarks[:, 66] - landmarks[:, 62], axis=1)

    assert opening(frozen.landmarks).std() < 0.1 * opening(part.truth.landmarks).std()
    np.testing.assert_allclose(frozen.landmarks[:, 27:31], part.truth.landmarks[:, 27:31], atol=0.5)


def test_a_whole_swap_shows_the_other_emotion(corpus: Parametric) -> None:
    part = scene(corpus, frames=12)
    assert part.other_emotion == "angry"
    swapped = damaged(part, "emotion swap", 1.0).landmarks
    other = part.show(part.expression(part.speech(vigour=part.vigour(1.0)), part.other_feeling)).landmarks
    np.testing.assert_allclose(swapped, other, atol=1e-3)
    brows = slice(17, 27)
    assert (swapped[:, brows, 1] - part.truth.landmarks[:, brows, 1]).mean() > 1, "angry brows are lower"


def test_swaps_come_in_pairs() -> None:
    assert all(other_emotion(e) != e and other_emotion(other_emotion(e)) == e for e in MEAD_EMOTIONS)


def test_a_whole_drift_ends_on_the_strangers_head(corpus: Parametric) -> None:
    part = scene(corpus, frames=12)
    drifted = damaged(part, "identity drift", 1.0)
    stranger = face.landmarks3d(face.identity(STRANGER), part.expression()[-1:])
    np.testing.assert_allclose(drifted.landmarks[-1:], face.project(stranger, part.pose[-1:]), atol=1e-3)
    np.testing.assert_allclose(drifted.landmarks[0], part.truth.landmarks[0], atol=1e-4)
    half = between(part.who, face.identity(STRANGER), 0.5)
    middle = np.add(part.who.shape, face.identity(STRANGER).shape) / 2
    np.testing.assert_allclose(half.shape, middle, atol=1e-12)
    assert half.skin == part.who.skin


def test_frames_follow_the_drifting_head(corpus: Parametric) -> None:
    """The chin's edge moves in the picture as the landmark does."""
    part = scene(corpus, frames=12)
    drifted = damaged(part, "identity drift", 1.0)
    changed = np.abs(frames_of(drifted)[-1].astype(int) - frames_of(part.truth)[-1]).max(-1) > 20
    rows, columns = np.nonzero(changed)
    face_box = np.concatenate([drifted.landmarks[-1], part.truth.landmarks[-1]]) * 64 / 256
    inside = (np.abs(columns - face_box[:, 0].mean()) < 32) & (rows > face_box[:, 1].min() - 24)
    assert changed.any()
    assert inside.mean() > 0.9


def test_dropped_frames_repeat_the_one_before(corpus: Parametric) -> None:
    part = scene(corpus, frames=20)
    dropped = damaged(part, "dropped frames", 0.5)
    same = (dropped.landmarks[1:] == dropped.landmarks[:-1]).all((1, 2))
    assert same.sum() == 10
    still = (frames_of(dropped)[1:] == frames_of(dropped)[:-1]).all((1, 2, 3))
    assert (still | ~same).all()
    np.testing.assert_array_equal(dropped.landmarks[0], part.truth.landmarks[0])


def test_a_lost_face_is_missing_and_nothing_else(corpus: Parametric) -> None:
    part = scene(corpus, frames=20)
    lost = damaged(part, "lost faces", 0.25)
    missing = np.isnan(lost.landmarks).all((1, 2))
    assert missing.sum() == 5
    np.testing.assert_array_equal(lost.landmarks[~missing], part.truth.landmarks[~missing])
    assert lost.frames is part.truth.frames


def test_a_greater_dose_contains_the_smaller(corpus: Parametric) -> None:
    part = scene(corpus, frames=20)
    few, many = (np.isnan(damaged(part, "lost faces", d).landmarks[:, 0, 0]) for d in (0.25, 0.5))
    assert (few <= many).all()
    soft, hard = (damaged(part, "landmark jitter", d).landmarks - part.truth.landmarks for d in (1, 2))
    np.testing.assert_allclose(2 * soft, hard, atol=1e-4)


def test_jitter_has_its_standard_deviation(corpus: Parametric) -> None:
    part = scene(corpus, frames=40)
    noise = damaged(part, "landmark jitter", 2.0).landmarks - part.truth.landmarks
    assert noise.std() == pytest.approx(2.0, rel=0.03)


def test_pixels_are_damaged_alone(corpus: Parametric) -> None:
    part = scene(corpus, frames=4)
    for name, dose in (("blur", 2.0), ("colour shift", 16)):
        assert damaged(part, name, dose).landmarks is part.truth.landmarks
    shift = frames_of(damaged(part, "colour shift", 16)).astype(int) - frames_of(part.truth)
    room = (frames_of(part.truth) > 16) & (frames_of(part.truth) < 239)
    assert set(np.unique(shift[..., 0][room[..., 0]])) == {16}
    assert set(np.unique(shift[..., 1])) == {0}
    assert set(np.unique(shift[..., 2][room[..., 2]])) == {-16}


def test_a_constant_offset_of_the_mouth_is_invisible_to_its_velocity(corpus: Parametric) -> None:
    part = scene(corpus, frames=20)
    moved = part.truth.landmarks.copy()
    moved[:, 48:] += (3.0, 0.0)
    still = part.truth.landmarks.copy()
    pair = align_pair(moved - moved[:, 27:28], still - still[:, 27:28], clip=CLIP)
    place, motion = landmark_distance(pair, "mouth"), landmark_velocity_distance(pair, "mouth")
    assert place.value is not None
    assert motion.value is not None
    assert place.value > 2
    assert motion.value < 0.02 * place.value


@pytest.mark.parametrize("damage", DAMAGES, ids=lambda d: d.name)
def test_the_same_damage_twice_is_the_same_bits(corpus: Parametric, damage: Damage) -> None:
    dose = damage.doses[1]
    first, second = (damaged(scene(corpus, frames=8), damage.name, dose) for _ in range(2))
    np.testing.assert_array_equal(first.landmarks, second.landmarks)
    np.testing.assert_array_equal(first.frames, second.frames)
    assert list(damage.doses) == sorted(damage.doses)


def test_an_unknown_damage_is_named() -> None:
    with pytest.raises(ValueError, match="no damage 'rust'; there are lip shift"):
        damage_of("rust")
