"""The source of truth: one row per clip, seed, method, ablation, condition and protocol.

`records.jsonl` holds the numbers and nothing else, sorted, so that it is the same bytes whatever order the
work was done in. `manifest.json` beside it says what the rows mean (labels, units, directions), what was
run and how. Both outlive the code: the report is built from them alone. This module imports neither torch
nor Hydra.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any, TypeVar

from pydantic import ConfigDict, TypeAdapter, ValidationError, with_config

from benchmark.described import check_described, first_problem
from benchmark.names import LONGEST_TEXT, is_name, is_path_of_names
from models.errors import UserError, printable
from models.files import remove_leftovers, replace_text

SCHEMA = 1
FULL = "full"
"""The ablation name of an unablated method."""
WHOLE_SET = "*"
"""The clip name of a score that belongs to all clips together, such as a Fréchet distance."""
RECORDS, MANIFEST, PROBES = "records.jsonl", "manifest.json", "probes.jsonl"
REFERENCE = "reference"
"""The method name of what embeddings are compared with: features that nothing has disentangled."""


DIRECTIONS = ("lower", "higher")
KINDS = ("method", "ablation", "floor", "ceiling")
STATUSES = ("done", "FAILED")
LARGEST_NUMBER = 1e15
"""No score, count or seed is larger; sums of squares of these are still numbers."""
LONGEST_LINE = 1_000_000
"""Characters of a line of records: a thousand times what one takes."""
LARGEST_FILE = 1 << 30
"""Bytes of a manifest or of records."""
STRICT = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)
"""What is read from files has the declared fields and types, and no others."""


class RecordsError(UserError):
    """Records or a manifest that cannot be used: what was expected, what came, what to do."""


@with_config(STRICT)
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
        numbers = (self.value, self.low, self.high, self.least, self.most, self.count, self.clips)
        for number in (*numbers, self.coverage, self.seed):
            if number is not None and not abs(number) <= LARGEST_NUMBER:
                raise RecordsError(f"{self.protocol} of {self.method}/{self.clip} is {number}: not a score")


@with_config(STRICT)
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
        if not (abs(self.value) <= LARGEST_NUMBER and abs(self.seed) <= LARGEST_NUMBER):
            raise RecordsError(
                f"{self.measure} of {self.factor} in {self.method}/{self.embedding} is {self.value}"
            )


@with_config(STRICT)
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
    least: float | None = None
    most: float | None = None
    """The least and the greatest value that is possible; None where there is none."""


@with_config(STRICT)
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


@with_config(STRICT)
@dataclass(frozen=True)
class RowInfo:
    """A method or an ablation as the report prints it."""

    label: str
    kind: str
    """"method", "ablation", "floor" or "ceiling"."""
    asks: str = ""


@with_config(STRICT)
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


@with_config(STRICT)
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
_Read = TypeVar("_Read")


def write_text(path: Path, text: str) -> None:
    """Write whole or not at all: temporary sibling, flush, fsync, rename.

    A file that holds this text already is not touched.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.is_file() and path.read_bytes() == text.encode():
        remove_leftovers(path)
        return
    replace_text(path, text)


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
    probes = _rows(path, ProbeRecord, "probe")
    if not probes:
        raise RecordsError(f"no probes in {path}, of which the manifest tells: run the suite again")
    return probes


def _lines(rows: Iterable[_Row], what: str, plain: Callable[[_Row], dict[str, Any]]) -> str:
    """Rows in the order of their keys, a JSON line each."""
    ordered = sorted(rows)
    for before, after in itertools.pairwise(ordered):
        if before == after:
            raise RecordsError(f"two {what} share the key {before}")
    return "".join(json.dumps(plain(row), sort_keys=True) + "\n" for row in ordered)


def _rows(path: Path, kind: type[_Row], what: str) -> list[_Row]:
    rows = []
    checked = TypeAdapter(kind)
    text = _text(path)
    for number, line in enumerate(text.removesuffix("\n").split("\n") if text else (), start=1):
        if len(line) > LONGEST_LINE:
            raise RecordsError(f"{path}:{number} is not a {what}: it has {len(line)} characters")
        try:
            # The validator reads numbers and types strictly, but takes the last of equal keys.
            _JSON_OF_UNIQUE_KEYS.decode(line)
            rows.append(checked.validate_json(line))
        except (ValueError, RecordsError, RecursionError) as error:
            raise RecordsError(f"{path}:{number} is not a {what}: {_reason(error)}") from error
    return rows


def _text(path: Path) -> str:
    """Return the text of a file of ours.

    Raises:
        RecordsError: it is too large, or is no UTF-8.
    """
    size = path.stat().st_size
    if size > LARGEST_FILE:
        raise RecordsError(f"{path} has {size} bytes; expected at most {LARGEST_FILE}: it is none of ours")
    try:
        return path.read_bytes().decode("utf-8")
    except UnicodeDecodeError as error:
        raise RecordsError(f"{path} is not UTF-8 ({error.reason} at byte {error.start})") from error


def strict_json(text: str) -> Any:
    """Return the value of a JSON text whose keys are unique and whose numbers are finite.

    Raises:
        ValueError: it is none; the message says why.
    """
    try:
        return json.loads(
            text,
            object_pairs_hook=_unique,
            parse_constant=_no_number,
            parse_float=lambda digits: _bounded(float(digits), digits),
            parse_int=lambda digits: _bounded(int(digits[:40]), digits),
        )
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    mapping = dict(pairs)
    if len(mapping) < len(pairs):
        keys = [key for key, _ in pairs]
        twice = next(key for key in keys if keys.count(key) > 1)
        raise ValueError(f"the key {twice[:100]!r} is there twice")
    return mapping


_JSON_OF_UNIQUE_KEYS = json.JSONDecoder(object_pairs_hook=_unique)


def _no_number(name: str) -> Any:
    raise ValueError(f"{name} is no number")


def _bounded(value: Any, digits: str) -> Any:
    if not abs(value) <= LARGEST_NUMBER:
        raise ValueError(f"expected numbers up to {LARGEST_NUMBER:g}, got {digits[:40]}")
    return value


def _reason(error: Exception) -> str:
    """Return what is wrong in one line: of a validation, the first place and its problem."""
    return printable(first_problem(error) if isinstance(error, ValidationError) else str(error))


def write_manifest(path: Path, manifest: Manifest) -> None:
    """Write a manifest that `read_manifest` will read.

    Raises:
        RecordsError: it would be refused; nothing is written.
    """
    text = json.dumps(asdict(manifest), indent=1, ensure_ascii=False) + "\n"
    _manifest_of(text, path)
    write_text(path, text)


def read_manifest(path: Path) -> Manifest:
    """
    Raises:
        RecordsError: missing, unreadable or of another schema.
    """
    if not path.is_file():
        raise RecordsError(f"no manifest at {path}: run `python -m benchmark.run` with this suite first")
    return _manifest_of(_text(path), path)


def _manifest_of(text: str, path: Path) -> Manifest:
    manifest = _checked(text, path, Manifest, "a manifest", SCHEMA)
    try:
        _check_manifest(manifest)
    except ValueError as error:
        raise RecordsError(f"{path} is not a manifest of schema {SCHEMA}: {_reason(error)}") from error
    return manifest


def read_checked(path: Path, kind: type[_Read], what: str, schema: int) -> _Read:
    """Return the object of a dataclass that a JSON file holds.

    Args:
        what: the object's name in a message, such as "a manifest".
        schema: its field `schema`.

    Raises:
        RecordsError: unreadable, of another schema, or with other fields or types.
    """
    return _checked(_text(path), path, kind, what, schema)


def _checked(text: str, path: Path, kind: type[_Read], what: str, schema: int) -> _Read:
    try:
        raw = strict_json(text)
        if not isinstance(raw, dict):
            raise ValueError(f"expected an object, got a {type(raw).__name__}")
        if raw.get("schema") != schema:
            raise RecordsError(f"{path} has schema {raw.get('schema')!r}, this version reads {schema}")
        # From JSON again: only so are lists taken as tuples, and nothing else as something else.
        return TypeAdapter(kind).validate_json(json.dumps(raw))
    except ValueError as error:
        raise RecordsError(f"{path} does not hold {what} of schema {schema}: {_reason(error)}") from error


def _check_manifest(manifest: Manifest) -> None:
    """Refuse names that are none: they end up in file names, in anchors and in tables.

    Raises:
        ValueError: naming the first of them.
    """
    _names("suite", (manifest.suite,))
    _names("corpus", (manifest.corpus,))
    _names("condition", (*manifest.conditions, *(c for each in manifest.floors.values() for c in each)))
    _names("protocol", (*manifest.protocols, *manifest.floors), paths=True)
    _names("row", manifest.methods, paths=True)
    for cell in manifest.cells:
        _names("cell", (cell.method, cell.ablation, cell.status))
        _names("stage", (*cell.stages, *cell.stages.values()))
    for videos in manifest.media.values():
        for place in videos.values():
            _check_place(place)
    for protocol, known in manifest.protocols.items():
        _one_of(f"the direction of {protocol}", known.direction, DIRECTIONS)
    for row, about in manifest.methods.items():
        _one_of(f"the kind of {row}", about.kind, KINDS)
    for cell in manifest.cells:
        _one_of(f"the status of {cell.method}", cell.status, STATUSES)
    check_described(manifest.clips, manifest.judges, manifest.probes)
    _check_texts(asdict(manifest), "manifest")


def _one_of(what: str, text: str, allowed: Sequence[str]) -> None:
    if text not in allowed:
        raise ValueError(f"{what} is {text[:100]!r}; expected one of {', '.join(allowed)}")


def _names(what: str, names: Iterable[str], *, paths: bool = False) -> None:
    for name in names:
        if not (is_path_of_names(name) if paths else is_name(name)):
            raise ValueError(f"the {what} {name[:100]!r} is no plain name")


def _check_place(place: str) -> None:
    parts = PurePosixPath(place).parts
    if not parts or place.startswith("/") or ".." in parts or len(place) > 1000 or not place.isprintable():
        raise ValueError(f"the video {place[:100]!r} lies outside the run directory")


def _check_texts(value: Any, path: str) -> None:
    """Refuse texts of absurd length, and NUL, wherever they are."""
    if isinstance(value, str):
        if len(value) > LONGEST_TEXT or "\0" in value:
            raise ValueError(f"{path[:100]} has a text of {len(value)} characters, or one with a NUL")
    elif isinstance(value, Mapping):
        for key, each in value.items():
            _check_texts(key, path)
            _check_texts(each, f"{path}.{key}")
    elif isinstance(value, list | tuple):
        for each in value:
            _check_texts(each, path)
