"""The sync judge on mouths that open with the sound: known shifts, strangers, degenerate input, storage."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from benchmark.metrics.judge_file import JudgeError
from benchmark.metrics.sync import (
    LIMIT,
    LIMIT_MS,
    Agreement,
    SyncJudge,
    confidence_score,
    correlations,
    log_mel,
    mouth_motion,
    offset_score,
    shifted,
)
from benchmark.metrics.sync_training import train_sync_judge
from models.audio.framing import SAMPLE_RATE, SAMPLES_PER_FRAME
from models.sealed import write_sealed
from models.types import Clip
from tests.unit.benchmark.metrics.test_emotion_judge import shape

LOWER_LIP = [55, 56, 57, 58, 59, 65, 66, 67]
FRAMES = 70
STEPS = 60


def openings(rng: np.random.Generator, frames: int) -> np.ndarray:
    """(samples,) of how far the mouth is open, in [0, 1]: syllables of random length and force."""
    knots, level = [0.0], [0.0]
    while knots[-1] < frames * SAMPLES_PER_FRAME:
        knots.append(knots[-1] + rng.uniform(0.06, 0.16) * SAMPLE_RATE)
        level.append(0.0 if len(level) % 2 else rng.uniform(0.4, 1.0))
    return np.interp(np.arange(frames * SAMPLES_PER_FRAME), knots, level)


def perform(seed: int, frames: int = FRAMES) -> tuple[np.ndarray, np.ndarray]:
    """(frames, 68, 2) landmarks of someone nodding; (samples,) sound that is loud where the mouth is open."""
    rng = np.random.default_rng(seed)
    opening = openings(rng, frames)
    middles = np.arange(frames) * SAMPLES_PER_FRAME + SAMPLES_PER_FRAME // 2
    points = np.repeat(shape(seed % 5)[None], frames, 0)
    points[:, LOWER_LIP, 1] += 14 * opening[middles, None]
    points += rng.normal(0, 0.2, points.shape) + 3 * np.sin(np.arange(frames) / 9)[:, None, None]
    voice = rng.normal(0, 0.2, len(opening)) * (0.02 + opening)
    return points.astype(np.float32), voice.astype(np.float32)


def store(root: Path, seed: int, landmarks: np.ndarray | None = None) -> Clip:
    points, voice = perform(seed)
    (root / str(seed)).mkdir(exist_ok=True)
    write_sealed(root / str(seed) / "landmarks.npy", points if landmarks is None else landmarks)
    write_sealed(root / str(seed) / "waveform.npy", voice)
    return Clip(str(seed), f"s{seed % 5}", f"sentence {seed}", None, 1, root / str(seed))


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> list[Clip]:
    root = tmp_path_factory.mktemp("clips")
    return [store(root, seed) for seed in range(16) if seed % 5 != 4]


@pytest.fixture(scope="module")
def judge(clips: list[Clip]) -> SyncJudge:
    return train_sync_judge(clips, steps=STEPS)


@pytest.mark.parametrize("shift", [-200, -120, -50, 0, 30, 100, 180])
def test_a_known_shift_of_a_stranger_is_found(judge: SyncJudge, shift: int) -> None:
    errors = []
    for seed in (104, 109, 114):
        points, voice = perform(seed)
        found = judge.agreement(points, shifted(voice, shift)).offset_ms
        assert found is not None
        errors.append(abs(found - shift))
    assert max(errors) <= 20


def test_the_mouth_that_belongs_to_the_sound_is_surer_than_another(judge: SyncJudge) -> None:
    own = [judge.agreement(*perform(seed)).confidence for seed in (104, 109, 114)]
    other = [judge.agreement(perform(seed)[0], perform(seed + 1)[1]).confidence for seed in (104, 109, 114)]
    assert min(own) > max(other)


def test_loudness_head_motion_and_the_face_are_no_evidence(judge: SyncJudge) -> None:
    points, voice = perform(104)
    expected = judge.agreement(points, voice).curve
    turn = np.array([[np.cos(0.3), -np.sin(0.3)], [np.sin(0.3), np.cos(0.3)]])
    wide = points.astype(np.float64)
    wide[:, 48:] += (0, 6)
    np.testing.assert_allclose(judge.agreement(points, 0.1 * voice).curve, expected, atol=1e-4)
    np.testing.assert_allclose(judge.agreement(1.2 * points @ turn + 9, voice).curve, expected, atol=1e-4)
    np.testing.assert_allclose(judge.agreement(wide, voice).curve, expected, atol=1e-3)


def test_training_repeats_bit_for_bit_and_storage_keeps_the_bits(clips: list[Clip], tmp_path: Path) -> None:
    for name in "ab":
        train_sync_judge(clips[:4], steps=5).save(tmp_path / name / "sync.safetensors")
    first, second = ((tmp_path / name / "sync.safetensors").read_bytes() for name in "ab")
    assert first == second
    stored = SyncJudge.load(tmp_path / "a" / "sync.safetensors")
    points, voice = perform(104)
    once, again = stored.agreement(points, voice), stored.agreement(points, voice)
    assert once.curve.tobytes() == again.curve.tobytes()


def test_files_that_are_no_judge_are_refused(tmp_path: Path) -> None:
    with pytest.raises(JudgeError, match="no sync judge at"):
        SyncJudge.load(tmp_path / "none")
    (tmp_path / "text").write_text("text")
    with pytest.raises(JudgeError, match="no readable sync judge"):
        SyncJudge.load(tmp_path / "text")


def test_the_curve_of_plain_signals_is_their_cross_correlation() -> None:
    rng = np.random.default_rng(0)
    sound = rng.normal(size=(4 * 49 + 2 * LIMIT + 1, 1))
    mouth = sound[LIMIT + 7 :: 4][:50]
    curve = correlations(mouth, sound, np.ones(50, bool))
    at = [
        np.corrcoef(mouth[:, 0], sound[k : k + 4 * 49 + 1 : 4, 0])[0, 1] * sound[k : k + 4 * 49 + 1 : 4].std()
        for k in range(2 * LIMIT + 1)
    ]
    spread = np.sqrt(np.mean([sound[k : k + 4 * 49 + 1 : 4].var() for k in range(2 * LIMIT + 1)]))
    np.testing.assert_allclose(curve, np.array(at) / spread, atol=1e-12)
    assert int(curve.argmax()) - LIMIT == 7
    assert Agreement(curve, 1.0).offset_ms == pytest.approx(70, abs=5)


def test_a_peak_between_steps_is_found() -> None:
    steps = np.arange(-LIMIT, LIMIT + 1)
    assert Agreement(0.5 - 0.01 * (steps - 3.3) ** 2, 1.0).offset_ms == pytest.approx(33)
    assert Agreement(0.5 - 0.01 * (steps - LIMIT) ** 2, 1.0).offset_ms == LIMIT_MS


def test_stillness_and_silence_agree_with_nothing(judge: SyncJudge) -> None:
    points, voice = perform(104)
    for quiet in (
        judge.agreement(np.repeat(points[:1], FRAMES, 0), voice),
        judge.agreement(points, np.zeros_like(voice)),
    ):
        assert quiet.offset_ms is None
        assert quiet.confidence == 0
        assert offset_score(quiet).value == LIMIT_MS
        assert confidence_score(quiet).value == 0


def test_missing_faces_lower_the_coverage_and_are_bounded(judge: SyncJudge) -> None:
    points, voice = perform(104)
    holes = points.copy()
    holes[10:20] = np.nan
    found = judge.agreement(holes, shifted(voice, 40))
    assert found.coverage == 60 / 70
    assert found.offset_ms == pytest.approx(40, abs=20)
    scored = offset_score(found)
    assert (scored.least, scored.most) == (0, LIMIT_MS)
    assert scored.coverage == 60 / 70
    assert offset_score(None).value is None
    assert confidence_score(None).coverage == 0


def test_what_cannot_be_judged_names_the_clip(judge: SyncJudge) -> None:
    points, voice = perform(104)
    with pytest.raises(JudgeError, match="clip c: the sync judge needs a face in 11 consecutive frames"):
        judge.agreement(points[:10], voice, clip="c")
    with pytest.raises(JudgeError, match="got 70 frames of which 0 have a face"):
        judge.agreement(np.full_like(points, np.nan), voice)
    with pytest.raises(ValueError, match="clip c: expected a finite mono waveform"):
        judge.agreement(points, np.stack([voice, voice]), clip="c")
    with pytest.raises(ValueError, match="clip c: expected a finite mono waveform"):
        judge.agreement(points, np.full_like(voice, np.nan), clip="c")
    assert judge.agreement(points[:11], voice).curve.shape == (2 * LIMIT + 1,)


def test_a_recording_shorter_than_the_face_ends_in_silence(judge: SyncJudge) -> None:
    points, voice = perform(104)
    found = judge.agreement(points, voice[:-1600]).offset_ms
    assert found == pytest.approx(0, abs=20)


def test_unusable_training_clips_are_refused(tmp_path: Path) -> None:
    still = np.repeat(perform(0)[0][:1], FRAMES, 0)
    gone = np.full_like(still, np.nan)
    with pytest.raises(JudgeError, match="got 2 training clips, none with sound and a moving mouth"):
        train_sync_judge([store(tmp_path, 0, still), store(tmp_path, 1, gone)], steps=1)


def test_the_longest_run_with_a_face_is_trained_on(tmp_path: Path) -> None:
    points = perform(0)[0]
    points[30] = np.nan
    assert train_sync_judge([store(tmp_path, 0, points)], steps=2).fewest_frames == 11


def test_what_the_judge_sees_has_no_mean() -> None:
    points, voice = perform(3)
    positions, found = mouth_motion(points)
    assert positions.shape == (FRAMES, 40)
    assert found.all()
    np.testing.assert_allclose(positions.mean(0), 0, atol=1e-9)
    spectrum = log_mel(voice)
    assert spectrum.shape == (FRAMES * 4 + 1, 26)
    np.testing.assert_allclose(spectrum.mean(0), 0, atol=1e-9)


def test_a_shift_keeps_the_length() -> None:
    wave = np.arange(1, 33, dtype=np.float32)
    np.testing.assert_array_equal(shifted(wave, 1), np.r_[np.zeros(16), wave[:16]])
    np.testing.assert_array_equal(shifted(wave, -1), np.r_[wave[16:], np.zeros(16)])
    np.testing.assert_array_equal(shifted(wave, 0), wave)
    np.testing.assert_array_equal(shifted(wave, 100), np.zeros(32))
