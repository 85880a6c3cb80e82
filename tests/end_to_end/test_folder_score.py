"""`python -m benchmark.score`: the real command, on small folders with landmarks."""

from __future__ import annotations

import csv
import html
import importlib.util
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from benchmark.metrics.registry import METRICS
from benchmark.records import read_manifest, read_records
from benchmark.score.__main__ import main
from models.errors import printable
from models.locks import folder_lock
from tests.conftest import ROOT

_path = ROOT / "tests/unit/benchmark/score/videos.py"
_spec = importlib.util.spec_from_file_location("videos", _path)
assert _spec is not None
assert _spec.loader is not None
videos = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(videos)

FRAMES, CLIPS = 40, 3
FILES = {"report.html", "report.md", "scores.csv", "records.jsonl", "manifest.json"}


@pytest.fixture
def score(folders: Path, capsys, monkeypatch: pytest.MonkeyPatch) -> Callable[..., tuple[int, str]]:
    """The command in this process, with its exit code and what it says."""
    monkeypatch.chdir(folders)

    def run(*arguments: str) -> tuple[int, str]:
        return main(arguments), capsys.readouterr().err

    return run


@pytest.fixture(scope="module")
def folders(tmp_path_factory) -> Path:
    """generated/, reference/ and landmarks/: square videos, the generated ones harder compressed."""
    folder = tmp_path_factory.mktemp("folders")
    for clip in range(CLIPS):
        frames, points = videos.pictures(FRAMES, seed=clip), videos.landmarks(FRAMES, seed=clip)
        videos.write(folder / "reference" / f"{clip}.mp4", frames)
        videos.write_landmarks(folder / "landmarks" / "reference" / f"{clip}.npy", points)
        videos.write(folder / "generated" / f"{clip}.mp4", frames, crf=32)
        moved = points + np.random.default_rng(clip).normal(0, 0.5, points.shape).astype(np.float32)
        moved[: 2 * clip] = np.nan
        videos.write_landmarks(folder / "landmarks" / "generated" / f"{clip}.npy", moved)
    return folder


@pytest.fixture(scope="module")
def scored(folders: Path) -> Path:
    command = [sys.executable, "-m", "benchmark.score", "generated", "reference", "--landmarks", "landmarks"]
    done = subprocess.run(
        [*command, "--workers", "2", "--out", "out/two"],
        cwd=folders,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=500,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "out/two/report.html"
    assert "scoring: 3 of 3 clips" in done.stderr
    return folders / "out" / "two"


def test_every_protocol_that_applies_has_a_score(scored: Path) -> None:
    assert {path.name for path in scored.iterdir()} == FILES
    found = {record.protocol for record in read_records(scored / "records.jsonl")}
    needed = frozenset({"landmarks", "frames", "square"})
    expected = {m.id for m in METRICS if m.level == "clip" and m.needs <= needed}
    assert expected <= found
    manifest = read_manifest(scored / "manifest.json")
    assert set(manifest.protocols) == found
    assert manifest.clips["2"]["frames"] == FRAMES


def test_missing_faces_are_counted_and_bounded(scored: Path) -> None:
    records = {r.clip: r for r in read_records(scored / "records.jsonl") if r.protocol == "ld/mouth"}
    assert [records[str(k)].coverage for k in range(CLIPS)] == [1.0, 38 / 40, 36 / 40]
    assert "†" in (scored / "report.md").read_text(encoding="utf-8")


def test_frames_are_counted_as_frames_and_strangers_are_not_compared(scored: Path) -> None:
    report = (scored / "report.md").read_text(encoding="utf-8")
    assert f"{FRAMES * CLIPS} frames of {CLIPS} clips" in report
    assert "nothing says which are of one speaker" in report
    assert read_manifest(scored / "manifest.json").floors == {}
    left_out = next(line for line in report.splitlines() if "need more than is given here" in line)
    assert "Emotion accuracy" in left_out
    assert "Sync offset" in left_out


@pytest.mark.filterwarnings("error::RuntimeWarning")
def test_two_clips_have_no_interval_and_the_reason(score, folders: Path, tmp_path: Path) -> None:
    for side in ("generated", "reference"):
        (tmp_path / side / "ada").mkdir(parents=True)
        for name in ("0.mp4", "1.mp4"):
            (tmp_path / side / "ada" / name).symlink_to(folders / side / name)
    code, said = score(
        *(str(tmp_path / "generated"), str(tmp_path / "reference"), "--no-landmarks", "--allow-biased"),
        *("--speakers", "folder", "--workers", "1", "--out", str(tmp_path / "out")),
    )
    assert code == 0, said
    report = (tmp_path / "out" / "report.md").read_text(encoding="utf-8")
    assert "There is no interval: 2 clips cannot say how others would score; it takes 3 or more." in report
    assert "none (2 clips, and it takes 3)" in report
    assert "Real clips against other real clips: " in report
    manifest = read_manifest(tmp_path / "out" / "manifest.json")
    assert {floor["paired"].clips for floor in manifest.floors.values()} == {1}


def test_the_table_per_clip_has_the_records_values(scored: Path) -> None:
    lines = list(csv.DictReader((scored / "scores.csv").open(encoding="utf-8")))
    assert [line["clip"] for line in lines] == ["0", "1", "2"]
    for record in read_records(scored / "records.jsonl"):
        if record.clip != "*" and record.value is not None:
            assert float(lines[int(record.clip)][record.protocol]) == record.value


def test_the_page_stands_alone(scored: Path) -> None:
    page = (scored / "report.html").read_text(encoding="utf-8")
    assert "generated against reference" in page
    assert "http" not in page.replace("http-equiv", "")
    assert "<script" not in page


def test_the_number_of_workers_changes_no_byte(score, folders: Path, scored: Path) -> None:
    arguments = ("generated", "reference", "--landmarks", "landmarks", "--workers", "1", "--out", "out/one")
    code, said = score(*arguments)
    assert code == 0, said
    for name in FILES:
        assert (folders / "out" / "one" / name).read_bytes() == (scored / name).read_bytes(), name


def test_the_truth_against_itself_is_perfect(score, folders: Path) -> None:
    landmarks = folders / "landmarks" / "reference"
    code, said = score(
        *("reference", "reference", "--out", "out/self", "--extractors"),
        *("--landmarks-generated", str(landmarks), "--landmarks-reference", str(landmarks)),
    )
    assert code == 0, said
    values: dict[str, set[float | None]] = {}
    for record in read_records(folders / "out" / "self" / "records.jsonl"):
        values.setdefault(record.protocol, set()).add(record.value)
    assert values["ld/mouth"] == values["lvd/face"] == {0.0}
    assert values["psnr"] == {None}
    assert min(v for v in values["ssim"] if v is not None) == pytest.approx(1, abs=1e-12)


def test_what_is_there_is_replaced_only_when_asked(score, folders: Path, scored: Path) -> None:
    arguments = ("generated", "reference", "--no-landmarks", "--extractors")
    code, said = score(*arguments, "--out", str(scored))
    assert code == 2
    assert "--overwrite replaces them" in said
    code, said = score(*arguments, "--out", "landmarks")
    assert code == 2
    assert "landmarks: has files of something else in it" in said


def test_all_problems_are_told_at_once_and_nothing_is_written(score, folders: Path, tmp_path: Path) -> None:
    for name in ("0", "1", "3"):
        videos.write(tmp_path / "mine" / f"{name}.mp4", videos.pictures(FRAMES - int(name)))
    (tmp_path / "mine" / "2.mp4").write_bytes(b"not a video")
    code, said = score(str(tmp_path / "mine"), "reference", "--out", str(tmp_path / "out"))
    assert code == 2
    assert "3 problems, nothing was written" in said
    for words in ("only in the generated folder: 3", "generated 2: ", "1: generated has 39 frames"):
        assert words in said
    assert {path.name for path in tmp_path.iterdir()} == {"mine"}


@pytest.mark.parametrize("out", ["file", "dangling", "file/below", "/proc/scores", "/dev/null"])
def test_an_output_that_cannot_be_written_is_refused_before_a_video_is_opened(
    score, folders: Path, tmp_path: Path, out: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    (tmp_path / "dangling").symlink_to("nowhere")
    monkeypatch.setattr("benchmark.score.folder.pair_folders", None)
    code, said = score("generated", "reference", "--no-landmarks", "--out", str(tmp_path / out))
    assert code == (4 if out == "/proc/scores" else 2)
    assert said.startswith("error: ")
    assert said.count("\n") == 1
    assert out.removesuffix("/below") in said
    assert {path.name for path in tmp_path.iterdir()} == {"file", "dangling"}


def test_a_link_to_a_folder_is_filled_and_stays_a_link(score, folders: Path, tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    for more in ((), ("--overwrite",)):
        code, said = score(
            *("generated", "reference", "--no-landmarks", "--extractors", "--workers", "1"),
            *("--out", str(tmp_path / "link"), *more),
        )
        assert code == 0, said
        assert (tmp_path / "link").is_symlink()
        assert {path.name for path in (tmp_path / "real").iterdir()} == FILES


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--stall-seconds", "nan"), "--stall-seconds: expected 0 or more"),
        (("--workers", "0"), "--workers: expected 1 or more"),
        (("--no-landmarks", "--crop", "face"), "--crop face needs the reference's landmarks"),
        (("--landmarks-reference", "landmarks"), "--landmarks-generated is missing"),
        (("--landmarks", "nowhere"), "nowhere/generated: no such folder of generated landmarks"),
    ],
)
def test_options_that_cannot_be_used_are_named(score, arguments, words: str) -> None:
    code, said = score("generated", "reference", *arguments)
    assert code == 2
    assert words in said


@pytest.mark.parametrize(
    ("generated", "reference"),
    [("(1) gen#3~ <b>'24 & x|y*_", "v1."), (".gen" + "x" * 200, os.fsdecode(b"g\xff"))],
)
def test_folders_may_have_any_name(
    score, folders: Path, tmp_path: Path, capsys, generated: str, reference: str
) -> None:
    for side, name in (("generated", generated), ("reference", reference)):
        shutil.copytree(folders / side, tmp_path / name)
    videos.write(tmp_path / generated / "0.mp4", videos.pictures(FRAMES + 1))
    code, said = score(
        *(str(tmp_path / generated), str(tmp_path / reference), "--no-landmarks", "--trim", "1"),
        *("--extractors", "--workers", "1", "--out", str(tmp_path / "out")),
    )
    assert code == 0, said
    # What an option allowed is said on the screen, too.
    assert "The longer video was cut at its end in 1 clips: 0." in said
    manifest = read_manifest(tmp_path / "out" / "manifest.json")
    (row,) = manifest.methods.values()
    assert row.label == generated
    page = (tmp_path / "out" / "report.html").read_text()
    assert f"{generated} against {printable(reference)}" in html.unescape(page)
    assert "<b>" not in page


def test_a_second_command_goes_on_where_the_first_was_refused(folders: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    good, bad = tmp_path / "good", tmp_path / "bad"
    shutil.copytree(folders / "generated", good)
    shutil.copytree(folders / "generated", bad)
    data = (bad / "2.mp4").read_bytes()
    (bad / "2.mp4").write_bytes(data[: len(data) // 2])
    with folder_lock(out, "it", say=lambda message: None, remove=True):
        command = [
            sys.executable,
            "-m",
            "benchmark.score",
            "--no-landmarks",
            "--extractors",
            "--workers",
            "1",
        ]
        running = [
            subprocess.Popen(
                [*command, str(side), "reference", "--out", str(out), "--extractors"],
                cwd=folders,
                env={**os.environ, "PYTHONPATH": str(ROOT)},
                stderr=subprocess.PIPE,
                text=True,
            )
            for side in (bad, good)
        ]
        streams = [process.stderr for process in running]
        assert all(stream and "waiting for the scores" in stream.readline() for stream in streams)
    said = [process.communicate(timeout=300)[1] for process in running]
    assert [process.returncode for process in running] == [2, 0], said
    assert {path.name for path in out.iterdir()} == FILES
