"""Small media files for tests, made with PyAV."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import numpy as np


def write_video(
    path: Path,
    *,
    frames: int = 25,
    rate: int | Fraction = 25,
    size: tuple[int, int] = (96, 64),
    times: list[float] | None = None,
    sound: bool = True,
    pictures: np.ndarray | None = None,
) -> Path:
    """A video whose frame k is grey of level 8 + 4 k (so frames can be told apart), with a 440 Hz tone."""
    width, height = size
    if pictures is not None:
        frames, height, width = pictures.shape[:3]
    with av.open(str(path), "w") as container:
        video = container.add_stream("libx264", rate=rate, options={"qp": "0", "preset": "ultrafast"})
        video.width, video.height, video.pix_fmt = width, height, "yuv444p"
        video.thread_count = 1
        video.codec_context.time_base = Fraction(1, 90000)
        audio = container.add_stream("aac", rate=44100, layout="stereo") if sound else None
        for index in range(frames):
            picture = np.full((height, width, 3), min(8 + 4 * index, 250), np.uint8)
            frame = av.VideoFrame.from_ndarray(picture if pictures is None else pictures[index])
            time = index / float(rate) if times is None else times[index]
            frame.pts, frame.time_base = round(time * 90000), Fraction(1, 90000)
            container.mux(video.encode(frame))
        container.mux(video.encode())
        if audio is not None:
            tone = 0.3 * np.sin(2 * np.pi * 440 * np.arange(round(44100 * frames / float(rate))) / 44100)
            block = av.AudioFrame.from_ndarray(np.stack([tone, tone]).astype(np.float32), "fltp", "stereo")
            block.sample_rate = 44100
            container.mux(audio.encode(block))
            container.mux(audio.encode())
    return path
