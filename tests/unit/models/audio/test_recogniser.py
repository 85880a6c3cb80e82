"""A recogniser of a few letters, each a tone, must learn to spell words that it has not heard."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import islice, product
from pathlib import Path

import numpy as np
import pytest
import torch

from models.artefacts import ArtefactError
from models.audio.recogniser import RecogniserStage, load_recogniser
from models.audio.transcripts import character_error_rate, greedy_text
from models.sealed import write_sealed
from models.types import Clip, Transcribed

TONES = {"a": 400.0, "b": 900.0, "c": 1700.0, " ": 3000.0}
STAGE = RecogniserStage(
    width=24, sentences=90, held_out=10, steps=240, batch=8, learning_rate=4e-3, warm_up=10
)


def spoken(text: str, seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    pieces = []
    for letter in text:
        time = np.arange(rng.integers(1_600, 2_400)) / 16_000
        pieces.append(0.3 * np.sin(2 * np.pi * TONES[letter] * time) * np.hanning(len(time)))
    sound = np.concatenate(pieces)
    return (sound + rng.normal(0, 1e-3, len(sound))).astype(np.float32)


@dataclass
class Tones:
    """`TrainingData` of words of five letters; validation clips say words that are never in `transcribed`."""

    validation: tuple[Clip, ...]
    emotions: tuple[str, ...] = ()
    train: tuple[Clip, ...] = ()

    def transcribed(self, count: int) -> Iterator[Transcribed]:
        words = ["".join(w) for w in product("abc", repeat=5) if w[0] != "c"]
        order = np.random.default_rng(0).permutation(len(words))
        for seed, index in islice(enumerate(order), count):
            yield Transcribed(spoken(words[index], seed), words[index])


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Tones:
    clips = []
    for number, text in enumerate(("cabab", "cbcab", "ccbaa")):
        folder = tmp_path_factory.mktemp("clip")
        write_sealed(folder / "waveform.npy", spoken(text, 1_000 + number))
        clips.append(Clip(f"c{number}", "A", text, None, 1, folder, text=text))
    return Tones(tuple(clips))


@pytest.fixture(scope="module")
def trained(data, bare_run, tmp_path_factory):
    run = bare_run(tmp_path_factory.mktemp("recogniser"))
    STAGE.run(data, {}, run)
    return run


def test_spells_words_that_it_has_not_heard(trained, data) -> None:
    network = load_recogniser(trained.directory, torch.device("cpu"))
    words = [clip.text for clip in data.validation]
    heard = [greedy_text(network.of(clip.waveform)) for clip in data.validation]
    assert character_error_rate(heard, words) < 0.2
    assert trained.rows[-1]["validation_clips_character_error_rate"] == pytest.approx(
        character_error_rate(heard, words)
    )


def test_log_names_it_as_what_it_is(trained) -> None:
    assert trained.rows[-1]["recogniser"] == "deepspeech-small, CTC on generated speech"
    assert trained.rows[-1]["generated_speech_character_error_rate"] < 0.2


def test_one_seed_gives_one_network(data, bare_run, tmp_path: Path) -> None:
    short = replace(STAGE, steps=3, sentences=20, held_out=2)
    files = []
    for name in ("first", "second"):
        (tmp_path / name).mkdir()
        torch.manual_seed(len(files))
        short.run(data, {}, bare_run(tmp_path / name))
        files.append((tmp_path / name / "recogniser.safetensors").read_bytes())
    assert files[0] == files[1]


def test_is_shared_by_the_seeds_of_a_study() -> None:
    from benchmark.plan import stage_seed

    assert stage_seed(STAGE, 3) == stage_seed(STAGE, 4) == STAGE.seed


def test_says_when_there_is_too_little_to_learn_from(data, bare_run, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="raise sentences"):
        replace(STAGE, sentences=12).run(data, {}, bare_run(tmp_path))


def test_a_damaged_file_is_named(trained, tmp_path: Path) -> None:
    (tmp_path / "recogniser.json").write_text("{}")
    with pytest.raises(ArtefactError, match=r"recogniser\.json"):
        load_recogniser(tmp_path, torch.device("cpu"))
