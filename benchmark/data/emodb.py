"""EMO-DB, the Berlin Database of Emotional Speech (Burkhardt et al., Interspeech 2005): German, speech only.

Layout: `wav/SSttteV.wav` (speaker, text, emotion, version), and beside it, where they come along, the human
labels `lablaut/*.lablaut` (phones) and `silb/*.silb` (syllables). Versions of one speaker, text and emotion
are separate clips. The actors played every emotion at one, full, strength: intensity 3; neutral is 1.
"""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np

from benchmark.data.clip_store import holds, publish
from benchmark.data.corpus import CorpusError
from benchmark.data.preprocess.audio import RESAMPLER
from benchmark.data.preprocess.decoder import shared_decoder
from benchmark.data.preprocess.pipeline import whole_frames
from benchmark.data.recordings import (
    Recordings,
    Segment,
    fullest_speaker,
    naming,
    require_files,
    require_folder,
)
from benchmark.data.synthetic.visemes import SILENCE, sampa_viseme
from models.audio.framing import SAMPLE_RATE
from models.types import Clip

VERSION = 1
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

    def __init__(self, *, root: str, cache: str) -> None:
        self._root = Path(root)
        self._cache = cache
        require_folder("EMO-DB", self._root, EXPECTED)
        self._files = {p.stem: p for p in sorted(self._root.glob("wav/*.wav")) if _NAME.fullmatch(p.stem)}
        require_files("EMO-DB", self._root, tuple(self._files.values()), EXPECTED)
        self.default_subject = fullest_speaker(self.clips())

    def _settings(self) -> str:
        return f"emodb v{VERSION} {RESAMPLER}"

    def _sources(self) -> tuple[Path, ...]:
        labels = (path for path in map(self._label_file, self._files) if path.is_file())
        return (*self._files.values(), *labels)

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

    def prepare(self, clip: Clip, *, frames: bool = False) -> None:
        if not holds(clip.directory, "waveform"):
            with naming(clip):
                sound = shared_decoder().sound(self._files[clip.id])
            publish(clip.directory, {"waveform": whole_frames(sound.waveform)})

    def phones(self, clip: Clip) -> list[Segment]:
        """The human phone labels of a prepared clip, from its start to its end.

        Raises:
            CorpusError: the clip has no label file, or it cannot be read.
        """
        return _fill(read_xlabel(self._existing(self._label_file(clip.id))), _seconds(clip))

    def visemes(self, clip: Clip) -> list[Segment]:
        """The mouth shapes of a prepared clip, by its phone labels."""
        shapes: list[Segment] = []
        previous = SILENCE
        for phone in self.phones(clip):
            try:
                previous = sampa_viseme(phone.symbol, previous)
            except ValueError as error:
                raise CorpusError(f"{self._label_file(clip.id)} at {phone.end} s: {error}") from error
            if shapes and shapes[-1].symbol == previous:
                shapes[-1] = shapes[-1]._replace(end=phone.end)
            else:
                shapes.append(Segment(previous, phone.start, phone.end))
        return shapes

    def syllables(self, clip: Clip) -> list[Segment]:
        """The human syllable times; the last, ".", is the silence after the speech.

        Empty where the file is, as one of the archive's is.
        """
        path = self._existing(self._root / "silb" / f"{clip.id}.silb")
        try:
            rows = [line.split(maxsplit=1) for line in _text(path).splitlines() if line.strip()]
            ends = [(label.strip(), float(end)) for end, label in rows]
        except ValueError as error:
            raise CorpusError(f"{path}: expected lines of an end time and a syllable: {error}") from error
        return _segments(ends, path)

    def heads(self) -> np.ndarray:
        raise CorpusError("EMO-DB has no faces: use face=parametric")

    def _label_file(self, stem: str) -> Path:
        return self._root / "lablaut" / f"{stem}xx.lablaut"

    def _existing(self, path: Path) -> Path:
        if not path.is_file():
            raise CorpusError(f"{path}: missing; it comes with EMO-DB's label archive")
        return path


def read_xlabel(path: Path) -> list[Segment]:
    """Segments of an xlabel file: after a line "#", each line has an end time, a colour and the label.

    A label may be followed by marks of manner and stress; a line that has only marks keeps them as label.

    Raises:
        CorpusError: the file is no such file, or its times go back.
    """
    lines = _text(path).splitlines()
    starts = [index for index, line in enumerate(lines) if line.strip() == "#"]
    if not starts:
        raise CorpusError(f"{path}: not an xlabel file: no line '#' that ends the header")
    ends: list[tuple[str, float]] = []
    for number, line in enumerate(lines[starts[0] + 1 :], starts[0] + 2):
        fields = line.split()
        if not fields:
            continue
        try:
            ends.append((fields[2] if len(fields) > 2 else "", float(fields[0])))
        except ValueError as error:
            raise CorpusError(f"{path}, line {number}: expected an end time, got {fields[0]!r}") from error
    return _segments(ends, path)


def _segments(ends: list[tuple[str, float]], path: Path) -> list[Segment]:
    segments: list[Segment] = []
    start = 0.0
    for label, end in ends:
        if not end >= start:
            raise CorpusError(f"{path}: the label {label!r} ends at {end} s, before it starts at {start} s")
        segments.append(Segment(label, start, end))
        start = end
    return segments


def _fill(segments: list[Segment], seconds: float) -> list[Segment]:
    """Cut at the recording's end, or go on with silence up to it."""
    kept = [s._replace(end=min(s.end, seconds)) for s in segments if s.start < seconds]
    end = kept[-1].end if kept else 0.0
    return [*kept, Segment(".", end, seconds)] if end < seconds else kept


def _seconds(clip: Clip) -> float:
    return clip.load("waveform").shape[0] / SAMPLE_RATE


def _text(path: Path) -> str:
    return path.read_text(encoding="latin-1")
