"""Character logits of all clips of a study: from the study's own recogniser, or brought by the user.

Logits are kept at 50 Hz, (rows, 29) for a clip, un-normalised, in the order of `models.audio.transcripts`.
Row k hears 25 ms from 20 k ms on, as MFCC row 2 k of the same, unpadded, speech does.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch

from models.artefacts import ARRAY_FILE_ERRORS, load_arrays, save_arrays
from models.audio.aligners import Alignment
from models.audio.deepspeech import WINDOW_FRAMES, DeepSpeech, logit_windows
from models.audio.framing import HOP, PADDING, ROW_LENGTH, num_windows
from models.audio.recogniser import holds_recogniser, load_recogniser, save_recogniser
from models.audio.transcripts import NUM_LABELS
from models.method import Stage, StageRun, TrainingData

_FILE = "logits.safetensors"
SLACK = 1
"""Rows or frames by which extractors differ in how they round an utterance's length."""
_NAMED_IN_ERRORS = 5


class LogitsStage(Stage):
    """(rows, 29) logits at 50 Hz for every clip, by clip id, and the recogniser that heard them, if any.

    Args:
        precomputed: a folder with one file a clip, see `PrecomputedLogits`; None lets the recogniser of the
            method listen.
    """

    seeded = False
    reads = ()

    def __init__(self, *, precomputed: str | None = None) -> None:
        self.precomputed = PrecomputedLogits(Path(precomputed)) if precomputed else None
        self._path = precomputed

    @property
    def outside(self) -> tuple[str, ...]:
        return (self._path,) if self._path else ()

    @property
    def upstream(self) -> tuple[str, ...]:  # type: ignore[override]
        return () if self.precomputed else ("recogniser",)

    def run(self, data: TrainingData, inputs: Mapping[str, Path], run: StageRun) -> None:
        clips = list({clip.id: clip for clip in (*data.train, *data.validation)}.values())
        arrays = {}
        if self.precomputed:
            self.precomputed.require([clip.id for clip in clips])
        network = None if self.precomputed else load_recogniser(inputs["recogniser"], run.device)
        for clip in clips:
            if network is not None:
                arrays[clip.id] = network.of(clip.waveform)
            elif self.precomputed:
                arrays[clip.id] = self.precomputed.of(clip.id, len(clip.waveform))
            run.progress(len(arrays), len(clips))
        save_arrays(run.directory / _FILE, arrays)
        if network is not None:
            save_recogniser(run.directory, network)


def find_recogniser(directory: Path, device: torch.device) -> DeepSpeech | None:
    """The recogniser in the folder of a `LogitsStage` or of a predictor; None if its logits were brought.

    Raises:
        ArtefactError: it is damaged.
    """
    return load_recogniser(directory, device) if holds_recogniser(directory) else None


def load_logits(directory: Path) -> dict[str, np.ndarray]:
    """Clip id -> (rows, 29) float32 logits, from the folder of a `LogitsStage`."""
    return load_arrays(directory / _FILE)


def num_logits(samples: int) -> int:
    """50 Hz rows of an utterance: every second of its MFCC rows without padding."""
    rows = 1 + max(0, -(-(samples - ROW_LENGTH) // HOP))
    return (rows + 1) // 2


def warped_logits(logits: np.ndarray, alignment: Alignment, reference_samples: int) -> np.ndarray:
    """(rows, 29) logits of a source utterance on the time axis of a reference, by a path between MFCC rows.

    Row k of the reference is centred where its padded MFCC row 2 k + 12 is; the same holds of the source. A
    match with an odd row of the source lies midway between two of its logits.
    """
    silent = PADDING // HOP
    rows = np.minimum(2 * np.arange(num_logits(reference_samples)) + silent, len(alignment.rows) - 1)
    at = np.clip((alignment.rows[rows] - silent) / 2, 0, len(logits) - 1)
    below = at.astype(np.int64)
    above = np.minimum(below + 1, len(logits) - 1)
    share = (at - below).astype(np.float32)[:, None]
    return logits[below] * (1 - share) + logits[above] * share


class PrecomputedLogits:
    """Logits of another recogniser, for instance Mozilla's DeepSpeech 0.1.0, in a folder.

    One `<clip id>.npy`, or `.npz` with one array, for each clip: (rows, 29) at 50 Hz, (frames, 29) at 25 fps
    or (frames, 16, 29) windows at 25 fps. Which of the first two it is follows from the clip's length.

    Raises:
        ValueError: the folder is not there.
    """

    def __init__(self, folder: Path) -> None:
        if not folder.is_dir():
            raise ValueError(
                f"precomputed logits: no folder {folder}; expected one <clip id>.npy for each clip"
            )
        self.folder = folder

    def require(self, names: Sequence[str]) -> None:
        """Refuse a set of clips that is not complete.

        Raises:
            ValueError: naming what is missing.
        """
        missing = sorted(name for name in names if self._path(name) is None)
        if missing:
            shown = ", ".join(missing[:_NAMED_IN_ERRORS])
            more = f" and {len(missing) - _NAMED_IN_ERRORS} more" if len(missing) > _NAMED_IN_ERRORS else ""
            raise ValueError(
                f"precomputed logits: {len(missing)} of {len(names)} clips have none in {self.folder}: "
                f"expected <clip id>.npy or .npz for {shown}{more}"
            )

    def of(self, name: str, samples: int) -> np.ndarray:
        """(rows, 29) float32 at 50 Hz of a clip of so many samples.

        Raises:
            ValueError: the file is missing, is not an array of numbers, or fits neither rate.
        """
        self.require([name])
        path = self._path(name)
        assert path is not None
        array = _read(path)
        rows, frames = num_logits(samples), num_windows(samples)
        if array.ndim == 3 and array.shape[1:] == (WINDOW_FRAMES, NUM_LABELS):
            array = _middle(array, path)
            if abs(len(array) - frames) <= SLACK:
                return _fitted(_twice_as_often(array), rows)
        elif array.ndim == 2 and array.shape[1] == NUM_LABELS:
            if abs(len(array) - rows) <= SLACK:
                return _fitted(array, rows)
            if abs(len(array) - frames) <= SLACK:
                return _fitted(_twice_as_often(array), rows)
        raise ValueError(
            f"{path}: expected ({rows}, 29) logits at 50 Hz, ({frames}, 29) or ({frames}, 16, 29) at 25 fps "
            f"for {samples / 16_000:.2f} s of speech, got {array.shape}"
        )

    def _path(self, name: str) -> Path | None:
        for suffix in (".npy", ".npz"):
            path = self.folder / f"{name}{suffix}"
            if path.is_file():
                return path
        return None


def _read(path: Path) -> np.ndarray:
    try:
        loaded = np.load(path, allow_pickle=False)
        if not isinstance(loaded, np.ndarray):
            with loaded:
                if len(loaded.files) != 1:
                    raise ValueError(f"expected one array, got {', '.join(loaded.files) or 'none'}")
                loaded = loaded[loaded.files[0]]
    except ARRAY_FILE_ERRORS as error:
        raise ValueError(f"{path}: cannot be read as an array of numbers ({error})") from error
    if not np.issubdtype(loaded.dtype, np.floating):
        raise ValueError(f"{path}: expected floating-point logits, got {loaded.dtype}")
    if loaded.size == 0 or not np.isfinite(loaded).all():
        raise ValueError(
            f"{path}: expected finite logits, got {'none' if loaded.size == 0 else 'NaN or infinity'}"
        )
    if loaded.shape[-1] == NUM_LABELS and _looks_normalised(loaded):
        raise ValueError(f"{path}: expected logits before the softmax, got probabilities or their logarithms")
    return loaded.astype(np.float32)


def _looks_normalised(values: np.ndarray) -> bool:
    """Whether rows are probabilities or log probabilities; a window's rows of zeros do not tell."""
    rows = values.reshape(-1, NUM_LABELS).astype(np.float64)
    rows = rows[rows.any(1)]
    if not len(rows):
        return False
    if rows.min() >= 0:
        return bool(np.allclose(rows.sum(1), 1, atol=1e-2))
    return bool(rows.max() <= 1e-4 and np.allclose(np.exp(rows).sum(1), 1, atol=1e-2))


def _middle(windows: np.ndarray, path: Path) -> np.ndarray:
    """(frames, 29) that overlapping windows were made of.

    Raises:
        ValueError: the windows do not overlap as windows t - 8 to t + 7 of one sequence do.
    """
    frames = windows[:, WINDOW_FRAMES // 2]
    if not np.allclose(logit_windows(frames), windows, atol=1e-4):
        raise ValueError(
            f"{path}: expected window t to hold frames t - 8 to t + 7 of one sequence, zeros outside"
        )
    return frames


def _twice_as_often(frames: np.ndarray) -> np.ndarray:
    """25 fps -> 50 Hz; every second row is a frame again."""
    following = np.concatenate([frames[1:], frames[-1:]])
    return np.stack([frames, (frames + following) / 2], 1).reshape(-1, frames.shape[1])


def _fitted(rows: np.ndarray, count: int) -> np.ndarray:
    """Cut, or the last row held, to so many rows."""
    return rows[np.minimum(np.arange(count), len(rows) - 1)]
