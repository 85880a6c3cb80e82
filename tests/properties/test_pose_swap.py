"""3D-aware alignment on the parametric head: what a face said under one pose, shown under another.

The truth is exact: the same identity and expression, projected under the target's pose. The face model is
learned from other people's heads, and the target's landmarks carry half a pixel of noise.
"""

from dataclasses import dataclass

import numpy as np
import pytest

from benchmark.data.parametric import synthetic_heads
from benchmark.data.synthetic.face import identity, landmarks3d, project, rotation
from benchmark.data.synthetic.motion import perform
from benchmark.data.synthetic.visemes import VISEMES
from models.face3d.alignment import PoseSwap, SimilarityAlignment
from models.face3d.camera import angle_between
from models.face3d.fitting import fit
from models.face3d.morphable import FaceModel, learn
from models.landmarks.alignment import stabilise

FRAMES = 50


def speaking(emotion: str, seed: int) -> np.ndarray:
    """(FRAMES, expressions): two seconds of random syllables."""
    rng = np.random.default_rng(seed)
    names, ends = list(VISEMES), np.cumsum(rng.uniform(0.06, 0.15, 40))
    visemes = [
        (names[rng.integers(len(names))], float(a), float(b))
        for a, b in zip([0.0, *ends[:-1]], ends, strict=True)
        if a < FRAMES / 25
    ]
    energy = np.convolve(rng.uniform(0, 1, FRAMES), np.ones(5) / 5, "same").astype(np.float32)
    return perform(visemes, energy, emotion, 1 if emotion == "neutral" else 3, rng)


@dataclass
class Scene:
    predicted: np.ndarray
    target: np.ndarray
    truth: np.ndarray
    rotation: np.ndarray


def scene(yaw: int, person: str, emotion: str) -> Scene:
    """A stabilised prediction seen nearly from the front, and the same person, neutral, at a yaw."""
    rng = np.random.default_rng(yaw)
    face, said = identity(person), speaking(emotion, 3)
    front, turned = np.zeros((FRAMES, 6), np.float32), np.full((FRAMES, 6), 0.05, np.float32)
    front[:, 0] = np.radians(rng.normal(0, 3))
    turned[:, 0] = np.radians(yaw) + np.linspace(-0.05, 0.05, FRAMES)
    target = project(landmarks3d(face, speaking("neutral", 4)), turned)
    return Scene(
        stabilise(project(landmarks3d(face, said), front)),
        target + rng.normal(0, 0.5, target.shape).astype(np.float32),
        project(landmarks3d(face, said), turned),
        rotation(turned),
    )


@pytest.fixture(scope="module")
def model() -> FaceModel:
    return learn(synthetic_heads(), 20, 24)


def error(moved: np.ndarray, truth: np.ndarray) -> float:
    return float(np.linalg.norm(moved - truth, axis=-1).mean())


@pytest.mark.parametrize("yaw", [0, 15, 30, 45])
def test_pose_of_an_unseen_person_is_found_within_a_degree(model, yaw):
    seen = scene(yaw, "stranger", "neutral")
    found = fit(model, seen.target).pose.rotation
    assert np.degrees(angle_between(found, seen.rotation)).mean() < 1.0


@pytest.mark.parametrize("emotion", ["happy", "angry", "surprised"])
def test_pose_swap_stays_within_two_pixels_where_a_similarity_fails(model, emotion):
    swapped, flat = [], []
    for yaw in (0, 15, 30, 45):
        seen = scene(yaw, "stranger", emotion)
        swapped.append(error(PoseSwap().align(seen.predicted, seen.target, model), seen.truth))
        flat.append(error(SimilarityAlignment().align(seen.predicted, seen.target), seen.truth))
    assert max(swapped) < 2
    assert flat[2] > 3 * swapped[2]
    assert flat == sorted(flat)
