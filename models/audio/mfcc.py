"""The MFCC of EVP and ATVGnet, and the windows that the networks read.

Not librosa's nor Kaldi's MFCC: a rectangular analysis window, unnormalised triangles on integer bins,
power over 512, natural logarithm, orthonormal DCT, lifter 22, coefficient 0 replaced by the log energy, no
mean or variance normalisation. Digital silence gives the row [-36.04, 0, ..., 0].

Source: the defaults of python_speech_features with `winlen=0.025, winstep=0.01`, as called by the EVP and
ATVGnet releases.
"""

from __future__ import annotations

from functools import cache

import numpy as np
import scipy.fft
from jaxtyping import Float32
from numpy.lib.stride_tricks import as_strided, sliding_window_view

from models.audio.framing import (
    HOP,
    NUM_CEPSTRA,
    PADDING,
    ROW_LENGTH,
    ROWS_PER_FRAME,
    SAMPLE_RATE,
    WINDOW_CEPSTRA,
    WINDOW_ROWS,
    num_rows,
    tail_padding,
)

PRE_EMPHASIS = 0.97
NUM_FFT = 512
NUM_FILTERS = 26
LIFTER = 22
FLOOR = np.finfo(np.float64).eps
"""Stands for an energy of exactly zero, before the logarithm."""

_CHUNK = 256


def mfcc(waveform: np.ndarray, *, pad_tail: bool = True) -> Float32[np.ndarray, "rows 13"]:
    """MFCC rows, one per 10 ms, of a padded utterance.

    Args:
        waveform: (samples,) at 16 kHz; floats in [-1, 1], or 16-bit integers, which are scaled to that range.
        pad_tail: add the silence that gives one window per video frame; without it, the released row count.

    Raises:
        ValueError: the waveform is not mono, is empty, or holds values that are not finite.
    """
    samples = _as_float(waveform)
    tail = tail_padding(samples.size) if pad_tail else 0
    rows = num_rows(samples.size + tail)
    emphasised = np.zeros((rows - 1) * HOP + ROW_LENGTH, np.float32)
    speech = emphasised[PADDING : PADDING + samples.size + 1]
    speech[:-1] = samples
    speech[1:] -= np.float32(PRE_EMPHASIS) * samples
    frames = sliding_window_view(emphasised, ROW_LENGTH)[::HOP]
    out = np.empty((rows, NUM_CEPSTRA), np.float32)
    for start in range(0, rows, _CHUNK):
        out[start : start + _CHUNK] = cepstra(frames[start : start + _CHUNK], NUM_CEPSTRA)
    return out


def windows(rows: np.ndarray) -> np.ndarray:
    """(W, 28, 12) windows of (T, 13) MFCC rows as a read-only view: axis 1 is time, axis 2 coefficients 1-12.

    Raises:
        ValueError: the rows are fewer than one window, or not 13 wide.
    """
    if rows.ndim != 2 or rows.shape[1] != NUM_CEPSTRA or len(rows) < WINDOW_ROWS:
        raise ValueError(
            f"expected at least {WINDOW_ROWS} rows of {NUM_CEPSTRA} MFCC, got shape {rows.shape}"
        )
    count = (len(rows) - WINDOW_ROWS) // ROWS_PER_FRAME + 1
    time, cepstrum = rows.strides
    shape = (count, WINDOW_ROWS, WINDOW_CEPSTRA)
    return as_strided(rows[:, 1:], shape, (ROWS_PER_FRAME * time, time, cepstrum), writeable=False)


def mel_filters() -> np.ndarray:
    """(26, 257) triangular filters between 0 and 8000 Hz, their edges on whole bins."""
    mel = np.linspace(0, 2595 * np.log10(1 + SAMPLE_RATE / 2 / 700), NUM_FILTERS + 2)
    edges = np.floor((NUM_FFT + 1) * 700 * (10 ** (mel / 2595) - 1) / SAMPLE_RATE)
    bins = np.arange(NUM_FFT // 2 + 1)
    low, peak, high = edges[:-2, None], edges[1:-1, None], edges[2:, None]
    rising = (bins - low) / (peak - low)
    falling = (high - bins) / (high - peak)
    return np.where(bins < peak, rising, falling) * ((bins >= low) & (bins < high))


@cache
def _energy_weights() -> np.ndarray:
    """(514, 27): from squared real and imaginary parts to 26 filter energies and the total energy."""
    columns = np.vstack([mel_filters(), np.ones(NUM_FFT // 2 + 1)]).T / NUM_FFT
    return np.ascontiguousarray(columns.repeat(2, axis=0), np.float32)


@cache
def _liftered_dct(count: int) -> np.ndarray:
    basis = np.asarray(scipy.fft.dct(np.eye(NUM_FILTERS), type=2, axis=1, norm="ortho"))[:, :count]
    lifter = 1 + LIFTER / 2 * np.sin(np.pi * np.arange(count) / LIFTER)
    return np.ascontiguousarray(basis * lifter, np.float32)


def cepstra(frames: np.ndarray, count: int) -> np.ndarray:
    """(rows, count) cepstra of (rows, 400) pre-emphasised float32 samples; the first is the log energy."""
    spectrum = np.asarray(scipy.fft.rfft(frames, NUM_FFT)).view(np.float32)
    energies = np.square(spectrum, out=spectrum) @ _energy_weights()
    energies[energies == 0] = FLOOR
    logs = np.log(energies, out=energies)
    out = logs[:, :-1] @ _liftered_dct(count)
    out[:, 0] = logs[:, -1]
    return out


def _as_float(waveform: np.ndarray) -> np.ndarray:
    if waveform.ndim != 1 or waveform.size == 0:
        raise ValueError(
            f"expected a mono waveform (samples,) at {SAMPLE_RATE} Hz, got shape {waveform.shape}"
        )
    if waveform.dtype == np.int16:
        return waveform.astype(np.float32) / np.float32(2**15)
    if not np.issubdtype(waveform.dtype, np.floating):
        raise ValueError(f"expected a float or 16-bit waveform, got {waveform.dtype}")
    if not np.isfinite(waveform).all():
        raise ValueError("the waveform holds values that are not finite; repair or drop the recording")
    return waveform.astype(np.float32, copy=False)
