"""The tracks that a file marks are shown and heard, and a file's name is only ever a name."""

from __future__ import annotations

import os
import struct
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import cast

import av
import numpy as np
import pytest
import soundfile
from av.stream import Disposition

from benchmark.lossless import load_frames, save_frames
from models.preprocess.decoder import Decoder
from models.preprocess.media import MediaError
from models.rendering.video import write_video
from tests.unit.models.preprocess.media_files import avi_of, boxes, numbers, write_numbered


def write_tracks(
    path: Path,
    tones: list[tuple[int, Disposition]],
    pictures: list[Disposition],
    counts: Sequence[int] = (10, 10),
) -> Path:
    """Sound tracks of pure tones by frequency, and picture tracks of 10 frames of level 40, 80, ..."""
    with av.open(str(path), "w") as container:
        videos, audios = [], []
        for disposition in pictures:
            video = container.add_stream("libx264", rate=25, options={"qp": "0"})
            video.width, video.height, video.pix_fmt = 64, 48, "yuv444p"
            video.disposition = disposition
            videos.append(video)
        for _, disposition in tones:
            audio = cast("av.AudioStream", container.add_stream("flac", rate=16000, layout="mono"))
            audio.disposition = disposition
            audios.append(audio)
        for level, video in enumerate(videos, start=1):
            for index in range(counts[level - 1]):
                frame = av.VideoFrame.from_ndarray(np.full((48, 64, 3), 40 * level, np.uint8))
                frame.pts, frame.time_base = index, Fraction(1, 25)
                container.mux(video.encode(frame))
            container.mux(video.encode())
        for (hertz, _), audio in zip(tones, audios, strict=True):
            wave = np.round(9000 * np.sin(2 * np.pi * hertz * np.arange(6400) / 16000)).astype(np.int16)
            block = av.AudioFrame.from_ndarray(wave[None], "s16", "mono")
            block.sample_rate, block.pts, block.time_base = 16000, 0, Fraction(1, 16000)
            container.mux(audio.encode(block))
            container.mux(audio.encode())
    return path


def pitch(waveform: np.ndarray) -> float:
    return float(np.argmax(np.abs(np.fft.rfft(waveform[:6400])))) * 16000 / 6400


NONE, DEFAULT, COMMENT = Disposition(0), Disposition.default, Disposition.comment
SOUND_CHOICES = [
    ([(500, NONE), (1000, DEFAULT)], 1000),
    ([(500, DEFAULT), (1000, NONE)], 500),
    ([(500, COMMENT), (1000, NONE)], 1000),
    ([(500, COMMENT), (1000, NONE), (1500, DEFAULT)], 1500),
    ([(500, Disposition.visual_impaired | DEFAULT), (1000, DEFAULT)], 1000),
    ([(500, NONE), (1000, NONE)], 500),
]


@pytest.mark.parametrize(("tones", "expected"), SOUND_CHOICES)
def test_the_sound_track_is_the_one_that_the_file_marks(
    decoder, tmp_path: Path, tones, expected: int
) -> None:
    path = write_tracks(tmp_path / "t.mkv", tones, [DEFAULT])
    sound = decoder.sound(path)
    assert pitch(sound.waveform) == pytest.approx(expected, abs=3)
    assert f"of {len(tones)} is used" in sound.notes[0]
    assert len(decoder.video(path)[1]) == 10


def test_the_picture_track_is_the_one_that_the_file_marks(decoder, tmp_path: Path) -> None:
    path = write_tracks(tmp_path / "t.mkv", [(500, DEFAULT)], [NONE, DEFAULT])
    video, shown = decoder.video(path)
    assert abs(float(shown.mean()) - 80) < 2
    assert video.notes[0].startswith("picture track 2 of 2 is used (marked as default)")


@pytest.mark.parametrize("suffix", ["mp4", "mov", "mkv"])
@pytest.mark.parametrize("counts", [(50, 30), (30, 50)])
def test_pictures_are_counted_in_the_track_that_is_shown(
    decoder, tmp_path: Path, suffix: str, counts: tuple[int, int]
) -> None:
    path = write_tracks(tmp_path / f"t.{suffix}", [], [NONE, DEFAULT], counts)
    if suffix != "mkv":
        # The muxer marks the first track, whatever it is told.
        data = bytearray(path.read_bytes())
        for place, enabled in zip(boxes(data, ["moov", "trak", "tkhd"]), (0, 3), strict=True):
            data[place + 11] = enabled
        path.write_bytes(data)
    video, shown = decoder.video(path)
    assert abs(float(shown.mean()) - 80) < 2
    assert video.notes[0].startswith("picture track 2 of 2 is used (marked as default)")
    assert len(shown) == counts[1]


def test_pictures_of_each_track_of_an_avi_are_counted(decoder, tmp_path: Path) -> None:
    for first, second in (("P" * 12, "P" * 5), ("P" * 5, "P" * 12), ("P" * 5 + "-" * 4, "PP")):
        path = avi_of(tmp_path / "t.avi", first, second)
        assert len(decoder.video(path)[1]) == len(first)


def test_a_cover_is_no_video(decoder, tmp_path: Path) -> None:
    path = tmp_path / "cover.m4a"
    with av.open(str(path), "w", format="mp4") as container:
        audio = cast("av.AudioStream", container.add_stream("aac", rate=16000, layout="mono"))
        picture = container.add_stream("mjpeg", rate=1)
        picture.width, picture.height, picture.pix_fmt = 64, 48, "yuvj420p"
        picture.disposition = Disposition.attached_pic
        frame = av.VideoFrame.from_ndarray(np.full((48, 64, 3), 90, np.uint8))
        frame.pts = 0
        container.mux(picture.encode(frame))
        container.mux(picture.encode())
        block = av.AudioFrame.from_ndarray(np.zeros((1, 16000), np.float32), "fltp", "mono")
        block.sample_rate, block.pts, block.time_base = 16000, 0, Fraction(1, 16000)
        container.mux(audio.encode(block))
        container.mux(audio.encode())
    assert len(decoder.sound(path).waveform) == 16000
    with pytest.raises(
        MediaError, match=r"cover\.m4a: no video stream: it holds .*a still picture \(mjpeg\)"
    ):
        decoder.video(path)


def test_a_sound_file_where_a_video_is_expected_says_what_it_is(decoder, tmp_path: Path) -> None:
    soundfile.write(tmp_path / "only.mp4", np.zeros(16000), 16000, format="FLAC")
    with pytest.raises(MediaError, match=r"only\.mp4: no video stream: it holds sound \(flac\)$"):
        decoder.video(tmp_path / "only.mp4")


NAMES = [
    "a:b",
    "http:x",
    "concat:one|two",
    "-",
    "-i",
    "%03d",
    "pipe:0",
    "file:x",
    "data:,x",
    "fd:",
    "x?y#z",
    "[a]*",
    "é",
]


@pytest.mark.parametrize("name", NAMES)
def test_a_name_is_never_a_protocol(decoder, tmp_path: Path, monkeypatch, name: str) -> None:
    monkeypatch.chdir(tmp_path)
    decoder = Decoder()
    path = Path(f"{name}.mp4")
    frames = np.full((5, 48, 64, 3), 128, np.uint8)
    write_video(path, frames, np.zeros(3200, np.float32))
    assert [each.name for each in Path().iterdir()] == [path.name]
    assert len(decoder.video(path)[1]) == 5
    assert len(decoder.sound(path).waveform) == 3200
    save_frames(Path(f"{name}.mkv"), frames)
    np.testing.assert_array_equal(load_frames(Path(f"{name}.mkv"), 5), frames)
    soundfile.write(tmp_path / f"{name}.wav", np.zeros(800), 16000)
    assert len(decoder.sound(Path(f"{name}.wav")).waveform) == 800
    decoder.close()


def test_a_name_that_is_no_unicode_is_read(decoder, tmp_path: Path) -> None:
    path = Path(os.fsdecode(os.fsencode(tmp_path) + b"/b\xff.mp4"))
    source = write_numbered(tmp_path / "a.mp4", count=3)
    source.rename(path)
    assert numbers(decoder.video(path)[1]) == [0, 1, 2]


@pytest.mark.parametrize(
    "text",
    ["ffconcat version 1.0\nfile secret.mp4\n", "#EXTM3U\n#EXTINF:1,\nsecret.mp4\n", "http://localhost/x"],
)
def test_a_file_that_names_another_is_not_followed(decoder, tmp_path: Path, text: str) -> None:
    write_numbered(tmp_path / "secret.mp4", count=3)
    (tmp_path / "list.mp4").write_text(text)
    with pytest.raises(MediaError, match=r"list\.mp4: the video cannot be decoded"):
        decoder.video(tmp_path / "list.mp4")


def test_a_raw_stream_has_no_clock_and_is_refused(decoder, tmp_path: Path) -> None:
    write_numbered(tmp_path / "raw.mpg", codec="mpeg2video", pixels="yuv420p", form="mpeg2video")
    assert struct.unpack(">I", (tmp_path / "raw.mpg").read_bytes()[:4]) == (0x1B3,)
    with pytest.raises(MediaError, match=r"raw\.mpg: the video cannot be decoded: no readable container"):
        decoder.video(tmp_path / "raw.mpg")
