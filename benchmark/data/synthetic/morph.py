"""A face that turns into somebody else's while it speaks: exact geometry, one person's colours."""

from __future__ import annotations

from copy import copy
from dataclasses import replace
from functools import lru_cache

import numpy as np

from benchmark.data.synthetic import face
from benchmark.data.synthetic.face import Identity
from benchmark.data.synthetic.render import Renderer, _Figure, _figure

STEPS = 200
"""Of the way from one face to the other: finer than a float32 landmark's tenth of a pixel needs."""


def between(first: Identity, second: Identity, share: float) -> Identity:
    """The first person's looks on a head `share` of the way to the second's, to the nearest 1 / `STEPS`."""
    share = round(share * STEPS) / STEPS
    shape = (1 - share) * np.asarray(first.shape) + share * np.asarray(second.shape)
    return replace(first, shape=tuple(float(v) for v in shape))


def morphed_landmarks(
    first: Identity, second: Identity, shares: np.ndarray, expression: np.ndarray, pose: np.ndarray
) -> np.ndarray:
    """(T, 68, 2) float32 landmarks, 256 crop, of heads `shares` (T,) of the way from one to the other."""
    rows = [
        face.project(face.landmarks3d(between(first, second, share), expression[t : t + 1]), pose[t : t + 1])
        for t, share in enumerate(shares)
    ]
    return np.concatenate(rows)


def morphed_frames(
    renderer: Renderer,
    first: Identity,
    second: Identity,
    shares: np.ndarray,
    expression: np.ndarray,
    pose: np.ndarray,
) -> np.ndarray:
    """(T, size, size, 3) uint8 frames that belong to `morphed_landmarks`; hair and neck follow the head."""
    expression, pose = face.check_expression(expression), np.asarray(pose, np.float32)
    frames = np.empty((len(expression), renderer.size, renderer.size, 3), np.uint8)
    for t, share in enumerate(shares):
        who = between(first, second, float(share))
        figure = _morphed_figure(first, second, round(share * STEPS), renderer.size)
        renderer._frame(figure, who, expression[t : t + 1], pose[t : t + 1], frames[t])
    return frames


@lru_cache(maxsize=2 * STEPS)
def _morphed_figure(first: Identity, second: Identity, step: int, size: int) -> _Figure:
    """The first person's textures, on hair and shoulders that lie linearly between the two."""
    own, other = _figure(first, size), _figure(replace(first, shape=second.shape), size)
    figure = copy(own)
    figure.dress = (own.dress + (other.dress - own.dress) * np.float32(step / STEPS)).astype(np.float32)
    return figure
