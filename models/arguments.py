"""Check values from a configuration against a constructor's signature, which is their schema."""

from __future__ import annotations

import difflib
import inspect
import sys
from collections.abc import Callable, Collection, Mapping, Sequence
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin

from models.errors import ConfigError

WORDS: Mapping[Any, str] = {
    bool: "true or false",
    int: "a whole number",
    float: "a number",
    str: "text",
    NoneType: "null",
}
SHOWN = 80
"""Characters of a refused value that a message repeats."""


def check_arguments(
    function: Callable[..., Any], given: Mapping[str, Any], path: str, *, supplied: Collection[str] = ()
) -> None:
    """Refuse values that the function's annotations do not allow, unknown names and missing ones.

    Args:
        function: a function, or a class, whose constructor is meant.
        path: where `given` stands in the configuration.
        supplied: names of arguments that come from elsewhere: neither missing nor allowed in `given`.

    Raises:
        ConfigError: naming the key, what was expected and what came.
    """
    parameters = inspect.signature(function).parameters
    _check_names(parameters, given, path, set(supplied))
    for name, hint in argument_types(function).items():
        if name in given and not _fits(given[name], hint):
            raise ConfigError(f"{path}.{name}: expected {_words(hint)}, got {shown(given[name])}")


def _check_names(
    parameters: Mapping[str, inspect.Parameter], given: Mapping[str, Any], path: str, supplied: set[str]
) -> None:
    variable = (inspect.Parameter.VAR_KEYWORD, inspect.Parameter.VAR_POSITIONAL)
    named = {name: each for name, each in parameters.items() if each.kind not in variable}
    takes_any = any(each.kind == inspect.Parameter.VAR_KEYWORD for each in parameters.values())
    for name in given:
        if name in supplied or (name not in named and not takes_any):
            near = difflib.get_close_matches(name, [n for n in named if n not in supplied], n=1)
            hint = f"; did you mean {near[0]}?" if near else ""
            raise ConfigError(f"no configuration key {shown(f'{path}.{name}')}{hint}")
    for name in supplied:
        if name not in named and not takes_any:
            raise ConfigError(f"{path}: expected a class that is given a {name}, and this takes none")
    for name, parameter in named.items():
        if parameter.default is inspect.Parameter.empty and name not in given and name not in supplied:
            raise ConfigError(f"{path}.{name}: a value is needed, and there is none")


def argument_types(function: Callable[..., Any]) -> dict[str, Any]:
    """Return the type of each parameter that has one, except types known to type checkers only."""
    types = {}
    for name, parameter in inspect.signature(function).parameters.items():
        hint = parameter.annotation
        if isinstance(hint, str):
            home = vars(sys.modules[function.__module__])
            try:
                hint = eval(hint, dict(home))
            except (NameError, AttributeError):
                continue
        if hint is not inspect.Parameter.empty:
            types[name] = hint
    return types


def shown(value: Any) -> str:
    """Return a value as a message repeats it: on one line, and shortened."""
    text = repr(value)
    return text if len(text) <= SHOWN else f"{text[: SHOWN - 3]}..."


def _fits(value: Any, hint: Any) -> bool:
    kind, parts = get_origin(hint) or hint, get_args(hint)
    if kind in (Union, UnionType):
        return any(_fits(value, part) for part in parts)
    if kind is Literal:
        # Not `in`: 1 equals True, and a list has no hash.
        return any(type(value) is type(part) and value == part for part in parts)
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
    if isinstance(value, Mapping):
        return "_target_" in value
    # Anything else is there already.
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
