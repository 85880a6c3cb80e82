"""Media come out right, or are refused by name; nothing they contain hurts the program."""

from __future__ import annotations

import errno
import importlib.util
import io
import os
import signal
import struct
from fractions import Fraction
from pathlib import Path

import av
import av.error
import numpy as np
import pytest
import scipy.signal
import soundfile

from models.audio.mfcc import mfcc
from models.errors import StorageError
from models.preprocess import decoder as decoder_module
from models.preprocess.decoder import Decoder
from models.preprocess.media import DecodingFailure, MediaError

_spec = importlib.util.spec_from_file_location("media_files", Path(__file__).with_name("media_files.py"))
assert _spec is not None
assert _spec.loader is not None
media_files = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(media_files)
write_video = media_files.write_video


@pytest.fixture(scope="module")
def plain(tmp_path_factory) -> Path:
    return write_video(tmp_path_factory.mktemp("media") / "plain.mp4", frames=40)


def levels(frames: np.ndarray) -> np.ndarray:
    """Which source frame each frame shows."""
    return np.rint((frames.mean((1, 2, 3)) - 8) / 4).astype(int)


def tone(seconds: float, rate: int) -> np.ndarray:
    return 0.5 * np.sin(2 * np.pi * 300 * np.arange(round(seconds * rate)) / rate)


def test_video_at_25_fps_comes_frame_by_frame(decoder: Decoder, plain: Path) -> None:
    video, frames = decoder.video(plain)
    assert frames.shape == (40, 64, 96, 3)
    assert (video.frames, video.height, video.width, video.source_frames) == (40, 64, 96, 40)
    np.testing.assert_array_equal(levels(frames), range(40))


RATES = [(50, 50), (30, 45), (Fraction(30000, 1001), 45), (10, 12), (12, 1)]


@pytest.mark.parametrize(("rate", "frames"), RATES)
def test_other_rates_show_what_was_on_screen(decoder: Decoder, tmp_path: Path, rate, frames: int) -> None:
    _, decoded = decoder.video(write_video(tmp_path / "v.mp4", frames=frames, rate=rate, sound=False))
    seconds = frames / float(rate)
    assert abs(len(decoded) - seconds * 25) <= 0.5 + 1e-6
    expected = np.floor((np.arange(len(decoded)) + 0.5) / 25 * float(rate) + 1e-6).astype(int)
    np.testing.assert_array_equal(levels(decoded), np.minimum(expected, frames - 1))


def test_variable_rate_follows_the_clock(decoder: Decoder, tmp_path: Path) -> None:
    times = [0.0, 0.04, 0.20, 0.24, 0.28, 0.60, 0.64]
    path = write_video(tmp_path / "v.mkv", frames=7, times=times, sound=False)
    _, decoded = decoder.video(path)
    shown = levels(decoded)
    for index in range(16):
        assert shown[index] == np.searchsorted(times, (index + 0.5) / 25, side="right") - 1


def test_a_hole_in_the_video_is_refused(decoder: Decoder, tmp_path: Path) -> None:
    path = write_video(tmp_path / "v.mkv", frames=4, times=[0, 0.04, 2.0, 2.04], sound=False)
    with pytest.raises(MediaError, match=r"v\.mkv: the clock moves from 0\.040 s to 2\.000 s"):
        decoder.video(path)


def test_odd_sizes_survive(decoder: Decoder, tmp_path: Path) -> None:
    _, frames = decoder.video(write_video(tmp_path / "v.mp4", frames=3, size=(97, 63), sound=False))
    assert frames.shape == (3, 63, 97, 3)


def test_sound_of_a_video(decoder: Decoder, plain: Path) -> None:
    sound = decoder.sound(plain)
    assert abs(len(sound.waveform) / 16000 - 1.6) < 0.05
    spectrum = np.abs(np.fft.rfft(sound.waveform[4000:20000]))
    assert np.argmax(spectrum) == 440
    assert abs(sound.start) < 0.03


@pytest.mark.parametrize("rate", [8000, 16000, 22050, 44100, 48000])
@pytest.mark.parametrize("channels", [1, 2])
def test_any_rate_and_channels_give_16_khz_mono(decoder, tmp_path: Path, rate: int, channels: int) -> None:
    soundfile.write(tmp_path / "a.wav", np.stack([tone(1, rate)] * channels, 1), rate, subtype="FLOAT")
    waveform = decoder.sound(tmp_path / "a.wav").waveform
    assert waveform.dtype == np.float32
    assert len(waveform) == 16000
    np.testing.assert_allclose(waveform[800:-800], tone(1, 16000)[800:-800], atol=2e-3)


def test_stereo_at_44100_hz_has_the_features_of_mono_at_16000_hz(decoder: Decoder, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    speech = scipy.signal.lfilter([1.0], [1.0, -0.9], rng.normal(size=88200)) * np.hanning(88200) * 0.05
    speech += 1e-4 * rng.normal(size=len(speech))
    aside = 0.01 * rng.normal(size=len(speech))
    soundfile.write(tmp_path / "s.wav", np.stack([speech + aside, speech - aside], 1), 44100, "FLOAT")
    mono = scipy.signal.resample_poly(speech, 160, 441)
    soundfile.write(tmp_path / "m.wav", mono, 16000, "FLOAT")
    one, other = (mfcc(decoder.sound(tmp_path / name).waveform) for name in ("m.wav", "s.wav"))
    assert one.shape == other.shape
    assert np.sqrt(np.mean((one - other) ** 2)) < 0.05 * one.std()


def test_formats_agree(decoder: Decoder, tmp_path: Path) -> None:
    sound = np.round(tone(0.5, 16000) * 32768) / 32768
    for name, subtype in (("a.wav", "PCM_16"), ("b.wav", "FLOAT"), ("c.flac", "PCM_16")):
        soundfile.write(tmp_path / name, sound, 16000, subtype=subtype)
        np.testing.assert_array_equal(decoder.sound(tmp_path / name).waveform, sound.astype(np.float32))


def cut(path: Path, part: float) -> Path:
    data = path.read_bytes()
    (path.parent / f"cut{path.suffix}").write_bytes(data[: int(len(data) * part)])
    return path.parent / f"cut{path.suffix}"


def test_truncated_media_are_refused(decoder: Decoder, tmp_path: Path, plain: Path) -> None:
    soundfile.write(tmp_path / "a.wav", tone(1, 16000), 16000)
    with pytest.raises(MediaError, match=r"cut\.wav: truncated: 32000 bytes of sound announced, 15"):
        decoder.sound(cut(tmp_path / "a.wav", 0.5))
    soundfile.write(tmp_path / "a.flac", np.random.default_rng(0).uniform(-1, 1, 16000), 16000)
    with pytest.raises(MediaError, match=r"cut\.flac"):
        decoder.sound(cut(tmp_path / "a.flac", 0.5))
    (tmp_path / "v.mp4").write_bytes(plain.read_bytes())
    with pytest.raises(MediaError, match=r"cut\.mp4: the video cannot be decoded"):
        decoder.video(cut(tmp_path / "v.mp4", 0.7))
    (tmp_path / "w.mkv").write_bytes(write_video(tmp_path / "w0.mkv", frames=60).read_bytes())
    with pytest.raises(MediaError, match=r"cut\.mkv"):
        decoder.video(cut(tmp_path / "w.mkv", 0.5))


def test_unusable_files_are_named(decoder: Decoder, tmp_path: Path) -> None:
    (tmp_path / "noise.mp4").write_bytes(np.random.default_rng(0).bytes(5000))
    (tmp_path / "noise.wav").write_bytes(np.random.default_rng(1).bytes(5000))
    (tmp_path / "empty.wav").write_bytes(b"")
    (tmp_path / "empty.mp4").write_bytes(b"")
    soundfile.write(tmp_path / "none.wav", np.zeros(0), 16000)
    soundfile.write(tmp_path / "nan.wav", np.full(100, np.nan), 16000, subtype="FLOAT")
    silent = write_video(tmp_path / "silent.mp4", frames=3, sound=False)
    for ask, name, message in (
        (decoder.video, "noise.mp4", "cannot be decoded"),
        (decoder.sound, "noise.wav", "cannot be read as sound"),
        (decoder.sound, "empty.wav", "the file is empty"),
        (decoder.video, "empty.mp4", "the file is empty"),
        (decoder.sound, "none.wav", "0 s long"),
        (decoder.sound, "nan.wav", "not finite"),
        (decoder.sound, silent.name, "no audio stream"),
        (decoder.video, "nan.wav", "no video stream"),
        (decoder.video, "missing.mp4", "no such file"),
    ):
        with pytest.raises(MediaError, match=message) as caught:
            ask(tmp_path / name)
        assert str(caught.value).startswith(str(tmp_path / name))


def test_a_header_that_claims_a_gigabyte_is_refused(decoder: Decoder, tmp_path: Path) -> None:
    form = struct.pack("<IHHIIHH", 16, 1, 1, 16000, 32000, 2, 16)
    header = b"RIFF" + struct.pack("<I", 2**30) + b"WAVEfmt " + form
    path = tmp_path / "bomb.wav"
    with path.open("wb") as file:
        file.write(header + b"data" + struct.pack("<I", 2**30))
        file.truncate(2**30 + 100)
    with pytest.raises(MediaError, match="at most 300 s are allowed"):
        decoder.sound(path)


def test_large_pictures_are_refused(decoder: Decoder, tmp_path: Path) -> None:
    path = write_video(tmp_path / "v.mp4", frames=1, size=(5000, 2400), sound=False)
    with pytest.raises(MediaError, match="frames of 5000x2400 are larger than allowed"):
        decoder.video(path)


def test_fuzzed_files_give_frames_or_a_media_error(decoder: Decoder, tmp_path: Path, plain: Path) -> None:
    rng = np.random.default_rng(5)
    original = np.frombuffer(plain.read_bytes(), np.uint8)
    accepted = 0
    for _ in range(60):
        data = original.copy()
        data[rng.integers(len(data), size=rng.integers(1, 30))] = rng.integers(256)
        path = tmp_path / "fuzz.mp4"
        path.write_bytes(data.tobytes())
        try:
            video, frames = decoder.video(path)
        except MediaError:
            continue
        assert len(frames) == video.frames
        accepted += 1
    assert accepted < 60


def test_a_stalled_child_is_replaced(plain: Path) -> None:
    decoder = Decoder(stall_seconds=2)
    try:
        decoder.video(plain)
        child = decoder._child
        assert child is not None
        os.kill(child.pid, signal.SIGSTOP)
        with pytest.raises(DecodingFailure, match="decoding stalled for 2 s"):
            decoder.video(plain)
        assert len(decoder.video(plain)[1]) == 40
    finally:
        decoder.close()


def test_a_dead_child_is_replaced(plain: Path) -> None:
    decoder = Decoder()
    try:
        decoder.video(plain)
        assert decoder._child is not None
        decoder._child.kill()
        decoder._child.wait()
        assert len(decoder.video(plain)[1]) == 40
    finally:
        decoder.close()


def test_too_little_memory_is_an_error_not_a_crash(plain: Path) -> None:
    decoder = Decoder(memory_bytes=2**24)
    with pytest.raises(DecodingFailure, match="the decoder"):
        decoder.video(plain)
    decoder.close()


def test_what_a_disk_does_not_deliver_is_no_verdict_on_the_file(plain: Path, monkeypatch) -> None:
    """Whether FFmpeg tells it, Python, or nobody but the second reading of the file."""
    request = {"what": "sound", "path": str(plain)}
    unread: list[Path] = []

    def outcome(error: Exception) -> str:
        def failing(path: Path) -> None:
            raise error

        monkeypatch.setattr(decoder_module, "read_sound", failing)
        return decoder_module._answer(request, io.BytesIO(), None)["outcome"]

    refused = MediaError(f"{plain}: truncated")
    assert outcome(refused) == "refused"
    for number in (errno.EIO, errno.ESTALE, errno.EMFILE, errno.ENOMEM):
        assert outcome(OSError(number, "")) == "failed"
        told = MediaError(f"{plain}: the sound cannot be decoded")
        told.__cause__ = av.error.classes[number](number, "")
        assert outcome(told) == "failed"

    def not_delivering(path: Path, *rest: object) -> None:
        unread.append(path)
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(Path, "open", not_delivering)
    assert outcome(refused) == "failed"
    assert unread == [plain]


def test_sound_tracks_are_told_without_decoding(decoder: Decoder, tmp_path: Path, plain: Path) -> None:
    assert decoder.has_sound(plain)
    assert not decoder.has_sound(write_video(tmp_path / "mute.mp4", sound=False))
    (tmp_path / "text.mp4").write_text("not a video at all")
    with pytest.raises(MediaError, match=r"text\.mp4: the sound cannot be decoded"):
        decoder.has_sound(tmp_path / "text.mp4")


def test_a_full_scratch_disk_is_a_storage_error(decoder: Decoder, plain: Path) -> None:
    if not Path("/dev/full").exists():
        pytest.skip("no /dev/full to stand in for a full disk")
    with Path("/dev/full").open("wb") as full, pytest.raises(StorageError, match="set TMPDIR"):
        decoder._ask("video", plain, full)
