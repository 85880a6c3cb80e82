"""Hostile command lines of every command: none may end in a traceback, or in more than a line on stderr.

`cases(count)` is the same list in every process; `run_case` runs one in this process, up to where work would
begin, and `problem` says what is wrong with how it ended.
"""

from __future__ import annotations

import contextlib
import importlib
import io
import os
import random
import traceback
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from unittest.mock import patch

LONG = "x" * 300
VERY_LONG = "y" * 5000
VALUES = (
    "null",
    "[nan]",
    "[[1]]",
    "{a:1}",
    "{_target_:os.system}",
    "nan",
    "inf",
    "1e999",
    "123456789012345678901234567890",
    "-1",
    "-0.5",
    "''",
    "true",
    "ü",
    "a\nb",
    "a\0b",
    "???",
    "${x}",
    "${oc.env:PATH}",
    "${oc.decode:'[1'}",
    "../../x",
    "/proc/self/mem",
    "~",
    "#",
    "a=b",
    "a,b",
    "(",
    "[" * 40,
    "{" * 40,
    "'",
    '"',
    "\\",
    "%s%n",
    "\u202eabc",
    "\ud800",
    "$(id)",
    "`id`",
    LONG,
    VERY_LONG,
)
"""What a key is given instead of its own value."""
KNOWN = (
    ("run", "out=${oc.env:HOME}/results"),
    ("run", "film=null"),
    ("run", "data=[nan]"),
    ("run", "method=[[1]]"),
    ("run", f"out={LONG}"),
    ("run", f"out=/{'a/' * 3000}"),
    ("run", "+data.x={_target_:benchmark.conformance.child.load,place:evil.py,name:f}"),
    ("run", "hydra.searchpath=[file:///tmp]"),
    ("run", "hydra/launcher=basic"),
    ("run", "--multirun"),
    ("run", "--config-dir=/tmp"),
    ("run", "seeds=0,1"),
    ("run", "seeds=range(3)"),
    ("run", "=3"),
    ("run", "="),
    ("run", ""),
    ("run", "~"),
    ("run", "+"),
    ("run", "++"),
    ("run", "a"),
    ("run", "data@data=grid"),
    ("run", "+data@nowhere=grid"),
    ("run", "\udcff=1"),
)
"""Command lines that once ended in a traceback, and the likes of them."""
OPTIONS = {
    "score": (
        "--out",
        "--workers",
        "--trim",
        "--feature-every",
        "--extractors",
        "--crop",
        "--landmarks",
        "--cache",
    ),
    "conformance": ("--kind", "--region", "--extractor", "--seed", "--timeout", "--json"),
    "talk": (
        "--audio",
        "--target",
        "-o",
        "--emotion",
        "--intensity",
        "--run",
        "--row",
        "--seed",
        "--steps",
        "--device",
    ),
    "importing": ("-o", "--pca", "--mean", "--codes"),
    "pose_errors": ("--people", "--seed", "--noise", "--prediction-noise", "--out"),
    "metrics": ("--page",),
    "deviations": ("--page",),
}
POSITIONAL = {
    "score": ("generated", "reference"),
    "conformance": ("nowhere.py:f", "--kind", "ld"),
    "talk": ("--audio", "a.wav", "--target", "b.mp4", "-o", "c.mp4"),
    "importing": ("emotion", "nowhere.pth", "-o", "imported"),
    "pose_errors": (),
    "metrics": (),
    "deviations": (),
}
MODULES = {
    "run": "benchmark.run",
    "observability": "benchmark.observability.__main__",
    "transfer_truth": "benchmark.transfer_truth",
    "sweeps": "sweeps.run",
    "paper": "reports.paper",
    "score": "benchmark.score.__main__",
    "conformance": "benchmark.conformance.__main__",
    "talk": "models.talk.__main__",
    "importing": "models.importing.__main__",
    "pose_errors": "benchmark.pose_errors",
    "metrics": "benchmark.metrics.__main__",
    "deviations": "benchmark.deviations",
}
WORK = ("benchmark.pose_errors.measure", "sweeps.run._work", "benchmark.score.folder.score_folders")
"""Where work begins that a command line cannot ask to leave out."""
SMALL = (
    "suite=smoke",
    "methods=[evp]",
    "ablated=[]",
    "ablations=[full]",
    "tracking=disabled",
    "dry_run=true",
    "workers=1",
)
ALLOWED_CODES = (0, 2, 4)


@dataclass(frozen=True)
class Case:
    """One command line."""

    command: str
    arguments: tuple[str, ...]


@dataclass(frozen=True)
class Outcome:
    """How a command line ended."""

    code: int | None
    """None where an exception came out of the command."""
    stderr: str
    trace: str = ""
    written: tuple[str, ...] = field(default=())
    """Files that are there afterwards."""


class _Reached(BaseException):
    """Work would begin: the command line was accepted."""


def cases(count: int) -> list[Case]:
    """Return `count` different command lines, those that are known from the past first."""
    known = [Case(command, (argument,)) for command, argument in KNOWN]
    others = sorted(set(_all()) - set(known), key=lambda case: (case.command, case.arguments))
    random.Random(0).shuffle(others)
    # Commands with few options would vanish among the many keys of the configuration.
    by_command: dict[str, list[Case]] = {}
    for case in others:
        by_command.setdefault(case.command, []).append(case)
    mixed: list[Case] = []
    share = {command: 6 if command == "run" else 1 for command in by_command}
    while len(mixed) < count and by_command:
        for command in list(by_command):
            mixed += [by_command[command].pop() for _ in range(min(share[command], len(by_command[command])))]
            if not by_command[command]:
                del by_command[command]
    return [*known, *mixed][:count]


def _all() -> Iterator[Case]:
    from benchmark.config import GROUPS

    for key in _keys():
        for value in VALUES:
            yield Case("run", (f"{key}={value}",))
        for form in (f"~{key}", f"+{key}=1", f"++{key}=null", f"~{key}=1", f"{key}.x=1", f"+{key}.x=1"):
            yield Case("run", (form,))
        yield Case("run", (f"{key}=1", f"{key}=[2]", f"~{key}"))
        for command in ("observability", "transfer_truth"):
            yield Case(command, (f"{key}={VALUES[hash_of(key) % len(VALUES)]}",))
        yield Case("sweeps", ("study=landmarks", f"{key}={VALUES[hash_of(key + 's') % len(VALUES)]}"))
    for group in GROUPS:
        for name in ("nobody", "../x", "a/b", "", "_", "config", "a" * 300, "[evp]", "evp,evp", "null"):
            yield Case("run", (f"{group}={name}",))
            yield Case("run", (f"+{group}={name}",))
    for key in ("study", "trials", "workers", "seed", "storage", "run"):
        for value in VALUES:
            yield Case("sweeps", ("study=landmarks", f"{key}={value}"))
    for value in VALUES:
        yield Case("transfer_truth", (f"pairs={value}",))
        for key in ("suite", "data", "out", "run", "readme", "check", "nothing"):
            yield Case("paper", (f"{key}={value}",))
    for command, options in OPTIONS.items():
        base = POSITIONAL[command]
        yield Case(command, ())
        yield Case(command, ("--nothing",))
        for option in options:
            for value in VALUES:
                yield Case(command, (*base, option, value))
            yield Case(command, (*base, option))
        for place, _ in enumerate(base):
            for value in VALUES:
                yield Case(command, (*base[:place], value, *base[place + 1 :]))


def hash_of(text: str) -> int:
    """Return the same number for a text in every process."""
    return sum((place + 1) * ord(letter) for place, letter in enumerate(text))


@cache
def _keys() -> tuple[str, ...]:
    """Every key of the configuration, those of its method included."""
    from benchmark.config import _keys as keys_of
    from benchmark.config import parse

    with _quick_yaml():
        return tuple(dict.fromkeys(keys_of(parse(["suite=smoke", "cycle=canny_landmarks"]).compose())))


@contextlib.contextmanager
def _quick_yaml() -> Iterator[None]:
    """Let configuration files be read by libyaml, which takes a tenth of the time."""
    import yaml

    with patch.object(yaml, "SafeLoader", yaml.CSafeLoader):
        yield


def run_case(case: Case, folder: Path) -> Outcome:
    """Run a command line in this process, below an empty folder, up to where work would begin."""
    main = importlib.import_module(MODULES[case.command]).main
    arguments = list(case.arguments)
    places = [f"out={folder}/results", f"cache={folder}/cache"]
    if case.command in ("run", "observability", "transfer_truth"):
        arguments = [*places, *SMALL, *arguments]
    elif case.command == "sweeps":
        arguments = [*places, "suite=smoke", "tracking=disabled", *arguments]
    elif case.command == "paper":
        arguments = [places[0], *arguments]
    before = Path.cwd()
    out, err = io.StringIO(), io.StringIO()
    code: int | None
    trace = ""
    with contextlib.ExitStack() as stack:
        for name in WORK:
            importlib.import_module(name.rpartition(".")[0])
            stack.enter_context(patch(name, side_effect=_Reached))
        stack.enter_context(_quick_yaml())
        stack.enter_context(contextlib.redirect_stdout(out))
        stack.enter_context(contextlib.redirect_stderr(err))
        os.chdir(folder)
        try:
            code = main(arguments)
        except _Reached:
            code = 0
        except SystemExit as end:
            code = end.code if isinstance(end.code, int) else 1
        except BaseException:
            code, trace = None, traceback.format_exc()
        finally:
            os.chdir(before)
    written = tuple(sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()))
    return Outcome(code, err.getvalue(), trace, written)


def problem(outcome: Outcome) -> str | None:
    """Return what is wrong with how a command line ended; None where nothing is."""
    if outcome.code is None or "Traceback" in outcome.stderr:
        return f"a traceback: {outcome.trace.strip().splitlines()[-1] if outcome.trace else outcome.stderr}"
    if outcome.code not in ALLOWED_CODES:
        return f"exit code {outcome.code}"
    lines = outcome.stderr.splitlines()
    if outcome.code != 0 and (len(lines) != 1 or not lines[0].startswith("error: ")):
        return f"expected one line on stderr, got {outcome.stderr[:300]!r}"
    return None
