"""Training of the emotion network, and of its temperature on speakers that it did not see.

Every step draws clips, each emotion equally often, and takes a stretch of two seconds of each: mirrored or
not, moving more or less, with an error in the neutral face and the jitter of a landmark detector. One network
is trained for every left-out speaker (`benchmark.metrics.emotion` says when it is a sentence); what they make
of the clips left out fits the temperature. The judge itself is trained on all clips.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from benchmark.metrics.calibration import fit_temperature
from benchmark.metrics.convolution import Layer
from benchmark.metrics.emotion import check_labels, displacement, folds_of, neutral_references
from benchmark.metrics.emotion_network import EmotionNetwork, lengthened
from benchmark.metrics.judge_file import JudgeError
from benchmark.metrics.judge_training import array_of, descend, layers_of
from models.landmarks.alignment import fill_missing
from models.landmarks.topology import IBUG68
from models.seeding import generator, global_torch_seed
from models.types import Clip

VALUES = 136
WIDTH, CHANNELS = 5, (32, 32)
FRAMES = 48
BATCH = 32
GAIN, NEUTRAL_ERROR, JITTER = 0.2, 0.5, 0.2
"""Greatest relative change of the motion; standard deviations, in pixels, of the noise on a stretch's neutral
face and on each of its points."""
DROPOUT, SMOOTHING, WEIGHT_DECAY = 0.3, 0.05, 0.05
SEED = 0
MIRROR = list(IBUG68.mirror)


def train_emotion_network(
    clips: Sequence[Clip], emotions: Sequence[str], *, steps: int = 200
) -> EmotionNetwork:
    """Train on real clips of other speakers. The same clips give the same bits.

    Clips without two consecutive faces are left out.

    Args:
        steps: how many batches each network sees.

    Raises:
        JudgeError: as `benchmark.metrics.emotion.train_judge`.
    """
    check_labels(clips, emotions)
    usable, moved = _sequences(clips)
    labels = np.array([list(emotions).index(clip.emotion or "") for clip in usable], np.int64)
    if missing := sorted(set(emotions) - {emotions[k] for k in labels}):
        raise JudgeError(f"the emotion network has no usable training clip of {', '.join(missing)}")
    folds = folds_of(usable, labels)
    logits = []
    for held in folds:
        kept = np.flatnonzero(~held)
        net = _trained([moved[k] for k in kept], labels[kept], len(emotions), steps)
        logits.append(net.logits([moved[k] for k in np.flatnonzero(held)]))
    left_out, left_out_labels = np.concatenate(logits), np.concatenate([labels[held] for held in folds])
    layers, weights, bias = _trained(moved, labels, len(emotions), steps).arrays()
    return EmotionNetwork(
        tuple(emotions),
        layers,
        weights,
        bias,
        temperature=fit_temperature(left_out, left_out_labels),
        left_out_logits=left_out,
        left_out_labels=left_out_labels,
    )


def _sequences(clips: Sequence[Clip]) -> tuple[list[Clip], list[np.ndarray]]:
    """The usable clips, and (frames, 68, 2) float32 displacements of each."""
    neutral = neutral_references(clips)
    usable, sequences = [], []
    for clip in clips:
        moved = displacement(clip.landmarks, neutral[clip.speaker], clip=clip.id)
        seen = np.isfinite(moved[:, 0, 0])
        if (seen[1:] & seen[:-1]).any():
            usable.append(clip)
            sequences.append(lengthened(fill_missing(moved), FRAMES).astype(np.float32))
    if not usable:
        raise JudgeError(
            f"the emotion network got {len(clips)} training clips, none with a face in two frames"
        )
    return usable, sequences


class _Net(nn.Module):
    def __init__(self, emotions: int, scale: float) -> None:
        super().__init__()
        self.scale = scale
        with global_torch_seed(SEED, "emotion network", "weights"):
            sizes = zip((VALUES, *CHANNELS[:-1]), CHANNELS, strict=True)
            self.convolutions = [nn.Conv1d(a, b, WIDTH) for a, b in sizes]
            self.readout = nn.Linear(2 * CHANNELS[-1], emotions)
        for number, convolution in enumerate(self.convolutions):
            self.add_module(f"convolution{number}", convolution)

    def forward(self, moved: Tensor) -> Tensor:
        """(batch, emotions) logits of (batch, frames, 136)."""
        values = moved.mT / self.scale
        for number, convolution in enumerate(self.convolutions):
            if number:
                values = functional.dropout(values, DROPOUT, self.training)
            values = functional.relu(convolution(values))
        return self.readout(torch.cat([values.mean(2), values.amax(2)], 1))

    def logits(self, sequences: Sequence[np.ndarray]) -> np.ndarray:
        """(clips, emotions) float64."""
        with torch.inference_mode():
            found = [self(torch.from_numpy(s.reshape(1, len(s), VALUES))) for s in sequences]
        return torch.cat(found).double().numpy()

    def arrays(self) -> tuple[tuple[Layer, ...], np.ndarray, np.ndarray]:
        """The layers, the readout's weights and its bias, for inputs as they are."""
        layers = layers_of(self.convolutions, self.scale)
        return layers, array_of(self.readout.weight).T, array_of(self.readout.bias)


def _trained(moved: Sequence[np.ndarray], labels: np.ndarray, emotions: int, steps: int) -> _Net:
    net = _Net(emotions, float(np.concatenate(moved).std()) or 1.0)
    rng = generator(SEED, "emotion network", "stretches")

    def loss() -> Tensor:
        stretches, wanted = _batch(moved, labels, rng)
        return functional.cross_entropy(net(stretches), wanted, label_smoothing=SMOOTHING)

    with global_torch_seed(SEED, "emotion network", "dropout"):
        descend(net, loss, steps, weight_decay=WEIGHT_DECAY)
    return net.eval()


def _batch(
    moved: Sequence[np.ndarray], labels: np.ndarray, rng: np.random.Generator
) -> tuple[Tensor, Tensor]:
    """(batch, frames, 136) stretches, (batch,) labels; every emotion is drawn equally often."""
    shown = np.unique(labels)
    wanted = rng.choice(shown, size=BATCH)
    stretches = []
    for label in wanted:
        sequence = moved[int(rng.choice(np.flatnonzero(labels == label)))]
        start = int(rng.integers(len(sequence) - FRAMES + 1))
        stretches.append(_varied(sequence[start : start + FRAMES], rng).reshape(FRAMES, VALUES))
    return torch.from_numpy(np.stack(stretches)), torch.from_numpy(wanted)


def _varied(stretch: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    if rng.random() < 0.5:
        stretch = stretch[:, MIRROR] * np.array((-1, 1), np.float32)
    stretch = stretch * np.float32(1 + rng.uniform(-GAIN, GAIN))
    noise = rng.normal(0, NEUTRAL_ERROR, stretch.shape[1:]) + rng.normal(0, JITTER, stretch.shape)
    return stretch + noise.astype(np.float32)
