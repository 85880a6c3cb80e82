"""Every timing constant of the audio side, and how many windows a recording has.

One video frame is 640 samples or four MFCC rows. A window is the 28 rows that belong to one frame.
The utterance is padded by three frames of silence on both sides, so that window i is centred on frame i
(7.5 ms late, as in the EVP release).
"""

from __future__ import annotations

SAMPLE_RATE = 16_000
"""Samples per second of every waveform."""
FRAMES_PER_SECOND = 25
SAMPLES_PER_FRAME = SAMPLE_RATE // FRAMES_PER_SECOND
HOP = 160
"""Samples between MFCC rows."""
ROW_LENGTH = 400
"""Samples an MFCC row is computed from."""
ROWS_PER_FRAME = SAMPLES_PER_FRAME // HOP
PADDING = 1920
"""Zero samples before and after the whole utterance."""
WINDOW_ROWS = 28
NUM_CEPSTRA = 13
WINDOW_CEPSTRA = NUM_CEPSTRA - 1
"""Coefficients of a window; coefficient 0, the log energy, is left out."""


def num_rows(samples: int) -> int:
    """MFCC rows of an utterance of `samples` samples, its padding included."""
    if samples < 1:
        raise ValueError(f"expected a recording of at least one sample, got {samples}")
    return 1 + -(-(samples + 2 * PADDING - ROW_LENGTH) // HOP)


def num_windows(samples: int, *, pad_tail: bool = True) -> int:
    """Windows of an utterance of `samples` samples.

    With `pad_tail` there is one for each video frame, round(samples / 640) but at least one. Without, it is
    the released count, which is one lower when the utterance is a whole number of frames: inference,
    floor(rows / 4) - 6, which is 0 for a single frame.
    """
    if pad_tail:
        return max(1, (samples + SAMPLES_PER_FRAME // 2) // SAMPLES_PER_FRAME)
    return max(0, num_rows(samples) // ROWS_PER_FRAME - 6)


def tail_padding(samples: int) -> int:
    """Zero samples to append so that the rows suffice for one window per video frame."""
    needed = num_windows(samples) * SAMPLES_PER_FRAME + SAMPLES_PER_FRAME // 4
    return max(0, needed - samples)


def row_seconds(row):
    """The time of a row's centre from the start of the un-padded utterance."""
    return (row * HOP + ROW_LENGTH / 2 - PADDING) / SAMPLE_RATE
