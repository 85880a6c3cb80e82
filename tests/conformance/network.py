"""A network that knows colours: small, and no more blind to a swap of them than a large one."""

from __future__ import annotations

import cv2
import numpy as np


class ColourNetwork:
    """A fixed random layer with a rectifier on 8 x 8 px RGB."""

    name, dimensions = "colour-test", 12

    def __init__(self) -> None:
        rng = np.random.default_rng(7)
        self._weights = rng.normal(size=(8 * 8 * 3, self.dimensions)).astype(np.float32) / 8
        self._weights += np.tile([[0.02], [0.0], [-0.02]], (64, 1)).astype(np.float32)

    def __call__(self, frames: np.ndarray) -> np.ndarray:
        small = [cv2.resize(np.ascontiguousarray(x), (8, 8), interpolation=cv2.INTER_AREA) for x in frames]
        return np.maximum(np.stack(small).reshape(len(frames), -1) / np.float32(255) @ self._weights, 0)
