"""Every random stream, derived from a seed and the name of what it is for.

The purpose never holds an ablation or a configuration, so a full model and its ablations see the same data
order and initialisation: seeds are paired.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import torch

Purpose = str | int


def derive_seed(seed: int, *purpose: Purpose) -> int:
    """A 63-bit seed for one purpose.

    Each part is hashed with its type and length, so ("ab", "c") and ("a", "bc"), or "1" and 1, differ.
    """
    digest = hashlib.blake2b(digest_size=8)
    for part in (seed, *purpose):
        text = f"{type(part).__name__}:{part}".encode()
        digest.update(len(text).to_bytes(4, "big") + text)
    return int.from_bytes(digest.digest(), "big") >> 1


def generator(seed: int, *purpose: Purpose) -> np.random.Generator:
    return np.random.default_rng(derive_seed(seed, *purpose))


def torch_generator(seed: int, *purpose: Purpose) -> torch.Generator:
    import torch

    return torch.Generator().manual_seed(derive_seed(seed, *purpose))


@contextmanager
def global_torch_seed(seed: int, *purpose: Purpose) -> Iterator[None]:
    """Seed torch's global generator, which dropout and initialisation draw from; put it back after."""
    import torch

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(derive_seed(seed, *purpose))
        yield
