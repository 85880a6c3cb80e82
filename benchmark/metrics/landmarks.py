"""LD and LVD: how far the landmarks are from the true ones, and how far their motion is.

Both sequences are first stabilised: each frame is moved by the similarity that puts its stable points
(eye-contour centroids, nose tip) onto the template of the 256 px crop. Head motion and face size are thus
no part of the score; errors are pixels of that crop. Everything is computed in float64.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from benchmark.metrics.score import Score
from models.landmarks.alignment import stabilise
from models.landmarks.topology import Layout, layout_of

Region = Literal["mouth", "face"]

SMALLEST_FACE = 1e-3
"""Pixels between the stable points' extremes below which a frame's points have no scale to align by."""


@dataclass(frozen=True)
class AlignedPair:
    """Predicted and true landmarks of one clip in the stabilised space."""

    predicted: np.ndarray
    """(frames, points, 2) float64; rows of frames that are not in `found` are NaN."""
    target: np.ndarray
    found: np.ndarray
    """(frames,) bool: both sequences have a face there."""
    layout: Layout
    clip: str


def align_pair(predicted: np.ndarray, target: np.ndarray, *, clip: str = "unnamed") -> AlignedPair:
    """Stabilise both sequences (frames, 68 or 106, 2), pixels of the 256 crop; a missing face is a NaN frame.

    Raises:
        ValueError: naming the clip: empty or mismatched sequences, infinite values, a frame of which only
            some points are NaN, or a frame whose stable points coincide.
    """
    predicted_found = faces_found(predicted, f"clip {clip}: predicted landmarks")
    target_found = faces_found(target, f"clip {clip}: true landmarks")
    if predicted.shape != target.shape:
        raise ValueError(
            f"clip {clip}: expected predicted and true landmarks of one shape, got {predicted.shape} and "
            f"{target.shape}; a method must return Request.num_frames frames"
        )
    found = predicted_found & target_found
    moved = stabilised(predicted, found, f"clip {clip}: predicted landmarks")
    true = stabilised(target, found, f"clip {clip}: true landmarks")
    return AlignedPair(moved, true, found, layout_of(target), clip)


def faces_found(landmarks: np.ndarray, what: str) -> np.ndarray:
    """(frames,) bool: the frames of (frames, 68 or 106, 2) with a face; the others must be all NaN.

    Raises:
        ValueError: another shape, no frames, an infinite value, or a frame of which only some points are NaN.
    """
    array = np.asarray(landmarks)
    if array.ndim != 3 or array.shape[1] not in (68, 106) or array.shape[2] != 2:
        raise ValueError(f"{what}: expected (frames, 68 or 106, 2), got {array.shape}")
    if array.shape[0] == 0:
        raise ValueError(f"{what}: expected at least one frame, got none")
    if array.dtype.kind not in "fiu":
        raise ValueError(f"{what}: expected real numbers, got {array.dtype}")
    if np.isinf(array).any():
        frame = int(np.argwhere(np.isinf(array))[0, 0])
        raise ValueError(
            f"{what}: infinite in frame {frame}; expected pixels, or NaN where no face was found"
        )
    missing = np.isnan(array).mean((1, 2))
    partial = (missing > 0) & (missing < 1)
    if partial.any():
        frame = int(np.flatnonzero(partial)[0])
        raise ValueError(
            f"{what}: frame {frame} lacks some points only; expected all points, or NaN in all of them"
        )
    return missing < 1


def stabilised(landmarks: np.ndarray, found: np.ndarray, what: str) -> np.ndarray:
    """The landmarks (frames, points, 2) in the stabilised space, float64; NaN in frames that are not `found`.

    Raises:
        ValueError: the eyes and the nose tip of a frame coincide.
    """
    aligned = np.full(landmarks.shape, np.nan)
    if not found.any():
        return aligned
    points = np.asarray(landmarks, np.float64)[found]
    stable = layout_of(points).stable @ points
    flat = np.ptp(stable, axis=1).max(1) < SMALLEST_FACE
    if flat.any():
        frame = int(np.flatnonzero(found)[np.flatnonzero(flat)[0]])
        raise ValueError(
            f"{what}: eyes and nose tip coincide in frame {frame}, so the face cannot be aligned; "
            "expected pixels of the 256 crop"
        )
    aligned[found] = stabilise(points)
    return aligned


def landmark_distance(pair: AlignedPair, region: Region) -> Score:
    """LD: Euclidean distance to the true points, mean over points and frames; pixels of the 256 crop.

    Frames without a face count against coverage only; with none at all the value is None.

    Source: EVP (Ji et al., CVPR 2021), section 4; the region, unit and order of means are fixed here.
    """
    if not pair.found.any():
        return Score(None, coverage=0.0)
    points = pair.layout.region(region)
    residual = (pair.predicted - pair.target)[pair.found][:, points]
    return Score(_mean_length(residual), coverage=float(pair.found.mean()))


def landmark_velocity_distance(pair: AlignedPair, region: Region) -> Score:
    """LVD: Euclidean distance of frame-to-frame motions, mean over points and the T - 1 pairs; px per frame.

    A constant offset cancels: a face that is displaced but moves rightly scores 0. Pairs with a missing
    face are left out and lower the coverage, which here is the share of pairs.

    Raises:
        ValueError: naming the clip, if it has one frame only.

    Source: EVP (Ji et al., CVPR 2021), section 4.
    """
    if len(pair.found) < 2:
        raise ValueError(f"clip {pair.clip}: a velocity needs two frames or more, got {len(pair.found)}")
    pairs = pair.found[1:] & pair.found[:-1]
    if not pairs.any():
        return Score(None, coverage=0.0)
    points = pair.layout.region(region)
    motion = np.diff((pair.predicted - pair.target)[:, points], axis=0)
    return Score(_mean_length(motion[pairs]), coverage=float(pairs.mean()))


def _mean_length(vectors: np.ndarray) -> float:
    return float(np.sqrt(np.sum(vectors**2, axis=-1)).mean())
