"""Read weights that others have published: the whole file is checked before a byte of it is interpreted."""

from __future__ import annotations

import hashlib
import io
import pickle
from pathlib import Path

import torch
from torch import Tensor

from models.errors import InputError


def published_bytes(path: Path, sha256: str) -> bytes:
    """Return the content of a published file.

    Raises:
        InputError: it cannot be read, or is another file; the message has both digests.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror})") from error
    digest = hashlib.sha256(content).hexdigest()
    if digest != sha256:
        raise InputError(
            f"{path} is not the file that was published: expected SHA-256 {sha256}, got {digest}; "
            "download it again"
        )
    return content


def published_tensors(path: Path, sha256: str) -> dict[str, Tensor]:
    """Return the named tensors of a published torch file. Nothing but tensors is ever built from it.

    Raises:
        InputError: another file, or one that holds something else.
    """
    content = published_bytes(path, sha256)
    try:
        state = torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError, ValueError) as error:
        reason = str(error).split("\n")[0]
        raise InputError(f"{path} does not hold tensors alone, and is not loaded ({reason})") from error
    if not isinstance(state, dict) or not all(isinstance(each, Tensor) for each in state.values()):
        raise InputError(f"{path} does not hold named tensors: expected a state dict")
    return state


def own_file(state: dict[str, Tensor]) -> io.BytesIO:
    """Return a torch file that we have written, for libraries that unpickle whatever they are given."""
    file = io.BytesIO()
    torch.save(state, file)
    file.seek(0)
    return file
