"""What stages leave behind: a full disk is the disk's fault, not the stage's."""

from __future__ import annotations

import errno
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from torch import nn

from models.artefacts import load_arrays, save_arrays, save_module

FULL = Path("/dev/full")


@pytest.mark.skipif(not FULL.exists(), reason="no /dev/full to stand in for a full disk")
@pytest.mark.parametrize(
    "save", [lambda: save_arrays(FULL, {"a": np.zeros(3)}), lambda: save_module(FULL, nn.Linear(2, 3))]
)
def test_a_full_disk_is_an_os_error(save: Callable[[], None]) -> None:
    with pytest.raises(OSError, match="No space left") as caught:
        save()
    assert caught.value.errno == errno.ENOSPC


def test_arrays_come_back(tmp_path: Path) -> None:
    arrays = {"b": np.arange(6.0).reshape(2, 3), "a": np.zeros((0, 4), np.float32)}
    save_arrays(tmp_path / "x.safetensors", arrays)
    found = load_arrays(tmp_path / "x.safetensors")
    assert set(found) == set(arrays)
    for name, array in arrays.items():
        np.testing.assert_array_equal(found[name], array)
