"""The emotion judge on faces whose emotion is known: unseen speakers, head motion, storage, refusals."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from benchmark.metrics.emotion import (
    EmotionJudge,
    JudgeError,
    clip_features,
    emotion_score,
    neutral_reference,
    train_judge,
    verdicts,
)
from models.sealed import write_sealed
from models.types import Clip

EMOTIONS = ("angry", "happy", "neutral", "surprised")
BROWS, LEFT_CORNER, RIGHT_CORNER, LIDS = range(17, 27), (48, 60), (54, 64), (37, 38, 43, 44)


def shape(speaker: int) -> np.ndarray:
    """(68, 2): a rough face, different for every speaker."""
    side = np.linspace(-1, 1, 17)
    contour = np.stack([128 + 95 * side, 90 + 150 * np.sqrt(1 - 0.97 * side**2)], 1)
    brows = np.stack([np.r_[np.linspace(55, 110, 5), np.linspace(146, 200, 5)], np.full(10, 62.0)], 1)
    nose = np.stack([np.r_[np.full(4, 128.0), 110:147:9], np.r_[80:120:13, np.full(5, 128)]], 1)
    turn = np.linspace(np.pi, -np.pi, 6, endpoint=False)
    eye = np.stack([13 * np.cos(turn), -5 * np.sin(turn)], 1)
    lips = [np.linspace(np.pi, -np.pi, n, endpoint=False) for n in (12, 8)]
    outer, inner = (
        np.stack([128 + w * np.cos(t), 178 - h * np.sin(t)], 1)
        for t, w, h in zip(lips, (34, 26), (14, 4), strict=True)
    )
    points = np.concatenate(
        [contour, brows, nose, eye + np.array((84, 80)), eye + np.array((168, 80)), outer, inner]
    )
    return points + np.random.default_rng(speaker).normal(0, 3, points.shape)


def expression(emotion: str) -> np.ndarray:
    """(68, 2) displacement."""
    moved = np.zeros((68, 2))
    if emotion == "angry":
        moved[BROWS, 1] += 6
        moved[LIDS, 1] += 1
    if emotion == "surprised":
        moved[BROWS, 1] -= 7
        moved[LIDS, 1] -= 2
    if emotion == "happy":
        moved[LEFT_CORNER, :] += (-5, -5)
        moved[RIGHT_CORNER, :] += (5, -5)
    return moved


def perform(speaker: int, emotion: str, take: int, frames: int = 30) -> np.ndarray:
    """(frames, 68, 2) float32: a talking, nodding face in some place of the crop."""
    rng = np.random.default_rng([speaker, EMOTIONS.index(emotion), take])
    face = shape(speaker) + expression(emotion) * rng.uniform(0.5, 1.2)
    sequence = np.repeat(face[None], frames, 0)
    opening = 6 * np.abs(np.sin(np.arange(frames) * rng.uniform(0.4, 0.9)))
    sequence[:, [55, 56, 57, 58, 59, 65, 66, 67], 1] += opening[:, None]
    sequence += rng.normal(0, 0.4, sequence.shape)
    angle = 0.15 * np.sin(np.arange(frames) / 9 + rng.uniform(0, 6))
    turn = np.stack([np.cos(angle), -np.sin(angle), np.sin(angle), np.cos(angle)], -1).reshape(-1, 2, 2)
    return (0.6 * (sequence - 128) @ turn + 120 + rng.normal(0, 5, 2)).astype(np.float32)


def store(root: Path, speaker: int, emotion: str, take: int, landmarks: np.ndarray | None = None) -> Clip:
    name = f"s{speaker}-{emotion}-{take}"
    (root / name).mkdir(exist_ok=True)
    write_sealed(
        root / name / "landmarks.npy", perform(speaker, emotion, take) if landmarks is None else landmarks
    )
    return Clip(name, f"s{speaker}", f"sentence {take}", emotion, 1, root / name)


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> list[Clip]:
    root = tmp_path_factory.mktemp("clips")
    return [store(root, s, e, k) for s in range(4) for e in EMOTIONS for k in range(5)]


@pytest.fixture(scope="module")
def judge(corpus: list[Clip]) -> EmotionJudge:
    return train_judge([clip for clip in corpus if clip.speaker != "s3"], EMOTIONS)


@pytest.fixture(scope="module")
def subject(corpus: list[Clip]) -> list[Clip]:
    return [clip for clip in corpus if clip.speaker == "s3"]


def test_it_knows_the_emotions_of_a_speaker_it_never_saw(judge: EmotionJudge, subject: list[Clip]) -> None:
    neutral = neutral_reference(subject[:])
    seen = [judge.predict(clip.landmarks, neutral) for clip in subject]
    result = verdicts([clip.emotion or "" for clip in subject], seen, EMOTIONS)
    assert result.accuracy >= 0.9
    assert result.chance == 0.25
    assert result.confusion.sum() == len(subject)


def test_where_the_head_is_changes_nothing(judge: EmotionJudge, subject: list[Clip]) -> None:
    neutral = neutral_reference(subject)
    landmarks = subject[0].landmarks.astype(np.float64)
    turn = np.array([[np.cos(0.4), -np.sin(0.4)], [np.sin(0.4), np.cos(0.4)]])
    moved = 1.3 * landmarks @ turn + (20, -7)
    np.testing.assert_allclose(
        judge.probabilities(moved, neutral), judge.probabilities(landmarks, neutral), atol=1e-5
    )


def test_training_repeats_bit_for_bit_and_storage_keeps_the_bits(
    judge: EmotionJudge, corpus: list[Clip], tmp_path: Path
) -> None:
    again = train_judge([clip for clip in corpus if clip.speaker != "s3"], EMOTIONS)
    judge.save(tmp_path / "a" / "judge.safetensors")
    again.save(tmp_path / "b.safetensors")
    assert (tmp_path / "a" / "judge.safetensors").read_bytes() == (tmp_path / "b.safetensors").read_bytes()
    loaded = EmotionJudge.load(tmp_path / "b.safetensors")
    assert loaded.emotions == judge.emotions
    np.testing.assert_array_equal(loaded.weights, judge.weights)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a", "b.safetensors"]


def test_files_that_are_no_judge_are_refused(judge: EmotionJudge, tmp_path: Path) -> None:
    path = tmp_path / "judge.safetensors"
    with pytest.raises(JudgeError, match="no emotion judge at"):
        EmotionJudge.load(path)
    judge.save(path)
    path.write_bytes(path.read_bytes()[:-7])
    with pytest.raises(JudgeError, match="no readable emotion judge"):
        EmotionJudge.load(path)


def test_two_emotions_are_enough(corpus: list[Clip]) -> None:
    pair = ("happy", "neutral")
    clips = [clip for clip in corpus if clip.emotion in pair]
    judge = train_judge(clips, pair)
    neutral = neutral_reference([clip for clip in clips if clip.speaker == "s0"])
    for clip in clips[:2]:
        probabilities = judge.probabilities(clip.landmarks, neutral)
        assert probabilities.sum() == pytest.approx(1)
        assert pair[int(probabilities.argmax())] == clip.emotion


def test_the_score_is_whether_the_verdict_is_right(judge: EmotionJudge, subject: list[Clip]) -> None:
    neutral = neutral_reference(subject)
    happy = next(clip for clip in subject if clip.emotion == "happy")
    assert emotion_score(judge, happy.landmarks, neutral, "happy").value == 1
    wrong = emotion_score(judge, happy.landmarks, neutral, "angry")
    assert wrong.value == 0
    assert wrong.label == "happy"


def test_missing_faces_lower_the_coverage(judge: EmotionJudge, subject: list[Clip]) -> None:
    neutral = neutral_reference(subject)
    landmarks = subject[0].landmarks.copy()
    landmarks[:15] = np.nan
    assert emotion_score(judge, landmarks, neutral, "angry").coverage == 0.5
    landmarks[:] = np.nan
    score = emotion_score(judge, landmarks, neutral, "angry")
    assert score.value is None
    assert score.coverage == 0


def test_unusable_questions_are_refused_by_name(judge: EmotionJudge, subject: list[Clip]) -> None:
    neutral, landmarks = neutral_reference(subject), subject[0].landmarks
    with pytest.raises(JudgeError, match=r"clip c: the judge knows angry, happy, .* not 'bored'"):
        emotion_score(judge, landmarks, neutral, "bored", clip="c")
    with pytest.raises(ValueError, match="clip c: the emotion judge needs two frames"):
        emotion_score(judge, landmarks[:1], neutral, "happy", clip="c")
    with pytest.raises(JudgeError, match="clip c: expected a finite neutral face"):
        clip_features(landmarks, neutral[:5], clip="c")


def test_training_refuses_what_it_cannot_learn_from(corpus: list[Clip], tmp_path: Path) -> None:
    without_neutral = [c for c in corpus if c.speaker != "s1" or c.emotion != "neutral"]
    with pytest.raises(JudgeError, match="needs a neutral clip of speaker s1 with a face"):
        train_judge(without_neutral, EMOTIONS)
    with pytest.raises(JudgeError, match="no usable training clip of bored"):
        train_judge(corpus, (*EMOTIONS, "bored"))
    with pytest.raises(JudgeError, match="has emotion 'angry'; expected one of"):
        train_judge(corpus, ("happy", "neutral"))
    with pytest.raises(JudgeError, match="two or more different emotions"):
        train_judge(corpus, ("neutral",))
    single = [c for c in corpus if c.speaker == "s0" and c.sentence == "sentence 0"]
    with pytest.raises(JudgeError, match="every emotion from two speakers, or in two sentences"):
        train_judge(single, EMOTIONS)
    with pytest.raises(JudgeError, match="clips of one speaker"):
        neutral_reference(corpus)
    faceless = store(tmp_path, 0, "neutral", 9, np.full((5, 68, 2), np.nan, np.float32))
    with pytest.raises(JudgeError, match="needs a neutral clip"):
        neutral_reference([faceless])


def test_clips_without_a_face_are_left_out_of_training(corpus: list[Clip], tmp_path: Path) -> None:
    faceless = store(tmp_path, 0, "happy", 9, np.full((5, 68, 2), np.nan, np.float32))
    first, second = train_judge([*corpus, faceless], EMOTIONS), train_judge(corpus, EMOTIONS)
    np.testing.assert_array_equal(first.weights, second.weights)


def test_verdicts_are_counted_by_row_wanted_and_column_seen() -> None:
    result = verdicts(["a", "a", "b"], ["a", "b", "b"], ("a", "b"))
    np.testing.assert_array_equal(result.confusion, [[1, 1], [0, 1]])
    assert result.accuracy == pytest.approx(2 / 3)
    with pytest.raises(JudgeError, match="no verdicts"):
        _ = verdicts([], [], ("a", "b")).accuracy
    with pytest.raises(JudgeError, match="got c"):
        verdicts(["a"], ["c"], ("a", "b"))
