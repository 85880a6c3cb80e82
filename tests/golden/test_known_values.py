"""Every known value comes out; `python -m tests.golden.report` prints what did."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from tests.golden.known_values import KNOWN, Known


@pytest.fixture(autouse=True, scope="module")
def one_thread() -> None:
    torch.set_num_threads(1)


@pytest.mark.parametrize("known", KNOWN, ids=lambda known: f"{known.group}: {known.name}")
def test_known_value(known: Known) -> None:
    np.testing.assert_allclose(known.got(), known.expected, rtol=known.relative, atol=known.absolute)
