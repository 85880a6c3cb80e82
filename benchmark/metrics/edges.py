"""Edges of the background, and flicker: what a cycle loss on edges promises, measured without its filter.

Edges are Canny's (`models.rendering.edges.frame_edges`), as the renderer's condition has them, in pixels of
the rendered size. What lies in the background is an edge of one side where the other has no face: an edge of
the predicted frame outside the true face must be explained by any true edge, and a true edge outside the
predicted face by any predicted one. So the inside of the face does not count, an edge at the border of the
face's mask is not lost, and predicted and true frames can be exchanged.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numba import njit

from benchmark.metrics.image import check_pair
from benchmark.metrics.landmarks import faces_found
from benchmark.metrics.score import Score
from models.types import Prediction

TOLERANCE = 2.0
"""Pixels within which an edge is the same one."""
FAR = 20
"""Pixels that an edge without any counterpart is away at most."""
_ROOTS = np.sqrt(np.arange(FAR**2 + 1, dtype=np.float32))


@dataclass(frozen=True)
class EdgeDistances:
    """How far the background's edges are from those of the other side, in the frames with both faces."""

    pairs: tuple[tuple[np.ndarray, np.ndarray], ...]
    """Per such frame, float32: of each predicted edge the distance to the nearest true one, and of each true
    edge back; `FAR` at most. Pixels of the rendered size."""
    missing: int
    """Frames in which the truth has a face and the prediction has none."""
    frames: int
    """Of the clip, with and without faces."""


def edge_f1(distances: EdgeDistances) -> Score:
    """F1 of the background's edges at a tolerance of 2 px, mean over frames; 1 where neither side has any.

    Precision is the share of predicted edges with a true one within the tolerance, recall that of true edges
    with a predicted one. Frames in which a side has no face are left out and lower the coverage; where it is
    the prediction that has none, they could have scored 0 or 1.

    Source: Martin, Fowlkes and Malik, TPAMI 26(5), 2004, without one-to-one matching, as in DAVIS (Perazzi et
    al., CVPR 2016).
    """

    def score(there: np.ndarray, back: np.ndarray) -> float:
        if not len(there) or not len(back):
            return float(len(there) == len(back))
        precision, recall = (float((d <= TOLERANCE).mean()) for d in (there, back))
        return 2 * precision * recall / (precision + recall) if precision + recall else 0.0

    return _mean(distances, score, largest=1.0)


def edge_chamfer(distances: EdgeDistances) -> Score:
    """Mean distance in pixels from an edge of the background to the other side's nearest edge.

    The mean of both directions, then of frames. A distance counts 20 px at most, and so does a side without
    edges beside one with edges. Frames in which a side has no face are left out and lower the coverage; where
    it is the prediction that has none, they could have scored from 0 to 20 px.

    Source: Barrow et al., IJCAI 1977, truncated.
    """

    def score(there: np.ndarray, back: np.ndarray) -> float:
        if not len(there) or not len(back):
            return 0.0 if len(there) == len(back) else float(FAR)
        return float(there.mean() + back.mean()) / 2

    return _mean(distances, score, largest=float(FAR))


def _mean(
    distances: EdgeDistances, score: Callable[[np.ndarray, np.ndarray], float], largest: float
) -> Score:
    values = [score(*pair) for pair in distances.pairs]
    value = float(np.mean(values)) if values else None
    coverage = len(values) / distances.frames
    if not distances.missing:
        return Score(value, coverage)
    known, count = sum(values), len(values) + distances.missing
    return Score(value, coverage, least=known / count, most=(known + distances.missing * largest) / count)


def edge_distances(predicted: Prediction, truth: Prediction, *, clip: str = "unnamed") -> EdgeDistances:
    """
    Raises:
        ValueError: naming the clip: frames or landmarks that cannot be compared.
    """
    # It imports torch, which planning and scoring landmarks do without.
    from models.rendering.edges import face_mask, frame_edges

    frames, found = [], []
    for side, name in ((predicted, "predicted"), (truth, "true")):
        if side.frames is None:
            raise ValueError(f"clip {clip}: an image metric needs predicted and true frames")
        frames.append(side.frames)
        found.append(faces_found(side.landmarks, f"clip {clip}: {name} landmarks"))
    check_pair(frames[0], frames[1], clip)
    height, width = frames[0].shape[1:3]
    if height != width:
        raise ValueError(f"clip {clip}: edges are compared in square crops, got frames of {width} x {height}")
    lengths = [len(part) for part in (*found, *frames)]
    if len(set(lengths)) != 1:
        raise ValueError(f"clip {clip}: expected as many landmarks as frames, got {lengths}")
    pairs = []
    for k in np.flatnonzero(found[0] & found[1]):
        edges = [frame_edges(np.ascontiguousarray(side[k])) for side in frames]
        faces = [face_mask(np.asarray(side.landmarks[k], np.float32), width) for side in (predicted, truth)]
        pairs.append((_distances(edges[0], faces[1], edges[1]), _distances(edges[1], faces[0], edges[0])))
    missing = int(np.count_nonzero(found[1] & ~found[0]))
    return EdgeDistances(tuple(pairs), missing, len(frames[1]))


def _distances(edges: np.ndarray, face: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Of each edge outside a face the Euclidean distance to the nearest other edge, `FAR` at most.

    All three are (h, w) uint8, non-zero on edges or faces. Row by row, float32: what OpenCV's precise
    distance transform has at the edges, of which it would compute all pixels.
    """
    return _ROOTS[_squared_distances(edges, face, _distance_in_column(others))]


@njit(cache=True)
def _distance_in_column(edges: np.ndarray) -> np.ndarray:
    """(h, w) uint8: rows to the nearest edge above or below, `FAR` at most."""
    height, width = edges.shape
    out = np.empty((height, width), np.uint8)
    rows = np.full(width, FAR, np.uint8)
    for i in range(height):
        for j in range(width):
            rows[j] = np.uint8(0) if edges[i, j] else min(np.uint8(rows[j] + np.uint8(1)), np.uint8(FAR))
            out[i, j] = rows[j]
    rows[:] = FAR
    for i in range(height - 1, -1, -1):
        for j in range(width):
            rows[j] = min(np.uint8(rows[j] + np.uint8(1)), out[i, j])
            out[i, j] = rows[j]
    return out


@njit(cache=True)
def _squared_distances(edges: np.ndarray, face: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Squared distances of the edges outside a face, from the others' `_distance_in_column`."""
    height, width = edges.shape
    out = np.empty(height * width, np.int16)
    count = 0
    for i in range(height):
        for j in range(width):
            if edges[i, j] == 0 or face[i, j] != 0:
                continue
            nearest = np.int64(rows[i, j]) ** 2
            aside = 1
            while aside * aside < nearest:
                for column in (j - aside, j + aside):
                    if 0 <= column < width:
                        nearest = min(nearest, aside * aside + np.int64(rows[i, column]) ** 2)
                aside += 1
            out[count] = nearest
            count += 1
    return out[:count]


def flicker(predicted: np.ndarray, target: np.ndarray, *, clip: str = "unnamed") -> Score:
    """Mean difference of the frame-to-frame changes of (frames, H, W, 3) uint8, in grey levels (0 to 255).

    |(p_t - p_(t-1)) - (x_t - x_(t-1))|, mean over pixels, RGB and pairs of frames. A constant mistake
    cancels; what comes and goes counts, as does motion that is missing or late.

    Raises:
        ValueError: naming the clip: frames that cannot be compared, or one frame only.

    Source: the change compared with the true one as in TecoGAN's tLP (Chu et al., TOG 39(4), 2020), but pixel
    by pixel instead of by a perceptual network.
    """
    check_pair(predicted, target, clip)
    if len(target) < 2:
        raise ValueError(f"clip {clip}: flicker needs two frames or more, got {len(target)}")
    values = []
    before = predicted[0].astype(np.int16) - target[0]
    for p, x in zip(predicted[1:], target[1:], strict=True):
        now = p.astype(np.int16) - x
        values.append(float(np.abs(now - before).mean()))
        before = now
    return Score(float(np.mean(values)))
