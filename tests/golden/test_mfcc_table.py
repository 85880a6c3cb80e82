"""Frozen MFCC of two tones, from python_speech_features as the EVP release calls it."""

from __future__ import annotations

import numpy as np
import pytest

from models.audio.mfcc import mfcc, windows

SILENCE = [-36.04365] + [0.0] * 12
ROWS = {
    0: SILENCE,
    122: SILENCE,
    11: [-0.04400, 4.45691, -8.95500, 9.26186, -31.30690, -61.91373, -9.64501, -0.08363, -32.36907, 6.91799,
         37.20166, -1.58170, -4.55072],
    12: [0.47487, 7.48207, -13.21135, 10.20998, -27.17486, -65.42242, -13.51263, -0.46818, -33.42186, 9.66461,
         42.60524, 1.30295, 0.75053],
    30: [0.48127, 15.20170, -11.38630, 22.17269, -16.47329, -61.76090, -9.58679, 4.98132, -29.25193, 13.26394,
         45.16276, 2.55891, 1.74900],
    111: [-0.45228, 7.69246, -10.30328, 11.41429, -22.27582, -54.68720, -8.49887, 2.64915, -26.35459, 7.50555,
          34.28156, 0.66486, -0.82793],
}  # fmt: skip


@pytest.fixture(scope="module")
def rows() -> np.ndarray:
    n = np.arange(16_000)
    waveform = 0.5 * np.sin(2 * np.pi * 440 * n / 16_000) + 0.1 * np.sin(2 * np.pi * 2500 * n / 16_000)
    return mfcc(waveform, pad_tail=False)


@pytest.mark.parametrize("row", ROWS)
def test_rows(rows: np.ndarray, row: int) -> None:
    np.testing.assert_allclose(rows[row], ROWS[row], atol=1e-3)


def test_windows(rows: np.ndarray) -> None:
    cut = windows(rows)
    assert rows.shape == (123, 13)
    assert cut.shape == (24, 28, 12)
    assert cut.mean() == pytest.approx(-2.885819, abs=1e-4)
    assert cut.std() == pytest.approx(25.471902, abs=1e-4)
    np.testing.assert_allclose(cut[10, 14, :3], [17.21854, -10.08009, 29.48459], atol=1e-3)
