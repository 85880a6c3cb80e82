"""Logits that a user brings, and logits on the time axis of another utterance."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from models.audio.aligners import Alignment, EVPAligner
from models.audio.deepspeech import DeepSpeech, at_video_rate, logit_windows
from models.audio.framing import num_windows
from models.audio.logits import LogitsStage, PrecomputedLogits, load_logits, num_logits, warped_logits
from models.audio.recogniser import save_recogniser

SAMPLES = 20_480
ROWS, FRAMES = 64, 32


@pytest.fixture
def logits() -> np.ndarray:
    return np.random.default_rng(0).normal(-5, 6, (ROWS, 29)).astype(np.float32)


def test_counts_are_those_of_the_network() -> None:
    network = DeepSpeech(width=4).eval()
    for samples in (1, 400, 401, 719, 721, SAMPLES):
        assert len(network.of(np.zeros(samples, np.float32))) == num_logits(samples)
    assert (num_logits(SAMPLES), num_windows(SAMPLES)) == (ROWS, FRAMES)


def test_50_hz_logits_are_read_as_they_are(tmp_path: Path, logits: np.ndarray) -> None:
    np.save(tmp_path / "a.npy", logits)
    np.testing.assert_array_equal(PrecomputedLogits(tmp_path).of("a", SAMPLES), logits)


@pytest.mark.parametrize("suffix", [".npy", ".npz"])
@pytest.mark.parametrize("windowed", [False, True])
def test_video_rate_logits_come_back_at_video_rate(
    tmp_path: Path, logits: np.ndarray, suffix: str, windowed: bool
) -> None:
    frames = at_video_rate(logits, FRAMES)
    array = np.array(logit_windows(frames)) if windowed else frames
    np.save(tmp_path / "a.npy", array) if suffix == ".npy" else np.savez(tmp_path / "a.npz", logits=array)
    read = PrecomputedLogits(tmp_path).of("a", SAMPLES)
    assert len(read) == ROWS
    np.testing.assert_array_equal(at_video_rate(read, FRAMES), frames)
    np.testing.assert_allclose(read[1], (frames[0] + frames[1]) / 2, rtol=1e-6)


@pytest.mark.parametrize("change", [-1, 1])
def test_one_row_more_or_less_is_rounding(tmp_path: Path, logits: np.ndarray, change: int) -> None:
    rows = np.concatenate([logits, logits[-1:]])[: ROWS + change]
    np.save(tmp_path / "a.npy", rows)
    assert len(PrecomputedLogits(tmp_path).of("a", SAMPLES)) == ROWS


def test_missing_clips_are_listed(tmp_path: Path, logits: np.ndarray) -> None:
    np.save(tmp_path / "clip0.npy", logits)
    with pytest.raises(ValueError, match=r"8 of 9 clips .* clip1, clip2, clip3, clip4, clip5 and 3 more"):
        PrecomputedLogits(tmp_path).require([f"clip{k}" for k in range(9)])


def test_missing_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"no folder .*nowhere"):
        LogitsStage(precomputed=str(tmp_path / "nowhere"))


def softmax(logits: np.ndarray) -> np.ndarray:
    return torch.from_numpy(logits).softmax(-1).numpy()


@pytest.mark.parametrize(
    ("spoil", "complaint"),
    [
        (lambda x: x[:, :28], r"expected \(64, 29\) .* got \(64, 28\)"),
        (lambda x: x[:50], r"1.28 s of speech, got \(50, 29\)"),
        (lambda x: x.T, r"got \(29, 64\)"),
        (lambda x: np.where(x > 5, np.nan, x), "NaN"),
        (lambda x: x.astype(np.int32), "int32"),
        (lambda x: x[:0], "none"),
        (softmax, "before the softmax"),
        (lambda x: np.log(softmax(x)), "before the softmax"),
        (lambda x: np.array(logit_windows(x[:FRAMES]))[:, ::-1], "frames t - 8 to t [+] 7"),
        (lambda x: np.array([{"a": 1}], dtype=object), "cannot be read"),
    ],
)
def test_refuses_what_are_not_the_clips_logits(tmp_path: Path, logits: np.ndarray, spoil, complaint) -> None:
    np.save(tmp_path / "a.npy", spoil(logits), allow_pickle=True)
    with pytest.raises(ValueError, match=complaint):
        PrecomputedLogits(tmp_path).of("a", SAMPLES)


def test_refuses_a_torn_file(tmp_path: Path, logits: np.ndarray) -> None:
    np.save(tmp_path / "a.npy", logits)
    whole = (tmp_path / "a.npy").read_bytes()
    (tmp_path / "a.npy").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ValueError, match="cannot be read"):
        PrecomputedLogits(tmp_path).of("a", SAMPLES)


def test_stage_lets_the_recogniser_listen(tiny, bare_run, tmp_path: Path) -> None:
    torch.manual_seed(0)
    network = DeepSpeech(width=4).eval()
    save_recogniser(tmp_path, network)
    (tmp_path / "out").mkdir()
    stage = LogitsStage()
    assert stage.upstream == ("recogniser",)
    stage.run(tiny, {"recogniser": tmp_path}, bare_run(tmp_path / "out"))
    found = load_logits(tmp_path / "out")
    assert set(found) == {clip.id for clip in (*tiny.train, *tiny.validation)}
    clip = tiny.validation[0]
    np.testing.assert_array_equal(found[clip.id], network.of(clip.waveform))


def test_stage_takes_what_is_brought_and_needs_no_recogniser(tiny, bare_run, tmp_path: Path) -> None:
    clips = (*tiny.train, *tiny.validation)
    for number, clip in enumerate(clips):
        np.save(tmp_path / f"{clip.id}.npy", np.full((clip.num_frames, 29), float(number), np.float32))
    stage = LogitsStage(precomputed=str(tmp_path))
    assert stage.upstream == ()
    (tmp_path / "out").mkdir()
    stage.run(tiny, {}, bare_run(tmp_path / "out"))
    assert load_logits(tmp_path / "out")[clips[3].id].max() == 3.0


# The path between MFCC rows, used for logits


def chirps(samples: int) -> np.ndarray:
    """A sound that is different at every moment."""
    time = np.arange(samples) / 16_000
    return (0.3 * np.sin(2 * np.pi * (300 + 900 * time) * time) * (1 + np.sin(31 * time))).astype(np.float32)


@pytest.mark.parametrize("shift", [0, 8, 20])
def test_a_shifted_utterance_maps_onto_its_original(shift: int) -> None:
    """A source that says the same 10 ms x shift later: logits of the sound are found where it is said."""
    silence = np.zeros(160 * 30, np.float32)
    sound = chirps(16_000)
    reference = np.concatenate([silence, sound, silence])
    source = np.concatenate([np.zeros(160 * shift, np.float32), reference])
    seconds = 0.02 * np.arange(num_logits(len(source)), dtype=np.float32) + 0.0125
    clock = np.repeat(seconds[:, None], 29, 1)
    found = warped_logits(clock, EVPAligner().align(source, reference), len(reference))[:, 0]
    said = 0.02 * np.arange(len(found)) + 0.0125
    voiced = (said > 0.32) & (said < 1.28)
    np.testing.assert_allclose(found[voiced], said[voiced] + 0.01 * shift, atol=0.0051)


def test_rows_are_matched_by_time() -> None:
    """Padded MFCC row r is centred at 10 r - 107.5 ms, logit k at 20 k + 12.5 ms."""
    padded_rows = np.arange(200)
    alignment = Alignment(padded_rows + 3, padded_rows + 3.0)
    clock = np.repeat(np.arange(60, dtype=np.float32)[:, None], 29, 1)
    found = warped_logits(clock, alignment, 16_000)[:, 0]
    np.testing.assert_allclose(found[:40], np.arange(40) + 1.5)
    times = alignment.times(0.0125 + 0.02 * np.arange(40))
    np.testing.assert_allclose(found[:40], (times - 0.0125) / 0.02, atol=1e-6)


def test_matches_outside_the_source_hold_its_ends() -> None:
    clock = np.repeat(np.arange(10, dtype=np.float32)[:, None], 29, 1)
    early = Alignment(np.zeros(120, np.int64), np.zeros(120))
    late = Alignment(np.full(120, 119), np.full(120, 119.0))
    assert warped_logits(clock, early, 9_000).max() == 0
    assert warped_logits(clock, late, 9_000).min() == 9
