"""Weak-perspective camera and rotations (equation 8 of the EVP paper).

Model space: x right, y down, z towards the viewer, units of the 256 crop at rest. An image point is
s * (R X)_xy + t. Rotations are float64 matrices (..., 3, 3) acting on columns.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.ndimage import gaussian_filter1d


@dataclass(frozen=True)
class Pose:
    """The camera of every frame: rotation (time, 3, 3), scale (time,), translation (time, 2) in pixels."""

    rotation: np.ndarray
    scale: np.ndarray
    translation: np.ndarray

    def __len__(self) -> int:
        return len(self.scale)

    def at(self, frames: np.ndarray) -> Pose:
        return Pose(self.rotation[frames], self.scale[frames], self.translation[frames])


def smoothed(pose: Pose, width: float) -> Pose:
    """Averaged over time with Gaussian weights of `width` frames, without lag; the ends hold their values.

    The mean of rotations is the rotation nearest to the mean of their matrices.
    """
    if width == 0:
        return pose
    rotation, scale, translation = (
        gaussian_filter1d(values, width, axis=0, mode="nearest")
        for values in (pose.rotation, pose.scale, pose.translation)
    )
    u, _, vt = np.linalg.svd(rotation)
    return Pose(u @ vt, scale, translation)


def project(points: np.ndarray, pose: Pose) -> np.ndarray:
    """Model points (time, n, 3) or (n, 3) to pixels (time, n, 2)."""
    turned = points @ np.swapaxes(pose.rotation[:, :2], -1, -2)
    return pose.scale[:, None, None] * turned + pose.translation[:, None]


def skew(vectors: np.ndarray) -> np.ndarray:
    """(..., 3) to the matrices (..., 3, 3) of their cross products."""
    x, y, z = np.moveaxis(np.asarray(vectors, np.float64), -1, 0)
    zero = np.zeros_like(x)
    rows = [np.stack(row, -1) for row in ((zero, -z, y), (z, zero, -x), (-y, x, zero))]
    return np.stack(rows, -2)


def rotation_from_vector(vectors: np.ndarray) -> np.ndarray:
    """Axis times angle in radians (..., 3) to rotations (..., 3, 3); zero gives the identity."""
    angle = np.linalg.norm(vectors, axis=-1)[..., None, None]
    k = skew(vectors)
    half = np.sinc(angle / (2 * np.pi))
    return np.eye(3) + np.sinc(angle / np.pi) * k + 0.5 * half**2 * (k @ k)


def rotation_from_angles(yaw: np.ndarray, pitch: np.ndarray, roll: np.ndarray) -> np.ndarray:
    """R = roll @ pitch @ yaw, in radians, about z, x and y."""
    yaw, pitch, roll = np.broadcast_arrays(yaw, pitch, roll)
    zero = np.zeros(yaw.shape)
    about_y = rotation_from_vector(np.stack([zero, yaw, zero], -1))
    about_x = rotation_from_vector(np.stack([pitch, zero, zero], -1))
    about_z = rotation_from_vector(np.stack([zero, zero, roll], -1))
    return about_z @ about_x @ about_y


def angle_between(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Angle in radians of the rotation that takes a to b, both (..., 3, 3)."""
    return 2 * np.arcsin(np.clip(np.linalg.norm(a - b, axis=(-2, -1)) / np.sqrt(8), 0, 1))


def nearest_rotation(affine: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Affine cameras (..., 2, 3) to the rotation and scale nearest to them in the Frobenius norm."""
    u, singular, vt = np.linalg.svd(affine, full_matrices=False)
    rows = u @ vt
    third = np.cross(rows[..., 0, :], rows[..., 1, :])
    return np.concatenate([rows, third[..., None, :]], -2), singular.mean(-1)
