"""Weights of others: only the published file is read, and only tensors are ever built from it."""

from __future__ import annotations

import hashlib
import os
import pickle
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from benchmark.metrics import extractors
from models.errors import InputError
from models.preprocess import face_alignment
from models.weights import published_tensors


class Mark:
    """A pickle that makes a folder when it is loaded."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Callable[..., None], tuple[str]]:
        return os.mkdir, (str(self.path),)


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def hostile(path: Path, mark: Path) -> Path:
    torch.save({"weight": torch.zeros(2), "more": Mark(mark)}, path)
    return path


def test_a_file_with_one_flipped_bit_is_refused_before_it_is_read(tmp_path: Path) -> None:
    path = tmp_path / "a.pth"
    torch.save({"weight": torch.zeros(2)}, path)
    digest = sha256(path)
    assert list(published_tensors(path, digest)) == ["weight"]
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    with pytest.raises(InputError, match=f"expected SHA-256 {digest}, got {sha256(path)}"):
        published_tensors(path, digest)
    with pytest.raises(InputError, match="cannot be read"):
        published_tensors(tmp_path / "absent.pth", digest)


def test_a_file_of_the_right_digest_still_builds_nothing_but_tensors(tmp_path: Path) -> None:
    mark = tmp_path / "mark"
    path = hostile(tmp_path / "a.pth", mark)
    torch.load(path, weights_only=False)  # the pickle does what it should
    mark.rmdir()
    files = [
        path,
        tmp_path / "plain.pkl",
        tmp_path / "legacy.pth",
        tmp_path / "zip.pth",
        tmp_path / "list.pth",
    ]
    files[1].write_bytes(pickle.dumps(Mark(mark)))
    torch.save({"more": Mark(mark)}, files[2], _use_new_zipfile_serialization=False)
    with zipfile.ZipFile(files[3], "w") as archive:
        archive.writestr("data.pkl", pickle.dumps(Mark(mark)))
    torch.save([torch.zeros(2)], files[4])
    for file in files:
        with pytest.raises(InputError, match="does not hold"):
            published_tensors(file, sha256(file))
        assert not mark.exists()


def test_libraries_that_unpickle_anything_are_given_our_own_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mark = tmp_path / "mark"
    path = hostile(tmp_path / extractors.INCEPTION_FILE, mark)
    monkeypatch.setattr(extractors, "INCEPTION_DIGEST", sha256(path))
    with pytest.raises(InputError, match="does not hold tensors alone"):
        extractors.extractor("inception", inception_weights=path)

    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    folder = tmp_path / "torch" / "hub" / "checkpoints"
    folder.mkdir(parents=True)
    torch.save({"weight": torch.zeros(2)}, folder / face_alignment.WEIGHTS[0])
    hostile(folder / face_alignment.WEIGHTS[1], mark)
    with pytest.raises(InputError, match="is not the file that was published"):
        _ = face_alignment.FaceAlignment()._network
    digests = tuple(sha256(folder / name) for name in face_alignment.WEIGHTS)
    monkeypatch.setattr(face_alignment, "DIGESTS", digests)
    with pytest.raises(InputError, match="does not hold tensors alone"):
        _ = face_alignment.FaceAlignment()._network
    assert not mark.exists()


def test_digests_begin_as_the_names_say() -> None:
    assert extractors.INCEPTION_DIGEST[:8] in extractors.INCEPTION_FILE
    for name, digest in zip(face_alignment.WEIGHTS, face_alignment.DIGESTS, strict=True):
        assert digest[:10] in name
        assert len(digest) == 64
