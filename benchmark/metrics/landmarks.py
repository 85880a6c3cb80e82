"""LD and LVD: how far the landmarks are from the true ones, and how far their motion is.

Both sequences are first brought into one space. In the main one, the *stabilised* space, each frame is moved
by the similarity that puts its stable points (eye-contour centroids, nose tip) onto the template of the
256 px crop: head motion and face size are then no part of the score. The others are here to show what the
choice does: no alignment, the region's mean subtracted, and Procrustes. Errors are pixels of the 256 crop,
or of a true length of the same face. Everything is computed in float64.

A frame in which the truth has a face and the prediction has none is left out of the value, and could have
been anything: so a score with such frames says the least and the most that they could have made of it.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from benchmark.metrics.score import Score
from models.landmarks.alignment import apply, similarity, stabilise
from models.landmarks.topology import Layout, layout_of
from models.types import CROP_SIZE

Region = Literal["mouth", "face"]
Length = Literal["inter-ocular distance", "face width"]

SMALLEST_FACE = 1e-3
"""Pixels between the stable points' extremes below which a frame's points have no scale to align by."""

LARGEST_COORDINATE = 1e9
"""Pixels from the corner; no picture has as many."""


@dataclass(frozen=True)
class Sides:
    """Predicted and true landmarks of one clip, checked, as they came: pixels of the 256 crop."""

    predicted: np.ndarray
    """(frames, points, 2) float64; NaN in frames without a predicted face."""
    target: np.ndarray
    """The same of the truth."""
    predicted_found: np.ndarray
    """(frames,) bool"""
    target_found: np.ndarray
    clip: str

    @property
    def layout(self) -> Layout:
        return layout_of(self.target)


@dataclass(frozen=True)
class AlignedPair:
    """Predicted and true landmarks of one clip in the space that they are compared in."""

    predicted: np.ndarray
    """(frames, points, 2) float64; rows of frames that are not in `found` are NaN."""
    target: np.ndarray
    """(frames, points, 2) float64; rows of frames without a true face are NaN."""
    found: np.ndarray
    """(frames,) bool: both sequences have a face there."""
    missing: np.ndarray
    """(frames,) bool: the truth has a face there, the prediction has none."""
    layout: Layout
    clip: str
    box: tuple[float, float] | None = (0.0, float(CROP_SIZE))
    """Between which x and y a predicted point lies in this space; None where it is fitted to the true points
    by least squares."""


def check_sides(predicted: np.ndarray, target: np.ndarray, *, clip: str = "unnamed") -> Sides:
    """Both sequences (frames, 68 or 106, 2), pixels of the 256 crop; a missing face is a NaN frame.

    Raises:
        ValueError: naming the clip: empty or mismatched sequences, infinite values, or a frame of which only
            some points are NaN.
    """
    predicted_found = faces_found(predicted, f"clip {clip}: predicted landmarks")
    target_found = faces_found(target, f"clip {clip}: true landmarks")
    if predicted.shape != target.shape:
        raise ValueError(
            f"clip {clip}: expected predicted and true landmarks of one shape, got {predicted.shape} and "
            f"{target.shape}; a method must return Request.num_frames frames"
        )
    moved, true = np.asarray(predicted, np.float64), np.asarray(target, np.float64)
    return Sides(moved, true, predicted_found, target_found, clip)


def align_pair(predicted: np.ndarray, target: np.ndarray, *, clip: str = "unnamed") -> AlignedPair:
    """Stabilise both sequences (frames, 68 or 106, 2), pixels of the 256 crop; a missing face is a NaN frame.

    Raises:
        ValueError: naming the clip: as `check_sides`, or a frame whose stable points coincide.
    """
    return stabilise_sides(check_sides(predicted, target, clip=clip))


def stabilise_sides(sides: Sides) -> AlignedPair:
    """
    Raises:
        ValueError: naming the clip: a frame whose stable points coincide.
    """
    found = sides.predicted_found & sides.target_found
    moved = stabilised(sides.predicted, found, f"clip {sides.clip}: predicted landmarks")
    true = stabilised(sides.target, sides.target_found, f"clip {sides.clip}: true landmarks")
    return _paired(sides, moved, true)


def _paired(
    sides: Sides,
    predicted: np.ndarray,
    target: np.ndarray,
    box: tuple[float, float] | None = (0.0, float(CROP_SIZE)),
) -> AlignedPair:
    found = sides.predicted_found & sides.target_found
    missing = sides.target_found & ~sides.predicted_found
    return AlignedPair(predicted, target, found, missing, sides.layout, sides.clip, box)


def unaligned(sides: Sides) -> AlignedPair:
    """As they came: head motion, place and size of the face in the crop count."""
    return _paired(sides, sides.predicted, sides.target)


def centred(sides: Sides, region: Region) -> AlignedPair:
    """The mean of a region subtracted from each frame, as ATVGnet and EAT do: the place no longer counts.

    A point of n that lie in the crop is at most (n - 1) / n of its side away from their mean on each axis.
    """
    points = sides.layout.region(region)
    moved, true = (side - side[:, points].mean(1, keepdims=True) for side in (sides.predicted, sides.target))
    reach = CROP_SIZE * (1 - 1 / len(points))
    return _paired(sides, moved, true, (-reach, reach))


def procrustes(sides: Sides) -> AlignedPair:
    """Predicted frames moved by the similarities that put all points best onto the true ones, stabilised.

    Not symmetric: what the fit leaves is measured in the size of the true face.

    Raises:
        ValueError: naming the clip: a true frame whose stable points, or a predicted one all of whose points
            coincide.
    """
    true = stabilised(sides.target, sides.target_found, f"clip {sides.clip}: true landmarks")
    found = sides.predicted_found & sides.target_found
    moved = np.full(true.shape, np.nan)
    if found.any():
        points = sides.layout.region("face")
        source = sides.predicted[found]
        flat = np.ptp(source[:, points], axis=1).max(1) < SMALLEST_FACE
        if flat.any():
            frame = int(np.flatnonzero(found)[np.flatnonzero(flat)[0]])
            raise ValueError(f"clip {sides.clip}: all predicted landmarks of frame {frame} coincide")
        moved[found] = apply(similarity(source[:, points], true[found][:, points]), source)
    return _paired(sides, moved, true, None)


def true_length(pair: AlignedPair, length: Length) -> float:
    """A length of the true face, mean over its frames, pixels of the pair's space; NaN without a face.

    The inter-ocular distance is that of the outer eye corners (36 and 45 of 68, as 300-W has it), the width
    that of the contour's ends (0 and 16). One number for a clip, so that it scales places and motion alike.

    Raises:
        ValueError: naming the clip: the ends coincide in every frame.
    """
    if length == "inter-ocular distance":
        ends = (pair.layout.eye_a[0], pair.layout.eye_b[3])
    else:
        contour = pair.layout.regions["contour"]
        ends = (contour[0], contour[-1])
    known = pair.found | pair.missing
    if not known.any():
        return float("nan")
    apart = pair.target[known][:, ends[0]] - pair.target[known][:, ends[1]]
    mean = _mean_length(apart)
    if mean < SMALLEST_FACE:
        raise ValueError(f"clip {pair.clip}: the true face has no {length} to measure in")
    return mean


def scaled(score: Score, factor: float) -> Score:
    """The score in another unit, its bounds with it."""
    parts = {name: getattr(score, name) for name in ("value", "least", "most")}
    return replace(score, **{k: None if v is None else v * factor for k, v in parts.items()})


def faces_found(landmarks: np.ndarray, what: str) -> np.ndarray:
    """(frames,) bool: the frames of (frames, 68 or 106, 2) with a face; the others must be all NaN.

    Raises:
        ValueError: another shape, no frames, a value that is infinite or larger than any picture, or a frame
            of which only some points are NaN.
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
    # Squares of larger ones may be infinite, and so a score.
    far = np.abs(array) > LARGEST_COORDINATE
    if far.any():
        frame, point, axis = np.argwhere(far)[0]
        raise ValueError(
            f"{what}: {array[frame, point, axis]:.3g} in frame {frame}; expected pixels, at most "
            f"{LARGEST_COORDINATE:.0e} from the corner"
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
    """LD: Euclidean distance to the true points, mean over points and frames; pixels of the pair's space.

    Frames without a face count against coverage only; with none at all the value is None. Where the truth has
    a face and the prediction has none, the score says its bounds: at least those frames were perfect, at most
    every point was as far off as `_farthest` allows.

    Source: EVP (Ji et al., CVPR 2021), section 4; the region, unit and order of means are fixed here.
    """
    points = pair.layout.region(region)
    coverage = float(pair.found.mean())
    residual = (pair.predicted - pair.target)[pair.found][:, points]
    value = _mean_length(residual) if pair.found.any() else None
    if not pair.missing.any():
        return Score(value, coverage=coverage)
    known = 0.0 if value is None else value * pair.found.sum()
    unknown = _farthest(pair, points)[pair.missing].sum()
    count = pair.found.sum() + pair.missing.sum()
    return Score(value, coverage, least=float(known / count), most=float((known + unknown) / count))


def landmark_velocity_distance(pair: AlignedPair, region: Region) -> Score:
    """LVD: Euclidean distance of frame-to-frame motions, mean over points and the T - 1 pairs; px per frame.

    A constant offset cancels: a face that is displaced but moves rightly scores 0. Pairs with a missing
    face are left out and lower the coverage, which here is the share of pairs.

    The bounds where a predicted face is missing: at least those pairs were perfect. At most, as motions
    differ by |e_t - e_(t-1)| <= |e_t| + |e_(t-1)| with e the error of a point's place, a pair is off by the
    errors of its two frames: the known one where the face is known, that of `_farthest` where it is missing.

    Raises:
        ValueError: naming the clip, if it has one frame only.

    Source: EVP (Ji et al., CVPR 2021), section 4.
    """
    if len(pair.found) < 2:
        raise ValueError(f"clip {pair.clip}: a velocity needs two frames or more, got {len(pair.found)}")
    points = pair.layout.region(region)
    pairs = pair.found[1:] & pair.found[:-1]
    coverage = float(pairs.mean())
    residual = (pair.predicted - pair.target)[:, points]
    value = _mean_length(np.diff(residual, axis=0)[pairs]) if pairs.any() else None
    true = pair.found | pair.missing
    lost = true[1:] & true[:-1] & ~pairs
    if not lost.any():
        return Score(value, coverage=coverage)
    off = np.where(pair.missing, _farthest(pair, points), _lengths(residual).mean(1))
    known = 0.0 if value is None else value * pairs.sum()
    unknown = (off[1:] + off[:-1])[lost].sum()
    count = pairs.sum() + lost.sum()
    return Score(value, coverage, least=float(known / count), most=float((known + unknown) / count))


def _farthest(pair: AlignedPair, points: np.ndarray) -> np.ndarray:
    """(frames,) the most by which predicted points can lie off the true ones, mean over the points.

    In a box: the distance to the corner that is farthest from the true point. For stabilised faces that takes
    for granted that the missing face would, once stabilised, lie in the crop, as the true one does.

    Fitted by least squares to true points x: never worse than shrinking the prediction to their mean m, so
    the sum of squares over all fitted points, and over any n of them, is at most S = sum |x - m|^2, and the
    mean length over n points is at most sqrt(S / n).
    """
    if pair.box is None:
        fitted = pair.target[:, pair.layout.region("face")]
        spread = np.sum((fitted - fitted.mean(1, keepdims=True)) ** 2, (1, 2))
        return np.sqrt(spread / len(points))
    low, high = pair.box
    target = pair.target[:, points]
    return _lengths(np.maximum(np.abs(target - low), np.abs(high - target))).mean(1)


def _lengths(vectors: np.ndarray) -> np.ndarray:
    return np.sqrt(np.sum(vectors**2, axis=-1))


def _mean_length(vectors: np.ndarray) -> float:
    return float(_lengths(vectors).mean())
