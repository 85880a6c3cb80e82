"""Whole steps of the paper's networks against straightforward implementations: pytest --benchmark-only.

Ratios are of medians. Each comparison also asserts that both compute the same.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from models import initialise
from models.audio.mfcc import mfcc, windows
from models.disentangle.cross import CrossReconstruction, Disentangler, Grid, measured
from models.landmarks.network import AudioToLandmarks
from models.landmarks.pca import LandmarkPCA
from models.landmarks.predictor import LandmarkPredictor
from models.losses import distance_named
from models.optimisation import BETAS, adam
from tests import paper_scale
from tests.parity.released_step import released_step
from tests.perf.contest import in_cpu_seconds, times_faster

EMOTIONS, BATCH = 8, 16
Terms = Callable[[Disentangler], dict[str, Tensor]]


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def speech(seconds: float) -> np.ndarray:
    """Noise whose level and colour change four times a second."""
    rng = np.random.default_rng(0)
    pieces = []
    for _ in range(round(4 * seconds)):
        noise = rng.normal(0, rng.uniform(0.01, 0.2), 4_000)
        pieces.append(np.convolve(noise, rng.normal(size=24), mode="same"))
    return np.concatenate(pieces).astype(np.float32)


# A step of the disentanglement


def disentangler() -> Disentangler:
    model = paper_scale.stage("disentangle").sizes.build(EMOTIONS)
    initialise.kaiming(model, torch.Generator().manual_seed(0))
    initialise.normal(model.decoder.layers[-1], torch.Generator().manual_seed(1))
    return model.train()


def grid() -> Grid:
    rng = np.random.default_rng(3)
    bank = torch.from_numpy(windows(mfcc(speech(8.0))).copy())[:, None]
    first = rng.integers(EMOTIONS, size=BATCH)
    second = (first + rng.integers(1, EMOTIONS, size=BATCH)) % EMOTIONS
    content = rng.integers(len(bank), size=(3, BATCH))
    slots = np.stack([content[0], content[1], content[2], (content[0] + 1) % len(bank)])
    return Grid(
        bank[torch.from_numpy(slots)],
        torch.from_numpy(np.stack([*content, content[0]])),
        torch.from_numpy(np.stack([first, first, second, second])),
    )


@in_cpu_seconds
def test_disentanglement_step_of_16(benchmark: Any) -> None:
    """Against every reconstruction encoding its windows anew, and Adam as torch has it by default."""
    batch, l1 = grid(), distance_named("l1")

    def ours(model: Disentangler) -> dict[str, Tensor]:
        terms = measured(CrossReconstruction(), model, batch, l1, label_smoothing=0.0)
        return {name: term for name, term in terms.items() if name != "triplet"}

    def theirs(model: Disentangler) -> dict[str, Tensor]:
        return released_step(model, batch.windows, batch.emotion[0], batch.emotion[2])

    first, second = disentangler(), disentangler()
    computed, expected = ours(first), theirs(second)
    for name, term in expected.items():
        torch.testing.assert_close(computed[name], term, rtol=1e-5, atol=0, msg=name)
    for terms in (computed, expected):
        torch.stack([terms[name] for name in expected]).sum().backward()
    gradients = [
        torch.cat([p.grad.flatten() for p in model.parameters() if p.grad is not None])
        for model in (first, second)
    ]
    assert (gradients[0] - gradients[1]).norm() <= 1e-5 * gradients[1].norm()

    fused = adam(first.parameters(), learning_rate=2e-4, steps=1, decay=False)
    plain = torch.optim.Adam(second.parameters(), lr=2e-4, betas=BETAS)

    def step(
        model: Disentangler,
        terms: Callable[[Disentangler], dict[str, Tensor]],
        optimizer: torch.optim.Optimizer,
    ) -> Callable[[], None]:
        def run() -> None:
            optimizer.zero_grad(set_to_none=True)
            torch.stack(list(terms(model).values())).sum().backward()
            optimizer.step()

        return run

    assert times_faster(benchmark, step(first, ours, fused), step(second, theirs, plain)) >= 2.2


# Audio to landmarks


def landmark_network() -> AudioToLandmarks:
    network = AudioToLandmarks(paper_scale.stage("landmarks").sizes)
    generator = torch.Generator().manual_seed(0)
    for part in (network.content, network.emotion):
        initialise.kaiming(part, generator)
    for part in (network.identity, network.lstm, network.head):
        initialise.uniform(part, generator)
    # Statistics of real windows, as after a training; those of a fresh network let activations explode.
    network.train()
    inputs = torch.from_numpy(windows(mfcc(speech(4.0))).copy())[:, None]
    with torch.no_grad():
        for part in (network.content, network.emotion):
            for module in part.modules():
                if isinstance(module, torch.nn.BatchNorm2d):
                    module.momentum = None
            part(inputs)
    return network.eval()


@torch.inference_mode()
def window_by_window(network: AudioToLandmarks, waveform: np.ndarray) -> np.ndarray:
    """(windows, components): each window through all networks before the next one is looked at."""
    example, state, coeffs = torch.zeros(1, 16), None, []
    for window in windows(mfcc(waveform)):
        single = torch.from_numpy(window.copy())[None, None]
        inputs = torch.cat([network.identity(example), network.content(single), network.emotion(single)], 1)
        out, state = network.lstm(inputs[:, None], state)
        coeffs.append(network.head(out)[0, 0] + example[0])
    return torch.stack(coeffs).numpy()


@in_cpu_seconds
def test_audio_to_landmarks_of_10_seconds(benchmark: Any) -> None:
    network, waveform = landmark_network(), speech(10.0)
    components = np.linalg.qr(np.random.default_rng(1).normal(size=(136, 16)))[0].astype(np.float32)
    pca = LandmarkPCA(np.full(136, 0.5, np.float32), components)
    predictor = LandmarkPredictor(network, pca, pooling="none", use_emotion=True, codes={})

    def loop() -> np.ndarray:
        return pca.decode(window_by_window(network, waveform))

    predicted, expected = predictor.predict(waveform), loop()
    assert predicted.shape == (250, 68, 2)
    np.testing.assert_allclose(predicted / 255, expected / 255, rtol=0, atol=1e-5)
    assert np.std(expected, axis=0).max() > 0.1
    assert times_faster(benchmark, lambda: predictor.predict(waveform), loop, rounds=3) >= 2.5
