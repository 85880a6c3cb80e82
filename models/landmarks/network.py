"""The audio-to-landmark network: content, emotion and identity -> landmark PCA coefficients per frame.

Source: EVP (Ji et al., CVPR 2021), section 3.3; layer sizes as released.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn

from models.disentangle.content import content_encoder
from models.disentangle.emotion import EmotionEncoder
from models.landmarks.pca import NUM_COMPONENTS

HEADS = ("linear", "mlp")


@dataclass(frozen=True)
class AudioToLandmarksSizes:
    """Everything that decides the shapes of the network; the defaults are the paper's."""

    width: int = 64
    hidden: int = 2048
    content_dim: int = 256
    emotion_dim: int = 128
    identity_hidden: int = 256
    identity_dim: int = 512
    lstm_hidden: int = 256
    lstm_layers: int = 3
    num_components: int = NUM_COMPONENTS
    head: str = "linear"
    """After the LSTM: one "linear" layer, as released, or the paper's two-layer "mlp", whose hidden size it
    does not give: here that of the LSTM."""
    hears: str = "mfcc"
    """What the content encoder hears: "mfcc", as in EVP, or "deepspeech"."""

    def as_dict(self) -> dict[str, int | str]:
        return asdict(self)


class AudioToLandmarks(nn.Module):
    """MFCC windows -> landmark PCA coefficients. Encoders see single windows, the LSTM the sequence.

    Args:
        dropout: share of the content and emotion embeddings that is set to zero in training; 0 as released.
    """

    def __init__(self, sizes: AudioToLandmarksSizes, *, dropout: float = 0.0) -> None:
        super().__init__()
        audio = {"width": sizes.width, "hidden": sizes.hidden}
        self.sizes = sizes
        self.content = content_encoder(sizes.hears, **audio, dim=sizes.content_dim)
        self.emotion = EmotionEncoder(**audio, dim=sizes.emotion_dim)
        self.identity = nn.Sequential(
            nn.Linear(sizes.num_components, sizes.identity_hidden),
            nn.ReLU(inplace=True),
            nn.Linear(sizes.identity_hidden, sizes.identity_dim),
            nn.ReLU(inplace=True),
        )
        self.dropout = nn.Dropout(dropout)
        inputs = sizes.identity_dim + sizes.content_dim + sizes.emotion_dim
        self.lstm = nn.LSTM(inputs, sizes.lstm_hidden, sizes.lstm_layers, batch_first=True)
        self.head = _head(sizes)

    def forward(
        self,
        content: Float[Tensor, "batch time content"],
        emotion: Float[Tensor, "batch time emotion"],
        example: Float[Tensor, "batch components"],
    ) -> Float[Tensor, "batch time components"]:
        """Coefficients of each frame: those of the example landmarks plus the predicted displacement."""
        identity = self.identity(example)[:, None].expand(-1, content.shape[1], -1)
        state, _ = self.lstm(torch.cat([identity, self.dropout(content), self.dropout(emotion)], 2))
        return self.head(state) + example[:, None]


def _head(sizes: AudioToLandmarksSizes) -> nn.Module:
    if sizes.head not in HEADS:
        raise ValueError(f"unknown head {sizes.head!r}: expected {' or '.join(HEADS)}")
    last = nn.Linear(sizes.lstm_hidden, sizes.num_components)
    if sizes.head == "linear":
        return last
    return nn.Sequential(nn.Linear(sizes.lstm_hidden, sizes.lstm_hidden), nn.ReLU(inplace=True), last)
