"""MobileNetV2's feature layers (Sandler et al., CVPR 2018), equal to torchvision's to the bit.

Torchvision takes 170 MB and several seconds to import, in every process that scores frames.
"""

from __future__ import annotations

from torch import Tensor, nn

FIRST, LAST = 32, 1280
BLOCKS = (
    (1, 16, 1, 1),
    (6, 24, 2, 2),
    (6, 32, 3, 2),
    (6, 64, 4, 2),
    (6, 96, 3, 1),
    (6, 160, 3, 2),
    (6, 320, 1, 1),
)
"""Expansion, channels, number of blocks, stride of the first of them: table 2 of the paper."""


def mobilenetv2_layers() -> nn.Sequential:
    """Its 19 feature layers, untrained: (n, 3, h, w) -> (n, 1280, h / 32, w / 32)."""
    layers: list[nn.Module] = [nn.Sequential(*_convolution(3, FIRST, size=3, stride=2))]
    channels = FIRST
    for expansion, out, count, stride in BLOCKS:
        for number in range(count):
            layers.append(InvertedResidual(channels, out, expansion, stride if number == 0 else 1))
            channels = out
    layers.append(nn.Sequential(*_convolution(channels, LAST, size=1)))
    return nn.Sequential(*layers)


class InvertedResidual(nn.Module):
    """Expand, filter each channel by itself, project; the input is added where the shape stays."""

    def __init__(self, channels: int, out: int, expansion: int, stride: int) -> None:
        super().__init__()
        wide = channels * expansion
        expand = _convolution(channels, wide, size=1) if expansion > 1 else []
        filtered = _convolution(wide, wide, size=3, stride=stride, groups=wide)
        project = [nn.Conv2d(wide, out, 1, bias=False), nn.BatchNorm2d(out)]
        self.layers = nn.Sequential(*expand, *filtered, *project)
        self.adds = stride == 1 and channels == out

    def forward(self, x: Tensor) -> Tensor:
        return x + self.layers(x) if self.adds else self.layers(x)


def _convolution(channels: int, out: int, *, size: int, stride: int = 1, groups: int = 1) -> list[nn.Module]:
    convolution = nn.Conv2d(channels, out, size, stride, size // 2, groups=groups, bias=False)
    return [convolution, nn.BatchNorm2d(out), nn.ReLU6(inplace=True)]
