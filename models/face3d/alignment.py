"""3D-aware alignment: the predicted expression under the target video's head pose.

Variants of one step, chosen by configuration: `PoseSwap` is the paper's and the released code's,
`SimilarityAlignment` its ablation, `StillAlignment` leaves head motion out. Each turns a stabilised
prediction into landmarks of the target's crop, frame k of the prediction with frame k of the target, which
is extended by time reversal.
"""

from __future__ import annotations

from typing import Literal, Protocol

import numpy as np

from models.face3d.camera import Pose, project, smoothed
from models.face3d.fitting import Fit, fit
from models.face3d.morphable import FaceModel
from models.landmarks import alignment
from models.landmarks.topology import IBUG68
from models.targets import configurable
from models.types import ping_pong


@configurable
class LandmarkAlignment(Protocol):
    """What all variants are to the synthesis."""

    needs_face_model: bool

    def align(self, predicted: np.ndarray, target: np.ndarray, model: FaceModel | None) -> np.ndarray:
        """Stabilised (time, 68, 2), and target landmarks (frames, 68, 2), to (time, 68, 2) of its crop."""
        ...


def _extend(predicted: np.ndarray, target: np.ndarray) -> np.ndarray:
    """The target's landmarks, complete, one frame for each of the prediction."""
    for name, landmarks in (("predicted", predicted), ("target", target)):
        if landmarks.ndim != 3 or landmarks.shape[1:] != (68, 2):
            raise ValueError(f"expected {name} landmarks (time, 68, 2), got {landmarks.shape}")
    if not np.isfinite(predicted).all():
        raise ValueError("expected finite predicted landmarks, got NaN or infinity")
    return alignment.fill_missing(target)[ping_pong(len(target), len(predicted))]


class SimilarityAlignment(LandmarkAlignment):
    """Per frame, the similarity that puts the stable points onto the target's ("w/o 3D alignment").

    It follows the target's roll, position and size; a head that turns or nods looks flat.
    """

    needs_face_model = False

    def align(self, predicted: np.ndarray, target: np.ndarray, model: FaceModel | None = None) -> np.ndarray:
        extended = _extend(predicted, target)
        stable = IBUG68.stable
        return alignment.apply(alignment.similarity(stable @ predicted, stable @ extended), predicted)


class StillAlignment(LandmarkAlignment):
    """One similarity for all frames: the face stays where the target's is on average."""

    needs_face_model = False

    def align(self, predicted: np.ndarray, target: np.ndarray, model: FaceModel | None = None) -> np.ndarray:
        extended = _extend(predicted, target)
        stable = IBUG68.stable
        mean = (stable @ predicted).mean(0), (stable @ extended).mean(0)
        return alignment.apply(alignment.similarity(*mean), predicted)


class PoseSwap(LandmarkAlignment):
    """Predicted expression under the target's pose.

    Args:
        placement: what sets scale and place after the target's rotation. "pose" is the paper: the target's
            own scale and translation (equation 8). "points" is the released code: a similarity onto the
            target's eyes, nose tip and outer brow ends; "stable" the same on eyes and nose tip only, so that
            predicted brows are free to move.
        shape: whose face is shown. "both": prediction and target are the same person, so one shape is fitted
            to both together; a turned target then tells the depth that a prediction seen from the front
            cannot. "predicted": the prediction's own, as the paper has it. "target": the predicted
            expression on the target's own shape, for a voice whose subject is somebody else.
        carry_residual: add what the fit could not explain of the shown person, as an offset in model space:
            each frame's own of a prediction, which so comes back unchanged under its own pose; the mean one
            of a target's shape.
        noise: see `models.face3d.fitting.fit`.
        pose_smoothing: frames over which the target's pose is averaged (deviation of a Gaussian). With half a
            pixel of detector noise 1.5 halves the rotation's error and quarters the landmarks' jitter; it
            rounds off head motion above 2 Hz, and exact landmarks do not need it.
        smooth: pass the result through the 1-euro filter, as the released code does. It lags; off by default.
    """

    needs_face_model = True

    def __init__(
        self,
        *,
        placement: Literal["pose", "points", "stable"] = "pose",
        shape: Literal["both", "predicted", "target"] = "both",
        carry_residual: bool = True,
        noise: float = 0.5,
        pose_smoothing: float = 0.0,
        smooth: bool = False,
    ) -> None:
        if placement not in ("pose", "points", "stable"):
            raise ValueError(f"expected placement pose, points or stable, got {placement!r}")
        if shape not in ("both", "predicted", "target"):
            raise ValueError(f"expected shape both, predicted or target, got {shape!r}")
        if not 0 <= pose_smoothing < float("inf"):
            raise ValueError(f"expected pose_smoothing of 0 or more frames, got {pose_smoothing}")
        self.placement = placement
        self.shape = shape
        self.carry_residual = carry_residual
        self.noise = noise
        self.pose_smoothing = pose_smoothing
        self.smooth = smooth

    def align(self, predicted: np.ndarray, target: np.ndarray, model: FaceModel | None) -> np.ndarray:
        """Raises ValueError for landmarks of another shape, a target without a face, or no face model."""
        if model is None:
            raise ValueError("PoseSwap needs the face model that a face3d stage leaves, got None")
        extended = _extend(predicted, target)
        complete = alignment.fill_missing(target)
        source, host = self._fits(model, predicted, complete)
        pose = smoothed(host.pose, self.pose_smoothing).at(ping_pong(len(target), len(predicted)))
        shown = host.shape if self.shape == "target" else source.shape
        points = model.landmarks(model.points(shown, source.expression), pose.rotation)
        if self.carry_residual and self.shape == "target":
            points = points + residual_offsets(host, complete).mean(0)
        elif self.carry_residual:
            points = points + residual_offsets(source, predicted)
        placed = self._place(points, pose, extended)
        if self.smooth:
            placed = alignment.one_euro(placed)
        return placed.astype(predicted.dtype)

    def _fits(self, model: FaceModel, predicted: np.ndarray, target: np.ndarray) -> tuple[Fit, Fit]:
        if self.shape != "both":
            return fit(model, predicted, noise=self.noise), fit(model, target, noise=self.noise)
        together = fit(model, np.concatenate([predicted, target]), noise=self.noise)
        frames = np.arange(len(predicted) + len(target))
        return together.at(frames[: len(predicted)]), together.at(frames[len(predicted) :])

    def _place(self, points: np.ndarray, pose: Pose, target: np.ndarray) -> np.ndarray:
        projected = project(points, pose)
        if self.placement == "pose":
            return projected
        anchors = IBUG68.five if self.placement == "points" else IBUG68.stable
        return alignment.apply(alignment.similarity(anchors @ projected, anchors @ target), projected)


def frontalise(landmarks: np.ndarray, model: FaceModel) -> np.ndarray:
    """Stabilised landmarks (time, 68, 2) of the same face looking straight ahead; missing frames stay NaN.

    A similarity cannot undo a head's turning and nodding. The fitted head can: it is projected without its
    rotation, its residual carried along.

    Raises:
        ValueError: no frame has a face.
    """
    complete = alignment.fill_missing(landmarks)
    fitted = fit(model, complete)
    ahead = np.broadcast_to(np.eye(3), fitted.pose.rotation.shape)
    points = model.landmarks(fitted.points(), ahead) + residual_offsets(fitted, complete)
    still = alignment.stabilise(points[..., :2]).astype(np.float32)
    still[~np.isfinite(landmarks).all((1, 2))] = np.nan
    return still


def residual_offsets(source: Fit, landmarks: np.ndarray) -> np.ndarray:
    """Offsets (time, 68, 3) in model space that make the fitted points project onto the landmarks exactly."""
    residual = (landmarks - source.landmarks()) / source.pose.scale[:, None, None]
    return residual @ source.pose.rotation[:, :2]
