"""What is there counts: lengths in headers are believed only where the contents agree."""

from __future__ import annotations

import io
import shutil
import struct
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
import soundfile

from models.preprocess.layout.mpeg import missing_pictures
from models.preprocess.media import MediaError
from tests.unit.models.preprocess.media_files import avi_of, numbers, write_numbered

SOUND = np.round(0.3 * np.sin(np.arange(16000) / 20) * 32767) / 32768


def wav(form: str = "WAV", subtype: str = "PCM_16") -> bytearray:
    file = io.BytesIO()
    soundfile.write(file, SOUND, 16000, subtype=subtype, format=form)
    return bytearray(file.getvalue())


PLACEHOLDERS = [
    (0x7FFFF024, 0x7FFFF000),
    (0xFFFFFFFF, 0xFFFFFFFF),
    (0x7FFFFFFF, 0x7FFFFFDB),
    (0x80000024, 0x80000000),
    (0, 0),
    (36, 0),
]
"""RIFF and data size that SoX and espeak-ng, ffmpeg, mpg123, arecord and others write into a pipe."""


@pytest.mark.parametrize(("riff", "data"), PLACEHOLDERS)
def test_a_wav_from_a_pipe_is_as_long_as_it_is(decoder, tmp_path: Path, riff: int, data: int) -> None:
    content = wav()
    place = content.index(b"data")
    content[4:8] = struct.pack("<I", riff)
    content[place + 4 : place + 8] = struct.pack("<I", data)
    (tmp_path / "pipe.wav").write_bytes(content)
    sound = decoder.sound(tmp_path / "pipe.wav")
    np.testing.assert_array_equal(sound.waveform, SOUND.astype(np.float32))
    assert "does not say how long it is" in sound.notes[0]


@pytest.mark.parametrize("magic", [b"RF64", b"BW64"])
def test_wav_with_wide_sizes_is_read(decoder, tmp_path: Path, magic: bytes) -> None:
    """Its sizes are 0 when FFmpeg writes it into a pipe; BW64 is the name that broadcasters use."""
    content = wav("RF64")
    content[:4] = magic
    (tmp_path / "whole.wav").write_bytes(content)
    (tmp_path / "cut.wav").write_bytes(content[:-100])
    content[20:44] = bytes(24)
    (tmp_path / "pipe.wav").write_bytes(content)
    for name, notes in (("whole.wav", 0), ("pipe.wav", 1)):
        sound = decoder.sound(tmp_path / name)
        np.testing.assert_array_equal(sound.waveform, SOUND.astype(np.float32))
        assert len(sound.notes) == notes
    assert "does not say how long it is" in sound.notes[0]
    with pytest.raises(MediaError, match=r"cut\.wav: truncated"):
        decoder.sound(tmp_path / "cut.wav")


@pytest.mark.parametrize("form", ["WAV", "RF64", "W64", "AIFF", "FLAC", "OGG"])
def test_a_cut_sound_file_is_refused_in_every_format(decoder, tmp_path: Path, form: str) -> None:
    content = wav(form, "VORBIS" if form == "OGG" else "PCM_16")
    path = tmp_path / f"cut.{'wav' if form in ('WAV', 'RF64', 'W64') else form.lower()}"
    path.write_bytes(content)
    assert len(decoder.sound(path).waveform) == 16000
    for keep in (len(content) - 1, len(content) - 700, len(content) // 2):
        path.write_bytes(content[:keep])
        with pytest.raises(MediaError, match=rf"{path.name}: "):
            decoder.sound(path)


def test_a_damaged_wav_header_is_refused(decoder, tmp_path: Path) -> None:
    """Each field that decides on the length is stated twice."""
    for place, form, value in (
        (22, "<H", 2),
        (24, "<I", 8000),
        (34, "<H", 8),
        (40, "<I", 30000),
        (40, "<I", 31998),
    ):
        content = wav()
        struct.pack_into(form, content, place, value)
        (tmp_path / "a.wav").write_bytes(content)
        with pytest.raises(MediaError, match=r"a\.wav: the header is damaged"):
            decoder.sound(tmp_path / "a.wav")


def test_chunks_behind_the_sound_are_let_pass(decoder, tmp_path: Path) -> None:
    tags = b"LIST" + struct.pack("<I", 10) + b"INFOabcdef"
    content = wav() + tags
    struct.pack_into("<I", content, 4, len(content) - 8)
    (tmp_path / "tagged.wav").write_bytes(content)
    (tmp_path / "junk.wav").write_bytes(wav() + b"TAG" + bytes(125))
    for name in ("tagged.wav", "junk.wav"):
        assert len(decoder.sound(tmp_path / name).waveform) == 16000


@pytest.mark.parametrize(("form", "subtype"), [("NIST", "PCM_16"), ("AU", "PCM_16"), ("MP3", None)])
def test_other_formats_named_wav_are_noted(decoder, tmp_path: Path, form: str, subtype: str | None) -> None:
    soundfile.write(tmp_path / "a.wav", SOUND, 16000, format=form, subtype=subtype)
    assert "cannot be noticed" in decoder.sound(tmp_path / "a.wav").notes[0]


@pytest.mark.parametrize("rate", [16000, 44100])
def test_mp3_in_wav_is_as_long_as_it_is(decoder, tmp_path: Path, rate: int) -> None:
    tone = 0.3 * np.sin(np.arange(rate, dtype=np.float32) / 20)
    with av.open(str(tmp_path / "a.wav"), "w") as container:
        audio = container.add_stream("libmp3lame", rate=rate, layout="mono")
        block = av.AudioFrame.from_ndarray(tone[None], "fltp", "mono")
        block.sample_rate, block.pts, block.time_base = rate, 0, Fraction(1, rate)
        container.mux(audio.encode(block))
        container.mux(audio.encode())
    assert 16000 <= len(decoder.sound(tmp_path / "a.wav").waveform) < 18000
    content = (tmp_path / "a.wav").read_bytes()
    (tmp_path / "cut.wav").write_bytes(content[:-300])
    with pytest.raises(MediaError, match=r"cut\.wav: truncated"):
        decoder.sound(tmp_path / "cut.wav")


def test_flac_without_a_length_is_read_and_noted(decoder, tmp_path: Path) -> None:
    content = wav("FLAC")
    (fields,) = struct.unpack_from(">Q", content, 18)
    struct.pack_into(">Q", content, 18, fields & ~((1 << 36) - 1))
    (tmp_path / "pipe.flac").write_bytes(content)
    sound = decoder.sound(tmp_path / "pipe.flac")
    np.testing.assert_array_equal(sound.waveform, SOUND.astype(np.float32))
    assert "does not say how long it is" in sound.notes[0]
    struct.pack_into(">Q", content, 18, (fields & ~((1 << 36) - 1)) | 12000)
    (tmp_path / "wrong.flac").write_bytes(content)
    with pytest.raises(MediaError, match=r"wrong\.flac: .*12000 samples announced, 16000 found"):
        decoder.sound(tmp_path / "wrong.flac")


def test_sound_of_an_unusual_rate_is_noted(decoder, tmp_path: Path) -> None:
    soundfile.write(tmp_path / "odd.aiff", SOUND, 16250)
    assert "16250 Hz is unusual" in decoder.sound(tmp_path / "odd.aiff").notes[0]


def test_sound_in_mp4_ends_where_the_track_says(decoder, tmp_path: Path) -> None:
    with av.open(str(tmp_path / "a.m4a"), "w", format="mp4") as container:
        audio = container.add_stream("aac", rate=16000, layout="mono")
        block = av.AudioFrame.from_ndarray(SOUND[None].astype(np.float32), "fltp", "mono")
        block.sample_rate, block.pts, block.time_base = 16000, 0, Fraction(1, 16000)
        container.mux(audio.encode(block))
        container.mux(audio.encode())
    assert len(decoder.sound(tmp_path / "a.m4a").waveform) == 16000


Change = Callable[[bytes], bytes]


def without_last_cluster(data: bytes) -> bytes:
    return data[: data.rindex(b"\x1f\x43\xb6\x75")]


VIDEO_CUTS: list[tuple[str, str, Change]] = [
    ("a.mkv", "truncated or damaged", lambda data: data[:-300]),
    ("a.mkv", "truncated|announced", without_last_cluster),
    ("a.webm", "truncated or damaged", lambda data: data[: len(data) * 2 // 3]),
    ("a.avi", "truncated: .* bytes announced", lambda data: data[:-400]),
    ("a.mp4", "truncated", lambda data: data[:-10]),
    ("a.mov", "truncated", lambda data: data[: len(data) // 2]),
    ("a.mpg", "truncated: the file ends inside a packet", lambda data: data[:-1500]),
    ("a.ts", "truncated: the file ends inside a packet", lambda data: data[:-100]),
    ("a.ts", "damaged or incomplete", lambda data: data[: 188 * 8] + data[188 * 9 :]),
    ("a.flv", "truncated: the file ends inside a tag", lambda data: data[:-30]),
]


@pytest.fixture(scope="module")
def videos(tmp_path_factory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("lengths")
    made = {}
    for suffix in ("mkv", "webm", "avi", "mp4", "mov", "mpg", "ts", "flv"):
        codec = {"webm": "libvpx", "avi": "mpeg4", "mpg": "mpeg2video"}.get(suffix, "libx264")
        muxing = {"cluster_time_limit": "200"} if suffix == "mkv" else {}
        options = {"g": "6"} | ({"deadline": "realtime"} if codec == "libvpx" else {})
        path = folder / f"a.{suffix}"
        form = "vob" if suffix == "mpg" else None
        made[path.name] = write_numbered(
            path, codec=codec, pixels="yuv420p", options=options, muxing=muxing, form=form, step=9
        )
    return made


@pytest.mark.parametrize(("name", "message", "change"), VIDEO_CUTS)
def test_a_video_that_lost_something_is_refused(
    decoder, videos, tmp_path, name: str, message: str, change
) -> None:
    assert numbers(decoder.video(videos[name])[1], 9) == list(range(25))
    (tmp_path / name).write_bytes(change(videos[name].read_bytes()))
    for ask in (decoder.video, decoder.outline):
        with pytest.raises(
            MediaError, match=rf"{name}: .*({message}|cannot be decoded|damaged or incomplete)"
        ):
            ask(tmp_path / name)


def with_coded_sound(path: Path, codec: str, rate: int) -> Path:
    """A Matroska file of 25 frames in clusters of 0.2 s, with 1 s of sound by a codec that starts late."""
    tone = 0.3 * np.sin(np.arange(rate, dtype=np.float32) / 20)
    with av.open(str(path), "w", options={"cluster_time_limit": "200"}) as container:
        video = container.add_stream("mpeg4", rate=25)
        video.width, video.height, video.pix_fmt = 96, 64, "yuv420p"
        audio = container.add_stream(codec, rate=rate, layout="mono")
        for index in range(25):
            frame = av.VideoFrame.from_ndarray(np.full((64, 96, 3), 8 + 4 * index, np.uint8))
            frame.pts, frame.time_base = index, Fraction(1, 25)
            container.mux(video.encode(frame))
            samples = tone[None, index * rate // 25 : (index + 1) * rate // 25]
            block = av.AudioFrame.from_ndarray(samples.copy(), "fltp", "mono")
            block.sample_rate, block.pts, block.time_base = rate, index * rate // 25, Fraction(1, rate)
            container.mux(audio.encode(block))
        container.mux(video.encode())
        container.mux(audio.encode())
    return path


@pytest.mark.parametrize(("codec", "rate"), [("aac", 8000), ("libmp3lame", 16000)])
def test_the_start_of_a_sound_codec_is_no_loss(decoder, tmp_path: Path, codec: str, rate: int) -> None:
    path = with_coded_sound(tmp_path / "whole.mkv", codec, rate)
    video, _ = decoder.video(path)
    assert (video.frames, video.notes) == (25, ())
    (tmp_path / "cut.mkv").write_bytes(without_last_cluster(path.read_bytes()))
    with pytest.raises(MediaError, match=r"cut\.mkv: .*(truncated|announced)"):
        decoder.video(tmp_path / "cut.mkv")


def with_packets_of(path: Path, duration: int, last: int) -> bytes:
    """Write a Matroska file of 25 pictures whose packets say that they last so many milliseconds."""
    with av.open(str(path), "w", options={"cluster_time_limit": "200", "write_crc32": "0"}) as container:
        video = container.add_stream("mpeg4", rate=25)
        video.width, video.height, video.pix_fmt = 96, 64, "yuv420p"
        frames = [av.VideoFrame.from_ndarray(np.full((64, 96, 3), 4 * k, np.uint8)) for k in range(25)]
        for index, frame in enumerate(frames):
            frame.pts, frame.time_base = index, Fraction(1, 25)
        for packet in [each for frame in [*frames, None] for each in video.encode(frame)]:
            packet.pts = packet.dts = packet.pts * 40
            packet.duration = last if packet.pts == 960 else duration
            packet.time_base = Fraction(1, 1000)
            container.mux(packet)
    return path.read_bytes()


def test_the_last_picture_is_shown_until_the_stated_end(decoder, tmp_path: Path) -> None:
    """FFmpeg takes each packet of GIF for 10 ms long, as those of this file are."""
    path = tmp_path / "a.mkv"
    content = with_packets_of(path, 10, 10).replace(b"00:00:00.970000000", b"00:00:01.000000000")
    path.write_bytes(content)
    assert decoder.video(path)[0].frames == 25
    (tmp_path / "cut.mkv").write_bytes(without_last_cluster(content))
    path.write_bytes(content.replace(b"00:00:01.000000000", b"00:00:01.040000000"))
    for name, message in (("a.mkv", r"1\.04 s of video announced, 1\.00 s found"), ("cut.mkv", "")):
        with pytest.raises(MediaError, match=rf"{name}: .*{message}"):
            decoder.video(tmp_path / name)


def test_a_last_picture_that_lasts_long_is_shown_for_half_a_second(decoder, tmp_path: Path) -> None:
    assert b"00:00:02.960000000" in with_packets_of(tmp_path / "a.mkv", 40, 2000)
    assert decoder.video(tmp_path / "a.mkv")[0].frames == 24 + 12


def test_containers_that_cannot_tell_are_noted(decoder, videos, tmp_path: Path) -> None:
    live = write_numbered(
        tmp_path / "live.webm", codec="libvpx", pixels="yuv420p", muxing={"live": "1"}, step=9
    )
    broken = tmp_path / "broken.avi"
    shutil.copy(videos["a.avi"], broken)
    data = bytearray(broken.read_bytes())
    struct.pack_into("<I", data, data.index(b"strh") + 8 + 32, 0)
    struct.pack_into("<I", data, data.index(b"avih") + 8 + 16, 0)
    broken.write_bytes(data)
    for path in (live, broken, videos["a.ts"], videos["a.flv"]):
        video, shown = decoder.video(path)
        assert numbers(shown, 9) == list(range(25))
        assert any("cannot be noticed" in note for note in video.notes), path
    for name in ("a.mp4", "a.mkv", "a.avi", "a.mov"):
        assert decoder.video(videos[name])[0].notes == ()


@pytest.mark.parametrize("length", [0, 0x3FFFFFFF, 0x40000000, 0xFFFFFFFF])
def test_an_avi_from_a_pipe_is_as_long_as_it_is(decoder, tmp_path: Path, length: int) -> None:
    """FFmpeg writes 2^30 frames into a pipe."""
    path = avi_of(tmp_path / "pipe.avi", "PPPPP")
    data = bytearray(path.read_bytes())
    struct.pack_into("<I", data, data.index(b"strh") + 8 + 32, length)
    path.write_bytes(data)
    video, shown = decoder.video(path)
    assert numbers(shown) == list(range(5))
    assert "does not say how long it is" in video.notes[0]


def test_lost_pictures_of_mpeg_are_told_by_their_numbers() -> None:
    """I B B P order: groups of five, shown 0 to 4."""
    group = [(2, True), (0, False), (1, False), (4, False), (3, False)]
    assert missing_pictures(group * 3) == 0
    assert missing_pictures(group + group[:4] + group) == 1
    assert missing_pictures(group + group[:2] + group[3:]) == 1
    assert missing_pictures([group[0], *group[3:], *group]) == 0, "an editor may cut what refers to nothing"
    assert missing_pictures([(number % 1024, number == 0) for number in range(3000)]) == 0
    assert missing_pictures([(number % 1024, number == 0) for number in range(3000) if number != 1700]) == 1
    assert missing_pictures([]) == 0
