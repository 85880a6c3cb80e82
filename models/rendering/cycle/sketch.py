"""Learned sketch cycle (after CycleGAN, Zhu et al., 2017): a network draws the condition from the picture."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from models.method import Player, StageRun, Training
from models.optimisation import adam
from models.rendering.cycle.losses import Cycle, Drawn, freeze, guarded
from models.rendering.cycle.networks import UNet
from models.rendering.generator import HISTORY, initialise
from models.rendering.sequences import FaceSequence, unit

SCORED_FRAMES = 32
"""Real frames that the sketcher's own score is taken on."""


def sketch_distance(drawn: Tensor, wanted: Tensor) -> Tensor:
    """Logits (batch, channels, h, w) against a condition map in [0, 1].

    Edges by cross-entropy, in which the few pixels that have one weigh as much as all others together (20
    times at most); distance maps, of which the full condition has fourteen, by their mean L1 distances.
    """
    edges = 1 if wanted.shape[1] == 15 else wanted.shape[1]
    positive = wanted[:, :edges].sum((0, 2, 3))
    negative = wanted[:, :edges].numel() / edges - positive
    weight = (negative / positive.clamp(min=1e-6)).clamp(1, 20)
    loss = functional.binary_cross_entropy_with_logits(
        drawn[:, :edges], wanted[:, :edges], pos_weight=weight[:, None, None], reduction="none"
    )
    terms = loss.mean((0, 2, 3)).sum()
    if wanted.shape[1] > edges:
        away = (drawn[:, edges:].sigmoid() - wanted[:, edges:]).abs()
        terms = terms + away.mean((0, 2, 3)).sum()
    return terms


class SketchCycle(Cycle):
    """The condition, drawn back from the generated frame by a network that knows real frames only.

    Forward: condition -> frame -> condition. Backward: true frames -> their sketches as the network draws
    them -> the frame, which updates the generator. Each takes one frame a window, the last and the first. The
    network is trained on real pairs, seen as `guarded` shows them, and frozen.

    Args:
        weight: of the forward cycle.
        backward_weight: of the backward cycle, for which the generator draws another frame; 0 leaves it out.
        width, levels: of the network, see `UNet`.
        steps, batch, learning_rate: of its training.
        noise: deviation of what is added to pictures before the network sees them.
    """

    def __init__(
        self,
        *,
        weight: float = 2.0,
        backward_weight: float = 5.0,
        begin: float = 0.0,
        ramp: float = 0.2,
        width: int = 32,
        levels: int = 4,
        steps: int,
        batch: int = 8,
        learning_rate: float = 1e-3,
        noise: float = 0.02,
    ) -> None:
        super().__init__(begin=begin, ramp=ramp)
        self.weight, self.backward_weight = weight, backward_weight
        self.width, self.levels = width, levels
        self.steps, self.batch, self.learning_rate = steps, batch, learning_rate
        self.noise = noise
        self._sketcher: UNet | None = None

    @property
    def sketcher(self) -> UNet:
        """
        Raises:
            ValueError: it has not learned yet.
        """
        if self._sketcher is None:
            raise ValueError("the sketch cycle judges only after its network has learned: call learn first")
        return self._sketcher

    def learn(self, train: Sequence[FaceSequence], validation: Sequence[FaceSequence], run: StageRun) -> None:
        channels = train[0].conditions.shape[1]
        sketcher = UNet(outputs=channels, width=self.width, levels=self.levels, whole=True)
        initialise(sketcher, run.torch_generator("initialise", "sketcher"))
        sketcher.to(run.device)

        def batch(rng: np.random.Generator) -> tuple[Tensor, Tensor]:
            chosen = [train[k] for k in rng.integers(len(train), size=self.batch)]
            pairs = [(s.frames[t], s.conditions[t]) for s in chosen for t in [rng.integers(len(s.frames))]]
            frames, maps = (unit(np.stack(part)).to(run.device) for part in zip(*pairs, strict=True))
            return frames, maps

        def loss(pair: tuple[Tensor, Tensor]) -> dict[str, Tensor]:
            return {"sketch": sketch_distance(sketcher(guarded(pair[0], self.noise)), pair[1])}

        optimizer = adam(
            sketcher.parameters(), learning_rate=self.learning_rate, steps=self.steps, decay=True
        )
        run.fit(
            Training(
                name="sketcher",
                modules={"sketcher": sketcher},
                players=[Player("sketcher", optimizer, loss)],
                batch=batch,
                steps=self.steps,
            )
        )
        freeze(sketcher)
        self._sketcher = sketcher
        run.log(sketcher_on_real_frames=self._score(validation or train, run.device))

    @torch.no_grad()
    def _score(self, sequences: Sequence[FaceSequence], device: torch.device) -> float:
        """The sketch distance on real frames as they are: what a perfect generator would be charged."""
        total = sum(len(s.frames) for s in sequences)
        places = np.linspace(0, total - 1, min(SCORED_FRAMES, total)).astype(int)
        frames, maps = (
            unit(np.concatenate([getattr(s, name) for s in sequences])[places]).to(device)
            for name in ("frames", "conditions")
        )
        return float(sketch_distance(self.sketcher(frames), maps))

    def terms(self, drawn: Drawn) -> dict[str, Tensor]:
        windows = drawn.windows
        share = self.share(drawn.progress)
        wanted = windows.conditions[:, -1]
        seen = self.sketcher(guarded(drawn.frames[:, -1], self.noise))
        terms = {"cycle_sketch": self.weight * share * sketch_distance(seen, wanted)}
        if self.backward_weight:
            terms["cycle_sketch_backward"] = self.backward_weight * share * self._backward(drawn)
        return terms

    def _backward(self, drawn: Drawn) -> Tensor:
        """L1 distance to a true frame of what is drawn from its sketch after two true ones with theirs."""
        film = torch.cat([drawn.windows.before, drawn.windows.frames[:, :1]], 1)
        with torch.no_grad():
            maps = self.sketcher(guarded(film.flatten(0, 1), self.noise)).sigmoid()
        maps = maps.unflatten(0, (len(film), HISTORY + 1))
        return functional.l1_loss(drawn.generator(maps, film[:, :HISTORY]).frame, film[:, HISTORY])
