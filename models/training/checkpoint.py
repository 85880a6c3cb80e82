"""Checkpoints that are old or new, never a third thing: safetensors beside a JSON that vouches for them.

A save writes a temporary file, flushes it, reads it back, renames it, and only then writes the JSON the
same way. The one before stays until the next is verified. Whatever does not match its digest is not loaded.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save

from models.errors import StorageError, storage_error
from models.files import sync

KEEP = 2


@dataclass(frozen=True)
class Checkpoint:
    step: int
    tensors: dict[str, torch.Tensor]
    state: dict[str, Any]


def _digest(data: bytes) -> str:
    return hashlib.blake2b(data, digest_size=20).hexdigest()


def save_checkpoint(
    folder: Path, *, owner: str, step: int, tensors: Mapping[str, torch.Tensor], state: Mapping[str, Any]
) -> None:
    """
    Args:
        owner: what the checkpoint belongs to; another owner's is never loaded.

    Raises:
        StorageError: it could not be written, or reads back differently; earlier ones are untouched.
    """
    # safetensors refuses tensors that share memory, as tied weights do.
    data = save({name: tensor.detach().cpu().clone().contiguous() for name, tensor in tensors.items()})
    body = json.dumps(
        {"owner": owner, "step": step, "weights": _digest(data), "state": state}, sort_keys=True
    )
    sealed = json.dumps({"body": body, "digest": _digest(body.encode())})
    try:
        folder.mkdir(parents=True, exist_ok=True)
        _write(folder / f"{step:09d}.safetensors", data)
        _write(folder / f"{step:09d}.json", sealed.encode())
        _forget(folder, step)
    except OSError as error:
        raise storage_error(error, f"saving a checkpoint to {folder}") from error


def _write(path: Path, data: bytes) -> None:
    temporary = path.with_name(f".{path.name}.tmp")
    try:
        with temporary.open("wb") as stream:
            stream.write(data)
            stream.flush()
            os.fsync(stream.fileno())
        if _digest(temporary.read_bytes()) != _digest(data):
            raise StorageError(f"{temporary} reads back differently from what was written: check the disk")
        temporary.replace(path)
        sync(path.parent)
    finally:
        temporary.unlink(missing_ok=True)


def _forget(folder: Path, newest: int) -> None:
    steps = sorted((int(p.stem) for p in folder.glob("[0-9]*.json")), reverse=True)
    kept = {newest, *[s for s in steps if s <= newest][:KEEP]}
    for path in folder.glob("[0-9]*"):
        if int(path.name.split(".")[0]) not in kept:
            path.unlink()


def load_checkpoint(folder: Path, *, owner: str, say: Callable[[str], None]) -> Checkpoint | None:
    """The newest checkpoint of `owner` whose digests fit; damaged ones are named through `say`."""
    for path in sorted(folder.glob("[0-9]*.json"), reverse=True):
        try:
            return _read(path, owner)
        except (OSError, ValueError, KeyError, TypeError, RecursionError, SafetensorError) as error:
            say(f"checkpoint {path.stem} of {folder.parent.name} is not used: {error}")
    return None


def _read(path: Path, owner: str) -> Checkpoint:
    sealed = json.loads(path.read_bytes())
    if _digest(sealed["body"].encode()) != sealed["digest"]:
        raise ValueError("its description is damaged")
    body = json.loads(sealed["body"])
    if body["owner"] != owner:
        raise ValueError(f"it belongs to {body['owner']}, not to {owner}")
    data = path.with_suffix(".safetensors").read_bytes()
    if _digest(data) != body["weights"]:
        raise ValueError("its weights are damaged")
    return Checkpoint(step=body["step"], tensors=load(data), state=body["state"])
