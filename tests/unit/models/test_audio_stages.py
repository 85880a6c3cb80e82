"""The stages from MFCC to landmarks, trained for some steps on a corpus that follows a formula."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from models.artefacts import ArtefactError
from models.audio.aligners import DTWAligner, EVPAligner, LinearAligner
from models.audio.features import FeaturesStage, WindowBank, load_features
from models.audio.mfcc import mfcc, windows
from models.audio.pairs import PairsStage, load_pairs
from models.disentangle.cross import TERMS, DisentangleStage
from models.disentangle.emotion import EmotionClassifierStage
from models.landmarks.alignment import stabilise
from models.landmarks.predictor import LandmarkPredictor
from models.landmarks.stage import LandmarksStage
from models.method import Stage

CPU = torch.device("cpu")
SIZES = {"width": 4, "hidden": 32, "emotion_dim": 16, "content_dim": 24}
CLASSIFIER = EmotionClassifierStage(width=4, hidden=32, dim=16, steps=150)
DISENTANGLE = DisentangleStage(**SIZES, decoder_width=4, steps=80, validation_draws=64)
LANDMARKS = LandmarksStage(
    **SIZES,
    identity_hidden=8,
    identity_dim=8,
    lstm_hidden=32,
    lstm_layers=1,
    steps=250,
    num_components=6,
    frontal=False,
)


def carry_out(stage: Stage, data: Any, inputs: dict[str, Path], folder: Path, run: Any) -> Any:
    folder.mkdir()
    bare = run(folder)
    stage.run(data, {name: inputs[name] for name in stage.upstream}, bare)
    return bare


@pytest.fixture(scope="module")
def inputs(tiny, bare_run, tmp_path_factory) -> dict[str, Path]:
    """All stages once, in order."""
    root = tmp_path_factory.mktemp("stages")
    done: dict[str, Path] = {}
    for name, stage in (
        ("features", FeaturesStage()),
        ("emotion_classifier", CLASSIFIER),
        ("pairs", PairsStage(aligner=DTWAligner())),
        ("disentangle", DISENTANGLE),
        ("landmarks", LANDMARKS),
    ):
        carry_out(stage, tiny, done, root / name, bare_run)
        done[name] = root / name
    return done


def test_features_are_the_mfcc_of_every_clip(tiny, inputs) -> None:
    features = load_features(inputs["features"])
    assert set(features) == {clip.id for clip in (*tiny.train, *tiny.validation)}
    clip = tiny.train[3]
    np.testing.assert_array_equal(features[clip.id], mfcc(clip.waveform))
    assert len(windows(features[clip.id])) == clip.num_frames


def test_bank_gathers_the_windows_of_each_clip(tiny, inputs) -> None:
    features = list(load_features(inputs["features"]).values())
    bank = WindowBank(features, CPU)
    everything = np.concatenate([windows(rows) for rows in features])
    np.testing.assert_array_equal(bank.windows(np.arange(len(bank)))[:, 0], everything)


def test_pairs_have_the_timing_of_the_reference(tiny, inputs) -> None:
    pairs = load_pairs(inputs["pairs"], "train", CPU)
    features = load_features(inputs["features"])
    reference = windows(features["s0-angry"])
    count = len(reference)
    np.testing.assert_array_equal(pairs.windows(np.arange(count), np.zeros(count, int))[:, 0], reference)
    sentences = {clip.sentence for clip in tiny.train}
    assert len(np.unique(pairs.sentence)) == len(sentences)
    assert pairs.present.all()
    assert len(load_pairs(inputs["pairs"], "validation", CPU)) == len(windows(features["s4-angry"]))


def test_pairs_of_aligned_speech_are_closer_than_linear_ones(tiny, inputs, bare_run, tmp_path) -> None:
    gaps = {}
    for aligner in (DTWAligner(), EVPAligner(), LinearAligner()):
        name = type(aligner).__name__
        carry_out(PairsStage(aligner=aligner, reference="neutral"), tiny, inputs, tmp_path / name, bare_run)
        rows = load_pairs(tmp_path / name, "train", CPU).rows
        gaps[name] = float((rows[:, 0] - rows[:, 1]).abs().mean())
    assert gaps["DTWAligner"] < 0.9 * gaps["LinearAligner"]
    assert gaps["EVPAligner"] < 0.9 * gaps["LinearAligner"]


def test_pairs_take_the_strongest_intensity_and_allow_missing_emotions(
    tiny, inputs, bare_run, tmp_path
) -> None:
    weak, strong = tiny.train[1], replace(tiny.train[4], sentence="s0", intensity=3)
    data = replace(tiny, train=(tiny.train[0], weak, strong, *tiny.train[6:8]))
    carry_out(PairsStage(aligner=EVPAligner()), data, inputs, tmp_path / "pairs", bare_run)
    pairs = load_pairs(tmp_path / "pairs", "train", CPU)
    assert pairs.present.tolist()[0] == [True, True, False]
    source = load_features(inputs["features"])[strong.id][:, 1:]
    rows = pairs.rows[:100, 1].numpy()
    assert all((source == row).all(1).any() for row in rows)


def test_classifier_learns_the_emotions(tiny, inputs, bare_run, tmp_path) -> None:
    run = carry_out(CLASSIFIER, tiny, inputs, tmp_path / "classifier", bare_run)
    assert run.rows[-1]["error_rate"] < 0.35


def test_disentangling_lowers_every_reconstruction(tiny, inputs, bare_run, tmp_path) -> None:
    run = carry_out(DISENTANGLE, tiny, inputs, tmp_path / "disentangle", bare_run)
    for term in ("cross_recon", "self_recon"):
        assert run.rows[-1][term] < 0.6 * run.rows[0][term]


@pytest.mark.parametrize("sampling", ["code", "paper"])
def test_a_term_of_weight_zero_is_still_measured(tiny, inputs, bare_run, tmp_path, sampling) -> None:
    stage = replace(DISENTANGLE, sampling=sampling, steps=2, loss={"cross_recon": 0.0})
    run = carry_out(stage, tiny, inputs, tmp_path / "disentangle", bare_run)
    for row in (run.rows[0], run.rows[-1]):
        assert all(row[term] > 0 for term in TERMS)
    total = run.rows[-1]["total"]
    terms = ("self_recon", "emotion_class", "content_match")
    assert total == pytest.approx(sum(run.rows[-1][term] for term in terms))


def test_the_triplet_moves_nothing_unless_it_is_weighed(tiny, inputs, bare_run, tmp_path) -> None:
    written = []
    for name, loss in (("off", {}), ("zero", {"triplet": 0.0}), ("on", {"triplet": 10.0})):
        stage = replace(DISENTANGLE, steps=2, loss=loss)
        carry_out(stage, tiny, inputs, tmp_path / name, bare_run)
        written.append((tmp_path / name / "content.safetensors").read_bytes())
    assert written[0] == written[1] != written[2]


@pytest.mark.parametrize("change", [{"content_pairs": 2}, {"classified": "all"}, {"distance": "l2"}])
def test_what_is_rebuilt_matched_and_classified_changes_the_weights(
    tiny, inputs, bare_run, tmp_path, change
) -> None:
    for name, stage in (("a", replace(DISENTANGLE, steps=2)), ("b", replace(DISENTANGLE, steps=2, **change))):
        carry_out(stage, tiny, inputs, tmp_path / name, bare_run)
    for part in ("content", "emotion"):
        first, second = (tmp_path / name / f"{part}.safetensors" for name in "ab")
        assert first.read_bytes() != second.read_bytes()


def test_predicted_landmarks_beat_the_mean_face_on_an_unseen_sentence(tiny, inputs) -> None:
    predictor = LandmarkPredictor.load(inputs["landmarks"], CPU)
    mean = np.concatenate([stabilise(clip.landmarks) for clip in tiny.train]).mean(0)
    ours, floor = [], []
    for clip in tiny.validation:
        truth = stabilise(clip.landmarks)
        ours.append(np.linalg.norm(predictor.predict(clip.waveform) - truth, axis=-1).mean())
        floor.append(np.linalg.norm(mean - truth, axis=-1).mean())
    assert np.mean(ours) < 0.7 * np.mean(floor)


def test_emotion_comes_from_the_emotional_utterance(tiny, inputs) -> None:
    predictor = LandmarkPredictor.load(inputs["landmarks"], CPU)
    angry, _, sad = tiny.validation
    own = predictor.predict(angry.waveform)
    swapped = predictor.predict(angry.waveform, emotion_waveform=sad.waveform)
    raised = (swapped - own)[:, 17:27, 1].mean()
    assert 8 < raised < 24
    code = predictor.emotion_code(sad.waveform)
    np.testing.assert_allclose(predictor.predict(angry.waveform, emotion_code=code), swapped, atol=1e-3)
    assert set(predictor.codes) == set(tiny.emotions)
    again = predictor.predict(angry.waveform)
    assert np.array_equal(own, again)


def test_length_is_as_asked(tiny, inputs) -> None:
    predictor = LandmarkPredictor.load(inputs["landmarks"], CPU)
    waveform = tiny.validation[0].waveform
    natural = predictor.predict(waveform)
    assert len(natural) == tiny.validation[0].num_frames
    longer = predictor.predict(waveform, num_frames=len(natural) + 5)
    np.testing.assert_array_equal(longer[len(natural) - 1 :], longer[-1][None].repeat(6, 0))


@pytest.mark.parametrize("pooling", ["mean", "none"])
def test_encoders_can_be_fine_tuned(tiny, inputs, bare_run, tmp_path, pooling) -> None:
    stage = replace(LANDMARKS, fine_tune=True, emotion_pooling=pooling, steps=3, batch=4)
    carry_out(stage, tiny, inputs, tmp_path / "landmarks", bare_run)
    before = LandmarkPredictor.load(inputs["landmarks"], CPU).network.content
    after = LandmarkPredictor.load(tmp_path / "landmarks", CPU)
    assert not torch.equal(before.embedding[0].weight, after.network.content.embedding[0].weight)
    short = tiny.validation[0].waveform[: 640 * 10]
    assert after.predict(tiny.validation[1].waveform, emotion_waveform=short).shape[1:] == (68, 2)


def test_a_corpus_without_emotions(tiny, inputs, bare_run, tmp_path) -> None:
    clips = tuple(replace(clip, emotion=None) for clip in tiny.train)
    data = replace(tiny, emotions=(), train=clips, validation=())
    stage = replace(LANDMARKS, use_emotion=False, fine_tune=True, steps=3, batch=4)
    assert stage.upstream == ("features",)
    carry_out(stage, data, inputs, tmp_path / "landmarks", bare_run)
    predictor = LandmarkPredictor.load(tmp_path / "landmarks", CPU)
    assert predictor.codes == {}
    assert np.isfinite(predictor.predict(tiny.train[0].waveform)).all()


@pytest.mark.parametrize(
    ("stage", "message"),
    [
        (replace(LANDMARKS, loss={"mouht": 1.0}), "unknown loss terms mouht"),
        (replace(LANDMARKS, emotion_pooling="max"), "emotion_pooling"),
        (replace(LANDMARKS, sequence=500), "500 frames"),
        (replace(DISENTANGLE, sampling="both"), "unknown sampling"),
        (replace(DISENTANGLE, distance="l3"), "unknown distance"),
        (replace(DISENTANGLE, content_pairs=3), "content_pairs"),
        (replace(DISENTANGLE, classified="none"), "classified"),
        (PairsStage(aligner=EVPAligner(), reference="bored"), "not a label"),
    ],
)
def test_refuses(tiny, inputs, bare_run, tmp_path, stage, message) -> None:
    with pytest.raises(ValueError, match=message):
        carry_out(stage, tiny, inputs, tmp_path / "stage", bare_run)


def test_refuses_what_cannot_be_trained(tiny, inputs, bare_run, tmp_path) -> None:
    with pytest.raises(ValueError, match="two emotion labels"):
        carry_out(CLASSIFIER, replace(tiny, emotions=()), inputs, tmp_path / "a", bare_run)
    only = replace(tiny, train=tiny.train[::3])
    with pytest.raises(ValueError, match="nothing can be paired"):
        carry_out(PairsStage(aligner=EVPAligner()), only, inputs, tmp_path / "b", bare_run)
    with pytest.raises(ArtefactError, match="another network"):
        carry_out(replace(LANDMARKS, width=8), tiny, inputs, tmp_path / "c", bare_run)


def test_a_missing_or_damaged_predictor_is_named(tmp_path, inputs) -> None:
    with pytest.raises(ArtefactError, match=r"predictor\.json"):
        LandmarkPredictor.load(tmp_path, CPU)
    for file in inputs["landmarks"].iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    (tmp_path / "network.safetensors").write_bytes(b"12345678 not tensors")
    with pytest.raises(ArtefactError, match=r"network\.safetensors is damaged"):
        LandmarkPredictor.load(tmp_path, CPU)


def test_the_same_seed_gives_the_same_bits(tiny, inputs, bare_run, tmp_path) -> None:
    stage = replace(LANDMARKS, steps=5)
    weights = []
    for name in ("a", "b"):
        carry_out(stage, tiny, inputs, tmp_path / name, bare_run)
        weights.append((tmp_path / name / "network.safetensors").read_bytes())
    assert weights[0] == weights[1]
