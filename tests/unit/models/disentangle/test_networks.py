"""What the networks give at any width; their paper sizes are in tests/contracts/test_paper_networks.py."""

from __future__ import annotations

import pytest
import torch

from models.disentangle.content import ContentEncoder
from models.disentangle.decoder import OUTPUT_RANGE, Decoder
from models.disentangle.emotion import EmotionEncoder


@pytest.mark.parametrize(("width", "hidden"), [(4, 16), (16, 256)])
def test_embeddings_are_non_negative(width: int, hidden: int) -> None:
    x = torch.randn(3, 1, 28, 12, generator=torch.Generator().manual_seed(0)) * 30
    for encoder, dim in (
        (ContentEncoder(width=width, hidden=hidden, dim=20), 20),
        (EmotionEncoder(width=width, hidden=hidden, dim=9), 9),
    ):
        embedding = encoder(x)
        assert embedding.shape == (3, dim)
        assert (embedding >= 0).all()


def test_decoder_gives_windows_within_its_range() -> None:
    out = Decoder(content_dim=6, emotion_dim=5, width=4)(torch.randn(2, 6) * 9, torch.randn(2, 5) * 9)
    assert out.shape == (2, 1, 28, 12)
    assert out.abs().max() <= OUTPUT_RANGE
