"""What kind of fault an exception is."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from benchmark.errors import is_out_of_memory

TOO_MUCH = 2**55
"""Bytes that no machine has."""


@pytest.mark.parametrize(
    "allocate",
    [
        lambda: torch.empty(TOO_MUCH, dtype=torch.uint8),
        lambda: np.empty(TOO_MUCH, np.uint8),
        lambda: bytes(TOO_MUCH),
    ],
    ids=["torch", "numpy", "python"],
)
def test_memory_that_is_refused_is_known_whoever_asked(allocate):
    with pytest.raises((MemoryError, RuntimeError)) as caught:
        allocate()
    assert is_out_of_memory(caught.value)


@pytest.mark.parametrize(
    "error", [ValueError("out of memory"), RuntimeError("shapes do not fit"), OSError(28, "full")]
)
def test_other_errors_are_no_lack_of_memory(error):
    assert not is_out_of_memory(error)
