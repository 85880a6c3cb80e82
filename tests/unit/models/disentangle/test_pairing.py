"""That every reconstruction puts the right content and emotion together, checked with networks that tell.

A window of this world holds the index of its content and its emotion, and the stubs pass them on, so that a
reconstruction says where its content, its emotion and its emotion's sentence came from. The checker must
also reject the wiring of the released source, which gets all of it wrong.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from models.audio.pairs import Pairs
from models.disentangle.cross import CrossReconstruction, Grid, PaperReconstruction, Sampling

CONTENTS, EMOTIONS, BATCH = 400, 5, 32
CONTENT, EMOTION, SOURCE = 0, 1, 2
"""Where a window, or a reconstruction, holds each of its facts."""
SAMPLINGS = [
    sampling(content_pairs=pairs, classified=classified)
    for sampling in (CrossReconstruction, PaperReconstruction)
    for pairs in (1, 2)
    for classified in ("sources", "all")
]
every_sampling = pytest.mark.parametrize(
    "sampling", SAMPLINGS, ids=lambda s: f"{type(s).__name__}-{s.content_pairs}-{s.classified}"
)


def telling_pairs(present: np.ndarray | None = None) -> Pairs:
    """Every content is 28 rows of its own, and every row holds content and emotion."""
    rows = torch.zeros(CONTENTS * 28, EMOTIONS, 12)
    rows[..., CONTENT] = (torch.arange(CONTENTS).repeat_interleave(28))[:, None]
    rows[..., EMOTION] = torch.arange(EMOTIONS)
    starts = 28 * np.arange(CONTENTS)
    present = np.ones((CONTENTS, EMOTIONS), bool) if present is None else present
    return Pairs(rows, starts, np.zeros(CONTENTS, int), present)


def facts(windows: Tensor) -> Tensor:
    """(batch, 2) content and emotion of windows (batch, 1, 28, 12)."""
    assert windows.shape[1:] == (1, 28, 12)
    return windows[:, 0, 0, :2]


def telling_model() -> Any:
    """E_c passes on the content, E_e the emotion and its sentence, D puts them into a window."""

    def decode(content: Tensor, emotion: Tensor) -> Tensor:
        rebuilt = torch.zeros(len(content), 1, 28, 12)
        rebuilt[..., CONTENT] = content[:, 0, None, None]
        rebuilt[..., EMOTION] = emotion[:, EMOTION, None, None]
        rebuilt[..., SOURCE] = emotion[:, CONTENT, None, None]
        # Of which emotion the window is that the content was taken from.
        rebuilt[..., 3] = content[:, 1, None, None]
        return rebuilt

    return SimpleNamespace(
        content=facts,
        decoder=decode,
        emotion=SimpleNamespace(
            encoder=facts,
            head=lambda codes: 50.0 * F.one_hot(codes[:, EMOTION].long(), EMOTIONS),
        ),
    )


def faults(sampling: Sampling, pairs: Pairs | None = None, order: tuple[int, ...] | None = None) -> list[str]:
    """What is wrong with how a sampling pairs windows, in this order; nothing for one that is right."""
    pairs = telling_pairs() if pairs is None else pairs
    grid = sampling.draw(pairs, BATCH, np.random.default_rng(0))
    if order is not None:
        grid = Grid(grid.windows[list(order)], grid.content, grid.emotion)
    compared: list[tuple[Tensor, Tensor]] = []

    def distance(predicted: Tensor, target: Tensor) -> Tensor:
        compared.append((predicted[:, 0, 0], target[:, 0, 0]))
        return (predicted - target)[..., :2].abs().mean()

    terms = sampling.terms(telling_model(), grid, distance, 0.0)
    found = []
    if len(compared) != 4:
        found.append(f"{len(compared)} reconstructions, expected 4")
    for number, (rebuilt, target) in enumerate(compared, 1):
        for name, fact in (("content", CONTENT), ("emotion", EMOTION)):
            if not torch.equal(rebuilt[:, fact], target[:, fact]):
                found.append(f"reconstruction {number}: wrong {name}")
    # A target that counts under "cross" is one that neither window shows.
    for name in ("cross_recon", "self_recon"):
        if float(terms[name]) != 0:
            found.append(f"{name} is not zero where content and emotion are put together perfectly")
    if float(terms["emotion_class"]) > 1e-3:
        found.append("classes: labels of the other emotion")
    # E_c passes on the emotion too: matched windows differ by it and by nothing else.
    content_gap = float(terms["content_match"])
    if abs(content_gap - _emotion_gap(grid, sampling)) > 1e-4:
        found.append("content: different contents are matched")
    return found


def _emotion_gap(grid: Grid, sampling: Sampling) -> float:
    """The L1 distance of pairs that differ in emotion only, each pair once."""
    a, b = grid.emotion.min(0).values, grid.emotion.max(0).values
    return sampling.content_pairs * float((b - a).float().mean() / 2)


class ReleasedWiring(Sampling):
    """The released source: the loader of one version of the code with the loss of another.

    The loader gives (c1, a), (c1, b), (c2, a), (c3, b). The loss takes the first for content A, the second
    for emotion A, the third for emotion B and the fourth for content B.
    """

    def draw(self, pairs: Pairs, batch: int, rng: np.random.Generator) -> Grid:
        drawn = CrossReconstruction().draw(pairs, batch, rng)
        order = [0, 3, 1, 2]
        return Grid(drawn.windows[order], drawn.content[order], drawn.emotion[order])

    def terms(self, model: Any, grid: Grid, distance: Any, label_smoothing: float) -> Mapping[str, Tensor]:
        first, second, third, fourth = grid.windows
        content_a, content_b = model.content(first), model.content(fourth)
        emotion_a, emotion_b = model.emotion.encoder(second), model.emotion.encoder(third)
        terms = [
            distance(model.decoder(content_a, emotion_a), first),
            distance(model.decoder(content_a, emotion_b), second),
            distance(model.decoder(content_b, emotion_a), second),
            distance(model.decoder(content_b, emotion_b), first),
        ]
        a, b = grid.emotion[0], grid.emotion[1]
        return {
            "cross_recon": terms[1] + terms[2],
            "self_recon": terms[0] + terms[3],
            "emotion_class": F.cross_entropy(model.emotion.head(emotion_a), a)
            + F.cross_entropy(model.emotion.head(emotion_b), b),
            "content_match": F.l1_loss(content_a, content_b),
        }


@every_sampling
def test_reconstructions_pair_content_and_emotion_with_their_target(sampling: Sampling) -> None:
    assert faults(sampling) == []


@every_sampling
def test_nothing_is_drawn_that_was_not_spoken(sampling: Sampling) -> None:
    present = np.random.default_rng(1).random((CONTENTS, EMOTIONS)) < 0.6
    present[:, :2] |= ~(present.sum(1) >= 2)[:, None]
    pairs = telling_pairs(present)
    assert faults(sampling, pairs) == []
    grid = sampling.draw(pairs, BATCH, np.random.default_rng(2))
    assert present[grid.content.numpy(), grid.emotion.numpy()].all()
    assert torch.equal(facts(grid.windows.flatten(0, 1))[:, EMOTION], grid.emotion.flatten().float())
    assert torch.equal(facts(grid.windows.flatten(0, 1))[:, CONTENT], grid.content.flatten().float())


def test_the_released_wiring_is_rejected() -> None:
    found = faults(ReleasedWiring())
    for expected in (
        "reconstruction 1: wrong emotion",
        "reconstruction 2: wrong emotion",
        "reconstruction 3: wrong content",
        "reconstruction 4: wrong content",
        "classes: labels of the other emotion",
        "content: different contents are matched",
    ):
        assert expected in found


@pytest.mark.parametrize("swap", [(0, 1), (0, 2), (0, 3), (1, 2), (1, 3), (2, 3)])
@pytest.mark.parametrize("kind", [CrossReconstruction, PaperReconstruction])
def test_any_two_windows_swapped_are_rejected(kind: type[Sampling], swap: tuple[int, int]) -> None:
    order = [0, 1, 2, 3]
    order[swap[0]], order[swap[1]] = swap[1], swap[0]
    assert faults(kind(), order=tuple(order))


@pytest.mark.parametrize("kind", [CrossReconstruction, PaperReconstruction])
def test_where_emotion_codes_come_from(kind: type[Sampling]) -> None:
    """As released, always from another sentence; in the paper, a window also rebuilds itself."""
    sampling = kind()
    grid = sampling.draw(telling_pairs(), BATCH, np.random.default_rng(0))
    compared = []

    def distance(predicted: Tensor, target: Tensor) -> Tensor:
        own = (predicted[:, 0, 0, SOURCE] == target[:, 0, 0, CONTENT]).float().mean()
        crossed = (predicted[:, 0, 0, 3] != target[:, 0, 0, EMOTION]).float().mean()
        compared.append((float(own), float(crossed)))
        return predicted.sum()

    sampling.terms(telling_model(), grid, distance, 0.0)
    own, crossed = zip(*compared, strict=True)
    assert crossed == (1, 1, 0, 0), "the content comes from the other emotion in the two cross terms only"
    if kind is CrossReconstruction:
        assert max(own) < 0.1
    else:
        assert max(own[:2]) < 0.1
        assert own[2:] == (1, 1)


def test_all_windows_can_be_classified() -> None:
    """With chance logits, cross-entropy tells how many windows count: two by their weight either way."""
    model = telling_model()
    model.emotion.head = lambda codes: torch.zeros(len(codes), EMOTIONS)
    for sampling in SAMPLINGS:
        grid = sampling.draw(telling_pairs(), BATCH, np.random.default_rng(0))
        value = sampling.terms(model, grid, F.l1_loss, 0.0)["emotion_class"]
        assert float(value) == pytest.approx(2 * np.log(EMOTIONS), rel=1e-5)


@pytest.mark.parametrize("kind", [CrossReconstruction, PaperReconstruction])
def test_who_is_classified(kind: type[Sampling]) -> None:
    heard: list[int] = []
    model = telling_model()
    head = model.emotion.head
    model.emotion.head = lambda codes: (heard.append(len(codes) // BATCH), head(codes))[1]
    for classified in ("sources", "all"):
        sampling = kind(classified=classified)
        grid = sampling.draw(telling_pairs(), BATCH, np.random.default_rng(0))
        sampling.terms(model, grid, F.l1_loss, 0.0)
    assert heard == [2, 4]
