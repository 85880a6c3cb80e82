"""RAVDESS speech (Livingstone & Russo 2018): 24 actors, two statements, eight emotions, speech only.

Layout: `Actor_01/03-01-05-02-01-01-01.wav` (modality, channel, emotion, intensity, statement, repetition,
actor), directly in the root or in the folder `Audio_Speech_Actors_01-24`; wav or flac. Intensity "normal" is
2 here and "strong" 3; neutral, which was recorded at one level, is 1.

The corpus has no phone times. Those offered are *transferred*: the statement is synthesised, where phones are
known, and aligned to the recording by dynamic time warping on MFCC.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from benchmark.data.corpus import CorpusError
from benchmark.data.discovery import find_files
from benchmark.data.recordings import (
    Recordings,
    Segment,
    Unusable,
    few_names,
    fullest_speaker,
    naming,
    require_files,
    require_folder,
)
from benchmark.data.synthetic.sentences import Sentence
from benchmark.data.synthetic.speech import SPEAKERS, SpeechSynthesizer
from benchmark.data.synthetic.visemes import SILENCE, misaki_viseme
from models.audio.dtw import dtw_path
from models.audio.framing import SAMPLE_RATE, row_seconds
from models.audio.mfcc import mfcc
from models.preprocess.decoder import shared_decoder
from models.preprocess.media import DECODING
from models.preprocess.pipeline import whole_frames
from models.types import Clip

VERSION = 2
EXPECTED = "Actor_01/03-01-01-01-01-01-01.wav, ..."
INNER_FOLDER = "Audio_Speech_Actors_01-24"
EMOTIONS = ("neutral", "calm", "happy", "sad", "angry", "fear", "disgusted", "surprised")
"""In the order of the corpus's codes 01 to 08, by MEAD's names; calm is not one of MEAD's."""
TEXTS = {"01": "Kids are talking by the door.", "02": "Dogs are sitting by the door."}
_NAME = re.compile(r"03-01-(0[1-8])-(0[12])-(0[12])-(0[12])-(\d\d)")
SUFFIXES = (".wav", ".flac")
EACH = 60
"""Clips of each actor: two statements, each twice, neutral and at two intensities of seven emotions."""
SPEECH_LEVEL = 0.03
"""Of the loudest row's amplitude: quieter rows at both ends are silence and are not aligned."""


class _Model(NamedTuple):
    """A synthesised statement."""

    features: np.ndarray
    times: np.ndarray
    phones: list[Segment]


class Ravdess(Recordings):
    """The recordings at `root`. The default subject is the speaker with the most, the first by number."""

    name = "ravdess"
    description = (
        "RAVDESS speech: two English sentences spoken by actors (Livingstone & Russo, 2018); phone times "
        "transferred from synthesised speech by dynamic time warping."
    )
    emotions = tuple(sorted(EMOTIONS))
    has_frames = False
    has_landmarks = False
    timing = "synthesised statement aligned by DTW"
    """Where `phones` come from; also stored with each clip as `timing_source`."""

    def __init__(
        self, *, root: str, cache: str, unusable: Unusable = "refuse", left_out: Sequence[str] = ()
    ) -> None:
        self._root = Path(root)
        self._cache = cache
        self.unusable = unusable
        require_folder("RAVDESS", self._root, EXPECTED)
        inner = self._root / INNER_FOLDER
        media = [
            path
            for folder in sorted((inner if inner.is_dir() else self._root).glob("Actor_*"))
            for path in find_files(folder, SUFFIXES)
        ]
        # Of two files with one name the last is used: .wav rather than .flac.
        by_name = {path.stem: path for path in media if _NAME.fullmatch(path.stem)}
        require_files("RAVDESS", self._root, tuple(by_name.values()), EXPECTED)
        self._files = {path.stem: path for path in self._split_off(by_name.values(), left_out)}
        self.notes = tuple(_grid_notes(self._root, media, by_name.values()))
        self._synthesizer = SpeechSynthesizer()
        self._models: dict[tuple[str, str], _Model] = {}
        self.default_subject = fullest_speaker(self.clips())

    def _settings(self) -> str:
        return f"ravdess v{VERSION} {DECODING}"

    def _clip(self, name: str, directory: Path) -> Clip:
        match = _NAME.fullmatch(name)
        assert match is not None
        emotion, intensity, statement, _, actor = match.groups()
        label = EMOTIONS[int(emotion) - 1]
        return Clip(
            id=name,
            speaker=actor,
            sentence=statement,
            emotion=label,
            intensity=1 if label == "neutral" else int(intensity) + 1,
            directory=directory,
            text=TEXTS[statement],
        )

    def _arrays(self, clip: Clip) -> Mapping[str, np.ndarray]:
        waveform = whole_frames(shared_decoder().sound(self._files[clip.id]).waveform)
        return {"waveform": waveform, "timing_source": np.array(self.timing)}

    def phones(self, clip: Clip) -> list[Segment]:
        """Transferred phone times of a prepared clip, from its start to its end.

        Raises:
            CorpusError: the clip is silent.
        """
        model = self._model(clip)
        with naming(clip):
            features, times = _features(clip.waveform)
        path = dtw_path(features, model.features, metric="euclidean")
        heard = np.array([times[path.first[path.second == row]].mean() for row in range(len(model.features))])
        seconds = len(clip.waveform) / SAMPLE_RATE
        # The first rows look at the padding before the sound, the last ones at that behind it.
        heard = np.clip(heard, 0, seconds)
        ends = np.maximum.accumulate(np.interp([p.end for p in model.phones], model.times, heard))
        segments, start = [Segment(SILENCE, 0.0, float(heard[0]))], float(heard[0])
        for phone, end in zip(model.phones, ends, strict=True):
            if phone.symbol != SILENCE or 0 < phone.start < model.phones[-1].start:
                segments.append(Segment(phone.symbol, start, float(end)))
                start = float(end)
        segments.append(Segment(SILENCE, start, seconds))
        return [segment for segment in segments if segment.start < segment.end]

    def visemes(self, clip: Clip) -> list[Segment]:
        """The mouth shapes of a prepared clip, by its transferred phones."""
        return [s._replace(symbol=misaki_viseme(s.symbol)) for s in self.phones(clip)]

    def heads(self) -> np.ndarray:
        raise CorpusError("RAVDESS's speech files have no faces: use face=parametric")

    def _model(self, clip: Clip) -> _Model:
        """The clip's statement, synthesised by a voice of the actor's sex (odd actors are men)."""
        voice = "M01" if int(clip.speaker) % 2 else "F01"
        if (clip.sentence, voice) not in self._models:
            spoken = self._synthesizer.utterance(
                Sentence(f"ravdess-{clip.sentence}", clip.text, True),
                next(s for s in SPEAKERS if s.id == voice),
                "neutral",
                1,
                np.random.default_rng(0),
            )
            features, times = _features(spoken.waveform)
            phones = [Segment(p.symbol, p.start, p.end) for p in spoken.phones]
            self._models[clip.sentence, voice] = _Model(features, times, phones)
        return self._models[clip.sentence, voice]


def _grid_notes(root: Path, media: Sequence[Path], used: Iterable[Path]) -> list[str]:
    """Say which sound files are no clips, and which actors lack clips."""
    used = set(used)
    named = [path for path in media if _NAME.fullmatch(path.stem)]
    notes = []
    if twins := [path for path in named if path not in used]:
        notes.append(
            f"{len(twins)} sound files repeat a clip's name and are not used: {few_names(root, twins)}."
        )
    if strangers := [path for path in media if path not in named]:
        listed = few_names(root, strangers)
        notes.append(
            f"{len(strangers)} sound files have no name of RAVDESS's speech and are not used: {listed}."
        )
    counts = Counter(path.stem[-2:] for path in used)
    if few := {actor: count for actor, count in sorted(counts.items()) if count < EACH}:
        listed = ", ".join(f"{actor} ({count})" for actor, count in few.items())
        notes.append(f"Some actors have fewer than RAVDESS's {EACH} clips here: {listed}.")
    return notes


def _features(waveform: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Normalise the cepstra of the spoken part: (rows, 24), slopes included, and the rows' times in seconds.

    Raises:
        CorpusError: hardly anything is louder than silence.
    """
    cepstra = np.asarray(mfcc(waveform), np.float64)
    amplitude = np.exp(cepstra[:, 0] / 2)
    loud = np.flatnonzero(amplitude > SPEECH_LEVEL * amplitude.max())
    if len(loud) < 10:
        raise CorpusError("no speech to align")
    rows = slice(loud[0], loud[-1] + 1)
    spectrum = cepstra[rows, 1:]
    spectrum = (spectrum - spectrum.mean(0)) / (spectrum.std(0) + 1e-6)
    features = np.concatenate([spectrum, np.gradient(spectrum, axis=0)], 1)
    return features, np.array([row_seconds(row) for row in range(loud[0], loud[-1] + 1)])
