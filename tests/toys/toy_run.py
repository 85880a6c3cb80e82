"""benchmark.run with the toys. As a script, it is imported again by its worker processes."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
sys.path[:0] = [p for p in (str(HERE), str(HERE.parents[1])) if p not in sys.path]

from benchmark import ablations, results, run, signals  # noqa: E402
from models import targets  # noqa: E402

ABLATIONS = (
    ablations.Ablation("no_error", "w/o error", ("method.net.weight=0.0",), "Does it learn from nothing?"),
    ablations.Ablation("shifted", "shifted", ("method.shift=5.0",), "Is a planted fault found?"),
    ablations.Ablation("null", "null", ("method.net.flag=1",), "Is nothing found where nothing is?"),
    *(
        ablations.Ablation(name, name, (f"method.net.fault={name}",), "Does a fault stay in its cell?")
        for name in ("raises", "overflows", "exhausts", "dies", "sleeps", "locks")
    ),
)


def lend(replace: Callable[[Any, str, Any], None], *, report: bool) -> None:
    """Add the toys to the command.

    Args:
        replace: `setattr`, or one that takes it back.
        report: whether to build the page, which has its own tests and takes longer than all toys together.
    """
    replace(targets, "PACKAGES", (*targets.PACKAGES, "toy_parts"))
    replace(ablations, "ABLATIONS", (*ablations.ABLATIONS, *ABLATIONS))
    # The work tree may change while the tests run.
    replace(results, "_commit", lambda: "unknown")
    if not report:
        replace(results, "report", lambda directory: directory / "report" / "index.html")


def main(arguments: list[str]) -> int:
    return run.main(["suite=toy", *arguments], search_path=[str(HERE / "configs")])


if __name__ == "__main__":
    lend(setattr, report="TOY_REPORT" in os.environ)
    signals.run_and_exit(lambda: main(sys.argv[1:]))
