"""Training of the sync judge: real clips, and the moment that belongs to each stretch of mouth.

In every step some stretches of a second and a half are drawn. The sound of each is offered at all offsets;
the loss is the cross-entropy of choosing the right one by the correlation that `benchmark.metrics.sync`
scores with. What is wrong is thus the same sentence at another moment: voice, speaker and emotion are no
help. A stretch may be mirrored, moves more or less and has the jitter of a landmark detector, and its sound
may be shifted by half a row, so that the judge learns times between rows.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from benchmark.metrics.judge_file import JudgeError
from benchmark.metrics.judge_training import descend, layers_of
from benchmark.metrics.sync import (
    FEWEST,
    LIMIT,
    MOUTH,
    MOUTH_VALUES,
    STILL,
    SyncJudge,
    log_mel,
    mouth_motion,
    padded_sound,
)
from models.audio.framing import HOP, ROWS_PER_FRAME
from models.audio.mfcc import NUM_FILTERS
from models.landmarks.topology import IBUG68
from models.seeding import generator, global_torch_seed
from models.types import Clip

MOUTH_LAYERS = ((5, 32), (3, 24))
SOUND_LAYERS = ((9, 32), (17, 24))
"""Width in time and outputs of each convolution."""
FRAMES = 40
"""Embedded frames of a stretch, where half of the clips are as long."""
BATCH = 24
SHARPNESS = 20.0
"""What correlations are multiplied by before the softmax."""
SPREAD = 1.5
"""Standard deviation in rows of the wanted distribution over offsets."""
SHIFTS = (0, 80)
"""Samples that the sound is shifted by: none, and half a row."""
GAIN, JITTER = 0.3, 0.2
"""Greatest relative change of the motion; standard deviation in pixels of the noise on the points."""
WEIGHT_DECAY = 0.01
SEED = 0
MOUTH_MIRROR = [IBUG68.mirror[point] - MOUTH.start for point in range(MOUTH.start, MOUTH.stop)]


@dataclass(frozen=True)
class Example:
    mouth: np.ndarray
    """(frames, 40) float32."""
    sounds: tuple[np.ndarray, ...]
    """(rows, 26) float32 for each of `SHIFTS`, of the rows that a stretch at any place needs."""


def train_sync_judge(clips: Sequence[Clip], *, steps: int = 600) -> SyncJudge:
    """Train on real clips, by their landmarks and waveforms. The same clips give the same bits.

    Of a clip with missing faces the longest run with a face is used. Runs shorter than a stretch, clips whose
    mouth never moves and silent ones are left out.

    Args:
        steps: how many batches are seen.

    Raises:
        JudgeError: no clip can be used.
    """
    examples = [made for clip in clips if (made := _example(clip)) is not None]
    if not examples:
        raise JudgeError(
            f"the sync judge got {len(clips)} training clips, none with sound and a moving mouth in "
            f"{FEWEST + _reach(MOUTH_LAYERS)} consecutive frames or more"
        )
    usual = int(np.median([len(example.mouth) for example in examples]))
    frames = min(FRAMES, usual - _reach(MOUTH_LAYERS))
    examples = [e for e in examples if len(e.mouth) >= frames + _reach(MOUTH_LAYERS)]
    net = _Net(examples)
    rng = generator(SEED, "sync judge", "stretches")
    descend(net, lambda: net.loss(*_batch(examples, frames, rng)), steps, weight_decay=WEIGHT_DECAY)
    return net.judge()


class _Net(nn.Module):
    """The judge's two streams, on inputs of unit variance."""

    def __init__(self, examples: Sequence[Example]) -> None:
        super().__init__()
        self.scales = (
            float(np.concatenate([e.mouth for e in examples]).std()) or 1.0,
            float(np.concatenate([e.sounds[0] for e in examples]).std()) or 1.0,
        )
        with global_torch_seed(SEED, "sync judge", "weights"):
            self.mouth = _stack(MOUTH_VALUES, MOUTH_LAYERS)
            self.sound = _stack(NUM_FILTERS, SOUND_LAYERS)

    def loss(self, mouths: Tensor, sounds: Tensor, offsets: Tensor) -> Tensor:
        """Cross-entropy of the offsets in rows (batch,), given (batch, frames, 40) and (batch, rows, 26)."""
        mouth = self.mouth(mouths.mT / self.scales[0])
        sound = self.sound(sounds.mT / self.scales[1])
        steps = torch.arange(-LIMIT, LIMIT + 1)
        wanted = functional.softmax(-(((steps - offsets[:, None]) / SPREAD) ** 2) / 2, dim=1)
        return functional.cross_entropy(SHARPNESS * _correlations(mouth, sound), wanted)

    def judge(self) -> SyncJudge:
        """The streams as arrays that take inputs as they are."""
        mouth, sound = (
            layers_of((m for m in stack if isinstance(m, nn.Conv1d)), scale)
            for stack, scale in zip((self.mouth, self.sound), self.scales, strict=True)
        )
        return SyncJudge(mouth, sound)


def _stack(values: int, layers: Sequence[tuple[int, int]]) -> nn.Sequential:
    found: list[nn.Module] = []
    for width, outputs in layers:
        found += [nn.Conv1d(values, outputs, width), nn.ReLU()]
        values = outputs
    return nn.Sequential(*found[:-1])


def _correlations(mouth: Tensor, sound: Tensor) -> Tensor:
    """(batch, offsets) of (batch, embedding, frames) and (batch, embedding, rows): `sync.correlations`."""
    centred = mouth - mouth.mean(2, keepdim=True)
    frames = mouth.shape[2]
    # (batch, embedding, frames, offsets)
    heard = sound.unfold(2, sound.shape[2] - ROWS_PER_FRAME * (frames - 1), ROWS_PER_FRAME)
    spread = heard.var(2, correction=0).sum(1) * frames
    scale = (centred.square().sum((1, 2)) * spread.mean(1)).clamp_min(1e-12).sqrt()
    return torch.einsum("bdt,bdtk->bk", centred, heard) / scale[:, None]


def _reach(layers: Sequence[tuple[int, int]]) -> int:
    """How many more inputs than outputs there are."""
    return sum(width - 1 for width, _ in layers)


def _example(clip: Clip) -> Example | None:
    positions, found = mouth_motion(clip.landmarks, clip=clip.id)
    first, last = _longest_run(found)
    spectra = [log_mel(clip.waveform[shift:], clip=clip.id) for shift in SHIFTS]
    still = (
        last - first < FEWEST + _reach(MOUTH_LAYERS) or np.ptp(positions[first:last], axis=0).max() < STILL
    )
    if still or not spectra[0].any():
        return None
    sounds = [padded_sound(s, len(found), *_seen())[ROWS_PER_FRAME * first :] for s in spectra]
    return Example(
        positions[first:last].astype(np.float32), tuple(sound.astype(np.float32) for sound in sounds)
    )


def _longest_run(found: np.ndarray) -> tuple[int, int]:
    """Start and end of the longest stretch of True; the first of several."""
    edges = np.flatnonzero(np.diff(np.r_[False, found, False]))
    if len(edges) == 0:
        return 0, 0
    longest = int((edges[1::2] - edges[::2]).argmax())
    return int(edges[2 * longest]), int(edges[2 * longest + 1])


def _seen() -> tuple[int, int]:
    return 1 + _reach(MOUTH_LAYERS), 1 + _reach(SOUND_LAYERS)


def _batch(
    examples: Sequence[Example], frames: int, rng: np.random.Generator
) -> tuple[Tensor, Tensor, Tensor]:
    """(batch, frames, 40) mouths, (batch, rows, 26) sounds, (batch,) the right offsets in rows."""
    mouth_seen, sound_seen = _seen()
    rows = ROWS_PER_FRAME * (frames - 1) + 2 * LIMIT + sound_seen
    mouths, sounds, offsets = [], [], []
    for number in rng.integers(len(examples), size=BATCH):
        example = examples[number]
        start = int(rng.integers(len(example.mouth) - frames - mouth_seen + 2))
        shift = int(rng.integers(len(SHIFTS)))
        mouth = example.mouth[start : start + frames + mouth_seen - 1]
        mouths.append(_varied(mouth, rng))
        sounds.append(example.sounds[shift][ROWS_PER_FRAME * start :][:rows])
        offsets.append(-SHIFTS[shift] / HOP)
    return (
        torch.from_numpy(np.stack(mouths)),
        torch.from_numpy(np.stack(sounds)),
        torch.tensor(offsets),
    )


def _varied(mouth: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Mirrored or not, moving more or less, with noise."""
    points = mouth.reshape(len(mouth), -1, 2)
    if rng.random() < 0.5:
        points = points[:, MOUTH_MIRROR] * np.array((-1, 1), np.float32)
    points = points * np.float32(1 + rng.uniform(-GAIN, GAIN))
    points = points + rng.normal(0, JITTER, points.shape).astype(np.float32)
    return points.reshape(len(mouth), MOUTH_VALUES)
