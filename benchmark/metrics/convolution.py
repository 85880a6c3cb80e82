"""Stacks of convolutions over time in NumPy, as the judges are evaluated and stored."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

Layer = tuple[np.ndarray, np.ndarray]
"""(width, in, out) weights and (out,) bias of a convolution over time."""


def seen_by(layers: Sequence[Layer]) -> int:
    """How many inputs one output sees."""
    return 1 + sum(len(weights) - 1 for weights, _ in layers)


def embed(values: np.ndarray, layers: Sequence[Layer]) -> np.ndarray:
    """(time - seen + 1, out) float64 of (time, in), rectified between layers."""
    for number, (weights, bias) in enumerate(layers):
        if number:
            values = np.maximum(values, 0)
        windows = sliding_window_view(values, len(weights), axis=0).transpose(0, 2, 1)
        values = windows.reshape(len(windows), -1) @ weights.reshape(-1, weights.shape[2]) + bias
    return values


def named_layers(name: str, layers: Sequence[Layer]) -> dict[str, np.ndarray]:
    """Arrays as they are stored."""
    return {
        f"{name}.{number}.{what}": array
        for number, layer in enumerate(layers)
        for what, array in zip(("weights", "bias"), layer, strict=True)
    }


def stored_layers(name: str, arrays: Mapping[str, np.ndarray]) -> tuple[Layer, ...]:
    """The layers of `named_layers`."""
    count = sum(key.startswith(f"{name}.") for key in arrays) // 2
    return tuple((arrays[f"{name}.{n}.weights"], arrays[f"{name}.{n}.bias"]) for n in range(count))
