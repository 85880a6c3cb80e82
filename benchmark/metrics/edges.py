"""Edges of the background, and flicker: what a cycle loss on edges promises, measured without its filter.

Edges are Canny's (`models.rendering.edges.frame_edges`), as the renderer's condition has them, in pixels of
the rendered size. What lies in the background is an edge of one side where the other has no face: an edge of
the predicted frame outside the true face must be explained by any true edge, and a true edge outside the
predicted face by any predicted one. So the inside of the face does not count, an edge at the border of the
face's mask is not lost, and predicted and true frames can be exchanged.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import cv2
import numpy as np

from benchmark.metrics.image import check_pair
from benchmark.metrics.landmarks import faces_found
from benchmark.metrics.score import Score
from models.types import Prediction

TOLERANCE = 2.0
"""Pixels within which an edge is the same one."""
FAR = 20.0
"""Pixels that an edge without any counterpart is away at most."""


def edge_f1(predicted: Prediction, truth: Prediction, *, clip: str = "unnamed") -> Score:
    """F1 of the background's edges at a tolerance of 2 px, mean over frames; 1 where neither side has any.

    Precision is the share of predicted edges with a true one within the tolerance, recall that of true edges
    with a predicted one. Frames in which a side has no face are left out and lower the coverage.

    Raises:
        ValueError: naming the clip: frames or landmarks that cannot be compared.

    Source: Martin, Fowlkes and Malik, TPAMI 26(5), 2004, without one-to-one matching, as in DAVIS (Perazzi et
    al., CVPR 2016).
    """

    def score(there: np.ndarray, back: np.ndarray) -> float:
        if not len(there) or not len(back):
            return float(len(there) == len(back))
        precision, recall = (float((d <= TOLERANCE).mean()) for d in (there, back))
        return 2 * precision * recall / (precision + recall) if precision + recall else 0.0

    return _mean(predicted, truth, score, clip)


def edge_chamfer(predicted: Prediction, truth: Prediction, *, clip: str = "unnamed") -> Score:
    """Mean distance in pixels from an edge of the background to the other side's nearest edge.

    The mean of both directions, then of frames. A distance counts 20 px at most, and so does a side without
    edges beside one with edges. Frames in which a side has no face are left out and lower the coverage.

    Raises:
        ValueError: naming the clip: frames or landmarks that cannot be compared.

    Source: Barrow et al., IJCAI 1977, truncated.
    """

    def score(there: np.ndarray, back: np.ndarray) -> float:
        if not len(there) or not len(back):
            return 0.0 if len(there) == len(back) else FAR
        return float(there.mean() + back.mean()) / 2

    return _mean(predicted, truth, score, clip)


def _mean(
    predicted: Prediction, truth: Prediction, score: Callable[[np.ndarray, np.ndarray], float], clip: str
) -> Score:
    values = [score(*pair) for pair in _distances(predicted, truth, clip)]
    if not values:
        return Score(None, coverage=0.0)
    assert truth.frames is not None
    return Score(float(np.mean(values)), coverage=len(values) / len(truth.frames))


def _distances(
    predicted: Prediction, truth: Prediction, clip: str
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Per frame, of each predicted edge the distance to the nearest true one, and of each true edge back."""
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
    for k in np.flatnonzero(found[0] & found[1]):
        sides = [
            (np.ascontiguousarray(f[k]), x.landmarks[k])
            for f, x in zip(frames, (predicted, truth), strict=True)
        ]
        edges = [frame_edges(frame) > 0 for frame, _ in sides]
        outside = [face_mask(np.asarray(points, np.float32), width) == 0 for _, points in sides]
        away = [_away(each) for each in edges]
        yield away[1][edges[0] & outside[1]], away[0][edges[1] & outside[0]]


def _away(edges: np.ndarray) -> np.ndarray:
    """(h, w) distance of each pixel to the nearest edge, `FAR` at most."""
    if not edges.any():
        return np.full(edges.shape, FAR)
    distance = cv2.distanceTransform((~edges).astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    return np.minimum(distance, FAR)


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
