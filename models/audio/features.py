"""The MFCC of all clips of a study, computed once, and the bank that batches are gathered from."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from models.artefacts import load_arrays, save_arrays
from models.audio.deepspeech import WINDOW_FRAMES, at_video_rate
from models.audio.framing import ROWS_PER_FRAME, WINDOW_ROWS
from models.audio.mfcc import mfcc
from models.method import Stage, StageRun, TrainingData

_FILE = "mfcc.safetensors"


class FeaturesStage(Stage):
    """(rows, 13) MFCC for every clip, by clip id.

    Args:
        pad_tail: one window per video frame; False keeps the released count, which may be one lower.
    """

    seeded = False
    reads = ()

    def __init__(self, *, pad_tail: bool = True) -> None:
        self.pad_tail = pad_tail

    def run(self, data: TrainingData, inputs: Mapping[str, Path], run: StageRun) -> None:
        clips = {clip.id: clip for clip in (*data.train, *data.validation)}
        arrays = {}
        for clip in clips.values():
            arrays[clip.id] = mfcc(clip.waveform, pad_tail=self.pad_tail)
            run.progress(len(arrays), len(clips))
        save_arrays(run.directory / _FILE, arrays)


def load_features(directory: Path) -> dict[str, np.ndarray]:
    """Clip id -> (rows, 13) float32 MFCC, from the folder of a `FeaturesStage`."""
    return load_arrays(directory / _FILE)


def window_count(rows: np.ndarray) -> int:
    return (len(rows) - WINDOW_ROWS) // ROWS_PER_FRAME + 1


def evenly_spaced(available: int, wanted: int) -> np.ndarray:
    """Indices of up to `wanted` of the available examples, evenly apart."""
    return np.unique(np.linspace(0, available - 1, min(available, wanted)).astype(np.int64))


class WindowBank:
    """Many clips' MFCC in one tensor, from which batches of windows are gathered by one index."""

    def __init__(self, features: Iterable[np.ndarray], device: torch.device) -> None:
        clips = list(features)
        self.counts = np.array([window_count(rows) for rows in clips])
        """Windows of each clip."""
        offsets = np.concatenate([[0], np.cumsum([len(rows) for rows in clips])])[:-1]
        starts = [
            offset + ROWS_PER_FRAME * np.arange(n) for offset, n in zip(offsets, self.counts, strict=True)
        ]
        self.first = np.concatenate([[0], np.cumsum(self.counts)])[:-1]
        """Index of each clip's first window."""
        self._starts = torch.from_numpy(np.concatenate(starts))
        self._rows = torch.from_numpy(np.concatenate(clips)[:, 1:].astype(np.float32)).to(device)

    def __len__(self) -> int:
        return len(self._starts)

    def windows(self, index: Int[np.ndarray, " batch"]) -> Float[Tensor, "batch 1 28 12"]:
        starts = self._starts[torch.from_numpy(np.asarray(index))]
        rows = starts[:, None] + torch.arange(WINDOW_ROWS)
        return self._rows[rows.to(self._rows.device)].unsqueeze(1)


class LogitBank:
    """Many clips' logits in one tensor, from which windows are gathered by the indices of a `WindowBank`.

    Args:
        logits: (rows, 29) at 50 Hz of each clip.
        counts: (clips,) windows of each clip.
    """

    def __init__(self, logits: Iterable[np.ndarray], counts: np.ndarray, device: torch.device) -> None:
        padded = [padded_frames(rows, n) for rows, n in zip(logits, counts, strict=True)]
        offsets = np.concatenate([[0], np.cumsum([len(frames) for frames in padded])])[:-1]
        starts = [offset + np.arange(n) for offset, n in zip(offsets, counts, strict=True)]
        self._starts = torch.from_numpy(np.concatenate(starts))
        self._frames = torch.from_numpy(np.concatenate(padded)).to(device)

    def __len__(self) -> int:
        return len(self._starts)

    def windows(self, index: Int[np.ndarray, " batch"]) -> Float[Tensor, "batch 1 16 29"]:
        starts = self._starts[torch.from_numpy(np.asarray(index))]
        frames = starts[:, None] + torch.arange(WINDOW_FRAMES)
        return self._frames[frames.to(self._frames.device)].unsqueeze(1)


def padded_frames(logits: np.ndarray, frames: int) -> np.ndarray:
    """50 Hz logits at the video rate, with eight frames of zeros on both sides."""
    half = WINDOW_FRAMES // 2
    return np.pad(at_video_rate(logits, frames), ((half, half), (0, 0)))
