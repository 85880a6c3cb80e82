"""Who is in the clips of a folder, as far as somebody says so."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path

from benchmark.data.discovery import composed, printable
from models.errors import InputError
from models.preprocess.media import VIDEO_SUFFIXES

ONE, FOLDER = "one", "folder"


def read_speakers(option: str | None, names: Sequence[str]) -> dict[str, str] | None:
    """Return the speaker of each clip; None where nothing says who they are.

    Args:
        option: `one` where all clips are of one person; `folder` where the first folder of a clip's path is
            its speaker; else a CSV with the columns `file` (a clip's path, with or without suffix) and
            `speaker`.
        names: of the clips, their paths without suffix.

    Raises:
        InputError: a clip without a folder, or a table that cannot be read or lacks a clip.
    """
    if option is None:
        return None
    if option == ONE:
        return dict.fromkeys(names, ONE)
    if option == FOLDER:
        alone = [name for name in names if "/" not in name]
        if alone:
            raise InputError(
                f"--speakers folder: {alone[0]} lies in no folder; expected paths such as ada/{alone[0]}"
            )
        return {name: name.split("/")[0] for name in names}
    table = _read_table(Path(option))
    unknown = [name for name in names if name not in table]
    if unknown:
        more = f" and {len(unknown) - 1} more" if len(unknown) > 1 else ""
        raise InputError(f"{option}: no row for {unknown[0]}{more}")
    return {name: table[name] for name in names}


def _read_table(path: Path) -> dict[str, str]:
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file, strict=True)
            if not {"file", "speaker"} <= set(reader.fieldnames or ()):
                raise InputError(f"{path}, line 1: expected the columns file and speaker")
            rows = [
                (reader.line_num, _name(row["file"] or ""), composed((row["speaker"] or "").strip()))
                for row in reader
            ]
    except OSError as error:
        expected = f"expected {ONE}, {FOLDER} or a CSV"
        raise InputError(f"--speakers {printable(path)}: {error.strerror}; {expected}") from error
    except (csv.Error, UnicodeError) as error:
        raise InputError(f"{path}: not a CSV in UTF-8: {error}") from error
    lines: dict[str, int] = {}
    for line, name, speaker in rows:
        if name in lines:
            raise InputError(f"{path}, line {line}: {name!r} is listed in line {lines[name]} already")
        if not speaker:
            raise InputError(f"{path}, line {line}: no speaker for {name!r}")
        lines[name] = line
    return {name: speaker for _, name, speaker in rows}


def _name(file: str) -> str:
    path = Path(composed(file.strip()))
    return (path.with_suffix("") if path.suffix.lower() in VIDEO_SUFFIXES else path).as_posix()
