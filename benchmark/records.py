"""The source of truth: one row per clip, seed, method, ablation, condition and protocol.

`records.jsonl` holds the numbers and nothing else, sorted, so that it is the same bytes whatever order the
work was done in. `manifest.json` beside it says what the rows mean (labels, units, directions), what was
run and how. Both outlive the code: the report is built from them alone. This module imports neither torch
nor Hydra.
"""

from __future__ import annotations

import itertools
import json
import math
import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, TypeVar

SCHEMA = 1
FULL = "full"
"""The ablation name of an unablated method."""
WHOLE_SET = "*"
"""The clip name of a score that belongs to all clips together, such as a Fréchet distance."""
RECORDS, MANIFEST, PROBES = "records.jsonl", "manifest.json", "probes.jsonl"
REFERENCE = "reference"
"""The method name of what embeddings are compared with: features that nothing has disentangled."""


class RecordsError(Exception):
    """Records or a manifest that cannot be used: what was expected, what came, what to do."""


@dataclass(frozen=True, order=True)
class Record:
    """One score.

    `value` is None where a protocol has a rule that leaves the clip out (identical frames under PSNR, no
    face in any frame); the rule is in the protocol's description. `coverage` is the share of frames that
    the value was measured on. `low`, `high`, `count` (of frames) and `clips` accompany scores of the whole
    set. `least` and `most` are what the value could have been had the method's missing frames been measured.
    """

    corpus: str
    method: str
    ablation: str
    seed: int
    condition: str
    protocol: str
    clip: str
    value: float | None = field(compare=False)
    coverage: float = field(compare=False, default=1.0)
    low: float | None = field(compare=False, default=None)
    high: float | None = field(compare=False, default=None)
    count: int | None = field(compare=False, default=None)
    least: float | None = field(compare=False, default=None)
    most: float | None = field(compare=False, default=None)
    clips: int | None = field(compare=False, default=None)

    def __post_init__(self) -> None:
        if self.value is not None and not math.isfinite(self.value):
            raise RecordsError(f"{self.protocol} of {self.method}/{self.clip} is {self.value}: not a score")


@dataclass(frozen=True, order=True)
class ProbeRecord:
    """What one measure says of a factor in an embedding, for one sentence.

    A measure needs many sentences at once: `value` is the sentence's jackknife pseudo-value, whose mean over
    sentences is the measure of all.
    """

    corpus: str
    method: str
    ablation: str
    seed: int
    embedding: str
    """Its name, or several joined by "+" for a measure of all of them together."""
    factor: str
    measure: str
    sentence: str
    value: float = field(compare=False)

    def __post_init__(self) -> None:
        if not math.isfinite(self.value):
            raise RecordsError(
                f"{self.measure} of {self.factor} in {self.method}/{self.embedding} is {self.value}"
            )


@dataclass(frozen=True)
class ProtocolInfo:
    """What a reader of the table must know of a protocol."""

    label: str
    symbol: str
    unit: str
    direction: str
    """"lower" or "higher" is better."""
    source: str
    description: str
    main: bool = True
    """Whether the protocol has a column in the main table."""
    family: str = ""
    """What it is a definition of: protocols of one family answer one question."""
    legacy: bool = False
    """Whether it reproduces a published script with its defects."""


@dataclass(frozen=True)
class Floor:
    """What real clips score against other real clips of the same speaker, under a protocol of a whole set."""

    value: float
    """Mean over random choices of clips."""
    low: float
    high: float
    """2.5 and 97.5 % quantiles of single choices."""
    count: int
    clips: int
    """Frames and clips a side."""
    wanted_count: int
    wanted_clips: int
    """Frames and clips of a method's score; more than the floor's where there are too few real clips."""


@dataclass(frozen=True)
class RowInfo:
    """A method or an ablation as the report prints it."""

    label: str
    kind: str
    """"method", "ablation", "floor" or "ceiling"."""
    asks: str = ""


@dataclass(frozen=True)
class CellInfo:
    """One cell of the study, done or failed."""

    method: str
    ablation: str
    seed: int
    status: str
    """"done" or "FAILED"."""
    reason: str = ""
    run_id: str = ""
    overrides: tuple[str, ...] = ()
    stages: Mapping[str, str] = field(default_factory=dict)
    """Stage ids by stage name: the folders in which the run's weights, logs and predictions lie."""


@dataclass(frozen=True)
class Manifest:
    suite: str
    corpus: str
    corpus_description: str
    protocols: Mapping[str, ProtocolInfo]
    methods: Mapping[str, RowInfo]
    """By "method" for full methods and "method/ablation" for ablated ones, in the order of the table."""
    conditions: Mapping[str, str]
    """Condition name -> one sentence on what is asked and what the truth is."""
    seeds: tuple[int, ...]
    clips: Mapping[str, Mapping[str, Any]]
    """Test item id -> condition, sentence text, emotion, speaker, target, and so on."""
    cells: tuple[CellInfo, ...]
    notes: tuple[str, ...] = ()
    """What was dropped and why, in sentences."""
    judges: Mapping[str, Any] = field(default_factory=dict)
    """What is known of the judges. By the protocol of an emotion judge: labels, chance, temperature, ceiling,
    ceilings by condition, confusion on the true clips by condition, confusion by "method/ablation/condition",
    and calibration by condition and on the clips left out. "agreement": counts of the first emotion judge's
    verdicts by the second's, with kappa, on the true clips and by "method/ablation/condition". "sync": what
    the judge of synchrony finds in the true clips, by condition."""
    floors: Mapping[str, Mapping[str, Floor]] = field(default_factory=dict)
    """Protocol of a whole set -> condition -> what real clips score against other real clips."""
    provenance: Mapping[str, Any] = field(default_factory=dict)
    """Versions, numerics fingerprint, corpus identity, split sizes, command."""
    probes: Mapping[str, Any] = field(default_factory=dict)
    """What embeddings were probed with: clips, sentences, speakers, factors; empty where none was."""
    media: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    """Test item id -> {"truth" or "method/ablation/seed": mp4 path relative to the manifest}."""
    schema: int = SCHEMA


_Row = TypeVar("_Row", Record, ProbeRecord)


def write_text(path: Path, text: str) -> None:
    """Write whole or not at all: temporary sibling, flush, fsync, rename.

    A file that holds this text already is not touched.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.is_file() and path.read_bytes() == text.encode():
        return
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with temporary.open("w", encoding="utf-8", newline="\n") as stream:
            stream.write(text)
            stream.flush()
            os.fsync(stream.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def write_records(path: Path, records: Iterable[Record]) -> None:
    """Sorted JSON lines; floats as shortest round-trip decimals.

    Raises:
        RecordsError: two rows share a key.
    """
    write_text(path, _lines(records, "records", _compact))


def _compact(row: Record) -> dict[str, Any]:
    optional = ("low", "high", "count", "clips", "least", "most")
    return {k: v for k, v in asdict(row).items() if v is not None or k not in optional}


def read_records(path: Path) -> list[Record]:
    """
    Raises:
        RecordsError: the file is missing or a line is not a record; the message names the line.
    """
    if not path.is_file():
        raise RecordsError(f"no records at {path}: run `python -m benchmark.run` with this suite first")
    return _rows(path, Record, "record")


def write_probes(path: Path, probes: Iterable[ProbeRecord]) -> None:
    """As `write_records`; without any, no file is left.

    Raises:
        RecordsError: two rows share a key.
    """
    text = _lines(probes, "probes", asdict)
    if text:
        write_text(path, text)
    else:
        path.unlink(missing_ok=True)


def read_probes(path: Path) -> list[ProbeRecord]:
    """
    Raises:
        RecordsError: the file is missing or a line is not a probe; the message names the line.
    """
    if not path.is_file():
        raise RecordsError(f"no probes at {path}, of which the manifest tells: run the suite again")
    return _rows(path, ProbeRecord, "probe")


def _lines(rows: Iterable[_Row], what: str, plain: Callable[[_Row], dict[str, Any]]) -> str:
    """Rows in the order of their keys, a JSON line each."""
    ordered = sorted(rows)
    for before, after in itertools.pairwise(ordered):
        if before == after:
            raise RecordsError(f"two {what} share the key {before}")
    return "".join(json.dumps(plain(row), sort_keys=True) + "\n" for row in ordered)


def _rows(path: Path, kind: type[_Row], what: str) -> list[_Row]:
    rows = []
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        try:
            rows.append(kind(**json.loads(line)))
        except (ValueError, TypeError) as error:
            raise RecordsError(f"{path}:{number} is not a {what}: {error}") from error
    return rows


def write_manifest(path: Path, manifest: Manifest) -> None:
    write_text(path, json.dumps(asdict(manifest), indent=1, ensure_ascii=False) + "\n")


def read_manifest(path: Path) -> Manifest:
    """
    Raises:
        RecordsError: missing, unreadable or of another schema.
    """
    if not path.is_file():
        raise RecordsError(f"no manifest at {path}: run `python -m benchmark.run` with this suite first")
    try:
        raw = json.loads(path.read_text(encoding="utf-8"))
        if raw.get("schema") != SCHEMA:
            raise RecordsError(f"{path} has schema {raw.get('schema')}, this version reads {SCHEMA}")
        raw["protocols"] = {k: ProtocolInfo(**v) for k, v in raw["protocols"].items()}
        raw["methods"] = {k: RowInfo(**v) for k, v in raw["methods"].items()}
        raw["cells"] = tuple(
            CellInfo(**{**cell, "overrides": tuple(cell["overrides"])}) for cell in raw["cells"]
        )
        raw["floors"] = {
            protocol: {condition: Floor(**floor) for condition, floor in floors.items()}
            for protocol, floors in raw.get("floors", {}).items()
        }
        raw["seeds"], raw["notes"] = tuple(raw["seeds"]), tuple(raw["notes"])
        return Manifest(**raw)
    except (KeyError, TypeError, ValueError) as error:
        raise RecordsError(f"{path} is not a manifest of schema {SCHEMA}: {error}") from error
