"""A tiny corpus whose sounds and faces follow a formula, and a run that trains without the harness."""

from __future__ import annotations

import zlib
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest
import torch

from models.method import Training
from models.sealed import write_sealed
from models.types import Clip

SAMPLES_PER_FRAME = 640
EMOTIONS = ("angry", "neutral", "sad")


def _generator(seed: int, *purpose: str) -> np.random.Generator:
    return np.random.default_rng([seed, *(zlib.crc32(word.encode()) for word in purpose)])


@dataclass
class BareRun:
    """`models.method.StageRun` without checkpoints or selection."""

    directory: Path
    seed: int = 0
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))
    rows: list[dict] = field(default_factory=list)

    def generator(self, *purpose: str) -> np.random.Generator:
        return _generator(self.seed, *purpose)

    def torch_generator(self, *purpose: str) -> torch.Generator:
        return torch.Generator().manual_seed(int(_generator(self.seed, *purpose).integers(2**62)))

    def progress(self, done: int, total: int) -> None:
        assert 0 < done <= total

    def log(self, **values: float | int | str) -> None:
        self.rows.append(values)

    def fit(self, training: Training) -> None:
        for step in range(1, training.steps + 1):
            torch.manual_seed(step)
            batch = training.batch(_generator(self.seed, "batch", str(step)))
            row: dict = {"step": step}
            for player in training.players:
                player.optimizer.zero_grad()
                terms = player.loss(batch)
                assert set(player.weights) <= set(terms)
                sum(player.weights.get(name, 1.0) * term for name, term in terms.items()).backward()
                player.optimizer.step()
                row |= {name: float(term.detach()) for name, term in terms.items()}
            self.rows.append(row)
        assert training.validate is not None
        for module in training.modules.values():
            module.eval()
        with torch.no_grad():
            values = training.validate()
        assert training.select_by is None or training.select_by in values
        self.rows.append({"validation": 1, **values})


@dataclass
class TinyData:
    emotions: tuple[str, ...]
    train: tuple[Clip, ...]
    validation: tuple[Clip, ...]

    def heads(self) -> np.ndarray:
        raise NotImplementedError("no stage of the audio side asks for heads")


def spoken(syllables: np.ndarray, tempo: float, pitch: float) -> tuple[np.ndarray, np.ndarray]:
    """A waveform of noisy vowels, and the (frames,) mouth opening that goes with it."""
    lengths = np.where(np.arange(len(syllables)) % 2, round(10 * tempo - 5), 5)
    frames = np.repeat(syllables, lengths)
    time = np.arange(len(frames) * SAMPLES_PER_FRAME) / 16_000
    formant = np.repeat(400 + 500 * frames, SAMPLES_PER_FRAME)
    phase = 2 * np.pi * np.cumsum(formant) / 16_000
    wave = 0.3 * np.sin(phase) * (1 + 0.5 * np.sign(np.sin(2 * np.pi * pitch * time)))
    noise = np.random.default_rng(len(frames)).normal(0, 0.003, len(wave))
    return (wave + noise).astype(np.float32), frames


def face(opening: np.ndarray, brow: float) -> np.ndarray:
    """(frames, 68, 2): a ring of points, stable eyes and nose, a mouth that opens, brows that move."""
    angle = np.linspace(0, 2 * np.pi, 68, endpoint=False)
    points = np.stack([128 + 60 * np.cos(angle), 140 + 80 * np.sin(angle)], -1)
    points[36:42] = [84, 80] + 6 * np.stack([np.cos(angle[:48:8]), np.sin(angle[:48:8])], -1)
    points[42:48] = [168, 80] + 6 * np.stack([np.cos(angle[:48:8]), np.sin(angle[:48:8])], -1)
    points[30] = [129.5, 118.5]
    clip = np.repeat(points[None], len(opening), 0)
    clip[:, 54:60, 1] += 12 * opening[:, None]
    clip[:, 17:27, 1] += brow
    return clip.astype(np.float32)


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> TinyData:
    folder = tmp_path_factory.mktemp("tiny")
    clips = []
    for sentence in range(5):
        syllables = np.random.default_rng(sentence).random(6)
        for index, emotion in enumerate(EMOTIONS):
            waveform, opening = spoken(syllables, 1 + 0.4 * index, 90 + 70 * index)
            name = f"s{sentence}-{emotion}"
            directory = folder / name
            directory.mkdir()
            write_sealed(directory / "waveform.npy", waveform)
            write_sealed(directory / "landmarks.npy", face(opening, 8.0 * index))
            clips.append(Clip(name, "A", f"s{sentence}", emotion, 1, directory))
    return TinyData(EMOTIONS, tuple(clips[:12]), tuple(clips[12:]))


@pytest.fixture(scope="session")
def bare_run() -> type[BareRun]:
    return BareRun
