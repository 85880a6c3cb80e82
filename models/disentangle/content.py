"""The content encoder E_c, which is ATVGnet's audio encoder. Embeddings are non-negative.

Source: EVP (Ji et al., CVPR 2021), section 3.2, after Chen et al., CVPR 2019; layer sizes as released.
"""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor, nn

from models.disentangle.emotion import convolution, features_of


class ContentEncoder(nn.Module):
    """MFCC window -> content embedding. The defaults are the paper's sizes."""

    def __init__(self, *, width: int = 64, hidden: int = 2048, dim: int = 256) -> None:
        super().__init__()
        self.dim = dim
        self.features = nn.Sequential(
            convolution(1, width),
            convolution(width, 2 * width),
            nn.MaxPool2d(3, stride=(1, 2)),
            convolution(2 * width, 4 * width),
            convolution(4 * width, 4 * width),
            convolution(4 * width, 8 * width),
            nn.MaxPool2d(3, stride=(2, 2)),
        )
        self.embedding = nn.Sequential(
            nn.Linear(8 * width * 24, hidden),
            nn.ReLU(inplace=True),
            nn.Linear(hidden, dim),
            nn.ReLU(inplace=True),
        )

    def forward(self, windows: Float[Tensor, "batch 1 28 12"]) -> Float[Tensor, "batch dim"]:
        return self.embedding(features_of(self.features, windows))
