"""A drawn puppet on film, a voice, and a run of EVP with untrained networks, all small."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import pytest
import soundfile
import torch

from models import initialise
from models.face3d.morphable import learn
from models.landmarks.alignment import stabilise
from models.landmarks.codes import EmotionCodes
from models.landmarks.network import AudioToLandmarks
from models.landmarks.pca import LandmarkPCA
from models.landmarks.predictor import LandmarkPredictor
from models.landmarks.stage import LandmarksStage
from models.landmarks.topology import IBUG68
from models.preprocess.faces import Faces
from models.rendering.generator import initialise as initialise_generator
from models.rendering.renderer import Renderer
from models.rendering.stage import RendererStage
from models.rendering.video import write_video
from models.talk import film

HEIGHT, WIDTH, FRAMES = 120, 160, 30
CPU = torch.device("cpu")
LANDMARKS = {
    "width": 2,
    "hidden": 8,
    "content_dim": 8,
    "emotion_dim": 4,
    "identity_hidden": 4,
    "identity_dim": 4,
    "lstm_hidden": 8,
    "lstm_layers": 1,
    "num_components": 4,
}
RENDERER = {
    "size": 32,
    "channels": "simple",
    "width": 4,
    "downsamplings": 2,
    "encoder_blocks": 1,
    "decoder_blocks": 1,
    "kernel": 3,
    "flow_reach": 4.0,
    "discriminator_width": 4,
    "discriminator_scales": 1,
    "temporal_strides": [1],
    "steps": 4,
    "batch": 1,
    "rollout": 2,
    "warm_up": 2,
    "learning_rate": 1e-3,
    "discriminator_learning_rate": 1e-3,
    "loss": {"recon": 20.0},
}


def puppet(count: int = FRAMES) -> np.ndarray:
    """(count, 68, 2) in pixels of a picture: a face that sways, its mouth opening and closing."""
    turn = np.linspace(-1.6, 1.6, 17)
    contour = np.stack([30 * np.sin(turn), 6 + 36 * np.cos(turn)], -1)
    t = np.linspace(0, 1, 5)
    brow = np.stack([-24 + 18 * t, -18 - 3 * np.sin(np.pi * t)], -1)
    bridge = np.stack([np.zeros(4), [-9, -4, 1, 6]], -1)
    base = np.stack([[-5, -3, 0, 3, 5], [10, 11, 11.5, 11, 10]], -1)
    eye = np.array([[-4, 0], [-2, -2], [2, -2], [4, 0], [2, 2], [-2, 2]]) - [14, 10]
    still = [contour, brow, brow[::-1] * [-1, 1], bridge, base, eye, eye[[3, 2, 1, 0, 5, 4]] * [-1, 1]]
    clips = []
    for k in range(count):
        opening = 2 + 2 * np.sin(k / 2)
        a, b = 2 * np.pi * np.arange(12) / 12, 2 * np.pi * np.arange(8) / 8
        outer = np.stack([-10 * np.cos(a), 22 - (3 + opening) * np.sin(a)], -1)
        inner = np.stack([-7 * np.cos(b), 22 - opening * np.sin(b)], -1)
        centre = np.array([80 + 3 * np.sin(k / 5), 55])
        clips.append(np.concatenate([*still, outer, inner]) + centre)
    return np.array(clips, np.float32)


def drawn(landmarks: np.ndarray) -> np.ndarray:
    """(HEIGHT, WIDTH, 3) uint8 picture of a puppet."""
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    picture = np.stack([60 + x // 2, 90 + y // 2, 200 - x // 2], -1).astype(np.uint8)
    parts = [(IBUG68.regions["contour"], (220, 180, 150)), (IBUG68.eye_a, (250, 250, 250))]
    parts += [(IBUG68.eye_b, (250, 250, 250)), (range(48, 60), (190, 70, 80)), (range(60, 68), (40, 10, 15))]
    for points, colour in parts:
        hull = cv2.convexHull(np.round(landmarks[list(points)] * 16).astype(np.int32))
        cv2.fillConvexPoly(picture, hull, colour, cv2.LINE_AA, 4)
    return picture


class KnowsThePuppet:
    """A detector that finds a face in pictures that show the puppet, and none in others."""

    def identity(self) -> str:
        return "puppet"

    def find(self, frames: np.ndarray, media: Path | None = None, **options: object) -> Faces:
        found = puppet(len(frames))
        found[frames.reshape(len(frames), -1).std(1) < 10] = np.nan
        return Faces(found, int(np.isfinite(found).any()))


@dataclass(frozen=True)
class World:
    """Files as a user has them."""

    root: Path

    @property
    def run(self) -> Path:
        return self.root / "results" / "tiny"

    def command(self, output: Path, *more: str, **files: str) -> list[str]:
        given = {"audio": "voice.wav", "target": "puppet.mp4"} | files
        arguments = [f"--{name}={self.root / file}" for name, file in given.items()]
        return [
            *arguments,
            f"--run={self.run}",
            f"--cache={output.parent / 'cache'}",
            "-o",
            str(output),
            *more,
        ]


def _stage(results: Path, name: str, **config: object) -> Path:
    folder = results / "stages" / f"{name}-0"
    folder.mkdir(parents=True)
    (folder / "stage.json").write_text(json.dumps({"config": config}))
    return folder


def _cell(ablation: str, seed: int, names: list[str], **more: object) -> dict:
    stages = dict.fromkeys(names, "0")
    return {"method": "evp", "ablation": ablation, "seed": seed, "status": "done", "stages": stages, **more}


def write_run(results: Path, *, emotions: bool = True) -> None:
    """A finished suite `tiny` of one EVP row, with two seeds, one of which failed."""
    predict = {"align": {"_target_": "models.face3d.alignment.PoseSwap"}, "emotions": emotions}
    _stage(results, "predict", _target_="models.evp.EVP", **predict)
    _stage(results, "features", _target_="models.audio.features.FeaturesStage")
    aligner = {"_target_": "models.audio.aligners.EVPAligner"}
    _stage(results, "pairs", _target_="models.audio.pairs.PairsStage", aligner=aligner)
    _stage(results, "emotion_classifier", _target_="models.disentangle.emotion.EmotionClassifierStage")
    _stage(results, "disentangle", _target_="models.disentangle.cross.DisentangleStage")
    head = _stage(results, "face3d", _target_="models.face3d.morphable.Face3DStage")
    landmarks = _stage(results, "landmarks", _target_="models.landmarks.stage.LandmarksStage", **LANDMARKS)
    renderer = _stage(results, "renderer", _target_="models.rendering.stage.RendererStage", **RENDERER)

    rng = np.random.default_rng(0)
    still = stabilise(puppet())
    depth = np.full((68, 1), 10.0) - np.abs(still[0, :, :1] - 128) / 4
    flat = np.concatenate([still[0] - 128, depth], 1)
    learn(flat + rng.normal(0, 3, (6, 10, 68, 3)), 4, 4).save(head)
    stage = LandmarksStage(**LANDMARKS)
    network = AudioToLandmarks(stage.sizes, dropout=0.0)
    initialise.kaiming(network, torch.Generator().manual_seed(0))
    codes = {label: rng.normal(0, 3, 4).astype(np.float32) for label in ("happy", "neutral")}
    by_intensity = {("happy", 3): 2 * codes["happy"], ("neutral", 1): codes["neutral"]}
    LandmarkPredictor(
        network.eval(),
        LandmarkPCA.fit(still + rng.normal(0, 1, still.shape).astype(np.float32), 4),
        pooling="mean",
        use_emotion=emotions,
        codes=EmotionCodes(codes, by_intensity) if emotions else EmotionCodes(),
    ).save(landmarks)
    sizes = RendererStage(**RENDERER).sizes
    generator = sizes.generator()
    initialise_generator(generator, torch.Generator().manual_seed(0))
    Renderer(sizes, generator, CPU).save(renderer)

    suite = results / "tiny"
    suite.mkdir()
    names = ["features", "face3d", "landmarks", "renderer", "predict"]
    names += ["emotion_classifier", "pairs", "disentangle"]
    cells = [
        _cell("full", 0, names, status="FAILED", reason="out of luck"),
        _cell("full", 2, names),
        _cell("full", 1, [*names, "score"]),
        _cell("broken", 1, names, status="FAILED", reason="out of luck"),
    ]
    (suite / "manifest.json").write_text(json.dumps({"cells": cells}))


@pytest.fixture(scope="session")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    torch.set_num_threads(1)
    root = tmp_path_factory.mktemp("world")
    write_run(root / "results")
    pictures = np.stack([drawn(face) for face in puppet()])
    write_video(root / "puppet.mp4", pictures)
    write_video(root / "short.mp4", pictures[:4])
    write_video(root / "wall.mp4", np.full((10, 64, 64, 3), 99, np.uint8))
    time = np.arange(16_000) / 16_000
    voice = 0.3 * np.sin(2 * np.pi * 180 * time) * (1 + np.sin(2 * np.pi * 4 * time)) / 2
    soundfile.write(root / "voice.wav", voice, 16_000)
    soundfile.write(root / "long.wav", np.tile(voice, 2), 16_000)
    soundfile.write(root / "brief.wav", voice[:160], 16_000)
    soundfile.write(root / "silent.wav", 0 * voice, 16_000)
    (root / "broken.wav").write_bytes(b"RIFF, they say")
    return World(root)


@pytest.fixture
def puppets_are_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(film.DETECTORS, "facemesh", KnowsThePuppet)


@pytest.fixture(scope="session")
def puppet_landmarks() -> np.ndarray:
    return puppet()


@pytest.fixture(scope="session")
def puppet_pictures() -> np.ndarray:
    return np.stack([drawn(face) for face in puppet()])


@pytest.fixture(scope="session")
def make_run():
    return write_run
