"""What all cycle losses are, and several of them together."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from models.method import StageRun
from models.rendering.generator import Generator
from models.rendering.sequences import FaceSequence, Windows
from models.targets import configurable

BLUR = (0.25, 0.5, 0.25)
"""Of a frame as JPEG may blur it, along each axis."""


@dataclass(frozen=True)
class Drawn:
    """What a cycle loss judges."""

    windows: Windows
    frames: Tensor
    """(batch, steps, 3, h, w) generated, RGB in [0, 1], with gradient."""
    generator: Generator
    progress: float
    """Share of the training that is done."""


@configurable
class Cycle(ABC):
    """One cycle loss as it is configured.

    Args:
        begin: share of the training before the loss counts at all.
        ramp: share of the training over which it then grows to its whole weight.
    """

    def __init__(self, *, begin: float, ramp: float) -> None:
        if not 0 <= begin <= begin + ramp <= 1:
            raise ValueError(
                f"begin and ramp are shares of the training, 1 together at most: {begin}, {ramp}"
            )
        self.begin, self.ramp = begin, ramp

    def share(self, progress: float) -> float:
        """The share of its weight that the loss has by now."""
        if progress < self.begin:
            return 0.0
        return 1.0 if self.ramp == 0 else min(1.0, (progress - self.begin) / self.ramp)

    @abstractmethod
    def learn(self, train: Sequence[FaceSequence], validation: Sequence[FaceSequence], run: StageRun) -> None:
        """Train what is frozen when the generator learns; logs how well it does on real frames."""

    @abstractmethod
    def terms(self, drawn: Drawn) -> dict[str, Tensor]:
        """Named losses, weighted and grown by `share`: they are added to the generator's as they are."""


@configurable
class CycleLosses:
    """The cycle losses of a training, none by default."""

    def __init__(
        self, *, canny: Cycle | None = None, sketch: Cycle | None = None, landmarks: Cycle | None = None
    ) -> None:
        self.parts = [part for part in (canny, sketch, landmarks) if part is not None]

    def learn(self, train: Sequence[FaceSequence], validation: Sequence[FaceSequence], run: StageRun) -> None:
        for part in self.parts:
            part.learn(train, validation, run)

    def terms(self, drawn: Drawn) -> dict[str, Tensor]:
        return {name: term for part in self.parts for name, term in part.terms(drawn).items()}


def guarded(images: Tensor, noise: float) -> Tensor:
    """Images (batch, 3, h, w) in [0, 1] as a network may see them that must not read hidden messages.

    A generator under a cycle loss learns to hide the condition in its picture (Chu et al., 2017). So noise is
    added, and half of the images are blurred a little, the others rounded to 8 bits, where the gradient
    passes as if they were not. Draws from torch's global generator, which a training seeds at every step.
    """
    images = images + noise * torch.randn_like(images)
    blurred = torch.rand(len(images), 1, 1, 1, device=images.device) < 0.5
    rounded = images + ((images * 255).round() / 255 - images).detach()
    return torch.where(blurred, blur(images), rounded)


def blur(images: Tensor) -> Tensor:
    """Images (batch, c, h, w) under the kernel 1-2-1 along both axes, borders repeated."""
    weights = torch.tensor(BLUR, device=images.device, dtype=images.dtype)
    kernel = (weights[:, None] * weights).expand(images.shape[1], 1, 3, 3)
    padded = functional.pad(images, (1, 1, 1, 1), "replicate")
    return functional.conv2d(padded, kernel, groups=images.shape[1])


def freeze(module: nn.Module) -> None:
    """No gradient reaches the module's parameters any more; it passes through to what it is applied to."""
    module.eval().requires_grad_(False).zero_grad(set_to_none=True)
