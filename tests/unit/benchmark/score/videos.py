"""Small folders of videos with landmarks, for the tests of scoring a folder."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np

SIZE = 64
FACE = np.concatenate(
    [
        np.stack([np.linspace(-1, 1, 17), 1.1 * np.sqrt(1 - np.linspace(-0.98, 0.98, 17) ** 2)], 1),
        np.stack([np.linspace(-0.7, 0.7, 10), np.full(10, -0.55)], 1),
        np.stack([np.zeros(4), np.linspace(-0.35, 0.05, 4)], 1),
        np.stack([np.linspace(-0.2, 0.2, 5), np.full(5, 0.15)], 1),
        *(
            np.stack([x + 0.18 * np.cos(np.arange(6)), -0.35 + 0.08 * np.sin(np.arange(6))], 1)
            for x in (-0.42, 0.42)
        ),
        np.stack([0.3 * np.cos(np.arange(20) / 3), 0.6 + 0.15 * np.sin(np.arange(20) / 3)], 1),
    ]
)
"""(68, 2) a sketch of a face around 0."""


def landmarks(frames: int, *, width: int = SIZE, height: int = SIZE, seed: int = 0) -> np.ndarray:
    """(frames, 68, 2) float32 pixels of a face whose mouth moves and whose head nods."""
    rng = np.random.default_rng(seed)
    points = np.repeat(FACE[None], frames, 0) + rng.normal(0, 0.01, (frames, 68, 2))
    time = np.arange(frames)[:, None, None]
    points[:, 48:] *= 1 + 0.3 * np.sin(time / 2 + seed)
    points += 0.05 * np.sin(time / 5)
    scale = min(width, height) / 3
    return (points * scale + (width / 2, height / 2)).astype(np.float32)


def pictures(frames: int, *, width: int = SIZE, height: int = SIZE, seed: int = 0) -> np.ndarray:
    """(frames, height, width, 3) uint8 of a pattern that drifts."""
    rng = np.random.default_rng(seed)
    noise = rng.integers(0, 256, (height + frames, width, 3)).astype(np.uint8)
    smooth = cv2.GaussianBlur(noise, (0, 0), 2)
    return np.stack([smooth[k : k + height] for k in range(frames)])


def write(path: Path, frames: np.ndarray, *, rate: int | Fraction = 25, crf: int = 12) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=rate, options={"crf": str(crf), "preset": "ultrafast"})
        stream.height, stream.width = frames.shape[1:3]
        stream.pix_fmt = "yuv420p"
        stream.codec_context.thread_count = 1
        for frame in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(np.ascontiguousarray(frame))))
        container.mux(stream.encode())
    return path


def write_landmarks(path: Path, points: np.ndarray) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    np.save(path, points)
    return path
