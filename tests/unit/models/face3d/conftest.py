"""A rough 3D face of 68 points and random heads around it: geometry without a corpus."""

from __future__ import annotations

import numpy as np
import pytest


def generic_face() -> np.ndarray:
    """(68, 3): x right, y down, z towards the viewer, about the size of a face in a 256 px crop."""
    angle = np.linspace(-1.45, 1.45, 17)
    contour = np.stack([62 * np.sin(angle), 20 + 70 * np.cos(angle) ** 1.2 - 10, 5 + 30 * np.cos(angle)], -1)
    t = np.linspace(0, 1, 5)
    arch = np.sin(np.pi * t)
    brow_a = np.stack([-52 + 38 * t, -34 - 6 * arch, 36 + 10 * t], -1)
    brow_b = np.stack([14 + 38 * t, -34 - 6 * arch, 46 - 10 * t], -1)
    bridge = np.stack([np.zeros(4), [-18, -8, 2, 12], [46, 52, 58, 64]], -1)
    base = np.stack([[-11, -6, 0, 6, 11], [20, 22, 23, 22, 20], [46, 50, 53, 50, 46]], -1)
    eye = np.array([[-9, 0, 0], [-4, -4, 2], [4, -4, 2], [9, 0, 1], [4, 3, 2], [-4, 3, 2]])
    turn = 2 * np.pi * np.arange(12) / 12
    outer = np.stack([-22 * np.cos(turn), 42 - 10 * np.sin(turn), 50 - 8 * np.cos(turn) ** 2], -1)
    turn = 2 * np.pi * np.arange(8) / 8
    inner = np.stack([-15 * np.cos(turn), 42 - 3 * np.sin(turn), 49 - 5 * np.cos(turn) ** 2], -1)
    eyes = [eye + np.array([-30, -20, 36]), eye * [1, 1, -1] + [30, -20, 38]]
    return np.concatenate([contour, brow_a, brow_b, bridge, base, *eyes, outer, inner])


def random_heads(rng: np.random.Generator, people: int, examples: int, modes: int = 12) -> np.ndarray:
    """(people, examples, 68, 3): the generic face, bent by smooth random modes, its mouth and jaw moving."""
    face = generic_face()
    frequency = rng.normal(0, 0.02, (modes, 3))
    phase = rng.uniform(0, 2 * np.pi, modes)
    waves = np.sin(face @ frequency.T + phase).T[:, :, None] * rng.normal(0, 1, (modes, 1, 3))
    jaw = np.zeros((68, 3))
    jaw[4:13, 1] = 0.6
    jaw[54:60, 1] = jaw[64:68, 1] = 1.0
    spread = np.zeros((68, 3))
    spread[48:68, 0] = face[48:68, 0] / 22
    bends = _without_turns(np.tensordot(rng.normal(0, 1.0, (people, modes)), waves, 1), face)
    opening = np.abs(rng.normal(0, 8, (people, examples, 1, 1))) * jaw
    return face + bends[:, None] + opening + rng.normal(0, 3, (people, examples, 1, 1)) * spread


def _without_turns(bends: np.ndarray, face: np.ndarray) -> np.ndarray:
    """Bends (count, 68, 3) minus what a small rotation of the face would explain: that is pose, not shape."""
    arms = face - face.mean(0)
    turns = np.stack([np.cross(axis, arms).ravel() for axis in np.eye(3)])
    basis = np.linalg.qr(turns.T)[0]
    flat = bends.reshape(len(bends), -1)
    return (flat - flat @ basis @ basis.T).reshape(bends.shape)


@pytest.fixture(scope="session")
def heads() -> np.ndarray:
    return random_heads(np.random.default_rng(0), 100, 15)
