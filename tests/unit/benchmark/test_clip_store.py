"""Prepared clips appear whole or not at all."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import pytest

from benchmark.data import clip_store
from benchmark.data.clip_store import holds, publish
from benchmark.errors import is_storage_fault
from models.errors import StorageError

ARRAYS = {
    "waveform": np.linspace(-1, 1, 1600, dtype=np.float32),
    "landmarks": np.arange(2 * 68 * 2, dtype=np.float32).reshape(2, 68, 2),
    "phones": np.array(["sil", "ʃ"]),
    "empty": np.zeros((0, 3), np.float64),
    "scalar": np.float64(3.5),
}


def names(folder: Path) -> list[str]:
    return sorted(p.name for p in folder.iterdir())


def test_arrays_come_back_bit_for_bit(tmp_path: Path) -> None:
    publish(tmp_path / "corpus" / "clip", {k: np.asarray(v) for k, v in ARRAYS.items()})
    for name, array in ARRAYS.items():
        stored = np.load(tmp_path / "corpus" / "clip" / f"{name}.npy", allow_pickle=False)
        np.testing.assert_array_equal(stored, array)
        assert stored.dtype == np.asarray(array).dtype
    assert names(tmp_path / "corpus") == ["clip"]


def test_non_contiguous_arrays(tmp_path: Path) -> None:
    array = np.arange(60000, dtype=np.float64).reshape(200, 300).T
    publish(tmp_path / "clip", {"a": array})
    np.testing.assert_array_equal(np.load(tmp_path / "clip" / "a.npy"), array)


def test_existing_arrays_stay_and_missing_ones_are_added(tmp_path: Path) -> None:
    publish(tmp_path / "clip", {"waveform": np.zeros(3)})
    before = (tmp_path / "clip" / "waveform.npy").stat().st_mtime_ns
    publish(tmp_path / "clip", {"waveform": np.zeros(3), "frames": np.ones((2, 4, 4, 3), np.uint8)})
    assert holds(tmp_path / "clip", "waveform", "frames")
    assert not holds(tmp_path / "clip", "waveform", "landmarks")
    assert (tmp_path / "clip" / "waveform.npy").stat().st_mtime_ns == before
    assert names(tmp_path) == ["clip"]


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT])
@pytest.mark.parametrize("call", [0, 1, 2])
def test_full_disk_publishes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int, call: int
) -> None:
    sync, calls = os.fsync, iter(range(100))

    def failing(descriptor: int) -> None:
        if next(calls) == call:
            raise OSError(code, os.strerror(code))
        sync(descriptor)

    monkeypatch.setattr(clip_store.os, "fsync", failing)
    with pytest.raises(StorageError, match=r"no space left while writing .*clip") as caught:
        publish(tmp_path / "clip", {"a": np.zeros(3), "b": np.zeros(3)})
    assert is_storage_fault(caught.value)
    assert names(tmp_path) == []
    monkeypatch.undo()
    publish(tmp_path / "clip", {"a": np.zeros(3), "b": np.zeros(3)})
    assert names(tmp_path) == ["clip"]


def test_really_full_disk(tmp_path: Path) -> None:
    code = (
        "import resource, signal, sys, numpy as np; from pathlib import Path\n"
        "from benchmark.data.clip_store import publish; from models.errors import StorageError\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))\n"
        "try: publish(Path(sys.argv[1]) / 'clip', {'frames': np.zeros(1_000_000, np.uint8)})\n"
        "except StorageError as error: print(error)\n"
    )
    command = [sys.executable, "-c", code, str(tmp_path)]
    run = subprocess.run(command, capture_output=True, text=True, check=True)
    assert "cannot write" in run.stdout
    assert "File too large" in run.stdout
    assert names(tmp_path) == []


def test_unwritable_place_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match=r"cannot write .*clip.*set cache"):
        publish(tmp_path / "file" / "clip", {"a": np.zeros(3)})


@pytest.mark.parametrize("name", ["", "../a", "a/b", ".hidden"])
def test_names_stay_inside_the_folder(tmp_path: Path, name: str) -> None:
    with pytest.raises(ValueError, match="not a plain file name"):
        publish(tmp_path / "clip", {name: np.zeros(3)})


def test_objects_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="Python objects"):
        publish(tmp_path / "clip", {"a": np.array([{}], dtype=object)})


def test_remains_of_a_killed_writer_are_removed(tmp_path: Path) -> None:
    code = (
        "import os, signal, sys, numpy as np; from pathlib import Path\n"
        "from benchmark.data import clip_store\n"
        "clip_store.sync = lambda path: os.kill(os.getpid(), signal.SIGKILL)\n"
        "clip_store.publish(Path(sys.argv[1]) / 'clip[1]', {'a': np.zeros(3)})\n"
    )
    subprocess.run([sys.executable, "-c", code, str(tmp_path)], check=False)
    assert len(names(tmp_path)) == 1
    assert not (tmp_path / "clip[1]").exists()
    publish(tmp_path / "clip[1]", {"a": np.zeros(3)})
    assert names(tmp_path) == ["clip[1]"]


def _publish_one(folder: str) -> None:
    publish(Path(folder), {"a": np.arange(1000.0), "b": np.arange(10)})


def test_two_processes_at_once(tmp_path: Path) -> None:
    folders = [str(tmp_path / f"clip{i // 4}") for i in range(40)]
    with ProcessPoolExecutor(4, mp_context=get_context("fork")) as pool:
        list(pool.map(_publish_one, folders))
    assert names(tmp_path) == sorted(f"clip{i}" for i in range(10))
    for i in range(10):
        assert names(tmp_path / f"clip{i}") == ["a.npy", "b.npy"]
