"""One step of the disentanglement, written as the release works: a call of every network for each use.

Contents c1, c2, c3 and emotions a, b give the windows x_1a, x_2a, x_3b and x_1b. Each of the four
reconstructions encodes its two windows anew; matching and classification take the first codes there are.
"""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional as F

from models.disentangle.cross import Disentangler


def released_step(
    model: Disentangler, windows: Tensor, emotion_a: Tensor, emotion_b: Tensor
) -> dict[str, Tensor]:
    """The terms of the loss from windows (4, batch, 1, 28, 12) and the classes of a and b."""
    x_1a, x_2a, x_3b, x_1b = windows

    def cross(content_of: Tensor, emotion_of: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        content, emotion = model.content(content_of), model.emotion.encoder(emotion_of)
        return model.decoder(content, emotion), content, emotion

    rebuilt_1, content_a, code_a = cross(x_1a, x_2a)
    rebuilt_2, _, code_b = cross(x_1a, x_3b)
    rebuilt_3, content_b, _ = cross(x_1b, x_2a)
    rebuilt_4, _, _ = cross(x_1b, x_3b)
    return {
        "self_recon": (rebuilt_1 - x_1a).abs().mean() + (rebuilt_4 - x_1b).abs().mean(),
        "cross_recon": (rebuilt_2 - x_1b).abs().mean() + (rebuilt_3 - x_1a).abs().mean(),
        "content_match": (content_a - content_b).abs().mean(),
        "emotion_class": F.cross_entropy(model.emotion.head(code_a), emotion_a)
        + F.cross_entropy(model.emotion.head(code_b), emotion_b),
    }
