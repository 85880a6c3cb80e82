"""The renderer's opponents: is this frame real under its edge map, and do these frames move like real ones.

Patch discriminators at several scales, as vid2vid's. Batch norm always uses the batch's own
statistics; a discriminator is never used outside training.
"""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional

Verdict = list[list[Tensor]]
"""Per scale, the activations of each layer; the last one is the map of scores."""


class PatchDiscriminator(nn.Module):
    """Five convolutions of kernel 4: three of stride 2, two of stride 1."""

    def __init__(self, inputs: int, width: int) -> None:
        super().__init__()
        widths = [width, 2 * width, 4 * width, 8 * width]
        layers = [nn.Sequential(nn.Conv2d(inputs, width, 4, 2, 2), nn.LeakyReLU(0.2))]
        for previous, wide, stride in zip(widths[:-1], widths[1:], (2, 2, 1), strict=True):
            conv = nn.Conv2d(previous, wide, 4, stride, 2)
            norm = nn.BatchNorm2d(wide, track_running_stats=False)
            layers.append(nn.Sequential(conv, norm, nn.LeakyReLU(0.2)))
        layers.append(nn.Sequential(nn.Conv2d(widths[-1], 1, 4, 1, 2)))
        self.layers = nn.ModuleList(layers)

    def forward(self, images: Tensor) -> list[Tensor]:
        activations = []
        for layer in self.layers:
            images = layer(images)
            activations.append(images)
        return activations


class MultiScaleDiscriminator(nn.Module):
    """The same discriminator, with its own weights, on the images and on halved copies of them.

    Args:
        inputs: channels judged together: an edge map and its frame, or consecutive frames and flows.
        width: channels of the first layer, at every scale. The paper's is 64.
        scales: how many sizes are judged. vid2vid's default is 2.
    """

    def __init__(self, *, inputs: int, width: int = 64, scales: int = 2) -> None:
        super().__init__()
        self.scales = nn.ModuleList(PatchDiscriminator(inputs, width) for _ in range(scales))

    def forward(self, images: Tensor) -> Verdict:
        """Judge (batch, inputs, h, w)."""
        verdict = []
        for scale in self.scales:
            verdict.append(scale(images))
            images = functional.avg_pool2d(images, 3, 2, 1, count_include_pad=False)
        return verdict
