"""Landmark distances of published scripts, reproduced with their defects: for comparison with old tables.

Each is computed here as its script computes it from landmarks; detection, cropping and the scripts' rounding
of landmarks to whole pixels belong to their detectors and are not repeated. All of them skip a frame without
a face: a method whose worst faces are not found scores better, and nothing says so. Their authors pool frames
of all clips or take means of clips; here every clip has its score.

Sources:
    ATVGnet: Chen et al., CVPR 2019; lelechen63/ATVGnet, evaluation_matrix.py, compare_landmarks.
    EAT: Gan et al., ICCV 2023; yuangan/evaluation_eat, code/test_lmd.py, get_lmd.
    ViCo: Zhou et al., ECCV 2022; dc3ea9f/vico_challenge_baseline, evaluations/compute_lmd.py.
"""

from __future__ import annotations

import numpy as np

from benchmark.metrics.landmarks import AlignedPair, Region, Sides
from benchmark.metrics.score import Score
from models.landmarks.alignment import TEMPLATE

EAT_EYES = 51.34
"""Pixels between the eyes' centroids in the template that EAT's kit aligns frames to for its 128 px crop."""
EAT_SCALE = EAT_EYES / float(np.linalg.norm(TEMPLATE[1] - TEMPLATE[0]))


def atvgnet_distance(sides: Sides, native: np.ndarray) -> Score:
    """ATVGnet's LMD: *sum* over the mouth points of their distance after the mouth's mean is subtracted.

    20 times a mean distance. Pixels of the frames as they are (`native`: (2,) of them per pixel of the 256
    crop), so that the same face in a larger picture scores worse.
    """
    predicted, true = _seen(sides, native)
    if len(true) == 0:
        return Score(None, coverage=0.0)
    distances = _lengths(_centred(predicted, sides) - _centred(true, sides))
    return Score(float(distances.sum(1).mean()), coverage=_coverage(sides))


def vico_distance(sides: Sides, native: np.ndarray) -> Score:
    """ViCo's LMD: mean of |dx| and |dy| over the mouth points, with no alignment, in pixels of the frames.

    Not a length: the same error scores up to 1.41 times more when it lies along a diagonal.
    """
    predicted, true = _seen(sides, native)
    if len(true) == 0:
        return Score(None, coverage=0.0)
    mouth = sides.layout.region("mouth")
    return Score(float(np.abs(predicted - true)[:, mouth].mean()), coverage=_coverage(sides))


def eat_distance(pair: AlignedPair, region: Region) -> Score:
    """EAT's M-LMD and F-LMD: mean distance over a region's points after its mean is subtracted.

    Pixels of EAT's 128 crop, in which every frame is aligned.
    """
    predicted, true = _in_eat_crop(pair)
    if len(true) == 0:
        return Score(None, coverage=0.0)
    points = pair.layout.region(region)
    moved, still = (side[:, points] - side[:, points].mean(1, keepdims=True) for side in (predicted, true))
    return Score(float(_lengths(moved - still).mean()), coverage=float(pair.found.mean()))


def eat_velocity_distance(pair: AlignedPair, region: Region) -> Score:
    """EAT's M-LVD and F-LVD: the difference of motions, pixels of its 128 crop per frame.

    Three defects. N - 1 motions are divided by N frames. A frame without a face is cut out, so that the
    motion across the gap counts as one step. And the sum for the face adds the *mouth's* difference: F-LVD is
    M-LVD times 20 / 68, whatever the rest of the face does. (The log committed with the kit shows it:
    M-LVD 1.7991839352355146, F-LVD 0.5291717456575045.) A clip of one frame scores 0.
    """
    predicted, true = _in_eat_crop(pair)
    if len(true) == 0:
        return Score(None, coverage=0.0)
    mouth = pair.layout.region("mouth")
    differences = _lengths(np.diff((predicted - true)[:, mouth], axis=0))
    total = float(differences.sum() / (len(true) * len(pair.layout.region(region))))
    return Score(total, coverage=float(pair.found.mean()))


def _seen(sides: Sides, native: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Predicted and true landmarks of the frames in which both have a face."""
    found = sides.predicted_found & sides.target_found
    return sides.predicted[found] * native, sides.target[found] * native


def _in_eat_crop(pair: AlignedPair) -> tuple[np.ndarray, np.ndarray]:
    return pair.predicted[pair.found] * EAT_SCALE, pair.target[pair.found] * EAT_SCALE


def _centred(points: np.ndarray, sides: Sides) -> np.ndarray:
    mouth = points[:, sides.layout.region("mouth")]
    return mouth - mouth.mean(1, keepdims=True)


def _coverage(sides: Sides) -> float:
    return float((sides.predicted_found & sides.target_found).mean())


def _lengths(vectors: np.ndarray) -> np.ndarray:
    return np.sqrt(np.sum(vectors**2, axis=-1))
