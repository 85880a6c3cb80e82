"""Protocols beside independent implementations, as a Markdown table: python -m tests.parity.report."""

from __future__ import annotations

import sys

import torch

from tests.parity.agreement import Agreement
from tests.parity.image_cases import IMAGE_CASES
from tests.parity.set_cases import SET_CASES

CASES: tuple[Agreement, ...] = (*IMAGE_CASES, *SET_CASES)


def main() -> int:
    torch.set_num_threads(1)
    failures = 0
    print("| protocol | beside | version | inputs | largest error | on | tolerance | |")
    print("| --- | --- | --- | --- | --- | --- | --- | --- |")
    for case in CASES:
        errors = case.errors()
        worst = max(errors, key=lambda name: errors[name])
        passed = errors[worst] <= case.tolerance
        failures += not passed
        share = " of the value" if case.relative else ""
        print(
            f"| `{case.protocol}` | `{case.call}` | {case.source} | {len(errors)} | {errors[worst]:.1e} "
            f"| {worst} | {case.tolerance:g}{share} | {'pass' if passed else 'FAIL'} |"
        )
    print(f"\n{len(CASES)} comparisons, {failures} outside their tolerance")
    return int(failures > 0)


if __name__ == "__main__":
    sys.exit(main())
