"""DeepSpeech's network, its rates and windows."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from models.audio.deepspeech import DeepSpeech, at_video_rate, logit_windows, recogniser_input
from models.audio.framing import num_windows


@pytest.fixture(scope="module")
def network() -> DeepSpeech:
    torch.manual_seed(0)
    return DeepSpeech(width=12).eval()


def noise(samples: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(0, 0.1, samples).astype(np.float32)


def test_has_the_parameters_of_deepspeech_0_1() -> None:
    with torch.device("meta"):
        count = sum(p.numel() for p in DeepSpeech().parameters())
    dense = 494 * 2048 + 2048 * 2048 + 2048 * 4096 + 4096 * 2048 + 2048 * 29
    biases = 2048 + 2048 + 4096 + 2048 + 29
    lstm = 2 * 4 * 2048 * (4096 + 2048 + 1)
    second_biases = 2 * 4 * 2048
    assert dense + biases + lstm == 122_732_573
    assert count == 122_732_573 + second_biases


@pytest.mark.parametrize("samples", [1, 399, 640, 16_000, 16_321, 40_123])
def test_one_window_for_every_video_frame(network: DeepSpeech, samples: int) -> None:
    logits = network.at_video_rate(noise(samples))
    windows = logit_windows(logits)
    assert windows.shape == (num_windows(samples), 16, 29)
    assert logits.dtype == windows.dtype == np.float32


def test_a_second_of_speech_is_fifty_rows(network: DeepSpeech) -> None:
    assert network.of(noise(16_000)).shape == (50, 29)


def test_window_holds_the_frames_from_eight_before_to_seven_after() -> None:
    logits = np.arange(1, 31, dtype=np.float32)[:, None].repeat(29, 1)
    windows = logit_windows(logits)[:, :, 0]
    for frame in range(30):
        expected = [k + 1 if 0 <= k < 30 else 0 for k in range(frame - 8, frame + 8)]
        np.testing.assert_array_equal(windows[frame], expected)


def test_video_rate_is_linear_interpolation_in_time() -> None:
    rows = np.random.default_rng(0).normal(size=(41, 29)).astype(np.float32)
    frames = at_video_rate(rows, 22)
    times = np.arange(22) / 25
    for label in range(29):
        expected = np.interp(times, np.arange(41) / 50, rows[:, label])
        np.testing.assert_allclose(frames[:, label], expected, atol=1e-6)


def test_a_word_said_later_gives_later_logits(network: DeepSpeech) -> None:
    """The rate and the alignment of rows: 200 ms are ten rows, and five video frames."""
    word = noise(8_000)
    silence = np.zeros(16_000, np.float32)
    early = recogniser_input(np.concatenate([silence[:6_400], word, silence[:9_600]]))
    late = recogniser_input(np.concatenate([silence[:9_600], word, silence[:6_400]]))
    np.testing.assert_allclose(late[20:45], early[10:35], atol=1e-4)


def test_padding_in_a_batch_changes_nothing(network: DeepSpeech) -> None:
    short = torch.from_numpy(recogniser_input(noise(9_000)))
    both = torch.zeros(2, 80, 494)
    both[0, : len(short)] = short
    both[1] = torch.randn(80, 494, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        alone = network(short[None])[0]
        batched = network(both, torch.tensor([len(short), 80]))[0, : len(short)]
    torch.testing.assert_close(alone, batched, atol=1e-5, rtol=1e-5)


def test_units_saturate_at_twenty(network: DeepSpeech) -> None:
    with torch.no_grad():
        far = network(torch.full((1, 4, 494), 1e4))
        farther = network(torch.full((1, 4, 494), 1e6))
    torch.testing.assert_close(far, farther)


@pytest.mark.parametrize(
    ("waveform", "complaint"),
    [
        (np.zeros((2, 100), np.float32), "mono"),
        (np.zeros(0, np.float32), "mono"),
        (np.zeros(100, np.int32), "16-bit"),
        (np.full(100, np.nan, np.float32), "not finite"),
    ],
)
def test_refuses_what_is_not_speech(waveform: np.ndarray, complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        recogniser_input(waveform)
