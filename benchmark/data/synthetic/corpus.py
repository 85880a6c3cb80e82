"""The embedded corpus's list of utterances, and their speech. `benchmark.data.parametric` gives them faces.

Shaped like MEAD: eight emotions, three intensities (neutral has one), sentences spoken in all emotions and
others spoken in about half of them. Everything about a clip follows from its id and the recipe, so a clip
can be made by itself, anywhere, with the same bits.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from functools import cached_property

import numpy as np

from benchmark.data.clip_store import corpus_folder, holds, publish
from benchmark.data.corpus import Corpus, CorpusError
from benchmark.data.synthetic.network import voice_identity
from benchmark.data.synthetic.sentences import SENTENCES, Sentence
from benchmark.data.synthetic.speech import SPEAKERS, Phone, SpeechSynthesizer
from benchmark.data.synthetic.visemes import MISAKI
from models.types import MEAD_EMOTIONS, Clip

VERSION = 2
"""Raised whenever the same recipe makes other speech."""


class SyntheticSpeech(Corpus):
    """Generated emotional speech with exact phone times and clocks, without faces.

    Args:
        cache: where prepared clips are kept, under the hash of the recipe.
        speakers: how many of `SPEAKERS`, in their order; the first is the default subject.
        emotions: which of MEAD's eight.
        intensities: which of 1, 2, 3; neutral is always intensity 1.
        shared: how many sentences are spoken in every emotion.
        others: how many are spoken in about half of the emotions.
        seed: of the takes' small variations.
    """

    name = "synthetic"
    description = "Embedded corpus: natural English speech, synthesised and edited to eight emotions."
    has_frames = False

    def __init__(
        self,
        *,
        cache: str,
        speakers: int = 4,
        emotions: Sequence[str] = MEAD_EMOTIONS,
        intensities: Sequence[int] = (1, 2, 3),
        shared: int = 13,
        others: int = 26,
        seed: int = 0,
    ) -> None:
        _check_range("data.corpus.speakers", speakers, 1, len(SPEAKERS))
        _check_range("data.corpus.shared", shared, 0, sum(s.shared for s in SENTENCES))
        _check_range("data.corpus.others", others, 0, sum(not s.shared for s in SENTENCES))
        unknown = set(emotions) - set(MEAD_EMOTIONS)
        if unknown:
            raise CorpusError(f"no emotion {sorted(unknown)[0]!r}; there are {', '.join(MEAD_EMOTIONS)}")
        if not set(intensities) <= {1, 2, 3}:
            raise CorpusError(f"data.corpus.intensities: expected some of 1, 2, 3, got {list(intensities)}")
        self.emotions = tuple(e for e in MEAD_EMOTIONS if e in set(emotions))
        self._speakers = {s.id: s for s in SPEAKERS[:speakers]}
        self._intensities = tuple(intensities)
        self._sentences = {
            s.id: s
            for s in (
                *[s for s in SENTENCES if s.shared][:shared],
                *[s for s in SENTENCES if not s.shared][:others],
            )
        }
        self._seed = seed
        self._directory = corpus_folder(cache, "synthetic-speech", self.identity())
        self._synthesizer = SpeechSynthesizer()
        self.default_subject = SPEAKERS[0].id

    def identity(self) -> str:
        """Of the recipe for a clip; which clips are listed is not part of it."""
        recipe = {"version": VERSION, "voice": voice_identity(), "seed": self._seed}
        return hashlib.sha256(json.dumps(recipe, sort_keys=True).encode()).hexdigest()

    def clips(self) -> tuple[Clip, ...]:
        return self._clips

    @cached_property
    def _clips(self) -> tuple[Clip, ...]:
        return tuple(self._list())

    def _list(self) -> Iterator[Clip]:
        for speaker in self._speakers:
            for emotion in self.emotions:
                for intensity in (1,) if emotion == "neutral" else self._intensities:
                    for sentence in self._spoken(emotion):
                        name = f"{speaker}_{emotion}_{intensity}_{sentence.id}"
                        yield Clip(
                            id=name,
                            speaker=speaker,
                            sentence=sentence.id,
                            emotion=emotion,
                            intensity=intensity,
                            directory=self._directory / name,
                            text=sentence.text,
                        )

    def _spoken(self, emotion: str) -> Iterator[Sentence]:
        """The shared sentences, and a window over half of the others that moves from emotion to emotion."""
        others = [s for s in self._sentences.values() if not s.shared]
        offset = 3 * MEAD_EMOTIONS.index(emotion)
        for sentence in self._sentences.values():
            if sentence.shared or (others.index(sentence) + offset) % len(others) < (len(others) + 1) // 2:
                yield sentence

    def prepare(self, clip: Clip, *, frames: bool = False) -> None:
        if holds(clip.directory, "waveform", "clock", "phones", "phone_times"):
            return
        spoken = self._synthesizer.utterance(
            self._sentences[clip.sentence],
            self._speakers[clip.speaker],
            str(clip.emotion),
            clip.intensity,
            np.random.default_rng(list(f"{self._seed}/{clip.id}".encode())),
        )
        publish(
            clip.directory,
            {
                "waveform": spoken.waveform,
                "clock": spoken.clock,
                "phones": np.array([p.symbol for p in spoken.phones]),
                "phone_times": np.array([(p.start, p.end) for p in spoken.phones]),
            },
        )

    def phones(self, clip: Clip) -> list[Phone]:
        """What a prepared clip says when, without gaps from its start to its end."""
        symbols, times = clip.load("phones"), clip.load("phone_times")
        return [Phone(str(s), float(a), float(b)) for s, (a, b) in zip(symbols, times, strict=True)]

    def visemes(self, clip: Clip) -> list[tuple[str, float, float]]:
        """(viseme, start s, end s) of a prepared clip."""
        return [(MISAKI[p.symbol], p.start, p.end) for p in self.phones(clip)]

    def heads(self) -> np.ndarray:
        raise CorpusError("the synthetic speech has no faces by itself: use face=parametric")


def _check_range(key: str, value: int, low: int, high: int) -> None:
    if not low <= value <= high:
        raise CorpusError(f"{key}: expected {low} to {high}, got {value}")
