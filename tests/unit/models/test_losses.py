"""Loss terms against their formulas written out."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch

from models.losses import triplet


@pytest.mark.parametrize("margin", [0.3, 1.0])
def test_triplet_is_the_mean_hinge_over_all_triplets(margin: float) -> None:
    rng = np.random.default_rng(0)
    points, labels = rng.normal(size=(9, 4)), rng.integers(3, size=9)
    hinges = [
        max(0.0, margin + np.linalg.norm(points[a] - points[p]) - np.linalg.norm(points[a] - points[n]))
        for a, p, n in itertools.permutations(range(9), 3)
        if labels[a] == labels[p] != labels[n]
    ]
    value = triplet(torch.from_numpy(points), torch.from_numpy(labels), margin)
    assert float(value) == pytest.approx(np.mean(hinges), rel=1e-9)


def test_triplet_of_separated_labels_is_zero_and_so_is_that_of_none() -> None:
    labels = torch.tensor([0, 0, 1, 1])
    assert float(triplet(torch.tensor([[0.0], [1], [10], [11]]), labels)) == 0
    assert float(triplet(torch.rand(3, 2), torch.zeros(3, dtype=torch.long))) == 0
    assert float(triplet(torch.rand(3, 2), torch.arange(3))) == 0


def test_triplet_gradients_are_finite_where_embeddings_coincide() -> None:
    points = torch.zeros(4, 3, requires_grad=True)
    triplet(points, torch.tensor([0, 0, 1, 1])).backward()
    assert points.grad is not None
    assert torch.isfinite(points.grad).all()
