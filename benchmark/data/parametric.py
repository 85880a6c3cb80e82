"""Gives the voices of a speech corpus a parametric face: exact landmarks, poses, frames and counterfactuals.

The phones say how the mouth moves, the emotion label how the face feels, the waveform's energy how much; the
speaker's name decides whose face it is, and the clip's name how the head moves and the eyes blink. So the
embedded corpus and real emotional voices (`data=emodb face=parametric`) have faces of one kind, all known.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache, cached_property
from pathlib import Path
from typing import Protocol

import numpy as np

from benchmark.data.clip_store import corpus_folder, holds, publish
from benchmark.data.corpus import Corpus, CorpusError
from benchmark.data.synthetic import face, motion
from benchmark.data.synthetic.render import Renderer
from benchmark.training.stage_cache import digest_of
from models.types import MEAD_EMOTIONS, Clip, ping_pong

SAMPLES_PER_FRAME = 640
FACE = ("landmarks", "landmarks106", "landmarks3d", "pose", "expression")

Viseme = tuple[str, float, float]

LABELS_DIGEST = 8
"""Hexadecimal digits of the labels' digest in the name of a clip's folder, which tells its edits apart."""
SHOWN_AS = {"boredom": ("sad", 1), "calm": ("happy", 1)}
"""How the face shows an emotion that is not one of MEAD's: the nearest of those, at intensity 1."""


class SpeechCorpus(Protocol):
    """What a corpus must offer to be given faces, beside being a `Corpus`."""

    def visemes(self, clip: Clip) -> Sequence[Viseme]:
        """(viseme, start s, end s) in order of time, of a prepared clip."""
        ...


@dataclass(frozen=True)
class Parts:
    """Which clip lends what. All three are the clip itself, except in a counterfactual."""

    timing: Clip
    """Words, their timing and energy, the waveform and the length."""
    emotion: Clip
    """The emotion, and how this take expresses it."""
    pose: Clip
    """Head motion and blinks; whose face it is."""


class Parametric(Corpus):
    """A speech corpus with faces.

    Args:
        corpus: gives clips, waveforms and visemes.
        cache: where prepared clips are kept.
        frame_size: side of the rendered frames in pixels.
    """

    has_frames = True

    def __init__(self, *, corpus: Corpus, cache: str, frame_size: int = 128) -> None:
        if not hasattr(corpus, "visemes"):
            raise CorpusError(
                f"{corpus.name} has no phone times to move a parametric face with; "
                "face=parametric works with data=synthetic, emodb and ravdess"
            )
        self.speech = corpus
        self.name = corpus.name
        self.description = f"{corpus.description} Shown by a parametric 3D head, so every landmark is exact."
        self.emotions = corpus.emotions
        self.default_subject = corpus.default_subject
        self.notes = corpus.notes
        self.frame_size = frame_size
        self._renderer = Renderer(frame_size)
        self._root = Path(cache)

    def identity(self) -> str:
        recipe = {"face": _source_digest(), "speech": self.speech.identity(), "frame_size": self.frame_size}
        return hashlib.sha256(json.dumps(recipe, sort_keys=True).encode()).hexdigest()

    @cached_property
    def _directory(self) -> Path:
        return corpus_folder(self._root, self.name, self.identity())

    def clip_identity(self, clip: Clip) -> str:
        """Return the digest of the labels of the clips that lend words, emotion and head motion.

        The face is the speaker's, moves by emotion and intensity, and its mouth by what a corpus makes of the
        sentence and its text.
        """
        return self._labels_digest(clip.id)

    def heads_identity(self) -> str:
        return synthetic_heads_identity()

    def clips(self) -> tuple[Clip, ...]:
        return self._clips

    @cached_property
    def _clips(self) -> tuple[Clip, ...]:
        return tuple(replace(clip, directory=self._place(clip.id)) for clip in self.speech.clips())

    def _place(self, clip_id: str) -> Path:
        return self._directory / f"{clip_id}-{self._labels_digest(clip_id)}"

    def _labels_digest(self, clip_id: str) -> str:
        parts = self._parts(clip_id)
        clips = {clip.id: clip for clip in (parts.timing, parts.emotion, parts.pose)}
        speech = [[name, clip.labels(), self.speech.clip_identity(clip)] for name, clip in clips.items()]
        return digest_of(speech)[:LABELS_DIGEST]

    @cached_property
    def _spoken(self) -> dict[str, Clip]:
        return {clip.id: clip for clip in self.speech.clips()}

    def counterfactual(self, timing: Clip, emotion: Clip, pose: Clip) -> Clip:
        name = f"cf--{timing.id}--{emotion.id}--{pose.id}"
        return replace(
            timing,
            id=name,
            speaker=pose.speaker,
            emotion=emotion.emotion,
            intensity=emotion.intensity,
            directory=self._place(name),
        )

    def prepare(self, clip: Clip, *, frames: bool = False) -> None:
        wanted = ("waveform", *FACE, *(("frames",) if frames else ()))
        if holds(clip.directory, *wanted):
            return
        parts = self._parts(clip.id)
        arrays = self._arrays(parts, frames)
        # Mouth shapes are read from files of the speech.
        self.speech.check_unchanged(parts.timing)
        publish(clip.directory, arrays)

    def _parts(self, clip_id: str) -> Parts:
        names = clip_id.removeprefix("cf--").split("--") if clip_id.startswith("cf--") else [clip_id] * 3
        missing = [name for name in names if name not in self._spoken]
        if missing or len(names) != 3:
            raise CorpusError(f"{self.name}: no clip {(missing or [clip_id])[0]!r} to make a face for")
        return Parts(*(self._spoken[name] for name in names))

    def _arrays(self, parts: Parts, frames: bool) -> dict[str, np.ndarray]:
        for clip in (parts.timing, parts.pose):
            self.speech.prepare(clip, frames=False)
        waveform = parts.timing.waveform
        num_frames = max(1, round(len(waveform) / SAMPLES_PER_FRAME))
        who = face.identity(parts.pose.speaker)
        expression = self._expression(parts, waveform, num_frames)
        pose = self._pose(parts.pose, num_frames)
        resting = face.landmarks3d(who, expression, layout=68)
        arrays = {
            "waveform": waveform,
            "landmarks106": face.project(face.landmarks3d(who, expression, layout=106), pose),
            "landmarks3d": resting,
            "pose": pose,
            "expression": expression,
            "landmarks": face.project(resting, pose),
        }
        arrays = {name: np.asarray(array, np.float32) for name, array in arrays.items()}
        if frames:
            arrays["frames"] = self._renderer.render(who, expression, pose)
        return arrays

    def _expression(self, parts: Parts, waveform: np.ndarray, num_frames: int) -> np.ndarray:
        emotion, intensity = _shown(parts.emotion)
        visemes = self.speech.visemes(parts.timing)  # type: ignore[attr-defined]
        loudness = energy(waveform, num_frames)
        feeling = motion.emote(emotion, intensity, loudness, _rng(parts.emotion, "emotion"))
        speech = motion.articulate(visemes, num_frames, motion.vigour(emotion, intensity))
        own = self._num_frames(parts.pose)
        blinks = motion.blink(own, _rng(parts.pose, "blink"))[ping_pong(own, num_frames)]
        return motion.combine(speech, feeling, blinks)

    def _pose(self, clip: Clip, num_frames: int) -> np.ndarray:
        own = self._num_frames(clip)
        moved = motion.head_motion(own, _rng(clip, "pose"), _shown(clip)[0])
        return moved[ping_pong(own, num_frames)]

    @staticmethod
    def _num_frames(clip: Clip) -> int:
        return max(1, round(len(clip.load("waveform")) / SAMPLES_PER_FRAME))

    def heads(self) -> np.ndarray:
        return synthetic_heads()


@cache
def synthetic_heads(people: int = 100, each: int = 5) -> np.ndarray:
    """(people, 8 * each, 68, 3) float32 unposed landmarks of random people who say random things, feeling
    each of the eight emotions for `each` frames.

    x right, y down, z towards the viewer, in pixels of the 256 crop at rest. None of the people is a
    speaker of a corpus.
    """
    rng = np.random.default_rng(20_210_619)
    names = list(motion.MOUTH_SHAPES)
    heads = []
    for person in range(people):
        who = face.identity(f"stranger-{person}")
        for emotion in MEAD_EMOTIONS:
            said = [
                (names[rng.integers(len(names))], 0.08 * k, 0.08 * k + 0.08) for k in range(each // 2 + 1)
            ]
            intensity = 1 if emotion == "neutral" else int(rng.integers(1, 4))
            expression = motion.perform(said, rng.uniform(0, 1, each), emotion, intensity, rng)
            heads.append(face.landmarks3d(who, expression, layout=68))
    return np.stack(heads).reshape(people, -1, 68, 3).astype(np.float32)


def synthetic_heads_identity() -> str:
    """Return a hash of what `synthetic_heads` depends on."""
    return f"synthetic heads {_source_digest()}"


@cache
def _source_digest() -> str:
    """Of the code that decides what a face looks like and how it moves: whoever edits it gets new clips."""
    folder = Path(face.__file__).parent
    sources = [
        *folder.glob("head_*.py"),
        *(folder / f"{n}.py" for n in ("face", "motion", "render", "visemes")),
    ]
    digest = hashlib.sha256()
    for path in [*sorted(sources), Path(__file__)]:
        digest.update(path.read_bytes())
    return digest.hexdigest()


def energy(waveform: np.ndarray, num_frames: int) -> np.ndarray:
    """(num_frames,) loudness of each video frame in [0, 1]: 0 is 40 dB below the utterance's loud frames."""
    padded = np.zeros(num_frames * SAMPLES_PER_FRAME)
    count = min(len(padded), len(waveform))
    padded[:count] = waveform[:count]
    power = np.mean(padded.reshape(num_frames, -1) ** 2, axis=1)
    loud = np.quantile(power, 0.95)
    if loud <= 0:
        return np.zeros(num_frames)
    decibels = 10 * np.log10(np.maximum(power / loud, 1e-4))
    return np.clip(1 + decibels / 40, 0, 1)


def _shown(clip: Clip) -> tuple[str, int]:
    """The emotion and intensity that the face shows."""
    if clip.emotion is None:
        return "neutral", 1
    if clip.emotion in SHOWN_AS:
        return SHOWN_AS[clip.emotion]
    return clip.emotion, 1 if clip.emotion == "neutral" else clip.intensity


def _rng(clip: Clip, purpose: str) -> np.random.Generator:
    return np.random.default_rng(list(f"{purpose}/{clip.id}".encode()))
