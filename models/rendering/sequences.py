"""What the renderer trains on: a subject's frames with the edge maps of their own landmarks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Literal

import cv2
import numpy as np
import torch
from torch import Tensor

from models.landmarks.alignment import fill_missing
from models.landmarks.topology import IBUG68, layout_of
from models.rendering.edges import EdgeSketch, face_mask
from models.rendering.generator import HISTORY
from models.types import CROP_SIZE, Clip

Start = Literal["lead_in", "still", "released"]
"""What the generator is shown as the past of its first frame.

"lead_in": the target's frames 1 and 0, in that order, so that motion leads into frame 0. "still": frame 0
twice. "released": frames 0 and 1, which are also the first two frames of the output, as with `use_real_img`.
"""

FIRST_HISTORY: Mapping[Start, tuple[int, int]] = {"lead_in": (1, 0), "still": (0, 0), "released": (0, 1)}
"""Indices of the target's frames that are the first history, the latest last."""

MARGIN = 1.35
"""How far around the lips or an eye, from their middle, a mistake counts as one of theirs."""


def resized(frames: np.ndarray, size: int) -> np.ndarray:
    """Frames (time, h, w, 3) uint8 at (time, size, size, 3), averaged when they shrink."""
    if frames.shape[1:3] == (size, size):
        return np.asarray(frames)
    how = cv2.INTER_AREA if frames.shape[1] > size else cv2.INTER_CUBIC
    return np.stack([cv2.resize(frame, (size, size), interpolation=how) for frame in frames])


def unit(array: np.ndarray) -> Tensor:
    """uint8 to float in [0, 1]."""
    return torch.from_numpy(np.ascontiguousarray(array)).float().div_(255)


def importance(
    landmarks: np.ndarray,
    size: int,
    *,
    plain: float = 1.0,
    face: float = 0.0,
    mouth: float = 0.0,
    eyes: float = 0.0,
) -> np.ndarray:
    """(1, size, size) float32 weights of pixels: `plain`, and more in the face, around lips and eyes."""
    layout = layout_of(landmarks)
    weight = plain + face * (face_mask(landmarks, size) > 0).astype(np.float32)
    for points, extra in ((layout.region("outer_mouth"), mouth), (layout.eye_a, eyes), (layout.eye_b, eyes)):
        weight += extra * _around(landmarks[list(points)] * (size / CROP_SIZE), size)
    return weight[None].astype(np.float32)


def _around(points: np.ndarray, size: int) -> np.ndarray:
    """(size, size) uint8, 1 within the points' hull widened by `MARGIN`."""
    widened = points.mean(0) + MARGIN * (points - points.mean(0))
    region = np.zeros((size, size), np.uint8)
    cv2.fillConvexPoly(region, cv2.convexHull(np.round(widened).astype(np.int32)), (1,))
    return region


@dataclass(frozen=True)
class FaceSequence:
    """One clip ready to be drawn from."""

    frames: np.ndarray
    """(time, 3, size, size) uint8."""
    conditions: np.ndarray
    """(time, channels, size, size) uint8."""
    landmarks: np.ndarray
    """(time, 68, 2) without gaps."""


def prepare(clips: Sequence[Clip], sketch: EdgeSketch, limit: int | None = None) -> list[FaceSequence]:
    """Frames and edge maps of the clips that have frames and a face, at most `limit` frames of each."""
    prepared = []
    for clip in clips:
        if not clip.has("frames") or not np.isfinite(clip.landmarks).all((-2, -1)).any():
            continue
        frames = resized(clip.frames[:limit], sketch.size)
        landmarks = fill_missing(clip.landmarks)[: len(frames)]
        conditions = sketch.draw_clip(landmarks, frames)
        prepared.append(
            FaceSequence(np.ascontiguousarray(frames.transpose(0, 3, 1, 2)), conditions, landmarks)
        )
    return prepared


@dataclass
class Windows:
    """A batch of short sequences. Images are float in [0, 1]."""

    conditions: Tensor
    """(batch, 2 + warm-up + steps, channels, h, w): of the history as it is shown, of the frames that the
    generator draws without learning from them, and of those it learns from."""
    history: Tensor
    """(batch, 2, 3, h, w) as it is shown to the generator: real, damaged, or from another time."""
    before: Tensor
    """(batch, 2, 3, h, w) the true frames before the first one to draw."""
    frames: Tensor
    """(batch, steps, 3, h, w) the frames to draw."""
    importance: Tensor
    """(batch, steps, 1, h, w)"""
    landmarks: Tensor
    """(batch, steps, points, 2) of the frames to draw, pixels of the 256 crop."""
    drawn: Tensor | None = None
    """(batch, steps, 3, h, w) what the generator made of this batch, left here for the discriminators."""


@dataclass(frozen=True)
class WindowSampler:
    """Draws windows, with a history like the one at inference.

    In use the first history is two frames of the target in the order of `start`, whose face does something
    else than the one to draw, and every later history is the generator's own output with its mistakes, which
    add up. So some windows start from such frames of another moment, some histories are noisy, blurred or off
    in brightness, and the generator first draws up to `warm_up` frames by itself before it learns to draw on
    from them.
    """

    sequences: Sequence[FaceSequence]
    batch: int
    steps: int
    start: Start
    elsewhere: float
    """Share of windows whose history is a first history from anywhere in the clip."""
    damaged: float
    """Share of windows whose history is damaged."""
    face: float
    mouth: float
    eyes: float
    warm_up: int
    flip: bool = False
    """Whether half of the windows are mirrored, as in vid2vid's training."""

    def __call__(self, rng: np.random.Generator) -> Windows:
        alone = int(rng.integers(self.warm_up + 1))
        starts = np.array([len(s.frames) - HISTORY - alone - self.steps + 1 for s in self.sequences])
        chosen = rng.choice(len(starts), self.batch, p=starts / starts.sum())
        windows = [self._window(self.sequences[k], int(rng.integers(starts[k])), alone, rng) for k in chosen]
        return Windows(*(torch.stack(parts) for parts in zip(*windows, strict=True)))

    def _window(
        self, sequence: FaceSequence, start: int, alone: int, rng: np.random.Generator
    ) -> tuple[Tensor, ...]:
        first = start + HISTORY + alone
        warm_up, drawn = np.arange(start + HISTORY, first), np.arange(first, first + self.steps)
        shown = np.arange(start, start + HISTORY)
        if rng.random() < self.elsewhere:
            order = np.array(FIRST_HISTORY[self.start])
            shown = rng.integers(len(sequence.frames) - order.max()) + order
        history = unit(sequence.frames[shown])
        if rng.random() < self.damaged:
            history = damage(history, rng)
        size = sequence.frames.shape[-1]
        extra = {"face": self.face, "mouth": self.mouth, "eyes": self.eyes}
        weights = [importance(sequence.landmarks[k], size, **extra) for k in drawn]
        window = (
            unit(sequence.conditions[np.concatenate([shown, warm_up, drawn])]),
            history,
            unit(sequence.frames[first - HISTORY : first]),
            unit(sequence.frames[drawn]),
            torch.from_numpy(np.stack(weights)),
            torch.from_numpy(sequence.landmarks[drawn]).float(),
        )
        return mirrored(window) if self.flip and rng.random() < 0.5 else window


def mirrored(window: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    """A window of the mirrored subject: pictures, the strokes that change sides, and landmarks."""
    conditions, *pictures, landmarks = window
    order = list(mirrored_channels(conditions.shape[1]))
    points = landmarks[:, list(layout_of(landmarks.numpy()).mirror)]
    points = torch.stack([CROP_SIZE - points[..., 0], points[..., 1]], -1)
    return conditions[:, order].flip(-1), *(picture.flip(-1) for picture in pictures), points


@cache
def mirrored_channels(count: int) -> tuple[int, ...]:
    """The channel of a condition map of `count` that each channel becomes when the face is mirrored.

    Where each stroke has a map of its own, one side's brow becomes the other's.
    """
    strokes = [frozenset(stroke) for stroke in IBUG68.strokes]
    if count != 1 + len(strokes):
        return tuple(range(count))
    other = [strokes.index(frozenset(IBUG68.mirror[k] for k in stroke)) for stroke in strokes]
    return (0, *(1 + k for k in other))


def damage(frames: Tensor, rng: np.random.Generator) -> Tensor:
    """Frames (time, 3, h, w) blurred, off in brightness per channel, and noisy, each by a random amount."""
    if rng.random() < 0.5:
        frames = torch.nn.functional.avg_pool2d(frames, 3, 1, 1, count_include_pad=False)
    shift = torch.from_numpy(rng.normal(0, 0.03, (1, 3, 1, 1)).astype(np.float32))
    noise = rng.standard_normal(tuple(frames.shape), dtype=np.float32) * np.float32(rng.uniform(0, 0.05))
    return (frames + shift + torch.from_numpy(noise)).clamp(0, 1)
