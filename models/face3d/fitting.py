"""Fits the linear face model to a clip's 2D landmarks: pose and expression per frame, shape per clip.

Maximum a posteriori by Gauss-Newton over everything at once (the fit behind the
EVP results was not released). A frame's six pose unknowns and its expression are eliminated first, which
leaves one small system for the shape that all frames share.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from models.face3d.camera import Pose, nearest_rotation, project, rotation_from_vector
from models.face3d.morphable import FaceModel
from models.landmarks.topology import IBUG68

CHUNK = 256
"""Frames per batch of normal equations: keeps the Jacobians within the cache's reach."""


@dataclass(frozen=True)
class Fit:
    """What explains a clip's landmarks. Model points of frame t are model.points(shape + expression[t])."""

    model: FaceModel
    pose: Pose
    shape: np.ndarray
    """(k,) what all frames have in common."""
    expression: np.ndarray
    """(time, k) what each frame adds."""

    def points(self) -> np.ndarray:
        """(time, 68, 3) in model space."""
        return self.model.points(self.shape + self.expression)

    def landmarks(self) -> np.ndarray:
        """(time, 68, 2) the fitted points in the image."""
        return project(self.points(), self.pose)


def initial_pose(points: np.ndarray, landmarks: np.ndarray, weights: np.ndarray) -> Pose:
    """The affine camera of each frame by least squares, and the weak-perspective one nearest to it.

    Model points (68, 3), landmarks (time, 68, 2), one weight per point.
    """
    design = np.concatenate([points, np.ones((len(points), 1))], 1)
    solve = np.linalg.pinv(design * weights[:, None]) * weights
    affine = np.swapaxes(solve @ landmarks, -1, -2)
    rotation, scale = nearest_rotation(affine[..., :3])
    return Pose(rotation, scale, affine[..., 3])


def fit(
    model: FaceModel,
    landmarks: np.ndarray,
    *,
    noise: float = 0.5,
    contour_weight: float = 0.5,
    shape_share: float = 0.7,
    iterations: int = 6,
) -> Fit:
    """Fit a clip's landmarks (time, 68, 2).

    Args:
        noise: standard deviation of a landmark in pixels: how much the data is trusted over the heads the
            model was learned from.
        contour_weight: trust in the face contour relative to other points. Detectors let it slide along
            the silhouette when the head turns.
        shape_share: part of the model's variance that is shape; the rest is expression.
        iterations: Gauss-Newton steps. Steps shrink a hundredfold each; six reach rounding error.

    Raises:
        ValueError: not (time >= 1, 68, 2), or not finite (fill missing frames first).
    """
    if landmarks.ndim != 3 or landmarks.shape[1:] != (68, 2) or len(landmarks) == 0:
        raise ValueError(f"expected landmarks (time, 68, 2) with at least one frame, got {landmarks.shape}")
    if not np.isfinite(landmarks).all():
        raise ValueError("expected finite landmarks to fit; fill missing frames first (fill_missing)")
    target = landmarks.astype(np.float64)
    weights = np.ones(68)
    weights[list(IBUG68.regions["contour"])] = contour_weight
    trust = weights / noise
    shape_prior = 1 / (shape_share * model.deviation**2)
    expression_prior = 1 / ((1 - shape_share) * model.deviation**2)

    pose = initial_pose(model.mean, target, weights)
    shape = np.zeros(len(model.deviation))
    expression = np.zeros((len(target), len(shape)))
    for _ in range(iterations):
        pose, shape, expression = _step(
            model, target, trust, pose, shape, expression, shape_prior, expression_prior
        )
    return Fit(model, pose, shape, expression)


def _jacobian(model: FaceModel, pose: Pose, points: np.ndarray) -> np.ndarray:
    """d(pixels) / d(rotation 3, log scale, translation 2, coefficients k): (time, 68, 2, 6 + k)."""
    frames, k = len(pose), len(model.deviation)
    turned = points @ np.swapaxes(pose.rotation, -1, -2) * pose.scale[:, None, None]
    x, y, z = np.moveaxis(turned, -1, 0)
    jacobian = np.zeros((frames, 68, 2, 6 + k))
    jacobian[..., 0, 1], jacobian[..., 0, 2] = z, -y
    jacobian[..., 1, 0], jacobian[..., 1, 2] = -z, x
    jacobian[..., 3] = turned[..., :2]
    jacobian[..., 0, 4] = jacobian[..., 1, 5] = 1
    camera = pose.scale[:, None, None] * pose.rotation[:, :2]
    jacobian[..., 6:] = (
        (camera @ np.moveaxis(model.components, -1, 0).reshape(3, -1))
        .reshape(frames, 2, k, 68)
        .transpose(0, 3, 1, 2)
    )
    return jacobian


def _step(
    model: FaceModel,
    target: np.ndarray,
    trust: np.ndarray,
    pose: Pose,
    shape: np.ndarray,
    expression: np.ndarray,
    shape_prior: np.ndarray,
    expression_prior: np.ndarray,
) -> tuple[Pose, np.ndarray, np.ndarray]:
    """One Gauss-Newton step. A frame's unknowns follow the shape's step linearly: own - gain @ shape_step."""
    k = len(shape)
    reduced, right = np.diag(shape_prior), -shape_prior * shape
    own, gain = np.empty((len(target), 6 + k)), np.empty((len(target), 6 + k, k))
    for start in range(0, len(target), CHUNK):
        part = slice(start, start + CHUNK)
        camera = Pose(pose.rotation[part], pose.scale[part], pose.translation[part])
        points = model.points(shape + expression[part])
        jacobian = (_jacobian(model, camera, points) * trust[:, None, None]).reshape(len(camera), 136, 6 + k)
        error = ((target[part] - project(points, camera)) * trust[:, None]).reshape(len(camera), 136, 1)
        transposed = np.swapaxes(jacobian, -1, -2)
        normal, gradient = transposed @ jacobian, transposed @ error
        shared = normal[..., 6:].copy()
        right += gradient[:, 6:, 0].sum(0)
        reduced = reduced + shared[:, 6:].sum(0)
        normal[:, range(6, 6 + k), range(6, 6 + k)] += expression_prior
        gradient[:, 6:, 0] -= expression_prior * expression[part]
        solved = np.linalg.solve(normal, np.concatenate([gradient, shared], -1))
        own[part], gain[part] = solved[..., 0], solved[..., 1:]
        coupling = np.swapaxes(shared, -1, -2)
        right -= (coupling @ solved[..., :1])[..., 0].sum(0)
        reduced = reduced - (coupling @ solved[..., 1:]).sum(0)
    shape_step = np.linalg.solve(reduced, right)
    own -= gain @ shape_step
    moved = Pose(
        rotation_from_vector(own[:, :3]) @ pose.rotation,
        pose.scale * np.exp(np.clip(own[:, 3], -0.5, 0.5)),
        pose.translation + own[:, 4:6],
    )
    return moved, shape + shape_step, expression + own[:, 6:]
