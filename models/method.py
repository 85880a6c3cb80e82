"""What the harness and a method know of each other.

A *Method* is a set of named *Stages* and a predictor built from what they left behind. A Stage is a pure
function of (its configuration, the training data, its upstream stages, the seed) into a folder. Most
stages train: they describe a *Training* (players, batches, validation) and hand it to `StageRun.fit`, the
one training loop there is, which also checkpoints, resumes and selects by validation.

The harness creates a method from its YAML: `_target_` names the class, every key that names a stage holds
that stage's own `_target_` and numbers. A stage's identity is the hash of that subtree, so two ablations
share each stage that neither touches.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Protocol

import numpy as np
import torch
from torch import Tensor, nn

from models.targets import configurable
from models.types import LABELS, Clip, Prediction, Request, Transcribed


class TrainingData(Protocol):
    """What a stage may see of a corpus. Test clips are not in it."""

    @property
    def emotions(self) -> tuple[str, ...]:
        """Labels in their fixed order; empty for a corpus without emotion labels."""
        ...

    @property
    def train(self) -> tuple[Clip, ...]:
        """Training clips of the subject that the models are made for."""
        ...

    @property
    def validation(self) -> tuple[Clip, ...]:
        """Clips of the same subject and other sentences, for selection."""
        ...

    def heads(self) -> np.ndarray:
        """(people, examples, 68, 3) float32 3D landmarks: many heads, each with many expressions.

        For a linear face model. Heads look ahead, and a person's skull stays where it is in all examples;
        x right, y down, z towards the viewer, in units of the 256 crop at rest.
        """
        ...

    def pretraining(self) -> Iterator[Clip]:
        """Clips of strangers from a corpus of its own, prepared one by one, for pre-training on video.

        Raises:
            InputError: there is no such corpus; the message says where it was expected.
        """
        ...

    def transcribed(self, count: int) -> Iterator[Transcribed]:
        """`count` utterances with what they say, for a speech recogniser: by strangers, of other sentences.

        They are made when they are asked for, the same ones at every call, in English.
        """
        ...


@dataclass(frozen=True)
class Player:
    """One side of a training: what it optimises, and the loss it minimises.

    `loss` maps a batch to named terms; the player's objective is their sum weighted by `weights`. A term
    without a weight counts 1; a term with weight 0 is measured without gradient and logged.
    """

    name: str
    optimizer: torch.optim.Optimizer
    loss: Callable[[Any], Mapping[str, Tensor]]
    weights: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Training:
    """A training, described. Players move in order on the same batch at every step."""

    modules: Mapping[str, nn.Module]
    """Everything whose state belongs to the checkpoint, by name."""
    players: Sequence[Player]
    batch: Callable[[np.random.Generator], Any]
    """Draws one batch. The generator is derived from (seed, stage, step), so step k sees the same batch
    whether or not the run was interrupted, and in the full model as in its ablations."""
    steps: int
    validate: Callable[[], Mapping[str, float]] | None = None
    """Named validation values, lower is better; called with modules in eval mode and without gradient."""
    validate_every: int = 0
    """Steps between validations; the last step always validates when `validate` is given."""
    select_by: str | None = None
    """The validation value whose minimum picks the final weights; None keeps the last ones."""
    name: str | None = None
    """What its random streams are derived from in a stage that trains several times. None: its number. With a
    name, a training sees the same batches whether or not another comes before it."""

    def purpose(self, stage: str, number: int) -> tuple[str, str]:
        """What its random streams are derived from, as the stage's `number`-th training."""
        return (stage, self.name or f"fit {number}")


class StageRun(Protocol):
    """What the harness lends to a running stage."""

    directory: Path
    """Where the stage leaves its files. It becomes visible to others only when the stage is complete."""
    device: torch.device

    def generator(self, *purpose: str) -> np.random.Generator:
        """A generator derived from (seed, purpose): the same in every ablation of one seed."""
        ...

    def torch_generator(self, *purpose: str) -> torch.Generator: ...

    def fit(self, training: Training) -> None:
        """Train to the end, resuming from a checkpoint; modules end with the selected weights."""
        ...

    def progress(self, done: int, total: int) -> None: ...

    def log(self, **values: float | int | str) -> None:
        """Append one row to the stage's log, which W&B mirrors."""
        ...


READABLE = (*LABELS, "frames", "heads", "transcribed", "pretraining")
"""What a stage may read of its training data besides clips' ids, sounds and landmarks."""


@configurable
class Stage(ABC):
    """One step of a method. Constructed from its YAML subtree with keyword-only arguments."""

    version: ClassVar[int] = 1
    """Raise it whenever the same configuration now computes something else."""
    upstream: tuple[str, ...] = ()
    """Names of the stages of the same method whose folders this one reads."""
    seeded: bool = True
    """False for a stage that draws nothing at random: it is then shared by all seeds."""
    reads: tuple[str, ...] = (*LABELS, "frames", "heads", "transcribed")
    """What the stage reads of `TrainingData` besides clips' ids, sounds and landmarks, some of `READABLE`.

    Its identity holds these parts and no other, and reading another one raises a StageError. "emotion" stands
    for `TrainingData.emotions` too. The default is all but the corpus for pre-training.
    """
    own_seed: int | None = None
    """A seed in place of the study's, for a stage that draws at random and is yet shared by all seeds."""

    @property
    def outside(self) -> tuple[str, ...]:
        """Paths of the user's files and folders that the stage reads: its identity follows what they hold."""
        return ()

    @abstractmethod
    def run(self, data: TrainingData, inputs: Mapping[str, Path], run: StageRun) -> None:
        """Compute, and leave the results in `run.directory`."""


Predictor = Callable[[Request], Prediction]
Embedder = Callable[[Clip], Mapping[str, np.ndarray]]
"""Clip -> (frames, dim) float32 embeddings of its speech by name, one row for each video frame: "content" is
what should hold what is said, "emotion" what should hold how it is felt. It reads the clip's sound alone."""


@configurable
class Method(ABC):
    """A talking-face method as the harness sees it."""

    sees_truth: ClassVar[bool] = False
    """True only for ceilings, which are handed the answer."""

    needs_emotions: ClassVar[bool] = False
    """True for a method that cannot be trained on a corpus without emotion labels."""

    @abstractmethod
    def stages(self) -> Mapping[str, Stage]:
        """Stages by name, each under the name of the YAML key it came from; upstream before downstream."""

    @abstractmethod
    def predictor(self, data: TrainingData, inputs: Mapping[str, Path], device: torch.device) -> Predictor:
        """Load what the stages left in `inputs` and return the function that answers requests.

        It must be deterministic: the same request gets the same bits.
        """

    embedding_keys: tuple[str, ...] | None = None
    """Keys of the method's own configuration, besides its stages', that `embedder` depends on; None: any."""

    @property
    def embedding_stages(self) -> tuple[str, ...]:
        """The stages that `embedder` reads; empty for a method that embeds nothing."""
        return ()

    def embedder(self, inputs: Mapping[str, Path], device: torch.device) -> Embedder:
        """Load what `embedding_stages` left in `inputs`, and return the function that embeds speech.

        Deterministic, as `predictor`. Only for a method whose `embedding_stages` are not empty.
        """
        raise NotImplementedError(f"{type(self).__name__} has no embeddings")
