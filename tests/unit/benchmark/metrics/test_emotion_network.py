"""The emotion network on faces whose emotion is known: strangers, chance, its second opinion, storage."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from benchmark.metrics.calibration import calibration, cohen_kappa
from benchmark.metrics.emotion import (
    EmotionJudge,
    emotion_probability,
    neutral_reference,
    train_judge,
    verdicts,
)
from benchmark.metrics.emotion_network import EmotionNetwork
from benchmark.metrics.emotion_network_training import train_emotion_network
from benchmark.metrics.judge_file import JudgeError
from models.types import Clip
from tests.unit.benchmark.metrics.test_emotion_judge import EMOTIONS, store

STEPS = 50


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> list[Clip]:
    root = tmp_path_factory.mktemp("clips")
    return [store(root, s, e, k) for s in range(4) for e in EMOTIONS for k in range(5)]


@pytest.fixture(scope="module")
def others(corpus: list[Clip]) -> list[Clip]:
    return [clip for clip in corpus if clip.speaker != "s3"]


@pytest.fixture(scope="module")
def subject(corpus: list[Clip]) -> list[Clip]:
    return [clip for clip in corpus if clip.speaker == "s3"]


@pytest.fixture(scope="module")
def network(others: list[Clip]) -> EmotionNetwork:
    return train_emotion_network(others, EMOTIONS, steps=STEPS)


@pytest.fixture(scope="module")
def linear(others: list[Clip]) -> EmotionJudge:
    return train_judge(others, EMOTIONS)


def test_it_knows_a_stranger_and_agrees_with_the_linear_judge(
    network: EmotionNetwork, linear: EmotionJudge, subject: list[Clip]
) -> None:
    neutral = neutral_reference(subject)
    wanted = [clip.emotion or "" for clip in subject]
    seen = [network.predict(clip.landmarks, neutral) for clip in subject]
    first = [linear.predict(clip.landmarks, neutral) for clip in subject]
    assert verdicts(wanted, seen, EMOTIONS).accuracy >= 0.9
    kappa = cohen_kappa(verdicts(first, seen, EMOTIONS).confusion)
    assert kappa is not None
    assert kappa > 0.8


@pytest.mark.parametrize("kind", ["linear", "network"])
def test_shuffled_labels_leave_it_at_chance_and_unsure(
    kind: str, others: list[Clip], subject: list[Clip]
) -> None:
    rng = np.random.default_rng(0)
    neutral = [clip for clip in others if clip.emotion == "neutral"]
    rest = [clip for clip in others if clip.emotion != "neutral"]
    labels = rng.permutation([clip.emotion for clip in rest])
    wrong = [
        Clip(c.id, c.speaker, c.sentence, str(e), 1, c.directory) for c, e in zip(rest, labels, strict=True)
    ]
    train = train_judge if kind == "linear" else lambda c, e: train_emotion_network(c, e, steps=STEPS)
    judge = train([*neutral, *wrong], EMOTIONS)
    shown = judge.left_out_labels != EMOTIONS.index("neutral")
    right = judge.left_out_logits[shown].argmax(1) == judge.left_out_labels[shown]
    assert right.mean() < 0.55, "a third would be chance among the three shuffled emotions"


def test_both_judges_are_calibrated_on_the_clips_left_out(
    network: EmotionNetwork, linear: EmotionJudge
) -> None:
    for judge in (network, linear):
        assert judge.left_out_logits.shape == (60, 4)
        before, after = (
            calibration(_softmax(judge.left_out_logits / t), judge.left_out_labels)
            for t in (1.0, judge.temperature)
        )
        assert after.log_loss <= before.log_loss + 1e-9
        assert after.accuracy == before.accuracy
        assert after.accuracy >= 0.8


def _softmax(logits: np.ndarray) -> np.ndarray:
    odds = np.exp(logits - logits.max(1, keepdims=True))
    return odds / odds.sum(1, keepdims=True)


def test_probabilities_are_the_tempered_logits(linear: EmotionJudge, subject: list[Clip]) -> None:
    neutral = neutral_reference(subject)
    clip = subject[0]
    chances = linear.probabilities(clip.landmarks, neutral)
    expected = _softmax(linear.logits(clip.landmarks, neutral)[None] / linear.temperature)[0]
    np.testing.assert_allclose(chances, expected, rtol=1e-12)
    found = emotion_probability(linear, clip.landmarks, neutral, "happy").value
    assert found == pytest.approx(expected[EMOTIONS.index("happy")])


def test_training_repeats_bit_for_bit_and_storage_keeps_the_bits(
    others: list[Clip], subject: list[Clip], tmp_path: Path
) -> None:
    for name in "ab":
        torch.manual_seed(ord(name))
        train_emotion_network(others[:40], EMOTIONS, steps=3).save(tmp_path / name / "network.safetensors")
    first, second = ((tmp_path / name / "network.safetensors").read_bytes() for name in "ab")
    assert first == second
    stored = EmotionNetwork.load(tmp_path / "a" / "network.safetensors")
    assert stored.emotions == EMOTIONS
    neutral = neutral_reference(subject)
    logits = [stored.logits(subject[0].landmarks, neutral).tobytes() for _ in range(2)]
    assert logits[0] == logits[1]


def test_missing_and_few_frames(network: EmotionNetwork, subject: list[Clip]) -> None:
    neutral = neutral_reference(subject)
    clip = next(c for c in subject if c.emotion == "happy")
    holes = clip.landmarks.copy()
    holes[5:9] = np.nan
    assert network.predict(holes, neutral) == "happy"
    assert np.isfinite(network.logits(clip.landmarks[:2], neutral)).all()
    for few in (clip.landmarks[:1], np.full_like(holes, np.nan)):
        with pytest.raises(JudgeError, match="clip c: the emotion judge needs two consecutive frames"):
            network.logits(few, neutral, clip="c")


def test_files_that_are_no_network_are_refused(linear: EmotionJudge, tmp_path: Path) -> None:
    linear.save(tmp_path / "linear")
    with pytest.raises(JudgeError, match="no emotion network of this version"):
        EmotionNetwork.load(tmp_path / "linear")
