"""Faces for voices: exact, repeatable, and taken apart again by the counterfactual."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from benchmark.data.corpus import CorpusError
from benchmark.data.parametric import Parametric, energy, synthetic_heads
from benchmark.data.synthetic import face
from benchmark.data.synthetic.corpus import SyntheticSpeech
from models.landmarks.topology import to_68


@pytest.fixture(scope="module")
def corpus(tmp_path_factory) -> Parametric:
    cache = str(tmp_path_factory.mktemp("cache"))
    return Parametric(corpus=SyntheticSpeech(cache=cache, speakers=2), cache=cache, frame_size=64)


def clip(corpus: Parametric, name: str):
    found = next(c for c in corpus.clips() if c.id == name)
    corpus.prepare(found)
    return found


def test_landmarks_are_the_projected_head(corpus: Parametric) -> None:
    happy = clip(corpus, "F01_happy_3_s01")
    expected = face.project(np.array(happy.load("landmarks3d")), np.array(happy.load("pose")))
    np.testing.assert_allclose(happy.landmarks, expected, atol=1e-4)
    np.testing.assert_allclose(to_68(np.array(happy.load("landmarks106"))), happy.landmarks, atol=1e-4)
    assert happy.num_frames == len(happy.waveform) // 640


def test_frames_can_be_added_later_and_are_the_same_bits(corpus: Parametric, tmp_path: Path) -> None:
    first = next(c for c in corpus.clips() if c.id == "F01_sad_3_s02")
    corpus.prepare(first)
    assert not (first.directory / "frames.npy").exists()
    corpus.prepare(first, frames=True)
    speech = SyntheticSpeech(cache=str(tmp_path), speakers=2)
    other = Parametric(corpus=speech, cache=str(tmp_path), frame_size=64)
    second = next(c for c in other.clips() if c.id == first.id)
    other.prepare(second, frames=True)
    for path in first.directory.iterdir():
        assert path.read_bytes() == (second.directory / path.name).read_bytes(), path.name


def test_the_counterfactual_of_a_clip_with_itself_is_the_clip(corpus: Parametric) -> None:
    own = clip(corpus, "F01_fear_3_s03")
    again = corpus.counterfactual(own, own, own)
    corpus.prepare(again)
    np.testing.assert_array_equal(again.landmarks, own.landmarks)


def test_a_counterfactual_takes_each_part_from_its_lender(corpus: Parametric) -> None:
    words, feeling, head = (
        clip(corpus, n) for n in ("F01_neutral_1_s04", "F01_happy_3_s05", "F01_sad_3_s06")
    )
    made = corpus.counterfactual(words, feeling, head)
    corpus.prepare(made)
    assert made.emotion == "happy"
    assert made.num_frames == words.num_frames
    np.testing.assert_array_equal(made.waveform, words.waveform)
    shared = min(made.num_frames, head.num_frames)
    np.testing.assert_array_equal(made.load("pose")[:shared], head.load("pose")[:shared])
    width = np.ptp(made.load("landmarks3d")[:, [48, 54], 0], axis=1).mean()
    neutral = np.ptp(words.load("landmarks3d")[:, [48, 54], 0], axis=1).mean()
    assert width > neutral + 1, "a happy mouth is wider than a neutral one"


def test_an_unknown_clip_is_named(corpus: Parametric) -> None:
    own = corpus.clips()[0]
    with pytest.raises(CorpusError, match="no clip 'nobody'"):
        corpus.counterfactual(replace(own, id="nobody"), own, own)
    with pytest.raises(CorpusError, match="no clip 'nobody'"):
        corpus.prepare(replace(own, id="nobody"))


def test_a_corpus_without_phone_times_has_no_parametric_face(tmp_path: Path) -> None:
    class Silent:
        name = "silent"

    with pytest.raises(CorpusError, match="silent has no phone times"):
        Parametric(corpus=Silent(), cache=str(tmp_path))


def test_energy_is_loudness_in_forty_decibels() -> None:
    tone = np.sin(2 * np.pi * 200 * np.arange(6400) / 16000)
    levels = np.repeat([1.0, 0.1, 0.01, 0.0], 1600)
    found = energy(np.concatenate([tone[:6400] * levels, tone[:6400]]), 20)
    np.testing.assert_allclose(found[10:], 1.0, atol=0.01)
    np.testing.assert_allclose([found[0], found[3], found[5], found[9]], [1.0, 0.5, 0.0, 0.0], atol=0.02)
    assert (energy(np.zeros(640), 1) == 0).all()


def test_the_heads_are_many_and_none_is_a_speaker() -> None:
    heads = synthetic_heads()
    assert heads.shape == (100, 40, 68, 3)
    assert np.isfinite(heads).all()
    assert np.unique(heads[:, 0, 8, 1]).size > 90
