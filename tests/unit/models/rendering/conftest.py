"""A drawn puppet that talks: frames and landmarks that agree, without a corpus."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from models.landmarks.topology import IBUG68
from models.method import Training
from models.sealed import write_sealed
from models.types import Clip


def puppet_landmarks(count: int, rng: np.random.Generator) -> np.ndarray:
    """(count, 68, 2): a face that sways while its mouth opens and closes."""
    angle = np.linspace(-1.8, 1.8, 17)
    contour = np.stack([62 * np.sin(angle), 10 + 65 * np.cos(angle)], -1)
    t = np.linspace(0, 1, 5)
    brow = np.stack([-52 + 38 * t, -36 - 6 * np.sin(np.pi * t)], -1)
    bridge = np.stack([np.zeros(4), [-18, -8, 2, 12]], -1)
    base = np.stack([[-11, -6, 0, 6, 11], [20, 22, 23, 22, 20]], -1)
    eye = np.array([[-9, 0], [-4, -5], [4, -5], [9, 0], [4, 4], [-4, 4]]) + np.array([-30, -20])
    eyes = [eye, eye[[3, 2, 1, 0, 5, 4]] * [-1, 1]]
    still = np.concatenate([contour, brow, brow[::-1] * [-1, 1], bridge, base, *eyes])
    phase = rng.uniform(0, 6.28, 3)
    clip = np.empty((count, 68, 2))
    for k in range(count):
        opening = 5 + 5 * np.sin(k / 2.5 + phase[0])
        outer, inner = 2 * np.pi * np.arange(12) / 12, 2 * np.pi * np.arange(8) / 8
        outer = np.stack([-22 * np.cos(outer), 45 - (7 + opening) * np.sin(outer)], -1)
        inner = np.stack([-15 * np.cos(inner), 45 - opening * np.sin(inner)], -1)
        sway = [128 + 6 * np.sin(k / 9 + phase[1]), 128 + 3 * np.sin(k / 7 + phase[2])]
        clip[k] = np.concatenate([still, outer, inner]) + sway
    return clip.astype(np.float32)


def puppet_frame(landmarks: np.ndarray, size: int) -> np.ndarray:
    """(size, size, 3) uint8."""
    frame = np.full((size, size, 3), (90, 120, 160), np.uint8)
    frame[:, : size // 5] = (40, 60, 50)
    scale = size / 256
    centre = landmarks[30] * scale
    middle, axes = np.round(centre).astype(int).tolist(), [round(a * scale) for a in (66, 84)]
    cv2.ellipse(frame, middle, axes, 0, 0, 360, (225, 180, 150), -1, cv2.LINE_AA)
    parts = [(IBUG68.eye_a, (250, 250, 250)), (IBUG68.eye_b, (250, 250, 250))]
    parts += [(range(48, 60), (190, 70, 80)), (range(60, 68), (40, 10, 15))]
    for points, colour in parts:
        polygon = np.round((landmarks[list(points)] * scale - 0.5) * 16).astype(np.int32)
        cv2.fillPoly(frame, [polygon], colour, cv2.LINE_AA, 4)
    return frame


def puppet_clip(folder: Path, name: str, count: int, size: int, seed: int) -> Clip:
    directory = folder / name
    directory.mkdir(parents=True)
    landmarks = puppet_landmarks(count, np.random.default_rng(seed))
    write_sealed(directory / "landmarks.npy", landmarks)
    write_sealed(directory / "frames.npy", np.stack([puppet_frame(x, size) for x in landmarks]))
    return Clip(name, "puppet", name, None, 1, directory, filmed=True)


@dataclass
class Puppets:
    """Training data of one puppet."""

    train: tuple[Clip, ...]
    validation: tuple[Clip, ...]
    emotions: tuple[str, ...] = ()

    def heads(self) -> np.ndarray:
        raise AssertionError("the renderer needs no 3D heads")


@dataclass
class PlainRun:
    """The least that a stage needs to run: trains in a loop, selects by validation, keeps a log."""

    directory: Path
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))
    rows: list[dict] = field(default_factory=list)

    def generator(self, *purpose: str) -> np.random.Generator:
        return np.random.default_rng([ord(c) for c in "/".join(purpose)])

    def torch_generator(self, *purpose: str) -> torch.Generator:
        return torch.Generator().manual_seed(sum(map(ord, "/".join(purpose))))

    def progress(self, done: int, total: int) -> None: ...

    def log(self, **values: float | int | str) -> None:
        self.rows.append(values)

    def fit(self, training: Training) -> None:
        best, kept = float("inf"), None
        for step in range(1, training.steps + 1):
            batch = training.batch(np.random.default_rng(step))
            values: dict = {"step": step}
            for player in training.players:
                player.optimizer.zero_grad()
                terms = player.loss(batch)
                sum(player.weights.get(name, 1.0) * term for name, term in terms.items()).backward()
                player.optimizer.step()
                values |= {f"{player.name}/{name}": float(term.detach()) for name, term in terms.items()}
            due = training.validate_every and step % training.validate_every == 0
            if training.validate and (due or step == training.steps):
                with torch.no_grad():
                    found = training.validate()
                values |= {f"validation/{name}": value for name, value in found.items()}
                if training.select_by and found[training.select_by] < best:
                    best = found[training.select_by]
                    kept = [copy.deepcopy(m.state_dict()) for m in training.modules.values()]
            self.rows.append(values)
        if kept is not None:
            for module, state in zip(training.modules.values(), kept, strict=True):
                module.load_state_dict(state)


@pytest.fixture(scope="session")
def puppets(tmp_path_factory) -> Puppets:
    torch.set_num_threads(1)
    folder = tmp_path_factory.mktemp("puppets")
    train = tuple(puppet_clip(folder, f"train{k}", 30, 32, k) for k in range(3))
    return Puppets(train, (puppet_clip(folder, "held", 80, 32, 9),))


@pytest.fixture(scope="session")
def plain_run() -> Callable[[Path], PlainRun]:
    return PlainRun


@pytest.fixture(scope="session")
def draw_puppet() -> Callable[[np.ndarray, int], np.ndarray]:
    return puppet_frame
