"""What stages leave behind: arrays and module weights as safetensors. Nothing here reads a pickle."""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from pathlib import Path
from tokenize import TokenError
from zipfile import BadZipFile

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load_file, save
from safetensors.torch import load_file as load_tensors
from safetensors.torch import save as save_tensors
from torch import Tensor, nn

from models.errors import UserError

ARRAY_FILE_ERRORS = (
    OSError,
    ValueError,
    EOFError,
    SyntaxError,
    TokenError,
    MemoryError,
    OverflowError,
    RecursionError,
    NotImplementedError,
    BadZipFile,
    zlib.error,
)
"""What NumPy raises on damaged `.npy` and `.npz` files: their headers are Python, their archives ZIP."""


class ArtefactError(UserError):
    """A stage's file that is missing, damaged, or not what its reader expects."""


def save_arrays(path: Path, arrays: Mapping[str, np.ndarray]) -> None:
    """Write named arrays; the order of names is not kept.

    Raises:
        OSError: they could not be written.
    """
    # Not save_file: its error for a full disk is that of a damaged file.
    path.write_bytes(save({name: np.ascontiguousarray(array) for name, array in arrays.items()}))


def load_arrays(path: Path) -> dict[str, np.ndarray]:
    """The named arrays of a file.

    Raises:
        ArtefactError: the file is missing or damaged.
    """
    _require(path)
    try:
        return load_file(str(path))
    except SafetensorError as error:
        raise _damaged(path, error) from error


def save_module(path: Path, module: nn.Module) -> None:
    """Write a module's parameters and buffers.

    Raises:
        OSError: they could not be written.
    """
    save_state(path, module.state_dict())


def save_state(path: Path, state: Mapping[str, Tensor]) -> None:
    """Write named tensors, as `load_module` reads them.

    Raises:
        OSError: they could not be written.
    """
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in state.items()}
    path.write_bytes(save_tensors(tensors))


def load_module(path: Path, module: nn.Module) -> None:
    """Fill a module with the weights in a file, which must have exactly its names and shapes.

    Raises:
        ArtefactError: the file is missing or damaged, or is of another network or scale.
    """
    _require(path)
    try:
        state = load_tensors(str(path))
    except SafetensorError as error:
        raise _damaged(path, error) from error
    try:
        module.load_state_dict(state, strict=True)
    except RuntimeError as error:
        raise ArtefactError(f"{path} holds another network than {type(module).__name__}: {error}") from error


def _require(path: Path) -> None:
    if not path.is_file():
        raise ArtefactError(f"{path} is missing: run the stage that writes it")


def _damaged(path: Path, error: Exception) -> ArtefactError:
    return ArtefactError(f"{path} is damaged ({error}): delete its folder and run the stage again")
