"""What a whole suite is about: the corpus, its split, the items, and their identities."""

from __future__ import annotations

import platform
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

from benchmark.arguments import check_arguments
from benchmark.config import Settings, instantiate
from benchmark.data.corpus import Corpus, CorpusError, Split, split_corpus
from benchmark.data.items import Item, build_items, clips_to_prepare, film
from benchmark.data.views import SubjectData
from benchmark.data.warped import prepare_warped
from benchmark.errors import ConfigError
from benchmark.probing import probe_clips
from benchmark.training.stage_cache import digest_of
from models.types import Clip


@dataclass(frozen=True)
class StudyConfig:
    """The resolved configuration of a study; a plain value, so that worker processes can be handed it."""

    data: Mapping[str, Any]
    face: Mapping[str, Any]
    split: Mapping[str, Any]
    film: Mapping[str, Any]
    items: Mapping[str, Any]
    metrics: Mapping[str, Any]
    device: str
    pretraining: Mapping[str, Any] | None = None
    """The corpus that content encoders are pre-trained on, if there is one."""
    probes: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def of(cls, settings: Settings) -> StudyConfig:
        return cls(
            settings.data,
            settings.face,
            settings.split,
            settings.film,
            settings.items,
            settings.metrics,
            settings.device,
            settings.pretraining,
            settings.probes,
        )


class Study:
    """A study made real: nothing is prepared or read until it is asked for."""

    def __init__(self, config: StudyConfig) -> None:
        self.config = config

    @cached_property
    def corpus(self) -> Corpus:
        corpus = instantiate(self.config.data, "data")
        if self.config.face.get("_target_"):
            corpus = instantiate(self.config.face, "face", corpus=corpus)
        if not isinstance(corpus, Corpus):
            raise ConfigError(f"data._target_: {type(corpus).__name__} is not a corpus")
        if not corpus.has_landmarks:
            raise CorpusError(
                f"{corpus.name} is speech without faces: expected video, or phone times to move a face with; "
                "add face=parametric (data=emodb and data=ravdess) or choose another corpus"
            )
        return corpus

    @property
    def filmed(self) -> bool:
        """Whether frames are asked for, and there."""
        return self.corpus.has_frames and bool(self.config.items.get("filmed", True))

    @cached_property
    def split(self) -> Split:
        whole = _called("split", split_corpus, self.corpus, **self.config.split)
        if not self.filmed:
            return whole
        return _called("film", film, whole, **self.config.film)

    @cached_property
    def items(self) -> tuple[Item, ...]:
        return _called("items", build_items, self.corpus, self.split, **self.config.items)

    @cached_property
    def data(self) -> SubjectData:
        return SubjectData(self.corpus, self.split, lambda: self.pretraining)

    @cached_property
    def pretraining(self) -> Corpus | None:
        """The corpus that content encoders are pre-trained on."""
        if self.config.pretraining is None:
            return None
        corpus = instantiate(self.config.pretraining, "pretraining.corpus")
        if not isinstance(corpus, Corpus):
            raise ConfigError(f"pretraining.corpus._target_: {type(corpus).__name__} is not a corpus")
        return corpus

    @cached_property
    def clips(self) -> tuple[Clip, ...]:
        asked = clips_to_prepare(self.split, self.items)
        known = {clip.id for clip in asked}
        probed = {c.id: c for c in (*self.probe_clips, *self.split.test)} if self.probe_clips else {}
        return (*asked, *(replace(c, filmed=False) for i, c in probed.items() if i not in known))

    @cached_property
    def probe_clips(self) -> tuple[Clip, ...]:
        """What embeddings are probed with; none on a corpus that doesn't know what it says when."""
        if not self.config.probes:
            return ()
        return probe_clips(self.corpus, self.split, **self.config.probes)

    def prepare(self, clip: Clip) -> None:
        """Make the folder of one of `clips`; a warped truth's after those that it is made of.

        Raises:
            CorpusError: naming the clip, if its media cannot be used.
        """
        item = self._warped.get(clip.id)
        if item is None:
            return self.corpus.prepare(clip, frames=clip.filmed)
        for part in (item.audio, item.target):
            self.corpus.prepare(part, frames=part.filmed)
        prepare_warped(clip, item.audio, item.target)

    @cached_property
    def _warped(self) -> dict[str, Item]:
        return {item.truth.id: item for item in self.items if item.warped}

    @property
    def judged(self) -> bool:
        """Whether an emotion judge has others to train on, and the subject's neutral face."""
        emotions = self.data.emotions
        shown = {clip.emotion for clip in self.split.judge_train}
        neutral = any(clip.emotion == "neutral" for clip in self.split.train)
        return len(emotions) >= 2 and neutral and set(emotions) <= shown

    @property
    def listens(self) -> bool:
        """Whether a sync judge has others to train on, and is wanted."""
        return bool(self.split.judge_train) and self.config.metrics["sync_steps"] > 0

    # Identities: what a stage's bits depend on

    @cached_property
    def corpus_id(self) -> str:
        return self.corpus.identity()

    @cached_property
    def training_id(self) -> str:
        split = self.split
        parts = {name: [[c.id, c.filmed] for c in getattr(split, name)] for name in ("train", "validation")}
        return digest_of({"corpus": self.corpus_id, "emotions": list(self.data.emotions), **parts})

    @cached_property
    def pretraining_id(self) -> str:
        if self.pretraining is None:
            raise ConfigError(
                "this method pre-trains on a corpus of its own, and none is configured: put pretraining=lrw "
                "on the command line"
            )
        return self.pretraining.identity()

    @cached_property
    def judge_id(self) -> str:
        clips = [c.id for c in (*self.split.judge_train, *self.split.train)]
        return digest_of({"corpus": self.corpus_id, "emotions": list(self.data.emotions), "clips": clips})

    @cached_property
    def probe_id(self) -> str:
        clips = [[clip.id for clip in part] for part in (self.probe_clips, self.split.test)]
        return digest_of({"corpus": self.corpus_id, "clips": clips, "probes": dict(self.config.probes)})

    @cached_property
    def items_id(self) -> str:
        asked = [
            [i.id, i.audio.id, i.emotion.id, i.target.id, i.target.filmed, i.truth.id, i.truth.filmed]
            for i in self.items
        ]
        return digest_of({"corpus": self.corpus_id, "items": asked})


def _called(key: str, function: Any, *args: Any, **kwargs: Any) -> Any:
    check_arguments(function, kwargs, key)
    for name, value in kwargs.items():
        if isinstance(value, int) and value < 0:
            raise ConfigError(f"{key}.{name}: expected 0 or more, got {value}")
    try:
        return function(*args, **kwargs)
    except TypeError as error:
        raise ConfigError(f"{key}: {error}") from error


def numerics_fingerprint(device: str) -> str:
    """Whatever decides the bits of floating-point results, in words: equal words, equal bits."""
    import numpy as np
    import torch

    parts = [
        f"torch {torch.__version__}",
        f"numpy {np.__version__}",
        f"{platform.machine()} {torch.backends.cpu.get_cpu_capability()}",
        "1 thread",
        f"mkldnn {torch.backends.mkldnn.is_available()}",
        device,
    ]
    if device.startswith("cuda"):
        parts.append(torch.cuda.get_device_name(device))
    return ", ".join(parts)
