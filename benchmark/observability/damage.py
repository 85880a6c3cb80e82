"""How the truth is damaged: one thing at a time, in doses, everything else as it was.

Damage of motion or shape is made in the factors that the clip was generated from, so landmarks and frames
agree; damage of pixels leaves the landmarks, damage of landmarks the pixels. The sound is always the truth's.
A greater dose contains the smaller: the same frames and more, the same noise and stronger.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import cv2
import numpy as np

from benchmark.observability.scene import Scene
from models.types import Prediction


@dataclass(frozen=True)
class Damage:
    name: str
    unit: str
    doses: tuple[float, ...]
    """Ascending."""
    description: str
    apply: Callable[[Scene, float, np.random.Generator], Prediction]
    """The truth of a scene at a dose. Arrays that are untouched are the truth's own."""


def lip_shift(scene: Scene, dose: float, rng: np.random.Generator) -> Prediction:
    return scene.show(scene.expression(speech=scene.speech(delay=dose / 1000)))


def frozen_mouth(scene: Scene, dose: float, rng: np.random.Generator) -> Prediction:
    speech = scene.speech()
    count = round(dose * len(scene))
    first = (len(scene) - count) // 2
    speech[first : first + count] = speech[first]
    return scene.show(scene.expression(speech=speech))


def emotion_swap(scene: Scene, dose: float, rng: np.random.Generator) -> Prediction:
    feeling = scene.feeling + np.float32(dose) * (scene.other_feeling - scene.feeling)
    return scene.show(scene.expression(scene.speech(vigour=scene.vigour(dose)), feeling))


def identity_drift(scene: Scene, dose: float, rng: np.random.Generator) -> Prediction:
    return scene.drift(np.linspace(0, dose, len(scene)))


def _chosen(scene: Scene, dose: float, rng: np.random.Generator) -> np.ndarray:
    """(T,) of bool: `dose` of the frames at random, never the first."""
    ranks = np.concatenate([[len(scene)], rng.permutation(len(scene) - 1)])
    return ranks < round(dose * len(scene))


def dropped_frames(scene: Scene, dose: float, rng: np.random.Generator) -> Prediction:
    kept = np.where(_chosen(scene, dose, rng), 0, np.arange(len(scene)))
    shown = np.maximum.accumulate(kept)
    dropped = replace(scene.truth, landmarks=scene.truth.landmarks[shown])
    return _repainted(dropped, lambda frames: frames[shown])


def lost_faces(scene: Scene, dose: float, rng: np.random.Generator) -> Prediction:
    landmarks = scene.truth.landmarks.copy()
    landmarks[_chosen(scene, dose, rng)] = np.nan
    return replace(scene.truth, landmarks=landmarks)


def landmark_jitter(scene: Scene, dose: float, rng: np.random.Generator) -> Prediction:
    noise = rng.standard_normal(scene.truth.landmarks.shape) * dose
    return replace(scene.truth, landmarks=scene.truth.landmarks + noise.astype(np.float32))


def blur(scene: Scene, dose: float, rng: np.random.Generator) -> Prediction:
    return _repainted(
        scene.truth, lambda frames: np.stack([cv2.GaussianBlur(frame, (0, 0), dose) for frame in frames])
    )


def colour_shift(scene: Scene, dose: float, rng: np.random.Generator) -> Prediction:
    shift = np.array([dose, 0, -dose], np.int16)
    return _repainted(
        scene.truth, lambda frames: np.clip(frames.astype(np.int16) + shift, 0, 255).astype(np.uint8)
    )


def _repainted(shown: Prediction, paint: Callable[[np.ndarray], np.ndarray]) -> Prediction:
    """With other pixels, where there are any."""
    return shown if shown.frames is None else replace(shown, frames=paint(shown.frames))


SHARES = (0.25, 0.5, 0.75, 1.0)
DAMAGES: tuple[Damage, ...] = (
    Damage("lip shift", "ms", (20, 40, 80, 160), "the lips' articulation comes late", lip_shift),
    Damage(
        "frozen mouth",
        "share of the clip",
        SHARES,
        "the articulation stands still in the middle of the clip; emotion, blinks and head move on",
        frozen_mouth,
    ),
    Damage(
        "emotion swap",
        "share of the way",
        SHARES,
        "the expression goes towards another emotion's, with its opening of the mouth",
        emotion_swap,
    ),
    Damage(
        "identity drift",
        "share of the way",
        SHARES,
        "the head's shape turns evenly into a stranger's, from none to the dose at the clip's end",
        identity_drift,
    ),
    Damage(
        "dropped frames",
        "share of frames",
        (0.1, 0.25, 0.5, 0.75),
        "frames at random repeat the one before",
        dropped_frames,
    ),
    Damage(
        "lost faces",
        "share of frames",
        (0.1, 0.25, 0.5, 0.75),
        "in frames at random no face is found in the prediction, which is otherwise perfect",
        lost_faces,
    ),
    Damage(
        "landmark jitter",
        "px",
        (0.5, 1, 2, 4),
        "independent Gaussian noise of this standard deviation on every coordinate; frames untouched",
        landmark_jitter,
    ),
    Damage(
        "blur",
        "px",
        (0.5, 1, 2, 4),
        "Gaussian blur of this standard deviation in pixels of the rendered size; landmarks untouched",
        blur,
    ),
    Damage(
        "colour shift",
        "grey levels",
        (4, 8, 16, 32),
        "red rises and blue falls by so many levels of 255, a warmer white balance; landmarks untouched",
        colour_shift,
    ),
)
"""In the order of the tables: motion, then shape, then what was lost, then noise."""


def damage_of(name: str) -> Damage:
    """
    Raises:
        ValueError: there is none; the message lists the known names.
    """
    for damage in DAMAGES:
        if damage.name == name:
            return damage
    raise ValueError(f"no damage {name!r}; there are {', '.join(d.name for d in DAMAGES)}")
