"""Check a metric function: python -m benchmark.conformance path/to/file.py:function --kind lvd

The function takes (predicted, target) and returns a float. For ld and lvd it gets NumPy arrays (frames, 68 or
106, 2) in pixels, NaN where no face was found; for ssim and psnr uint8 RGB images (height, width, 3); for
frechet features (N, d). It may also return (value, coverage), the share of frames that it could measure.

Exit code 0: it passes, under a sound definition that is named. 1: something fails. 2: it cannot be run.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.status import Status

from benchmark.conformance.check import KINDS, check
from benchmark.conformance.verdict import Step, Verdict, show
from benchmark.errors import ConfigError


def parser() -> argparse.ArgumentParser:
    found = argparse.ArgumentParser(
        prog="python -m benchmark.conformance",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    found.add_argument("function", help="path/to/file.py:function, or module:function")
    found.add_argument("--kind", required=True, choices=KINDS, help="what it claims to compute")
    found.add_argument(
        "--region", choices=("mouth", "face"), help="ld and lvd: the points that it claims to measure"
    )
    found.add_argument("--seed", type=int, default=0, help="of the probe inputs")
    found.add_argument("--timeout", type=float, default=20.0, help="seconds that one call may take")
    found.add_argument("--json", type=Path, metavar="FILE", help="write the verdict there")
    return found


def main(arguments: Sequence[str] | None = None) -> int:
    """The exit code."""
    asked = parser().parse_args(arguments)
    if asked.region and asked.kind not in ("ld", "lvd"):
        parser().error("--region is for ld and lvd")
    if asked.timeout <= 0:
        parser().error("--timeout: expected more than 0 seconds")
    try:
        verdict = _checked(asked)
        if asked.json:
            asked.json.write_text(verdict.as_json(), encoding="utf-8")
    except (ConfigError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    show(verdict, Console(highlight=False))
    return 0 if verdict.passed else 1


def _checked(asked: argparse.Namespace) -> Verdict:
    """With what is being asked on the screen."""
    console = Console(file=sys.stderr, highlight=False)
    done = 0
    with Status(f"loading {asked.function}", console=console) as status:

        def on_step(step: Step) -> None:
            nonlocal done
            done += 1
            status.update(f"{done} steps, at last {step.rung}: {step.asked}")

        return check(
            asked.function,
            asked.kind,
            region=asked.region,
            seed=asked.seed,
            timeout=asked.timeout,
            on_step=on_step,
        )


if __name__ == "__main__":
    sys.exit(main())
