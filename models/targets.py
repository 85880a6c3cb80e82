"""Build objects from configurations: only classes of declared kinds, found in registered packages.

A configuration names a class by `_target_`. What may stand where is declared twice: a module marks a base
class with `@configurable`, and a constructor annotates each parameter that is built from a subtree. A class
that is none of these kinds is never called, and a module outside `PACKAGES` is never imported.
"""

from __future__ import annotations

import importlib
import inspect
import math
import re
from collections.abc import Collection, Mapping, Sequence
from types import UnionType
from typing import Any, TypeVar, Union, get_args, get_origin

from models.arguments import argument_types, check_arguments, shown
from models.errors import ConfigError, printable

PACKAGES: tuple[str, ...] = ("models", "baselines", "benchmark")
"""Packages and top-level modules whose classes a configuration may name; a plugin adds its own."""
KINDS: list[type] = []
"""Base classes whose subclasses a configuration may name."""
TARGET = "_target_"
DEEPEST = 24
"""Nested subtrees below a key; no method of ours has more than four."""

_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]*(\.[A-Za-z][A-Za-z0-9_]*)+")
_LONGEST_NAME = 200
_Class = TypeVar("_Class", bound=type)


def configurable(kind: _Class) -> _Class:
    """Mark a base class: its subclasses may be named where a configuration holds one."""
    KINDS.append(kind)
    return kind


def class_named(
    name: Any, path: str, *, kinds: Sequence[type] | None = None, packages: Sequence[str] | None = None
) -> type:
    """Return the class that a `_target_` names.

    Args:
        path: where the name stands in the configuration.
        kinds: base classes of which it must inherit one, besides one that is marked `@configurable`.
        packages: where it may be defined; None takes `PACKAGES`.

    Raises:
        ConfigError: another package, no class, the class's name elsewhere, or a class of another kind.
    """
    allowed = PACKAGES if packages is None else packages
    _check_name(name, path, allowed)
    module_name, _, attribute = name.rpartition(".")
    try:
        module = importlib.import_module(module_name)
    except (Exception, SystemExit) as error:
        # Any error: a plugin's module may raise what it likes when it is imported.
        raise ConfigError(
            f"{path}: there is no {name} ({printable(str(error)) or type(error).__name__})"
        ) from error
    found = vars(module).get(attribute)
    if found is None:
        raise ConfigError(f"{path}: there is no {name} (module {module_name} has no {attribute})")
    if not inspect.isclass(found) or found.__module__.split(".")[0] not in allowed:
        raise ConfigError(f"{path}: {name!r} is refused: it is not a class of {', '.join(allowed)}")
    home = f"{found.__module__}.{found.__qualname__}"
    if home != name:
        raise ConfigError(f"{path}: {name!r} is refused: write {home}, where the class is defined")
    for expected in (KINDS, KINDS if kinds is None else kinds):
        # By the bases that are written down: a Protocol would take any class with the same attributes.
        if not any(kind in found.__mro__ for kind in expected):
            raise ConfigError(f"{path}: {name} is refused: it is not a {_listed(expected)}")
    if inspect.isabstract(found) or getattr(found, "_is_protocol", False):
        raise ConfigError(f"{path}: {name} is refused: it is a kind of classes; name one of them")
    return found


def _check_name(name: Any, path: str, packages: Sequence[str]) -> None:
    """Refuse a name before anything is imported."""
    if not isinstance(name, str) or len(name) > _LONGEST_NAME or not _NAME.fullmatch(name):
        raise ConfigError(f"{path}: {shown(name)} is refused: expected package.module.Class")
    if name.split(".")[0] not in packages:
        raise ConfigError(f"{path}: {name!r} is refused: only classes of {', '.join(packages)} may be named")


def check_tree(
    tree: Any,
    path: str,
    *,
    kinds: Sequence[type] | None = None,
    packages: Sequence[str] | None = None,
    supplied: Collection[str] = (),
) -> None:
    """Check a subtree with a `_target_`, and all subtrees below it, before anything is built.

    Args:
        supplied: names of arguments that come from elsewhere.

    Raises:
        ConfigError: naming the key: a refused class, or arguments that its constructor does not take.
    """
    _check(tree, path, kinds, packages, supplied, depth=0)


def _check(
    tree: Any,
    path: str,
    kinds: Sequence[type] | None,
    packages: Sequence[str] | None,
    supplied: Collection[str],
    depth: int,
) -> None:
    if depth > DEEPEST:
        raise ConfigError(f"{shown(path)}: expected at most {DEEPEST} mappings in each other")
    if not isinstance(tree, Mapping) or TARGET not in tree:
        raise ConfigError(f"{path}: expected a mapping with a _target_, got {shown(tree)}")
    found = class_named(tree[TARGET], f"{path}.{TARGET}", kinds=kinds, packages=packages)
    arguments = {key: value for key, value in tree.items() if key != TARGET}
    _check_keys(arguments, path)
    check_arguments(found, arguments, path, supplied=supplied)
    types = argument_types(found)
    for key, value in arguments.items():
        _check_value(value, f"{path}.{key}", types.get(key, Any), packages, depth + 1)


def _check_value(value: Any, path: str, hint: Any, packages: Sequence[str] | None, depth: int) -> None:
    """Check what is below a value: classes of the hint's kinds, and none where it has none."""
    if depth > DEEPEST:
        raise ConfigError(f"{shown(path)}: expected at most {DEEPEST} values in each other")
    if isinstance(value, Mapping) and TARGET in value:
        _check(value, path, _kinds_of(hint), packages, (), depth)
    elif isinstance(value, Mapping):
        _check_keys(value, path)
        for key, each in value.items():
            _check_value(each, f"{path}.{key}", _inner(hint), packages, depth + 1)
    elif isinstance(value, list | tuple):
        for index, each in enumerate(value):
            _check_value(each, f"{path}[{index}]", _inner(hint), packages, depth + 1)
    elif isinstance(value, float) and not math.isfinite(value):
        raise ConfigError(f"{path}: expected a finite number, got {value}")


def _check_keys(tree: Mapping[Any, Any], path: str) -> None:
    """Refuse keys that Hydra would read as commands, and keys that are no names."""
    for key in tree:
        if not isinstance(key, str) or key.startswith("_"):
            raise ConfigError(f"{path}.{key}: is refused: {TARGET} is the only key with a leading underscore")


def _parts(hint: Any) -> tuple[Any, ...]:
    """Return the members of a union, or the type itself."""
    return get_args(hint) if get_origin(hint) in (Union, UnionType) else (hint,)


def _kinds_of(hint: Any) -> Sequence[type] | None:
    """Return the classes that a parameter may be built from; None where it does not say."""
    if hint is Any:
        return None
    plain = (bool, int, float, str, bytes, type(None))
    return [p for p in _parts(hint) if inspect.isclass(p) and get_origin(p) is None and p not in plain]


def _inner(hint: Any) -> Any:
    """Return the type of a mapping's values or a list's members."""
    for part in _parts(hint):
        if get_origin(part) is not None and get_args(part):
            members = [p for p in get_args(part) if p is not Ellipsis]
            return members[-1]
    return Any


def build(
    tree: Mapping[str, Any],
    path: str,
    *,
    kinds: Sequence[type] | None = None,
    packages: Sequence[str] | None = None,
    **supplied: Any,
) -> Any:
    """Build the object that a resolved subtree describes, after checking all of it.

    Args:
        supplied: arguments of the outermost class that come from elsewhere.

    Raises:
        ConfigError: a refused class, arguments that its constructor does not take or refuses.
    """
    check_tree(tree, path, kinds=kinds, packages=packages, supplied=tuple(supplied))
    return _built(tree, path, packages, supplied)


def _built(value: Any, path: str, packages: Sequence[str] | None, supplied: Mapping[str, Any]) -> Any:
    if isinstance(value, list | tuple):
        return [_built(each, f"{path}[{index}]", packages, {}) for index, each in enumerate(value)]
    if not isinstance(value, Mapping):
        return value
    parts = {key: _built(each, f"{path}.{key}", packages, {}) for key, each in value.items() if key != TARGET}
    if TARGET not in value:
        return parts
    found = class_named(value[TARGET], f"{path}.{TARGET}", packages=packages)
    try:
        return found(**parts, **supplied)
    except (TypeError, ValueError, ArithmeticError, LookupError) as error:
        raise ConfigError(
            f"{path} ({value[TARGET]}): {printable(str(error)) or type(error).__name__}"
        ) from error


def _listed(kinds: Sequence[type]) -> str:
    return " or ".join(kind.__name__ for kind in kinds) or "class that may be named here"
