"""The small network that the learned cycles share."""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional


def _block(inputs: int, outputs: int, stride: int = 1) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, 3, stride, 1), nn.InstanceNorm2d(outputs, affine=True), nn.ReLU()
    )


class UNet(nn.Module):
    """A U-Net (Ronneberger et al., 2015), one convolution a level, the first level at half the image's size.

    Args:
        outputs: channels, without a nonlinearity.
        width: channels at the first level, doubled by each of the others up to eight times.
        levels: halvings of the size below the first level.
        whole: whether outputs have the size of the image, by a sub-pixel convolution (Shi et al., 2016), or
            half of it.
    """

    def __init__(self, *, outputs: int, width: int, levels: int, whole: bool) -> None:
        super().__init__()
        widths = [width * min(8, 2**level) for level in range(levels + 1)]
        self.down = nn.ModuleList([_block(3, width, 2)])
        self.down.extend(_block(a, b, 2) for a, b in pairwise(widths))
        self.up = nn.ModuleList(_block(a + b, a) for a, b in pairwise(widths))
        self.head = (
            nn.Sequential(nn.Conv2d(width, 4 * outputs, 3, 1, 1), nn.PixelShuffle(2))
            if whole
            else nn.Conv2d(width, outputs, 1)
        )

    def forward(self, images: Tensor) -> Tensor:
        """(batch, 3, h, w) RGB in [0, 1] to (batch, outputs, h, w), or half the size."""
        features, kept = images * 2 - 1, []
        for block in self.down:
            features = block(features)
            kept.append(features)
        for block, skipped in zip(reversed(self.up), reversed(kept[:-1]), strict=True):
            larger = functional.interpolate(features, skipped.shape[-2:], mode="nearest")
            features = block(torch.cat([skipped, larger], 1))
        return self.head(features)
