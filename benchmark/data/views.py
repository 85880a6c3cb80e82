"""What the stages of a method see of a corpus: the subject's training and validation clips, no test clip."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from benchmark.data.corpus import Corpus, CorpusError, Split
from benchmark.data.synthetic.readings import readings
from models.types import Clip, Transcribed


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
