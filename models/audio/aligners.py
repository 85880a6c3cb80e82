"""Which row of one utterance sounds like which row of another: the aligners a configuration can choose.

`EVPAligner` is the released definition, `DTWAligner` the more exact one, `LinearAligner` the ablation
without dynamic time warping. Rows are those of `models.audio.mfcc.mfcc`, padding included.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy.ndimage import gaussian_filter1d
from scipy.signal import savgol_filter

from models.audio.dtw import Path, dtw_path
from models.audio.framing import NUM_CEPSTRA, num_rows, row_seconds, tail_padding
from models.audio.mfcc import mfcc
from models.targets import configurable


@dataclass(frozen=True)
class Alignment:
    """A monotone map from the time axis of a reference utterance to that of a source utterance."""

    rows: np.ndarray
    """(reference rows,) int: the source MFCC row to show at each reference row."""
    positions: np.ndarray
    """(reference rows,) float: the same between rows."""

    def times(self, reference_seconds: np.ndarray) -> np.ndarray:
        """Source times of the same sounds, in seconds from the start of each un-padded utterance."""
        seconds = row_seconds(np.arange(len(self.positions)))
        return np.interp(reference_seconds, seconds, row_seconds(self.positions))


@configurable
class Aligner(ABC):
    @abstractmethod
    def align(self, source: np.ndarray, reference: np.ndarray) -> Alignment:
        """Align two (samples,) waveforms of the same sentence."""


class EVPAligner(Aligner):
    """As released: L1 over all 13 coefficients, equal steps, the last of several matches kept.

    Args:
        coefficients: 13, or 12 without the log energy, which differs between loud and quiet recordings.
        distance: of two rows: "l1", or "cosine".

    The release leaves row 0 of the reference untouched when the path's second pair moves on; here row 0 is
    then the source's. Both rows are digital silence, so the warped features are the same.
    """

    def __init__(
        self, *, coefficients: Literal[13, 12] = 13, distance: Literal["l1", "cosine"] = "l1"
    ) -> None:
        self.first = _first_coefficient(coefficients)
        self.distance = _checked(distance)

    def align(self, source: np.ndarray, reference: np.ndarray) -> Alignment:
        path = _path(mfcc(source)[:, self.first :], mfcc(reference)[:, self.first :], self.distance)
        return Alignment(_last_match(path), _mean_match(path))


class DTWAligner(Aligner):
    """L1 over 13 coefficients and their first and second differences, each normalised over the utterance.

    Args:
        coefficients, distance: see `EVPAligner`.
        difference_rows: odd width of the fits that give the differences.
        smoothing: standard deviation in rows of the Gaussian that smooths the path's staircase; 0 is none.
        dynamic_range: nepers below the loud rows at which energy is cut off, so that the depth of pauses,
            which differs between recordings, does not set the scale.
    """

    def __init__(
        self,
        *,
        coefficients: Literal[13, 12] = 13,
        distance: Literal["l1", "cosine"] = "l1",
        difference_rows: int = 5,
        smoothing: float = 2.0,
        dynamic_range: float = 12.0,
    ) -> None:
        self.first = _first_coefficient(coefficients)
        self.distance = _checked(distance)
        self.difference_rows = difference_rows
        self.smoothing = smoothing
        self.dynamic_range = dynamic_range

    def align(self, source: np.ndarray, reference: np.ndarray) -> Alignment:
        path = _path(self._features(source), self._features(reference), self.distance)
        positions = _mean_match(path)
        if self.smoothing:
            positions = gaussian_filter1d(positions, self.smoothing, mode="nearest")
        return Alignment(np.rint(positions).astype(np.int64), positions)

    def _features(self, waveform: np.ndarray) -> np.ndarray:
        rows = mfcc(waveform).astype(np.float64)
        rows[:, 0] = np.maximum(rows[:, 0], np.quantile(rows[:, 0], 0.98) - self.dynamic_range)
        rows, width = rows[:, self.first :], self.difference_rows
        first = np.asarray(savgol_filter(rows, width, 1, deriv=1, axis=0))
        second = np.asarray(savgol_filter(rows, width, 2, deriv=2, axis=0))
        return np.hstack([_standardised(features) for features in (rows, first, second)])


class LinearAligner(Aligner):
    """One utterance stretched uniformly to the other's length: no dynamic time warping."""

    def align(self, source: np.ndarray, reference: np.ndarray) -> Alignment:
        seconds = row_seconds(np.arange(_rows(reference))) * (len(source) / len(reference))
        first = row_seconds(0)
        positions = (seconds - first) / (row_seconds(1) - first)
        positions = np.clip(positions, 0, _rows(source) - 1)
        return Alignment(np.rint(positions).astype(np.int64), positions)


def _first_coefficient(coefficients: int) -> int:
    if coefficients not in (NUM_CEPSTRA, NUM_CEPSTRA - 1):
        raise ValueError(f"coefficients: expected {NUM_CEPSTRA} or {NUM_CEPSTRA - 1}, got {coefficients!r}")
    return NUM_CEPSTRA - coefficients


def _checked(distance: str) -> str:
    if distance not in ("l1", "cosine"):
        raise ValueError(f"distance: expected l1 or cosine, got {distance!r}")
    return distance


def _path(first: np.ndarray, second: np.ndarray, distance: str) -> Path:
    if distance == "l1":
        return dtw_path(first, second)
    # The squared distance of unit vectors is twice the cosine distance. A row of zeros, which digital silence
    # is without its energy, has no direction: it stays zero, at no distance from silence and half way to all
    # that is orthogonal.
    return dtw_path(_directions(first), _directions(second), metric="sqeuclidean")


def _directions(rows: np.ndarray) -> np.ndarray:
    length = np.linalg.norm(rows, axis=1, keepdims=True)
    return rows / np.where(length > 0, length, 1.0)


def _rows(waveform: np.ndarray) -> int:
    return num_rows(len(waveform) + tail_padding(len(waveform)))


def _standardised(features: np.ndarray) -> np.ndarray:
    scale = features.std(0)
    return (features - features.mean(0)) / np.where(scale > 0, scale, 1.0)


def _last_match(path: Path) -> np.ndarray:
    rows = np.empty(path.second[-1] + 1, np.int64)
    rows[path.second] = path.first
    return rows


def _mean_match(path: Path) -> np.ndarray:
    return np.bincount(path.second, path.first) / np.bincount(path.second)
