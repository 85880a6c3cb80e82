"""What the ladder measures on: a drawn face that talks, judges that know it, and graded damages of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np

from benchmark.metrics.emotion import neutral_reference, train_judge
from benchmark.metrics.emotion_network_training import train_emotion_network
from benchmark.metrics.judges import Judges
from benchmark.metrics.metric import ClipPair, Damage, Metric
from benchmark.metrics.score import Score
from benchmark.metrics.sync_training import train_sync_judge
from models.audio.framing import SAMPLES_PER_FRAME
from models.landmarks.topology import IBUG68
from models.sealed import write_sealed
from models.types import Clip, Prediction

EMOTIONS = ("happy", "neutral", "surprised")
FRAMES, SIZE = 24, 96
CLIP = "the-clip"


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


def voice(landmarks: np.ndarray) -> np.ndarray:
    """(samples,) noise that is loud where the mouth is open."""
    opening = np.ptp(landmarks[:, 48:, 1], axis=1)
    middles = (np.arange(len(opening)) + 0.5) * SAMPLES_PER_FRAME
    loudness = np.interp(np.arange(len(opening) * SAMPLES_PER_FRAME), middles, opening - opening.min())
    noise = np.random.default_rng(6).normal(0, 0.2, len(loudness))
    return (noise * (0.02 + loudness / loudness.max())).astype(np.float32)


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


def shown(landmarks: np.ndarray) -> Prediction:
    return Prediction(landmarks, draw(landmarks))


@dataclass(frozen=True)
class Bench:
    """The truth that predictions are held against, with all that any protocol needs."""

    truth: Prediction
    judges: Judges
    neutral: np.ndarray
    waveform: np.ndarray

    def pair(self, predicted: Prediction, truth: Prediction | None = None) -> ClipPair:
        """What detects landmarks in frames is perfect here."""
        true = truth or self.truth
        redetected = (predicted.landmarks, true.landmarks)
        return ClipPair(predicted, true, CLIP, "happy", self.judges, self.neutral, redetected, self.waveform)

    def score(self, metric: Metric, predicted: Prediction, truth: Prediction | None = None) -> Score:
        pair = self.pair(predicted, truth)
        assert metric.needs <= pair.offers, f"the bench lacks {sorted(metric.needs - pair.offers)}"
        return metric.compute(pair)


def make_bench(root: Path) -> Bench:
    """Its judges know speakers 1 to 3; the truth is of speaker 0."""
    clips = []
    for speaker in range(4):
        for emotion in EMOTIONS:
            for take in range(2):
                name = f"{speaker}-{emotion}-{take}"
                (root / name).mkdir()
                points = talking(emotion, speaker, take)
                write_sealed(root / name / "landmarks.npy", points)
                write_sealed(root / name / "waveform.npy", voice(points))
                clips.append(Clip(name, f"s{speaker}", f"t{take}", emotion, 1, root / name))
    others = [c for c in clips if c.speaker != "s0"]
    judges = Judges(
        train_judge(others, EMOTIONS),
        train_emotion_network(others, EMOTIONS, steps=80),
        train_sync_judge(others, steps=40),
    )
    neutral = neutral_reference([c for c in clips if c.speaker == "s0"])
    truth = talking("happy", take=7)
    return Bench(shown(truth), judges, neutral, voice(truth))


def frames_of(prediction: Prediction) -> np.ndarray:
    assert prediction.frames is not None
    return prediction.frames


def lip_shift(truth: Prediction, dose: float) -> Prediction:
    return shown(talking("happy", take=7, lag=dose))


def landmark_jitter(truth: Prediction, dose: float) -> Prediction:
    """Of the landmarks alone: the frames stay as they are."""
    noise = np.random.default_rng(4).normal(0, dose, truth.landmarks.shape)
    return replace(truth, landmarks=truth.landmarks + noise)


def frozen_mouth(truth: Prediction, dose: float) -> Prediction:
    """The mouth is held where it was over the last share of the clip."""
    held = truth.landmarks.copy()
    start = int(FRAMES * (1 - dose))
    rest = held[start, 48:] - held[start, 30]
    held[start:, 48:] = rest + held[start:, 30:31]
    return shown(held)


def emotion_swap(truth: Prediction, dose: float) -> Prediction:
    return shown((1 - dose) * truth.landmarks + dose * talking("surprised", take=7))


def blur(truth: Prediction, dose: float) -> Prediction:
    return replace(truth, frames=np.stack([cv2.GaussianBlur(f, (0, 0), dose) for f in frames_of(truth)]))


def identity_drift(truth: Prediction, dose: float) -> Prediction:
    other = (at_rest(2) - at_rest(0)) * np.linspace(0, dose, FRAMES)[:, None, None]
    return shown(truth.landmarks + other)


def dropped_frames(truth: Prediction, dose: float) -> Prediction:
    """A share of the frames repeats the one before; a larger share contains the smaller."""
    order = 1 + np.random.default_rng(1).permutation(FRAMES - 1)
    kept = np.arange(FRAMES)
    kept[order[: round(dose * FRAMES)]] = 0
    kept = np.maximum.accumulate(kept)
    return Prediction(truth.landmarks[kept], frames_of(truth)[kept])


def colour_shift(truth: Prediction, dose: float) -> Prediction:
    """Redder and less blue, where that is possible."""
    moved = frames_of(truth).astype(np.float64) + dose * np.array((1.0, 0.0, -1.0))
    return replace(truth, frames=np.clip(np.round(moved), 0, 255).astype(np.uint8))


DAMAGE: Mapping[Damage, tuple[Callable[[Prediction, float], Prediction], tuple[float, ...]]] = {
    "lip shift": (lip_shift, (1.0, 2.0, 4.0)),
    "landmark jitter": (landmark_jitter, (0.5, 1.5, 4.0)),
    "frozen mouth": (frozen_mouth, (0.25, 0.5, 1.0)),
    "emotion swap": (emotion_swap, (0.2, 0.6, 1.0)),
    "blur": (blur, (0.4, 0.7, 1.0)),
    "identity drift": (identity_drift, (0.3, 1.0, 3.0)),
    "dropped frames": (dropped_frames, (0.1, 0.4, 0.8)),
    "colour shift": (colour_shift, (4.0, 12.0, 30.0)),
}
