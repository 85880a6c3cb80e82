from pathlib import Path

import av
import numpy as np
import pytest

from models.rendering.video import write_video


def film(height: int = 64, width: int = 48, count: int = 30) -> np.ndarray:
    y, x = np.mgrid[:height, :width]
    return np.stack([np.stack([x * 4 + k, y * 3, x + y], -1) % 200 for k in range(count)]).astype(np.uint8)


def tone(seconds: float = 1.2) -> np.ndarray:
    return (0.5 * np.sin(2 * np.pi * 440 * np.arange(round(16000 * seconds)) / 16000)).astype(np.float32)


def test_frames_and_sound_come_back(tmp_path):
    frames, waveform = film(), tone()
    write_video(tmp_path / "a.mp4", frames, waveform)
    with av.open(str(tmp_path / "a.mp4")) as container:
        video, audio = container.streams.video[0], container.streams.audio[0]
        assert (video.codec_context.name, audio.codec_context.name) == ("h264", "aac")
        assert video.average_rate == 25
        decoded = np.stack([f.to_ndarray(format="rgb24") for f in container.decode(video)])
        container.seek(0)
        sound = np.concatenate([f.to_ndarray()[0] for f in container.decode(audio)])
    assert decoded.shape == frames.shape
    assert np.abs(decoded.astype(int) - frames).mean() < 8
    spectrum = np.abs(np.fft.rfft(sound[2000:18000]))
    assert spectrum.argmax() == pytest.approx(440, abs=2)
    assert len(sound) >= len(waveform)


def test_the_same_input_gives_the_same_bytes_and_replaces_what_was_there(tmp_path):
    for name in ("a.mp4", "b.mp4"):
        write_video(tmp_path / name, film(), tone())
    write_video(tmp_path / "b.mp4", film(), tone())
    assert (tmp_path / "a.mp4").read_bytes() == (tmp_path / "b.mp4").read_bytes()
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.mp4", "b.mp4"]


def test_frames_may_come_one_after_another(tmp_path):
    write_video(tmp_path / "a.mp4", film(), tone())
    write_video(tmp_path / "b.mp4", iter(film()), tone())
    assert (tmp_path / "a.mp4").read_bytes() == (tmp_path / "b.mp4").read_bytes()
    with pytest.raises(ValueError, match="of one size"):
        write_video(tmp_path / "c.mp4", [*film(count=2), film(32)[0]])
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.mp4", "b.mp4"]


def test_odd_sides_are_extended_and_sound_is_optional(tmp_path):
    write_video(tmp_path / "a.mp4", film(65, 47))
    with av.open(str(tmp_path / "a.mp4")) as container:
        assert (container.streams.video[0].height, container.streams.video[0].width) == (66, 48)
        assert not container.streams.audio


def test_bad_arrays_leave_no_file(tmp_path):
    with pytest.raises(ValueError, match="uint8"):
        write_video(tmp_path / "a.mp4", film().astype(float))
    with pytest.raises(ValueError, match="waveform"):
        write_video(tmp_path / "a.mp4", film(), tone()[None])
    with pytest.raises(ValueError, match="time >= 1"):
        write_video(tmp_path / "a.mp4", film()[:0])
    assert not list(tmp_path.iterdir())


def test_a_relative_name_with_a_colon_is_no_protocol(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_video(Path("out:1.mp4"), np.zeros((2, 16, 16, 3), np.uint8))
    assert [p.name for p in tmp_path.iterdir()] == ["out:1.mp4"]
