"""What EVP does around its predictor: the emotion, the example face, silence, and the layout it hands on."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

import models.evp
from models.evp import EVP
from models.landmarks.alignment import stabilise
from models.landmarks.codes import EmotionCodes
from models.landmarks.silence import recommended
from models.landmarks.topology import to_106
from models.types import Portrait, Request

FRAMES = 70


class Unmoved:
    """An alignment that passes on what it is given."""

    needs_face_model = False

    def align(self, predicted: np.ndarray, target: np.ndarray, model: Any) -> np.ndarray:
        assert predicted.shape == (FRAMES, 68, 2)
        return predicted


class Spoken:
    """A predictor that says the same face whatever it is asked, and remembers what it was asked."""

    use_emotion = True

    def __init__(self, landmarks: np.ndarray, identity: str = "zeros", frontal: bool = False) -> None:
        self.landmarks, self.identity, self.frontal = landmarks, identity, frontal
        self.codes = EmotionCodes({"happy": np.ones(3, np.float32), "sad": np.zeros(3, np.float32)})
        self.asked: dict[str, Any] = {}

    def code(self, emotion: str, intensity: int | None = None) -> np.ndarray:
        return self.codes.get(emotion, intensity)

    def predict(self, waveform: np.ndarray, **asked: Any) -> np.ndarray:
        self.asked = asked
        return self.landmarks


@pytest.fixture
def face() -> np.ndarray:
    rng = np.random.default_rng(0)
    landmarks = (128 + 30 * rng.normal(size=(1, 68, 2)) + rng.normal(size=(FRAMES, 68, 2))).astype(np.float32)
    landmarks[:, 66, 1] = landmarks[:, 62, 1] + rng.uniform(1, 9, FRAMES)
    return landmarks


@pytest.fixture
def request_(face: np.ndarray) -> Request:
    """Speech, a long pause, and speech again."""
    waveform = np.zeros((FRAMES, 640), np.float32)
    waveform[:20] = waveform[50:] = 0.1
    target = Portrait("A", face[::-1] * 0.5 + 40, None)
    return Request(waveform.ravel(), FRAMES, "happy", 3, np.ones(5, np.float32), target)


def answer(monkeypatch: pytest.MonkeyPatch, speak: Spoken, request: Request, **options: Any) -> np.ndarray:
    monkeypatch.setattr(models.evp.LandmarkPredictor, "load", lambda *_: speak)
    monkeypatch.setattr(models.evp.FaceModel, "load", lambda *_: SimpleNamespace())
    stages: Any = dict.fromkeys(
        ("features", "emotion_classifier", "pairs", "disentangle", "landmarks", "face3d", "renderer")
    )
    method = EVP(**stages, align=Unmoved(), frames=False, **options)
    places = {"landmarks": Path(), "face3d": Path()}
    data: Any = None
    predict = method.predictor(data, places, torch.device("cpu"))
    made = predict(request).landmarks
    np.testing.assert_array_equal(predict(request).landmarks, made)
    return made


def test_106_points_come_back_as_68(monkeypatch, face, request_) -> None:
    made = answer(monkeypatch, Spoken(to_106(face)), request_)
    np.testing.assert_allclose(made, face, rtol=1e-6)


def test_silence_is_applied_to_what_was_predicted(monkeypatch, face, request_) -> None:
    made = answer(monkeypatch, Spoken(face), request_, silence="recommended")
    expected = recommended(face, request_.waveform, np.random.default_rng(0))
    np.testing.assert_array_equal(made, expected)
    assert (made != face).any()
    np.testing.assert_array_equal(answer(monkeypatch, Spoken(face), request_), face)
    frozen = answer(monkeypatch, Spoken(face), request_, silence="released")
    assert (frozen[25:45, 17:27] != face[25:45, 17:27]).mean() > 0.9, "the released rule moves brows too"


def test_the_target_is_shown_without_its_head_motion_where_the_network_wants_it(
    monkeypatch, face, request_
) -> None:
    speak = Spoken(face, identity="target")
    answer(monkeypatch, speak, request_)
    np.testing.assert_array_equal(speak.asked["target"], stabilise(request_.target.landmarks))
    plain = Spoken(face)
    answer(monkeypatch, plain, request_)
    assert plain.asked["target"] is None


def test_a_network_that_learned_frontal_faces_is_shown_a_frontal_one(monkeypatch, face, request_) -> None:
    shown = []
    monkeypatch.setattr(models.evp, "still", lambda landmarks, model: shown.append(model) or landmarks)
    answer(monkeypatch, Spoken(face, identity="frame", frontal=True), request_)
    answer(monkeypatch, Spoken(face, identity="frame", frontal=False), request_)
    assert [model is not None for model in shown] == [True, True, False, False]


def test_emotion_is_heard_or_told(monkeypatch, face, request_) -> None:
    speak = Spoken(face)
    answer(monkeypatch, speak, request_)
    assert speak.asked["emotion_waveform"] is request_.emotion_waveform
    answer(monkeypatch, speak, request_, emotion_from="label")
    np.testing.assert_array_equal(speak.asked["emotion_code"], 1)


@pytest.mark.parametrize(
    ("options", "message"),
    [({"silence": "loud"}, "silence: expected"), ({"emotion_from": "x"}, "emotion_from")],
)
def test_refuses(monkeypatch, face, request_, options, message) -> None:
    with pytest.raises(ValueError, match=message):
        answer(monkeypatch, Spoken(face), request_, **options)
