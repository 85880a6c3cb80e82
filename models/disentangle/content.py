"""The content encoder E_c, which is ATVGnet's audio encoder. Embeddings are non-negative.

`LogitContentEncoder` takes its place where what is said is heard in DeepSpeech logits.

Source: EVP (Ji et al., CVPR 2021), section 3.2, after Chen et al., CVPR 2019; layer sizes as released. The
encoder of logits follows Neural Voice Puppetry (Thies et al., ECCV 2020).
"""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor, nn

from models.audio.transcripts import NUM_LABELS
from models.disentangle.emotion import convolution, features_of
from models.normalisation import BatchNorm2d


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


class LogitContentEncoder(nn.Module):
    """Window of 16 frames of logits -> content embedding, with the interface of `ContentEncoder`.

    The 29 labels have no order, so they are channels; four convolutions of three frames halve the time to one
    frame, over 4, 4, 8 and 8 times `width` channels: at a width of 8 those of Neural Voice Puppetry. It lacks
    the batch norm, which here takes logits of any recogniser.
    """

    def __init__(self, *, width: int = 64, hidden: int = 2048, dim: int = 256) -> None:
        super().__init__()
        self.dim = dim
        channels = (NUM_LABELS, 4 * width, 4 * width, 8 * width, 8 * width)
        slopes = (0.02, 0.02, 0.2, 0.2)
        self.features = nn.Sequential(
            *(
                nn.Sequential(
                    nn.Conv2d(a, b, (3, 1), stride=(2, 1), padding=(1, 0), bias=False),
                    BatchNorm2d(b),
                    nn.LeakyReLU(slope, inplace=True),
                )
                for a, b, slope in zip(channels, channels[1:], slopes, strict=False)
            )
        )
        self.embedding = nn.Sequential(
            nn.Linear(8 * width, hidden),
            nn.ReLU(inplace=True),
            nn.Linear(hidden, dim),
            nn.ReLU(inplace=True),
        )

    def forward(self, windows: Float[Tensor, "batch 1 16 29"]) -> Float[Tensor, "batch dim"]:
        return self.embedding(self.features(windows.transpose(1, 3)).flatten(1))


CONTENT_ENCODERS: dict[str, type[ContentEncoder] | type[LogitContentEncoder]] = {
    "mfcc": ContentEncoder,
    "deepspeech": LogitContentEncoder,
}
"""By what they hear."""


def content_encoder(hears: str, *, width: int, hidden: int, dim: int) -> ContentEncoder | LogitContentEncoder:
    """
    Raises:
        ValueError: there is no encoder for such features.
    """
    require_known_features(hears)
    return CONTENT_ENCODERS[hears](width=width, hidden=hidden, dim=dim)


def require_known_features(hears: str) -> None:
    if hears not in CONTENT_ENCODERS:
        raise ValueError(f"unknown features {hears!r}: expected {' or '.join(CONTENT_ENCODERS)}")
