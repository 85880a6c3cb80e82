"""Rows 42 and 43: what the statistics find in made-up studies, and what the tests notice of a changed
formula."""

from __future__ import annotations

import ast
import contextlib
import io
import os
import random
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from reports.stats import sign_flip, two_way_interval
from tests.faults import toys
from tests.faults.tally import Tally

ALPHA = 0.05
STATED_POWER = 0.8
SEEDS, SENTENCES = 3, 13
BETWEEN_SEEDS, BETWEEN_SENTENCES, RESIDUAL = 0.05, 0.2, 0.3
PLANTED = 0.5
"""An effect that a t test of 13 sentences with these deviations finds in more than 80 of 100 studies."""


def planted_effects(count: int, folder: Path) -> Tally:
    """Simulate studies of an ablation that does nothing and of one with a planted effect."""
    tally = Tally()
    rng = np.random.default_rng(42)
    names = [str(k) for k in range(SENTENCES)]
    alarms = found = 0
    for _ in range(count):
        null, planted = _differences(rng, 0.0), _differences(rng, PLANTED)
        alarms += _excludes_zero(null, names)
        found += _excludes_zero(planted, names)
        p = sign_flip(null, names, rng)[0]
        tally.add(bool(0 < p <= 1), f"a p value of {p}")
    allowed = ALPHA + 2 * np.sqrt(ALPHA * (1 - ALPHA) / count)
    tally.notes.append(
        f"false alarms {alarms} of {count} ({alarms / count:.1%}, at most {allowed:.1%} allowed); "
        f"planted effect found {found} of {count} ({found / count:.1%})"
    )
    if alarms / count > allowed:
        tally.others["more false alarms than 5 % and two standard errors"] += alarms
        tally.expected = count - alarms
    if found / count < STATED_POWER:
        tally.others["the planted effect was missed more often than stated"] += count - found
        tally.expected = found
    return tally


def _differences(rng: np.random.Generator, effect: float) -> np.ndarray:
    """(seeds, sentences) paired differences of two methods."""
    return (
        effect
        + BETWEEN_SEEDS * rng.normal(size=(SEEDS, 1))
        + BETWEEN_SENTENCES * rng.normal(size=(1, SENTENCES))
        + RESIDUAL * rng.normal(size=(SEEDS, SENTENCES))
    )


def _excludes_zero(differences: np.ndarray, names: list[str]) -> bool:
    interval = two_way_interval(differences, names)
    return not interval.low <= 0 <= interval.high


# Mutants

MUTATED: dict[str, tuple[str, ...]] = {
    "reports/stats.py": ("tests/properties/test_intervals.py", "tests/unit/reports/test_report.py"),
    "benchmark/metrics/landmarks.py": (
        "tests/unit/benchmark/metrics/test_landmark_metrics.py",
        "tests/unit/benchmark/metrics/test_landmark_variants.py",
    ),
    "benchmark/metrics/image.py": ("tests/unit/benchmark/metrics/test_image_metrics.py",),
    "benchmark/metrics/frechet.py": (
        "tests/unit/benchmark/metrics/test_frechet.py",
        "tests/unit/benchmark/metrics/test_extrapolation.py",
    ),
    "benchmark/metrics/calibration.py": ("tests/unit/benchmark/metrics/test_calibration.py",),
}
"""Module -> the tests that know it."""
SWAPS: dict[type, type] = {
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.Div,
    ast.Div: ast.Mult,
    ast.Lt: ast.LtE,
    ast.LtE: ast.Lt,
    ast.Gt: ast.GtE,
    ast.GtE: ast.Gt,
    ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq,
    ast.And: ast.Or,
    ast.Or: ast.And,
}
NEEDED = 0.9


def mutants(count: int, folder: Path) -> Tally:
    """Change one operator or number of a metric's or the statistics' code, and run the tests that know it."""
    tally = Tally()
    rng = random.Random("mutants")
    every = [(path, number) for path in MUTATED for number, _ in _mutants(toys.ROOT / path)]
    for path, number in rng.sample(every, min(count, len(every))):
        tree, line, what = next(m for n, m in _mutants(toys.ROOT / path) if n == number)
        killed = _tests_fail(folder, path, tree)
        tally.add(killed, f"{path}:{line} {what} was not noticed")
    share = tally.expected / max(1, tally.tried)
    tally.notes.append(
        f"a sample of {tally.tried} out of {len(every)} mutants; {100 * share:.0f} % were noticed "
        f"({100 * NEEDED:.0f} % are asked for; equivalent mutants count as missed)"
    )
    return tally


def _mutants(path: Path) -> Iterator[tuple[int, tuple[ast.Module, int, str]]]:
    """Each mutant of a module: its number, and its tree, the line and what was changed."""
    source = path.read_text(encoding="utf-8")
    places = [n for n in ast.walk(ast.parse(source)) if _mutable(n)]
    for number in range(len(places)):
        tree = ast.parse(source)
        node: Any = [n for n in ast.walk(tree) if _mutable(n)][number]
        yield number, (tree, getattr(node, "lineno", 0), _mutate(node))


def _mutable(node: Any) -> bool:
    if isinstance(node, (ast.BinOp, ast.BoolOp)):
        return type(node.op) in SWAPS
    if isinstance(node, ast.Compare):
        return len(node.ops) == 1 and type(node.ops[0]) in SWAPS
    return isinstance(node, ast.Constant) and type(node.value) in (int, float)


def _mutate(node: Any) -> str:
    if hasattr(node, "value") and not hasattr(node, "op"):
        before = node.value
        node.value = before + 1
        return f"{before} -> {node.value}"
    operators = node.ops if isinstance(node, ast.Compare) else [node.op]
    before = type(operators[0]).__name__
    after = SWAPS[type(operators[0])]()
    if isinstance(node, ast.Compare):
        node.ops = [after]
    else:
        node.op = after
    return f"{before} -> {type(after).__name__}"


def _tests_fail(folder: Path, path: str, tree: ast.Module) -> bool:
    """Whether the tests of a module fail when its code is that of `tree`, in a forked process."""
    code = compile(ast.fix_missing_locations(tree), str(toys.ROOT / path), "exec")
    name = path.removesuffix(".py").replace("/", ".")

    def work() -> int:
        import importlib

        import pytest

        os.chdir(toys.ROOT)
        module = importlib.import_module(name)
        try:
            exec(code, module.__dict__)
        except Exception:
            return 1
        _share(name, module)
        with contextlib.redirect_stdout(io.StringIO()):
            return int(pytest.main(["-x", "-q", "-p", "no:cacheprovider", "-p", "no:xdist", *MUTATED[path]]))

    running = toys.fork(folder / "mutant", work)
    try:
        return running.wait(120).code != 0
    except AssertionError:
        return True  # a loop without end is noticed


def _share(name: str, module: Any) -> None:
    """Give modules that imported a name of the mutated one its new value."""
    for other in list(sys.modules.values()):
        if other is module or not getattr(other, "__name__", "").startswith(
            ("benchmark", "reports", "models")
        ):
            continue
        for key, value in list(vars(other).items()):
            if getattr(value, "__module__", None) == name and hasattr(module, key):
                setattr(other, key, getattr(module, key))
