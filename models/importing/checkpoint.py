"""Reads a checkpoint that somebody brought: tensors by name, and nothing else that may be in the file.

A torch checkpoint is a pickle, and a pickle is a program. It is read with `weights_only`, which builds
tensors and plain containers and calls nothing else, after the file's size and form have been looked at; what
comes out must be exactly the tensors that were expected.
"""

from __future__ import annotations

import pickle
import re
import warnings
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from models.artefacts import ARRAY_FILE_ERRORS
from models.errors import InputError
from models.importing.names import DATA_PARALLEL, Entry, Keys

SAFE_TORCH = (2, 10)
"""Before, a crafted file could get past `weights_only`."""
SLACK = 64 * 2**20
"""Bytes of a file beyond twice what its tensors take in float32."""
_ENTRIES = 64
"""Members of a torch archive besides one for each tensor."""
_SHOWN = 4


def read_tensors(path: Path, keys: Keys, kinds: Mapping[str, Keys]) -> dict[str, Tensor]:
    """The tensors of a released checkpoint by released name, without `module.` before it.

    Args:
        keys: what the file must have; every name must be there, but for those not needed, and no other.
        kinds: all that a file could be, to say what it looks like if it is something else.

    Raises:
        InputError: the file is missing, damaged, too large, asks for code, or holds other tensors.
    """
    require_safe_torch()
    _require_file(path)
    limit = 8 * sum(int(np.prod(entry.shape)) for entry in keys.values()) + SLACK
    if path.stat().st_size > limit:
        raise InputError(
            f"{path} has {path.stat().st_size:,} bytes; expected at most {limit:,}: it is another file"
        )
    _require_torch_file(path, limit, len(keys))
    state = _state(_load(path), path)
    _require_names(state, keys, kinds, path)
    for name, tensor in state.items():
        _require_tensor(name, tensor, keys[name], path)
    return state


def require_safe_torch() -> None:
    found = tuple(int(part) for part in torch.__version__.split(".")[:2])
    if found < SAFE_TORCH:
        raise InputError(
            f"torch {torch.__version__} cannot read a file that somebody else made safely: "
            f"install torch {'.'.join(map(str, SAFE_TORCH))} or later"
        )


def read_npy(path: Path, shapes: tuple[tuple[int | None, ...], ...]) -> np.ndarray:
    """A float array of one of the shapes (None: any length) from an .npy file, as float32.

    Raises:
        InputError: the file is missing, damaged, holds Python objects, or another array.
    """
    _require_file(path)
    expected = " or ".join(str(tuple("n" if n is None else n for n in shape)) for shape in shapes)
    try:
        array = np.load(path, mmap_mode="r", allow_pickle=False)
    except ARRAY_FILE_ERRORS as error:
        raise InputError(f"{path} is no .npy file of floats ({_line(error)}); expected {expected}") from error
    if not isinstance(array, np.ndarray) or array.dtype.kind != "f":
        raise InputError(f"{path} is no .npy file of floats; expected {expected}")
    if not any(_fits(array.shape, shape) for shape in shapes):
        raise InputError(f"{path} has the shape {array.shape}; expected {expected}")
    values = np.array(array, np.float32)
    if not np.isfinite(values).all():
        raise InputError(f"{path} holds NaN or infinity")
    return values


def _fits(shape: tuple[int, ...], expected: tuple[int | None, ...]) -> bool:
    return len(shape) == len(expected) and all(e in (None, n) for n, e in zip(shape, expected, strict=True))


def _require_file(path: Path) -> None:
    if not path.is_file():
        raise InputError(f"{path} is {'no file' if path.exists() else 'missing'}")
    if path.stat().st_size == 0:
        raise InputError(f"{path} is empty")


def _require_torch_file(path: Path, limit: int, tensors: int) -> None:
    """Refuse an archive that unpacks to more than it holds, and files that are plainly something else."""
    with path.open("rb") as file:
        start = file.read(8)
    try:
        if not zipfile.is_zipfile(path):
            if start[:1] == b"\x80":
                return
            looks = ": it is an .npy file" if start.startswith(b"\x93NUMPY") else ""
            raise InputError(f"{path} is no torch checkpoint{looks}")
        with zipfile.ZipFile(path) as archive:
            members = archive.infolist()
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError) as error:
        raise InputError(f"{path} is damaged ({_line(error)})") from error
    if not any(member.filename.endswith("data.pkl") for member in members):
        raise InputError(f"{path} is an archive but no torch checkpoint: unpack it and name the file in it")
    names = {member.filename for member in members}
    if len(members) > tensors + _ENTRIES or len(names) != len(members):
        raise InputError(
            f"{path} has {len(members)} members; expected at most {tensors + _ENTRIES}, once each"
        )
    if any(member.compress_type != zipfile.ZIP_STORED for member in members):
        raise InputError(f"{path} is compressed, which torch's own files are not")
    if sum(member.file_size for member in members) > min(limit, path.stat().st_size):
        raise InputError(f"{path} unpacks to more than it holds")


def _load(path: Path) -> Any:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        asked = re.search(r"GLOBAL (\S+)", str(error))
        why = f"it asks for {_line(asked[1])}" if asked else "it is damaged, or holds more than tensors"
        raise InputError(f"{path} is refused, and nothing in it was executed: {why}") from error
    except Exception as error:
        # Whatever a damaged file makes of the reader, it is the file that is wrong.
        raise InputError(f"{path} is damaged ({type(error).__name__}: {_line(error)})") from error


def _state(loaded: Any, path: Path) -> dict[str, Any]:
    """The state dictionary, taken out of what the disentanglement wraps it in and of data-parallel names."""
    if isinstance(loaded, dict) and isinstance(loaded.get("model"), dict):
        loaded = loaded["model"]
    if not isinstance(loaded, dict) or not loaded or not all(isinstance(name, str) for name in loaded):
        raise InputError(f"{path} holds no state dictionary; expected tensors by name")
    if all(name.startswith(DATA_PARALLEL) for name in loaded):
        return {name.removeprefix(DATA_PARALLEL): value for name, value in loaded.items()}
    return dict(loaded)


def _require_names(state: Mapping[str, Any], keys: Keys, kinds: Mapping[str, Keys], path: Path) -> None:
    unknown = [name for name in state if name not in keys]
    missing = [name for name, entry in keys.items() if entry.needed and name not in state]
    if not unknown and not missing:
        return
    parts = []
    if missing:
        parts.append(f"{len(missing)} tensors are missing ({_some(missing)})")
    if unknown:
        parts.append(f"{len(unknown)} are unknown ({_some(unknown)})")
    known = {
        kind: len(state.keys() & table.keys()) / len(state.keys() | table.keys())
        for kind, table in kinds.items()
    }
    likeliest = max(known, key=lambda kind: known[kind])
    if known[likeliest] > 0.5 and kinds[likeliest] is not keys:
        parts.append(f"it looks like {likeliest!r}")
    raise InputError(f"{path} holds other weights: {'; '.join(parts)}")


def _require_tensor(name: str, tensor: Any, entry: Entry, path: Path) -> None:
    if not isinstance(tensor, Tensor) or tensor.layout != torch.strided or tensor.is_quantized:
        raise InputError(f"{path}: {name} is no plain tensor")
    if tuple(tensor.shape) != entry.shape:
        raise InputError(f"{path}: {name} has the shape {tuple(tensor.shape)}; expected {entry.shape}")
    counter = entry.shape == ()
    if counter == tensor.is_floating_point() or tensor.is_complex():
        kind = "a whole number" if counter else "floating point"
        raise InputError(f"{path}: {name} is of {tensor.dtype}; expected {kind}")
    if entry.ours is not None and not torch.isfinite(tensor).all():
        raise InputError(f"{path}: {name} holds NaN or infinity")


def _some(names: list[str]) -> str:
    shown = ", ".join(_line(name) for name in sorted(names)[:_SHOWN])
    return shown + (", ..." if len(names) > _SHOWN else "")


def _line(text: object) -> str:
    """The beginning of a text from a file, on one line and without control characters."""
    first = next(iter(str(text).strip().splitlines()), "")
    return "".join(c if c.isprintable() else "?" for c in first)[:160]
