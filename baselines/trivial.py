"""Floors and ceilings: what a score is worth.

A method that is not better than all floors has learned nothing. Floors that give landmarks put their face
under the target's head pose with the same 3D-aware alignment as EVP, so that all they lack is speech and
emotion. `FirstFrame` is a picture; `GroundTruth` returns the answer and shows each score's ceiling.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch

from models.artefacts import load_arrays, save_arrays
from models.audio.mfcc import mfcc, windows
from models.face3d.alignment import LandmarkAlignment
from models.face3d.morphable import FaceModel
from models.landmarks.alignment import fill_missing, stabilise
from models.method import Method, Predictor, Stage, StageRun, TrainingData
from models.types import Clip, Prediction, Request

FACE_FILE = "face.safetensors"
EXAMPLES_FILE = "examples.safetensors"


def stabilised(clips: Sequence[Clip]) -> np.ndarray:
    """All frames of the clips, (frames, 68, 2), in the stabilised space; frames without a face left out."""
    landmarks = np.concatenate([stabilise(clip.landmarks) for clip in clips])
    return landmarks[np.isfinite(landmarks).all((1, 2))]


class MeanFaceStage(Stage):
    """The average of the subject's training landmarks.

    Args:
        emotion: of the clips of this emotion only; None averages all.
    """

    seeded = False

    def __init__(self, *, emotion: str | None = None) -> None:
        self.emotion = emotion

    @property
    def reads(self) -> tuple[str, ...]:  # type: ignore[override]
        return () if self.emotion is None else ("emotion",)

    def run(self, data: TrainingData, inputs: Mapping[str, Path], run: StageRun) -> None:
        clips = [c for c in data.train if self.emotion is None or c.emotion == self.emotion]
        if not clips:
            raise ValueError(f"no training clip of emotion {self.emotion!r} to average")
        save_arrays(run.directory / FACE_FILE, {"face": stabilised(clips).mean(0)})


class StillFace(Method):
    """One face, whatever is said: the mean face, or the neutral one.

    Args:
        face: the stage that averages it.
        face3d: the linear face model's stage.
        align: how it is put under the target's head pose.
    """

    def __init__(self, *, face: MeanFaceStage, face3d: Stage, align: LandmarkAlignment) -> None:
        self.face, self.face3d, self.align = face, face3d, align
        self.needs_emotions = face.emotion is not None  # type: ignore[misc]

    def stages(self) -> Mapping[str, Stage]:
        return {"face3d": self.face3d, "face": self.face}

    def predictor(self, data: TrainingData, inputs: Mapping[str, Path], device: torch.device) -> Predictor:
        face = load_arrays(inputs["face"] / FACE_FILE)["face"]
        model = FaceModel.load(inputs["face3d"])

        def predict(request: Request) -> Prediction:
            still = np.repeat(face[None], request.num_frames, axis=0)
            return Prediction(self.align.align(still, request.target.landmarks, model))

        return predict


class NearestNeighbourStage(Stage):
    """Every training frame's MFCC window beside its stabilised landmarks."""

    seeded = False
    reads = ()

    def run(self, data: TrainingData, inputs: Mapping[str, Path], run: StageRun) -> None:
        pairs = [_windows_and_landmarks(clip) for clip in data.train]
        audio = np.concatenate([p[0] for p in pairs])
        landmarks = np.concatenate([p[1] for p in pairs])
        save_arrays(
            run.directory / EXAMPLES_FILE,
            {"audio": audio, "landmarks": landmarks, "mean": audio.mean(0), "deviation": audio.std(0) + 1e-6},
        )


def _windows_and_landmarks(clip: Clip) -> tuple[np.ndarray, np.ndarray]:
    landmarks = stabilise(fill_missing(clip.landmarks))
    audio = _flat_windows(clip.waveform)
    length = min(len(landmarks), len(audio))
    return audio[:length], landmarks[:length]


def _flat_windows(waveform: np.ndarray) -> np.ndarray:
    """(frames, 28 * 12) float32, one window per video frame."""
    cut = windows(mfcc(waveform))
    return cut.reshape(len(cut), -1).astype(np.float32)


class NearestNeighbour(Method):
    """The landmarks of the training frame that sounds most alike, frame by frame.

    Windows are compared by their Euclidean distance after each MFCC coefficient is divided by its deviation.
    """

    def __init__(self, *, examples: NearestNeighbourStage, face3d: Stage, align: LandmarkAlignment) -> None:
        self.examples, self.face3d, self.align = examples, face3d, align

    def stages(self) -> Mapping[str, Stage]:
        return {"face3d": self.face3d, "examples": self.examples}

    def predictor(self, data: TrainingData, inputs: Mapping[str, Path], device: torch.device) -> Predictor:
        known = load_arrays(inputs["examples"] / EXAMPLES_FILE)
        model = FaceModel.load(inputs["face3d"])
        reference = (known["audio"] - known["mean"]) / known["deviation"]

        def predict(request: Request) -> Prediction:
            asked = (_flat_windows(request.waveform) - known["mean"]) / known["deviation"]
            found = known["landmarks"][_nearest(asked, reference)]
            held = np.minimum(np.arange(request.num_frames), len(found) - 1)
            return Prediction(self.align.align(found[held], request.target.landmarks, model))

        return predict


def _nearest(asked: np.ndarray, reference: np.ndarray) -> np.ndarray:
    """Index of the nearest reference row of each asked row."""
    distance = np.sum(reference**2, axis=1)[None] - 2 * asked @ reference.T
    return distance.argmin(axis=1)


class FirstFrame(Method):
    """The target's first frame, frozen."""

    def stages(self) -> Mapping[str, Stage]:
        return {}

    def predictor(self, data: TrainingData, inputs: Mapping[str, Path], device: torch.device) -> Predictor:
        def predict(request: Request) -> Prediction:
            frames = request.target.frames
            still = fill_missing(request.target.landmarks)[:1]
            return Prediction(
                landmarks=np.repeat(still, request.num_frames, axis=0),
                frames=None if frames is None else np.repeat(frames[:1], request.num_frames, axis=0),
            )

        return predict


class GroundTruth(Method):
    """The answer itself."""

    sees_truth = True

    def stages(self) -> Mapping[str, Stage]:
        return {}

    def predictor(self, data: TrainingData, inputs: Mapping[str, Path], device: torch.device) -> Predictor:
        def predict(request: Request) -> Prediction:
            if request.truth is None:
                raise ValueError("the ceiling needs the truth in its request, got none")
            return request.truth

        return predict
