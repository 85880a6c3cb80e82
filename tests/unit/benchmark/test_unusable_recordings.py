"""What becomes of recordings that cannot be used, of a run's folder and of its command, on small files."""

from __future__ import annotations

import json
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile

from benchmark.config import Settings, load
from benchmark.plan import make_plan
from benchmark.preparation import inspected_study
from benchmark.run import main
from benchmark.run_folder import CORPUS, command_of
from tests.conftest import ROOT
from tests.unit.benchmark.score.videos import landmarks, pictures, write

FRAMES = 15
GOOD = ["s7", "s8", "s9", "t0", "t1", "t2"]
SEEN = {
    "anna/s0.mp4": "",
    "anna/s1.mp4": "silent",
    "anna/s2.mp4": "empty",
    "anna/s3.mp4": "at least 0.4 s are needed",
    "anna/s4.mp4": "no audio stream",
    "anna/s5.mp4": "",
    "anna/s6.mp4": "they do not belong together",
}
"""What inspection finds, with what its reason says: truncated, silent, empty, short, mute, unreadable, and
with the sound of another video."""
FACELESS = "anna/t3.mp4"


def record(path: Path, seed: int, frames: int = FRAMES, seconds: float | None = None) -> None:
    """Write a silent video, its sound beside it, and its landmarks."""
    write(path, pictures(frames, seed=seed))
    seconds = frames / 25 if seconds is None else seconds
    noise = np.random.default_rng(seed).normal(0, 0.1, round(16000 * seconds)).clip(-1, 1)
    soundfile.write(path.with_suffix(".wav"), noise, 16000)
    np.save(path.with_suffix(".npy"), landmarks(frames, seed=seed))


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("good")
    for seed, name in enumerate(GOOD):
        record(root / "anna" / f"{name}.mp4", seed)
    return root


@pytest.fixture(scope="module")
def mixed(good: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("mixed") / "it's data"
    shutil.copytree(good, root)
    for seed, name in enumerate([*SEEN, FACELESS], start=20):
        record(root / name, seed)
    path = root / "anna/s0.mp4"
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    soundfile.write(root / "anna/s1.wav", np.zeros(9600), 16000)
    (root / "anna/s2.mp4").write_bytes(b"")
    record(root / "anna/s3.mp4", 3, frames=5)
    (root / "anna/s4.wav").unlink()
    (root / "anna/s5.mp4").write_bytes(b"not a video at all" * 100)
    record(root / "anna/s6.mp4", 6, seconds=5.0)
    np.save((root / FACELESS).with_suffix(".npy"), np.full((FRAMES, 68, 2), np.nan))
    return root


def arguments(place: Path, root: Path, *extra: str) -> list[str]:
    detector = "data.detector={_target_:models.preprocess.faces.Given}"
    return [
        "suite=smoke",
        "data=folder",
        f"data.root={root}",
        "~data.detector",
        f"+{detector}",
        f"out={place}/results",
        f"cache={place}/cache",
        "data.frame_size=32",
        "methods=[ground_truth]",
        "ablations=[full]",
        "metrics.extractors=[]",
        "metrics.resamples=2",
        "metrics.sync_steps=0",
        "observe.clips=0",
        "tracking=disabled",
        "workers=1",
        *extra,
    ]


def settings_of(place: Path, root: Path, *extra: str) -> Settings:
    return load(arguments(place, root, *extra))


def test_refusing_names_every_recording_that_cannot_be_used_before_the_work(
    mixed: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for extra in (["dry_run=true"], []):
        assert main(arguments(tmp_path, mixed, *extra)) == 2
        said = capsys.readouterr().err
        assert "7 recordings cannot be used" in said
        assert "data.unusable=skip" in said
        lines = [line for line in said.splitlines() if line.startswith("  cannot be used: ")]
        assert [line.split(": ")[1] for line in lines] == list(SEEN)
        for line, reason in zip(lines, SEEN.values(), strict=True):
            assert reason in line
        assert str(mixed) not in "".join(lines)
    assert not (tmp_path / "results" / "stages").exists()


def test_skipping_leaves_all_of_them_out_and_the_command_can_be_repeated(
    mixed: Path, good: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments(tmp_path, mixed, "data.unusable=skip", "dry_run=true")) == 0
    said = capsys.readouterr().out
    assert "7 recordings are left out (data.unusable=skip), as they cannot be used" in said
    assert all(name in said for name in SEEN)
    assert "clips are not prepared yet" in said

    assert main(arguments(tmp_path, mixed, "data.unusable=skip")) == 0
    out, err = capsys.readouterr()
    assert "note: 7 recordings are left out" in err or "note: 8 recordings are left out" in err
    run = tmp_path / "results" / "smoke-folder"
    manifest = json.loads((run / "manifest.json").read_text())
    assert manifest["cells"][0]["status"] == "done"
    assert set(manifest["provenance"]["left out"]) == {*SEEN, FACELESS}
    assert "no face found" in manifest["provenance"]["left out"][FACELESS]
    assert any(FACELESS in note for note in manifest["notes"])
    assert any("take it from the sound file of the same name" in note for note in manifest["notes"])
    assert FACELESS in out

    # The split is that of a folder in which only the usable recordings lie.
    clean = make_plan(s := settings_of(tmp_path, good), inspected_study(s)).study.split
    assert manifest["provenance"]["test sentences"] == sorted({c.sentence for c in clean.test})
    assert manifest["provenance"]["split"]["train"] == len(clean.train)

    # Pasted into a shell in the repository, the command finds the same run, whole.
    command = manifest["provenance"]["command"]
    before = {p: p.read_bytes() for p in run.rglob("*") if p.is_file()}
    environment = {"PATH": f"{Path(sys.executable).parent}:/usr/bin:/bin", "HOME": str(tmp_path)}
    done = subprocess.run(
        ["sh", "-c", command], cwd=ROOT, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "nothing was left to do" in done.stdout
    assert {p: p.read_bytes() for p in run.rglob("*") if p.is_file()} == before

    # What preparation found is known to the next plan, and named under the other policy.
    shutil.rmtree(run)
    for name in SEEN:
        for suffix in (".mp4", ".wav", ".npy"):
            (mixed / name).with_suffix(suffix).unlink(missing_ok=True)
    assert main(arguments(tmp_path, mixed)) == 2
    said = capsys.readouterr().err
    assert f"cannot be used: {FACELESS}: anna/t3.mp4: no face found" in said
    assert not run.joinpath("records.jsonl").exists()


def test_a_run_folder_keeps_to_one_data_set(
    good: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def run(root: Path, *extra: str) -> int:
        return main(arguments(tmp_path, root, *extra))

    first, second = tmp_path / "first", tmp_path / "second"
    shutil.copytree(good, first)
    shutil.copytree(good, second)
    record(second / "anna" / "more.mp4", 99)
    place = tmp_path / "results" / "smoke-folder" / CORPUS
    assert run(first, "dry_run=true") == 0
    assert not place.exists()
    place.parent.mkdir(parents=True)
    place.write_text(json.dumps({"name": "folder", "places": {"root": str(first)}, "content": ""}))
    capsys.readouterr()
    assert run(second, "dry_run=true") == 2
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    for words in ("holds results of the data set folder at", str(first), str(second), "run=NAME"):
        assert words in said
    assert run(second, "dry_run=true", "run=other") == 0
    # Changed where it lies, it is still the same data set.
    record(first / "anna" / "more.mp4", 98)
    assert run(first, "dry_run=true") == 0


def test_a_damaged_note_of_the_data_set_lets_only_the_same_one_in(
    good: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def run(root: Path) -> int:
        return main(arguments(tmp_path, root, "dry_run=true"))

    other = tmp_path / "other"
    shutil.copytree(good, other)
    record(other / "anna" / "more.mp4", 99)
    place = tmp_path / "results" / "smoke-folder" / CORPUS
    place.parent.mkdir(parents=True)
    identity = inspected_study(load(arguments(tmp_path, good))).corpus_id
    manifest = {"corpus": "folder", "provenance": {"corpus identity": identity}}
    (place.parent / "manifest.json").write_text(json.dumps(manifest))
    for damage in (b"", b"{}", b"\xff{"):
        place.write_bytes(damage)
        assert run(good) == 0
        capsys.readouterr()
        assert run(other) == 2
        said = capsys.readouterr().err
        assert said.count("\n") == 1
        for words in (f"{place} is damaged", str(other), "run=NAME"):
            assert words in said


def test_the_command_is_quoted_and_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "my data").mkdir()
    given = ["data=folder", "data.root=my data", "run=a b", "workers=1", "dry_run=true"]
    settings = load([*given, "tracking=disabled", "methods=[evp]", "method.landmarks.steps=7"])
    words = shlex.split(command_of(settings))
    assert words[:4] == ["python", "-m", "benchmark.run", "suite=quick"]
    assert {"data=folder", "run=a b", "tracking=disabled", "method.landmarks.steps=7"} <= set(words)
    assert not any(word.startswith(("workers", "dry_run")) for word in words)
    monkeypatch.chdir(ROOT)
    repeated = load(words[3:])
    assert repeated.run_directory == tmp_path / "results" / "a b"
    assert repeated.data["root"] == str(tmp_path / "my data")


PLACES = {
    "metrics.inception_weights": "w.pth",
    "pretraining.corpus.root": "lrw",
    "pretraining.corpus.cache": "lrw cache",
    "face3d.path": "ict",
    "observe.cache": "c",
    "features.logits": "logits (1)",
    "data.detector.models": "detector",
    "method.renderer.perceptual_weights": "vgg.pth",
}


def test_every_place_in_the_command_is_where_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "w.pth").write_bytes(b"")
    chosen = ["data=folder", "pretraining=lrw", "face3d=ict", "features=deepspeech"]
    typed = [f"{key}={place}" for key, place in PLACES.items()]
    command = command_of(load([*chosen, *typed, "data.table=t.csv", "methods=[evp]", "out=${oc.env:HOME}/o"]))
    words = shlex.split(command)
    monkeypatch.chdir(ROOT)
    repeated = load(words[3:]).composer.places()
    assert {key: repeated[key] for key in PLACES} == {k: str(tmp_path / p) for k, p in PLACES.items()}
    assert repeated["data.table"] == "t.csv"
    # Not typed, but relative all the same.
    assert repeated["data.root"] == str(tmp_path / "data/folder")
    assert "out=${oc.env:HOME}/o" in command
    assert len(words) == len({word.split("=")[0] for word in words[3:]}) + 3


def test_a_command_given_in_the_repository_stays_as_it_was_typed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    command = command_of(load(["suite=smoke", "face3d=ict", "face3d.path=ict"]))
    assert command == "python -m benchmark.run suite=smoke face3d=ict face3d.path=ict"
