"""Arrays with a digest: every corruption is noticed, and other readers are not disturbed."""

from __future__ import annotations

import os
import pickle
import random
from pathlib import Path

import numpy as np
import pytest

from benchmark.data.clip_store import holds, publish
from models.errors import DamagedFile
from models.sealed import check_readings, check_sealed, forget_readings, read_sealed, write_sealed
from models.types import Clip

ARRAYS = {
    "waveform": np.linspace(-1, 1, 640, dtype=np.float32),
    "landmarks": np.arange(68 * 2, dtype=np.float32).reshape(1, 68, 2),
}


def store(root: Path) -> list[Path]:
    for name in "ab":
        publish(root / "corpus" / name, {key: array + ord(name) for key, array in ARRAYS.items()})
    return sorted((root / "corpus").glob("[!.]*/*.npy"))


def corrupt(path: Path, files: list[Path], rng: random.Random) -> str:
    content = path.read_bytes()
    kind = rng.choice(["bit", "cut", "empty", "remove", "exchange", "append", "zero", "folder", "whole clip"])
    if kind == "bit":
        place = rng.randrange(len(content))
        path.write_bytes(
            content[:place] + bytes([content[place] ^ 1 << rng.randrange(8)]) + content[place + 1 :]
        )
    elif kind == "cut":
        path.write_bytes(content[: rng.randrange(1, len(content))])
    elif kind == "empty":
        path.write_bytes(b"")
    elif kind == "remove":
        path.unlink()
    elif kind == "exchange":
        path.write_bytes(rng.choice([f for f in files if f != path]).read_bytes())
    elif kind == "append":
        path.write_bytes(content + rng.randbytes(rng.randrange(1, 99)))
    elif kind == "zero":
        path.write_bytes(bytes(len(content)))
    elif kind == "folder":
        path.unlink()
        path.mkdir()
    else:
        other = next(f for f in files if f.parent != path.parent and f.name == path.name)
        path.write_bytes(other.read_bytes())
    return kind


def test_every_corruption_is_noticed_and_made_good(tmp_path: Path) -> None:
    files = store(tmp_path)
    whole = {path: path.read_bytes() for path in files}
    rng = random.Random(1)
    for _ in range(300):
        path = rng.choice(files)
        kind = corrupt(path, files, rng)
        with pytest.raises(DamagedFile):
            read_sealed(path)
        assert not holds(path.parent, *ARRAYS), kind
        store(tmp_path)
        assert {p: p.read_bytes() for p in files} == whole, kind


def test_a_change_that_leaves_size_and_time_is_noticed(tmp_path: Path) -> None:
    path = store(tmp_path)[0]
    read_sealed(path)
    state = path.stat()
    with path.open("r+b") as file:
        file.seek(200)
        file.write(b"x")
    os.utime(path, ns=(state.st_atime_ns, state.st_mtime_ns))
    with pytest.raises(DamagedFile, match="is not what was written"):
        read_sealed(path)


@pytest.mark.parametrize("array", [np.zeros((0, 3)), np.float64(2), np.array(["a", "ʃ"]), np.ones((3, 4)).T])
def test_numpy_reads_what_was_sealed(array: np.ndarray, tmp_path: Path) -> None:
    path = tmp_path / "a.npy"
    write_sealed(path, array)
    for read in (np.load(path), np.load(path, mmap_mode="r") if np.size(array) else array, read_sealed(path)):
        np.testing.assert_array_equal(read, array)


def test_work_on_a_file_that_changed_meanwhile_is_not_kept(tmp_path: Path) -> None:
    path = store(tmp_path)[0]
    forget_readings()
    read_sealed(path)
    check_readings()
    content = path.read_bytes()
    path.write_bytes(content[:-1] + b"?")
    with pytest.raises(DamagedFile, match="is not what was written"):
        check_readings()
    path.write_bytes(content)
    check_readings()
    path.unlink()
    with pytest.raises(DamagedFile, match="has vanished while it was read"):
        check_readings()
    store(tmp_path)
    with pytest.raises(DamagedFile, match="was replaced while it was read"):
        check_readings()
    forget_readings()
    check_readings()


def test_a_clip_reads_sealed_arrays_alone(tmp_path: Path) -> None:
    clip = Clip("a", "A", "s", None, 1, tmp_path)
    with pytest.raises(DamagedFile, match=r"waveform\.npy is missing"):
        clip.load("waveform")
    np.save(tmp_path / "waveform.npy", np.zeros(640, np.float32))
    with pytest.raises(DamagedFile, match="has no digest"):
        clip.load("waveform")


def test_a_moved_cache_stays_valid(tmp_path: Path) -> None:
    store(tmp_path / "one")
    (tmp_path / "one").rename(tmp_path / "two")
    for path in (tmp_path / "two").rglob("*.npy"):
        check_sealed(path)


def test_the_error_crosses_processes() -> None:
    error = pickle.loads(pickle.dumps(DamagedFile(Path("a/b.npy"), "is empty")))
    assert (error.path, error.reason) == (Path("a/b.npy"), "is empty")
