"""How every protocol answered to damaged truth, as a file: written by the harness, read by the report.

`observability.json` holds one row per damage, dose, protocol and clip, and what the names mean. It stands
beside a run's records and is never part of them. This module imports neither torch nor Hydra.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from pydantic import with_config

from benchmark.records import STRICT, ProtocolInfo, RecordsError, read_checked, write_text

OBSERVATIONS = "observability.json"
SCHEMA = 1
UNDAMAGED = "none"
"""The damage of the truth scored against itself, at dose 0."""


@with_config(STRICT)
@dataclass(frozen=True)
class DamageInfo:
    """What a reader must know of a damage."""

    unit: str
    doses: tuple[float, ...]
    """Ascending."""
    description: str


@with_config(STRICT)
@dataclass(frozen=True)
class Observation:
    """What a protocol says of damaged truth against the truth; the fields of scores as in `Record`."""

    damage: str
    dose: float
    protocol: str
    clip: str
    """`WHOLE_SET` for a protocol of the whole set."""
    value: float | None
    coverage: float = 1.0
    low: float | None = None
    high: float | None = None
    least: float | None = None
    most: float | None = None

    def __post_init__(self) -> None:
        if self.value is not None and not math.isfinite(self.value):
            raise RecordsError(f"{self.protocol} under {self.damage} is {self.value}: not a score")


@with_config(STRICT)
@dataclass(frozen=True, eq=False)
class Observations:
    corpus: str
    """What the clips are, in one sentence."""
    clips: tuple[str, ...]
    frames: int
    """Frames of all clips together."""
    frame_size: int
    damages: Mapping[str, DamageInfo]
    """In the order of the tables, without `UNDAMAGED`."""
    protocols: Mapping[str, ProtocolInfo]
    """In the order of the tables."""
    rows: tuple[Observation, ...]
    notes: tuple[str, ...] = ()
    """What could not be measured and why, in sentences."""
    schema: int = SCHEMA


def write_observations(path: Path, found: Observations) -> None:
    """Write whole or not at all, one row a line; floats as shortest round-trip decimals."""
    head = {key: value for key, value in asdict(found).items() if key != "rows"}
    rows = [json.dumps(_compact(row), sort_keys=True, allow_nan=False) for row in found.rows]
    text = json.dumps(head, indent=1, ensure_ascii=False, allow_nan=False)
    write_text(path, text.removesuffix("\n}") + ',\n "rows": [\n' + ",\n".join(rows) + "\n ]\n}\n")


def _compact(row: Observation) -> dict[str, Any]:
    optional = ("low", "high", "least", "most")
    return {key: value for key, value in asdict(row).items() if value is not None or key not in optional}


def read_observations(path: Path) -> Observations:
    """
    Raises:
        RecordsError: missing, unreadable or of another schema.
    """
    if not path.is_file():
        raise RecordsError(f"no observations at {path}: run `python -m benchmark.observability`")
    return read_checked(path, Observations, "observations", SCHEMA)
