"""The face model of the paper: BFM 2009 shape and FaceWarehouse expression on the 53,215-vertex mesh.

Its files may not be passed on, so whoever has `base_weight.pickle` of the EVP release imports it:
vertices = base + weight @ (199 shape, 29 expression coefficients). The mesh's axes are x right, y up,
z towards the viewer.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from models.artefacts import ArtefactError, load_arrays, save_arrays
from models.face3d.pickled_arrays import read_arrays

VERTICES = 53_215
SHAPES = 199
EXPRESSIONS = 29

MAX_BYTES = 2 * 8 * 3 * VERTICES * (1 + SHAPES + EXPRESSIONS)
"""Twice what float64 takes: the oldest pickle protocols write some bytes as several."""

LANDMARKS_106 = (
    21873, 22140, 22149, 22028, 21653, 21281, 21036, 21304, 43236, 44059, 44918,
    45527, 46166, 46673, 47135, 47525, 47914, 48305, 48695, 49159, 49667, 50308,
    50924, 51784, 52613, 33430, 33678, 33407, 33005, 32606, 32469, 32460, 32709,
    38695, 39392, 39782, 39987, 40154, 40893, 41059, 41267, 41661, 42367,
    8161, 8177, 8187, 8192, 6515, 7243, 8204, 9163, 9883,
    2215, 3629, 5051, 6215, 4932, 3384, 10077, 11226, 12642, 14066, 12913, 11365,
    2968, 4516, 5549, 6317, 9931, 10691, 11723, 13142,
    4403, 4287, 4280, 11868, 12010, 12003,
    7075, 9115, 6741, 9624, 5486, 10887,
    5522, 6025, 7495, 8215, 8935, 10395, 10795, 9555, 8836, 8236, 7636, 6915,
    5909, 7384, 8223, 9064, 10537, 8829, 8229, 7629,
    4280, 12003,
)  # fmt: skip
"""The vertex under each of EVP's 106 landmarks, as released."""


@dataclass(frozen=True)
class BaseWeight:
    """The arrays as released, float32, in the mesh's own units and axes."""

    base: np.ndarray
    """(3, 53215) mean."""
    weight: np.ndarray
    """(3, 53215, 228): 199 shape columns, then 29 of expression."""


def read_base_weight(path: str | Path) -> BaseWeight:
    """Read `base_weight.pickle`, protocols 0 to 5, executing nothing of it.

    Raises:
        ArtefactError: the file is missing, cut short, too large, of other arrays, or asks for anything but
            arrays.
    """
    return _checked(read_arrays(Path(path), MAX_BYTES), Path(path))


def convert(path: str | Path, out: str | Path) -> Path:
    """Write what `base_weight.pickle` holds as safetensors, and return where.

    Raises:
        ArtefactError: see `read_base_weight`.
        OSError: it could not be written.
    """
    read = read_base_weight(path)
    save_arrays(Path(out), {"base": read.base, "weight": read.weight})
    return Path(out)


def load(path: str | Path) -> BaseWeight:
    """What `convert` wrote.

    Raises:
        ArtefactError: the file is missing, damaged or of other arrays.
    """
    return _checked(load_arrays(Path(path)), Path(path))


def _checked(arrays: dict[str, np.ndarray], path: Path) -> BaseWeight:
    expected = {"base": (3, VERTICES), "weight": (3, VERTICES, SHAPES + EXPRESSIONS)}
    found = {name: array.shape for name, array in arrays.items()}
    if found != expected:
        raise ArtefactError(f"{path} holds {found}; expected the EVP face model, {expected}")
    if not all(np.isfinite(array).all() for array in arrays.values()):
        raise ArtefactError(f"{path} holds NaN or infinity; expected finite arrays")
    return BaseWeight(**{name: np.ascontiguousarray(a, np.float32) for name, a in arrays.items()})
