"""The emotion encoder E_e, its classifier C_e, and their pre-training.

Convolutions see the window with coefficients as height and time as width. Embeddings are non-negative.

Source: EVP (Ji et al., CVPR 2021), section 3.2; layer sizes as released.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from models import initialise
from models.artefacts import save_module
from models.audio.features import WindowBank, evenly_spaced, load_features
from models.method import Player, Stage, StageRun, Training, TrainingData
from models.normalisation import BatchNorm2d
from models.optimisation import adam, refresh_batch_norm
from models.types import Clip

_FILE = "classifier.safetensors"
_VALIDATION_BATCH = 256


def convolution(inputs: int, outputs: int) -> nn.Sequential:
    """3 x 3 convolution, batch norm, ReLU; the size is kept."""
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, 3, padding=1, bias=False), BatchNorm2d(outputs), nn.ReLU(inplace=True)
    )


def features_of(layers: nn.Sequential, images: Tensor) -> Tensor:
    """(batch, features) of an encoder's convolutional layers, flattened channel by channel.

    Between the layers channels lie innermost in memory, which is faster on a CPU; the values are the same.
    """
    first = layers[0](images).contiguous(memory_format=torch.channels_last)
    return layers[1:](first).flatten(1)


class EmotionEncoder(nn.Module):
    """MFCC window -> emotion embedding. The defaults are the paper's sizes."""

    def __init__(self, *, width: int = 64, hidden: int = 2048, dim: int = 128) -> None:
        super().__init__()
        self.dim = dim
        self.features = nn.Sequential(
            convolution(1, width),
            nn.MaxPool2d((1, 3), stride=(1, 2)),
            convolution(width, 2 * width),
            convolution(2 * width, 4 * width),
            nn.MaxPool2d((12, 1)),
            convolution(4 * width, 8 * width),
            nn.MaxPool2d((1, 2)),
        )
        self.embedding = nn.Sequential(
            nn.Linear(8 * width * 6, hidden),
            nn.ReLU(inplace=True),
            nn.Linear(hidden, dim),
            nn.ReLU(inplace=True),
        )

    def forward(self, windows: Float[Tensor, "batch 1 28 12"]) -> Float[Tensor, "batch dim"]:
        return self.embedding(features_of(self.features, windows.transpose(2, 3)))


class EmotionClassifier(nn.Module):
    """The emotion encoder and one linear layer on its embedding."""

    def __init__(self, *, num_emotions: int, width: int = 64, hidden: int = 2048, dim: int = 128) -> None:
        super().__init__()
        self.encoder = EmotionEncoder(width=width, hidden=hidden, dim=dim)
        self.head = nn.Linear(dim, num_emotions)

    def forward(self, windows: Float[Tensor, "batch 1 28 12"]) -> Float[Tensor, "batch emotions"]:
        return self.head(self.encoder(windows))


class EmotionClassifierStage(Stage):
    """Emotion of every MFCC window of every clip, by cross-entropy; the lowest validation error rate is kept.

    Args:
        width, hidden, dim: sizes of the network; dim is the length of the emotion embedding.
        label_smoothing: share of the target spread over all emotions; keeps few sentences from being learned
            by heart. 0 as released.
    """

    version = 2
    upstream = ("features",)
    reads = ("emotion",)

    def __init__(
        self,
        *,
        width: int = 16,
        hidden: int = 256,
        dim: int = 128,
        steps: int = 600,
        batch: int = 64,
        learning_rate: float = 1e-3,
        decay: bool = True,
        label_smoothing: float = 0.1,
        validate_every: int = 150,
        validation_windows: int = 1024,
    ) -> None:
        self.sizes = {"width": width, "hidden": hidden, "dim": dim}
        self.steps = steps
        self.batch = batch
        self.learning_rate = learning_rate
        self.decay = decay
        self.label_smoothing = label_smoothing
        self.validate_every = validate_every
        self.validation_windows = validation_windows

    def run(self, data: TrainingData, inputs: Mapping[str, Path], run: StageRun) -> None:
        if len(data.emotions) < 2:
            raise ValueError("the emotion classifier needs a corpus with two emotion labels or more")
        features = load_features(inputs["features"])
        model = EmotionClassifier(num_emotions=len(data.emotions), **self.sizes)
        initialise.normal(model, run.torch_generator("initial weights"))
        model.to(run.device)
        train = _Labelled(data.train, features, data.emotions, run.device)
        held_out = _Labelled(data.validation, features, data.emotions, run.device)
        chosen = evenly_spaced(len(held_out), self.validation_windows)

        def draw(rng: np.random.Generator) -> tuple[Tensor, Tensor]:
            return train.examples(rng.integers(len(train), size=self.batch))

        def loss(examples: tuple[Tensor, Tensor]) -> Mapping[str, Tensor]:
            windows, labels = examples
            smoothing = self.label_smoothing
            return {"emotion_class": F.cross_entropy(model(windows), labels, label_smoothing=smoothing)}

        optimizer = adam(
            model.parameters(), learning_rate=self.learning_rate, steps=self.steps, decay=self.decay
        )
        rng = run.generator("batch statistics")
        calibration = [draw(rng)[0] for _ in range(16)]

        def validate() -> Mapping[str, float]:
            refresh_batch_norm(model, (partial(model, windows) for windows in calibration))
            return _scores(model, held_out, chosen) if len(chosen) else {}

        run.fit(
            Training(
                modules={"classifier": model},
                players=[Player("classifier", optimizer, loss)],
                batch=draw,
                steps=self.steps,
                validate=validate,
                validate_every=self.validate_every,
                select_by="error_rate" if len(chosen) else None,
            )
        )
        save_module(run.directory / _FILE, model)


def classifier_file(directory: Path) -> Path:
    """The weights in the folder of an `EmotionClassifierStage`."""
    return directory / _FILE


class _Labelled:
    def __init__(
        self,
        clips: tuple[Clip, ...],
        features: Mapping[str, np.ndarray],
        emotions: tuple[str, ...],
        device: torch.device,
    ) -> None:
        known = [clip for clip in clips if clip.emotion in emotions]
        self.labels = torch.zeros(0, dtype=torch.long)
        if known:
            self.bank = WindowBank((features[clip.id] for clip in known), device)
            indices = [emotions.index(str(clip.emotion)) for clip in known]
            self.labels = torch.from_numpy(np.repeat(indices, self.bank.counts)).to(device)

    def __len__(self) -> int:
        return len(self.labels)

    def examples(self, index: np.ndarray) -> tuple[Tensor, Tensor]:
        return self.bank.windows(index), self.labels[torch.from_numpy(index).to(self.labels.device)]


def _scores(model: EmotionClassifier, examples: _Labelled, index: np.ndarray) -> Mapping[str, float]:
    total, wrong = 0.0, 0
    for part in np.array_split(index, -(-len(index) // _VALIDATION_BATCH)):
        windows, labels = examples.examples(part)
        logits = model(windows)
        total += float(F.cross_entropy(logits, labels, reduction="sum"))
        wrong += int((logits.argmax(1) != labels).sum())
    return {"emotion_class": total / len(index), "error_rate": wrong / len(index)}
