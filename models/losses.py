"""Loss terms of the audio side as functions. Their weights are configuration."""

from __future__ import annotations

from collections.abc import Callable

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional as F

Distance = Callable[[Tensor, Tensor], Tensor]


def mean_l1(predicted: Float[Tensor, "batch ..."], target: Float[Tensor, "batch ..."]) -> Float[Tensor, ""]:
    """Mean absolute error, the released reconstruction distance."""
    return F.l1_loss(predicted, target)


def mean_squared(
    predicted: Float[Tensor, "batch ..."], target: Float[Tensor, "batch ..."]
) -> Float[Tensor, ""]:
    return F.mse_loss(predicted, target)


def l2_norm(predicted: Float[Tensor, "batch ..."], target: Float[Tensor, "batch ..."]) -> Float[Tensor, ""]:
    """Euclidean norm of each example's error, averaged over the batch: the distance of the paper's text."""
    return torch.linalg.vector_norm((predicted - target).flatten(1), dim=1).mean()


DISTANCES: dict[str, Distance] = {"l1": mean_l1, "mse": mean_squared, "l2": l2_norm}


def distance_named(name: str) -> Distance:
    """The distance that a configuration names.

    Raises:
        ValueError: there is none of this name.
    """
    if name not in DISTANCES:
        raise ValueError(f"unknown distance {name!r}: expected one of {', '.join(DISTANCES)}")
    return DISTANCES[name]


def velocity_error(
    predicted: Float[Tensor, "batch time values"], target: Float[Tensor, "batch time values"]
) -> Float[Tensor, ""]:
    """Mean squared error of the change between consecutive frames."""
    return F.mse_loss(predicted.diff(dim=1), target.diff(dim=1))


def triplet(
    embeddings: Float[Tensor, "examples dim"], labels: Int[Tensor, " examples"], margin: float = 1.0
) -> Float[Tensor, ""]:
    """How far an example of another label is from lying `margin` further away than one of the same label.

    The hinge on Euclidean distances, averaged over all triplets (anchor, same label, other label) that the
    examples make; 0 where they make none. The margin is that of earlier versions of the EVP code.
    """
    distance = torch.cdist(embeddings, embeddings, compute_mode="donot_use_mm_for_euclid_dist")
    same = labels[:, None] == labels
    positive = same & ~torch.eye(len(labels), dtype=torch.bool, device=labels.device)
    valid = positive[:, :, None] & ~same[:, None, :]
    hinge = (margin + distance[:, :, None] - distance[:, None, :]).clamp(min=0)
    return (hinge * valid).sum() / valid.sum().clamp(min=1)


def require_known_terms(weights: dict[str, float], terms: tuple[str, ...]) -> None:
    """Refuse a weight for a loss term that does not exist.

    Raises:
        ValueError: naming the unknown terms and the known ones.
    """
    unknown = sorted(set(weights) - set(terms))
    if unknown:
        raise ValueError(f"unknown loss terms {', '.join(unknown)}: expected some of {', '.join(terms)}")
