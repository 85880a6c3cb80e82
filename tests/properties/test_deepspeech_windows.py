"""Windows of logits as Mozilla's DeepSpeech 0.1 makes them: our conventions must be those of the real ones.

The recordings' logits are not part of this project; without them beside it these tests are skipped.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from models.audio.deepspeech import WINDOW_FRAMES, logit_windows
from models.audio.logits import PrecomputedLogits
from models.audio.transcripts import BLANK, NUM_LABELS, greedy_text

REAL = Path(__file__).parents[3] / "shared" / "data" / "deepspeech" / "deepspeech_windows.npz"
CLIPS = ("trump", "greta_1")


@pytest.fixture(scope="module", params=CLIPS)
def windows(request: pytest.FixtureRequest) -> np.ndarray:
    if not REAL.is_file():
        pytest.skip(f"no DeepSpeech windows at {REAL}")
    with np.load(REAL, allow_pickle=False) as arrays:
        return arrays[request.param]


def test_one_window_of_16_by_29_for_every_frame(windows: np.ndarray) -> None:
    assert windows.shape[1:] == (WINDOW_FRAMES, NUM_LABELS)
    np.testing.assert_array_equal(logit_windows(windows[:, WINDOW_FRAMES // 2]), windows)


def test_frames_are_at_video_rate(windows: np.ndarray, tmp_path: Path) -> None:
    np.save(tmp_path / "clip.npy", windows)
    logits = PrecomputedLogits(tmp_path).of("clip", 640 * len(windows))
    assert len(logits) == 2 * len(windows)
    np.testing.assert_array_equal(logits[::2], windows[:, WINDOW_FRAMES // 2])


def test_labels_are_in_our_order(windows: np.ndarray) -> None:
    """With the letters in another order, what the network hears would not look like English."""
    text = greedy_text(windows[:, WINDOW_FRAMES // 2])
    best = windows[:, WINDOW_FRAMES // 2].argmax(-1)
    assert 0.4 < (best == BLANK).mean() < 0.8
    letters = text.replace(" ", "").replace("'", "")
    vowels = sum(letters.count(vowel) for vowel in "aeiou") / len(letters)
    assert 0.25 < vowels < 0.55
    assert letters.count("e") > 4 * max(letters.count(letter) for letter in "jqxz")
    assert 0.1 < text.count(" ") / len(text) < 0.3
