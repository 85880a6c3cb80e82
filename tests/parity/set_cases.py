"""Distances of sets beside SciPy and torch-fidelity: on features, and on frames through its interface."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
import torch_fidelity
from scipy.linalg import sqrtm
from torch.utils.data import Dataset
from torch_fidelity.feature_extractor_base import FeatureExtractorBase

from benchmark.metrics.extractors import FrameExtractor, extractor
from benchmark.metrics.frechet import frechet_distance
from benchmark.metrics.kid import kernel_distance
from benchmark.metrics.metric import SetPair
from benchmark.metrics.registry import metric_of
from tests.parity.agreement import Agreement

Sides = tuple[np.ndarray, np.ndarray]
SHAPES = ((64, 8), (400, 64), (1200, 128))
SUBSETS, SUBSET_SIZE, SEED = 7, 50, 2020


def features(count: int, dimensions: int, seed: int) -> np.ndarray:
    """Rectified, as pooled activations are: skewed, positive, of very different spread."""
    rng = np.random.default_rng(seed)
    mixed = rng.normal(size=(count, dimensions)) @ rng.normal(size=(dimensions, dimensions))
    return np.maximum(mixed / np.sqrt(dimensions) + rng.normal(size=dimensions), 0) * rng.uniform(0.1, 3)


@cache
def feature_sets(more: int = 17) -> dict[str, Sides]:
    """With `more` vectors on one side than on the other."""
    return {f"{n} x {d}": (features(n, d, 0), features(n + more, d, 1)) for n, d in SHAPES}


@cache
def frame_sets() -> dict[str, Sides]:
    """Frames (n, 64, 64, 3) uint8, enough for 96 dimensions: blobs, and the same with noise and a tint."""
    rng = np.random.default_rng(5)
    coarse = rng.integers(0, 256, (400, 6, 6, 3)).astype(np.uint8)
    frames = np.stack([cv2.resize(image, (64, 64), interpolation=cv2.INTER_CUBIC) for image in coarse])
    noisy = frames[200:] * np.array([1.0, 0.9, 0.8]) + rng.normal(0, 12, (200, 64, 64, 3))
    return {"200 frames of 64 px": (np.clip(noisy, 0, 255).astype(np.uint8), frames[:200])}


def by_scipy(first: np.ndarray, second: np.ndarray) -> float:
    covariances = [np.cov(x, rowvar=False) for x in (first, second)]
    root = np.real(np.asarray(sqrtm(covariances[0] @ covariances[1])))
    shift = first.mean(0) - second.mean(0)
    return float(shift @ shift + np.trace(covariances[0] + covariances[1] - 2 * root))


class _Given(Dataset):
    def __init__(self, vectors: np.ndarray) -> None:
        self._vectors = torch.from_numpy(vectors)

    def __len__(self) -> int:
        return len(self._vectors)

    def __getitem__(self, index: int) -> torch.Tensor:
        return self._vectors[index]


class _OneLayer(FeatureExtractorBase):
    @staticmethod
    def get_provided_features_list() -> tuple[str, ...]:
        return ("all",)

    @staticmethod
    def get_default_feature_layer_for_metric(metric: str) -> str:
        return "all"

    @staticmethod
    def can_be_compiled() -> bool:
        return False


class _AsTheyAre(_OneLayer):
    """What comes in are features already."""

    def __init__(self, name: str, features_list: list[str], **kwargs: Any) -> None:
        super().__init__(name, features_list)

    def forward(self, input: torch.Tensor) -> tuple[torch.Tensor]:
        return (input,)


class _Ours(_OneLayer):
    """Frames (n, 3, H, W) uint8 to the features of our extractor, in double precision as we score them."""

    def __init__(self, name: str, features_list: list[str], **kwargs: Any) -> None:
        super().__init__(name, features_list)

    def forward(self, input: torch.Tensor) -> tuple[torch.Tensor]:
        frames = np.ascontiguousarray(input.permute(0, 2, 3, 1).numpy())
        return (torch.from_numpy(small_extractor()(frames)).double(),)


@cache
def small_extractor() -> FrameExtractor:
    return extractor("mobilenetv2-96")


torch_fidelity.register_feature_extractor("as-they-are", _AsTheyAre)
torch_fidelity.register_feature_extractor("ours", _Ours)


def calculated(first: Any, second: Any, network: str, **asked: Any) -> Mapping[str, float]:
    """torch-fidelity's numbers."""
    return torch_fidelity.calculate_metrics(
        input1=first,
        input2=second,
        feature_extractor=network,
        cuda=False,
        cache=False,
        save_cpu_ram=True,
        verbose=False,
        **asked,
    )


def fidelity_fid(first: np.ndarray, second: np.ndarray) -> float:
    return calculated(_Given(first), _Given(second), "as-they-are", fid=True)["frechet_inception_distance"]


def fidelity_kid(first: np.ndarray, second: np.ndarray) -> float:
    """With one subset, which is everything."""
    asked = {"kid": True, "kid_subsets": 1, "kid_subset_size": len(first)}
    return calculated(_Given(first), _Given(second), "as-they-are", **asked)["kernel_inception_distance_mean"]


def fidelity_subset_kid(first: np.ndarray, second: np.ndarray) -> float:
    asked = {"kid": True, "kid_subsets": SUBSETS, "kid_subset_size": SUBSET_SIZE, "rng_seed": SEED}
    return calculated(_Given(first), _Given(second), "as-they-are", **asked)["kernel_inception_distance_mean"]


def our_subset_kid(first: np.ndarray, second: np.ndarray) -> float:
    """The mean over the subsets that torch-fidelity draws."""
    drawn = np.random.RandomState(SEED)
    values = []
    for _ in range(SUBSETS):
        a, b = (x[drawn.choice(len(x), SUBSET_SIZE, replace=False)] for x in (first, second))
        values.append(kernel_distance(a, b))
    return float(np.mean(values))


def of_folders(metric: str, **asked: Any) -> Callable[[np.ndarray, np.ndarray], float]:
    """torch-fidelity on two folders of frames, through our extractor."""

    def value(first: np.ndarray, second: np.ndarray) -> float:
        with tempfile.TemporaryDirectory() as place:
            folders = [Path(place) / name for name in ("first", "second")]
            for folder, frames in zip(folders, (first, second), strict=True):
                folder.mkdir()
                for number, frame in enumerate(frames):
                    cv2.imwrite(str(folder / f"{number:04d}.png"), frame[..., ::-1])
            return calculated(*map(str, folders), "ours", **asked)[metric]

    return value


def of_frames(protocol: str) -> Callable[[np.ndarray, np.ndarray], float | None]:
    """Our protocol of frames, as if each side were one clip."""

    def value(first: np.ndarray, second: np.ndarray) -> float | None:
        clips = ([small_extractor()(frames)] for frames in (first, second))
        return metric_of(protocol).compute(SetPair(*clips, np.random.default_rng(0), resamples=0)).value

    return value


def _case(
    protocol: str,
    package: str,
    call: str,
    inputs: Mapping[str, tuple[Any, ...]],
    ours: Callable[..., float | None],
    theirs: Callable[..., float],
    tolerance: float,
) -> Agreement:
    return Agreement(protocol, package, call, inputs, ours, theirs, tolerance, relative=True)


KID, FID = "kernel_inception_distance_mean", "frechet_inception_distance"
SET_CASES: tuple[Agreement, ...] = (
    _case("fd", "scipy", "linalg.sqrtm", feature_sets(), frechet_distance, by_scipy, 1e-8),
    _case(
        "fd",
        "torch-fidelity",
        "calculate_metrics(fid=True)",
        feature_sets(),
        frechet_distance,
        fidelity_fid,
        1e-6,
    ),
    _case(
        "kid",
        "torch-fidelity",
        "calculate_metrics(kid=True), one subset",
        feature_sets(0),
        kernel_distance,
        fidelity_kid,
        1e-6,
    ),
    _case(
        "kid",
        "torch-fidelity",
        "calculate_metrics(kid=True), its subsets",
        feature_sets(),
        our_subset_kid,
        fidelity_subset_kid,
        1e-6,
    ),
    _case(
        "fd/mobilenetv2-96",
        "torch-fidelity",
        "calculate_metrics(folders, fid=True), our extractor",
        frame_sets(),
        of_frames("fd/mobilenetv2-96"),
        of_folders(FID, fid=True),
        1e-6,
    ),
    _case(
        "kid/mobilenetv2-96",
        "torch-fidelity",
        "calculate_metrics(folders, kid=True), our extractor",
        frame_sets(),
        of_frames("kid/mobilenetv2-96"),
        of_folders(KID, kid=True, kid_subsets=1, kid_subset_size=200),
        1e-6,
    ),
)
