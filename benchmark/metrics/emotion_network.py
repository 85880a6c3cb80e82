"""A second emotion judge of another family: a convolutional network over the sequence of landmarks.

`benchmark.metrics.emotion` weighs summaries of a clip linearly. This judge sees the frames in their order:
convolutions over time, then the mean and the maximum of what they find. It is trained on the same clips of
other speakers and takes the same displacement from a speaker's own neutral face, but shares no feature with
the linear judge: where the two agree on what a method shows, the verdict does not hang on one of them.

Evaluated in NumPy; trained with torch in `benchmark.metrics.emotion_network_training`.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmark.metrics.convolution import Layer, embed, named_layers, seen_by, stored_layers
from benchmark.metrics.emotion import EmotionClassifier, displacement
from benchmark.metrics.judge_file import JudgeError, load_judge, save_judge
from models.landmarks.alignment import fill_missing
from models.types import ping_pong

FORMAT = "evp-bench emotion network 1"


@dataclass(frozen=True)
class EmotionNetwork(EmotionClassifier):
    """Convolutions, a summary over time, a linear readout; `train_emotion_network` makes one."""

    emotions: tuple[str, ...]
    layers: tuple[Layer, ...]
    """On (frames, 136): pixels of the stabilised crop; rectified after every layer."""
    weights: np.ndarray
    """(2 channels, emotions), for the mean and then the maximum over time."""
    bias: np.ndarray
    """(emotions,)"""
    temperature: float
    left_out_logits: np.ndarray
    left_out_labels: np.ndarray

    def logits(self, landmarks: np.ndarray, neutral: np.ndarray, *, clip: str = "unnamed") -> np.ndarray:
        moved = sequence_of(displacement(landmarks, neutral, clip=clip), self.layers, clip)
        found = np.maximum(embed(moved, self.layers), 0)
        return np.concatenate([found.mean(0), found.max(0)]) @ self.weights + self.bias

    def save(self, path: Path) -> None:
        """Write the arrays as safetensors, whole or not at all."""
        names = ("weights", "bias", "left_out_logits", "left_out_labels")
        arrays = {name: getattr(self, name) for name in names} | named_layers("layers", self.layers)
        facts = {"emotions": self.emotions, "temperature": self.temperature}
        save_judge(path, arrays, FORMAT, facts)

    @classmethod
    def load(cls, path: Path) -> EmotionNetwork:
        """
        Raises:
            JudgeError: the file is missing or is not a judge of this version.
        """
        arrays, facts = load_judge(path, FORMAT, "emotion network")
        layers = stored_layers("layers", arrays)
        plain = {name: array for name, array in arrays.items() if not name.startswith("layers.")}
        return cls(tuple(facts["emotions"]), layers, temperature=facts["temperature"], **plain)


def sequence_of(moved: np.ndarray, layers: tuple[Layer, ...], clip: str = "unnamed") -> np.ndarray:
    """(frames, 136) of displacements (frames, 68, 2), long enough for the layers.

    Frames without a face are interpolated; a short clip is continued by time reversal.

    Raises:
        JudgeError: no two consecutive frames have a face.
    """
    seen = np.isfinite(moved[:, 0, 0])
    if not (seen[1:] & seen[:-1]).any():
        raise JudgeError(f"clip {clip}: the emotion judge needs two consecutive frames with a face, got none")
    return lengthened(fill_missing(moved).reshape(len(moved), -1), seen_by(layers))


def lengthened(sequence: np.ndarray, length: int) -> np.ndarray:
    """At least so many frames."""
    return sequence if len(sequence) >= length else sequence[ping_pong(len(sequence), length)]
