"""Sound from another recorder, through the folder corpus: it starts where the table says."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile

from benchmark.data.corpus import CorpusError
from benchmark.data.folder import Folder
from models.audio.framing import SAMPLE_RATE
from models.preprocess.faces import Given
from tests.unit.benchmark.score.videos import landmarks, pictures, write

FRAMES = 50
"""Two seconds."""


def recorded(root: Path, seconds: float, start: str) -> tuple[Folder, np.ndarray]:
    """The corpus of a silent video and sound of a length that is said to begin at `start`; and that sound."""
    root.mkdir()
    write(root / "camera.mp4", pictures(FRAMES))
    np.save(root / "camera.npy", landmarks(FRAMES))
    sound = np.random.default_rng(0).uniform(-0.5, 0.5, round(seconds * SAMPLE_RATE)).astype(np.float32)
    soundfile.write(root / "recorder.wav", sound, SAMPLE_RATE, subtype="FLOAT")
    (root / "clips.csv").write_text(f"file,sound,sound_start\ncamera.mp4,recorder.wav,{start}\n")
    corpus = Folder(root=str(root), cache=f"{root}-cache", detector=Given(), table="clips.csv", frame_size=32)
    return corpus, sound


@pytest.mark.parametrize(
    ("seconds", "start", "silent"), [(6, -3, 0), (9, 0, 0), (4, 0.5, 0.5), (4.6, -3, 0), (2, 1, 1)]
)
def test_a_recorder_may_run_longer_than_the_camera(
    tmp_path: Path, seconds: float, start: float, silent: float
) -> None:
    corpus, sound = recorded(tmp_path / "data", seconds, str(start))
    assert corpus.inspect().unusable == {}
    (clip,) = corpus.clips()
    corpus.prepare(clip)
    expected = np.zeros(2 * SAMPLE_RATE, np.float32)
    heard = sound[max(0, round(-start * SAMPLE_RATE)) :]
    first = round(silent * SAMPLE_RATE)
    heard = heard[: len(expected) - first]
    expected[first : first + len(heard)] = heard
    np.testing.assert_array_equal(clip.waveform, expected)
    assert len(clip.landmarks) == FRAMES


@pytest.mark.parametrize(
    ("seconds", "start", "reason"),
    [
        (4, "-3", "sound from 0.00 s to 1.00 s, video from 0 to 2.00 s"),
        (4, "-5", "sound from 0.00 s to 0.00 s"),
        (4, "3", "silent"),
        (9, "", "do not belong together"),
    ],
)
def test_what_does_not_cover_the_video_is_refused(
    tmp_path: Path, seconds: float, start: str, reason: str
) -> None:
    corpus, _ = recorded(tmp_path / "data", seconds, start)
    (said,) = corpus.inspect().unusable.values()
    assert reason in said
    if reason != "silent":
        with pytest.raises(CorpusError, match=reason):
            corpus.prepare(corpus.clips()[0])
