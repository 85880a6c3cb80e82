"""Warped truths: the interpolation, a recorded corpus with parallel sentences, and the command's words."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest

from benchmark.config import load
from benchmark.data.corpus import split_corpus
from benchmark.data.folder import Folder
from benchmark.data.grid import Grid
from benchmark.data.items import build_items
from benchmark.data.parametric import Parametric
from benchmark.data.synthetic.corpus import SyntheticSpeech
from benchmark.data.warped import warp_landmarks
from benchmark.metrics.landmarks import SMALLEST_FACE
from benchmark.study import Study, StudyConfig
from benchmark.transfer_truth import errors, main, pairs_of
from models.preprocess.faces import Given
from models.rendering.video import write_video
from tests.conftest import SHARED_DATA


def ramp(frames: int) -> np.ndarray:
    """(frames, 68, 2): every point moves by (1, 2) px a frame."""
    still = np.random.default_rng(0).uniform(50, 200, (68, 2))
    return (still + np.arange(frames)[:, None, None] * np.array([1.0, 2.0])).astype(np.float32)


def test_a_warp_onto_its_own_times_changes_nothing():
    landmarks = ramp(9)
    assert np.array_equal(warp_landmarks(landmarks, (np.arange(9) + 0.5) / 25), landmarks)


def test_a_warp_interpolates_between_frames_and_stands_still_beyond_them():
    landmarks = ramp(9)
    moved = warp_landmarks(landmarks, np.array([-1.0, 2.75 / 25, 9.0]))
    assert np.array_equal(moved[[0, 2]], landmarks[[0, -1]])
    np.testing.assert_allclose(moved[1], landmarks[0] + 2.25 * np.array([1, 2]), atol=1e-4)


def test_a_frame_without_a_face_is_missing_only_where_it_counts():
    landmarks = ramp(5)
    landmarks[2] = np.nan
    warped = warp_landmarks(landmarks, (np.array([1.0, 1.5, 2.0, 2.5, 3.0]) + 0.5) / 25)
    assert np.isfinite(warped).all((1, 2)).tolist() == [True, False, False, False, True]


# A recorded corpus whose exact truth is known: the embedded one, as videos with landmarks beside them


@pytest.fixture(scope="module")
def exact(tmp_path_factory) -> Parametric:
    cache = str(tmp_path_factory.mktemp("exact"))
    speech = SyntheticSpeech(
        cache=cache, speakers=1, emotions=("happy", "sad"), shared=3, others=0, intensities=(3,)
    )
    return Parametric(corpus=speech, cache=cache)


@pytest.fixture(scope="module")
def recorded(exact: Parametric, tmp_path_factory) -> Folder:
    root = tmp_path_factory.mktemp("recorded")
    with (root / "clips.csv").open("w", newline="") as file:
        table = csv.writer(file)
        table.writerow(["file", "speaker", "sentence", "emotion", "intensity"])
        for clip in exact.clips():
            exact.prepare(clip)
            grey = np.full((clip.num_frames, 256, 256, 3), 128, np.uint8)
            write_video(root / f"{clip.id}.mp4", grey, clip.waveform)
            np.save(root / f"{clip.id}.npy", clip.landmarks)
            table.writerow([f"{clip.id}.mp4", clip.speaker, clip.sentence, clip.emotion, clip.intensity])
    return Folder(
        root=str(root), cache=str(root / "cache"), detector=Given(), table="clips.csv", frame_size=32
    )


def test_a_recorded_corpus_with_parallel_sentences_has_transfers_near_the_exact_truth(
    recorded: Folder, exact: Parametric
):
    split = split_corpus(recorded, test_shared=1, test_other=0, validation_shared=1, validation_other=0)
    items = [i for i in build_items(recorded, split) if i.condition == "transfer"]
    assert {(i.audio.emotion, i.emotion.emotion) for i in items} == {("happy", "sad"), ("sad", "happy")}
    study = Study(StudyConfig({}, {}, {}, {}, {}, {}, "cpu"))
    study.__dict__ |= {"corpus": recorded, "items": tuple(items)}
    known = {clip.id: clip for clip in exact.clips()}
    for item in items:
        study.prepare(item.truth)
        audio, spoken = known[item.audio.id], known[item.target.id]
        counterfactual = exact.counterfactual(audio, spoken, spoken)
        exact.prepare(counterfactual)
        assert abs(item.truth.num_frames - counterfactual.num_frames) <= 1
        frames = min(item.truth.num_frames, counterfactual.num_frames)
        found = errors(item.truth.landmarks[:frames], counterfactual.landmarks[:frames], item.id)
        unwarped = np.resize(item.target.landmarks, (frames, 68, 2))
        without = errors(unwarped, counterfactual.landmarks[:frames], item.id)
        assert SMALLEST_FACE < found["ld/mouth"] < 0.5 * without["ld/mouth"]
        assert found["lvd/mouth"] < 0.5 * without["lvd/mouth"]
        assert not item.truth.has("frames")


def test_pairs_are_of_one_speaker_and_sentence(recorded: Folder):
    pairs = pairs_of(recorded, 100)
    assert len(pairs) == 3 * 2
    assert {(p.timing.speaker, p.timing.sentence) for p in pairs} == {
        (p.spoken.speaker, p.spoken.sentence) for p in pairs
    }
    assert all(p.timing.emotion != p.spoken.emotion for p in pairs)
    assert pairs_of(recorded, 100, same_emotion=True) == []
    assert len(pairs_of(recorded, 4)) == 4


@pytest.mark.parametrize(
    ("argument", "message"),
    [
        ("pairs=few", "pairs: expected a whole number from 2 up, got 'few'"),
        ("dta=emodb", "no configuration key 'dta'"),
    ],
)
def test_the_command_refuses_in_one_line(argument, message, capsys):
    assert main([argument]) == 2
    assert message in capsys.readouterr().err


# Recordings


def test_ravdess_on_a_parametric_face_has_exact_transfers(tmp_path: Path):
    root = SHARED_DATA / "ravdess"
    if not root.is_dir():
        pytest.skip(f"RAVDESS recordings are not at {root}")
    settings = load(
        ["data=ravdess", "face=parametric", f"data.root={root}", f"cache={tmp_path}", "suite=smoke"]
    )
    items = [i for i in Study(StudyConfig.of(settings)).items if i.condition == "transfer"]
    assert items
    assert not any(item.warped for item in items)


def test_grid_has_no_emotions_and_no_transfers(tmp_path: Path):
    root = SHARED_DATA / "grid"
    if not root.is_dir():
        pytest.skip(f"GRID recordings are not at {root}")
    corpus = Grid(root=str(root), cache=str(tmp_path), detector=Given(), frame_size=32)
    assert all(i.condition == "self" for i in build_items(corpus, split_corpus(corpus)))
    assert pairs_of(corpus, 10) == []
