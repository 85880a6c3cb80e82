"""EMO-DB, the Berlin Database of Emotional Speech (Burkhardt et al., Interspeech 2005): German, speech only.

Layout: `wav/SSttteV.wav` (speaker, text, emotion, version), and beside it, where they come along, the human
labels `lablaut/*.lablaut` (phones) and `silb/*.silb` (syllables). Versions of one speaker, text and emotion
are separate clips. The actors played every emotion at one, full, strength: intensity 3; neutral is 1.

The archive's labels have gaps: files without a label, and symbols that no table explains. A recording whose
label file cannot be used is left out; a symbol that is not known gives a mouth at rest while it lasts. Either
is said in the notes, by file.

The times of both kinds of label are where a segment starts, whatever the program xlabel means by them. So
read, vowels are 17 dB louder than stops, and the last label, ".", is silent; read as ends, they are 4 dB
quieter.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import numpy as np

from benchmark.data.corpus import CorpusError
from benchmark.data.discovery import find_files
from benchmark.data.recordings import (
    Inspection,
    Recordings,
    Segment,
    Unusable,
    check_sound,
    fullest_speaker,
    require_files,
    require_folder,
)
from benchmark.data.synthetic.visemes import SILENCE, sampa_viseme
from benchmark.names import few
from models.audio.framing import SAMPLE_RATE
from models.preprocess.decoder import shared_decoder
from models.preprocess.media import DECODING
from models.preprocess.pipeline import whole_frames
from models.types import Clip

VERSION = 2
MOST_SYMBOLS = 20
"""Phone labels that a note names; an archive with more of them is not EMO-DB's."""
EXPECTED = "wav/03a01Fa.wav, ..."
EMOTIONS = {
    "W": "angry",
    "L": "boredom",
    "E": "disgusted",
    "A": "fear",
    "F": "happy",
    "N": "neutral",
    "T": "sad",
}
"""Letter of the German word -> MEAD's label; boredom is not one of MEAD's."""
TEXTS = {
    "a01": "Der Lappen liegt auf dem Eisschrank.",
    "a02": "Das will sie am Mittwoch abgeben.",
    "a04": "Heute abend könnte ich es ihm sagen.",
    "a05": "Das schwarze Stück Papier befindet sich da oben neben dem Holzstück.",
    "a07": "In sieben Stunden wird es soweit sein.",
    "b01": "Was sind denn das für Tüten, die da unter dem Tisch stehen?",
    "b02": "Sie haben es gerade hochgetragen und jetzt gehen sie wieder runter.",
    "b03": "An den Wochenenden bin ich jetzt immer nach Hause gefahren und habe Agnes besucht.",
    "b09": "Ich will das eben wegbringen und dann mit Karl was trinken gehen.",
    "b10": "Die wird auf dem Platz sein, wo wir sie immer hinlegen.",
}
_NAME = re.compile(r"(\d\d)([ab]\d\d)([WLEAFNT])([a-z])")


class EmoDB(Recordings):
    """The recordings at `root`. The default subject is the speaker with the most of them."""

    name = "emodb"
    description = (
        "Berlin Database of Emotional Speech: German sentences spoken by actors (Burkhardt et al., 2005)."
    )
    emotions = tuple(EMOTIONS.values())
    has_frames = False
    has_landmarks = False

    def __init__(
        self, *, root: str, cache: str, unusable: Unusable = "refuse", left_out: Sequence[str] = ()
    ) -> None:
        self._root = Path(root)
        self._cache = cache
        self.unusable = unusable
        require_folder("EMO-DB", self._root, EXPECTED)
        wav = self._root / "wav"
        files = find_files(wav, (".wav",)) if wav.is_dir() else []
        paths = [p for p in files if p.parent == wav and _NAME.fullmatch(p.stem)]
        require_files("EMO-DB", self._root, paths, EXPECTED)
        # Without any label file the voices can be listed and heard, though no mouth can be moved by them.
        self.labelled = any(self._label_file(p.stem).is_file() for p in paths)
        faults = {p: fault for p in paths if (fault := self._label_fault(p.stem))} if self.labelled else {}
        usable = self._split_off((p for p in paths if p not in faults), left_out)
        self._files = {path.stem: path for path in usable}
        require_files("EMO-DB", self._root, usable, f"{EXPECTED} with labels lablaut/03a01Faxx.lablaut, ...")
        self.notes = (*_fault_notes(faults), *self._unknown_notes())
        self.default_subject = fullest_speaker(self.clips())

    def _settings(self) -> str:
        return f"emodb v{VERSION} {DECODING}"

    def _sources(self) -> tuple[Path, ...]:
        recordings = self._recordings()
        labels = (self._label_file(path.stem) for path in recordings)
        return (*recordings, *(path for path in labels if path.is_file()))

    def _clip(self, name: str, directory: Path) -> Clip:
        match = _NAME.fullmatch(name)
        assert match is not None
        speaker, text, letter, _ = match.groups()
        return Clip(
            id=name,
            speaker=speaker,
            sentence=text,
            emotion=EMOTIONS[letter],
            intensity=1 if letter == "N" else 3,
            directory=directory,
            text=TEXTS.get(text, ""),
        )

    def _arrays(self, clip: Clip) -> Mapping[str, np.ndarray]:
        return {"waveform": whole_frames(shared_decoder().sound(self._files[clip.id]).waveform)}

    def phones(self, clip: Clip) -> list[Segment]:
        """The human phone labels of a prepared clip, from its start to its end.

        Raises:
            CorpusError: the clip has no label file, or it cannot be read.
        """
        return _segments(read_xlabel(self._existing(self._label_file(clip.id))), _seconds(clip))

    def visemes(self, clip: Clip) -> list[Segment]:
        """Return the mouth shapes of a prepared clip by its phone labels; unknown ones leave it at rest."""
        shapes: list[Segment] = []
        previous = SILENCE
        for phone in self.phones(clip):
            previous = viseme(phone.symbol, previous) or SILENCE
            if shapes and shapes[-1].symbol == previous:
                shapes[-1] = shapes[-1]._replace(end=phone.end)
            else:
                shapes.append(Segment(previous, phone.start, phone.end))
        return shapes

    def syllables(self, clip: Clip) -> list[Segment]:
        """The human syllable times of a prepared clip, from its start to its end; "." is silence.

        Empty where the file is, as one of the archive's is.
        """
        path = self._existing(self._root / "silb" / f"{clip.id}.silb")
        try:
            rows = [line.split(maxsplit=1) for line in _text(path).splitlines() if line.strip()]
            marks = [Mark(label.strip(), float(start)) for start, label in rows]
        except ValueError as error:
            raise CorpusError(f"{path}: expected lines of a start time and a syllable: {error}") from error
        return _segments(_ordered(marks, path), _seconds(clip)) if marks else []

    def heads(self) -> np.ndarray:
        raise CorpusError("EMO-DB has no faces: use face=parametric")

    def _label_file(self, stem: str) -> Path:
        return self._root / "lablaut" / f"{stem}xx.lablaut"

    def _label_fault(self, stem: str) -> str:
        """Return what is wrong with a recording's label file as a whole; "" if it can be used."""
        path = self._label_file(stem)
        try:
            marks = read_xlabel(self._existing(path))
        except (CorpusError, OSError) as error:
            return " ".join(str(error).split()).removeprefix(str(path)).lstrip(":, ")
        return "" if marks else "it has no labels"

    def _unknown_notes(self) -> list[str]:
        """Say which symbols of the labels in use are not known, and in which recordings."""
        places: dict[str, list[str]] = {}
        for stem in self._files if self.labelled else ():
            previous = SILENCE
            for mark in read_xlabel(self._label_file(stem)):
                shape = viseme(mark.symbol, previous)
                if shape is None:
                    places.setdefault(mark.symbol, []).append(stem)
                previous = shape or SILENCE
        if not places:
            return []
        stems = {stem for found in places.values() for stem in found}
        symbols = [
            f"{ascii(symbol)[:40]} {len(found)} times in {few(list(dict.fromkeys(found)))}"
            for symbol, found in sorted(places.items())
        ]
        listed = few(symbols, MOST_SYMBOLS, between="; ")
        return [
            f"{len(places)} phone labels in {len(stems)} of {len(self._files)} recordings are not known, and "
            f"the mouth is at rest while they last: {listed}."
        ]

    def inspect(self, progress: Callable[[int, int], None] = lambda done, total: None) -> Inspection:
        if not self.labelled:
            raise CorpusError(
                f"EMO-DB at {self._root} has no phone labels (lablaut/03a01Faxx.lablaut, ...), which move "
                "the mouth: add the label archive that comes with it"
            )
        return super().inspect(progress)

    def _inputs(self, clip_id: str) -> tuple[Path, ...]:
        return (self._files[clip_id], self._label_file(clip_id))

    def _check(self, path: Path, *others: Path) -> str:
        waveform = shared_decoder().sound(path).waveform
        check_sound(waveform)
        seconds = len(waveform) / SAMPLE_RATE
        if not any(s.symbol != "." for s in _segments(read_xlabel(others[0]), seconds)[1:]):
            raise CorpusError(f"none of its phone labels lies within its {seconds:.2f} s of sound")
        return ""

    def _existing(self, path: Path) -> Path:
        if not path.is_file():
            raise CorpusError(f"{path}: missing; it comes with EMO-DB's label archive")
        return path


def viseme(symbol: str, previous: str) -> str | None:
    """Return the mouth shape of a phone label; None for a symbol that is not known."""
    try:
        return sampa_viseme(symbol, previous)
    except ValueError:
        return None


def _fault_notes(faults: Mapping[Path, str]) -> list[str]:
    """Say which recordings are left out as their label files cannot be used, and why."""
    if not faults:
        return []
    stems: dict[str, list[str]] = {}
    for path, fault in faults.items():
        stems.setdefault(fault, []).append(path.stem)
    listed = few([f"{few(names)} ({fault})" for fault, names in stems.items()], between="; ")
    count = f"{len(faults)} recording{'s are' if len(faults) > 1 else ' is'}"
    return [f"{count} left out, as the phone labels cannot be used: {listed}."]


class Mark(NamedTuple):
    """A label, and the second at which what it names starts."""

    symbol: str
    start: float


def read_xlabel(path: Path) -> list[Mark]:
    """Labels of an xlabel file: after a line "#", each line has a time, a colour and the label.

    A label may be followed by marks of manner and stress; a line that has only marks keeps them as label.

    Raises:
        CorpusError: the file is no such file, or its times go back.
    """
    lines = _text(path).splitlines()
    headers = [index for index, line in enumerate(lines) if line.strip() == "#"]
    if not headers:
        raise CorpusError(f"{path}: not an xlabel file: no line '#' that ends the header")
    marks: list[Mark] = []
    for number, line in enumerate(lines[headers[0] + 1 :], headers[0] + 2):
        fields = line.split()
        if not fields:
            continue
        try:
            start = float(fields[0])
        except ValueError:
            start = math.nan
        if not math.isfinite(start):
            raise CorpusError(f"{path}, line {number}: expected a time, got {ascii(fields[0])[:40]}")
        marks.append(Mark(fields[2] if len(fields) > 2 else "", start))
    return _ordered(marks, path)


def _ordered(marks: list[Mark], path: Path) -> list[Mark]:
    for before, mark in pairwise([Mark("", 0.0), *marks]):
        if not mark.start >= before.start:
            raise CorpusError(
                f"{path}: the label {ascii(mark.symbol)[:40]} is at {mark.start} s, after one at "
                f"{before.start} s"
            )
    return marks


def _segments(marks: list[Mark], seconds: float) -> list[Segment]:
    """From one mark to the next, from the recording's start, which is silent up to the first, to its end."""
    whole = [Mark(".", 0.0), *marks, Mark("", seconds)]
    cut = [(mark.symbol, mark.start, min(after.start, seconds)) for mark, after in pairwise(whole)]
    return [Segment(symbol, start, end) for symbol, start, end in cut if start < end]


def _seconds(clip: Clip) -> float:
    return clip.load("waveform").shape[0] / SAMPLE_RATE


def _text(path: Path) -> str:
    return path.read_text(encoding="latin-1")
