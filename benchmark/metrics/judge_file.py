"""How trained judges are stored: safetensors that name their format, written whole or not at all."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from models.files import replacing


class JudgeError(ValueError):
    """A judge that cannot be trained, loaded or asked: what was expected, what came."""


def save_judge(path: Path, arrays: Mapping[str, np.ndarray], form: str, facts: Mapping[str, Any]) -> None:
    """
    Args:
        form: the judge's kind and the version of its layout.
        facts: what is not an array; goes through JSON.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    whole = {name: np.ascontiguousarray(array) for name, array in arrays.items()}
    with replacing(path) as temporary:
        # One entry: safetensors writes several in an order that changes from call to call.
        temporary.write_bytes(save(whole, metadata={form: json.dumps(facts, sort_keys=True)}))


def load_judge(path: Path, form: str, what: str) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """The arrays and the facts of a judge.

    Args:
        what: the judge's name in a message, such as "emotion judge".

    Raises:
        JudgeError: the file is missing or is not a judge of this form.
    """
    if not path.is_file():
        raise JudgeError(f"no {what} at {path}: train it first")
    try:
        with safe_open(path, framework="numpy") as stored:
            metadata = stored.metadata() or {}
            arrays = {name: stored.get_tensor(name) for name in stored.keys()}  # noqa: SIM118
        facts = json.loads(metadata[form])
    except (SafetensorError, OSError) as error:
        raise JudgeError(f"{path} is no readable {what} ({error}); train it again") from error
    except (KeyError, ValueError) as error:
        raise JudgeError(f"{path} is no {what} of this version; train it again") from error
    return arrays, facts
