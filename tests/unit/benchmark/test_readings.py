"""The sentences that the recogniser learns from, and how they are read."""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from itertools import islice

import numpy as np

from benchmark.data.synthetic.readings import READERS, plain, readings, texts
from benchmark.data.synthetic.sentences import SENTENCES
from benchmark.data.synthetic.voices import SPEAKERS
from models.audio.transcripts import ALPHABET, normalised

TEXTS = texts(2400)


def test_no_sentence_of_the_corpus_is_among_them() -> None:
    assert not {plain(text) for text in TEXTS} & {plain(sentence.text) for sentence in SENTENCES}


def test_no_long_stretch_of_a_corpus_sentence_is_in_them() -> None:
    """A recogniser could learn a held-out sentence by its parts; five words in a row would be such a part."""

    def runs(text: str) -> set[tuple[str, ...]]:
        words = plain(text).split()
        return {tuple(words[k : k + 5]) for k in range(len(words) - 4)}

    held = set().union(*(runs(sentence.text) for sentence in SENTENCES))
    assert not held & set().union(*map(runs, TEXTS))


def test_they_are_different_and_varied() -> None:
    assert len({plain(text) for text in TEXTS}) == len(TEXTS)
    words = Counter(word for text in TEXTS for word in plain(text).split())
    assert len(words) > 900
    lengths = [len(plain(text)) for text in TEXTS]
    assert min(lengths) > 15
    assert max(lengths) < 100


def test_more_sentences_begin_with_the_same_ones() -> None:
    assert texts(50) == TEXTS[:50]


def test_every_letter_occurs_and_articles_fit() -> None:
    assert set("".join(map(normalised, TEXTS))) == set(ALPHABET)
    assert not [text for text in TEXTS if re.search(r"\b[Aa] [aeio]", text)]


def test_they_are_the_sentences_that_the_recogniser_stage_was_last_judged_on() -> None:
    """Whoever changes them raises `RecogniserStage.version`, so that no older network is used."""
    digest = hashlib.sha256("\n".join(TEXTS).encode()).hexdigest()
    assert digest[:16] == "dd4629b9b2ca949e"


def test_readers_are_no_speakers_of_the_corpus() -> None:
    assert not {reader.id for reader in READERS} & {speaker.id for speaker in SPEAKERS}
    voices = {(speaker.f0_scale, speaker.formant_scale) for speaker in SPEAKERS}
    assert not {(reader.f0_scale, reader.formant_scale) for reader in READERS} & voices


def test_readings_are_speech_that_says_the_text_the_same_at_every_call() -> None:
    first, second = (list(islice(readings(8), 8)) for _ in range(2))
    for one, other, text in zip(first, second, TEXTS, strict=False):
        assert one.text == other.text == text
        np.testing.assert_array_equal(one.waveform, other.waveform)
        seconds = len(one.waveform) / 16_000
        assert 8 < len(plain(text)) / seconds < 30
        assert 0.01 < np.sqrt(np.mean(one.waveform**2)) < 0.3
