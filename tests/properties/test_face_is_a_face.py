"""An outside judge: a network trained on photographs of people finds the rendered head and its features."""

from __future__ import annotations

import numpy as np
import pytest

from benchmark.data.synthetic import face, motion
from benchmark.data.synthetic.render import Renderer
from models.errors import InputError
from models.types import CROP_SIZE, MEAD_EMOTIONS

pytest.importorskip("ai_edge_litert", reason="the judge runs on ai-edge-litert")
from models.preprocess.facemesh import FaceMesh, find_models

try:
    find_models(None)
except InputError as error:
    pytest.skip(f"the judge's networks are not installed: {error}", allow_module_level=True)

SIZE = 128
PEOPLE = ("F01", "M01", "F02", "M02", "F03", "M03", "03", "Actor_05")
WORDS = [
    ("sil", 0, 0.1),
    ("p", 0.1, 0.2),
    ("aa", 0.2, 0.35),
    ("s", 0.35, 0.45),
    ("uw", 0.45, 0.6),
    ("ih", 0.6, 0.8),
]


@pytest.fixture(scope="module")
def judged() -> dict[str, np.ndarray]:
    """Per person: (frames, 68) distances between detected and true landmarks, in inter-ocular distances."""
    renderer, judge = Renderer(SIZE), FaceMesh()
    result = {}
    for row, name in enumerate(PEOPLE):
        person, rows = face.identity(name), []
        for column, emotion in enumerate(MEAD_EMOTIONS):
            rng = np.random.default_rng([row, column])
            level = 1 if emotion == "neutral" else 1 + (row + column) % 3
            expression = motion.perform(WORDS, np.full(20, 0.6), emotion, level, rng)[2::6]
            pose = motion.head_motion(20, rng, emotion)[2::6]
            truth = face.project(face.landmarks3d(person, expression), pose)
            found = judge.find(renderer.render(person, expression, pose)).landmarks * CROP_SIZE / SIZE
            eyes = truth[:, 36:42].mean(1) - truth[:, 42:48].mean(1)
            rows.append(np.linalg.norm(found - truth, axis=-1) / np.linalg.norm(eyes, axis=-1)[:, None])
        result[name] = np.concatenate(rows)
    return result


def test_the_head_is_found_as_a_face(judged: dict[str, np.ndarray]) -> None:
    found = np.concatenate([np.isfinite(distance).all(1) for distance in judged.values()])
    assert found.mean() >= 0.95


def test_the_detected_landmarks_are_the_true_ones(judged: dict[str, np.ndarray]) -> None:
    assert np.nanmean(np.concatenate(list(judged.values()))) < 0.10


@pytest.mark.parametrize("name", PEOPLE)
def test_every_person_passes(judged: dict[str, np.ndarray], name: str) -> None:
    assert np.isfinite(judged[name]).all(1).mean() >= 0.9
    assert np.nanmean(judged[name]) < 0.12
