"""The known values beside what comes out here, as a Markdown table: python -m tests.golden.report."""

from __future__ import annotations

import sys

import numpy as np
import torch
from numpy.typing import ArrayLike

from tests.golden.known_values import KNOWN


def _shown(values: ArrayLike) -> str:
    flat = np.asarray(values, np.float64).ravel()
    text = ", ".join(f"{value:.6g}" for value in flat[:3])
    return text + (f", ... ({flat.size})" if flat.size > 3 else "")


def main() -> int:
    torch.set_num_threads(1)
    failures = 0
    print("| value | expected | got | largest error | of its tolerance |")
    print("| --- | --- | --- | --- | --- |")
    for known in KNOWN:
        error, share = known.error()
        failures += share > 1
        name = f"{known.group}: {known.name}"
        print(f"| {name} | {_shown(known.expected)} | {_shown(known.got())} | {error:.2g} | {share:.1%} |")
    print(f"\n{len(KNOWN)} values, {failures} outside their tolerance")
    return int(failures > 0)


if __name__ == "__main__":
    sys.exit(main())
