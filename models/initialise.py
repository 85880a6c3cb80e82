"""Initial weights drawn from a given generator, so that ablations of one seed start from the same weights."""

from __future__ import annotations

import math

import torch
from torch import nn


def normal(module: nn.Module, generator: torch.Generator, std: float = 0.02) -> None:
    """N(0, std) weights, N(1, 0.02) batch-norm scales, zero biases: EVP's emotion pre-training."""
    for part in module.modules():
        if isinstance(part, _WEIGHTED):
            nn.init.normal_(part.weight, 0.0, std, generator=generator)
            _zero(part.bias)
        _scale(part, generator)


def kaiming(module: nn.Module, generator: torch.Generator) -> None:
    """Kaiming-normal weights by fan-in, N(1, 0.02) batch-norm scales, zero biases: EVP's disentanglement."""
    for part in module.modules():
        if isinstance(part, _WEIGHTED):
            nn.init.kaiming_normal_(part.weight, generator=generator)
            _zero(part.bias)
        _scale(part, generator)


def uniform(module: nn.Module, generator: torch.Generator) -> None:
    """PyTorch's default of linear and LSTM layers, U(-1/sqrt(fan), 1/sqrt(fan)): audio to landmarks."""
    for part in module.modules():
        if isinstance(part, (nn.Linear, nn.LSTM)):
            bound = 1 / math.sqrt(part.hidden_size if isinstance(part, nn.LSTM) else part.in_features)
            for parameter in part.parameters():
                nn.init.uniform_(parameter, -bound, bound, generator=generator)


_WEIGHTED = (nn.Conv2d, nn.ConvTranspose2d, nn.Linear)


def _zero(bias: torch.Tensor | None) -> None:
    if bias is not None:
        nn.init.zeros_(bias)


def _scale(part: nn.Module, generator: torch.Generator) -> None:
    if isinstance(part, nn.BatchNorm2d):
        nn.init.normal_(part.weight, 1.0, 0.02, generator=generator)
        nn.init.zeros_(part.bias)
