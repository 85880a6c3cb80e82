"""Tables of clips for `data=folder`, and drafts of them: python -m benchmark.data.clip_table FOLDER.

A table is a CSV in UTF-8, its columns parted by commas, semicolons or tabs. `file` is a path below the
folder; the others may be left out or empty:

    speaker      who speaks; else the name of the file's folder
    sentence     what is said, as a name: equal for equal words; else the file's own name
    emotion      a label of data.emotions, in any spelling of its noun or adjective (Anger, angry)
    intensity    1, 2, 3, or weak, medium, strong; else 3, and 1 for neutral
    sound        where the sound is, if not in the video: a path below the folder
    sound_start  when it begins, in seconds after the first picture, be it 0: what is recorded after the video
                 is cut; else it begins and ends with the video

The command writes a draft to the screen, with what can be guessed from the names of folders and files:

    python -m benchmark.data.clip_table my/videos > my/videos/clips.csv

Exit code 2: there is no such folder, or no recording in it.
"""

from __future__ import annotations

import csv
import io
import math
import os
import re
import sys
import unicodedata
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmark.data.corpus import CorpusError
from benchmark.data.discovery import composed, find_files
from models.command import run_command
from models.errors import UserError
from models.preprocess.media import AUDIO_SUFFIXES, VIDEO_SUFFIXES

LONGEST_CELL = 1000
"""Characters."""
COLUMNS = ("file", "speaker", "sentence", "emotion", "intensity", "sound", "sound_start")
DELIMITERS = ",;\t"
EMPTY = ("", "nan", "none", "null", "n/a", "na")
"""What programs write where they have no value."""
EXPECTED = f"recordings ({', '.join((*VIDEO_SUFFIXES[:3], *AUDIO_SUFFIXES[:2]))}, ...)"
FARTHEST_START = 60.0
"""Seconds by which a sound may begin before or after the video."""

SPELLINGS = {
    "angry": "angry anger ang",
    "contempt": "contempt contemptuous con",
    "disgusted": "disgusted disgust dis",
    "fear": "fear fearful afraid fea",
    "happy": "happy happiness joy joyful hap",
    "neutral": "neutral neu",
    "sad": "sad sadness",
    "surprised": "surprised surprise sur ps",
    "calm": "calm calmness",
    "boredom": "boredom bored",
}
"""Label -> the ways in which corpora write it."""
EMOTION_OF = {word: label for label, words in SPELLINGS.items() for word in words.split()}
ABBREVIATIONS = ("ang", "con", "dis", "fea", "hap", "neu", "sur", "ps")
"""Spellings that may stand for other things, and count only beside a second emotion."""
INTENSITY_OF = {
    word: level
    for level, words in {
        "1": "1 weak low lo mild level1 l1",
        "2": "2 medium normal moderate md mid level2 l2",
        "3": "3 strong high hi intense level3 l3",
    }.items()
    for word in words.split()
}
VIEWS = ("front", "frontal", "left", "right", "top", "down", "up", "side", "profile")
CONTAINERS = ("video", "videos", "audio", "sound", "sounds", "wav", "mp4", "clips", "files")
"""Folders that say what kind of file is in them, and nothing of who speaks."""
LOADERS = {
    r"0[123]-0[12]-0[1-8]-0[12]-0[12]-0[12]-\d\d": "RAVDESS's names; its speech is data=ravdess",
    r"\d\d[ab]\d\d[WLEAFNT][a-z]": "EMO-DB's names; it is data=emodb",
}
_RAVDESS = re.compile(r"\d\d-\d\d-(0[1-8])-(0[12])-(0[12])-(0[12])-(\d\d)")
_RAVDESS_EMOTIONS = ("neutral", "calm", "happy", "sad", "angry", "fear", "disgusted", "surprised")


@dataclass(frozen=True)
class Row:
    """What is known of one recording."""

    path: Path
    speaker: str
    sentence: str
    emotion: str | None
    intensity: int
    sound: Path | None = None
    """Where the sound is, if not in the recording."""
    sound_start: float | None = None
    """When it begins, in seconds after the first picture; None where nothing is said."""


# Reading


def read_table(root: Path, table: Path, emotions: Sequence[str]) -> list[Row]:
    """Return the rows of a clip table, in its order.

    Raises:
        CorpusError: naming the table and the line: a missing or unknown column, a missing or duplicate file,
            an unknown emotion or intensity, or no rows. Further mistakes are in its `problems`.
    """
    if not table.is_file():
        raise CorpusError(f"{table}: no such table; set data.table, or null to take every recording")
    try:
        text = table.read_bytes().decode("utf-8-sig")
        delimiter = _delimiter(text)
        reader = csv.DictReader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
        reader.fieldnames = [name.strip().lower() for name in reader.fieldnames or ()]
        _check_columns(table, reader.fieldnames)
        lines = [(reader.line_num, record) for record in reader]
    except (csv.Error, UnicodeDecodeError) as error:
        raise CorpusError(f"{table}: not a CSV in UTF-8: {error}") from error
    rows: dict[Path, Row] = {}
    lines_by_path: dict[Path, int] = {}
    mistakes: list[str] = []
    for line, record in lines:
        if not any(_filled(value) for value in record.values()):
            continue
        try:
            row = _row(root, record, emotions)
            if row.path in rows:
                raise CorpusError(f"{record['file']} is listed in line {lines_by_path[row.path]} already")
            rows[row.path], lines_by_path[row.path] = row, line
        except CorpusError as error:
            mistakes.append(f"{table}, line {line}: {error}")
    if mistakes:
        more = f"; nor can {len(mistakes) - 1} other lines be used (named below)" if len(mistakes) > 1 else ""
        raise CorpusError(f"{mistakes[0]}{more}", problems=mistakes if more else ())
    if not rows:
        raise CorpusError(f"{table}: the table has no rows")
    return list(rows.values())


def _filled(value: object) -> bool:
    return any(map(_filled, value)) if isinstance(value, list) else bool(value and str(value).strip())


def _delimiter(text: str) -> str:
    """Return what parts the columns: the delimiter by which the first line names `file`, or else a comma."""
    first = text.splitlines()[0] if text.strip() else ""
    for delimiter in DELIMITERS:
        names = next(csv.reader([first], delimiter=delimiter), [])
        if "file" in [name.strip().lower() for name in names]:
            return delimiter
    return ","


def _check_columns(table: Path, columns: Sequence[str]) -> None:
    if "file" not in columns:
        raise CorpusError(f"{table}, line 1: no column 'file', but {', '.join(columns) or 'nothing'}")
    unknown = [repr(column) for column in columns if column not in COLUMNS]
    if unknown:
        raise CorpusError(
            f"{table}, line 1: unknown column{'s' if len(unknown) > 1 else ''} {', '.join(unknown)}; "
            f"known are {', '.join(COLUMNS)}; rename or remove {'them' if len(unknown) > 1 else 'it'}"
        )
    twice = [column for column in COLUMNS if columns.count(column) > 1]
    if twice:
        raise CorpusError(f"{table}, line 1: column {twice[0]!r} is there twice")


def _row(root: Path, record: dict[str, str], emotions: Sequence[str]) -> Row:
    if None in record or None in record.values():
        raise CorpusError("not as many fields as columns")
    for name, text in record.items():
        if len(text) > LONGEST_CELL or "\0" in text:
            raise CorpusError(f"{name} is no text of at most {LONGEST_CELL} characters")
    value = {name: "" if text.strip().lower() in EMPTY else text.strip() for name, text in record.items()}
    # A person or a sentence may be called "Na" or "None".
    value |= {n: record[n].strip() for n in ("file", "speaker", "sentence") if _is_named(record.get(n, ""))}
    path = _file(root, value["file"], "file")
    emotion = _emotion(value.get("emotion", ""), emotions)
    start = _start(value.get("sound_start", ""))
    sound = _file(root, value["sound"], "sound") if value.get("sound") else None
    if sound is not None and path.suffix.lower() not in VIDEO_SUFFIXES:
        raise CorpusError(f"sound {value['sound']!r}: {value['file']} is itself a sound file")
    if start is not None and sound is None:
        raise CorpusError(f"sound_start {start} without a sound")
    return Row(
        path,
        composed(value.get("speaker") or "") or folder_name(root, path),
        composed(value.get("sentence") or path.stem),
        emotion,
        _intensity(value.get("intensity", ""), emotion),
        sound,
        start,
    )


def _is_named(text: str) -> bool:
    return text.strip().lower() not in ("", "nan")


def _file(root: Path, name: str, column: str) -> Path:
    if not name or Path(name).is_absolute() or ".." in Path(name).parts:
        raise CorpusError(f"{column} {name!r} must be a path below {root}")
    # Some systems compose the characters of file names in another way than the program that wrote the table.
    spellings = (name, composed(name), unicodedata.normalize("NFD", name))
    # Path's own raises where the name is too long.
    path = next((root / each for each in spellings if os.path.isfile(root / each)), None)  # noqa: PTH113
    if path is None:
        raise CorpusError(f"no such file: {root / name}")
    if path.suffix.lower() not in (*AUDIO_SUFFIXES, *VIDEO_SUFFIXES):
        raise CorpusError(f"{name} is no recording: expected {EXPECTED}")
    return path


def _emotion(text: str, emotions: Sequence[str]) -> str | None:
    if not text:
        return None
    by_spelling = {e.lower(): e for e in emotions}
    label = by_spelling.get(text.lower()) or by_spelling.get(EMOTION_OF.get(text.lower(), ""))
    if label is None:
        raise CorpusError(
            f"unknown emotion {text!r}; known are {', '.join(emotions)}; add others by data.emotions=[...]"
        )
    return label


def _intensity(text: str, emotion: str | None) -> int:
    if not text:
        return 1 if emotion in (None, "neutral") else 3
    word = re.sub(r"[\s_-]", "", text.lower()).removesuffix(".0")
    if word not in INTENSITY_OF:
        raise CorpusError(f"intensity {text!r}; expected 1, 2 or 3, or weak, medium or strong")
    return int(INTENSITY_OF[word])


def _start(text: str) -> float | None:
    if not text:
        return None
    try:
        start = float(text)
    except ValueError:
        start = math.nan
    if not abs(start) <= FARTHEST_START:
        raise CorpusError(
            f"sound_start {text!r}; expected seconds from -{FARTHEST_START} to {FARTHEST_START}"
        )
    return start


def folder_name(root: Path, path: Path) -> str:
    """Return the name of a file's folder, which stands for its speaker; "speaker" in the root itself."""
    return composed(path.parent.name) if path.parent != root else "speaker"


# Without a table


def check_tree(root: Path, paths: Sequence[Path]) -> None:
    """Refuse a tree whose lowest folders are no persons, or whose file names hold labels.

    Without a table a recording's speaker is the name of its folder, and it has no emotion. Where folders are
    called `happy`, `front` or `level_3`, or one name is below several others, that would make one person of
    many; where files are called `1001_DFA_ANG_XX`, labels would be lost.

    Raises:
        CorpusError: naming what was seen, with the draft of a table in `problems`.
    """
    reason = _reason_for_table(root, paths)
    if not reason:
        return
    draft = list(drafted(root, paths))
    text = draft_text(draft[:3]).splitlines()
    raise CorpusError(
        f"data=folder: {root} needs a table, as {reason}: run `python -m benchmark.data.clip_table {root} > "
        f"{root}/clips.csv`, check it, and set data.table=clips.csv",
        problems=(*text, f"... (draft of {len(draft)} rows)"),
    )


def _reason_for_table(root: Path, paths: Sequence[Path]) -> str:
    for pattern, loader in LOADERS.items():
        if sum(bool(re.fullmatch(pattern, path.stem)) for path in paths) > len(paths) / 2:
            return f"its files have {loader}"
    folders = {folder for path in paths for folder in path.relative_to(root).parts[:-1]}
    kinds = {kind: sorted(f for f in folders if kind in _kinds(f)) for kind in ("emotion", "level", "view")}
    emotions = {_emotion_word(folder) for folder in kinds["emotion"]}
    if len(emotions) == 1 and all(folder.lower() in ABBREVIATIONS for folder in kinds["emotion"]):
        kinds["emotion"] = []
    if any(kinds.values()):
        listed = ", ".join(repr(folder) for names in kinds.values() for folder in names[:2])
        names = " and ".join({"level": "intensities"}.get(k, f"{k}s") for k, found in kinds.items() if found)
        return f"its folders are {names} ({listed}), no persons"
    homes: dict[str, set[Path]] = {}
    for path in paths:
        homes.setdefault(path.parent.name, set()).add(path.parent)
    if shared := sorted(name for name, places in homes.items() if len(places) > 1):
        places = sorted(place.relative_to(root).as_posix() for place in homes[shared[0]])
        return f"{' and '.join(places[:2])} would be one person, {shared[0]!r}"
    labelled = [label for path in paths if (label := _labels(path.stem).emotion)]
    if len(labelled) > len(paths) / 2 and len(set(labelled)) > 1:
        return f"its files' names hold emotions ({paths[0].name}, ...)"
    return ""


@dataclass
class _Labels:
    """What the parts of a name stand for."""

    emotion: str = ""
    intensity: str = ""
    view: str = ""
    rest: tuple[str, ...] = ()


def _labels(name: str) -> _Labels:
    """Take a name apart at `_`, `-` and blanks, and tell emotion, intensity and view from the rest."""
    joined = re.sub(r"(?i)\b(level|left|right|intensity)[_\- ]+(\d+)\b", r"\1\2", name.replace("_", " "))
    labels = _Labels()
    rest: list[str] = []
    for word in re.split(r"[\s\-]+", joined):
        plain = word.lower()
        if plain in EMOTION_OF and not labels.emotion:
            labels.emotion = EMOTION_OF[plain]
        elif not labels.intensity and (plain in INTENSITY_OF or plain == "xx") and not plain.isdigit():
            labels.intensity = INTENSITY_OF.get(plain, "")
        elif not labels.view and re.sub(r"\d+$", "", plain) in VIEWS:
            labels.view = plain
        elif word:
            rest.append(word)
    labels.rest = tuple(rest)
    return labels


def _kinds(folder: str) -> set[str]:
    """Return what a folder's name is, of emotion, level and view; none for a name that holds more."""
    labels = _labels(folder)
    if labels.rest:
        return set()
    kinds = {"emotion": labels.emotion, "level": labels.intensity, "view": labels.view}
    return {kind for kind, label in kinds.items() if label}


def _emotion_word(folder: str) -> str:
    return _labels(folder).emotion


def drafted(root: Path, paths: Iterable[Path]) -> Iterator[dict[str, str]]:
    """Yield the row of a table for each recording, guessed from names; of several views the first only."""
    entries = [(path, *_guess(root, path)) for path in paths]
    views = Counter(view for _, _, view in entries if view)
    ahead = min(views, key=lambda view: (not view.startswith("front"), view)) if views else ""
    for path, row, view in entries:
        if view in ("", ahead):
            yield {"file": path.relative_to(root).as_posix(), **row}


def _guess(root: Path, path: Path) -> tuple[dict[str, str], str]:
    """Return speaker, sentence, emotion and intensity of a recording, and its view."""
    if match := _RAVDESS.fullmatch(path.stem):
        emotion, intensity, statement, _, actor = match.groups()
        label = _RAVDESS_EMOTIONS[int(emotion) - 1]
        level = "1" if label == "neutral" else str(int(intensity) + 1)
        return {"speaker": actor, "sentence": statement, "emotion": label, "intensity": level}, ""
    folders = [_labels(part) for part in path.relative_to(root).parts[:-1] if part.lower() not in CONTAINERS]
    stem = _labels(path.stem)
    people = ["_".join(labels.rest) for labels in folders if labels.rest]
    rest = [word for word in stem.rest if not people or word != people[0]]
    speaker = people[0] if people else rest.pop(0) if len(rest) > 1 else "speaker"

    def first(name: str) -> str:
        return next((value for labels in (stem, *folders) if (value := getattr(labels, name))), "")

    row = {
        "speaker": speaker,
        "sentence": "_".join(rest) or path.stem,
        "emotion": first("emotion"),
        "intensity": first("intensity"),
    }
    return row, first("view")


def draft_text(rows: Sequence[dict[str, str]]) -> str:
    """Return rows of a draft as CSV."""
    stream = io.StringIO()
    writer: csv.DictWriter[str] = csv.DictWriter(stream, COLUMNS[:5], lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return stream.getvalue()


def recordings_below(root: Path) -> list[Path]:
    """Return every video below a folder, or every sound file where there is no video; sorted."""
    return find_files(root, VIDEO_SUFFIXES) or find_files(root, AUDIO_SUFFIXES)


def main(arguments: Sequence[str]) -> int:
    """Print the draft of a table; the exit code says how it went."""
    return run_command(lambda: _draft(arguments))


def _draft(arguments: Sequence[str]) -> int:
    if {"-h", "--help"} & set(arguments):
        print(__doc__)
        return 0
    if len(arguments) != 1:
        raise UserError(f"expected one folder, got {len(arguments)} arguments; --help says more")
    root = Path(arguments[0])
    if not root.is_dir():
        raise CorpusError(f"{root}: no such folder")
    paths = recordings_below(root)
    if not paths:
        raise CorpusError(f"{root}: nothing usable in it: expected {EXPECTED}")
    rows = list(drafted(root, paths))
    print(draft_text(rows), end="")
    if len(rows) < len(paths):
        print(f"left out: {len(paths) - len(rows)} recordings of other views", file=sys.stderr)
    print("a draft: check who speaks, and that equal sentences have equal names", file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
