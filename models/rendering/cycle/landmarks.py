"""Landmark cycle: the landmarks found in the frame are those it was drawn from. LD and LVD as a loss."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from models.landmarks.topology import LAYOUTS
from models.method import Player, StageRun, Training
from models.optimisation import adam
from models.rendering.cycle.losses import Cycle, Drawn, freeze, guarded
from models.rendering.cycle.networks import UNet
from models.rendering.generator import initialise
from models.rendering.sequences import FaceSequence, unit
from models.types import CROP_SIZE

SCALE = 10 / CROP_SIZE
"""The loss is in tenths of the crop."""
SCORED_FRAMES = 64
"""Real frames that the regressor's own error is taken on."""


class Regressor(nn.Module):
    """Landmarks of a picture: the mean place under the softmax of a map per point.

    Args:
        points: landmarks.
        width, levels: of the network that draws the maps, at half the picture's size; see `UNet`.
        sharpness: factor of the maps before the softmax.
    """

    def __init__(self, *, points: int, width: int, levels: int, sharpness: float) -> None:
        super().__init__()
        self.maps = UNet(outputs=points, width=width, levels=levels, whole=False)
        self.sharpness = sharpness

    def forward(self, images: Tensor) -> Tensor:
        """(batch, 3, h, w) RGB in [0, 1] to (batch, points, 2), pixels of the 256 crop."""
        maps = self.maps(images) * self.sharpness
        height, width = maps.shape[-2:]
        mass = maps.flatten(2).softmax(-1).unflatten(2, (height, width))
        x, y = (
            (torch.arange(n, device=maps.device, dtype=maps.dtype) + 0.5) * (CROP_SIZE / n)
            for n in (width, height)
        )
        return torch.stack([(mass.sum(2) * x).sum(-1), (mass.sum(3) * y).sum(-1)], -1)


def landmark_disagreement(found: Tensor, wanted: Tensor, weights: Tensor) -> Tensor:
    """Smooth L1 distance (knee 1 px) of vectors (..., points, 2), weighted by (..., points), over all points.

    A point that is wanted nowhere (NaN) has no part in it.
    """
    known = wanted.isfinite().all(-1)
    wanted = torch.where(known[..., None], wanted, found.detach())
    each = functional.smooth_l1_loss(found, wanted, reduction="none").sum(-1)
    return (each * weights * known).mean()


def point_weights(landmarks: Tensor, mouth: float) -> Tensor:
    """(..., points): `mouth` for the lips, 0 for points outside the crop, 1 for the others."""
    layout = LAYOUTS[landmarks.shape[-2]]
    weights = torch.ones(landmarks.shape[:-1], device=landmarks.device, dtype=landmarks.dtype)
    weights[..., list(layout.regions["mouth"])] = mouth
    return weights * ((landmarks >= 0) & (landmarks <= CROP_SIZE)).all(-1)


class LandmarkCycle(Cycle):
    """Landmarks, and their motion, found again by a network that learned them from the subject's real frames.

    Args:
        weight: of the loss.
        velocity: weight in it of the motion between the frames of a window.
        mouth: weight of a point of the lips; others have 1.
        width, levels, sharpness: of the network, see `Regressor`.
        steps, batch, learning_rate: of its training.
        noise: deviation of what is added to pictures before the network sees them.
    """

    def __init__(
        self,
        *,
        weight: float = 1.0,
        velocity: float = 1.0,
        mouth: float = 2.0,
        begin: float = 0.0,
        ramp: float = 0.2,
        width: int = 32,
        levels: int = 4,
        sharpness: float = 100.0,
        steps: int,
        batch: int = 8,
        learning_rate: float = 1e-3,
        noise: float = 0.02,
    ) -> None:
        super().__init__(begin=begin, ramp=ramp)
        self.weight, self.velocity, self.mouth = weight, velocity, mouth
        self.width, self.levels, self.sharpness = width, levels, sharpness
        self.steps, self.batch, self.learning_rate = steps, batch, learning_rate
        self.noise = noise
        self._regressor: Regressor | None = None

    @property
    def regressor(self) -> Regressor:
        """
        Raises:
            ValueError: it has not learned yet.
        """
        if self._regressor is None:
            raise ValueError("the landmark cycle judges only after its network has learned: call learn first")
        return self._regressor

    def learn(self, train: Sequence[FaceSequence], validation: Sequence[FaceSequence], run: StageRun) -> None:
        regressor = Regressor(
            points=train[0].landmarks.shape[1],
            width=self.width,
            levels=self.levels,
            sharpness=self.sharpness,
        )
        initialise(regressor, run.torch_generator("initialise", "regressor"))
        regressor.to(run.device)

        def batch(rng: np.random.Generator) -> tuple[Tensor, Tensor]:
            chosen = [train[k] for k in rng.integers(len(train), size=self.batch)]
            pairs = [(s.frames[t], s.landmarks[t]) for s in chosen for t in [rng.integers(len(s.frames))]]
            frames, points = (np.stack(part) for part in zip(*pairs, strict=True))
            return unit(frames).to(run.device), torch.from_numpy(points).float().to(run.device)

        def loss(pair: tuple[Tensor, Tensor]) -> dict[str, Tensor]:
            found = regressor(guarded(pair[0], self.noise))
            return {"landmarks": landmark_disagreement(found, pair[1], point_weights(pair[1], self.mouth))}

        optimizer = adam(
            regressor.parameters(), learning_rate=self.learning_rate, steps=self.steps, decay=True
        )
        run.fit(
            Training(
                name="regressor",
                modules={"regressor": regressor},
                players=[Player("regressor", optimizer, loss)],
                batch=batch,
                steps=self.steps,
            )
        )
        freeze(regressor)
        self._regressor = regressor
        run.log(regressor_error_on_real_frames=self._error(validation or train, run.device))

    @torch.no_grad()
    def _error(self, sequences: Sequence[FaceSequence], device: torch.device) -> float:
        """Mean distance in pixels of the 256 crop on real frames as they are."""
        total = sum(len(s.frames) for s in sequences)
        places = np.linspace(0, total - 1, min(SCORED_FRAMES, total)).astype(int)
        frames = unit(np.concatenate([s.frames for s in sequences])[places])
        wanted = torch.from_numpy(np.concatenate([s.landmarks for s in sequences])[places])
        found = self.regressor(frames.to(device)).cpu()
        return float(torch.linalg.vector_norm(found - wanted, dim=-1).nanmean())

    def terms(self, drawn: Drawn) -> dict[str, Tensor]:
        wanted = drawn.windows.landmarks
        found = self.regressor(guarded(drawn.frames.flatten(0, 1), self.noise)).unflatten(0, wanted.shape[:2])
        weights = point_weights(wanted, self.mouth)
        loss = landmark_disagreement(found, wanted, weights)
        if wanted.shape[1] > 1 and self.velocity:
            moving = torch.minimum(weights[:, 1:], weights[:, :-1])
            motion = landmark_disagreement(found.diff(dim=1), wanted.diff(dim=1), moving)
            loss = loss + self.velocity * motion
        return {"cycle_landmarks": self.weight * self.share(drawn.progress) * SCALE * loss}
