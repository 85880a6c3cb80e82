"""What can be read from an embedding of one factor: probes, silhouette, mutual information gap.

A disentangled pair of embeddings says what is said in one and how it is felt in the other, and neither says
both. Everything here is computed from (units, dim) embeddings and the units' known factors. Units come in
groups (sentences): a probe is always read on groups that it wasn't trained on.

Intervals are over groups. Every value comes with its jackknife pseudo-values, one for each group, whose mean
is the value; they enter the intervals of the tables as the scores of clips do.

Sources: linear probes after Alain and Bengio (2017); the mutual information gap (MIG) after Chen et al.
(NeurIPS 2018), its information between a histogram of each dimension and a discrete factor as in Locatello
et al. (ICML 2019); information that a probe can use after Xu et al. (ICLR 2020); silhouettes after Rousseeuw
(1987).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np
from scipy.optimize import minimize_scalar
from scipy.special import logsumexp
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import pairwise_distances
from sklearn.neighbors import NearestNeighbors

Probe = Literal["linear", "neighbours"]
PROBES: tuple[Probe, ...] = ("linear", "neighbours")
FOLDS = 4
REGULARISATION = 1.0
"""Inverse strength C of the linear probe's L2 penalty, for embeddings whose mean squared norm is 1."""
ITERATIONS = 200
REACH = 4.0
NEIGHBOURS = 5
BINS = 20
"""Equal bins between the least and the greatest value of a dimension, as in Locatello et al."""


@dataclass(frozen=True)
class Readout:
    """What a probe says of units that it wasn't trained on."""

    classes: tuple[str, ...]
    labels: np.ndarray
    """(units,) index of the true class."""
    probabilities: np.ndarray
    """(units, classes), under equally frequent classes."""
    groups: np.ndarray
    """(units,) names."""

    @property
    def chance(self) -> float:
        return 1 / len(self.classes)

    def balanced_accuracy(self, chosen: np.ndarray | None = None) -> float:
        """Mean share of right answers over the classes of the chosen units; all units by default."""
        right = self.probabilities.argmax(1) == self.labels
        return self._mean_over_classes(right.astype(float), chosen)

    def information(self, chosen: np.ndarray | None = None) -> float:
        """Share of the factor's entropy that the probe takes away, classes equally frequent.

        1 minus the cross-entropy over log(classes): a lower bound of the normalised mutual information. A
        probe of few units is too sure of itself, so its log-probabilities are scaled by the one factor that
        fits all the answers best; that of a probe that knows nothing is 0.
        """
        surprise = self._surprise(self._confidence)
        return 1 - self._mean_over_classes(surprise, chosen) / np.log(len(self.classes))

    @cached_property
    def _confidence(self) -> float:
        def cross_entropy(scale: float) -> float:
            return self._mean_over_classes(self._surprise(scale), None)

        return minimize_scalar(cross_entropy, bounds=(0.0, 20.0), method="bounded").x  # type: ignore[attr-defined]

    def _surprise(self, scale: float) -> np.ndarray:
        """(units,) -log of the true class's probability, log-probabilities multiplied by `scale`."""
        logits = scale * np.log(np.maximum(self.probabilities, 1e-12))
        own = logits[np.arange(len(self.labels)), self.labels]
        return logsumexp(logits, axis=1) - own

    def _mean_over_classes(self, values: np.ndarray, chosen: np.ndarray | None) -> float:
        kept = slice(None) if chosen is None else chosen
        labels, values = self.labels[kept], values[kept]
        counts = np.bincount(labels, minlength=len(self.classes))
        sums = np.bincount(labels, values, minlength=len(self.classes))
        return float((sums[counts > 0] / counts[counts > 0]).mean())


def held_out_folds(groups: np.ndarray, folds: int = FOLDS) -> np.ndarray:
    """(units,) the fold that each unit is read in: every group in one fold, folds of about equal groups.

    Raises:
        ValueError: fewer than two groups, so that nothing can be held out.
    """
    names, index = np.unique(groups, return_inverse=True)
    if len(names) < 2:
        raise ValueError(f"a probe needs two groups or more to hold one out, got {len(names)}")
    return index % min(folds, len(names))


def held_out_classes(labels: np.ndarray, folds: np.ndarray) -> list[str]:
    """The classes that occur in two folds or more, sorted."""
    return [str(c) for c in np.unique(labels) if len(np.unique(folds[labels == c])) > 1]


def read_out(
    embedding: np.ndarray,
    labels: Sequence[str] | np.ndarray,
    groups: Sequence[str] | np.ndarray,
    *,
    probe: Probe = "linear",
    folds: int = FOLDS,
    classes: Sequence[str] | None = None,
) -> Readout:
    """Train a probe on all folds but one and read it on that one, for each.

    The linear probe is a logistic regression with an L2 penalty, classes weighted alike; the other takes the
    vote of the nearest neighbours, each worth one over its class's frequency. Both see standardised
    dimensions. Nothing is tuned.

    Args:
        embedding: (units, dim), finite.
        labels, groups: of each unit.
        classes: which are read; None takes those that occur in two folds or more, as others cannot be held
            out.

    Raises:
        ValueError: sizes differ, values are not finite, or fewer than two classes or groups are left.
    """
    features, names, units = np.asarray(embedding, np.float64), np.asarray(labels), np.asarray(groups)
    if features.ndim != 2 or not len(features) == len(names) == len(units):
        raise ValueError(
            f"expected (units, dim) with a label and a group each, got {features.shape}, "
            f"{len(names)} labels, {len(units)} groups"
        )
    if not np.isfinite(features).all():
        raise ValueError("expected a finite embedding; its network has diverged")
    if probe not in PROBES:
        raise ValueError(f"unknown probe {probe!r}: expected one of {', '.join(PROBES)}")
    fold = held_out_folds(units, folds)
    classes = sorted(classes or held_out_classes(names, fold))
    if len(classes) < 2:
        raise ValueError(f"a probe needs two classes that occur in two folds or more, got {len(classes)}")
    kept = np.isin(names, classes)
    features, units, fold = features[kept], units[kept], fold[kept]
    index = np.searchsorted(classes, names[kept])
    probabilities = np.zeros((len(index), len(classes)))
    fit = _linear if probe == "linear" else _neighbours
    for held_out in np.unique(fold):
        inside = fold == held_out
        train, test = _standardised(features[~inside], features[inside])
        probabilities[inside] = fit(train, index[~inside], test, len(classes))
    return Readout(tuple(classes), index, probabilities, units)


def _standardised(train: np.ndarray, test: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """By the training units' moments, to a mean squared norm of 1; constant dimensions are left out.

    Values are cut off at `REACH` deviations: a dimension that hardly moved in training and does so in another
    sentence would outweigh all others.
    """
    mean, scale = train.mean(0), train.std(0)
    alive = scale > 1e-9 * np.maximum(np.abs(mean), 1e-9)
    if not alive.any():
        return np.zeros((len(train), 1)), np.zeros((len(test), 1))
    mean, scale = mean[alive], scale[alive]
    unit = np.sqrt(alive.sum())
    first, second = (np.clip((x[:, alive] - mean) / scale, -REACH, REACH) / unit for x in (train, test))
    return first, second


def _linear(train: np.ndarray, labels: np.ndarray, test: np.ndarray, classes: int) -> np.ndarray:
    known = np.unique(labels)
    if len(known) == 1:
        return np.tile(np.arange(classes) == known[0], (len(test), 1)).astype(float)
    model = LogisticRegression(
        C=REGULARISATION, class_weight="balanced", max_iter=ITERATIONS, tol=1e-3, solver="lbfgs"
    ).fit(train.astype(np.float32), labels)
    found = np.zeros((len(test), classes))
    found[:, model.classes_] = model.predict_proba(test.astype(np.float32))
    return found


def _neighbours(train: np.ndarray, labels: np.ndarray, test: np.ndarray, classes: int) -> np.ndarray:
    count = min(NEIGHBOURS, len(train))
    near = NearestNeighbors(n_neighbors=count, algorithm="brute").fit(train.astype(np.float32))
    neighbours = labels[near.kneighbors(test.astype(np.float32), return_distance=False)]
    worth = 1 / np.maximum(np.bincount(labels, minlength=classes), 1)
    votes = np.zeros((len(test), classes))
    np.add.at(votes, (np.arange(len(test))[:, None], neighbours), worth[neighbours])
    return votes / votes.sum(1, keepdims=True)


def jackknife(statistic: Callable[[np.ndarray], float], groups: np.ndarray) -> dict[str, float]:
    """Pseudo-values of a statistic by group; their mean is the statistic of all units.

    Args:
        statistic: of the units that a (units,) boolean mask chooses.
    """
    names = np.unique(groups)
    whole = statistic(np.ones(len(groups), bool))
    if len(names) < 2:
        return {str(name): whole for name in names}
    without = np.array([statistic(groups != name) for name in names])
    pseudo = whole + (len(names) - 1) * (without.mean() - without)
    return {str(name): float(value) for name, value in zip(names, pseudo, strict=True)}


def silhouette(embedding: np.ndarray, labels: np.ndarray, groups: np.ndarray) -> dict[str, float]:
    """Jackknife pseudo-values of the mean silhouette of the classes, -1 to 1; dimensions standardised.

    Every class counts alike. A unit alone in its class has silhouette 0.
    """
    features, _ = _standardised(np.asarray(embedding, np.float64), np.asarray(embedding, np.float64))
    distances = pairwise_distances(features.astype(np.float32)).astype(np.float64)
    _, index = np.unique(np.asarray(labels), return_inverse=True)
    one_hot = np.eye(index.max() + 1)[index]

    def mean(chosen: np.ndarray) -> float:
        values = _silhouettes(distances[np.ix_(chosen, chosen)], one_hot[chosen])
        counts = one_hot[chosen].sum(0)
        sums = one_hot[chosen].T @ values
        return float((sums[counts > 0] / counts[counts > 0]).mean())

    return jackknife(mean, np.asarray(groups))


def _silhouettes(distances: np.ndarray, one_hot: np.ndarray) -> np.ndarray:
    """(units,) (b - a) / max(a, b): a to the own class, b to the nearest other one, mean distances."""
    counts, own = one_hot.sum(0), one_hot.astype(bool)
    sums = distances @ one_hot
    members = counts - one_hot
    means = np.full(sums.shape, np.inf)
    np.divide(sums, members, out=means, where=members > 0)
    inside, outside = np.where(own, means, 0).sum(1), np.where(own, np.inf, means).min(1)
    alone = (one_hot @ counts) < 2
    inside = np.where(alone, 0.0, inside)
    scale = np.maximum(inside, outside)
    known = ~alone & np.isfinite(outside) & (scale > 0)
    return np.where(known, (outside - inside) / np.where(known, scale, 1.0), 0.0)


def dimension_information(codes: np.ndarray, labels: np.ndarray, groups: np.ndarray) -> _Counts:
    """Joint histograms of every dimension with the labels, group by group, for `mutual_information_gap`."""
    codes = np.asarray(codes, np.float64)
    low, high = codes.min(0), codes.max(0)
    width = np.where(high > low, high - low, 1.0)
    bins = np.minimum((BINS * (codes - low) / width).astype(np.int64), BINS - 1)
    classes, index = np.unique(np.asarray(labels), return_inverse=True)
    names, group = np.unique(np.asarray(groups), return_inverse=True)
    cells = BINS * len(classes)
    counts = np.zeros((len(names), codes.shape[1], cells))
    for dimension in range(codes.shape[1]):
        place = (group * BINS + bins[:, dimension]) * len(classes) + index
        counts[:, dimension] = np.bincount(place, minlength=len(names) * cells).reshape(len(names), cells)
    return _Counts(counts.reshape(len(names), codes.shape[1], BINS, len(classes)), np.asarray(groups))


@dataclass(frozen=True)
class _Counts:
    joint: np.ndarray
    """(groups, dim, bins, classes)"""
    groups: np.ndarray
    """(units,) names."""

    def information(self, chosen: np.ndarray) -> np.ndarray:
        """(dim,) mutual information of each dimension with the factor over the factor's entropy."""
        kept = np.isin(np.unique(self.groups), self.groups[chosen])
        joint = self.joint[kept].sum(0)
        joint = joint / joint[0].sum()
        entropy = _entropy(joint[0].sum(0))
        if entropy == 0:
            return np.zeros(len(joint))
        binned = _entropy(joint.sum(2))
        return (binned + entropy - _entropy(joint.reshape(len(joint), -1))) / entropy


def _entropy(shares: np.ndarray) -> np.ndarray:
    """In nats, over the last axis."""
    return -(shares * np.log(np.where(shares > 0, shares, 1.0))).sum(-1)


def mutual_information_gap(codes: np.ndarray, labels: np.ndarray, groups: np.ndarray) -> dict[str, float]:
    """Jackknife pseudo-values of MIG for one factor: how far its best dimension is ahead of the second.

    The gap between the two largest mutual informations of single dimensions with the factor, over its
    entropy: 1 where one dimension knows everything and no other knows anything.

    Args:
        codes: (units, dim) every dimension of every embedding.
    """
    counts = dimension_information(codes, labels, groups)

    def gap(chosen: np.ndarray) -> float:
        ordered = np.sort(counts.information(chosen))
        return float(ordered[-1] - ordered[-2]) if len(ordered) > 1 else float(ordered[-1])

    return jackknife(gap, counts.groups)


def block_gap(home: Readout, others: Sequence[Readout]) -> dict[str, float]:
    """Jackknife pseudo-values of MIG's gap between whole embeddings, of the same units.

    The information about a factor in the embedding that should hold it, less the most that another one
    holds; see `Readout.information`.
    """

    def gap(chosen: np.ndarray) -> float:
        return home.information(chosen) - max(other.information(chosen) for other in others)

    return jackknife(gap, home.groups)
