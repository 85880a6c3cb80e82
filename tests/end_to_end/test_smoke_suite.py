"""The real command on the real method, tiny: it ends, does nothing twice, and its report can be rebuilt."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from benchmark.ablations import ABLATIONS
from benchmark.observations import OBSERVATIONS, read_observations
from benchmark.records import FULL, read_manifest, read_records
from models.errors import InputError
from models.preprocess.decoder import shared_decoder
from models.preprocess.facemesh import find_models
from reports.paper import build_report

ROOT = Path(__file__).resolve().parents[2]


def run(*arguments: str, places: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "benchmark.run", "suite=smoke", f"out={places / 'results'}"]
    return subprocess.run(
        [*command, f"cache={places / 'cache'}", *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=560,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        check=False,
    )


@pytest.fixture(scope="module")
def places(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("smoke")
    done = run(places=folder)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return folder


def everything(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def test_every_method_condition_and_landmark_protocol_has_its_rows(places: Path) -> None:
    records = read_records(places / "results" / "smoke" / "records.jsonl")
    manifest = read_manifest(places / "results" / "smoke" / "manifest.json")
    assert all(cell.status == "done" for cell in manifest.cells)
    found = {(r.method, r.ablation, r.condition, r.protocol) for r in records}
    for row in manifest.methods:
        method, _, ablation = row.partition("/")
        for condition in ("self", "transfer"):
            for protocol in ("ld/mouth", "ld/face", "lvd/mouth", "lvd/face", "emotion"):
                assert (method, ablation or "full", condition, protocol) in found
    assert ("evp", "full", "self", "ssim") in found
    assert ("evp", "no_dtw", "self", "ssim") in found


def test_the_ceiling_is_perfect_and_nothing_else_is(places: Path) -> None:
    records = read_records(places / "results" / "smoke" / "records.jsonl")
    for record in records:
        if record.protocol == "ld/face":
            assert (record.value == 0) == (record.method == "ground_truth"), record


def test_the_report_says_what_the_metrics_see(places: Path) -> None:
    folder = places / "results" / "smoke"
    found = read_observations(folder / OBSERVATIONS)
    scored = {record.protocol for record in read_records(folder / "records.jsonl")}
    # Two clips are too few for a Fréchet distance.
    unseen = {p for p in scored - set(found.protocols) if not p.startswith(("fd/", "kid/"))}
    assert unseen == set()
    page = (folder / "report" / "index.html").read_text(encoding="utf-8")
    assert "M-LD does not see" in page
    assert (folder / "report" / "observability.html").is_file()


def test_a_video_is_made_with_sound(places: Path) -> None:
    folder = places / "results" / "smoke"
    manifest = json.loads((folder / "manifest.json").read_text())
    item, videos = next((k, v) for k, v in manifest["media"].items() if "evp/full/0" in v)
    decoder = shared_decoder()
    _, frames = decoder.video(folder / videos["evp/full/0"])
    _, truth = decoder.video(folder / videos["truth"])
    assert len(frames) == len(truth) > 25, item
    assert np.ptp(np.array(frames).astype(int), axis=0).max() > 10, "the face moves"
    assert np.abs(decoder.sound(folder / videos["evp/full/0"]).waveform).max() > 0.01


def test_the_run_makes_a_talking_video(places: Path) -> None:
    try:
        find_models(None)
    except InputError as error:
        pytest.skip(str(error))
    folder = places / "results" / "smoke"
    videos = next(iter(json.loads((folder / "manifest.json").read_text())["media"].values()))
    output = places / "talk.mp4"
    command = [sys.executable, "-m", "models.talk", "--run", str(folder), "--cache", str(places / "talk")]
    command += ["--audio", str(folder / videos["truth"]), "--target", str(folder / videos["truth"])]
    done = subprocess.run(
        [*command, "--emotion", "happy", "--steps", "3", "-o", str(output)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    decoder = shared_decoder()
    _, frames = decoder.video(output)
    _, target = decoder.video(folder / videos["truth"])
    # A codec may lengthen the sound by a part of a frame.
    assert len(frames) - len(target) in (0, 1)
    assert frames.shape[1:] == target.shape[1:]
    changed = np.abs(np.array(frames[: len(target)], int) - target).mean((0, -1))
    middle = slice(len(changed) // 3, -len(changed) // 3)
    assert changed[middle, middle].mean() > 4 * changed[:3].mean(), "another face, the same surroundings"
    assert np.abs(decoder.sound(output).waveform).max() > 0.01


def test_the_second_run_does_nothing(places: Path) -> None:
    before = everything(places / "results" / "smoke")
    again = run(places=places)
    assert again.returncode == 0, again.stderr
    assert everything(places / "results" / "smoke") == before


def test_the_report_can_be_made_again_from_the_records(places: Path) -> None:
    folder = places / "results" / "smoke"
    before = everything(folder / "report")
    for path in sorted((folder / "report").rglob("*"), reverse=True):
        path.rmdir() if path.is_dir() else path.unlink()
    build_report(folder)
    assert everything(folder / "report") == before


def test_every_ablation_trains_and_answers_otherwise_than_the_full_model(places: Path) -> None:
    names = [entry.name for entry in ABLATIONS if not entry.needs_frames]
    done = run(
        "run=ablations",
        "methods=[evp]",
        f"ablations=[{','.join(names)}]",
        "items.filmed=false",
        "tracking=disabled",
        places=places,
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    errors: dict[str, list[float | None]] = {name: [] for name in names}
    for record in read_records(places / "results" / "ablations" / "records.jsonl"):
        if record.protocol == "ld/face":
            errors[record.ablation].append(record.value)
    assert all(len(values) == len(errors[FULL]) > 0 for values in errors.values())
    assert [name for name in names if errors[name] == errors[FULL]] == [FULL]
