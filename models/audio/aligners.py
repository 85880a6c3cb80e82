"""Which row of one utterance sounds like which row of another: the aligners a configuration can choose.

`EVPAligner` is the released definition, `DTWAligner` the more exact one, `LinearAligner` the ablation
without dynamic time warping. Rows are those of `models.audio.mfcc.mfcc`, padding included.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

import numpy as np
from scipy.ndimage import gaussian_filter1d
from scipy.signal import savgol_filter

from models.audio.dtw import Path, dtw_path
from models.audio.framing import num_rows, row_seconds, tail_padding
from models.audio.mfcc import mfcc


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


class Aligner(ABC):
    @abstractmethod
    def align(self, source: np.ndarray, reference: np.ndarray) -> Alignment:
        """Align two (samples,) waveforms of the same sentence."""


class EVPAligner(Aligner):
    """As released: L1 over all 13 coefficients, equal steps, the last of several matches kept.

    The release leaves row 0 of the reference untouched when the path's second pair moves on; here row 0 is
    then the source's. Both rows are digital silence, so the warped features are the same.
    """

    def align(self, source: np.ndarray, reference: np.ndarray) -> Alignment:
        path = dtw_path(mfcc(source), mfcc(reference))
        return Alignment(_last_match(path), _mean_match(path))


class DTWAligner(Aligner):
    """L1 over 13 coefficients and their first and second differences, each normalised over the utterance.

    Args:
        difference_rows: odd width of the fits that give the differences.
        smoothing: standard deviation in rows of the Gaussian that smooths the path's staircase; 0 is none.
        dynamic_range: nepers below the loud rows at which energy is cut off, so that the depth of pauses,
            which differs between recordings, does not set the scale.
    """

    def __init__(
        self, *, difference_rows: int = 5, smoothing: float = 2.0, dynamic_range: float = 12.0
    ) -> None:
        self.difference_rows = difference_rows
        self.smoothing = smoothing
        self.dynamic_range = dynamic_range

    def align(self, source: np.ndarray, reference: np.ndarray) -> Alignment:
        positions = _mean_match(dtw_path(self._features(source), self._features(reference)))
        if self.smoothing:
            positions = gaussian_filter1d(positions, self.smoothing, mode="nearest")
        return Alignment(np.rint(positions).astype(np.int64), positions)

    def _features(self, waveform: np.ndarray) -> np.ndarray:
        rows = mfcc(waveform).astype(np.float64)
        rows[:, 0] = np.maximum(rows[:, 0], np.quantile(rows[:, 0], 0.98) - self.dynamic_range)
        width = self.difference_rows
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
