"""Aligners against human syllable times: EMO-DB, neutral to every emotion of the same speaker and sentence.

Counted are all syllable boundaries of pairs whose two transcripts have the same syllables.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest
import soundfile

from models.audio.aligners import Aligner, DTWAligner, EVPAligner, LinearAligner
from tests.conftest import SHARED_DATA

EMODB = SHARED_DATA / "emodb"
pytestmark = pytest.mark.skipif(not EMODB.is_dir(), reason=f"EMO-DB recordings are not at {EMODB}")


@dataclass(frozen=True)
class Recording:
    waveform: np.ndarray
    syllables: tuple[str, ...]
    times: np.ndarray


def read(name: str) -> Recording:
    lines = (EMODB / "silb" / f"{name}.silb").read_text("latin1").split("\n")
    fields = [line.split() for line in lines if line.strip()]
    waveform, _ = soundfile.read(EMODB / "wav" / f"{name}.wav", dtype="float32")
    syllables = tuple(row[1].lower() if len(row) > 1 else "" for row in fields)
    return Recording(waveform, syllables, np.array([float(row[0]) for row in fields]))


@pytest.fixture(scope="module")
def pairs() -> list[tuple[Recording, Recording]]:
    names = sorted(path.stem for path in (EMODB / "wav").glob("*.wav"))
    recordings = {name: read(name) for name in names}
    found = []
    for neutral in names:
        first = min((n for n in names if n[:5] == neutral[:5] and n[5] == "N"), default=None)
        if neutral != first:
            continue
        for name in names:
            same_words = recordings[name].syllables == recordings[neutral].syllables
            if name[:5] == neutral[:5] and name[5] != "N" and same_words:
                found.append((recordings[neutral], recordings[name]))
    return found


def errors_ms(aligner: Aligner, pairs: list[tuple[Recording, Recording]]) -> np.ndarray:
    errors = [
        np.abs(aligner.align(emotional.waveform, neutral.waveform).times(neutral.times) - emotional.times)
        for neutral, emotional in pairs
    ]
    return 1000 * np.concatenate(errors)


def test_mean_error(pairs) -> None:
    assert len(pairs) >= 80
    mean = {}
    for aligner in (DTWAligner(), EVPAligner(), LinearAligner()):
        errors = errors_ms(aligner, pairs)
        mean[type(aligner)] = errors.mean()
        print(f"{type(aligner).__name__}: mean {errors.mean():.1f} ms, median {np.median(errors):.1f} ms")
    assert mean[DTWAligner] <= 21
    assert mean[DTWAligner] < mean[EVPAligner] < mean[LinearAligner]
