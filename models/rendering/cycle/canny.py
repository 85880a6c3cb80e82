"""Soft Canny: the generated background has the edges that it was drawn from. Nothing is learned."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from models.method import StageRun
from models.rendering.cycle.losses import Cycle, Drawn
from models.rendering.edges import face_mask, frame_edges
from models.rendering.sequences import FaceSequence
from models.rendering.warping import warp

LUMA = (0.299, 0.587, 0.114)
SIGMA, RADIUS = 1.0, 4
"""Of the Gaussian before the gradient, as in `frame_edges`."""
EPSILON = 1e-6
THRESHOLD = 0.15
"""Between Canny's two thresholds, 0.1 and 0.2, of the Sobel magnitude."""
SOFTNESS = 0.02
"""Of the comparison with the neighbours along the gradient."""


def soft_edges(images: Tensor, softness: float) -> Tensor:
    """(batch, 1, h, w) in [0, 1]: Canny's edges of RGB images in [0, 1], differentiable.

    The gradient's magnitude is compared with its neighbours' along the gradient and with a threshold, each by
    a sigmoid in the place of a step. The direction itself passes no gradient.

    Args:
        softness: width of the threshold's sigmoid; the smaller, the nearer to Canny.
    """
    luma = (images * images.new_tensor(LUMA)[:, None, None]).sum(1, keepdim=True)
    offsets = torch.arange(-RADIUS, RADIUS + 1, device=images.device, dtype=images.dtype)
    gauss = torch.exp(-(offsets**2) / (2 * SIGMA**2))
    gauss = gauss / gauss.sum()
    smooth = functional.pad(luma, (RADIUS,) * 4, "replicate")
    smooth = functional.conv2d(functional.conv2d(smooth, gauss[None, None, None]), gauss[None, None, :, None])
    sobel = images.new_tensor([[-1, 0, 1], [-2, 0, 2], [-1, 0, 1]])
    kernels = torch.stack([sobel, sobel.T])[:, None]
    gradient = functional.conv2d(functional.pad(smooth, (1,) * 4, "replicate"), kernels)
    magnitude = (gradient.square().sum(1, keepdim=True) + EPSILON).sqrt()
    direction = (gradient / magnitude).detach()
    highest = torch.ones_like(magnitude)
    for side in (direction, -direction):
        highest = highest * torch.sigmoid((magnitude - warp(magnitude, side)) / SOFTNESS)
    return highest * torch.sigmoid((magnitude - THRESHOLD) / softness)


def disagreement(edges: Tensor, wanted: Tensor, real: Tensor, outside: Tensor) -> Tensor:
    """1 - Dice of soft edges and the condition's, plus their Charbonnier distance from the true soft edges.

    All (batch, 1, h, w); only where `outside` is 1. The same soft filter made `real`, so that what is soft
    about it cancels.
    """
    both = (outside * edges * wanted).sum((1, 2, 3))
    squares = (outside * (edges.square() + wanted.square())).sum((1, 2, 3))
    dice = 1 - (2 * both + 1) / (squares + 1)
    charbonnier = (outside * ((edges - real).square() + EPSILON).sqrt()).mean((1, 2, 3))
    return (dice + charbonnier).mean()


class SoftCannyCycle(Cycle):
    """Edges outside the face.

    Args:
        weight: of the loss.
        softness: of the threshold at the beginning and at the end of the training, geometric in between.
    """

    def __init__(
        self,
        *,
        weight: float = 1.0,
        begin: float = 0.05,
        ramp: float = 0.0,
        softness: Sequence[float] = (0.1, 0.02),
    ) -> None:
        super().__init__(begin=begin, ramp=ramp)
        if len(softness) != 2 or min(softness) <= 0:
            raise ValueError(f"softness: expected two numbers above 0, got {list(softness)}")
        self.weight, self.softness = weight, tuple(softness)

    def learn(self, train: Sequence[FaceSequence], validation: Sequence[FaceSequence], run: StageRun) -> None:
        """There is nothing to learn."""

    def terms(self, drawn: Drawn) -> dict[str, Tensor]:
        first, last = self.softness
        softness = first * (last / first) ** drawn.progress
        real = drawn.windows.frames.flatten(0, 1)
        with torch.no_grad():
            wanted, outside = _background(real, drawn.windows.landmarks.flatten(0, 1))
            true = soft_edges(real, softness)
        edges = soft_edges(drawn.frames.flatten(0, 1), softness)
        loss = disagreement(edges, wanted, true, outside)
        return {"cycle_canny": self.weight * self.share(drawn.progress) * loss}


def _background(frames: Tensor, landmarks: Tensor) -> tuple[Tensor, Tensor]:
    """Canny edges of true frames, and where the face is not: (batch, 1, h, w), 0 or 1.

    Where the face is not known (NaN), nothing is outside it.
    """
    size = frames.shape[-1]
    pictures = (frames * 255).round().byte().permute(0, 2, 3, 1).numpy(force=True)
    edges = np.stack([frame_edges(np.ascontiguousarray(picture)) > 0 for picture in pictures])
    outside = np.zeros_like(edges)
    for mask, points in zip(outside, landmarks.numpy(force=True), strict=True):
        if np.isfinite(points).all():
            mask[:] = face_mask(points, size) == 0
    wanted, outside = (torch.from_numpy(x[:, None]).to(frames) for x in (edges & outside, outside))
    return wanted, outside
