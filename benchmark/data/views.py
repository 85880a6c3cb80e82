"""What the stages of a method see of a corpus: the subject's training and validation clips, no test clip."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from benchmark.data.corpus import Corpus, Split
from models.types import Clip


@dataclass(frozen=True)
class SubjectData:
    """`models.method.TrainingData` of one split."""

    corpus: Corpus
    split: Split

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
