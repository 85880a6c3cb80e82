"""Whose face it is: a renderer trained on the target's own video, and predictions carried over to that face.

EVP trains one renderer for each target, on real frames under the edge maps of their own landmarks; no sound
is needed. Landmarks are predicted as displacements from an example of the subject's face. For another person
the example is that person's (as EVP's authors advise), here the face at rest with its mouth closed.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryDirectory, gettempdir
from typing import Any

import numpy as np
import torch

from models.errors import InputError, storage_faults
from models.face3d.alignment import frontalise
from models.face3d.morphable import FaceModel
from models.files import contents_digest
from models.landmarks.alignment import fill_missing
from models.landmarks.topology import IBUG68
from models.method import Transcribed
from models.numerics import numerics
from models.rendering.stage import RendererStage
from models.sealed import write_sealed
from models.seeding import generator
from models.talk.expressions import bent
from models.talk.target import Target
from models.talk.trained import build_of_run
from models.training.alone import identity, is_whole, run_alone
from models.types import Clip

TRAINING_FRAMES = 1500
"""Of the target video, from its start: a minute shows a face in most of what it does."""
PIECE = 50
"""Frames that become one clip, so that the sampler sees all of the video and one piece can be held out."""
BENT = 3
"""Copies of each piece with an expression laid over it: see `models.talk.expressions`."""
VERSION = 2
AT_REST = 0.1
"""Share of the frames, those with the mouth closed furthest, whose mean is the face at rest."""


@dataclass(frozen=True)
class TargetData:
    """`models.method.TrainingData` of one video."""

    train: tuple[Clip, ...]
    validation: tuple[Clip, ...]
    emotions: tuple[str, ...] = ()

    def heads(self) -> np.ndarray:
        raise InputError("one video has no 3D heads to learn a face model from")

    def pretraining(self) -> Iterator[Clip]:
        raise InputError("one video comes with no corpus to pre-train on")

    def transcribed(self, count: int) -> Iterator[Transcribed]:
        raise InputError("one video has no strangers' speech to learn to spell from")

    @staticmethod
    def cut(
        landmarks: np.ndarray, frames: np.ndarray, folder: Path, shortest: int, rng: np.random.Generator
    ) -> TargetData:
        """Pieces written into `folder`, each with bent copies; the last fifth, at most one, is held out.

        Nothing is held out of a video that is too short for it.
        """
        held = min(PIECE, len(frames) // 5)
        if len(frames) - held < 2 * shortest:
            held = 0
        end = len(frames) - held
        bounds = np.linspace(0, end, max(1, end // PIECE) + 1).round().astype(int)
        train = []
        for number, (first, last) in enumerate(pairwise(bounds)):
            piece = landmarks[first:last], frames[first:last]
            train.append(_clip(folder, f"{number}", *piece))
            for copy in range(BENT):
                train.append(_clip(folder, f"{number}-bent-{copy}", *bent(*piece, rng)))
        held_out = [_clip(folder, "held", landmarks[end:], frames[end:])] if held else []
        return TargetData(tuple(train), tuple(held_out))


def _clip(folder: Path, name: str, landmarks: np.ndarray, frames: np.ndarray) -> Clip:
    directory = folder / name
    directory.mkdir()
    write_sealed(directory / "landmarks.npy", landmarks)
    write_sealed(directory / "frames.npy", frames)
    return Clip(name, "target", name, None, 1, directory, filmed=True)


def personal_renderer(
    target: Target,
    config: Mapping[str, Any],
    cache: Path,
    *,
    seed: int,
    device: torch.device,
    progress: Callable[[int, int], None],
) -> Path:
    """The folder of a renderer of the target's face, trained unless the cache has it.

    Args:
        target: at most `TRAINING_FRAMES` frames.
        config: of the run's renderer stage.

    Raises:
        InputError: the video is too short to learn from.
        StorageError: the cache cannot be written.
    """
    stage = build_of_run(config, RendererStage)
    portrait = target.portrait(stage.sizes.size)
    assert portrait.frames is not None
    digest = hashlib.blake2b(portrait.landmarks.tobytes() + portrait.frames.tobytes(), digest_size=20)
    version = [VERSION, stage.version, PIECE, BENT]
    key = identity(
        config=dict(config),
        frames=digest.hexdigest(),
        seed=seed,
        version=version,
        numerics=numerics(str(device)).digest,
        outside=[contents_digest(Path(path)) for path in stage.outside],
    )
    folder = cache / f"renderer-{key}"
    if is_whole(folder):
        return folder
    if len(portrait.frames) < stage.shortest:
        raise InputError(
            f"the target video has {len(portrait.frames)} frames, and a renderer learns from "
            f"{stage.shortest} or more: take a longer video, or the run's renderer for a video of its own "
            "subject (--renderer run)"
        )
    doing = f"writing the target's frames to {gettempdir()}"
    with storage_faults(doing), TemporaryDirectory() as scratch:
        data = TargetData.cut(
            fill_missing(portrait.landmarks),
            portrait.frames,
            Path(scratch),
            stage.shortest,
            generator(seed, "expressions"),
        )
        run_alone(stage, "renderer", data, {}, folder, seed=seed, device=device, progress=progress)
    return folder


def at_rest(landmarks: np.ndarray) -> np.ndarray:
    """(points, 2) the mean of those frames (time, points, 2) that have their mouth closed furthest."""
    upper, lower = IBUG68.inner_lips
    opening = landmarks[:, lower, 1] - landmarks[:, upper, 1]
    closed = np.argsort(opening, kind="stable")[: max(1, round(AT_REST * len(landmarks)))]
    return landmarks[np.sort(closed)].mean(0)


def carry_over(
    predicted: np.ndarray, rest: np.ndarray, target: np.ndarray, frames: np.ndarray, model: FaceModel
) -> np.ndarray:
    """Stabilised predictions of one face as the same displacements of another.

    The eyes are displaced from where the target has them in each frame, so that its blinks stay.

    Args:
        predicted: (time, 68, 2) of the run's subject.
        rest: (68, 2) that subject at rest.
        target: (frames, 68, 2) landmarks of the other person, in its crop.
        frames: (time,) which of them goes with each prediction.
    """
    own = frontalise(fill_missing(target), model)
    base = np.repeat(at_rest(own)[None], len(predicted), 0)
    eyes = list(IBUG68.regions["eyes"])
    base[:, eyes] = own[frames][:, eyes]
    return (base + predicted - rest).astype(np.float32)
