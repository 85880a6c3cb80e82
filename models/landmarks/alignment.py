"""Similarity alignment of 2D landmarks, and the filter that smooths them. Pure NumPy, closed form, batched.

A similarity is a matrix (..., 2, 3): [[a, -b, x], [b, a, y]], applied to column points.

The *stabilised* space is the one that landmarks are predicted and scored in: every frame is moved by the
similarity that puts its stable points (eye-contour centroids, nose tip) best onto a fixed template, so head
motion and the size of the face in the crop are gone, and what speech and emotion do remains.
"""

from __future__ import annotations

import numpy as np

from models.landmarks.topology import layout_of

TEMPLATE = np.array([[84, 80], [168, 80], [129.5, 118.5]], np.float32)
"""Eye a, eye b and nose tip in the stabilised 256 px crop, read off EVP's released mean faces."""


def similarity(source: np.ndarray, target: np.ndarray) -> np.ndarray:
    """Least-squares similarity from source to target points, never a reflection.

    Both (..., points, 2), broadcast over the leading axes; the result is (..., 2, 3) float64. Frames with a
    NaN give NaN. This is Umeyama's solution: with points as complex numbers it is one division.

    Raises:
        ValueError: the shapes do not fit, or source points coincide, so that no scale exists.
    """
    source, target = np.asarray(source, np.float64), np.asarray(target, np.float64)
    if source.shape[-2:] != target.shape[-2:] or source.shape[-1] != 2 or source.shape[-2] < 2:
        raise ValueError(
            "expected source and target with the same two or more points (..., points, 2), "
            f"got {source.shape} and {target.shape}"
        )
    source_mean, target_mean = source.mean(-2, keepdims=True), target.mean(-2, keepdims=True)
    s, t = source - source_mean, target - target_mean
    power = np.sum(s * s, (-2, -1))
    if np.any(power == 0):
        raise ValueError("all source points of a frame coincide, so no similarity is defined")
    a = np.sum(s * t, (-2, -1)) / power
    b = np.sum(s[..., 0] * t[..., 1] - s[..., 1] * t[..., 0], -1) / power
    linear = np.stack([np.stack([a, -b], -1), np.stack([b, a], -1)], -2)
    shift = target_mean[..., 0, :] - np.einsum("...ij,...j->...i", linear, source_mean[..., 0, :])
    return np.concatenate([linear, shift[..., None]], -1)


def apply(transforms: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Move points (..., n, 2) by similarities (..., 2, 3); the points' type is kept."""
    moved = points @ np.swapaxes(transforms[..., :2], -1, -2) + transforms[..., None, :, 2]
    return moved.astype(points.dtype, copy=False)


def invert(transforms: np.ndarray) -> np.ndarray:
    """The similarities that undo `transforms` (..., 2, 3)."""
    scale = transforms[..., 0, 0] ** 2 + transforms[..., 1, 0] ** 2
    linear = np.swapaxes(transforms[..., :2], -1, -2) / scale[..., None, None]
    shift = -np.einsum("...ij,...j->...i", linear, transforms[..., 2])
    return np.concatenate([linear, shift[..., None]], -1)


def stabilising(landmarks: np.ndarray) -> np.ndarray:
    """The similarity of each frame onto the template: (..., points, 2) -> (..., 2, 3) float64.

    Raises:
        ValueError: neither 68 nor 106 points.
    """
    return similarity(layout_of(landmarks).stable @ landmarks, TEMPLATE)


def stabilise(landmarks: np.ndarray) -> np.ndarray:
    """Landmarks (..., 68 or 106, 2) under the similarity that puts their stable points onto the template.

    Frames with NaN come back as NaN. To return to where the face was, use `stabilising` and `invert`.
    """
    return apply(stabilising(landmarks), landmarks)


def align_by_similarity(predicted: np.ndarray, target: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Both sequences stabilised, as landmark distances compare them.

    Raises:
        ValueError: the shapes differ.
    """
    if predicted.shape != target.shape:
        raise ValueError(f"expected sequences of one shape, got {predicted.shape} and {target.shape}")
    return stabilise(predicted), stabilise(target)


def fill_missing(landmarks: np.ndarray) -> np.ndarray:
    """Frames (time, points, 2) with NaN replaced by linear interpolation in time; the ends are held.

    For what must be drawn or fitted without gaps. Scores never use it: there a missing frame is missing.

    Raises:
        ValueError: no frame is complete.
    """
    found = np.isfinite(landmarks).all((-2, -1))
    if not found.any():
        raise ValueError(f"no frame of {len(landmarks)} has all its landmarks; expected a clip with a face")
    if found.all():
        return landmarks
    known = np.flatnonzero(found)
    time = np.arange(len(landmarks))
    after = np.clip(np.searchsorted(known, time), 0, len(known) - 1)
    right, left = known[after], known[np.maximum(after - 1, 0)]
    left = np.where((right <= time) | (time < known[0]), right, left)
    span = np.maximum(right - left, 1)
    weight = np.clip((time - left) / span, 0, 1).astype(landmarks.dtype)[:, None, None]
    return landmarks[left] * (1 - weight) + landmarks[right] * weight


def one_euro(
    values: np.ndarray,
    min_cutoff: float = 0.01,
    beta: float = 0.7,
    derivative_cutoff: float = 1.0,
    frequency: float = 100.0,
) -> np.ndarray:
    """The 1-euro filter along the first axis, each coordinate by itself (Casiez et al., CHI 2012).

    The defaults are EVP's, including its nominal 100 Hz. Computed in float64, returned in
    the type of `values`. The first sample passes.

    Raises:
        ValueError: a value is not finite: one would spoil all that follow.
    """
    if not np.isfinite(values).all():
        raise ValueError("expected finite values to filter; fill missing frames first (fill_missing)")
    if len(values) == 0:
        return values.copy()

    def smoothing(cutoff: np.ndarray | float) -> np.ndarray | float:
        return 1 / (1 + frequency / (2 * np.pi * cutoff))

    raw = np.asarray(values, np.float64)
    filtered = np.empty_like(raw)
    filtered[0] = raw[0]
    speed = np.zeros_like(raw[0])
    keep = smoothing(derivative_cutoff)
    for k in range(1, len(raw)):
        speed = keep * (raw[k] - raw[k - 1]) * frequency + (1 - keep) * speed
        gain = smoothing(min_cutoff + beta * np.abs(speed))
        filtered[k] = gain * raw[k] + (1 - gain) * filtered[k - 1]
    return filtered.astype(values.dtype, copy=False)
