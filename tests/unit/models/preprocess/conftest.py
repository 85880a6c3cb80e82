"""A decoder, whose child process serves the tests of one module."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from models.preprocess.decoder import Decoder


@pytest.fixture(scope="module")
def decoder() -> Iterator[Decoder]:
    decoder = Decoder()
    yield decoder
    decoder.close()
