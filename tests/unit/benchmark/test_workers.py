"""What a worker answers when a job cannot be done."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from benchmark.data.clip_store import publish
from benchmark.workers import Failed, Refused, refuse_clip
from models.errors import DamagedFile, StorageError

JOB = SimpleNamespace(key="net-a", name="net")
STUDY = SimpleNamespace(clip_in=lambda directory: directory.name)


def damage(tmp_path: Path) -> DamagedFile:
    publish(tmp_path / "clip", {"waveform": np.zeros(3)})
    path = tmp_path / "clip" / "waveform.npy"
    path.write_bytes(path.read_bytes()[:-1])
    return DamagedFile(path, "is cut off")


def test_a_damaged_clip_is_set_aside_and_named(tmp_path: Path) -> None:
    error = damage(tmp_path)
    assert refuse_clip(JOB, error, STUDY) == Refused(
        "net-a", "clip", "net cannot go on: clip/waveform.npy is cut off"
    )
    assert not error.path.exists()


def test_a_damaged_clip_that_cannot_be_moved_is_a_storage_fault(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*args: object) -> None:
        raise StorageError("the cache cannot be written: Read-only file system")

    monkeypatch.setattr("benchmark.data.clip_store.set_aside", refuse)
    event = refuse_clip(JOB, damage(tmp_path), STUDY)
    assert isinstance(event, Failed)
    assert event.storage
    assert "clip/waveform.npy is cut off, and the cache cannot be written" in event.reason
