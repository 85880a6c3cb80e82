"""Our step of the disentanglement, each window encoded once, against one that works as the release does."""

from __future__ import annotations

import copy

import pytest
import torch

from models import initialise
from models.disentangle.cross import CrossReconstruction, Disentangler, DisentanglerSizes, Grid, measured
from models.losses import distance_named
from tests.parity.released_step import released_step

BATCH, EMOTIONS = 16, 8


@pytest.fixture
def model() -> Disentangler:
    model = DisentanglerSizes(width=4, hidden=32, content_dim=24, emotion_dim=12, decoder_width=4).build(
        EMOTIONS
    )
    initialise.kaiming(model, torch.Generator().manual_seed(0))
    initialise.normal(model.decoder.layers[-1], torch.Generator().manual_seed(1))
    return model.double().train()


@pytest.fixture
def grid() -> Grid:
    random = torch.Generator().manual_seed(2)
    windows = 25 * torch.randn(4, BATCH, 1, 28, 12, generator=random, dtype=torch.float64)
    # Roles that differ in level and spread: normalised together they would give other losses.
    windows = windows * torch.tensor([1.0, 0.5, 2.0, 1.2]).reshape(4, 1, 1, 1, 1)
    first = torch.randint(EMOTIONS, (BATCH,), generator=random)
    second = (first + torch.randint(1, EMOTIONS, (BATCH,), generator=random)) % EMOTIONS
    content = torch.arange(BATCH)
    return Grid(
        windows,
        torch.stack([content, content + BATCH, content + 2 * BATCH, content]),
        torch.stack([first, first, second, second]),
    )


def test_losses_and_gradients_are_the_same(model: Disentangler, grid: Grid) -> None:
    other = copy.deepcopy(model)
    ours = measured(CrossReconstruction(), model, grid, distance_named("l1"), label_smoothing=0.0)
    expected = released_step(other, grid.windows, grid.emotion[0], grid.emotion[2])
    assert set(expected) == set(ours) - {"triplet"}
    for name, term in expected.items():
        torch.testing.assert_close(ours[name], term, rtol=1e-10, atol=0, msg=name)
    for terms in (ours, expected):
        torch.stack([terms[name] for name in expected]).sum().backward()
    for (name, first), second in zip(model.named_parameters(), other.parameters(), strict=True):
        torch.testing.assert_close(first.grad, second.grad, rtol=1e-7, atol=1e-11, msg=name)


def test_normalising_all_roles_together_is_another_model(model: Disentangler, grid: Grid) -> None:
    together = CrossReconstruction().terms(model, grid, distance_named("l1"), 0.0)
    expected = released_step(model, grid.windows, grid.emotion[0], grid.emotion[2])
    assert together["content_match"].item() != pytest.approx(expected["content_match"].item(), rel=1e-2)
