"""Fits the linear face model to a clip's 2D landmarks: pose and expression per frame, shape per clip.

Maximum a posteriori by Gauss-Newton over everything at once (the fit behind the EVP results was not
released; what its author points to alternates pose and ridge steps, which have the same optimum and crawl
towards it where pose and shape explain each other). A frame's six pose unknowns and its expression are
eliminated first, which leaves one small system for the shape that all frames share.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from models.face3d.camera import Pose, nearest_rotation, project, rotation_from_vector
from models.face3d.morphable import CONTOUR, FaceModel

CHUNK = 256
"""Frames per batch of normal equations: keeps the Jacobians within the cache's reach."""


@dataclass(frozen=True)
class Fit:
    """What explains a clip's landmarks."""

    model: FaceModel
    pose: Pose
    shape: np.ndarray
    """(s,) of the clip."""
    expression: np.ndarray
    """(time, e) of each frame."""

    def at(self, frames: np.ndarray) -> Fit:
        return Fit(self.model, self.pose.at(frames), self.shape, self.expression[frames])

    def points(self) -> np.ndarray:
        """(time, n, 3) in model space."""
        return self.model.points(self.shape, self.expression)

    def landmarks(self) -> np.ndarray:
        """(time, 68, 2) the fitted landmarks in the image."""
        return project(self.model.landmarks(self.points(), self.pose.rotation), self.pose)


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
    iterations: int = 6,
) -> Fit:
    """Fit a clip's landmarks (time, 68, 2).

    Args:
        noise: standard deviation of a landmark in pixels: how much the data is trusted over the heads the
            model was learned from.
        contour_weight: trust in the face contour relative to other points. Detectors let it slide along
            the silhouette when the head turns.
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
    weights[list(CONTOUR)] = contour_weight
    found = Fit(
        model,
        initial_pose(model.mean[:68], target, weights),
        np.zeros(len(model.shapes)),
        np.zeros((len(target), len(model.expressions))),
    )
    for _ in range(iterations):
        found = _step(found, target, weights / noise)
    return found


def _jacobian(model: FaceModel, pose: Pose, points: np.ndarray, seen: np.ndarray | None) -> np.ndarray:
    """d(pixels) / d(rotation 3, log scale, translation 2, expression e, shape s).

    Points (time, 68, 3) and which of the model's they are; (time, 68, 2, 6 + e + s).
    """
    turned = points @ np.swapaxes(pose.rotation, -1, -2) * pose.scale[:, None, None]
    x, y, z = np.moveaxis(turned, -1, 0)
    modes = np.concatenate([model.expressions, model.shapes])
    frames, k = len(pose), len(modes)
    jacobian = np.zeros((frames, 68, 2, 6 + k))
    jacobian[..., 0, 1], jacobian[..., 0, 2] = z, -y
    jacobian[..., 1, 0], jacobian[..., 1, 2] = -z, x
    jacobian[..., 3] = turned[..., :2]
    jacobian[..., 0, 4] = jacobian[..., 1, 5] = 1
    camera = pose.scale[:, None, None] * pose.rotation[:, :2]
    fixed = 0 if seen is None else len(CONTOUR)  # the contour comes first; from here on landmarks are points
    still = np.moveaxis(modes[:, fixed:68], -1, 0)
    moved = (camera @ still.reshape(3, -1)).reshape(frames, 2, k, -1)
    jacobian[:, fixed:, :, 6:] = moved.transpose(0, 3, 1, 2)
    if seen is not None:
        chosen = np.ascontiguousarray(modes.transpose(1, 2, 0))[seen[:, :fixed]]
        jacobian[:, :fixed, :, 6:] = camera[:, None] @ chosen
    return jacobian


def _step(found: Fit, target: np.ndarray, trust: np.ndarray) -> Fit:
    """One Gauss-Newton step. A frame's unknowns follow the shape's step linearly: own - gain @ shape_step."""
    model, pose, shape, expression = found.model, found.pose, found.shape, found.expression
    e, s = expression.shape[1], len(shape)
    of_frame = 6 + e
    reduced, right = np.eye(s), -shape
    own, gain = np.empty((len(target), of_frame)), np.empty((len(target), of_frame, s))
    for start in range(0, len(target), CHUNK):
        part = slice(start, start + CHUNK)
        camera = Pose(pose.rotation[part], pose.scale[part], pose.translation[part])
        points = model.points(shape, expression[part])
        seen = model.seen(points, camera.rotation)
        points = points[:, :68] if seen is None else np.take_along_axis(points, seen[..., None], 1)
        jacobian = _jacobian(model, camera, points, seen) * trust[:, None, None]
        jacobian = jacobian.reshape(len(camera), 136, of_frame + s)
        error = ((target[part] - project(points, camera)) * trust[:, None]).reshape(len(camera), 136, 1)
        transposed = np.swapaxes(jacobian, -1, -2)
        normal, gradient = transposed @ jacobian, transposed @ error
        inner, coupling = normal[:, :of_frame, :of_frame], normal[:, :of_frame, of_frame:]
        diagonal = np.arange(6, of_frame)
        inner[:, diagonal, diagonal] += 1
        gradient[:, 6:of_frame, 0] -= expression[part]
        solved = np.linalg.solve(inner, np.concatenate([gradient[:, :of_frame], coupling], -1))
        own[part], gain[part] = solved[..., 0], solved[..., 1:]
        back = np.swapaxes(coupling, -1, -2)
        reduced = reduced + (normal[:, of_frame:, of_frame:] - back @ gain[part]).sum(0)
        right = right + (gradient[:, of_frame:, 0] - (back @ solved[..., :1])[..., 0]).sum(0)
    shape_step = np.linalg.solve(reduced, right)
    own -= gain @ shape_step
    moved = Pose(
        rotation_from_vector(own[:, :3]) @ pose.rotation,
        pose.scale * np.exp(np.clip(own[:, 3], -0.5, 0.5)),
        pose.translation + own[:, 4:6],
    )
    return Fit(model, moved, shape + shape_step, expression + own[:, 6:])
