"""Videos are paired by name, and whatever keeps a pair from being scored is named, all of it at once."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path

import numpy as np
import pytest

from benchmark.score.pairing import Allowances, FolderError, find_videos, pair_folders
from models.errors import InputError
from models.preprocess.decoder import Decoder

_spec = importlib.util.spec_from_file_location("videos", Path(__file__).with_name("videos.py"))
assert _spec is not None
assert _spec.loader is not None
videos = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(videos)

NOTHING = Allowances()


@pytest.fixture(scope="module")
def decoder():
    decoder = Decoder()
    yield decoder
    decoder.close()


@pytest.fixture
def folders(tmp_path: Path) -> tuple[Path, Path]:
    generated, reference = tmp_path / "generated", tmp_path / "reference"
    videos.write(generated / "a.mp4", videos.pictures(6))
    videos.write(reference / "a.mp4", videos.pictures(6))
    return generated, reference


def problems(folders, decoder, allow=NOTHING, **rest) -> tuple[str, ...]:
    with pytest.raises(FolderError) as refusal:
        pair_folders(*folders, decoder, allow=allow, **rest)
    return refusal.value.problems


def test_pairs_have_the_same_path_whatever_the_container(folders, decoder) -> None:
    videos.write(folders[0] / "sub" / "b.mkv", videos.pictures(5))
    videos.write(folders[1] / "sub" / "b.mp4", videos.pictures(5))
    (folders[0] / "readme.txt").write_text("not a video")
    (folders[0] / ".b.mp4").write_bytes(b"left by an editor")
    paired = pair_folders(*folders, decoder, allow=NOTHING)
    assert [(pair.name, pair.frames) for pair in paired.pairs] == [("a", 6), ("sub/b", 5)]
    assert paired.notes == ()


def test_a_folder_without_videos_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such folder"):
        find_videos(tmp_path / "none")
    with pytest.raises(InputError, match=r"no video in it; expected files ending in \.mp4"):
        find_videos(tmp_path)


def test_names_that_one_folder_lacks_are_listed(folders, decoder) -> None:
    videos.write(folders[0] / "more.mp4", videos.pictures(6))
    videos.write(folders[1] / "other.mp4", videos.pictures(6))
    found = problems(folders, decoder)
    assert any("only in the generated folder: more" in line for line in found)
    assert any("only in the reference folder: other" in line for line in found)
    paired = pair_folders(*folders, decoder, allow=Allowances(missing=True))
    assert [pair.name for pair in paired.pairs] == ["a"]
    assert paired.notes == (
        "Left out, as the reference folder lacks them: more.",
        "Left out, as the generated folder lacks them: other.",
    )


def test_no_common_name_is_refused_even_where_names_may_be_missing(folders, decoder) -> None:
    (folders[0] / "a.mp4").rename(folders[0] / "a_out.mp4")
    assert any("no name is in both" in line for line in problems(folders, decoder, Allowances(missing=True)))


def test_one_name_twice_is_refused(folders, decoder) -> None:
    videos.write(folders[0] / "a.mkv", videos.pictures(6))
    assert problems(folders, decoder) == (
        "generated a: there are a.mkv, a.mp4; expected one video of this name",
    )


def test_lengths_must_agree(folders, decoder) -> None:
    videos.write(folders[0] / "a.mp4", videos.pictures(8))
    (line,) = problems(folders, decoder, Allowances(trim=1))
    assert line.startswith("a: generated has 8 frames at 25 fps, reference 6; --trim 2")
    paired = pair_folders(*folders, decoder, allow=Allowances(trim=2))
    assert paired.pairs[0].frames == 6
    assert paired.notes == ("The longer video was cut at its end in 1 clips: a.",)


def test_rates_must_be_25_on_both_sides(folders, decoder) -> None:
    videos.write(folders[0] / "a.mp4", videos.pictures(12), rate=50)
    (line,) = problems(folders, decoder)
    assert line.startswith("a: generated runs at 50 fps, reference at 25 fps")
    assert "--resample" in line
    paired = pair_folders(*folders, decoder, allow=Allowances(resample=True))
    assert paired.pairs[0].frames == 6
    assert "25 fps" in paired.notes[0]


def test_two_equal_rates_other_than_25_are_refused_too(folders, decoder) -> None:
    for folder in folders:
        videos.write(folder / "a.mp4", videos.pictures(12), rate=30)
    assert "generated runs at 30 fps, reference at 30 fps" in problems(folders, decoder)[0]


def test_sizes_must_agree(folders, decoder) -> None:
    videos.write(folders[0] / "a.mp4", videos.pictures(6, width=32, height=32))
    (line,) = problems(folders, decoder)
    assert line.startswith("a: generated is 32 x 32, reference 64 x 64; --resize")
    paired = pair_folders(*folders, decoder, allow=Allowances(resize=True))
    assert "resized to the reference's size" in paired.notes[0]


def test_another_shape_cannot_be_resized(folders, decoder) -> None:
    videos.write(folders[0] / "a.mp4", videos.pictures(6, width=96, height=64))
    assert "of another shape" in problems(folders, decoder, Allowances(resize=True))[0]


def test_one_frame_is_refused(folders, decoder) -> None:
    for folder in folders:
        videos.write(folder / "a.mp4", videos.pictures(1))
    assert problems(folders, decoder) == ("a: 1 frame to compare; expected 2 or more",)


def test_a_clip_with_too_many_pixels_is_refused_unless_cropped(folders, decoder, monkeypatch) -> None:
    for folder in folders:
        videos.write(folder / "a.mp4", videos.pictures(6, width=320, height=256))
    monkeypatch.setattr("benchmark.score.pairing.MOST_PIXELS", 6 * 256 * 256)
    (line,) = problems(folders, decoder)
    assert line.startswith("a: 6 frames of 320 x 256 are more than")
    assert pair_folders(*folders, decoder, allow=NOTHING, cropped=True).pairs[0].frames == 6


def test_damaged_files_are_named_with_everything_else(folders, decoder) -> None:
    whole = (folders[0] / "a.mp4").read_bytes()
    (folders[0] / "a.mp4").write_bytes(whole[: len(whole) // 2])
    (folders[0] / "b.mp4").write_bytes(b"")
    videos.write(folders[1] / "b.mp4", videos.pictures(6))
    videos.write(folders[0] / "c.mp4", videos.pictures(9))
    videos.write(folders[1] / "c.mp4", videos.pictures(6))
    found = problems(folders, decoder)
    assert len(found) == 3
    for name, line in zip(("generated a", "generated b", "c"), found, strict=True):
        assert line.startswith(f"{name}: ")


@pytest.fixture
def given(folders) -> dict[str, Path]:
    sides = {side: folders[0].parent / "landmarks" / side for side in ("generated", "reference")}
    for folder in sides.values():
        videos.write_landmarks(folder / "a.npy", videos.landmarks(6))
    return sides


def test_landmarks_are_found_by_the_videos_name(folders, given, decoder) -> None:
    (pair,) = pair_folders(*folders, decoder, allow=NOTHING, landmarks=given).pairs
    assert pair.reference.landmarks == given["reference"] / "a.npy"


def half_a_face() -> np.ndarray:
    points = videos.landmarks(6)
    points[2, :30] = np.nan
    return points


@pytest.mark.parametrize(
    ("points", "words"),
    [
        (None, "no landmarks beside it"),
        (videos.landmarks(5), r"landmarks of shape \(5, 68, 2\); expected \(6, 68, 2\)"),
        (half_a_face(), "frame 2 lacks some points only"),
        (np.full((6, 68, 2), np.inf, np.float32), "infinite in frame 0"),
        (np.full((6, 68, 2), np.nan, np.float32), "has no face in any frame; the truth must show one"),
    ],
)
def test_landmarks_that_do_not_fit_are_refused(folders, given, decoder, points, words: str) -> None:
    path = given["reference"] / "a.npy"
    path.unlink()
    if points is not None:
        videos.write_landmarks(path, points)
    (line,) = problems(folders, decoder, landmarks=given)
    assert re.search(words, line), line


def test_a_generated_clip_may_lack_its_face(folders, given, decoder) -> None:
    videos.write_landmarks(given["generated"] / "a.npy", np.full((6, 68, 2), np.nan, np.float32))
    assert len(pair_folders(*folders, decoder, allow=NOTHING, landmarks=given).pairs) == 1
