"""The command as a user types it, in this process, on a puppet."""

from __future__ import annotations

import errno
import os
from dataclasses import replace
from pathlib import Path

import av
import numpy as np
import pytest

from models.preprocess.decoder import shared_decoder
from models.talk import film
from models.talk.__main__ import main


def decoded(path: Path) -> tuple[np.ndarray, int]:
    """Frames, and samples of sound."""
    with av.open(str(path)) as container:
        frames = np.stack([f.to_ndarray(format="rgb24") for f in container.decode(video=0)])
        container.seek(0)
        return frames, sum(f.samples for f in container.decode(audio=0))


@pytest.fixture
def ask(world, puppets_are_found, tmp_path, capsys):
    """Runs the command; gives its exit code, what it printed, and where the video is to be."""
    output = tmp_path / "out.mp4"

    def asked(*more: str, **files: str) -> tuple[int, str, Path]:
        code = main(world.command(output, *more, **files))
        said = capsys.readouterr()
        return code, said.out + said.err, output

    return asked


def test_a_voice_and_a_video_become_a_talking_video(ask):
    code, said, output = ask("--emotion=happy", "--steps=2")
    assert code == 0, said
    frames, samples = decoded(output)
    assert frames.shape == (25, 120, 160, 3)
    assert samples >= 16_000
    assert "25 frames, 1.0 s" in said
    assert sorted(p.name for p in output.parent.iterdir()) == ["cache", "out.mp4"]


def test_the_same_command_gives_the_same_bytes_and_learns_the_face_once(ask):
    first = ask("--emotion=happy", "--steps=2")[2].read_bytes()
    code, said, output = ask("--emotion=happy", "--steps=2")
    assert (code, "is there already" in said, output.read_bytes()) == (2, True, first)
    learned = [p for p in (output.parent / "cache").iterdir() if p.is_dir()]
    (learned[0] / "generator.safetensors").touch()
    before = (learned[0] / "generator.safetensors").stat().st_mtime_ns
    assert ask("--emotion=happy", "--steps=2", "--overwrite")[0] == 0
    assert output.read_bytes() == first
    assert [p for p in (output.parent / "cache").iterdir() if p.is_dir()] == learned
    assert (learned[0] / "generator.safetensors").stat().st_mtime_ns == before


def test_what_is_felt_changes_the_face(ask, world):
    made = {}
    for wish in (
        (),
        ("--emotion=happy",),
        ("--emotion=happy", "--intensity=3"),
        ("--emotion=happy3_neutral7",),
        (f"--emotion-from={world.root / 'long.wav'}",),
    ):
        assert ask(*wish, "--renderer=run", "--crop", "--overwrite")[0] == 0
        made[wish] = ask(*wish, "--renderer=run", "--crop", "--overwrite")[2].read_bytes()
    # The long recording repeats the voice, so its mean emotion is nearly, not exactly, the voice's own.
    assert len(set(made.values())) == len(made)


def test_a_voice_longer_than_the_video_plays_it_back_and_forth(ask):
    code, said, output = ask("--steps=2", audio="long.wav")
    assert code == 0, said
    frames = decoded(output)[0].astype(float)
    assert len(frames) == 50
    # Away from the face, frame 30 + k shows what frame 29 - k showed.
    for k in (0, 5, 15):
        assert np.abs(frames[30 + k, :, :20] - frames[29 - k, :, :20]).mean() < 1


def test_the_crop_is_square_and_needs_no_training_with_the_runs_renderer(ask):
    code, _, output = ask("--crop", "--renderer=run")
    assert code == 0
    assert decoded(output)[0].shape == (25, 32, 32, 3)
    assert not (output.parent / "cache").exists()


@pytest.mark.parametrize(
    ("more", "files", "message"),
    [
        ((), {"audio": "nobody.wav"}, "nobody.wav: no such file"),
        ((), {"audio": "broken.wav"}, "broken.wav: cannot be read as sound"),
        ((), {"audio": "silent.wav"}, "silent.wav: the sound is silent"),
        ((), {"audio": "brief.wav"}, "brief.wav: 0.01 s of sound; expected 0.2 s or more"),
        ((), {"target": "nobody.mp4"}, "nobody.mp4: no such file"),
        ((), {"target": "wall.mp4"}, "wall.mp4: no face found in any of its 10 frames"),
        ((), {"target": "short.mp4"}, "the target video has 4 frames, and a renderer learns from 6 or more"),
        (("--emotion=glad",), {}, "no emotion code for 'glad': trained on happy, neutral"),
        (("--emotion=neutral", "--intensity=3"), {}, "no code for neutral of intensity 3"),
        (("--row=evp/no_dtw",), {}, "has no row evp/no_dtw; its rows are evp, evp/broken"),
        (("--row=evp/broken",), {}, "FAILED (out of luck): run the suite again"),
        (("--seed=7",), {}, "has no row evp with seed 7"),
        (("--run=results/nothing",), {}, "no trained run at results/nothing: train one with `python -m"),
        (("--output=nowhere/out.mp4",), {}, "there is no folder nowhere"),
        (("--output=out.avi",), {}, "expected a name that ends in .mp4"),
        (("--steps=0",), {}, "--steps"),
        (("--device=warp",), {}, "--device warp cannot be used here"),
    ],
)
def test_what_cannot_be_used_is_one_line_and_leaves_nothing(ask, more, files, message):
    code, said, output = ask(*more, **files)
    assert code == 2
    errors = [line for line in said.splitlines() if line.startswith("error: ")]
    assert len(errors) == 1
    assert message in errors[0]
    assert not [p for p in output.parent.iterdir() if p.name != "cache"]


def test_a_run_without_emotions_says_so(ask, make_run, tmp_path):
    make_run(tmp_path / "results", emotions=False)
    (tmp_path / "out").mkdir()
    output = f"--output={tmp_path / 'out' / 'out.mp4'}"
    run = (f"--run={tmp_path / 'results' / 'tiny'}", output)
    code, said, _ = ask(*run, "--emotion=happy")
    assert code == 2
    assert "trained on a corpus without emotion labels: leave --emotion" in said
    assert ask(*run, "--renderer=run")[0] == 0


def test_a_full_disk_is_exit_4_and_leaves_no_video(ask, monkeypatch):
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(film, "write_video", full)
    code, said, output = ask("--renderer=run")
    assert (code, output.exists()) == (4, False)
    assert "no space left while writing" in said


def test_an_interrupt_leaves_nothing_half_written(ask, monkeypatch):
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("models.rendering.video._write_sound", interrupted)
    code, said, output = ask("--renderer=run")
    assert (code, list(output.parent.iterdir())) == (130, [])
    assert "interrupted" in said


@pytest.mark.parametrize("kind", ["device", "pipe"])
def test_an_output_that_is_no_file_is_refused_and_left_alone(ask, tmp_path, kind):
    place = tmp_path / "place.mp4"
    if kind == "pipe":
        os.mkfifo(place)
    else:
        place.symlink_to(os.devnull)
    code, said, _ = ask("--renderer=run", f"--output={place}", "--overwrite")
    assert (code, place.is_file()) == (2, False)
    assert f"-o: {place} is no file" in said


def test_no_input_is_overwritten(ask, tmp_path):
    target = tmp_path / "target.mp4"
    target.write_bytes(b"mine")
    (tmp_path / "link.mp4").symlink_to(target)
    for option in ("--audio", "--target"):
        code, said, _ = ask(f"{option}={target}", f"--output={tmp_path / 'link.mp4'}", "--overwrite")
        assert code == 2
        assert f"is the file of {option}, which would be lost" in said
    assert target.read_bytes() == b"mine"


def test_a_link_to_an_output_stays_one(ask, tmp_path):
    (tmp_path / "real").write_text("old")
    (tmp_path / "link.mp4").symlink_to("real")
    assert ask("--renderer=run", f"--output={tmp_path / 'link.mp4'}", "--overwrite")[0] == 0
    assert (tmp_path / "link.mp4").is_symlink()
    assert (tmp_path / "real").read_bytes()[4:8] == b"ftyp"


def test_what_is_odd_about_the_recordings_is_said(ask, monkeypatch):
    decoder = type(shared_decoder())
    sound, video = decoder.sound, decoder.video
    monkeypatch.setattr(decoder, "sound", lambda self, path: replace(sound(self, path), notes=("a hole",)))

    def noted(self, path):
        facts, pictures = video(self, path)
        return replace(facts, notes=("interlaced",)), pictures

    monkeypatch.setattr(decoder, "video", noted)
    code, said, _ = ask("--renderer=run")
    assert code == 0
    assert "voice.wav: a hole\n" in said
    assert "puppet.mp4: interlaced\n" in said
