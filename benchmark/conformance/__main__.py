"""Check a metric function: python -m benchmark.conformance path/to/file.py:function --kind lvd

The function takes (predicted, target) and returns a float. For ld and lvd it gets NumPy arrays (frames, 68 or
106, 2) in pixels, NaN where no face was found; for ssim and psnr uint8 RGB images (height, width, 3); for
frechet features (N, d), or with --extractor frames (N, height, width, 3). It may also return (value,
coverage), the share of frames that it could measure.

Exit code 0: it passes, under a sound definition that is named. 1: something fails. 2: it cannot be run.
4: the verdict cannot be written.
"""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.status import Status

from benchmark.conformance.check import KINDS, check
from benchmark.conformance.verdict import Step, Verdict, show
from models.command import Parser, run_command
from models.errors import storage_faults
from models.files import check_output_file, write_output

if TYPE_CHECKING:
    from benchmark.metrics.extractors import FrameExtractor

NETWORK_SECONDS = 120.0
"""A call that runs a network over frames may take so long at least."""


def parser() -> Parser:
    found = Parser(
        prog="python -m benchmark.conformance",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    found.add_argument("function", help="path/to/file.py:function, or module:function")
    found.add_argument("--kind", required=True, choices=KINDS, help="what it claims to compute")
    found.add_argument(
        "--region", choices=("mouth", "face"), help="ld and lvd: the points that it claims to measure"
    )
    found.add_argument(
        "--extractor",
        metavar="NAME",
        help="frechet: the function takes uint8 RGB frames (N, H, W, 3), and claims the distance of this "
        "network's features (mobilenetv2-96, mobilenetv2, inception)",
    )
    found.add_argument(
        "--inception-weights", type=Path, metavar="FILE", help="the file that the extractor inception needs"
    )
    found.add_argument("--seed", type=int, default=0, help="of the probe inputs")
    found.add_argument("--timeout", type=float, default=20.0, help="seconds that one call may take")
    found.add_argument("--json", type=Path, metavar="FILE", help="write the verdict there")
    return found


def main(arguments: Sequence[str] | None = None) -> int:
    """Check a function; the exit code says what the verdict is."""
    return run_command(lambda: _check(arguments))


def _check(arguments: Sequence[str] | None) -> int:
    command = parser()
    asked = command.parse_args(arguments)
    if asked.region and asked.kind not in ("ld", "lvd"):
        command.error("--region is for ld and lvd")
    if asked.extractor and asked.kind != "frechet":
        command.error("--extractor is for frechet")
    if not 0 < asked.timeout < math.inf:
        command.error("--timeout: expected more than 0 seconds")
    if asked.seed < 0:
        command.error("--seed: expected 0 or more")
    if asked.json:
        check_output_file(asked.json, "--json")
    verdict = _checked(asked)
    if asked.json:
        with storage_faults(f"writing {asked.json}"):
            write_output(asked.json, verdict.as_json())
    console = Console(highlight=False)
    if not console.is_terminal:
        console.width = 120
    show(verdict, console)
    return 0 if verdict.passed else 1


def _checked(asked: argparse.Namespace) -> Verdict:
    """With what is being asked on the screen."""
    console = Console(file=sys.stderr, highlight=False)
    network = _extractor(asked)
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
            extractor=network,
            seed=asked.seed,
            timeout=max(asked.timeout, NETWORK_SECONDS) if network else asked.timeout,
            on_step=on_step,
        )


def _extractor(asked: argparse.Namespace) -> FrameExtractor | None:
    """
    Raises:
        ExtractorError: there is no such network, or its weights are missing.
    """
    if asked.extractor is None:
        return None
    from benchmark.metrics.extractors import extractor

    return extractor(asked.extractor, inception_weights=asked.inception_weights)


if __name__ == "__main__":
    sys.exit(main())
