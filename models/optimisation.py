"""What the trainings of the audio side share: Adam, its decay, and batch statistics that fit the weights."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import torch
from torch import nn

BETAS = (0.5, 0.999)
"""Of every Adam in the EVP release."""


def adam(
    parameters: Iterable[nn.Parameter], *, learning_rate: float, steps: int, decay: bool
) -> torch.optim.Optimizer:
    """EVP's Adam. With `decay` the rate falls linearly to zero over the second half of `steps`.

    The release keeps its rate over a hundred epochs; short trainings end better with the decay.
    The rate follows from the optimizer's own step count, so a resumed training continues it.
    """
    optimizer = torch.optim.Adam(parameters, lr=learning_rate, betas=BETAS, fused=True)
    if decay:

        def follow(optimizer: torch.optim.Optimizer, *_: object) -> None:
            taken = next(float(state["step"]) for state in optimizer.state.values() if "step" in state)
            factor = min(1.0, 2 * max(0.0, 1 - taken / steps))
            for group in optimizer.param_groups:
                group["lr"] = learning_rate * factor

        optimizer.register_step_post_hook(follow)
    return optimizer


@torch.no_grad()
def refresh_batch_norm(module: nn.Module, passes: Iterable[Callable[[], object]]) -> None:
    """Replace the running statistics of batch norms by the averages over these forward passes.

    Running averages lag behind weights that move fast: after a few hundred steps at a high rate, a network
    that fits its training batches can be at chance in eval mode. Modules end in eval mode.
    """
    norms = [part for part in module.modules() if isinstance(part, nn.BatchNorm2d)]
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None
    module.train()
    for forward in passes:
        forward()
    module.eval()
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum
