"""The embedded corpus's list has MEAD's shape, and its speech is the same bits every time."""

from __future__ import annotations

import itertools
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from benchmark.data.corpus import CorpusError, shared_sentences, split_corpus
from benchmark.data.synthetic.corpus import SyntheticSpeech
from models.types import MEAD_EMOTIONS


@pytest.fixture(scope="module")
def corpus(tmp_path_factory) -> SyntheticSpeech:
    return SyntheticSpeech(cache=str(tmp_path_factory.mktemp("cache")))


def test_it_is_shaped_like_mead(corpus: SyntheticSpeech) -> None:
    clips = corpus.clips()
    assert len({c.speaker for c in clips}) >= 4
    assert {c.emotion for c in clips} == set(MEAD_EMOTIONS)
    assert {c.intensity for c in clips if c.emotion == "neutral"} == {1}
    for emotion in MEAD_EMOTIONS[:5]:
        assert {c.intensity for c in clips if c.emotion == emotion} == {1, 2, 3}
    assert len(Counter(c.id for c in clips)) == len(clips)


def test_thirteen_sentences_are_in_every_emotion_and_as_many_more_are_not(corpus: SyntheticSpeech) -> None:
    clips = corpus.clips()
    shared = shared_sentences(clips, corpus.emotions)
    assert len(shared) >= 13
    assert len({c.sentence for c in clips} - set(shared)) >= 13
    for emotion in MEAD_EMOTIONS:
        own = {c.sentence for c in clips if c.emotion == emotion} - set(shared)
        assert len(own) >= 13


def test_the_same_clip_has_the_same_bits_wherever_it_is_made(tmp_path: Path) -> None:
    made = []
    for name in ("here", "there"):
        corpus = SyntheticSpeech(cache=str(tmp_path / name), speakers=1 if name == "here" else 2)
        clip = next(c for c in corpus.clips() if c.id == "F01_sad_2_s03")
        if name == "there":
            corpus.prepare(corpus.clips()[0])
        corpus.prepare(clip)
        made.append({p.name: p.read_bytes() for p in clip.directory.iterdir()})
    assert made[0] == made[1]


def test_phones_cover_the_waveform(corpus: SyntheticSpeech) -> None:
    clip = corpus.clips()[0]
    corpus.prepare(clip)
    phones = corpus.phones(clip)
    assert phones[0].start == 0
    assert phones[-1].end == pytest.approx(len(clip.waveform) / 16000)
    assert all(a.end == b.start for a, b in itertools.pairwise(phones))
    assert len(clip.waveform) % 640 == 0


def test_fewer_speakers_leave_the_recipe_as_it_is(tmp_path: Path) -> None:
    few = SyntheticSpeech(cache=str(tmp_path), speakers=1, shared=2, others=4)
    assert few.identity() == SyntheticSpeech(cache=str(tmp_path)).identity()
    assert few.identity() != SyntheticSpeech(cache=str(tmp_path), seed=1).identity()


def test_it_can_be_split(corpus: SyntheticSpeech) -> None:
    split = split_corpus(corpus, intensities=(3,), judge_sentences=4)
    assert {c.emotion for c in split.train} == {c.emotion for c in split.test} == set(MEAD_EMOTIONS)
    assert {c.speaker for c in split.judge_train} == {"M01", "F02", "M02"}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"speakers": 99}, "data.corpus.speakers: expected 1 to"),
        ({"emotions": ["bored"]}, "no emotion 'bored'; there are angry"),
        ({"intensities": [4]}, "expected some of 1, 2, 3"),
    ],
)
def test_what_it_cannot_make_is_refused(tmp_path: Path, options: dict, message: str) -> None:
    with pytest.raises(CorpusError, match=message):
        SyntheticSpeech(cache=str(tmp_path), **options)


def test_arrays_are_plain_numbers(corpus: SyntheticSpeech) -> None:
    clip = corpus.clips()[1]
    corpus.prepare(clip)
    assert np.isfinite(clip.waveform).all()
    assert np.abs(clip.waveform).max() < 1
    assert (np.diff(clip.load("clock")) > 0).all()
