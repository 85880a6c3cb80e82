"""Principal components of a subject's stabilised landmarks, in units of the 256 crop's side.

Source: EVP, supplement and release: coordinates divided by 255, 16 components, no whitening.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from models.artefacts import load_arrays, save_arrays
from models.landmarks.topology import LAYOUTS, Layout

NORMALISER = 255.0
"""Pixels of the crop to a unit of the normalised coordinates."""
NUM_COMPONENTS = 16


@dataclass(frozen=True)
class LandmarkPCA:
    mean: np.ndarray
    """(2 points,) normalised, x0 y0 x1 y1 ..."""
    components: np.ndarray
    """(2 points, components), orthonormal columns, the largest variance first."""

    @property
    def layout(self) -> Layout:
        return LAYOUTS[len(self.mean) // 2]

    @classmethod
    def fit(cls, landmarks: np.ndarray, num_components: int = NUM_COMPONENTS) -> LandmarkPCA:
        """Fit to (frames, points, 2) pixels. A component's largest entry is positive.

        Raises:
            ValueError: too few frames, or frames with NaN.
        """
        flat = landmarks.reshape(len(landmarks), -1).astype(np.float64) / NORMALISER
        if len(flat) <= num_components:
            raise ValueError(
                f"expected more than {num_components} frames of landmarks for the PCA, got {len(flat)}"
            )
        if not np.isfinite(flat).all():
            raise ValueError("landmarks for the PCA hold NaN; leave out frames without a face")
        mean = flat.mean(0)
        centred = flat - mean
        _, vectors = np.linalg.eigh(centred.T @ centred)
        components = vectors[:, ::-1][:, :num_components]
        largest = np.argmax(np.abs(components), axis=0)
        components = components * np.sign(components[largest, np.arange(num_components)])
        return cls(mean.astype(np.float32), np.ascontiguousarray(components, np.float32))

    def encode(self, landmarks: np.ndarray) -> np.ndarray:
        """(..., points, 2) pixels -> (..., components)."""
        flat = landmarks.reshape(*landmarks.shape[:-2], -1) / np.float32(NORMALISER)
        return (flat - self.mean) @ self.components

    def decode(self, coeffs: np.ndarray) -> np.ndarray:
        """(..., components) -> (..., points, 2) float32 pixels."""
        flat = (coeffs @ self.components.T + self.mean) * np.float32(NORMALISER)
        return flat.reshape(*coeffs.shape[:-1], -1, 2).astype(np.float32)

    def save(self, path: Path) -> None:
        save_arrays(path, {"mean": self.mean, "components": self.components})

    @classmethod
    def load(cls, path: Path) -> LandmarkPCA:
        arrays = load_arrays(path)
        return cls(arrays["mean"], arrays["components"])
