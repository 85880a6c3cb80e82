"""Batches that pass together come out as if each had passed alone."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from models.disentangle.content import ContentEncoder
from models.disentangle.decoder import Decoder
from models.normalisation import BatchNorm2d, batches_of
from models.optimisation import refresh_batch_norm


def encoder() -> ContentEncoder:
    torch.manual_seed(0)
    return ContentEncoder(width=4, hidden=16, dim=8).double()


@pytest.fixture
def batches() -> Tensor:
    random = torch.Generator().manual_seed(1)
    spread = torch.tensor([1.0, 20.0, 5.0]).reshape(3, 1, 1, 1, 1)
    return torch.randn(3, 6, 1, 28, 12, generator=random).double() * spread + spread


def test_outputs_gradients_and_running_statistics_are_those_of_separate_calls(batches: Tensor) -> None:
    apart, one = encoder(), encoder()
    expected = torch.cat([apart(batch) for batch in batches])
    with batches_of(6, one):
        got = one(batches.flatten(0, 1))
    torch.testing.assert_close(got, expected)
    random = torch.randn(expected.shape, generator=torch.Generator().manual_seed(2)).double()
    for out in (expected, got):
        (out * random).sum().backward()
    for (name, first), second in zip(apart.named_parameters(), one.parameters(), strict=True):
        torch.testing.assert_close(first.grad, second.grad, msg=name)
    for name, first in apart.state_dict().items():
        torch.testing.assert_close(first, one.state_dict()[name], msg=name)


def test_it_is_another_model_than_one_batch_of_all(batches: Tensor) -> None:
    model = encoder()
    with batches_of(6, model):
        apart = model(batches.flatten(0, 1))
    assert (model(batches.flatten(0, 1)) - apart).abs().max() > 0.1


def test_in_eval_mode_and_afterwards_nothing_is_different(batches: Tensor) -> None:
    model = encoder().eval()
    plain = model(batches.flatten(0, 1))
    with batches_of(6, model):
        assert torch.equal(model(batches.flatten(0, 1)), plain)
    with pytest.raises(RuntimeError, match="on purpose"), batches_of(6, model):
        raise RuntimeError("on purpose")
    assert all(part.size is None for part in model.modules() if isinstance(part, BatchNorm2d))


def test_refreshed_statistics_are_the_mean_over_the_batches(batches: Tensor) -> None:
    norm = BatchNorm2d(1).double()

    def forward() -> None:
        with batches_of(6, norm):
            norm(batches.flatten(0, 1))

    refresh_batch_norm(norm, [forward])
    assert norm.running_mean is not None
    assert norm.running_var is not None
    torch.testing.assert_close(norm.running_mean, batches.mean((1, 3, 4)).mean(0))
    torch.testing.assert_close(norm.running_var, batches.flatten(1).var(1).mean()[None])


def test_every_batch_norm_of_the_audio_networks_can_be_told() -> None:
    for network in (encoder(), Decoder(content_dim=8, emotion_dim=4, width=4)):
        norms = [part for part in network.modules() if isinstance(part, nn.BatchNorm2d)]
        assert norms
        assert all(isinstance(norm, BatchNorm2d) for norm in norms)
