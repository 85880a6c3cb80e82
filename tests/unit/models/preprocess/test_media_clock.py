"""Presentation times decide when a picture is shown and a sample heard."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from models.preprocess.audio import Placed
from models.preprocess.decoder import Decoder
from models.preprocess.media import MediaError
from models.preprocess.pipeline import fit_sound
from tests.unit.models.preprocess.media_files import avi_of, numbers, with_edits, write_numbered


@pytest.fixture(scope="module")
def plain(tmp_path_factory) -> Path:
    return write_numbered(tmp_path_factory.mktemp("clock") / "plain.mp4", count=75)


BLOCK = 1152


def click(blocks: int, at: int = 0) -> np.ndarray:
    """Silence of whole blocks with a click of 50 samples."""
    samples = np.zeros(blocks * BLOCK, np.float32)
    samples[at : at + 50] = 0.9
    return samples


def click_time(decoder: Decoder, path: Path) -> float:
    """Seconds after the first picture."""
    video, pictures = decoder.video(path)
    sound = decoder.sound(path)
    waveform = fit_sound(sound.waveform, sound.start - video.start, len(pictures), path)
    return float(np.flatnonzero(np.abs(waveform) > 0.3)[0]) / 16000


@pytest.mark.parametrize("codec", ["libx264", "mpeg4"])
@pytest.mark.parametrize("suffix", ["mp4", "mkv", "avi", "mov", "ts", "flv"])
def test_every_picture_of_steady_video_is_shown_once(
    decoder, tmp_path: Path, suffix: str, codec: str
) -> None:
    if (suffix, codec) == ("flv", "mpeg4"):
        pytest.skip("FLV holds no MPEG-4")
    options = {"bf": "2", "qp": "10"} if codec == "libx264" else {"bf": "2"}
    path = write_numbered(tmp_path / f"b.{suffix}", codec=codec, pixels="yuv420p", options=options, step=9)
    outline, (video, shown) = decoder.outline(path), decoder.video(path)
    assert numbers(shown, 9) == list(range(25))
    assert not outline.resampled
    assert (video.source_frames, outline.frames) == (25, 25)


@pytest.mark.parametrize(
    ("suffix", "first"), [("mkv", 1000), ("mkv", 7), ("ts", 3_600_000), ("mp4", 500), ("ts", 95_443_000)]
)
def test_the_clock_may_begin_anywhere(decoder, tmp_path: Path, suffix: str, first: int) -> None:
    """The last one passes the 33 bits of MPEG's clock, after 26.5 hours, in mid-stream."""
    ticks = [first + 40 * number for number in range(25)]
    path = write_numbered(tmp_path / f"late.{suffix}", ticks=ticks, unit=1000, pixels="yuv420p")
    outline = decoder.outline(path)
    assert numbers(decoder.video(path)[1]) == list(range(25))
    assert outline.frames == 25
    assert not outline.resampled


@pytest.mark.parametrize("shift", [-0.2, 0.0, 0.2])
def test_sound_and_pictures_may_start_apart(decoder, tmp_path: Path, shift: float) -> None:
    first = 1000 + round(1000 * shift)
    ticks = [first + 40 * number for number in range(50)]
    sound = [(16000, click(28, at=8000))]
    path = write_numbered(tmp_path / "apart.mkv", ticks=ticks, unit=1000, sound=sound)
    assert click_time(decoder, path) == pytest.approx(0.5 - shift, abs=0.002)


def test_a_hole_in_the_sound_stays_a_hole(decoder, tmp_path: Path) -> None:
    # Blocks of 72 ms, so a hole of five.
    sound = [(0, np.zeros(10 * BLOCK)), (15 * BLOCK, click(14))]
    path = write_numbered(tmp_path / "hole.mkv", count=50, sound=sound)
    assert click_time(decoder, path) == pytest.approx(15 * 0.072, abs=0.002)
    (note,) = decoder.sound(path).notes
    assert note == "0.360 s of its sound are missing and left silent"


def test_sound_that_overlaps_is_heard_once_and_in_time() -> None:
    placed = Placed(Path("a.mkv"), 16000, 1)
    placed.add(np.zeros((1, 16000), np.float32), 2.0)
    placed.add(click(14, at=4800)[None], 2.8)
    samples = placed.samples()[:, 0]
    assert np.flatnonzero(samples)[0] == 0.8 * 16000 + 4800
    assert len(samples) == 0.8 * 16000 + 14 * BLOCK
    assert placed.start == 2.0
    assert placed.notes() == ["0.200 s of its sound overlap and are heard once"]


def test_a_clock_of_the_sound_that_starts_again_is_refused() -> None:
    placed = Placed(Path("again.mkv"), 16000, 1)
    placed.add(np.zeros((1, 32000), np.float32), 0.0)
    with pytest.raises(
        MediaError, match=r"again\.mkv: the clock of the sound goes back from 2\.00 s to 0\.10 s"
    ):
        placed.add(np.zeros((1, 100), np.float32), 0.1)


def test_a_clock_that_jumps_by_hours_needs_no_memory() -> None:
    placed = Placed(Path("jump.mkv"), 48000, 2)
    placed.add(np.zeros((2, 100), np.float32), 0.0)
    with pytest.raises(MediaError, match="at most 300 s are allowed"):
        placed.add(np.zeros((2, 100), np.float32), 1e7)


def test_drifting_and_rounded_clocks_of_the_sound_are_followed() -> None:
    """A clock 0.1 % fast: within 10 ms nothing is touched, beyond it is put right."""
    placed = Placed(Path("drift.mkv"), 16000, 1)
    for index in range(300):
        placed.add(np.zeros((1, 1600), np.float32), round(0.1001 * index, 3))
    assert placed.length == pytest.approx(30.03, abs=0.012)


UNSTEADY = {
    "pairs": [(number // 2) * 80 + (number % 2) * 10 for number in range(50)],
    "jitter": [40 * number + 12 * (number % 3) for number in range(50)],
    "one late": [40 * number + (30 if number == 20 else 0) for number in range(50)],
    "one dropped": [40 * number + (40 if number >= 20 else 0) for number in range(50)],
    "drift": [round(40.4 * number) for number in range(50)],
}


@pytest.mark.parametrize("name", list(UNSTEADY))
@pytest.mark.parametrize("suffix", ["mp4", "mkv"])
def test_unsteady_video_is_told_and_follows_the_clock(
    decoder, tmp_path: Path, name: str, suffix: str
) -> None:
    ticks = np.array(UNSTEADY[name])
    path = write_numbered(tmp_path / f"v.{suffix}", ticks=list(ticks), unit=1000)
    outline, (video, shown) = decoder.outline(path), decoder.video(path)
    assert outline.resampled
    assert "brought to" in video.notes[-1]
    expected = [int(np.searchsorted(ticks, 40 * k + 20, side="right")) - 1 for k in range(len(shown))]
    assert numbers(shown) == expected


@pytest.mark.parametrize("unit", [90000, 1000, 600, 12800])
def test_rounded_clocks_count_as_steady(decoder, tmp_path: Path, unit: int) -> None:
    ticks = [round(number * unit / 25) for number in range(30)]
    assert not decoder.outline(write_numbered(tmp_path / "v.mp4", ticks=ticks, unit=unit)).resampled


EDITS = [
    ([(2.0, 0.48)], list(range(12, 62))),
    ([(3.0, 0.0)], list(range(75))),
    ([(1.0, 0.4), (1.0, 2.0)], [*range(10, 35), *range(50, 75)]),
    ([(0.2, -1), (2.8, 0.2)], list(range(5, 75))),
]


@pytest.mark.parametrize(("edits", "expected"), EDITS)
def test_an_edit_list_decides_what_is_shown(decoder, plain: Path, tmp_path: Path, edits, expected) -> None:
    path = with_edits(plain, tmp_path / "edited.mp4", edits)
    outline, (video, shown) = decoder.outline(path), decoder.video(path)
    assert numbers(shown) == expected
    assert outline.frames == len(expected)
    assert video.start == pytest.approx(0.2 if edits[0][1] < 0 else 0, abs=1e-3)
    noted = any("edit list shows" in note for note in video.notes)
    assert noted == (len(expected) < 75)


def test_a_trim_between_key_pictures_keeps_what_it_shows(decoder, tmp_path: Path) -> None:
    """As `ffmpeg -ss` with `-c copy` leaves it: hidden pictures that shown ones refer to."""
    source = write_numbered(
        tmp_path / "b.mp4", count=50, pixels="yuv420p", options={"bf": "2", "g": "20", "qp": "8"}
    )
    with av.open(str(source)) as container:
        first = container.streams.video[0].start_time or 0
    assert first == 0
    path = with_edits(source, tmp_path / "t.mp4", [(1.0, 0.6 + 2 * 0.04)])
    assert numbers(decoder.video(path)[1]) == list(range(15, 40))


def test_an_edit_list_at_another_speed_is_refused(decoder, plain: Path, tmp_path: Path) -> None:
    path = with_edits(plain, tmp_path / "slow.mp4", [(1.0, 0.0)], rate=2)
    with pytest.raises(MediaError, match=r"slow\.mp4: an edit list plays the video at 2 times its speed"):
        decoder.video(path)


def test_an_empty_packet_of_avi_repeats_the_picture(decoder, tmp_path: Path) -> None:
    ticks = [number + (number > 9) for number in range(25)]
    path = write_numbered(tmp_path / "skip.avi", ticks=ticks, codec="mpeg4", pixels="yuv420p", step=9)
    video, shown = decoder.video(path)
    assert numbers(shown, 9) == [*range(10), 9, *range(10, 25)]
    assert any("brought to 26 frames" in note for note in video.notes)


def test_interlaced_material_is_named(decoder, tmp_path: Path) -> None:
    options = {"flags": "+ildct+ilme", "top": "1"}
    path = write_numbered(
        tmp_path / "fields.mpg", codec="mpeg2video", pixels="yuv420p", options=options, form="vob"
    )
    video, shown = decoder.video(path)
    assert any("interlaced" in note for note in video.notes)
    assert any("interlaced" in note for note in decoder.outline(path).notes)
    assert numbers(shown) == list(range(25))


def test_a_picture_that_cannot_be_decoded_is_named(decoder, tmp_path: Path) -> None:
    path = write_numbered(tmp_path / "hurt.avi", codec="mpeg4", pixels="yuv420p", options={"g": "1"})
    data = bytearray(path.read_bytes())
    chunk = data.index(b"00dc", data.index(b"movi"))
    for _ in range(7):
        chunk = data.index(b"00dc", chunk + 4)
    # Behind the headers of the sequence and of the picture.
    data[chunk + 72 : chunk + 120] = bytes(48)
    path.write_bytes(data)
    with pytest.raises(MediaError, match=r"hurt\.avi: "):
        decoder.video(path)


def test_frame_times_are_exact_fractions(decoder, tmp_path: Path) -> None:
    """NTSC's rate over ten seconds: rounding must not move a picture."""
    ticks = [1001 * number for number in range(80)]
    path = write_numbered(
        tmp_path / "ntsc.mp4", ticks=ticks, unit=30000, pixels="yuv420p", options={"qp": "8"}
    )
    shown = decoder.video(path)[1]
    expected = [int(Fraction(2 * k + 1, 50) * 30000 / 1001) for k in range(len(shown))]
    assert numbers(shown) == expected


@pytest.mark.parametrize(
    "chunks",
    [
        "P" * 80,
        "P-" * 40 + "-" * 10,
        "P--" * 30 + "P" * 10 + "-" * 31,
        "PP" + "-" * 14 + "PPPP" + "-" * 20,
        "P" + "-" * 74,
        "--PP-P",
    ],
)
@pytest.mark.parametrize("rate", [25, 50])
def test_every_chunk_of_an_avi_lasts_as_long(decoder, tmp_path: Path, chunks: str, rate: int) -> None:
    path = avi_of(tmp_path / "a.avi", chunks, rate=rate)
    outline, (video, shown) = decoder.outline(path), decoder.video(path)
    chunks = chunks.lstrip("-")
    pictures = (np.cumsum([chunk == "P" for chunk in chunks]) - 1).tolist()
    # Of two chunks in a frame the second counts: it begins in the frame's middle.
    assert numbers(shown) == (pictures if rate == 25 else pictures[1::2])
    assert outline.frames == video.frames == len(shown)


def test_an_avi_of_repeats_alone_is_too_long(decoder, tmp_path: Path) -> None:
    path = avi_of(tmp_path / "a.avi", "P" + "-" * 10_000)
    with pytest.raises(MediaError, match=r"a\.avi: 400 s of video; at most 300 s are allowed"):
        decoder.outline(path)
