"""Values against declared types."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import pytest

from benchmark.errors import ConfigError
from models.arguments import check_arguments


class Part:
    def __init__(
        self,
        *,
        whole: int = 1,
        number: float = 0.0,
        flag: bool = False,
        text: str | None = None,
        kind: Literal["a", "b"] = "a",
        widths: Sequence[int] = (),
        size: tuple[int, int] = (1, 1),
        weights: Mapping[str, float] | None = None,
        part: Path | None = None,
        anything: Any = None,
        untyped=None,
        unknown: Nowhere = None,  # pyright: ignore
    ) -> None:
        pass


@pytest.mark.parametrize(
    "given",
    [
        {"whole": 3, "number": 2, "flag": True, "text": None, "kind": "b"},
        {"number": 0.5, "widths": [1, 2], "size": [3, 4], "weights": {"x": 1}},
        {"weights": None, "part": {"_target_": "x"}, "anything": [1], "untyped": "x", "unknown": 3},
    ],
)
def test_what_fits(given: dict[str, Any]) -> None:
    check_arguments(Part, given, "here")


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("whole", 1.0, "a whole number"),
        ("whole", True, "a whole number"),
        ("whole", None, "a whole number"),
        ("number", "1", "a number"),
        ("flag", 1, "true or false"),
        ("text", 3, "text or null"),
        ("kind", "c", "'a', 'b'"),
        ("widths", [1, 2.5], "a list, each of it a whole number"),
        ("widths", 1, "a list, each of it a whole number"),
        ("size", [1, 2, 3], "a list of 2 values"),
        ("weights", {"x": "much"}, "a mapping or null"),
        ("weights", [], "a mapping or null"),
        ("part", "./x", "a mapping with a _target_ that makes a Path or null"),
    ],
)
def test_what_does_not(name: str, value: Any, expected: str) -> None:
    with pytest.raises(ConfigError) as caught:
        check_arguments(Part, {name: value}, "here")
    assert str(caught.value) == f"here.{name}: expected {expected}, got {value!r}"


def test_unknown_and_missing_names() -> None:
    with pytest.raises(ConfigError, match=r"no configuration key 'here\.wholly'; did you mean whole\?"):
        check_arguments(Part, {"wholly": 1}, "here")

    def needs(root: str, *, corpus: object) -> None: ...

    with pytest.raises(ConfigError, match=r"here\.root: a value is needed, and there is none"):
        check_arguments(needs, {}, "here", supplied=("corpus",))
    with pytest.raises(ConfigError, match=r"no configuration key 'here\.corpus'"):
        check_arguments(needs, {"root": "x", "corpus": 1}, "here", supplied=("corpus",))
    with pytest.raises(ConfigError, match="expected a class that is given a corpus"):
        check_arguments(Part, {}, "here", supplied=("corpus",))
