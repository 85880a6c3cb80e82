"""The value at 1/N = 0: of Gaussians whose distance is known, with independent and with alike frames."""

from __future__ import annotations

import numpy as np
import pytest

from benchmark.metrics.extrapolation import extrapolated_score
from benchmark.metrics.frechet import TooFewVectorsError, frechet_score

DIMENSIONS = 24
SPREAD = 1 / np.sqrt(np.arange(1, DIMENSIONS + 1))


def clips(
    rng: np.random.Generator, count: int, alike: float = 0.0, shift: float = 0.0, scale: float = 1.0
) -> list[np.ndarray]:
    """Gaussian frames of which a share of the variance belongs to the clip."""
    own = np.sqrt(alike) * rng.normal(size=(count, 1, DIMENSIONS))
    frames = own + np.sqrt(1 - alike) * rng.normal(size=(count, 30, DIMENSIONS))
    return list(scale * frames * SPREAD + shift)


def exact(shift: float, scale: float) -> float:
    return DIMENSIONS * shift**2 + (1 - scale) ** 2 * float(np.square(SPREAD).sum())


def both(seed: int, alike: float, shift: float, scale: float, count: int = 24) -> tuple[float, float]:
    rng = np.random.default_rng(seed)
    predicted, truth = clips(rng, count, alike, shift, scale), clips(rng, count, alike)
    plain = frechet_score(predicted, truth, rng=rng, resamples=0).value
    extrapolated = extrapolated_score(predicted, truth, rng=rng, resamples=0).value
    assert plain is not None
    assert extrapolated is not None
    return plain, extrapolated


@pytest.mark.parametrize(("shift", "scale"), [(0.0, 1.0), (0.1, 1.0), (0.0, 1.4), (0.1, 0.7)])
def test_it_is_unbiased_for_gaussians_with_independent_frames(shift: float, scale: float) -> None:
    values = np.array([both(seed, 0.0, shift, scale) for seed in range(40)])
    error = values[:, 1].std() / np.sqrt(len(values))
    assert values[:, 1].mean() == pytest.approx(exact(shift, scale), abs=4 * error + 1e-3)
    # The plain distance is off by many times that.
    assert values[:, 0].mean() > exact(shift, scale) + 5 * error


def test_where_frames_of_a_clip_are_alike_most_of_the_bias_goes_with_the_clips() -> None:
    plain, extrapolated = np.mean([both(seed, 0.5, 0.0, 1.0, count=64) for seed in range(10)], axis=0)
    assert abs(extrapolated) < 0.2 * plain


def test_the_interval_covers_what_is_known() -> None:
    inside = 0
    for seed in range(60):
        rng = np.random.default_rng(seed)
        score = extrapolated_score(clips(rng, 24, shift=0.1), clips(rng, 24), rng=rng)
        inside += score.low <= exact(0.1, 1.0) <= score.high  # pyright: ignore
    assert inside >= 51


def test_few_vectors_and_few_clips_are_refused() -> None:
    rng = np.random.default_rng(0)
    with pytest.raises(TooFewVectorsError, match="expected 4 clips or more, got 3"):
        extrapolated_score(clips(rng, 3), clips(rng, 3), rng=rng)
    short = [x[:5] for x in clips(rng, 6)]
    with pytest.raises(TooFewVectorsError, match="expected 48 vectors or more for 24 dimensions, got 30"):
        extrapolated_score(short, short, rng=rng)
    assert extrapolated_score(short, short, rng=rng, allow_biased=True).value == pytest.approx(0, abs=1e-9)
