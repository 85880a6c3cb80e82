"""What the stages of a method see of a corpus: the subject's training and validation clips, no test clip."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, fields
from typing import Any

import numpy as np

from benchmark.data.corpus import Corpus, CorpusError, Split
from benchmark.data.synthetic.readings import readings
from models.errors import StageError
from models.method import TrainingData
from models.types import LABELS, Clip, Transcribed


@dataclass(frozen=True)
class SubjectData:
    """`models.method.TrainingData` of one split."""

    corpus: Corpus
    split: Split
    pretrained_on: Callable[[], Corpus | None] = lambda: None
    """The corpus that content encoders are pre-trained on, if there is one."""

    @property
    def emotions(self) -> tuple[str, ...]:
        """Only those the subject's training clips show: a label nobody shows cannot be learned."""
        shown = {clip.emotion for clip in self.split.train}
        return tuple(e for e in self.corpus.emotions if e in shown)

    @property
    def train(self) -> tuple[Clip, ...]:
        return self.split.train

    @property
    def validation(self) -> tuple[Clip, ...]:
        return self.split.validation

    def heads(self) -> np.ndarray:
        return self.corpus.heads()

    def pretraining(self) -> Iterator[Clip]:
        corpus = self.pretrained_on()
        if corpus is None:
            raise CorpusError("no corpus to pre-train on: put pretraining=lrw on the command line")
        for clip in corpus.clips():
            corpus.prepare(clip, frames=False)
            yield clip

    def transcribed(self, count: int) -> Iterator[Transcribed]:
        """Generated speech, whatever the corpus: none has transcripts of its own that would be enough."""
        return readings(count)


@dataclass(frozen=True)
class DeclaredData:
    """Training data of which a stage can read what it declares in `Stage.reads`, and nothing else.

    A stage's identity holds only what it declares, so anything else that it read could change its result
    under the same identity.
    """

    data: TrainingData
    stage: str
    """Name of the stage, for messages."""
    reads: Sequence[str]

    @property
    def emotions(self) -> tuple[str, ...]:
        self._require("emotion")
        return self.data.emotions

    @property
    def train(self) -> tuple[Clip, ...]:
        return self._declared(self.data.train)

    @property
    def validation(self) -> tuple[Clip, ...]:
        return self._declared(self.data.validation)

    def heads(self) -> np.ndarray:
        self._require("heads")
        return self.data.heads()

    def pretraining(self) -> Iterator[Clip]:
        self._require("pretraining")
        return self.data.pretraining()

    def transcribed(self, count: int) -> Iterator[Transcribed]:
        self._require("transcribed")
        return self.data.transcribed(count)

    def _require(self, part: str) -> None:
        if part not in self.reads:
            raise undeclared(self.stage, part)

    def _declared(self, clips: Sequence[Clip]) -> tuple[Clip, ...]:
        hidden = {name: name for name in LABELS if name not in self.reads}
        if "frames" not in self.reads:
            hidden["filmed"] = "frames"
        return tuple(DeclaredClip.of(clip, self.stage, hidden) for clip in clips)


@dataclass(frozen=True, eq=False, repr=False)
class DeclaredClip(Clip):
    """A clip that refuses to tell what a stage does not declare to read.

    Clips of one id and folder are equal: comparing them reads no label.
    """

    stage: str = ""
    hidden: dict[str, str] = field(default_factory=dict)
    """What must be declared, by name of the attribute."""

    @classmethod
    def of(cls, clip: Clip, stage: str, hidden: dict[str, str]) -> DeclaredClip:
        known = {each.name: getattr(clip, each.name) for each in fields(Clip)}
        return cls(**known, stage=stage, hidden=hidden)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Clip) and (self.id, self.directory) == (other.id, other.directory)

    def __hash__(self) -> int:
        return hash((self.id, self.directory))

    def __repr__(self) -> str:
        return f"DeclaredClip({self.id!r}, stage={self.stage!r})"

    def __getattribute__(self, name: str) -> Any:
        if name in LABELS or name == "filmed":
            hidden = object.__getattribute__(self, "hidden")
            if name in hidden:
                raise undeclared(object.__getattribute__(self, "stage"), hidden[name])
        return object.__getattribute__(self, name)

    def load(self, modality: str) -> np.ndarray:
        if modality == "frames" and not self.filmed:
            raise FileNotFoundError(f"clip {self.id} is not filmed in this study: it has no frames")
        return super().load(modality)


def undeclared(stage: str, part: str) -> StageError:
    """Return the error of a stage that reads a part of its data that is not in its identity."""
    return StageError(
        f"stage {stage} reads {part} of its training data, but does not declare it: add {part!r} to its "
        "`reads`, so that its identity follows it"
    )
