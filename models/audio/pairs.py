"""DTW pseudo pairs: what every emotion's utterance of a sentence would be in one common timing.

For each sentence of each speaker, one utterance per emotion is warped onto the time axis of the reference
emotion. A *content* is then a window index of a warped sentence: it means the same sound in every emotion.
Contents never cross from training to validation, because whole sentences don't.

Where a sentence has several utterances with one emotion, the one of the highest intensity is taken, and the
first by id among equals, as the release pairs intensity 3 with neutral 1. A sentence that lacks some emotions
is paired among those that it has.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from models.artefacts import load_arrays, save_arrays
from models.audio.aligners import Aligner
from models.audio.deepspeech import WINDOW_FRAMES
from models.audio.features import load_features, padded_frames, window_count
from models.audio.framing import NUM_CEPSTRA, ROWS_PER_FRAME, WINDOW_ROWS
from models.audio.logits import load_logits, warped_logits
from models.audio.transcripts import NUM_LABELS
from models.method import Stage, StageRun, TrainingData
from models.types import Clip

_FILE = "pairs.safetensors"


class PairsStage(Stage):
    """Warped MFCC of all sentences that were spoken with two emotions or more.

    Args:
        aligner: how utterances are matched in time.
        reference: the emotion whose timing is kept; None is the first of the corpus's labels. A sentence
            without it keeps the timing of the first emotion that it has.
        hears: "deepspeech" warps the logits of each utterance too, along the path between the MFCC.
    """

    seeded = False
    reads = ("speaker", "sentence", "emotion", "intensity")

    def __init__(self, *, aligner: Aligner, reference: str | None = None, hears: str = "mfcc") -> None:
        self.aligner = aligner
        self.reference = reference
        self.hears = hears

    @property
    def upstream(self) -> tuple[str, ...]:  # type: ignore[override]
        return ("features", "logits") if self.hears == "deepspeech" else ("features",)

    def run(self, data: TrainingData, inputs: Mapping[str, Path], run: StageRun) -> None:
        if self.hears not in ("mfcc", "deepspeech"):
            raise ValueError(f"hears: expected mfcc or deepspeech, got {self.hears!r}")
        if self.reference is not None and self.reference not in data.emotions:
            expected = ", ".join(data.emotions) or "no labels"
            raise ValueError(
                f"reference emotion {self.reference!r} is not a label of the corpus ({expected})"
            )
        features = load_features(inputs["features"])
        logits = load_logits(inputs["logits"]) if "logits" in inputs else None
        arrays: dict[str, np.ndarray] = {}
        for name, clips in (("train", data.train), ("validation", data.validation)):
            groups = self._groups(clips, data.emotions)
            if name == "train" and not groups:
                raise ValueError(
                    "no training sentence was spoken with two emotions by one speaker: nothing can be "
                    "paired, and cross-reconstruction needs such sentences"
                )
            sentences = []
            for group in groups:
                sentences.append(self._warped(group, features, logits, data.emotions))
                run.progress(len(sentences), len(groups))
            joined = _joined(sentences, len(data.emotions), with_logits=logits is not None)
            arrays |= {f"{name}.{key}": array for key, array in joined.items()}
            run.log(split=name, sentences=len(groups), contents=len(arrays[f"{name}.starts"]))
        save_arrays(run.directory / _FILE, arrays)

    def _groups(self, clips: Sequence[Clip], emotions: Sequence[str]) -> list[dict[str, Clip]]:
        groups: dict[tuple[str, str], dict[str, Clip]] = {}
        for clip in sorted(clips, key=lambda clip: (-clip.intensity, clip.id)):
            if clip.emotion is not None and clip.emotion in emotions:
                groups.setdefault((clip.speaker, clip.sentence), {}).setdefault(clip.emotion, clip)
        return [groups[key] for key in sorted(groups) if len(groups[key]) >= 2]

    def _warped(
        self,
        group: Mapping[str, Clip],
        features: Mapping[str, np.ndarray],
        logits: Mapping[str, np.ndarray] | None,
        emotions: Sequence[str],
    ) -> _Sentence:
        present = np.array([emotion in group for emotion in emotions])
        named = self.reference if self.reference in group else emotions[int(np.argmax(present))]
        reference = group[str(named)]
        rows = np.zeros((len(features[reference.id]), len(emotions), NUM_CEPSTRA), np.float32)
        count = window_count(rows)
        frames = np.zeros((count + WINDOW_FRAMES if logits else 0, len(emotions), NUM_LABELS), np.float32)
        for index, emotion in enumerate(emotions):
            if emotion == reference.emotion:
                rows[:, index] = features[reference.id]
                if logits:
                    frames[:, index] = padded_frames(logits[reference.id], count)
            elif present[index]:
                source = group[emotion]
                alignment = self.aligner.align(source.waveform, reference.waveform)
                said = features[source.id]
                rows[:, index] = said[np.minimum(alignment.rows[: len(rows)], len(said) - 1)]
                if logits:
                    warped = warped_logits(logits[source.id], alignment, len(reference.waveform))
                    frames[:, index] = padded_frames(warped, count)
        return _Sentence(rows, frames, present)


@dataclass(frozen=True)
class _Sentence:
    """All emotions of one sentence on the reference's time axis."""

    rows: np.ndarray
    """(rows, emotions, 13) MFCC"""
    frames: np.ndarray
    """(frames + 16, emotions, 29) logits at video rate between zeros; empty where none are heard."""
    present: np.ndarray
    """(emotions,)"""


@dataclass(frozen=True)
class Pairs:
    """Contents by emotions. `sources` names a window by (content, emotion)."""

    rows: Float[Tensor, "rows emotions 12"]
    starts: np.ndarray
    """(contents,) first row of each content."""
    sentence: np.ndarray
    """(contents,) index of the sentence that a content is from."""
    present: np.ndarray
    """(contents, emotions) whether the window exists."""
    frames: Float[Tensor, "frames emotions 29"] | None = None
    """Logits at video rate, where they are what the content encoder hears."""
    first_frames: np.ndarray | None = None
    """(contents,) first frame of each content's window of logits."""

    def __len__(self) -> int:
        return len(self.starts)

    def windows(
        self, content: Int[np.ndarray, " batch"], emotion: Int[np.ndarray, " batch"]
    ) -> Float[Tensor, "batch 1 28 12"]:
        rows = torch.from_numpy(self.starts[content][:, None] + np.arange(WINDOW_ROWS))
        labels = torch.from_numpy(np.asarray(emotion))[:, None]
        device = self.rows.device
        return self.rows[rows.to(device), labels.to(device)].unsqueeze(1)

    def heard(
        self, content: Int[np.ndarray, " batch"], emotion: Int[np.ndarray, " batch"]
    ) -> Float[Tensor, "batch 1 time features"]:
        """What the content encoder gets of the same moments: windows of logits, or the MFCC windows."""
        if self.frames is None or self.first_frames is None:
            return self.windows(content, emotion)
        frames = torch.from_numpy(self.first_frames[content][:, None] + np.arange(WINDOW_FRAMES))
        labels = torch.from_numpy(np.asarray(emotion))[:, None]
        device = self.frames.device
        return self.frames[frames.to(device), labels.to(device)].unsqueeze(1)


def load_pairs(directory: Path, split: str, device: torch.device) -> Pairs:
    """The "train" or "validation" pairs from the folder of a `PairsStage`."""
    arrays = load_arrays(directory / _FILE)
    rows = torch.from_numpy(arrays[f"{split}.rows"][:, :, 1:].copy()).to(device)
    present = arrays[f"{split}.present"].astype(bool)
    pairs = Pairs(rows, arrays[f"{split}.starts"], arrays[f"{split}.sentence"], present)
    if f"{split}.frames" not in arrays:
        return pairs
    frames = torch.from_numpy(arrays[f"{split}.frames"]).to(device)
    return replace(pairs, frames=frames, first_frames=arrays[f"{split}.first_frames"])


def _joined(sentences: Sequence[_Sentence], num_emotions: int, *, with_logits: bool) -> dict[str, np.ndarray]:
    starts, first_frames, sentence, present = [], [], [], []
    offset = frame_offset = 0
    for index, each in enumerate(sentences):
        count = window_count(each.rows)
        starts.append(offset + ROWS_PER_FRAME * np.arange(count))
        first_frames.append(frame_offset + np.arange(count))
        sentence.append(np.full(count, index))
        present.append(np.broadcast_to(each.present, (count, num_emotions)))
        offset += len(each.rows)
        frame_offset += len(each.frames)
    empty = np.zeros((0, num_emotions, NUM_CEPSTRA), np.float32)
    none = np.zeros(0, np.int64)
    joined = {
        "rows": np.concatenate([empty, *(each.rows for each in sentences)]),
        "starts": np.concatenate([none, *starts]),
        "sentence": np.concatenate([none, *sentence]),
        "present": np.concatenate([np.zeros((0, num_emotions), bool), *present]).astype(np.uint8),
    }
    if with_logits:
        silent = np.zeros((0, num_emotions, NUM_LABELS), np.float32)
        joined["frames"] = np.concatenate([silent, *(each.frames for each in sentences)])
        joined["first_frames"] = np.concatenate([none, *first_frames])
    return joined
