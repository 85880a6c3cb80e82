"""Released checkpoints filled with weights from a formula, and the networks they become when imported.

A name's place among the sorted names of its checkpoint and an element's index give its value, so that a
layout that differs (the order in which features are flattened or concatenated, gates, pooling) gives other
outputs. Names that we have no use for count among the sorted ones.
"""

from __future__ import annotations

import re
import tempfile
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from models.disentangle.cross import Disentangler, load_disentangler
from models.importing.convert import Extras, import_checkpoint
from models.importing.names import COUNTER, PAPER_DISENTANGLER, Keys, disentangle_keys, landmark_keys
from models.landmarks.network import AudioToLandmarks
from models.landmarks.predictor import LandmarkPredictor


def formula(position: int, name: str, shape: tuple[int, ...]) -> Tensor:
    """Values in [-1, 1) hashed from a name's position and an element's index, scaled by role."""
    index = np.arange(np.prod(shape), dtype=np.uint64) + np.uint64(position * 1_000_003)
    mask = np.uint64(2**32 - 1)
    h = (index * np.uint64(2654435761)) & mask
    h ^= h >> np.uint64(16)
    h = (h * np.uint64(2246822519)) & mask
    h ^= h >> np.uint64(13)
    u = h.astype(np.float64) / 2**31 - 1
    if name.endswith("running_var"):
        value = 1 + 0.5 * np.abs(u)
    elif name.endswith("running_mean"):
        value = 0.1 * u
    elif len(shape) >= 2:
        value = u * np.sqrt(6 / np.prod(shape[1:]))
    elif re.search(r"\.weight$", name):
        value = 1 + 0.1 * u
    else:
        value = 0.05 * u
    return torch.from_numpy(value.reshape(shape)).float()


def released_state(keys: Keys, *, counters: bool = False) -> dict[str, Tensor]:
    """A released checkpoint's tensors. Those that nothing calls are zeros, and take no memory.

    Args:
        counters: whether the batch norms' counters are among them, as in files of later versions of torch.
    """
    counted = [name for name in keys if name.endswith(COUNTER)]
    position = {name: k for k, name in enumerate(sorted(set(keys) - set(counted)))}
    state = {}
    for name, entry in keys.items():
        if name in position:
            unused = torch.zeros(1).expand(entry.shape)
            state[name] = unused if entry.ours is None else formula(position[name], name, entry.shape)
        elif counters:
            state[name] = torch.tensor(7)
    return state


def released_disentanglement() -> dict[str, Any]:
    """What the release saves after an epoch: counters of steps, and the networks."""
    return {"train_step": 3, "test_step": 2, "epoch": 99, "model": released_state(disentangle_keys())}


@cache
def landmark_network() -> AudioToLandmarks:
    """The audio-to-landmark network of a released checkpoint, imported."""
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        torch.save(released_state(landmark_keys()), folder / "M003_20.pth")
        np.save(folder / "U.npy", np.eye(212, dtype=np.float32))
        np.save(folder / "mean.npy", np.full(212, 0.5))
        extras = Extras(folder / "U.npy", folder / "mean.npy")
        import_checkpoint("landmarks", folder / "M003_20.pth", folder / "imported", extras)
        return LandmarkPredictor.load(folder / "imported", torch.device("cpu")).network


@cache
def disentangler() -> Disentangler:
    """E_c, E_e, C_e and D of a released checkpoint, imported."""
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        torch.save(released_disentanglement(), folder / "99_pretrain.pth")
        import_checkpoint("disentangle", folder / "99_pretrain.pth", folder / "imported")
        return load_disentangler(folder / "imported", PAPER_DISENTANGLER, 8)
