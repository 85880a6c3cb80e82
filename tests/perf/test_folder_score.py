"""A folder of 100 clips of 3 s at 256 px with landmarks given: 60 s or less on two cores, in 1.5 GB."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest

from tests.conftest import ROOT

_path = ROOT / "tests/unit/benchmark/score/videos.py"
_spec = importlib.util.spec_from_file_location("videos", _path)
assert _spec is not None
assert _spec.loader is not None
videos = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(videos)

CLIPS, FRAMES, SIZE = 100, 75, 256
LIMIT_SECONDS, LIMIT_BYTES = 60.0, 1.5e9


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """Moving pictures and landmarks; every clip is its own, the generated ones are compressed harder."""
    folder = tmp_path_factory.mktemp("hundred")
    for clip in range(CLIPS):
        frames = videos.pictures(FRAMES, width=SIZE, height=SIZE, seed=clip)
        points = videos.landmarks(FRAMES, width=SIZE, height=SIZE, seed=clip)
        for side, crf in (("generated", 30), ("reference", 18)):
            videos.write(folder / side / f"{clip:03}.mp4", frames, crf=crf)
            videos.write_landmarks(folder / "landmarks" / side / f"{clip:03}.npy", points)
    return folder


def memory_of(root: int) -> int:
    """Bytes that a process and all below it hold: each shared page in equal parts."""
    children: dict[int, list[int]] = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        children.setdefault(int(fields[1]), []).append(int(stat.parent.name))
    found, todo = 0, [root]
    while todo:
        process = todo.pop()
        todo += children.get(process, [])
        try:
            lines = Path(f"/proc/{process}/smaps_rollup").read_text().splitlines()
        except OSError:
            continue
        found += sum(1024 * int(line.split()[1]) for line in lines if line.startswith("Pss:"))
    return found


def run(folder: Path, out: str) -> tuple[float, float, int]:
    """Seconds, seconds of CPU, and the largest memory of the command."""
    command = [sys.executable, "-m", "benchmark.score", "generated", "reference", "--landmarks", "landmarks"]
    before, began = os.times(), time.monotonic()
    process = subprocess.Popen(
        [*command, "--workers", "2", "--out", out],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stderr=subprocess.PIPE,
        text=True,
    )
    peak, over = 0, threading.Event()

    def watch() -> None:
        nonlocal peak
        while not over.wait(0.25):
            peak = max(peak, memory_of(process.pid))

    watcher = threading.Thread(target=watch)
    watcher.start()
    _, said = process.communicate()
    over.set()
    watcher.join()
    assert process.returncode == 0, said
    took, after = time.monotonic() - began, os.times()
    cpu = after.children_user + after.children_system - before.children_user - before.children_system
    return took, cpu, peak


@pytest.mark.benchmark(group="folder")
@pytest.mark.timeout(900)
def test_a_hundred_clips(benchmark, folder: Path) -> None:
    figures = []
    benchmark.pedantic(lambda: figures.append(run(folder, f"out/{len(figures)}")), rounds=1)
    took, cpu, peak = (float(np.max(column)) for column in zip(*figures, strict=True))
    benchmark.extra_info.update(seconds=took, cpu_seconds=cpu, peak_bytes=peak)
    assert took <= LIMIT_SECONDS, f"{took:.1f} s, {cpu:.1f} s of CPU"
    assert peak <= LIMIT_BYTES, f"{peak / 1e9:.2f} GB"
