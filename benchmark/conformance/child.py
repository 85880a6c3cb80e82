"""The process that runs the function under test. It stands alone: NumPy is all it imports.

It is started by path, with a connection's file descriptor, where to find the function, and its name. It sends
("ready", "") or ("refused", why), then answers every (predicted, target) with a dict (see `runner.Answer`).
"""

from __future__ import annotations

import importlib
import importlib.util
import sys
import time
import traceback
import warnings
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np


def load(place: str, name: str) -> Callable[..., Any]:
    """The function `name` of a file, or of an importable module.

    Raises:
        Exception: whatever its module raises when it is imported.
    """
    sys.path.insert(0, str(Path.cwd()))
    if place.endswith(".py"):
        path = Path(place).resolve()
        sys.path.insert(0, str(path.parent))
        spec = importlib.util.spec_from_file_location(path.stem, path)
        if spec is None or spec.loader is None:
            raise LookupError(f"{path} is no Python file")
        module = importlib.util.module_from_spec(spec)
        sys.modules[path.stem] = module
        spec.loader.exec_module(module)
    else:
        module = importlib.import_module(place)
    found: Any = module
    for part in name.split("."):
        if not hasattr(found, part):
            raise LookupError(f"it has no {name}")
        found = getattr(found, part)
    if not callable(found):
        raise LookupError(f"{name} is a {type(found).__name__}, not a function")
    return found


def answer(function: Callable[..., Any], predicted: np.ndarray, target: np.ndarray) -> dict[str, Any]:
    """What one call gives, and what it does besides."""
    given = predicted.copy(order="K"), target.copy(order="K")
    started = time.perf_counter()
    found: dict[str, Any]
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            found = _number(function(*given))
    except BaseException as error:
        found = {"kind": "error", "text": f"{type(error).__name__}: {error}", "where": _where(error)}
    found["seconds"] = time.perf_counter() - started
    found["mutated"] = tuple(
        name
        for name, before, after in zip(("predicted", "target"), (predicted, target), given, strict=True)
        if before.shape != after.shape or before.tobytes() != after.tobytes()
    )
    return found


def _where(error: BaseException) -> str:
    frames = traceback.extract_tb(error.__traceback__)
    return f"{Path(frames[-1].filename).name}, line {frames[-1].lineno}" if frames else ""


def _number(result: Any) -> dict[str, Any]:
    """The value of a number, of a (value, coverage), or of an object with these two."""
    value, coverage = result, None
    if hasattr(result, "value") and hasattr(result, "coverage"):
        value, coverage = result.value, result.coverage
    elif isinstance(result, tuple) and len(result) == 2:
        value, coverage = result
    found: dict[str, Any] = {"kind": "value", "returned": type(value).__name__}
    found["coverage"] = None if coverage is None else float(coverage)
    found["number"] = isinstance(value, float | int | np.floating | np.integer)
    if value is None:
        return {**found, "kind": "none"}
    if isinstance(value, bool | str | bytes | complex | np.complexfloating):
        return {**found, "kind": "unusable"}
    try:
        return {**found, "value": float(value)}
    except (TypeError, ValueError, RuntimeError):
        return {**found, "kind": "unusable"}


def main(descriptor: int, place: str, name: str) -> None:
    connection = Connection(descriptor)
    sys.path.pop(0)
    try:
        function = load(place, name)
    except BaseException as error:
        where = "" if isinstance(error, LookupError) else f" ({_where(error)})"
        text = str(error) if isinstance(error, LookupError) else f"{type(error).__name__}: {error}"
        connection.send(("refused", " ".join(text.split()) + where))
        return
    connection.send(("ready", ""))
    while True:
        try:
            predicted, target = connection.recv()
        except EOFError:
            return
        found = answer(function, predicted, target)
        sys.stdout.flush()
        connection.send(found)


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2], sys.argv[3])
