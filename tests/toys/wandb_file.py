"""Reading a W&B offline file: protobuf records in the framing of LevelDB's log."""

from __future__ import annotations

import json
import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

BLOCK, HEADER = 32768, 7
FULL, FIRST, MIDDLE, LAST = 1, 2, 3, 4


@dataclass
class OfflineRun:
    """What one `.wandb` file holds."""

    id: str = ""
    name: str = ""
    group: str = ""
    config: dict[str, Any] = field(default_factory=dict)
    history: list[dict[str, Any]] = field(default_factory=list)
    summary: dict[str, Any] = field(default_factory=dict)


def payloads(data: bytes) -> Iterator[bytes]:
    """Raises ValueError: not such a file, or it is cut off within a record."""
    if data[:4] != b":W&B":
        raise ValueError(f"expected a file that begins with :W&B, got {data[:4]!r}")
    position, parts = HEADER, b""
    while position < len(data):
        left = BLOCK - position % BLOCK
        if left < HEADER:  # too little for a header: the rest of the block is padding
            position += left
            continue
        _, length, kind = struct.unpack("<IHB", data[position : position + HEADER])
        body = data[position + HEADER : position + HEADER + length]
        if len(body) != length or kind not in (FULL, FIRST, MIDDLE, LAST):
            raise ValueError(f"no record of kind {kind} and {length} bytes at {position}")
        position += HEADER + length
        parts += body
        if kind in (FULL, LAST):
            yield parts
            parts = b""


def read(path: Path) -> OfflineRun:
    from wandb.proto.wandb_internal_pb2 import Record

    run = OfflineRun()
    for payload in payloads(path.read_bytes()):
        record = Record.FromString(payload)
        which = record.WhichOneof("record_type")
        if which == "run":
            run.id, run.name, run.group = record.run.run_id, record.run.display_name, record.run.run_group
            run.config |= _values(record.run.config.update)
        elif which == "config":
            run.config |= _values(record.config.update)
        elif which == "history":
            run.history.append(_values(record.history.item))
        elif which == "summary":
            run.summary |= _values(record.summary.update)
    return run


def _values(items: Any) -> dict[str, Any]:
    return {item.key or ".".join(item.nested_key): json.loads(item.value_json) for item in items}
