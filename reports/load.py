"""Records and manifest -> one tidy frame, or a refusal that names what is missing.

A mean over the seeds that happened to finish is not the mean over seeds, so a study with a hole is refused
here, once, and the tables can trust their input. A FAILED cell is not a hole: its row stays, as FAILED.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Set
from dataclasses import asdict, dataclass, fields, is_dataclass, replace
from functools import cached_property, wraps
from pathlib import Path
from typing import Any, Concatenate, ParamSpec, TypeVar

import pandas as pd

from benchmark.records import (
    FULL,
    MANIFEST,
    PROBES,
    RECORDS,
    REFERENCE,
    WHOLE_SET,
    CellInfo,
    Manifest,
    ProbeRecord,
    Record,
    RecordsError,
    RowInfo,
    read_manifest,
    read_probes,
    read_records,
)
from models.errors import escaped

SEEDED_KINDS = ("method", "ablation")
"""Kinds of row that must have every seed; a floor or a ceiling may have been run once for all seeds."""
COLUMNS = ("row", *(name for name in Record.__dataclass_fields__), "sentence", "emotion")


@dataclass(frozen=True, eq=False)
class Study:
    """Everything that the report is made of."""

    directory: Path
    manifest: Manifest
    scores: pd.DataFrame
    """One line per record of a done cell: the record's fields, and `row`, `sentence`, `emotion`."""
    failed: Mapping[str, tuple[CellInfo, ...]]
    """Failed cells by row."""
    probes: tuple[ProbeRecord, ...] = ()
    """What was read from the embeddings of done cells, and from the reference."""

    @property
    def rows(self) -> Mapping[str, RowInfo]:
        """Rows of the tables by key ("method" or "method/ablation"), in the manifest's order."""
        return self.manifest.methods

    def seeds_of(self, row: str) -> tuple[int, ...]:
        return tuple(sorted(c.seed for c in self.manifest.cells if row_key(c.method, c.ablation) == row))

    @cached_property
    def _parts(self) -> dict[tuple[str, str, str], pd.DataFrame]:
        names = list(zip(self.scores["row"], self.scores["condition"], self.scores["protocol"], strict=True))
        places: dict[tuple[str, str, str], list[int]] = {}
        for place, name in enumerate(names):
            places.setdefault(name, []).append(place)
        return {name: self.scores.iloc[lines] for name, lines in places.items()}

    def select(self, *, row: str, condition: str, protocol: str) -> pd.DataFrame:
        """A row's records under one protocol, all seeds; empty if it has none."""
        key = (row, condition, protocol)
        return self._parts[key] if key in self._parts else self.scores.iloc[:0]

    def protocols(self, condition: str, *, main: bool = True) -> tuple[str, ...]:
        """Protocols with scores under a condition, in the manifest's order."""
        present = set(self.scores.loc[self.scores["condition"] == condition, "protocol"])
        return tuple(
            name
            for name, info in self.manifest.protocols.items()
            if name in present and (info.main or not main)
        )

    def conditions(self) -> tuple[str, ...]:
        """Conditions that were asked for, in the manifest's order."""
        asked = {str(item["condition"]) for item in self.manifest.clips.values()}
        return tuple(name for name in self.manifest.conditions if name in asked)

    def items(self, condition: str) -> tuple[str, ...]:
        return tuple(k for k, item in self.manifest.clips.items() if item["condition"] == condition)

    def sentences(self, condition: str) -> int:
        return len({sentence_of(self.manifest, item) for item in self.items(condition)})


Result = TypeVar("Result")
Rest = ParamSpec("Rest")
Source = TypeVar("Source")


def remembered(
    function: Callable[Concatenate[Source, Rest], Result],
) -> Callable[Concatenate[Source, Rest], Result]:
    """Compute a function of a study, and of hashable arguments, once.

    Results are kept in the study's own dictionary and end with it: a cache of the function would keep every
    study that a process ever reported.
    """

    @wraps(function)
    def once(source: Source, /, *rest: Rest.args, **named: Rest.kwargs) -> Result:
        results = source.__dict__.setdefault("_remembered", {})
        key = (function, rest, tuple(sorted(named.items())))
        if key not in results:
            results[key] = function(source, *rest, **named)
        return results[key]

    return once


def row_key(method: str, ablation: str) -> str:
    return method if ablation == FULL else f"{method}/{ablation}"


def sentence_of(manifest: Manifest, item: str) -> str:
    """The sentence that a test item says; an item of a corpus without sentence labels is its own."""
    return str(manifest.clips[item].get("sentence") or item)


def load_study(directory: Path) -> Study:
    """Read `records.jsonl` and `manifest.json` of a run directory.

    Raises:
        RecordsError: a file is missing or malformed, or the records do not match the manifest: another
            corpus, an unknown row, protocol, condition or test item, a missing seed, a missing score.
    """
    records = read_records(directory / RECORDS)
    manifest = _shown(read_manifest(directory / MANIFEST))
    _check_items(manifest)
    _check_names(records, manifest)
    _check_cells(manifest)
    done = {(c.method, c.ablation, c.seed) for c in manifest.cells if c.status == "done"}
    kept = [r for r in records if (r.method, r.ablation, r.seed) in done]
    scores = _frame(kept, manifest)
    _check_complete(scores, manifest)
    failed: dict[str, tuple[CellInfo, ...]] = {}
    for cell in manifest.cells:
        if cell.status != "done":
            key = row_key(cell.method, cell.ablation)
            failed[key] = (*failed.get(key, ()), cell)
    return Study(directory, manifest, scores, failed, _probes(directory, manifest, done))


def _shown(value: Any) -> Any:
    """Return a value whose texts are `escaped`: they come from people's tables."""
    if isinstance(value, str):
        return escaped(value)
    if isinstance(value, Mapping):
        return {key: _shown(item) for key, item in value.items()}
    if isinstance(value, tuple | list):
        return type(value)(_shown(item) for item in value)
    if is_dataclass(value) and not isinstance(value, type):
        return replace(value, **{each.name: _shown(getattr(value, each.name)) for each in fields(value)})
    return value


def _probes(directory: Path, manifest: Manifest, done: Set[tuple[str, str, int]]) -> tuple[ProbeRecord, ...]:
    """Those that the manifest tells of; every row that has any has them for all its seeds and sentences."""
    if not manifest.probes:
        return ()
    probes = read_probes(directory / PROBES)
    of_cell: dict[tuple[str, str, int], set[tuple[str, str, str, str]]] = {}
    for p in probes:
        cell = (p.method, p.ablation, p.seed)
        if p.corpus != manifest.corpus or (cell not in done and p.method != REFERENCE):
            raise RecordsError(f"a probe is of {p.corpus}, {cell}, which the manifest does not know as done")
        of_cell.setdefault(cell, set()).add((p.embedding, p.factor, p.measure, p.sentence))
    for (method, ablation, seed), found in of_cell.items():
        seeds = {s for m, a, s in done if (m, a) == (method, ablation)} or {seed}
        if any(of_cell.get((method, ablation, other)) != found for other in seeds):
            raise RecordsError(
                f"the probes of {row_key(method, ablation)} differ by seed; run the suite again"
            )
    return tuple(probes)


def _frame(records: Iterable[Record], manifest: Manifest) -> pd.DataFrame:
    lines = []
    for record in records:
        whole = record.clip == WHOLE_SET
        item = {} if whole else manifest.clips[record.clip]
        lines.append(
            {
                "row": row_key(record.method, record.ablation),
                **asdict(record),
                "sentence": "" if whole else sentence_of(manifest, record.clip),
                "emotion": str(item.get("emotion") or ""),
            }
        )
    frame = pd.DataFrame(lines, columns=list(COLUMNS))
    for name in ("value", "coverage", "low", "high", "count", "clips", "least", "most"):
        frame[name] = frame[name].astype(float)
    return frame


def _check_items(manifest: Manifest) -> None:
    for name, item in manifest.clips.items():
        condition = item.get("condition")
        if condition not in manifest.conditions:
            raise RecordsError(
                f"the manifest's test item {name!r} has condition {condition!r}; expected one of "
                f"{', '.join(manifest.conditions)}"
            )


def _check_names(records: Iterable[Record], manifest: Manifest) -> None:
    seen: set[tuple[object, ...]] = set()
    for r in records:
        if r.corpus != manifest.corpus:
            raise RecordsError(
                f"the records mix corpora: the manifest is of {manifest.corpus!r}, a record of {r.corpus!r}; "
                "give each corpus its own run directory"
            )
        _known("protocol", r.protocol, manifest.protocols)
        _known("row", row_key(r.method, r.ablation), manifest.methods)
        _known("condition", r.condition, manifest.conditions)
        if r.clip != WHOLE_SET:
            _known("test item", r.clip, manifest.clips)
        key = (r.method, r.ablation, r.seed, r.condition, r.protocol, r.clip)
        if key in seen:
            raise RecordsError(f"two records of {_where(r)}: one suite wrote twice; run it again")
        seen.add(key)


def _known(what: str, name: str, known: Iterable[str]) -> None:
    if name not in known:
        few = ", ".join(list(known)[:12])
        raise RecordsError(f"a record names the {what} {name!r}, which the manifest does not know ({few})")


def _where(r: Record) -> str:
    return f"{row_key(r.method, r.ablation)}, seed {r.seed}, {r.condition}, {r.protocol}, {r.clip}"


def _check_cells(manifest: Manifest) -> None:
    """Every row has a cell for every seed, done or FAILED."""
    for row, info in manifest.methods.items():
        seeds = sorted(c.seed for c in manifest.cells if row_key(c.method, c.ablation) == row)
        if info.kind not in SEEDED_KINDS and len(seeds) == 1:
            continue
        if seeds != sorted(manifest.seeds):
            missing = sorted(set(manifest.seeds) - set(seeds))
            problem = f"seed {missing[0]} is missing" if missing else f"there are cells for seeds {seeds}"
            raise RecordsError(
                f"{row}: expected a cell for each of the seeds {list(manifest.seeds)}, but {problem}; "
                "run the suite again"
            )


def _check_complete(scores: pd.DataFrame, manifest: Manifest) -> None:
    """A protocol that a row has, it has for every seed and for the same clips as every other row."""
    expected: dict[tuple[str, str], tuple[str, frozenset[str]]] = {}
    for row in manifest.methods:
        seeds = [
            c.seed for c in manifest.cells if row_key(c.method, c.ablation) == row and c.status == "done"
        ]
        own = scores.loc[scores["row"] == row]
        if seeds and own.empty:
            raise RecordsError(f"{row}: the manifest says done, but there is no record; run the suite again")
        for condition, protocol in sorted(set(zip(own["condition"], own["protocol"], strict=True))):
            place = (str(condition), str(protocol))
            part = own.loc[(own["condition"] == condition) & (own["protocol"] == protocol)]
            for seed in seeds:
                clips = frozenset(str(clip) for clip in part["clip"][part["seed"] == seed])
                who = f"{row}, seed {seed}"
                first, wanted = expected.setdefault(place, (who, clips))
                if clips != wanted:
                    _refuse_hole(who, first, place, clips, wanted)


def _refuse_hole(
    who: str, first: str, place: tuple[str, str], clips: frozenset[str], wanted: frozenset[str]
) -> None:
    lacking, having = (who, first) if wanted - clips else (first, who)
    clip = sorted(wanted - clips or clips - wanted)[0]
    raise RecordsError(
        f"{place[1]} ({place[0]}): {lacking} has no record of {clip}, which {having} has; run the suite again"
    )
