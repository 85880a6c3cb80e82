"""Predicted frames between prediction and scoring: lossless video, a fifth of the raw size."""

from __future__ import annotations

from pathlib import Path

import av
import numpy as np

from models.errors import StageError
from models.preprocess.media import file_url


def save_frames(path: Path, frames: np.ndarray) -> None:
    """(frames, H, W, 3) uint8 RGB as H.264 with quantiser 0 in RGB, which loses nothing."""
    with av.open(file_url(path), "w", format="matroska", options={"fflags": "+bitexact"}) as container:
        stream = container.add_stream("libx264rgb", rate=25, options={"qp": "0", "preset": "ultrafast"})
        stream.height, stream.width = frames.shape[1:3]
        stream.pix_fmt = "rgb24"
        stream.codec_context.thread_count = 1
        for frame in frames:
            container.mux(
                stream.encode(av.VideoFrame.from_ndarray(np.ascontiguousarray(frame), format="rgb24"))
            )
        container.mux(stream.encode(None))


def load_frames(path: Path, count: int) -> np.ndarray:
    """The frames that were saved.

    Raises:
        StageError: another number of frames than `count`.
    """
    with av.open(file_url(path)) as container:
        container.streams.video[0].thread_count = 1
        frames = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
    if len(frames) != count:
        raise StageError(f"{path} has {len(frames)} frames, expected {count}")
    return np.stack(frames)
