"""Reading a run, the way from the frame to the crop and back, and whose face it is."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from models.errors import InputError
from models.face3d.alignment import LandmarkAlignment
from models.face3d.morphable import FaceModel
from models.landmarks.alignment import apply, stabilise
from models.landmarks.topology import IBUG68
from models.preprocess.pipeline import portrait_similarity
from models.talk.expressions import bent
from models.talk.personal import BENT, TargetData, at_rest, carry_over, personal_renderer
from models.talk.target import Target
from models.talk.trained import TrainedRun, build_of_run


@pytest.fixture
def target(puppet_landmarks, puppet_pictures) -> Target:
    matrix = portrait_similarity(puppet_landmarks)
    return Target(puppet_pictures, apply(matrix, puppet_landmarks), matrix)


# The run


def test_the_lowest_seed_that_is_done_is_read(world):
    run = TrainedRun.read(world.run)
    assert run.folder("landmarks").name == "landmarks-0"
    assert run.config("renderer")["size"] == 32
    assert TrainedRun.read(world.run, seed=2).stages == run.stages


@pytest.mark.parametrize(
    ("tree", "message"),
    [
        (
            {"_target_": "os.system", "command": "true"},
            "only classes of models may be named",
        ),
        (
            {"_target_": "models.talk.trained.json.loads", "s": "1"},
            "there is no models.talk.trained.json.loads",
        ),
        ({"_target_": "models.talk.trained.Path"}, "not a class of models"),
        ({"_target_": "models.evp.Nothing"}, "there is no models.evp.Nothing"),
        ({"_target_": "models.face3d.alignment.PoseSwap", "colour": 1}, "colour"),
        ({"_target_": "models.face3d.alignment.PoseSwap", "placement": "far"}, "placement"),
    ],
)
def test_only_classes_of_the_models_are_built(tree, message):
    with pytest.raises(InputError, match=message):
        build_of_run(tree, LandmarkAlignment)


def test_another_method_and_a_lost_stage_are_refused(make_run, tmp_path):
    make_run(tmp_path)
    recipe = tmp_path / "stages" / "predict-0" / "stage.json"
    whole = recipe.read_text()
    recipe.write_text(json.dumps({"config": {"_target_": "models.face3d.alignment.PoseSwap"}}))
    for name in ("features", "face3d", "landmarks", "renderer"):
        assert (tmp_path / "stages" / f"{name}-0").is_dir()
    with pytest.raises(InputError, match=r"PoseSwap"):
        TrainedRun.read(tmp_path / "tiny")
    recipe.write_text(whole)
    shutil.rmtree(tmp_path / "stages" / "landmarks-0")
    with pytest.raises(InputError, match=r"landmarks-0 is missing .*run the same suite again"):
        TrainedRun.read(tmp_path / "tiny")
    (tmp_path / "tiny" / "manifest.json").write_text("[]")
    with pytest.raises(InputError, match="is not a manifest"):
        TrainedRun.read(tmp_path / "tiny")


# The frame


def test_a_crop_put_back_unchanged_gives_the_frame_again(target):
    made = target.portrait(256).frames
    for picture, pasted in zip(target.pictures, target.with_face(made, target.landmarks), strict=True):
        assert np.abs(picture.astype(int) - pasted).mean() < 1
        assert np.abs(picture.astype(int) - pasted).max() < 60


def test_only_the_face_is_replaced_and_all_of_it(target):
    red = np.zeros((3, 64, 64, 3), np.uint8)
    red[..., 0] = 255
    first = next(iter(target.with_face(red, target.landmarks[:3])))
    changed = (first != target.pictures[0]).any(-1)
    face = apply(np.linalg.inv(np.vstack([target.matrix, [0, 0, 1]]))[:2], target.landmarks[0])
    left, top = face.min(0)
    right, bottom = face.max(0)
    assert changed[round(top) : round(bottom), round(left) : round(right)].mean() > 0.8
    outside = changed.copy()
    outside[: round(bottom) + 8, round(left) - 8 : round(right) + 9] = False
    assert not outside.any()
    nose = np.round(face[30]).astype(int)
    assert (first[nose[1], nose[0]] == (255, 0, 0)).all()


# Whose face


def test_the_mean_of_the_closed_mouths_is_the_face_at_rest(puppet_landmarks):
    upper, lower = IBUG68.inner_lips
    rest = at_rest(puppet_landmarks)
    openings = puppet_landmarks[:, lower, 1] - puppet_landmarks[:, upper, 1]
    assert rest[lower, 1] - rest[upper, 1] == pytest.approx(np.sort(openings)[:3].mean(), abs=1e-4)


def test_displacements_are_carried_over_and_blinks_kept(world, puppet_landmarks):
    model = FaceModel.load(TrainedRun.read(world.run).folder("face3d"))
    blink = puppet_landmarks.copy()
    blink[10, list(IBUG68.eye_a), 1] = blink[10, list(IBUG68.eye_a), 1].mean()
    frames = np.arange(20)
    rest = stabilise(puppet_landmarks)[3] + np.float32(5)
    still = carry_over(np.repeat(rest[None], 20, 0), rest, blink, frames, model)
    others = [i for i in range(68) if i not in IBUG68.regions["eyes"]]
    assert np.ptp(still[:, others], axis=0).max() == 0
    height = np.ptp(still[:, list(IBUG68.eye_a), 1], axis=1)
    assert height[10] < 0.3 * height[9]
    shift = np.zeros((20, 68, 2), np.float32)
    shift[:, 57, 1] = np.linspace(0, 8, 20)
    moved = carry_over(rest + shift, rest, blink, frames, model)
    np.testing.assert_allclose(moved - still, shift, atol=1e-3)


def test_a_video_is_cut_without_loss_bent_and_a_part_held_out(tmp_path, puppet_landmarks):
    landmarks = np.concatenate([puppet_landmarks] * 5)[:130]
    frames = np.arange(130, dtype=np.uint8).repeat(48).reshape(130, 4, 4, 3)
    data = TargetData.cut(landmarks, frames, tmp_path, 12, np.random.default_rng(0))
    plain = [clip for clip in (*data.train, *data.validation) if "bent" not in clip.id]
    np.testing.assert_array_equal(np.concatenate([clip.landmarks for clip in plain]), landmarks)
    np.testing.assert_array_equal(np.concatenate([clip.frames for clip in plain]), frames)
    assert [len(clip.frames) for clip in plain] == [52, 52, 26]
    assert len(data.train) == 2 + 2 * BENT
    assert len(data.validation) == 1
    (tmp_path / "few").mkdir()
    few = TargetData.cut(landmarks[:20], frames[:20], tmp_path / "few", 12, np.random.default_rng(0))
    assert not few.validation


def test_bent_frames_and_their_landmarks_agree(puppet_landmarks, target):
    # Every pixel holds its own place, so a bent frame tells where what it shows came from.
    size = 128
    y, x = np.mgrid[:size, :size]
    frames = np.stack([2 * x, 2 * y, 0 * x], -1).astype(np.uint8)[None].repeat(4, 0)
    landmarks = target.landmarks[:4]
    furthest = 0.0
    for seed in range(5):
        moved, pictures = bent(landmarks, frames, np.random.default_rng(seed))
        for before, after, picture in zip(landmarks, moved, pictures, strict=True):
            at = np.round(after * (size / 256) - 0.5).astype(int)
            rest = after * (size / 256) - 0.5 - at
            came_from = (picture[at[:, 1], at[:, 0], :2] / 2 + rest + 0.5) * 2
            assert np.abs(came_from - before).max() < 2
        furthest = max(furthest, float(np.abs(moved - landmarks).max()))
        stable = np.abs(moved - landmarks)[:, [27, 28, *IBUG68.regions["eyes"]]]
        assert stable.max() < 4
    assert furthest > 5


def test_other_frames_steps_or_seeds_are_another_renderer(world, target, tmp_path):
    config = dict(TrainedRun.read(world.run).config("renderer"), steps=2)
    told: list[tuple[int, int]] = []

    def learn(video: Target = target, seed: int = 0, **changed: int) -> Path:
        return personal_renderer(
            video,
            config | changed,
            tmp_path,
            seed=seed,
            device=torch.device("cpu"),
            progress=lambda done, total: told.append((done, total)),
        )

    first = learn()
    assert told == [(1, 2), (2, 2)]
    assert learn() == first
    assert len(told) == 2
    assert len({first, learn(seed=1), learn(steps=3), learn(target.first(20))}) == 4
