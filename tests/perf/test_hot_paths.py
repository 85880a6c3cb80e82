"""Timings of the hot paths: pytest --benchmark-only. Nothing is asserted about the machine's speed."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from models.audio.dtw import dtw_path
from models.audio.features import WindowBank
from models.audio.mfcc import mfcc
from models.audio.pairs import Pairs
from models.disentangle.cross import CrossReconstruction
from models.face3d.fitting import fit
from models.face3d.morphable import learn
from models.landmarks.alignment import stabilise


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(0)


def test_mfcc_of_a_minute(benchmark, rng) -> None:
    waveform = rng.normal(0, 0.05, 60 * 16000).astype(np.float32)
    assert len(benchmark(mfcc, waveform)) >= 6000


def test_dtw_of_400_by_500_rows(benchmark, rng) -> None:
    first, second = rng.normal(size=(400, 13)), rng.normal(size=(500, 13))
    path = benchmark(dtw_path, first, second)
    assert (path.first[-1], path.second[-1]) == (399, 499)


def test_fit_of_1000_frames(benchmark, rng) -> None:
    people = rng.normal(0, 40, (68, 3)) + rng.normal(0, 3, (40, 1, 68, 3))
    heads = people + rng.normal(0, 1, (40, 20, 68, 3))
    model = learn(heads, 20, 24)
    landmarks = np.tile(heads[0, :, :, :2] + 128, (50, 1, 1))
    assert len(benchmark.pedantic(fit, (model, landmarks), rounds=3).pose) == 1000


def test_stabilise_75_frames(benchmark, rng) -> None:
    landmarks = rng.normal(128, 40, (75, 68, 2)).astype(np.float32)
    assert benchmark(stabilise, landmarks).shape == landmarks.shape


def test_batch_of_the_disentanglement(benchmark, rng) -> None:
    """64 windows of 1000 contents in eight emotions; the released loader unpickles one file for each."""
    contents, emotions = 1000, 8
    rows = torch.from_numpy(rng.normal(size=(4 * contents + 24, emotions, 12)).astype(np.float32))
    present = np.ones((contents, emotions), bool)
    pairs = Pairs(rows, 4 * np.arange(contents), np.zeros(contents, int), present)
    assert benchmark(CrossReconstruction().draw, pairs, 16, rng).windows.shape == (4, 16, 1, 28, 12)


def test_windows_of_16_landmark_sequences(benchmark, rng) -> None:
    clips = [rng.normal(size=(4 * 75 + 24, 13)).astype(np.float32) for _ in range(200)]
    bank = WindowBank(clips, torch.device("cpu"))

    def draw():
        starts = rng.integers(len(bank) - 16, size=16)
        return bank.windows((starts[:, None] + np.arange(16)).ravel())

    assert benchmark(draw).shape == (256, 1, 28, 12)
