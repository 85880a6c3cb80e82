"""Loss terms of the renderer, as in vid2vid, each a mean, none weighted."""

from __future__ import annotations

from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn import functional
from torchvision.models import vgg19

from models.rendering.discriminators import Verdict


def adversarial(verdict: Verdict, real: bool) -> Tensor:
    """Least-squares GAN: mean squared distance of the scores from 1 (real) or 0, averaged over scales."""
    wanted = 1.0 if real else 0.0
    return torch.stack([(scale[-1] - wanted).square().mean() for scale in verdict]).mean()


def feature_matching(predicted: Verdict, target: Verdict) -> Tensor:
    """Mean L1 distance of the discriminator's inner activations, summed over layers, averaged over scales."""
    terms = [
        functional.l1_loss(p, t.detach())
        for scale, real in zip(predicted, target, strict=True)
        for p, t in zip(scale[:-1], real[:-1], strict=True)
    ]
    return torch.stack(terms).sum() / len(predicted)


def weighted_l1(predicted: Tensor, target: Tensor, weight: Tensor) -> Tensor:
    """L1 distance of images (batch, 3, h, w), averaged with weights (batch, 1, h, w)."""
    return ((predicted - target).abs() * weight).mean() / weight.mean()


def weighted_l2(predicted: Tensor, target: Tensor, weight: Tensor) -> Tensor:
    """L2 distance of images (batch, 3, h, w): root of the mean square with weights (batch, 1, h, w).

    It is the norm of EVP's supplement (eq. 2) divided by the root of the number of values, so that a weight
    means the same at any size of the frames.
    """
    squares = ((predicted - target).square() * weight).mean((1, 2, 3)) / weight.mean((1, 2, 3))
    return (squares + 1e-12).sqrt().mean()


RECONSTRUCTION = {"l1": weighted_l1, "l2": weighted_l2}

CONFIDENT = 0.02 / 4
"""Squared error, summed over RGB in [0, 1], below which a flow explains a pixel.

vid2vid has 0.02 for images in [-1, 1]."""


def explained(moved: Tensor, target: Tensor) -> Tensor:
    """(batch, 1, h, w) 1 where the moved true frame is the next one, so that its flow can be trusted."""
    return ((moved - target).square().sum(1, keepdim=True) < CONFIDENT).to(target.dtype)


def dissimilarity(predicted: Tensor, target: Tensor, window: int = 7) -> Tensor:
    """1 - SSIM of images (batch, 3, h, w) in [0, 1] with a uniform window: for selection, not for tables."""

    def local(values: Tensor) -> Tensor:
        return functional.avg_pool2d(values, window, 1)

    mean_p, mean_t = local(predicted), local(target)
    var_p = local(predicted.square()) - mean_p.square()
    var_t = local(target.square()) - mean_t.square()
    covariance = local(predicted * target) - mean_p * mean_t
    c1, c2 = 0.01**2, 0.03**2
    top = (2 * mean_p * mean_t + c1) * (2 * covariance + c2)
    bottom = (mean_p.square() + mean_t.square() + c1) * (var_p + var_t + c2)
    return 1 - (top / bottom).mean()


class Perceptual(nn.Module):
    """VGG-19 distance: L1 of relu1_1 ... relu5_1, weighted 1/32, 1/16, 1/8, 1/4, 1.

    Args:
        weights: torchvision's ImageNet weights of VGG-19 as a safetensors file.

    Raises:
        FileNotFoundError: there is no such file. Random weights are not an alternative.
    """

    mean: Tensor
    deviation: Tensor
    TAPS = (1, 6, 11, 20, 29)
    WEIGHTS = (1 / 32, 1 / 16, 1 / 8, 1 / 4, 1.0)

    def __init__(self, weights: Path) -> None:
        super().__init__()
        if not weights.is_file():
            raise FileNotFoundError(
                f"no VGG-19 weights at {weights}: expected torchvision's vgg19 state dict saved as "
                "safetensors; give its path, or set the perceptual weights to null"
            )
        network = vgg19()
        network.load_state_dict(load_file(weights))
        layers = list(network.features.children())[: self.TAPS[-1] + 1]
        self.features = nn.ModuleList(layers).eval().requires_grad_(False)
        self.register_buffer("mean", torch.tensor([0.485, 0.456, 0.406])[:, None, None])
        self.register_buffer("deviation", torch.tensor([0.229, 0.224, 0.225])[:, None, None])

    def _activations(self, images: Tensor) -> list[Tensor]:
        images = (images - self.mean) / self.deviation
        taps = []
        for index, layer in enumerate(self.features):
            images = layer(images)
            if index in self.TAPS:
                taps.append(images)
        return taps

    def forward(self, predicted: Tensor, target: Tensor) -> Tensor:
        with torch.no_grad():
            real = self._activations(target)
        terms = zip(self.WEIGHTS, self._activations(predicted), real, strict=True)
        return torch.stack([weight * functional.l1_loss(p, t) for weight, p, t in terms]).sum()
