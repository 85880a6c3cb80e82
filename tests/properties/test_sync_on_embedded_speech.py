"""The sync judge recovers what is known by construction: shifts of a stranger in the embedded corpus."""

from __future__ import annotations

import numpy as np
import pytest

from benchmark.data.corpus import Split, split_corpus
from benchmark.data.parametric import Parametric
from benchmark.data.synthetic.corpus import SyntheticSpeech
from benchmark.metrics.sync import SyncJudge, shifted
from benchmark.metrics.sync_training import train_sync_judge
from models.types import Clip

SHIFTS = range(-200, 201, 40)
CLIPS = 8


@pytest.fixture(scope="module")
def split(tmp_path_factory: pytest.TempPathFactory) -> Split:
    cache = str(tmp_path_factory.mktemp("cache"))
    corpus = Parametric(corpus=SyntheticSpeech(cache=cache), cache=cache, frame_size=64)
    found = split_corpus(corpus, intensities=[3], judge_sentences=3)
    for clip in (*found.judge_train, *found.test[:CLIPS]):
        corpus.prepare(clip, frames=False)
    return found


@pytest.fixture(scope="module")
def judge(split: Split) -> SyncJudge:
    return train_sync_judge(split.judge_train, steps=150)


def offset(judge: SyncJudge, clip: Clip, shift: int) -> float:
    found = judge.agreement(clip.landmarks, shifted(clip.waveform, shift), clip=clip.id).offset_ms
    assert found is not None
    return found


def test_shifts_of_a_stranger_are_found_to_within_20_ms(split: Split, judge: SyncJudge) -> None:
    assert split.subject not in {clip.speaker for clip in split.judge_train}
    errors = [abs(offset(judge, clip, shift) - shift) for clip in split.test[:CLIPS] for shift in SHIFTS]
    assert np.median(errors) <= 12
    assert np.percentile(errors, 95) <= 20


def test_the_words_of_another_clip_are_less_convincing(split: Split, judge: SyncJudge) -> None:
    clips = split.test[:CLIPS]
    own = [judge.agreement(c.landmarks, c.waveform).confidence for c in clips]
    strangers = [judge.agreement(c.landmarks, clips[k - 1].waveform).confidence for k, c in enumerate(clips)]
    assert np.mean(own) > np.mean(strangers) + 0.1
