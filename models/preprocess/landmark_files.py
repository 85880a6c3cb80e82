"""Landmark files: `.npy` arrays and `.csv` or `.txt` tables, read right or refused in one line by name.

Nothing in a file is executed, and nothing is allocated for what a header claims: an array's shape is compared
with the frames that are expected, and with the size of the file, before any of it is read.
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from models.errors import InputError
from models.landmarks.topology import IBUG68

POINTS = IBUG68.num_points
COLUMNS = 2 * POINTS
LANDMARK_SUFFIXES = (".npy", ".csv", ".txt")
MAX_BYTES = 64 * 2**20
"""Largest file that is read: five minutes of landmarks take 8 MB as numbers and 30 MB as text."""
MAX_LINE = 2**14
"""Characters of a line; 136 numbers with all their digits take 4,000."""
FARTHEST = 1e5
"""Pixels from the picture's corner; no video is that large, and a point may lie somewhat outside of it."""
ENCODINGS = {codecs.BOM_UTF8: "utf-8-sig", codecs.BOM_UTF16_LE: "utf-16", codecs.BOM_UTF16_BE: "utf-16"}
_NAMED_AXIS = re.compile(r"[\W_]*([xy])[\W_]*\d*[\W_]*|.*[\W_]([xy])", re.IGNORECASE)


def read_landmarks(path: Path, frames: int) -> np.ndarray:
    """Return a file's landmarks, (frames, 68, 2) float32 pixels of the video, NaN where there is no face.

    A table has 136 numbers a row, x before y, parted by commas, semicolons, tabs or blanks, with or without a
    line of names; an empty field is NaN. Lines that begin with # are comments.

    Raises:
        InputError: naming the file: it isn't readable as such, has another number of rows or columns, only
            some points of a frame, or points where no picture is.
    """
    try:
        size = path.stat().st_size
        if size > MAX_BYTES:
            raise InputError(
                f"{path}: {size / 2**20:.0f} MB are more than the landmarks of one video can take"
            )
        reader = {".npy": _read_array}.get(path.suffix.lower(), _read_table)
        if path.suffix.lower() not in LANDMARK_SUFFIXES:
            raise InputError(f"{path}: expected landmarks as {', '.join(LANDMARK_SUFFIXES)}")
        landmarks = reader(path, frames)
    except OSError as error:
        raise InputError(f"{path}: cannot be read as landmarks: {error.strerror or error}") from error
    _check_points(path, landmarks)
    return landmarks.astype(np.float32)


def _read_array(path: Path, frames: int) -> np.ndarray:
    """Map a `.npy` file and return its numbers, (frames, 68, 2) float64."""
    with path.open("rb") as file:
        start = file.read(len(np.lib.format.MAGIC_PREFIX))
    if start.startswith(b"PK"):
        raise InputError(
            f"{path}: cannot be read as landmarks: an archive; expected a single array (np.save)"
        )
    if start != np.lib.format.MAGIC_PREFIX:
        raise InputError(f"{path}: cannot be read as landmarks: no array as np.save writes it")
    try:
        array = np.load(path, mmap_mode="r", allow_pickle=False)
    except OSError:
        raise
    except Exception as error:  # A hostile header raises whatever NumPy's parser meets.
        reason = " ".join(str(error).split())[:120]
        raise InputError(f"{path}: cannot be read as landmarks: {reason}") from error
    if array.shape not in ((frames, POINTS, 2), (frames, COLUMNS)):
        _refuse_shape(path, array.shape, frames)
    if array.dtype.kind not in "fiu":
        raise InputError(f"{path}: landmarks of type {array.dtype}; expected real numbers")
    return np.array(array, np.float64).reshape(frames, POINTS, 2)


def _refuse_shape(path: Path, shape: Sequence[int], frames: int) -> None:
    raise InputError(
        f"{path}: landmarks of shape {tuple(shape)}; expected {(frames, POINTS, 2)} or {(frames, COLUMNS)}, "
        "one row for each frame at 25 fps"
    )


def _read_table(path: Path, frames: int) -> np.ndarray:
    """Read a `.csv` or `.txt` file, (frames, 68, 2) float64."""
    rows = np.full((frames, COLUMNS), np.nan)
    order: list[int] | None = None
    count = 0
    separator: str | None = None
    for number, line in _lines(path):
        if count == 0 and order is None:
            separator = _separator(path, number, line)
        fields = _fields(line, separator)
        if count == 0 and order is None and not any(_is_number(field) for field in fields):
            order = _order_of(fields)
            continue
        if len(fields) != COLUMNS:
            raise InputError(f"{path}, line {number}: {len(fields)} columns; expected {COLUMNS}, x before y")
        if count < frames:
            rows[count] = _numbers(path, number, fields)
        count += 1
    if count != frames:
        _refuse_shape(path, (count, COLUMNS), frames)
    return (rows[:, order] if order else rows).reshape(frames, POINTS, 2)


def _lines(path: Path) -> Iterator[tuple[int, str]]:
    """Yield the numbers and texts of lines that have something to say."""
    with path.open("rb") as file:
        start = file.read(4)
    encoding = next((name for mark, name in ENCODINGS.items() if start.startswith(mark)), "utf-8")
    try:
        with path.open(encoding=encoding) as file:
            number = 0
            while line := file.readline(MAX_LINE + 1):
                number += 1
                if len(line) > MAX_LINE:
                    raise InputError(f"{path}, line {number}: longer than {COLUMNS} numbers can be")
                if line.strip() and not line.lstrip().startswith("#"):
                    yield number, line.strip("\r\n ")
    except UnicodeError as error:
        raise InputError(
            f"{path}: cannot be read as landmarks: no text in UTF-8 ({str(error)[:80]})"
        ) from error


def _separator(path: Path, number: int, line: str) -> str | None:
    """The separator of a table by its first line; None for blanks."""
    if ";" in line and "," in line:
        raise InputError(
            f"{path}, line {number}: has both semicolons and commas; expected numbers with decimal points, "
            "parted by one of them"
        )
    return next((mark for mark in ";,\t" if mark in line), None)


def _fields(line: str, separator: str | None) -> list[str]:
    fields = [field.strip() for field in line.split(separator)]
    if len(fields) == COLUMNS + 1 and not fields[-1]:
        # A separator after the last field.
        fields.pop()
    return fields


def _is_number(field: str) -> bool:
    try:
        float(field)
    except ValueError:
        return False
    return True


def _order_of(names: Sequence[str]) -> list[int] | None:
    """The columns in the order x, y of each point, where their names say that they are in another one."""
    axes = [match and (match[1] or match[2]).lower() for match in map(_NAMED_AXIS.fullmatch, names)]
    columns = {axis: [k for k, name in enumerate(axes) if name == axis] for axis in "xy"}
    if len(names) != COLUMNS or any(len(each) != POINTS for each in columns.values()):
        return None
    return [k for pair in zip(columns["x"], columns["y"], strict=True) for k in pair]


def _numbers(path: Path, number: int, fields: Sequence[str]) -> list[float]:
    try:
        if any("_" in field or not field.isascii() for field in fields):
            raise ValueError
        return [float(field) if field else np.nan for field in fields]
    except ValueError:
        wrong = next(
            field
            for field in fields
            if field and (not _is_number(field) or not field.isascii() or "_" in field)
        )
        raise InputError(f"{path}, line {number}: {wrong[:40]!r} is no number") from None


def _check_points(path: Path, landmarks: np.ndarray) -> None:
    """Refuse frames with only some points, or with points where no picture is."""
    missing = np.isnan(landmarks).mean((1, 2))
    with np.errstate(invalid="ignore"):
        far = (np.abs(landmarks) > FARTHEST).any((1, 2))
    one_place = (landmarks == landmarks[:, :1]).all((1, 2))
    for wrong, reason in (
        (
            np.isinf(landmarks).any((1, 2)),
            "infinite in frame {}; expected pixels, or NaN where no face was found",
        ),
        (
            (missing > 0) & (missing < 1),
            "frame {} lacks some points only; expected all points, or NaN in all of them",
        ),
        (
            far,
            f"frame {{}} has a point farther than {FARTHEST:.0f} pixels away; expected pixels of the video",
        ),
        (
            one_place,
            "frame {} has all points in one place; expected NaN where no face was found",
        ),
    ):
        if wrong.any():
            raise InputError(f"{path}: {reason.format(int(np.flatnonzero(wrong)[0]))}")
