"""A clip of the embedded corpus taken apart into what made it, so that one part alone can be changed.

A clip's face is speech + emotion + blinks under a head pose. A changed part gives changed landmarks and, by
the renderer, the frames that belong to them. Unchanged, a scene is the corpus's clip to the bit.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

# The clip's random streams are the corpus's own. They stay private there: the bytes of that module are part
# of the corpus's identity.
from benchmark.data.parametric import SAMPLES_PER_FRAME, Parametric, Viseme, _rng, energy
from benchmark.data.synthetic import face, motion
from benchmark.data.synthetic.face import Identity
from benchmark.data.synthetic.morph import morphed_frames, morphed_landmarks
from benchmark.data.synthetic.render import Renderer
from models.types import MEAD_EMOTIONS, Clip, Prediction

STRANGER = "stranger-of-no-corpus"
"""Whose face an identity drifts towards."""


@dataclass(frozen=True)
class Scene:
    """An excerpt of a clip of T frames, and the factors that it was generated from."""

    clip: Clip
    who: Identity
    visemes: Sequence[Viseme]
    """Of the whole clip, in seconds from its start."""
    num_frames: int
    """Of the whole clip."""
    start: int
    """First frame of the excerpt."""
    feeling: np.ndarray
    """(T, E) the emotion's share of the expression."""
    other_feeling: np.ndarray
    """(T, E) the same of another emotion."""
    blinks: np.ndarray
    """(T, E)"""
    pose: np.ndarray
    """(T, 6)"""
    waveform: np.ndarray
    """(T * 640,) float32: the excerpt's sound."""
    renderer: Renderer | None
    """None: landmarks only."""

    def __len__(self) -> int:
        return len(self.pose)

    @property
    def other_emotion(self) -> str:
        return other_emotion(str(self.clip.emotion))

    def vigour(self, swap: float = 0.0) -> float:
        """How far the mouth opens, `swap` of the way to the other emotion's."""
        own = motion.vigour(str(self.clip.emotion), self.clip.intensity)
        return own + swap * (motion.vigour(*_of(self.other_emotion, self.clip.intensity)) - own)

    def speech(self, *, delay: float = 0.0, vigour: float | None = None) -> np.ndarray:
        """(T, E) of the articulation, `delay` seconds late; the first sound lasts from the clip's start."""
        late = [(name, start + delay, end + delay) for name, start, end in self.visemes]
        late[0] = (late[0][0], min(late[0][1], self.visemes[0][1]), late[0][2])
        moved = motion.articulate(late, self.num_frames, self.vigour() if vigour is None else vigour)
        return moved[self.start : self.start + len(self)]

    def expression(self, speech: np.ndarray | None = None, feeling: np.ndarray | None = None) -> np.ndarray:
        """(T, E), by default the clip's own."""
        return motion.combine(
            self.speech() if speech is None else speech,
            self.feeling if feeling is None else feeling,
            self.blinks,
        )

    def show(self, expression: np.ndarray) -> Prediction:
        """Landmarks and frames of (T, E) expressions under the clip's head pose."""
        landmarks = face.project(face.landmarks3d(self.who, expression), self.pose)
        if self.renderer is None:
            return Prediction(landmarks)
        return Prediction(landmarks, self.renderer.render(self.who, expression, self.pose))

    def drift(self, shares: np.ndarray) -> Prediction:
        """The clip, in frame t on a head `shares[t]` of the way to a stranger's."""
        parts = (self.who, face.identity(STRANGER), shares, self.expression(), self.pose)
        landmarks = morphed_landmarks(*parts)
        if self.renderer is None:
            return Prediction(landmarks)
        return Prediction(landmarks, morphed_frames(self.renderer, *parts))

    @cached_property
    def truth(self) -> Prediction:
        return self.show(self.expression())


def other_emotion(emotion: str) -> str:
    """The emotion that it is swapped for: four places on in MEAD's order, so that swaps come in pairs."""
    place = MEAD_EMOTIONS.index(emotion)
    return MEAD_EMOTIONS[(place + len(MEAD_EMOTIONS) // 2) % len(MEAD_EMOTIONS)]


def _of(emotion: str, intensity: int) -> tuple[str, int]:
    """An emotion with the intensity that it can have: neutral has one only."""
    return emotion, 1 if emotion == "neutral" else intensity


def scene_of(corpus: Parametric, clip: Clip, *, frames: int | None = None, rendered: bool = True) -> Scene:
    """Take a clip of the embedded corpus apart.

    Args:
        frames: keep so many from its middle; None, or more than there are, keeps all.
        rendered: whether there are frames, beside landmarks.
    """
    corpus.prepare(clip)
    spoken = next(c for c in corpus.speech.clips() if c.id == clip.id)
    count = clip.num_frames
    kept = count if frames is None else min(frames, count)
    start = (count - kept) // 2
    span = slice(start, start + kept)
    emotion, intensity = str(clip.emotion), clip.intensity
    loudness = energy(clip.waveform, count)
    other = _of(other_emotion(emotion), 3 if emotion == "neutral" else intensity)
    return Scene(
        clip=clip,
        who=face.identity(clip.speaker),
        visemes=corpus.speech.visemes(spoken),  # type: ignore[attr-defined]
        num_frames=count,
        start=start,
        feeling=motion.emote(emotion, intensity, loudness, _rng(spoken, "emotion"))[span],
        other_feeling=motion.emote(*other, loudness, _rng(spoken, "emotion"))[span],
        blinks=motion.blink(count, _rng(spoken, "blink"))[span],
        pose=np.array(clip.load("pose"))[span],
        waveform=clip.waveform[start * SAMPLES_PER_FRAME : (start + kept) * SAMPLES_PER_FRAME],
        renderer=corpus._renderer if rendered else None,
    )
