"""Values from a configuration against the types that a constructor declares: its signature is the schema."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Mapping, Sequence
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin

from benchmark.errors import ConfigError

WORDS: Mapping[Any, str] = {
    bool: "true or false",
    int: "a whole number",
    float: "a number",
    str: "text",
    NoneType: "null",
}


def check_arguments(function: Callable[..., Any], given: Mapping[str, Any], path: str) -> None:
    """Refuse what the function's annotations do not allow; names it does not have are left to the call.

    Args:
        function: a function, or a class, whose constructor is meant.
        path: where `given` stands in the configuration.

    Raises:
        ConfigError: naming the key, what was expected and what came.
    """
    for name, hint in _hints(function).items():
        if name in given and not _fits(given[name], hint):
            raise ConfigError(f"{path}.{name}: expected {_words(hint)}, got {given[name]!r}")


def _hints(function: Callable[..., Any]) -> dict[str, Any]:
    """Type by parameter; without those that have none, or one that is known to type checkers only."""
    found = {}
    for name, parameter in inspect.signature(function).parameters.items():
        hint = parameter.annotation
        if isinstance(hint, str):
            home = vars(sys.modules[function.__module__])
            try:
                hint = eval(hint, dict(home))
            except (NameError, AttributeError):
                continue
        if hint is not inspect.Parameter.empty:
            found[name] = hint
    return found


def _fits(value: Any, hint: Any) -> bool:
    kind, parts = get_origin(hint) or hint, get_args(hint)
    if kind in (Union, UnionType):
        return any(_fits(value, part) for part in parts)
    if kind is Literal:
        return value in parts
    if hint in (None, NoneType):
        return value is None
    if kind is bool:
        return isinstance(value, bool)
    if kind in (int, float):
        return isinstance(value, int | float if kind is float else int) and not isinstance(value, bool)
    if kind is str:
        return isinstance(value, str)
    if inspect.isclass(kind) and kind is not Any:
        return _fits_class(value, kind, parts)
    return True


def _fits_class(value: Any, kind: type, parts: tuple[Any, ...]) -> bool:
    if issubclass(kind, Mapping):
        return isinstance(value, Mapping) and all(_fits(v, parts[-1]) for v in value.values() if parts)
    if issubclass(kind, Sequence):
        if not isinstance(value, list | tuple):
            return False
        if kind is tuple and Ellipsis not in parts:
            return len(value) == len(parts) and all(map(_fits, value, parts))
        return not parts or all(_fits(each, parts[0]) for each in value)
    # Anything else is built from a subtree, or is there already.
    return not isinstance(value, NoneType | bool | int | float | str | list)


def _words(hint: Any) -> str:
    kind, parts = get_origin(hint) or hint, get_args(hint)
    if kind in (Union, UnionType):
        return " or ".join(_words(part) for part in parts)
    if kind is Literal:
        return ", ".join(map(repr, parts))
    if hint in WORDS or hint is None:
        return WORDS[hint or NoneType]
    if kind is tuple and Ellipsis not in parts:
        return f"a list of {len(parts)} values"
    if inspect.isclass(kind) and issubclass(kind, Mapping):
        return "a mapping"
    if inspect.isclass(kind) and issubclass(kind, Sequence):
        return f"a list, each of it {_words(parts[0])}" if parts else "a list"
    return f"a mapping with a _target_ that makes a {getattr(kind, '__name__', kind)}"
