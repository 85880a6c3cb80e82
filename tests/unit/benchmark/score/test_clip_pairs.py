"""A pair of videos is scored as the arrays that it decodes to, in the space that the protocols assume."""

from __future__ import annotations

import importlib.util
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from benchmark.metrics.extractors import DEFAULT_EXTRACTOR
from benchmark.metrics.judges import Judges
from benchmark.metrics.scorer import frame_features, score_clip
from benchmark.metrics.sync import LIMIT, Agreement
from benchmark.score.clip import Rules, detected, load_pair, prepare, score_pair, sound_of
from benchmark.score.pairing import Allowances, Pair, pair_folders
from models.errors import InputError
from models.preprocess.decoder import Decoder, shared_decoder
from models.preprocess.faces import Faces
from models.types import Prediction
from tests.conftest import ROOT

_spec = importlib.util.spec_from_file_location("videos", Path(__file__).with_name("videos.py"))
assert _spec is not None
assert _spec.loader is not None
videos = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(videos)

_spec = importlib.util.spec_from_file_location(
    "media_files", ROOT / "tests/unit/models/preprocess/media_files.py"
)
assert _spec is not None
assert _spec.loader is not None
media = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(media)

FRAMES = 7


def make(folder: Path, allow: Allowances | None = None, **generated) -> Pair:
    """One pair with landmarks; the generated side as `generated` has it."""
    sides = {"generated": {"seed": 1, **generated}, "reference": {"seed": 2, "width": 80}}
    for side, how in sides.items():
        size = {key: value for key, value in how.items() if key in ("width", "height")}
        frames = how.get("frames", FRAMES)
        videos.write(folder / side / "a.mp4", videos.pictures(frames, seed=how["seed"], **size))
        points = videos.landmarks(frames, seed=how["seed"], **size)
        videos.write_landmarks(folder / "landmarks" / side / "a.npy", points)
    given = {side: folder / "landmarks" / side for side in sides}
    paired = pair_folders(
        folder / "generated",
        folder / "reference",
        shared_decoder(),
        allow=allow or Allowances(),
        landmarks=given,
    )
    return paired.pairs[0]


def decoded(pair: Pair) -> tuple[np.ndarray, np.ndarray]:
    return tuple(np.array(shared_decoder().video(side.video)[1]) for side in (pair.generated, pair.reference))


def points(pair: Pair) -> list[np.ndarray]:
    return [np.load(side.landmarks) for side in (pair.generated, pair.reference) if side.landmarks]


def test_scores_are_those_of_the_decoded_arrays(tmp_path: Path) -> None:
    pair = make(tmp_path, width=80)
    frames = decoded(pair)
    moved = [each * np.float32(256 / 80) for each in points(pair)]
    sides = [Prediction(p, f) for p, f in zip(moved, frames, strict=True)]
    expected = score_clip(*sides, clip_id="a")
    result = score_pair(pair, Rules(), tmp_path / "cache")
    assert set(result.scores) == set(expected)
    assert "edges/f1" not in expected, "edges are defined in square crops, and 80 x 64 px is none"
    for name, score in expected.items():
        assert result.scores[name].value == pytest.approx(score.value, rel=1e-6), name
        assert result.scores[name].coverage == score.coverage
    assert result.faces == FRAMES


def test_protocols_in_pixels_of_the_frame_are_in_those_of_the_video(tmp_path: Path) -> None:
    pair = make(tmp_path, width=80)
    mouths = [each[:, 48:68].astype(np.float64) for each in points(pair)]
    score = score_pair(pair, Rules(), tmp_path).scores["lmd/vico"]
    assert score.value == pytest.approx(np.abs(mouths[0] - mouths[1]).mean(), rel=1e-5)


def test_features_are_those_of_the_frames(tmp_path: Path) -> None:
    class Means:
        name, dimensions = "means", 3

        def __call__(self, frames: np.ndarray) -> np.ndarray:
            return frames.mean((1, 2), dtype=np.float32)

    pair = make(tmp_path, width=80)
    with pytest.MonkeyPatch.context() as patch:
        networks = {DEFAULT_EXTRACTOR: Means()}
        patch.setattr("benchmark.score.clip._extractors", lambda names, weights: networks)
        result = score_pair(pair, Rules(every=2), tmp_path / "cache")
    for place, frames in enumerate(decoded(pair)):
        expected = frame_features(frames, networks, every=2)
        assert set(result.features) == set(expected)
        for name, features in expected.items():
            np.testing.assert_array_equal(result.features[name][place], features)


def test_the_longer_side_loses_its_end(tmp_path: Path) -> None:
    pair = make(tmp_path, Allowances(trim=3), width=80, frames=FRAMES + 3)
    generated, reference, _ = load_pair(pair, Rules(), tmp_path)
    assert generated.frames is not None
    assert len(generated.frames) == len(generated.landmarks) == len(reference.landmarks) == FRAMES
    np.testing.assert_array_equal(generated.frames, decoded(pair)[0][:FRAMES])


def test_resizing_moves_pictures_and_landmarks_together(tmp_path: Path) -> None:
    pair = make(tmp_path, Allowances(resize=True), width=160, height=128)
    generated, _, _ = load_pair(pair, Rules(), tmp_path)
    assert generated.frames is not None
    shrunk = [cv2.resize(frame, (80, 64), interpolation=cv2.INTER_AREA) for frame in decoded(pair)[0]]
    np.testing.assert_array_equal(generated.frames, shrunk)
    np.testing.assert_allclose(generated.landmarks, points(pair)[0] * (256 / 160), rtol=1e-5)


def test_the_face_crop_is_the_references_for_both(tmp_path: Path) -> None:
    pair = make(tmp_path, width=80)
    generated, reference, _ = load_pair(pair, Rules(crop="face"), tmp_path)
    assert generated.frames is not None
    assert generated.frames.shape == (FRAMES, 256, 256, 3)
    eyes = np.median(reference.landmarks, 0)[36:48].reshape(2, 6, 2).mean(1)
    assert np.hypot(*(eyes[1] - eyes[0])) == pytest.approx(56, abs=0.5)
    # One similarity for both sides: what was a displacement in the video still is one, in the crop's scale.
    was, now = (a - b for a, b in (points(pair), (generated.landmarks, reference.landmarks)))
    scale = np.linalg.norm(now, axis=-1) / np.linalg.norm(was, axis=-1)
    np.testing.assert_allclose(scale, scale[0, 0], rtol=1e-3)


def test_pictures_alone_can_be_scored(tmp_path: Path) -> None:
    pair = make(tmp_path, width=80)
    result = score_pair(pair, Rules(landmarks=False), tmp_path)
    assert {"ssim", "psnr"} <= set(result.scores)
    assert not any(name.startswith(("ld/", "lvd/", "edges/")) for name in result.scores)


def test_missing_faces_lower_the_coverage_only(tmp_path: Path) -> None:
    pair = make(tmp_path, width=80)
    gappy = points(pair)[0]
    gappy[:2] = np.nan
    assert pair.generated.landmarks is not None
    np.save(pair.generated.landmarks, gappy)
    score = score_pair(pair, Rules(), tmp_path).scores["ld/mouth"]
    assert score.coverage == pytest.approx(5 / 7)


def test_the_sync_judge_hears_the_references_sound(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Listener:
        heard: np.ndarray

        def agreement(self, landmarks: np.ndarray, waveform: np.ndarray, *, clip: str) -> Agreement:
            self.heard = waveform
            return Agreement(np.linspace(0, 1, 2 * LIMIT + 1), 1.0)

        def sees_enough(self, found: np.ndarray) -> bool:
            return True

    pair = make(tmp_path, Allowances(trim=3), width=80, frames=FRAMES + 3)
    media.write_video(pair.reference.video, pictures=videos.pictures(FRAMES, width=80))
    judge = Listener()
    monkeypatch.setattr("benchmark.score.clip._judges", lambda path: Judges(sync=judge))  # pyright: ignore
    sound = shared_decoder().sound(pair.reference.video)
    odd = replace(sound, notes=("a hole",))
    monkeypatch.setattr(Decoder, "sound", lambda self, path: odd)
    result = score_pair(pair, Rules(sync_judge=tmp_path / "sync.safetensors"), tmp_path)
    assert result.scores["sync/confidence"].value == pytest.approx(0.5)
    assert result.sound_notes == ("a hole",)
    assert len(judge.heard) == FRAMES * 640
    np.testing.assert_array_equal(judge.heard[:3000], sound.waveform[:3000])


def test_a_reference_without_sound_cannot_be_judged_by_it(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"reference/a\.mp4: no audio stream"):
        sound_of(make(tmp_path, width=80))


class Counting:
    """A detector that says that every face is the sketch, and counts how often it is asked."""

    name = "counting"
    asked = 0

    def identity(self) -> str:
        return "counting v1"

    def find(self, frames: np.ndarray, media: Path | None = None, **options: object) -> Faces:
        self.asked += 1
        return Faces(videos.landmarks(len(frames)), 1)


def test_detected_landmarks_are_kept_until_the_video_or_its_decoding_changes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    video, detector, frames = tmp_path / "a.mp4", Counting(), videos.pictures(FRAMES)
    videos.write(video, frames)
    first = detected(video, frames, detector, tmp_path / "cache")
    again = detected(video, frames, detector, tmp_path / "cache")
    np.testing.assert_array_equal(again.landmarks, first.landmarks)
    assert detector.asked == 1
    videos.write(video, frames[::-1])
    detected(video, frames, detector, tmp_path / "cache")
    assert detector.asked == 2
    monkeypatch.setattr("benchmark.score.clip.DECODING", "another version")
    detected(video, frames, detector, tmp_path / "cache")
    assert detector.asked == 3


def test_a_reference_without_a_face_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Blind(Counting):
        def find(self, frames: np.ndarray, media: Path | None = None, **options: object) -> Faces:
            return Faces(np.full((len(frames), 68, 2), np.nan, np.float32), 0)

    monkeypatch.setattr("benchmark.score.clip._detector", Blind)
    for side in ("generated", "reference"):
        videos.write(tmp_path / side / "a.mp4", videos.pictures(FRAMES))
    folders = tmp_path / "generated", tmp_path / "reference"
    (pair,) = pair_folders(*folders, shared_decoder(), allow=Allowances()).pairs
    with pytest.raises(InputError, match=r"reference/a\.mp4: no face found in any frame"):
        score_pair(pair, Rules(), tmp_path / "cache")


def test_a_video_that_is_not_what_its_container_says_is_named(tmp_path: Path) -> None:
    pair = make(tmp_path, width=80)
    videos.write(pair.generated.video, videos.pictures(FRAMES + 2, width=80))
    with pytest.raises(InputError, match=r"generated/a\.mp4: decodes to .* but its container says"):
        score_pair(pair, Rules(), tmp_path)


def test_unknown_extractors_and_judges_are_refused_before_any_work() -> None:
    with pytest.raises(InputError, match=r"no sync judge at /nowhere\.safetensors"):
        prepare(Rules(sync_judge=Path("/nowhere.safetensors")))
    with pytest.raises(InputError, match="no frame extractor 'vgg'"):
        prepare(Rules(extractors=("vgg",)))
    with pytest.raises(InputError, match=r"there is no file /nowhere\.pth"):
        prepare(Rules(extractors=("inception",), inception_weights=Path("/nowhere.pth")))


def test_the_outline_is_what_decoding_gives(tmp_path: Path) -> None:
    decoder = Decoder()
    for rate, frames in ((25, 9), (30, 20), (50, 9), (10, 4), (24, 24)):
        path = videos.write(tmp_path / f"{rate}.mp4", videos.pictures(frames, width=96), rate=rate)
        outline = decoder.outline(path)
        video, _ = decoder.video(path)
        assert (outline.frames, outline.height, outline.width) == (video.frames, video.height, video.width)
        assert outline.source_frames == video.source_frames == frames
        assert outline.rate == pytest.approx(rate)
        assert outline.resampled == (rate != 25)
    decoder.close()
