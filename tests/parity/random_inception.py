"""Inception with weights drawn at random, in a file like the download, and the numbers that it gives."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from unittest.mock import patch

import cv2
import numpy as np
import torch
from torch_fidelity import feature_extractor_inceptionv3 as inception

from benchmark.metrics.extractors import INCEPTION_FILE
from tests.parity.set_cases import calculated

PICTURES = 9


def random_inception(folder: Path) -> Path:
    """The file: every tensor of the download by its name, with other values."""
    with (
        patch.object(inception, "load_state_dict_from_url", lambda *args, **kwargs: {}),
        patch.object(inception.FeatureExtractorInceptionV3, "load_state_dict", lambda *args: None),
    ):
        network = inception.FeatureExtractorInceptionV3("inception-v3-compat", ["2048"])
    torch.manual_seed(0)
    for module in network.modules():
        if isinstance(module, torch.nn.Conv2d):
            torch.nn.init.kaiming_normal_(module.weight)
    path = folder / INCEPTION_FILE
    torch.save(network.state_dict(), path)
    return path


def pictures() -> list[np.ndarray]:
    """Two sides (n, 299, 299, 3) uint8: coloured blobs, and darker ones."""
    coarse = np.random.default_rng(0).integers(0, 256, (2, PICTURES, 7, 7, 3)).astype(np.uint8)
    first, second = (np.stack([cv2.resize(image, (299, 299)) for image in side]) for side in coarse)
    return [first, second // 2]


def calculated_by_inception(
    weights: Path, place: Path, sides: Sequence[np.ndarray], **asked: Any
) -> Mapping[str, float]:
    """What torch-fidelity says of two folders of frames; KID with one subset."""
    folders = [place / name for name in ("first", "second")]
    for folder, frames in zip(folders, sides, strict=True):
        folder.mkdir()
        for number, frame in enumerate(frames):
            cv2.imwrite(str(folder / f"{number:04d}.png"), frame[..., ::-1])
    if "kid" in asked:
        asked |= {"kid_subsets": 1, "kid_subset_size": len(sides[0])}
    return calculated(
        *map(str, folders), "inception-v3-compat", feature_extractor_weights_path=str(weights), **asked
    )
