"""What the trainings of the judges' networks share."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import numpy as np
import torch
from torch import Tensor, nn

from benchmark.metrics.convolution import Layer
from models.heartbeat import beat

MOST_RATE = 3e-3
"""The peak of the learning rate, which rises over the first third of the steps and then falls to zero."""


def descend(net: nn.Module, loss: Callable[[], Tensor], steps: int, *, weight_decay: float) -> None:
    """So many steps of AdamW, each on the loss of a new batch, with one cycle of the learning rate."""
    optimiser = torch.optim.AdamW(net.parameters(), lr=MOST_RATE, weight_decay=weight_decay)
    # The schedule has three phases, which a handful of steps cannot have.
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, MOST_RATE, total_steps=max(steps, 10))
    for _ in range(steps):
        beat()
        optimiser.zero_grad()
        loss().backward()
        optimiser.step()
        schedule.step()


def layers_of(convolutions: Iterable[nn.Conv1d], scale: float) -> tuple[Layer, ...]:
    """Arrays of convolutions that were trained on inputs divided by `scale`, for inputs as they are."""
    layers: list[Layer] = []
    for convolution in convolutions:
        weights = array_of(convolution.weight).transpose(2, 1, 0)
        bias = np.zeros(weights.shape[2]) if convolution.bias is None else array_of(convolution.bias)
        layers.append((weights if layers else weights / scale, bias))
    return tuple(layers)


def array_of(parameter: Tensor) -> np.ndarray:
    """float64"""
    return parameter.detach().double().numpy()
