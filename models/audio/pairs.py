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
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from models.artefacts import load_arrays, save_arrays
from models.audio.aligners import Aligner
from models.audio.features import load_features
from models.audio.framing import NUM_CEPSTRA, ROWS_PER_FRAME, WINDOW_ROWS
from models.method import Stage, StageRun, TrainingData
from models.types import Clip

_FILE = "pairs.safetensors"


class PairsStage(Stage):
    """Warped MFCC of all sentences that were spoken with two emotions or more.

    Args:
        aligner: how utterances are matched in time.
        reference: the emotion whose timing is kept; None is the first of the corpus's labels. A sentence
            without it keeps the timing of the first emotion that it has.
    """

    upstream = ("features",)
    seeded = False

    def __init__(self, *, aligner: Aligner, reference: str | None = None) -> None:
        self.aligner = aligner
        self.reference = reference

    def run(self, data: TrainingData, inputs: Mapping[str, Path], run: StageRun) -> None:
        if self.reference is not None and self.reference not in data.emotions:
            expected = ", ".join(data.emotions) or "no labels"
            raise ValueError(
                f"reference emotion {self.reference!r} is not a label of the corpus ({expected})"
            )
        features = load_features(inputs["features"])
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
                sentences.append(self._warped(group, features, data.emotions))
                run.progress(len(sentences), len(groups))
            arrays |= {
                f"{name}.{key}": array for key, array in _joined(sentences, len(data.emotions)).items()
            }
            run.log(split=name, sentences=len(groups), contents=len(arrays[f"{name}.starts"]))
        save_arrays(run.directory / _FILE, arrays)

    def _groups(self, clips: Sequence[Clip], emotions: Sequence[str]) -> list[dict[str, Clip]]:
        groups: dict[tuple[str, str], dict[str, Clip]] = {}
        for clip in sorted(clips, key=lambda clip: (-clip.intensity, clip.id)):
            if clip.emotion is not None and clip.emotion in emotions:
                groups.setdefault((clip.speaker, clip.sentence), {}).setdefault(clip.emotion, clip)
        return [groups[key] for key in sorted(groups) if len(groups[key]) >= 2]

    def _warped(
        self, group: Mapping[str, Clip], features: Mapping[str, np.ndarray], emotions: Sequence[str]
    ) -> tuple[np.ndarray, np.ndarray]:
        """(rows, emotions, 13) on the reference's time axis, and (emotions,) which of them exist."""
        present = np.array([emotion in group for emotion in emotions])
        named = self.reference if self.reference in group else emotions[int(np.argmax(present))]
        reference = group[str(named)]
        out = np.zeros((len(features[reference.id]), len(emotions), NUM_CEPSTRA), np.float32)
        for index, emotion in enumerate(emotions):
            if emotion == reference.emotion:
                out[:, index] = features[reference.id]
            elif present[index]:
                rows = self.aligner.align(group[emotion].waveform, reference.waveform).rows
                source = features[group[emotion].id]
                out[:, index] = source[np.minimum(rows[: len(out)], len(source) - 1)]
        return out, present


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

    def __len__(self) -> int:
        return len(self.starts)

    def windows(
        self, content: Int[np.ndarray, " batch"], emotion: Int[np.ndarray, " batch"]
    ) -> Float[Tensor, "batch 1 28 12"]:
        rows = torch.from_numpy(self.starts[content][:, None] + np.arange(WINDOW_ROWS))
        labels = torch.from_numpy(np.asarray(emotion))[:, None]
        device = self.rows.device
        return self.rows[rows.to(device), labels.to(device)].unsqueeze(1)


def load_pairs(directory: Path, split: str, device: torch.device) -> Pairs:
    """The "train" or "validation" pairs from the folder of a `PairsStage`."""
    arrays = load_arrays(directory / _FILE)
    rows = torch.from_numpy(arrays[f"{split}.rows"][:, :, 1:].copy()).to(device)
    present = arrays[f"{split}.present"].astype(bool)
    return Pairs(rows, arrays[f"{split}.starts"], arrays[f"{split}.sentence"], present)


def _joined(sentences: Sequence[tuple[np.ndarray, np.ndarray]], num_emotions: int) -> dict[str, np.ndarray]:
    starts, sentence, present = [], [], []
    offset = 0
    for index, (rows, exists) in enumerate(sentences):
        count = (len(rows) - WINDOW_ROWS) // ROWS_PER_FRAME + 1
        starts.append(offset + ROWS_PER_FRAME * np.arange(count))
        sentence.append(np.full(count, index))
        present.append(np.broadcast_to(exists, (count, num_emotions)))
        offset += len(rows)
    empty = np.zeros((0, num_emotions, NUM_CEPSTRA), np.float32)
    none = np.zeros(0, np.int64)
    return {
        "rows": np.concatenate([empty, *(rows for rows, _ in sentences)]),
        "starts": np.concatenate([none, *starts]),
        "sentence": np.concatenate([none, *sentence]),
        "present": np.concatenate([np.zeros((0, num_emotions), bool), *present]).astype(np.uint8),
    }
