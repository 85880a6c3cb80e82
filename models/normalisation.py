"""Batch norm for several batches that pass through a network together.

The EVP release encodes the windows of each role in a call of its own, so that batch norm sees the sixteen
windows of one role at a time. One call with all of them is much faster, but another model: statistics are
then of all roles. Here convolutions see one large batch, and batch norms the batches it was made of.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn


class BatchNorm2d(nn.BatchNorm2d):
    """Batch norm, by itself PyTorch's own; see `batches_of` for when it is not."""

    size: int | None = None

    def forward(self, input: Tensor) -> Tensor:
        if self.size is None or not self.training:
            return super().forward(input)
        return torch.cat([super(BatchNorm2d, self).forward(batch) for batch in input.split(self.size)])


@contextmanager
def batches_of(size: int, module: nn.Module) -> Iterator[None]:
    """Within it, every `size` examples that pass through `module` in training are a batch of their own.

    Outputs, gradients and running statistics are those of calling it on each of these batches in turn.
    """
    norms = [part for part in module.modules() if isinstance(part, BatchNorm2d)]
    for norm in norms:
        norm.size = size
    try:
        yield
    finally:
        for norm in norms:
            norm.size = None
