"""DeepSpeech features: per-frame character logits of a speech recogniser, in place of MFCC as what is said.

    16-bit speech -> 26 MFCC every 20 ms, each with nine rows to both sides -> network -> 29 logits at 50 Hz
                  -> 25 fps by linear interpolation -> a window of 16 frames, t - 8 to t + 7, for frame t

EVP does not use them; VOCA, Neural Voice Puppetry, NeRF talking heads and EAT do, with the logits of
Mozilla's DeepSpeech 0.1.0. Here is that recipe, and a network of the same layers. The weights of Mozilla's
network are a user's to bring, as logits (`models.audio.logits`); without them a narrower one is trained
(`models.audio.recogniser`), which must not be called DeepSpeech in a table.
"""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Float, Int
from numpy.lib.stride_tricks import sliding_window_view
from torch import Tensor, nn

from models.audio.framing import FRAMES_PER_SECOND, HOP, ROW_LENGTH, num_windows
from models.audio.mfcc import PRE_EMPHASIS, cepstra
from models.audio.transcripts import BLANK, NUM_LABELS

LOGITS_PER_SECOND = 50
NUM_CEPSTRA = 26
CONTEXT = 9
"""MFCC rows to each side that the network sees with a row."""
NUM_FEATURES = (2 * CONTEXT + 1) * NUM_CEPSTRA
WINDOW_FRAMES = 16
CLIP = 20.0
"""Where the rectified units saturate."""

__all__ = [
    "BLANK",
    "NUM_FEATURES",
    "NUM_LABELS",
    "WINDOW_FRAMES",
    "DeepSpeech",
    "at_video_rate",
    "in_context",
    "logit_windows",
    "recogniser_input",
    "recogniser_rows",
]


def recogniser_input(waveform: np.ndarray) -> Float[np.ndarray, "time 494"]:
    """What DeepSpeech 0.1 hears of an utterance, 50 rows per second.

    MFCC of 16-bit samples with the defaults of python_speech_features, but 26 cepstra; every second row;
    nine rows of zeros on both sides; 19 rows stacked; then the whole matrix less its mean, over its standard
    deviation. So what a row looks like depends on the utterance that it is from.

    Args:
        waveform: (samples,) at 16 kHz; 16-bit integers, or floats in [-1, 1].

    Raises:
        ValueError: the waveform is not mono, is empty, or holds values that are not finite.
    """
    return in_context(recogniser_rows(waveform))


def recogniser_rows(waveform: np.ndarray) -> Float[np.ndarray, "time_and_context 26"]:
    """What `recogniser_input` stacks, the nine rows on both sides included: a nineteenth of its size."""
    rows = _every_second_row(_as_16_bit(waveform))
    padded = np.pad(rows, ((CONTEXT, CONTEXT), (0, 0)))
    stacked = sliding_window_view(padded, 2 * CONTEXT + 1, axis=0)
    mean, deviation = stacked.mean(dtype=np.float64), stacked.std(dtype=np.float64)
    return ((padded - mean) / deviation).astype(np.float32)


def in_context(rows: Float[np.ndarray, "time_and_context 26"]) -> Float[np.ndarray, "time 494"]:
    """Every row with the nine before and behind it, the earliest first."""
    stacked = sliding_window_view(rows, 2 * CONTEXT + 1, axis=0).swapaxes(1, 2)
    return stacked.copy(order="C").reshape(len(stacked), -1)


def _every_second_row(samples: np.ndarray) -> np.ndarray:
    count = 1 + max(0, -(-(len(samples) - ROW_LENGTH) // HOP))
    emphasised = np.zeros(max((count - 1) * HOP + ROW_LENGTH, len(samples) + 1), np.float32)
    emphasised[: len(samples)] = samples
    emphasised[1 : len(samples)] -= np.float32(PRE_EMPHASIS) * samples[:-1]
    frames = sliding_window_view(emphasised, ROW_LENGTH)[::HOP][:count:2]
    return cepstra(frames, NUM_CEPSTRA)


def _as_16_bit(waveform: np.ndarray) -> np.ndarray:
    """(samples,) float32 with the values of 16-bit samples."""
    if waveform.ndim != 1 or waveform.size == 0:
        raise ValueError(f"expected a mono waveform (samples,) at 16 kHz, got shape {waveform.shape}")
    if waveform.dtype == np.int16:
        return waveform.astype(np.float32)
    if not np.issubdtype(waveform.dtype, np.floating):
        raise ValueError(f"expected a float or 16-bit waveform, got {waveform.dtype}")
    if not np.isfinite(waveform).all():
        raise ValueError("the waveform holds values that are not finite; repair or drop the recording")
    return np.clip(np.rint(waveform.astype(np.float32) * 2**15), -(2**15), 2**15 - 1)


def at_video_rate(logits: Float[np.ndarray, "time 29"], frames: int) -> Float[np.ndarray, "frames 29"]:
    """50 Hz logits at 25 fps, by linear interpolation; the last row is held to the end."""
    times = np.arange(frames) * (LOGITS_PER_SECOND / FRAMES_PER_SECOND)
    below = np.minimum(times.astype(np.int64), len(logits) - 1)
    above = np.minimum(below + 1, len(logits) - 1)
    share = (times - np.floor(times)).astype(np.float32)[:, None]
    return logits[below] * (1 - share) + logits[above] * share


def logit_windows(logits: Float[np.ndarray, "frames 29"]) -> Float[np.ndarray, "frames 16 29"]:
    """Window t is the frames t - 8 to t + 7, zeros where there are none, as a read-only view."""
    half = WINDOW_FRAMES // 2
    padded = np.pad(np.asarray(logits, np.float32), ((half, half), (0, 0)))
    return sliding_window_view(padded, WINDOW_FRAMES, axis=0)[: len(logits)].swapaxes(1, 2)


class DeepSpeech(nn.Module):
    """The network of DeepSpeech 0.1: 122.7 million parameters at its `width` of 2048.

    Three dense layers and one more behind a bidirectional LSTM, all but the last rectified and clipped at 20,
    the third twice as wide. PyTorch's LSTM has a second bias for each gate, which adds nothing.

    Args:
        dropout: behind the dense layers, in training.
    """

    def __init__(self, *, width: int = 2048, dropout: float = 0.05) -> None:
        super().__init__()
        self.width = width
        self.dropout = nn.Dropout(dropout)
        self.hidden = nn.ModuleList(
            [nn.Linear(NUM_FEATURES, width), nn.Linear(width, width), nn.Linear(width, 2 * width)]
        )
        self.onward = nn.LSTM(2 * width, width, batch_first=True)
        self.returning = nn.LSTM(2 * width, width, batch_first=True)
        self.fifth = nn.Linear(2 * width, width)
        self.logits = nn.Linear(width, NUM_LABELS)

    def forward(
        self, features: Float[Tensor, "batch time 494"], lengths: Int[Tensor, " batch"] | None = None
    ) -> Float[Tensor, "batch time 29"]:
        """Logits, not normalised; rows at and behind an utterance's length mean nothing."""
        state = features
        for layer in self.hidden:
            state = self._clipped(layer(state))
        # Not a packed sequence: its gradient is four times slower on a CPU.
        turn = _turned(features, lengths)
        behind, _ = self.returning(_taken(state, turn))
        state = torch.cat([self.onward(state)[0], _taken(behind, turn)], 2)
        return self.logits(self._clipped(self.fifth(state)))

    def _clipped(self, values: Tensor) -> Tensor:
        return self.dropout(values.clamp(0.0, CLIP))

    @torch.inference_mode()
    def of(self, waveform: np.ndarray) -> Float[np.ndarray, "time 29"]:
        """The 50 Hz logits of an utterance; the network must be in eval mode."""
        device = next(self.parameters()).device
        features = torch.from_numpy(recogniser_input(waveform)).to(device)
        return self(features[None])[0].cpu().numpy()

    def at_video_rate(self, waveform: np.ndarray) -> Float[np.ndarray, "frames 29"]:
        """The logits of each video frame of an utterance; `models.audio.framing` counts the frames."""
        return at_video_rate(self.of(waveform), num_windows(len(waveform)))


def _turned(features: Tensor, lengths: Tensor | None) -> Int[Tensor, "batch time"]:
    """Indices that play every utterance of a batch backwards and leave the padding behind it in place."""
    batch, time, _ = features.shape
    steps = torch.arange(time, device=features.device).expand(batch, time)
    ends = steps.new_full((batch, 1), time) if lengths is None else lengths.to(features.device)[:, None]
    return torch.where(steps < ends, ends - 1 - steps, steps)


def _taken(state: Tensor, index: Tensor) -> Tensor:
    return state.gather(1, index[:, :, None].expand_as(state))
