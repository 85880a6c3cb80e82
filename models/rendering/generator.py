"""The generator, as vid2vid's (Wang et al., 2018): edge maps and past frames in, the next frame out.

It draws an image, and moves the previous frame along a flow, and mixes the two by a weight per pixel.

Normalisation uses the statistics of the image itself. vid2vid says batch norm, but trains and runs it with
one image per batch and never in eval mode, which is this.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from models.rendering.warping import warp

HISTORY = 2
"""Previous frames the generator sees; with their edge maps and the present one it sees three maps."""


@dataclass(frozen=True)
class Rendering:
    """A generated frame and what it was made of; frames are RGB in [0, 1]."""

    frame: Tensor
    """(batch, 3, h, w) the mixture."""
    drawn: Tensor
    """(batch, 3, h, w) the image head's own drawing."""
    moved: Tensor
    """(batch, 3, h, w) the previous frame along the flow."""
    flow: Tensor
    """(batch, 2, h, w) in pixels."""
    mask: Tensor
    """(batch, 1, h, w) the share of `drawn`."""


def _conv(inputs: int, outputs: int, kernel: int) -> list[nn.Module]:
    return [nn.ReflectionPad2d(kernel // 2), nn.Conv2d(inputs, outputs, kernel)]


def _norm(width: int) -> nn.Module:
    return nn.InstanceNorm2d(width, affine=True)


class ResidualBlock(nn.Module):
    """x + conv(relu(conv(x))), normalised after each convolution."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            *_conv(width, width, 3), _norm(width), nn.ReLU(), *_conv(width, width, 3), _norm(width)
        )

    def forward(self, x: Tensor) -> Tensor:
        return x + self.body(x)


class _Encoder(nn.Sequential):
    """Images down to features of `downsamplings` times half the size and twice the width."""

    def __init__(self, inputs: int, width: int, downsamplings: int, blocks: int, kernel: int) -> None:
        layers = [*_conv(inputs, width, kernel), _norm(width), nn.ReLU()]
        for level in range(downsamplings):
            wide = width * 2**level
            layers += [nn.Conv2d(wide, 2 * wide, 3, stride=2, padding=1), _norm(2 * wide), nn.ReLU()]
        layers += [ResidualBlock(width * 2**downsamplings) for _ in range(blocks)]
        super().__init__(*layers)


class _Decoder(nn.Sequential):
    """Features back up to the full size, `width` channels."""

    def __init__(self, width: int, downsamplings: int, blocks: int) -> None:
        layers: list[nn.Module] = [ResidualBlock(width * 2**downsamplings) for _ in range(blocks)]
        for level in reversed(range(downsamplings)):
            wide = width * 2**level
            layers += [
                nn.ConvTranspose2d(2 * wide, wide, 3, stride=2, padding=1, output_padding=1),
                _norm(wide),
                nn.ReLU(),
            ]
        super().__init__(*layers)


class Generator(nn.Module):
    """vid2vid's composite generator.

    Args:
        condition_channels: of one edge map.
        width: channels at full size; doubled by each downsampling. The paper's is 128.
        downsamplings: halvings of the size before the residual blocks. The paper's is 3.
        encoder_blocks, decoder_blocks: residual blocks of each branch and of each head. The paper's: 5, 4.
        kernel: of the first and the last convolutions. The paper's is 7.
        flow_reach: pixels that a flow head's output of 1 means. The paper's is 20, at 512 pixels.
    """

    def __init__(
        self,
        *,
        condition_channels: int,
        width: int = 128,
        downsamplings: int = 3,
        encoder_blocks: int = 5,
        decoder_blocks: int = 4,
        kernel: int = 7,
        flow_reach: float = 20.0,
    ) -> None:
        super().__init__()
        self.flow_reach = flow_reach
        self.multiple = 2**downsamplings
        encoder = (width, downsamplings, encoder_blocks, kernel)
        self.encode_conditions = _Encoder((HISTORY + 1) * condition_channels, *encoder)
        self.encode_history = _Encoder(HISTORY * 3, *encoder)
        self.decode_image = _Decoder(width, downsamplings, decoder_blocks)
        self.decode_flow = _Decoder(width, downsamplings, decoder_blocks)
        self.image = nn.Sequential(*_conv(width, 3, kernel), nn.Tanh())
        self.flow = nn.Sequential(*_conv(width, 2, kernel))
        self.mask = nn.Sequential(*_conv(width, 1, kernel), nn.Sigmoid())

    def forward(self, conditions: Tensor, history: Tensor) -> Rendering:
        """Draw the frame that the last of three edge maps describes.

        Args:
            conditions: (batch, 3, channels, h, w) in [0, 1], of the two previous frames and of this one.
            history: (batch, 2, 3, h, w) RGB in [0, 1], the two previous frames, the latest last.
        """
        features = self.encode_conditions(conditions.flatten(1, 2))
        features = features + self.encode_history(history.flatten(1, 2) * 2 - 1)
        drawn = (self.image(self.decode_image(features)) + 1) / 2
        motion = self.decode_flow(features)
        flow, mask = self.flow(motion) * self.flow_reach, self.mask(motion)
        moved = warp(history[:, -1], flow)
        return Rendering(mask * drawn + (1 - mask) * moved, drawn, moved, flow, mask)


def initialise(module: nn.Module, generator: torch.Generator) -> None:
    """vid2vid's initialisation: weights N(0, 0.02), scales N(1, 0.02), biases 0."""
    for part in module.modules():
        if isinstance(part, nn.Conv2d | nn.ConvTranspose2d):
            nn.init.normal_(part.weight, 0.0, 0.02, generator=generator)
        elif isinstance(part, nn.InstanceNorm2d | nn.BatchNorm2d):
            nn.init.normal_(part.weight, 1.0, 0.02, generator=generator)
        else:
            continue
        if part.bias is not None:
            nn.init.zeros_(part.bias)
