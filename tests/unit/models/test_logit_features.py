"""The audio side with logits in place of MFCC for what is said."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from models.audio.aligners import EVPAligner
from models.audio.deepspeech import DeepSpeech, at_video_rate, logit_windows
from models.audio.features import FeaturesStage, LogitBank, WindowBank, load_features
from models.audio.logits import LogitsStage, load_logits, warped_logits
from models.audio.pairs import PairsStage, load_pairs
from models.audio.recogniser import initialised, save_recogniser
from models.disentangle.content import LogitContentEncoder, content_encoder
from models.disentangle.cross import DisentangleStage
from models.disentangle.emotion import EmotionClassifierStage
from models.landmarks.predictor import LandmarkPredictor
from models.landmarks.stage import LandmarksStage
from models.method import Stage

CPU = torch.device("cpu")
SIZES = {"width": 4, "hidden": 16, "emotion_dim": 8, "content_dim": 12}
CLASSIFIER = EmotionClassifierStage(width=4, hidden=16, dim=8, steps=5)
PAIRS = PairsStage(aligner=EVPAligner(), hears="deepspeech")
DISENTANGLE = DisentangleStage(
    **SIZES, hears="deepspeech", decoder_width=4, steps=10, batch=4, validation_draws=64
)
LANDMARKS = LandmarksStage(
    **SIZES,
    hears="deepspeech",
    identity_hidden=8,
    identity_dim=8,
    lstm_hidden=16,
    lstm_layers=1,
    steps=120,
    num_components=6,
    frontal=False,
)


def carry_out(stage: Stage, data: Any, inputs: dict[str, Path], folder: Path, run: Any) -> None:
    folder.mkdir()
    stage.run(data, {name: inputs[name] for name in stage.upstream}, run(folder))


@pytest.fixture(scope="module")
def network() -> DeepSpeech:
    """What it hears is not words, but it is another thing at every moment."""
    model = DeepSpeech(width=8)
    initialised(model, torch.Generator().manual_seed(0))
    return model.eval()


@pytest.fixture(scope="module")
def inputs(tiny, bare_run, network, tmp_path_factory) -> dict[str, Path]:
    root = tmp_path_factory.mktemp("stages")
    done = {"recogniser": root / "recogniser"}
    done["recogniser"].mkdir()
    save_recogniser(done["recogniser"], network)
    for name, stage in (
        ("features", FeaturesStage()),
        ("logits", LogitsStage()),
        ("emotion_classifier", CLASSIFIER),
        ("pairs", PAIRS),
        ("disentangle", DISENTANGLE),
        ("landmarks", LANDMARKS),
    ):
        carry_out(stage, tiny, done, root / name, bare_run)
        done[name] = root / name
    return done


def test_bank_gathers_the_windows_of_each_clip(inputs) -> None:
    features, logits = load_features(inputs["features"]), load_logits(inputs["logits"])
    mfcc = WindowBank(features.values(), CPU)
    bank = LogitBank((logits[name] for name in features), mfcc.counts, CPU)
    assert len(bank) == len(mfcc)
    expected = [
        logit_windows(at_video_rate(logits[name], n)) for name, n in zip(features, mfcc.counts, strict=True)
    ]
    np.testing.assert_array_equal(bank.windows(np.arange(len(bank)))[:, 0], np.concatenate(expected))


def test_pairs_hold_the_logits_along_the_path_between_mfcc(tiny, inputs) -> None:
    pairs, logits = load_pairs(inputs["pairs"], "train", CPU), load_logits(inputs["logits"])
    clips = {(clip.sentence, clip.emotion): clip for clip in tiny.train}
    for number, sentence in enumerate(sorted({clip.sentence for clip in tiny.train})):
        contents = np.flatnonzero(pairs.sentence == number)
        reference, source = clips[sentence, "angry"], clips[sentence, "sad"]
        own = pairs.heard(contents, np.zeros_like(contents))[:, 0]
        windows = logit_windows(at_video_rate(logits[reference.id], len(contents)))
        np.testing.assert_array_equal(own, windows)
        alignment = EVPAligner().align(source.waveform, reference.waveform)
        warped = warped_logits(logits[source.id], alignment, len(reference.waveform))
        theirs = pairs.heard(contents, np.full_like(contents, tiny.emotions.index("sad")))[:, 0]
        np.testing.assert_allclose(theirs, logit_windows(at_video_rate(warped, len(contents))), rtol=1e-6)


def test_mfcc_of_pairs_are_the_same_with_and_without_logits(tiny, inputs, bare_run, tmp_path: Path) -> None:
    carry_out(PairsStage(aligner=EVPAligner()), tiny, inputs, tmp_path / "pairs", bare_run)
    plain, both = load_pairs(tmp_path / "pairs", "train", CPU), load_pairs(inputs["pairs"], "train", CPU)
    torch.testing.assert_close(plain.rows, both.rows, rtol=0, atol=0)
    content = emotion = np.array([0, 1])
    assert plain.heard(content, emotion).shape == (2, 1, 28, 12)
    assert both.heard(content, emotion).shape == (2, 1, 16, 29)


def test_content_encoders_have_one_interface() -> None:
    logits = content_encoder("deepspeech", width=4, hidden=16, dim=20)
    embedding = logits(torch.randn(3, 1, 16, 29, generator=torch.Generator().manual_seed(0)) * 10 - 8)
    assert embedding.shape == (3, 20)
    assert (embedding >= 0).all()
    with pytest.raises(ValueError, match="expected mfcc or deepspeech"):
        content_encoder("wav2vec", width=4, hidden=16, dim=20)


def test_at_width_8_the_convolutions_are_those_of_neural_voice_puppetry() -> None:
    shapes = [
        tuple(parameter.shape)
        for name, parameter in LogitContentEncoder(width=8).features.named_parameters()
        if name.endswith("0.weight")
    ]
    assert shapes == [(32, 29, 3, 1), (32, 32, 3, 1), (64, 32, 3, 1), (64, 64, 3, 1)]


def test_predictor_works_by_itself_and_hears_what_its_recogniser_hears(tiny, inputs, network) -> None:
    predictor = LandmarkPredictor.load(inputs["landmarks"], CPU)
    clip = tiny.validation[0]
    predicted = predictor.predict(clip.waveform)
    assert predicted.shape == (clip.num_frames, 68, 2)
    given = predictor.predict(clip.waveform, logits=network.of(clip.waveform))
    np.testing.assert_array_equal(predicted, given)


def test_predictor_follows_the_logits(tiny, inputs, network) -> None:
    predictor = LandmarkPredictor.load(inputs["landmarks"], CPU)
    clip = tiny.validation[0]
    logits = network.of(clip.waveform)
    silent = predictor.predict(clip.waveform, logits=np.repeat(logits[:1], len(logits), 0))
    assert np.abs(silent - predictor.predict(clip.waveform)).max() > 0.1


def test_brought_logits_must_be_brought_for_new_speech(tiny, inputs, bare_run, tmp_path: Path) -> None:
    folder = tmp_path / "brought"
    folder.mkdir()
    for name, rows in load_logits(inputs["logits"]).items():
        np.save(folder / f"{name}.npy", rows)
    done = dict(inputs)
    stage = LogitsStage(precomputed=str(folder))
    carry_out(stage, tiny, done, tmp_path / "logits", bare_run)
    done["logits"] = tmp_path / "logits"
    carry_out(replace(LANDMARKS, steps=5), tiny, done, tmp_path / "landmarks", bare_run)
    predictor = LandmarkPredictor.load(tmp_path / "landmarks", CPU)
    clip = tiny.validation[0]
    assert stage.precomputed is not None
    logits = stage.precomputed.of(clip.id, len(clip.waveform))
    assert len(predictor.predict(clip.waveform, logits=logits)) == clip.num_frames
    with pytest.raises(ValueError, match="computed elsewhere"):
        predictor.predict(clip.waveform)


def test_encoders_of_logits_can_be_fine_tuned(tiny, inputs, bare_run, tmp_path: Path) -> None:
    carry_out(replace(LANDMARKS, steps=2, fine_tune=True), tiny, inputs, tmp_path / "landmarks", bare_run)
    before = LandmarkPredictor.load(inputs["landmarks"], CPU).network.content.state_dict()
    after = LandmarkPredictor.load(tmp_path / "landmarks", CPU).network.content.state_dict()
    name = "features.0.0.weight"
    assert not torch.equal(before[name], after[name])


def test_unknown_features_are_refused(tiny, inputs, bare_run, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="hears: expected mfcc or deepspeech"):
        carry_out(PairsStage(aligner=EVPAligner(), hears="ears"), tiny, inputs, tmp_path / "p", bare_run)
