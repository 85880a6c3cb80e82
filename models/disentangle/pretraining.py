"""Where the content encoder starts from: the landmarks of a mouth tell what is said, without any labels.

EVP takes its content encoder from ATVGnet, whose AT-net predicts landmark coefficients from speech and was
trained on LRW. LRW must be registered for and its weights downloaded, so there are three ways here, each a
stage of its own choice: the same network on the subject's neutral clips or on LRW, and weights from a file.

Source: Chen et al., CVPR 2019; sizes, sampling and loss as released.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from models import initialise
from models.artefacts import load_module, save_module
from models.audio.features import WindowBank, evenly_spaced, window_count
from models.audio.mfcc import mfcc
from models.disentangle.content import ContentEncoder
from models.landmarks.alignment import fill_missing, stabilise
from models.landmarks.pca import LandmarkPCA
from models.landmarks.topology import IBUG68
from models.method import Player, Stage, StageRun, Training, TrainingData
from models.optimisation import adam, refresh_batch_norm
from models.types import Clip

NAME = "content_pretraining"
"""Of the stage, and of the folder that others read."""
SEQUENCE = 16
"""Frames that are predicted at a time."""
BEFORE, AFTER = 3, 22
"""An example frame has so many frames before it, and so many from it to the clip's end: the third to the
seventh of LRW's 29, and windows that hold no silence that was not recorded."""
_FILE = "content.safetensors"


class ATNet(nn.Module):
    """MFCC windows and one frame's landmark coefficients -> the coefficients of every frame.

    The defaults are the release's sizes, 30,071,750 parameters.
    """

    def __init__(
        self,
        content: ContentEncoder,
        *,
        identity_hidden: int = 256,
        identity_dim: int = 512,
        lstm_hidden: int = 256,
        num_components: int = 6,
    ) -> None:
        super().__init__()
        self.content = content
        self.identity = nn.Sequential(
            nn.Linear(num_components, identity_hidden),
            nn.ReLU(inplace=True),
            nn.Linear(identity_hidden, identity_dim),
            nn.ReLU(inplace=True),
        )
        self.lstm = nn.LSTM(identity_dim + content.dim, lstm_hidden, 3, batch_first=True)
        self.head = nn.Linear(lstm_hidden, num_components)

    def forward(
        self, windows: Float[Tensor, "batch time 1 28 12"], example: Float[Tensor, "batch components"]
    ) -> Float[Tensor, "batch time components"]:
        content = self.content(windows.flatten(0, 1)).unflatten(0, windows.shape[:2])
        identity = self.identity(example)[:, None].expand(-1, windows.shape[1], -1)
        return self.head(self.lstm(torch.cat([identity, content], 2))[0])


@dataclass(frozen=True, kw_only=True)
class ContentPretrainingStage(Stage):
    """Trains AT-net and keeps its content encoder; the lowest validation error is kept.

    Args:
        clips: "neutral", the subject's neutral speech (all of it where no emotion is called so), or
            "outside", the clips that `TrainingData.pretraining` offers, of which every tenth validates.
        points: "mouth", the lips alone, or "face", as in AT-net.
        width, hidden, content_dim: sizes of the content encoder, as in the disentanglement stage.
        identity_hidden, identity_dim, lstm_hidden: see `ATNet`.
        num_components: principal components of the points that are predicted.
    """

    upstream = ()

    clips: Literal["neutral", "outside"] = "neutral"
    points: Literal["mouth", "face"] = "mouth"
    width: int = 16
    hidden: int = 256
    content_dim: int = 256
    identity_hidden: int = 64
    identity_dim: int = 64
    lstm_hidden: int = 128
    num_components: int = 6
    steps: int = 600
    batch: int = 16
    learning_rate: float = 1e-3
    decay: bool = True
    validate_every: int = 150
    validation_sequences: int = 128

    @property
    def reads(self) -> tuple[str, ...]:  # type: ignore[override]
        return ("pretraining",) if self.clips == "outside" else ("emotion",)

    def run(self, data: TrainingData, inputs: Mapping[str, Path], run: StageRun) -> None:
        train, held_out = self._clips(data, run)
        pca, unit = self._fit(train)
        sequences = _Sequences(train, self._points(), pca, unit, run.device)
        content = ContentEncoder(width=self.width, hidden=self.hidden, dim=self.content_dim)
        network = ATNet(
            content,
            identity_hidden=self.identity_hidden,
            identity_dim=self.identity_dim,
            lstm_hidden=self.lstm_hidden,
            num_components=self.num_components,
        )
        generator = run.torch_generator("initial weights")
        initialise.uniform(network, generator)
        initialise.kaiming(content, generator)
        network.to(run.device)

        def loss(batch: _Batch) -> Mapping[str, Tensor]:
            return {"coeffs": F.mse_loss(network(batch.windows, batch.example), batch.coeffs)}

        rng = run.generator("batch statistics")
        calibration = [sequences.draw(rng, self.batch) for _ in range(16)]
        validation = self._validation(held_out, pca, unit, run)

        def validate() -> Mapping[str, float]:
            refresh_batch_norm(network, (partial(loss, batch) for batch in calibration))
            return {"coeffs": float(np.mean([float(loss(batch)["coeffs"]) for batch in validation]))}

        optimizer = adam(
            network.parameters(), learning_rate=self.learning_rate, steps=self.steps, decay=self.decay
        )
        run.fit(
            Training(
                modules={"network": network},
                players=[Player("content", optimizer, loss)],
                batch=lambda rng: sequences.draw(rng, self.batch),
                steps=self.steps,
                validate=validate,
                validate_every=self.validate_every,
                select_by="coeffs",
            )
        )
        save_module(run.directory / _FILE, network.content)

    def _clips(self, data: TrainingData, run: StageRun) -> tuple[list[Clip], list[Clip]]:
        """Clips to train on and to validate on, long enough and with a face."""
        if self.clips == "outside":
            found = [clip for clip in data.pretraining() if _usable(clip)]
            train, held_out = [c for k, c in enumerate(found) if k % 10 != 9], found[9::10]
        else:
            spoken = any(clip.emotion == "neutral" for clip in data.train)
            train, held_out = (
                [clip for clip in clips if _usable(clip) and (not spoken or clip.emotion == "neutral")]
                for clips in (data.train, data.validation)
            )
        run.log(training_clips=len(train), validation_clips=len(held_out))
        if not train or not held_out:
            raise ValueError(
                f"pre-training the content encoder needs clips with a face and {BEFORE + AFTER} frames or "
                f"more, got {len(train)} to train on and {len(held_out)} to validate on"
            )
        return train, held_out

    def _points(self) -> list[int]:
        return list(IBUG68.regions["mouth"]) if self.points == "mouth" else list(range(68))

    def _fit(self, clips: Sequence[Clip]) -> tuple[LandmarkPCA, float]:
        """The PCA of the points, and the first component's standard deviation: the unit of the targets."""
        points = self._points()
        frames = np.concatenate([stabilise(clip.landmarks)[:, points] for clip in clips])
        frames = frames[np.isfinite(frames).all((1, 2))]
        pca = LandmarkPCA.fit(frames, self.num_components)
        return pca, float(pca.encode(frames)[:, 0].std())

    def _validation(
        self, clips: Sequence[Clip], pca: LandmarkPCA, unit: float, run: StageRun
    ) -> list[_Batch]:
        sequences = _Sequences(clips, self._points(), pca, unit, run.device)
        chosen = evenly_spaced(len(sequences), self.validation_sequences)
        return [sequences.examples(part) for part in np.array_split(chosen, -(-len(chosen) // 64))]


@dataclass(frozen=True, kw_only=True)
class ImportedContentStage(Stage):
    """Takes the content encoder from a file, as `python -m models.importing atvgnet` writes it.

    Args:
        weights: safetensors with the parameters and statistics of a content encoder of these sizes.
        width, hidden, content_dim: sizes of the content encoder, as in the disentanglement stage.

    Raises:
        ArtefactError: the file is missing or damaged, or is of other sizes.
    """

    seeded = False
    reads = ()

    weights: str
    width: int = 64
    hidden: int = 2048
    content_dim: int = 256

    @property
    def outside(self) -> tuple[str, ...]:
        return (self.weights,)

    def run(self, data: TrainingData, inputs: Mapping[str, Path], run: StageRun) -> None:
        content = ContentEncoder(width=self.width, hidden=self.hidden, dim=self.content_dim)
        load_module(Path(self.weights), content)
        save_module(run.directory / _FILE, content)


def content_file(directory: Path) -> Path:
    """The content encoder's weights in the folder of either stage."""
    return directory / _FILE


@dataclass(frozen=True)
class _Batch:
    windows: Tensor
    """(batch, time, 1, 28, 12)"""
    example: Tensor
    """(batch, components) of the frame before the first."""
    coeffs: Tensor
    """(batch, time, components)"""


class _Sequences:
    """Every sequence of `SEQUENCE` frames that the clips offer, each with the frame before it as example."""

    def __init__(
        self, clips: Sequence[Clip], points: list[int], pca: LandmarkPCA, unit: float, device: torch.device
    ) -> None:
        features = [mfcc(clip.waveform) for clip in clips]
        self._bank = WindowBank(features, device)
        faces = [fill_missing(stabilise(clip.landmarks)) for clip in clips]
        tracks = [pca.encode(face[:, points]) / np.float32(unit) for face in faces]
        frames = [min(len(track), window_count(rows)) for track, rows in zip(tracks, features, strict=True)]
        starts = [np.arange(BEFORE, max(BEFORE, n - AFTER) + 1) for n in frames]
        offsets = np.concatenate([[0], np.cumsum([len(track) for track in tracks])])[:-1]
        self._window = np.concatenate([first + r for first, r in zip(self._bank.first, starts, strict=True)])
        self._frame = np.concatenate([offset + r for offset, r in zip(offsets, starts, strict=True)])
        self._coeffs = torch.from_numpy(np.concatenate(tracks)).to(device)

    def __len__(self) -> int:
        return len(self._window)

    def draw(self, rng: np.random.Generator, batch: int) -> _Batch:
        return self.examples(rng.integers(len(self), size=batch))

    def examples(self, index: np.ndarray) -> _Batch:
        steps = np.arange(1, SEQUENCE + 1)
        windows = self._bank.windows((self._window[index][:, None] + steps).ravel())
        frames = torch.from_numpy(self._frame[index]).to(self._coeffs.device)
        later = frames[:, None] + torch.from_numpy(steps).to(frames.device)
        return _Batch(windows.unflatten(0, (len(index), SEQUENCE)), self._coeffs[frames], self._coeffs[later])


def _usable(clip: Clip) -> bool:
    return clip.num_frames >= BEFORE + AFTER and bool(np.isfinite(clip.landmarks).all((1, 2)).any())
