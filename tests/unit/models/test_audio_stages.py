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
from models.landmarks.pca import LandmarkPCA
from models.landmarks.predictor import LandmarkPredictor, pooled
from models.landmarks.stage import LandmarksStage, _Batch, _Sequences, _TrainedEncoders
from models.landmarks.topology import EVP106, to_68, to_106
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
    assert set(predictor.codes.mean) == set(tiny.emotions)
    assert predictor.codes.intensities("sad") == (1,)
    again = predictor.predict(angry.waveform)
    assert np.array_equal(own, again)


def test_stored_codes_are_means_of_the_trained_encoder(tiny, inputs) -> None:
    predictor = LandmarkPredictor.load(inputs["landmarks"], CPU)
    encoded: dict[str, list[np.ndarray]] = {emotion: [] for emotion in tiny.emotions}
    for clip in tiny.train:
        inputs_of = torch.from_numpy(windows(mfcc(clip.waveform)).copy())[:, None]
        with torch.inference_mode():
            encoded[clip.emotion].append(predictor.network.emotion(inputs_of).numpy())
    for emotion, embeddings in encoded.items():
        np.testing.assert_allclose(
            predictor.code(emotion), np.concatenate(embeddings).mean(0), rtol=1e-4, atol=1e-5
        )
    mixed = predictor.code("angry4_sad6")
    np.testing.assert_allclose(mixed, 0.4 * predictor.code("angry") + 0.6 * predictor.code("sad"), rtol=1e-5)
    waveform = tiny.validation[0].waveform
    brows = [
        predictor.predict(waveform, emotion_code=predictor.code(name))[:, 17:27, 1].mean()
        for name in ("angry", "angry5_sad5", "sad")
    ]
    assert brows == sorted(brows)


def test_emotion_of_an_utterance_of_another_length() -> None:
    embedding = torch.arange(5.0)[:, None]
    assert pooled(embedding, 3, "none")[:, 0].tolist() == [0, 1, 2]
    assert pooled(embedding, 7, "none")[:, 0].tolist() == [0, 1, 2, 3, 4, 4, 4]
    assert pooled(embedding, 3, "mean")[:, 0].tolist() == [2, 2, 2]


def test_106_points_are_trained_and_predicted(tiny, inputs, bare_run, tmp_path) -> None:
    # More components than the corpus has ways to move would be arbitrary directions.
    stage = replace(LANDMARKS, layout=106, num_components=2)
    run = carry_out(stage, tiny, inputs, tmp_path / "landmarks", bare_run)
    predictor = LandmarkPredictor.load(tmp_path / "landmarks", CPU)
    assert predictor.layout is EVP106
    clip = tiny.validation[0]
    predicted = predictor.predict(clip.waveform)
    assert predicted.shape == (clip.num_frames, 106, 2)
    # 38 points are combinations of the 68, and so they are in the prediction, which is linear in them.
    np.testing.assert_allclose(to_106(to_68(predicted)), predicted, atol=0.05)
    plain = LandmarkPredictor.load(inputs["landmarks"], CPU).predict(clip.waveform)
    truth = stabilise(clip.landmarks)
    error, ours = (np.linalg.norm(to_68(p) - truth, axis=-1).mean() for p in (plain, predicted))
    assert ours < 1.3 * error
    assert run.rows[-1]["mouth_distance"] < run.rows[-1]["face_distance"] + 10


@pytest.mark.parametrize("identity", ["frame", "target"])
def test_the_prediction_is_added_to_the_face_that_it_is_given(
    tiny, inputs, bare_run, tmp_path, identity
) -> None:
    stage = replace(LANDMARKS, identity=identity, steps=20)
    carry_out(stage, tiny, inputs, tmp_path / "landmarks", bare_run)
    predictor = LandmarkPredictor.load(tmp_path / "landmarks", CPU)
    waveform = tiny.validation[0].waveform
    face, other = (stabilise(clip.landmarks) for clip in (tiny.train[0], tiny.train[2]))
    given = {"frame": lambda landmarks: landmarks[0], "target": lambda landmarks: landmarks.mean(0)}[identity]
    coeffs = []
    for landmarks in (face, other):
        made = predictor.pca.encode(predictor.predict(waveform, target=landmarks))
        example = predictor.pca.encode(given(landmarks))
        with torch.inference_mode():
            content = predictor.encode_content(waveform)[None]
            emotion = (
                predictor.network.emotion(torch.from_numpy(windows(mfcc(waveform)).copy())[:, None])
                .mean(0)
                .expand(1, content.shape[1], -1)
            )
            shown = torch.from_numpy(example)[None]
            displacement = (predictor.network(content, emotion, shown) - shown[:, None])[0].numpy()
        np.testing.assert_allclose(made - displacement, np.tile(example, (len(made), 1)), atol=1e-4)
        coeffs.append(made)
    assert np.abs(coeffs[0] - coeffs[1]).max() > 1e-3
    with pytest.raises(ValueError, match="needs the target's landmarks"):
        predictor.predict(waveform)


def test_the_example_frame_of_training_is_the_one_before_the_sequence(tiny, inputs) -> None:
    features = load_features(inputs["features"])
    stage = replace(LANDMARKS, identity="frame", batch=64)
    truths = [stabilise(clip.landmarks) for clip in tiny.train]
    pca = LandmarkPCA.fit(np.concatenate(truths), 6)
    bank = WindowBank((features[clip.id] for clip in tiny.train), CPU)
    batch = _Sequences(stage, tiny.train, truths, pca, bank).draw(np.random.default_rng(0))
    frames = torch.cat([torch.from_numpy(pca.encode(truth)) for truth in truths])
    first = batch.windows[:, 0]
    clip = np.searchsorted(bank.first, first, side="right") - 1
    before = np.maximum(first - 1, bank.first[clip])
    torch.testing.assert_close(batch.example, frames[before])
    torch.testing.assert_close(batch.coeffs[:, 0], frames[first])


def test_a_two_layer_head_is_trained_and_kept(tiny, inputs, bare_run, tmp_path) -> None:
    carry_out(replace(LANDMARKS, head="mlp", steps=5), tiny, inputs, tmp_path / "landmarks", bare_run)
    predictor = LandmarkPredictor.load(tmp_path / "landmarks", CPU)
    head = predictor.network.head
    assert [tuple(part.weight.shape) for part in head if isinstance(part, torch.nn.Linear)] == [
        (32, 32),
        (6, 32),
    ]
    assert np.isfinite(predictor.predict(tiny.validation[0].waveform)).all()


def test_the_last_weights_can_be_kept(tiny, inputs, tmp_path, bare_run) -> None:
    chosen = []

    class Run(bare_run):
        def fit(self, training) -> None:
            chosen.append(training.select_by)
            super().fit(training)

    for select_by in ("last", "mouth_distance"):
        stage = replace(LANDMARKS, select_by=select_by, steps=1)
        carry_out(stage, tiny, inputs, tmp_path / select_by, Run)
    assert chosen == [None, "mouth_distance"]


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


def test_encoders_that_are_trained_normalise_one_time_step_at_a_time(tiny, inputs) -> None:
    """As the release's, which is called once for every step of a sequence."""
    features = load_features(inputs["features"])
    bank = WindowBank([features[clip.id] for clip in tiny.train], CPU)
    one, apart = (LandmarkPredictor.load(inputs["landmarks"], CPU).network.train() for _ in range(2))
    rng = np.random.default_rng(0)
    said, felt = (rng.integers(len(bank), size=(4, 1)) % 20 + np.arange(6) for _ in range(2))
    stage = replace(LANDMARKS, emotion_pooling="none")
    batch = _Batch(said, felt, torch.zeros(4, 6, 16), torch.zeros(4, 16))
    content, emotion = _TrainedEncoders(stage, one, bank, bank)(batch)
    for step in range(6):
        torch.testing.assert_close(content[:, step], apart.content(bank.windows(said[:, step])))
        torch.testing.assert_close(emotion[:, step], apart.emotion(bank.windows(felt[:, step])))
    for name, expected in apart.state_dict().items():
        torch.testing.assert_close(one.state_dict()[name], expected, msg=name)


def test_a_corpus_without_emotions(tiny, inputs, bare_run, tmp_path) -> None:
    clips = tuple(replace(clip, emotion=None) for clip in tiny.train)
    data = replace(tiny, emotions=(), train=clips, validation=())
    stage = replace(LANDMARKS, use_emotion=False, fine_tune=True, steps=3, batch=4)
    assert stage.upstream == ("features",)
    carry_out(stage, data, inputs, tmp_path / "landmarks", bare_run)
    predictor = LandmarkPredictor.load(tmp_path / "landmarks", CPU)
    assert not predictor.codes.mean
    assert np.isfinite(predictor.predict(tiny.train[0].waveform)).all()


@pytest.mark.parametrize(
    ("stage", "message"),
    [
        (replace(LANDMARKS, loss={"mouht": 1.0}), "unknown loss terms mouht"),
        (replace(LANDMARKS, emotion_pooling="max"), "emotion_pooling"),
        (replace(LANDMARKS, sequence=500), "500 frames"),
        (replace(LANDMARKS, layout=98), "layout 98"),
        (replace(LANDMARKS, identity="self"), "identity 'self'"),
        (replace(LANDMARKS, head="mlq"), "head 'mlq'"),
        (replace(LANDMARKS, select_by="first"), "select_by 'first'"),
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
