"""benchmark.run with the toys. Worker processes import this file again."""

from __future__ import annotations

import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parents[1])]

from benchmark import ablations, config, results, run  # noqa: E402

config.ALLOWED_TARGETS = (*config.ALLOWED_TARGETS, "toy_parts.")
ablations.ABLATIONS = (
    *ablations.ABLATIONS,
    ablations.Ablation("no_error", "w/o error", ("method.net.weight=0.0",), "Does it learn from nothing?"),
    ablations.Ablation("shifted", "shifted", ("method.shift=5.0",), "Is a planted fault found?"),
    ablations.Ablation("null", "null", ("method.net.flag=1",), "Is nothing found where nothing is?"),
    ablations.Ablation("faulty", "faulty", ("method.net.fault=raise",), "Does a fault stay in its cell?"),
)

# The page has its own tests, and takes longer than all toys together.
# Others may commit while the tests run.
results._commit = lambda: "unknown"
results.report = lambda directory: directory / "report" / "index.html"

if __name__ == "__main__":
    sys.exit(run.main(search_path=[str(HERE / "configs")]))
