"""The method as `scale=paper` composes it: what the YAML says is what the tests of paper sizes look at."""

from __future__ import annotations

from functools import cache
from typing import Any

from benchmark.config import instantiate, parse
from models.evp import EVP


@cache
def method(*overrides: str) -> EVP:
    """EVP under `scale=paper` and further overrides, for MEAD: eight emotions, with video."""
    config = parse(["scale=paper", *overrides]).method("evp", (), {"emotions": True, "frames": True})
    built = instantiate(config.config, "method", EVP)
    assert isinstance(built, EVP)
    return built


def stage(name: str) -> Any:
    return method().stages()[name]
