"""Every known value there is, with where it comes from: what must come out, and what does.

Values of networks and of the MFCC were computed with the released classes and with python_speech_features,
on one CPU in float32; the networks' weights are those of `tests.golden.formula`. `python -m
tests.golden.report` prints the comparison.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike

from models.audio.dtw import dtw_path, warp_to
from models.audio.framing import SAMPLES_PER_FRAME, num_rows, num_windows
from models.audio.mfcc import mfcc, windows
from models.landmarks.alignment import one_euro, similarity
from models.landmarks.silence import voiced_by_sum
from tests.golden.formula import disentangler, formula, landmark_network


@dataclass(frozen=True)
class Known:
    """A value, how it comes about here, and how far the two may be apart: relative and absolute added."""

    group: str
    name: str
    expected: ArrayLike
    compute: Callable[[], Any]
    relative: float = 1e-3
    absolute: float = 2e-6
    """Six decimals are printed."""

    def got(self) -> np.ndarray:
        with torch.inference_mode():
            return np.asarray(self.compute(), np.float64)

    def error(self) -> tuple[float, float]:
        """The largest absolute error, and the largest share of its tolerance that an error takes."""
        expected = np.asarray(self.expected, np.float64)
        got = self.got()
        if got.shape != expected.shape:
            return np.inf, np.inf
        errors = np.abs(got - expected)
        allowed = self.absolute + self.relative * np.abs(expected)
        shares = np.divide(errors, allowed, out=np.where(errors > 0, np.inf, 0.0), where=allowed > 0)
        return float(errors.max()), float(shares.max())


# MFCC of two tones


@cache
def _tones() -> np.ndarray:
    n = np.arange(16_000)
    return 0.5 * np.sin(2 * np.pi * 440 * n / 16_000) + 0.1 * np.sin(2 * np.pi * 2500 * n / 16_000)


@cache
def _rows() -> np.ndarray:
    return mfcc(_tones(), pad_tail=False)


@cache
def _windows() -> np.ndarray:
    return windows(_rows())


SILENCE = [-36.04365] + [0.0] * 12
MFCC_ROWS = {
    0: SILENCE,
    122: SILENCE,
    11: [-0.04400, 4.45691, -8.95500, 9.26186, -31.30690, -61.91373, -9.64501, -0.08363, -32.36907, 6.91799,
         37.20166, -1.58170, -4.55072],
    12: [0.47487, 7.48207, -13.21135, 10.20998, -27.17486, -65.42242, -13.51263, -0.46818, -33.42186, 9.66461,
         42.60524, 1.30295, 0.75053],
    30: [0.48127, 15.20170, -11.38630, 22.17269, -16.47329, -61.76090, -9.58679, 4.98132, -29.25193, 13.26394,
         45.16276, 2.55891, 1.74900],
    60: [0.48127, 15.20170, -11.38630, 22.17269, -16.47329, -61.76090, -9.58679, 4.98132, -29.25193, 13.26394,
         45.16276, 2.55891, 1.74900],
    111: [-0.45228, 7.69246, -10.30328, 11.41429, -22.27582, -54.68720, -8.49887, 2.64915, -26.35459, 7.50555,
          34.28156, 0.66486, -0.82793],
}  # fmt: skip

_MFCC = "MFCC of two tones"
MFCC = [
    *(
        # Five decimals are printed; rows that begin in the tones' onset sum terms of both signs.
        Known(_MFCC, f"row {row}", values, lambda row=row: _rows()[row], absolute=1e-4)
        for row, values in MFCC_ROWS.items()
    ),
    Known(_MFCC, "matrix and windows, shapes", [123, 13, 24, 28, 12],
          lambda: [*_rows().shape, *_windows().shape], relative=0, absolute=0),
    Known(_MFCC, "windows, mean", -2.885819, lambda: _windows().mean(dtype=np.float64)),
    Known(_MFCC, "windows, standard deviation", 25.471902, lambda: _windows().std(dtype=np.float64)),
    Known(_MFCC, "window 10, row 14, first 3", [17.21854, -10.08009, 29.48459],
          lambda: _windows()[10, 14, :3]),
    Known(_MFCC, "window 10, row 0, first", 15.20170, lambda: _windows()[10, 0, 0]),
    Known(_MFCC, "rows and windows of 16000, 16100 and 688054 samples", [123, 24, 124, 25, 4323, 1074],
          lambda: [f(n) for n in (16_000, 16_100, 688_054)
                   for f in (num_rows, lambda n: num_windows(n, pad_tail=False))],
          relative=0, absolute=0),
]  # fmt: skip


# Networks with weights from a formula


def _window(*index: int) -> torch.Tensor:
    chosen = _windows()[list(index)] if index else _windows()
    return torch.from_numpy(chosen.copy())[:, None]


@cache
def _content() -> np.ndarray:
    return landmark_network().content(_window(10))[0].numpy()


@cache
def _emotion() -> np.ndarray:
    return landmark_network().emotion(_window(10))[0].numpy()


@cache
def _identity() -> np.ndarray:
    return landmark_network().identity(torch.zeros(1, 16))[0].numpy()


@cache
def _coefficients() -> np.ndarray:
    network, speech = landmark_network(), _window()
    content, emotion = network.content(speech), network.emotion(speech)
    return network(content[None], emotion[None], torch.zeros(1, 16))[0].numpy()


def _coefficients_of_a_code() -> np.ndarray:
    network = landmark_network()
    code = torch.linspace(0, 1, 128).expand(1, 24, 128)
    return network(network.content(_window())[None], code, torch.zeros(1, 16))[0].numpy()


@cache
def _decoded() -> np.ndarray:
    model = disentangler()
    rebuilt = model.decoder(model.content(_window(10)), model.emotion.encoder(_window(20)))
    return rebuilt.numpy()


STEP_0 = [-0.022652, 0.008464, 0.195295, 0.086206, -0.048086, -0.039510, -0.091411, 0.056295, -0.046838,
          -0.063753, -0.145818, -0.052980, 0.065649, 0.041942, 0.078540, -0.008777]  # fmt: skip
STEP_23 = [0.066665, 0.182581, 0.154101, 0.147283, 0.138961, -0.166625, -0.206587, 0.435812, -0.073557,
           -0.191054, -0.362714, -0.329354, 0.598141, 0.333708, 0.166810, -0.356358]  # fmt: skip

_LANDMARKS = "audio to landmarks"
_DISENTANGLE = "disentanglement"
NETWORKS = [
    Known("formula weights", "con_encoder.audio_eocder.0.0.weight, first 4",
          [-0.816497, 0.501743, 0.528728, 0.590790],
          lambda: landmark_network().content.features[0][0].weight.flatten()[:4]),  # type: ignore[index]
    Known("formula weights", "lm_encoder.lmark_encoder.2.bias, first 3", [-0.010236, -0.047661, 0.014684],
          lambda: landmark_network().identity[2].bias[:3]),
    Known("formula weights", "position 0 by the formula itself", [-0.816497, 0.501743],
          lambda: formula(0, "any.weight", (64, 1, 3, 3)).flatten()[:2]),
    Known(_LANDMARKS, "content of window 10, first 8",
          [36.616829, 0, 60.510620, 95.044884, 0, 0, 0, 107.536041], lambda: _content()[:8]),
    Known(_LANDMARKS, "content of window 10, mean", 23.117998, lambda: _content().mean()),
    Known(_LANDMARKS, "content of window 10, share of zeros", 0.515625, lambda: (_content() == 0).mean(),
          relative=0, absolute=0),
    Known(_LANDMARKS, "emotion of window 10, first 8", [24.242180, 0, 48.391838, 0, 0, 0, 0, 0],
          lambda: _emotion()[:8]),
    Known(_LANDMARKS, "emotion of window 10, mean", 9.950127, lambda: _emotion().mean()),
    Known(_LANDMARKS, "emotion of window 10, share of zeros", 0.6015625, lambda: (_emotion() == 0).mean(),
          relative=0, absolute=0),
    Known(_LANDMARKS, "identity embedding of zeros, first 6", [0, 0, 0, 0, 0, 0.007106],
          lambda: _identity()[:6]),
    Known(_LANDMARKS, "identity embedding of zeros, mean", 0.0173466, lambda: _identity().mean()),
    Known(_LANDMARKS, "coefficients of step 0, all 16", STEP_0, lambda: _coefficients()[0]),
    Known(_LANDMARKS, "coefficients of step 23, all 16", STEP_23, lambda: _coefficients()[23]),
    Known(_LANDMARKS, "coefficients of 24 steps, mean", 0.0540881, lambda: _coefficients().mean()),
    Known(_LANDMARKS, "coefficients of 24 steps, sample standard deviation", 0.2691227,
          lambda: _coefficients().std(ddof=1)),
    Known(_LANDMARKS, "given an emotion code, step 23, first 8",
          [-0.085330, 0.282627, -0.018389, 0.194135, 0.258423, 0.057839, -0.218166, 0.539922],
          lambda: _coefficients_of_a_code()[23, :8]),
    Known(_DISENTANGLE, "content of window 10 with emotion of window 20, shape", [1, 1, 28, 12],
          lambda: _decoded().shape, relative=0, absolute=0),
    Known(_DISENTANGLE, "the same, mean", 8.158052, lambda: _decoded().mean()),
    Known(_DISENTANGLE, "the same, sample standard deviation", 85.774178, lambda: _decoded().std(ddof=1)),
    Known(_DISENTANGLE, "the same, row 0, first 4", [-90.000000, -89.999786, -89.999954, -89.999969],
          lambda: _decoded()[0, 0, 0, :4]),
    Known(_DISENTANGLE, "the same, row 27, last 4", [-89.978683, 88.926224, 88.941505, 89.999992],
          lambda: _decoded()[0, 0, 27, 8:]),
    Known(_DISENTANGLE, "classifier logits of window 20",
          [0.637879, 49.356892, 6.394904, -45.627205, -39.729088, 7.144119, 21.947409, 7.835487],
          lambda: disentangler().emotion(_window(20))[0]),
]  # fmt: skip


# Small algorithms

_R = [[0.0], [2.0], [3.0], [3.0], [0.0]]
_X = [[0.0], [1.0], [2.0], [2.0], [3.0], [0.0]]
_R2 = [[0.0, 0.0], [1.0, 0.0], [2.0, 1.0], [3.0, 1.0], [2.0, 0.0]]
_X2 = [[0, 0.5], [0, 0.5], [1, 0.5], [2, 1.5], [2, 1], [3, 1], [3, 0.5]]


@dataclass(frozen=True)
class _Warp:
    name: str
    reference: list[list[float]]
    source: np.ndarray
    distance: float
    first: list[int]
    second: list[int]
    warped: list[list[float]]

    def knowns(self) -> list[Known]:
        reference = np.array(self.reference)
        path = dtw_path(self.source, reference)
        exact = {"relative": 0.0, "absolute": 0.0}
        group = "dynamic time warping"
        return [
            Known(group, f"{self.name}, distance", self.distance, lambda: path.distance, **exact),
            Known(group, f"{self.name}, path", [self.first, self.second],
                  lambda: [path.first, path.second], **exact),
            Known(group, f"{self.name}, warped", self.warped,
                  lambda: warp_to(self.source, reference, path), **exact),
        ]  # fmt: skip


def _turned() -> np.ndarray:
    source = np.array([(0, 0), (2, 0), (0, 1), (1, 3), (4, 2)], float)
    rotation = np.array([[np.cos(0.3), -np.sin(0.3)], [np.sin(0.3), np.cos(0.3)]])
    return similarity(source, 1.7 * source @ rotation.T + (5, -2))


ALGORITHMS = [
    *_Warp("one coefficient", _R, np.array(_X), 1.0, [0, 1, 2, 3, 4, 4, 5], [0, 0, 1, 1, 2, 3, 4],
           [[1], [2], [3], [3], [0]]).knowns(),
    *_Warp("one coefficient, 0.25 off", _R, np.array(_X) + 0.25, 2.25, [0, 1, 2, 3, 4, 4, 5],
           [0, 1, 1, 1, 2, 3, 4], [[0], [2.25], [3.25], [3.25], [0.25]]).knowns(),
    *_Warp("two coefficients", _R2, np.array(_X2), 3.5, [0, 1, 2, 3, 4, 5, 6], [0, 0, 1, 2, 2, 3, 4],
           [[0, 0.5], [1, 0.5], [2, 1], [3, 1], [3, 0.5]]).knowns(),
    Known("1 euro filter", "0 1 2 3 3 3 10 10",
          [0, 0.206752, 0.808696, 1.737334, 2.253752, 2.548042, 7.829171, 9.339971],
          lambda: one_euro(np.array([0, 1, 2, 3, 3, 3, 10, 10], float)), relative=0, absolute=1e-6),
    Known("similarity (Umeyama)", "1.7 times, turned by 0.3 rad, moved by (5, -2)",
          [[1.624072, -0.502384, 5], [0.502384, 1.624072, -2]], _turned, relative=0, absolute=1e-6),
]  # fmt: skip

# Voice activity of 60 frames


def _blocks(*spans: tuple[int, int]) -> np.ndarray:
    """Samples of 0.01 in the frames first..last of each span, zeros elsewhere."""
    waveform = np.zeros((60, SAMPLES_PER_FRAME))
    for first, last in spans:
        waveform[first : last + 1] = 0.01
    return waveform.ravel()


def _isolated() -> np.ndarray:
    waveform = _blocks((0, 4))
    waveform[35 * SAMPLES_PER_FRAME] = 0.5
    return voiced_by_sum(waveform)


VOICE_ACTIVITY = [
    Known("voice activity", "frames 0 to 4 and one sample in frame 35", [k <= 4 for k in range(60)],
          _isolated, relative=0, absolute=0),
    Known("voice activity", "frames 0 to 4, 20 and 21", [k <= 21 for k in range(60)],
          lambda: voiced_by_sum(_blocks((0, 4), (20, 21))), relative=0, absolute=0),
]  # fmt: skip

KNOWN = [*MFCC, *NETWORKS, *ALGORITHMS, *VOICE_ACTIVITY]
