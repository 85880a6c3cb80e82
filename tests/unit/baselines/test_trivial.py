"""Floors do what their names say, and take nothing from the truth."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
import torch

from baselines.trivial import (
    FirstFrame,
    GroundTruth,
    MeanFaceStage,
    NearestNeighbour,
    NearestNeighbourStage,
    StillFace,
)
from models.face3d.alignment import PoseSwap, SimilarityAlignment
from models.face3d.morphable import Face3DStage
from models.landmarks.alignment import stabilise
from models.sealed import write_sealed
from models.types import Clip, Portrait, Prediction, Request


class Run:
    """What the baselines' stages use of a `StageRun`: a folder."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        directory.mkdir(parents=True, exist_ok=True)


@dataclass
class Data:
    train: tuple[Clip, ...]
    head_examples: np.ndarray
    emotions: tuple[str, ...] = ("happy", "neutral")
    validation: tuple[Clip, ...] = ()

    def heads(self) -> np.ndarray:
        return self.head_examples


def face() -> np.ndarray:
    """(68, 2) points that a similarity can be fitted to."""
    rng = np.random.default_rng(3)
    points = rng.uniform(60, 200, (68, 2))
    points[36:42], points[42:48], points[30] = (90, 100), (160, 100), (125, 140)
    return points.astype(np.float32)


def heads() -> np.ndarray:
    rng = np.random.default_rng(0)
    depth = np.concatenate([face() - 128, rng.uniform(-30, 30, (68, 1))], axis=1)
    return (depth + rng.normal(0, 2, (20, 10, 68, 3))).astype(np.float32)


def clip(root: Path, name: str, emotion: str, landmarks: np.ndarray, waveform: np.ndarray) -> Clip:
    directory = root / name
    directory.mkdir()
    write_sealed(directory / "landmarks.npy", landmarks.astype(np.float32))
    write_sealed(directory / "waveform.npy", waveform.astype(np.float32))
    return Clip(name, "A", name, emotion, 3, directory)


def speech(seed: int, frames: int = 20) -> np.ndarray:
    return 0.1 * np.random.default_rng(seed).standard_normal(640 * frames)


@pytest.fixture
def data(tmp_path: Path) -> Data:
    rng = np.random.default_rng(1)
    moving = [face() + rng.normal(0, 1.5, (20, 68, 2)) for _ in range(3)]
    clips = (
        clip(tmp_path, "one", "happy", moving[0], speech(1)),
        clip(tmp_path, "two", "neutral", moving[1], speech(2)),
        clip(tmp_path, "three", "happy", moving[2], speech(3)),
    )
    return Data(clips, heads())


def run_stages(method, data: Data, root: Path) -> dict[str, Path]:
    folders = {}
    for name, stage in method.stages().items():
        run = Run(root / f"stage-{name}")
        stage.run(data, folders, run)
        folders[name] = run.directory
    return folders


def request(data: Data, waveform: np.ndarray, frames: int = 12) -> Request:
    target = Portrait("A", data.train[1].landmarks, np.arange(20, dtype=np.uint8)[:, None, None, None])
    return Request(waveform, frames, "happy", 3, waveform, target)


@pytest.mark.parametrize(("emotion", "chosen"), [(None, (0, 1, 2)), ("neutral", (1,))])
def test_a_still_face_is_the_average_of_the_named_clips(data: Data, tmp_path: Path, emotion, chosen) -> None:
    method = StillFace(
        face=MeanFaceStage(emotion=emotion), face3d=Face3DStage(shapes=10, expressions=10), align=PoseSwap()
    )
    folders = run_stages(method, data, tmp_path)
    predicted = method.predictor(data, folders, torch.device("cpu"))(request(data, speech(9)))
    expected = np.concatenate([stabilise(data.train[i].landmarks) for i in chosen]).mean(0)
    assert predicted.landmarks.shape == (12, 68, 2)
    # Under the target's pose it is no longer exactly the average, but as near as that pose is to frontal.
    assert np.abs(stabilise(predicted.landmarks) - expected).mean() < 3
    assert predicted.frames is None


def test_no_clip_of_the_emotion_is_said(data: Data, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no training clip of emotion 'sad'"):
        MeanFaceStage(emotion="sad").run(data, {}, Run(tmp_path / "stage"))


def test_the_nearest_neighbour_of_a_training_clip_is_the_clip(data: Data, tmp_path: Path) -> None:
    method = NearestNeighbour(
        examples=NearestNeighbourStage(),
        face3d=Face3DStage(shapes=10, expressions=10),
        align=SimilarityAlignment(),
    )
    folders = run_stages(method, data, tmp_path)
    predict = method.predictor(data, folders, torch.device("cpu"))
    wanted = data.train[2]
    predicted = predict(request(data, wanted.waveform, frames=20))
    np.testing.assert_allclose(stabilise(predicted.landmarks), stabilise(wanted.landmarks), atol=1e-2)


def test_the_first_frame_stands_still(data: Data) -> None:
    asked = request(data, speech(4))
    predicted = FirstFrame().predictor(data, {}, torch.device("cpu"))(asked)
    assert predicted.frames is not None
    assert len(predicted.frames) == len(predicted.landmarks) == 12
    assert (predicted.frames == asked.target.frames[0]).all()
    assert (predicted.landmarks == asked.target.landmarks[0]).all()


def test_the_ceiling_is_the_truth_and_nothing_else(data: Data) -> None:
    predict = GroundTruth().predictor(data, {}, torch.device("cpu"))
    truth = Prediction(np.ones((12, 68, 2), np.float32))
    assert predict(replace(request(data, speech(4)), truth=truth)) is truth
    with pytest.raises(ValueError, match="needs the truth"):
        predict(request(data, speech(4)))
