"""A corpus and methods that run in seconds: sounds are sines, faces are a template that follows loudness."""

from __future__ import annotations

import ctypes
import hashlib
import os
import signal
import threading
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from torch import nn

from benchmark.data.clip_store import publish
from benchmark.data.corpus import Corpus, CorpusError
from models.artefacts import load_arrays, load_module, save_arrays, save_module
from models.method import Method, Player, Predictor, Stage, StageRun, Training, TrainingData
from models.types import Clip, Prediction, Request

EMOTIONS = ("angry", "happy", "neutral")
FRAMES = 6


def template() -> np.ndarray:
    """(68, 2): 68 different points, eyes and nose where alignment expects them to be apart."""
    angle = np.linspace(0, 2 * np.pi, 68, endpoint=False)
    return np.stack([128 + 60 * np.cos(angle) + 3 * np.sin(5 * angle), 128 + 70 * np.sin(angle)], 1).astype(
        np.float32
    )


class ToyCorpus(Corpus):
    """Three speakers, six sentences, three emotions, no video."""

    name = "toy"
    description = "Random landmarks and noise."
    has_frames = False
    default_subject = "A"

    def __init__(
        self, *, cache: str, version: int = 1, labels: bool = True, broken: str | None = None
    ) -> None:
        self.version, self.broken = version, broken
        self.emotions = EMOTIONS if labels else ()
        self.root = Path(cache) / f"toy-{self.identity()}"

    def identity(self) -> str:
        return hashlib.sha256(f"toy {self.version} {self.emotions}".encode()).hexdigest()[:12]

    def clips(self) -> tuple[Clip, ...]:
        labels = self.emotions or (None,)
        return tuple(
            Clip(
                f"{who}-{said}-{felt}",
                who,
                said,
                felt,
                1 if felt == "neutral" else 3,
                self.root / f"{who}-{said}-{felt}",
            )
            for who in "ABC"
            for said in ("s1", "s2", "s3", "s4", "s5", "s6")
            for felt in labels
        )

    def prepare(self, clip: Clip, *, frames: bool) -> None:
        if clip.id in (self.broken or "").split("+"):
            raise CorpusError(f"clip {clip.id}: the file is truncated")
        publish(clip.directory, self._arrays(clip))

    def _arrays(self, clip: Clip) -> dict[str, np.ndarray]:
        rng = np.random.default_rng(int(hashlib.sha256(clip.id.encode()).hexdigest()[:8], 16))
        loud = rng.uniform(0.1, 0.9, FRAMES).astype(np.float32)
        sound = np.repeat(loud, 640) * np.sin(np.arange(FRAMES * 640, dtype=np.float32) / 20)
        mood = EMOTIONS.index(clip.emotion) if clip.emotion else 0
        return {"waveform": sound.astype(np.float32), "landmarks": face(loud, mood)}

    def counterfactual(self, timing: Clip, emotion: Clip, pose: Clip) -> Clip | None:
        identity = f"cf--{timing.id}--{emotion.id}--{pose.id}"
        return replace(timing, id=identity, emotion=emotion.emotion, directory=self.root / identity)

    def heads(self) -> np.ndarray:
        return np.zeros((2, 2, 68, 3), np.float32)


def face(loud: np.ndarray, mood: int) -> np.ndarray:
    points = np.repeat(template()[None], len(loud), 0)
    points[:, 48:, 1] += 10 * loud[:, None]
    points[:, 17:27, 1] -= 4 * mood
    return points


def loudness(waveform: np.ndarray) -> np.ndarray:
    return np.abs(waveform.reshape(-1, 640)).mean(1)


class Features(Stage):
    seeded = False

    def run(self, data: TrainingData, inputs: Mapping[str, Path], run: StageRun) -> None:
        sounds = np.concatenate([loudness(c.waveform) for c in data.train])
        faces = np.concatenate([c.landmarks for c in data.train])
        save_arrays(
            run.directory / "features.safetensors", {"x": sounds[:, None], "y": faces.reshape(len(faces), -1)}
        )


class Regression(Stage):
    """A small network with dropout, trained by the loop.

    Args:
        fault: "overflows", "raises", "dies", "exhausts", "sleeps" or "locks" (for ever, in C code), at half
            of the steps; None for none.

    What must not change the stage's identity comes from the environment: TOY_PAUSE, seconds to sleep in every
    step, for tests that interrupt; TOY_FAULT, a fault as above or "full" for a full disk.
    """

    upstream = ("features",)

    def __init__(
        self,
        *,
        steps: int = 40,
        weight: float = 1.0,
        flag: int = 0,
        fault: str | None = None,
    ) -> None:
        self.steps, self.weight = steps, weight
        self.fault = fault or os.environ.get("TOY_FAULT")
        self.pause = float(os.environ.get("TOY_PAUSE", "0"))

    def run(self, data: TrainingData, inputs: Mapping[str, Path], run: StageRun) -> None:
        known = load_arrays(inputs["features"] / "features.safetensors")
        x, y = torch.from_numpy(known["x"]).float(), torch.from_numpy(known["y"]).float()
        mean = y.mean(0)
        net = network()
        run.log(event="begin")
        step = [0]

        def batch(rng: np.random.Generator) -> torch.Tensor:
            time.sleep(self.pause)
            return torch.from_numpy(rng.integers(len(x), size=8))

        def loss(rows: torch.Tensor) -> dict[str, torch.Tensor]:
            step[0] += 1
            if step[0] == self.steps // 2:
                self._fail()
            predicted = net(x[rows])
            error = ((predicted - (y[rows] - mean)) ** 2).mean()
            if self.fault == "overflows" and step[0] >= self.steps // 2:
                error = error * float("nan")
            return {"error": error, "size": predicted.abs().mean()}

        run.fit(
            Training(
                modules={"net": net},
                players=[
                    Player(
                        "net",
                        torch.optim.Adam(net.parameters(), lr=0.01),
                        loss,
                        {"size": 0.0, "error": self.weight},
                    )
                ],
                batch=batch,
                steps=self.steps,
                validate=lambda: {"error": float(((net(x) - (y - mean)) ** 2).mean())},
                validate_every=10,
                select_by="error",
            )
        )
        save_module(run.directory / "net.safetensors", net)
        save_arrays(run.directory / "mean.safetensors", {"mean": mean.numpy()})

    def _fail(self) -> None:
        if self.fault == "raises":
            raise ValueError("a toy fault")
        if self.fault == "exhausts":
            raise MemoryError
        if self.fault == "dies":
            os.kill(os.getpid(), signal.SIGKILL)
        if self.fault == "sleeps":
            libc = ctypes.CDLL(None)
            # pause() returns after a signal that is handled, such as the one that asks for the stack.
            while True:
                libc.pause()
        if self.fault == "locks":
            lock = threading.Lock()
            lock.acquire()
            lock.acquire()
        if self.fault == "full":
            raise OSError(28, "No space left on device")


def network() -> nn.Sequential:
    return nn.Sequential(nn.Linear(1, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Dropout(0.2), nn.Linear(8, 136))


class Toy(Method):
    def __init__(self, *, features: Stage, net: Stage, shift: float = 0.0) -> None:
        self.features, self.net, self.shift = features, net, shift

    def stages(self) -> Mapping[str, Stage]:
        return {"features": self.features, "net": self.net}

    def predictor(self, data: TrainingData, inputs: Mapping[str, Path], device: torch.device) -> Predictor:
        net = network()
        load_module(inputs["net"] / "net.safetensors", net)
        net.eval()
        mean = load_arrays(inputs["net"] / "mean.safetensors")["mean"]

        def predict(request: Request) -> Prediction:
            sound = torch.from_numpy(loudness(request.waveform)[:, None]).float()
            points = (net(sound).numpy() + mean).reshape(-1, 68, 2) + self.shift
            return Prediction(points[: request.num_frames].astype(np.float32))

        return predict
