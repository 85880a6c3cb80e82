"""The decoder D: content and emotion embeddings -> MFCC window, in the units of the MFCC up to +-90.

Source: EVP (Ji et al., CVPR 2021), section 3.2; layer sizes as released.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn

from models.normalisation import BatchNorm2d

OUTPUT_RANGE = 90.0
"""Largest coefficient that can be decoded; normal speech stays within."""


class Decoder(nn.Module):
    """Embeddings -> MFCC window. The defaults are the paper's; `width` is that of the last hidden layer."""

    def __init__(self, *, content_dim: int = 256, emotion_dim: int = 128, width: int = 32) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            *_upsampling(content_dim + emotion_dim, 8 * width, kernel=(6, 6), stride=(2, 2), padding=(1, 1)),
            *_upsampling(8 * width, 4 * width, kernel=(4, 2), stride=(2, 2), padding=(1, 1)),
            *_upsampling(4 * width, 2 * width, kernel=(4, 4), stride=(2, 2), padding=(1, 1)),
            *_upsampling(2 * width, width, kernel=(4, 3), stride=(2, 1), padding=(3, 1)),
            nn.ConvTranspose2d(width, 1, 3, padding=1),
        )

    def forward(
        self, content: Float[Tensor, "batch content"], emotion: Float[Tensor, "batch emotion"]
    ) -> Float[Tensor, "batch 1 28 12"]:
        code = torch.cat([content, emotion], 1)[:, :, None, None]
        return OUTPUT_RANGE * torch.tanh(self.layers(code))


def _upsampling(
    inputs: int, outputs: int, *, kernel: tuple[int, int], stride: tuple[int, int], padding: tuple[int, int]
) -> tuple[nn.Module, ...]:
    return (
        nn.ConvTranspose2d(inputs, outputs, kernel, stride=stride, padding=padding),
        BatchNorm2d(outputs),
        nn.ReLU(inplace=True),
    )
