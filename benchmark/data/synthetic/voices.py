"""Who speaks and how they feel: the speakers of the embedded corpus and the acoustics of its emotions.

The directions follow the literature on vocal emotion: Scherer, Banse & Scherer, "Acoustic profiles in vocal
emotion expression" (1996), and Juslin & Laukka, "Communication of emotions in vocal expression and music
performance" (2003). Anger and joy are high, wide, loud and bright, anger the louder; fear is the highest,
narrow, trembling and fast; sadness is low, narrow, soft, dull and slow; disgust and contempt are low and slow
and lie near neutral; surprise is high and rising. Sizes were set by ear's stand-ins, an emotion classifier
and a speech recogniser on the corpus itself, never by the results of a benchmarked method.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields

import numpy as np

from models.types import MEAD_EMOTIONS


@dataclass(frozen=True, kw_only=True)
class Expression:
    """Acoustic differences from the same speaker's neutral voice; all zero is neutral."""

    f0_level: float = 0.0
    """Semitones."""
    f0_range: float = 0.0
    """Log2 of the factor on F0 excursions around their mean."""
    f0_slope: float = 0.0
    """Semitones from the first to the last phone, on top of the sentence's own declination."""
    f0_final: float = 0.0
    """Semitones reached at the end of the last third of a second; positive rises."""
    accent: float = 0.0
    """Semitones of F0 at stressed vowels."""
    energy: float = 0.0
    """dB."""
    dynamics: float = 0.0
    """dB at stressed vowels."""
    tilt: float = 0.0
    """dB per octave around 500 Hz; positive is brighter."""
    breath: float = 0.0
    """dB of aspiration noise relative to the harmonics."""
    tremor: float = 0.0
    """Semitones, the amplitude of a 5 to 8 Hz oscillation of F0."""
    jitter: float = 0.0
    """Semitones, the standard deviation of irregular F0."""
    tempo: float = 0.0
    """Log2 of the factor on durations; positive is slower."""
    vowel: float = 0.0
    """Log2 of a further factor on the durations of vowels."""
    final: float = 0.0
    """Log2 of a further factor on the durations of the phrase's last third of a second."""
    formants: float = 0.0
    """Per cent that resonances move up: a smile shortens the vocal tract, protruded lips lengthen it."""

    def scaled(self, factor: float) -> Expression:
        return Expression(**{name: factor * value for name, value in asdict(self).items()})

    def plus(self, other: Expression) -> Expression:
        return Expression(**{f.name: getattr(self, f.name) + getattr(other, f.name) for f in fields(self)})


EMOTIONS: Mapping[str, Expression] = {
    "angry": Expression(
        f0_level=3.5, f0_range=0.45, f0_slope=-1.0, accent=2.0, energy=7.0, dynamics=3.0, tilt=3.0,
        jitter=0.15, tempo=-0.15, vowel=-0.05,
    ),
    "contempt": Expression(
        f0_level=-1.5, f0_range=-0.2, f0_slope=-1.0, f0_final=-3.0, energy=-2.5, tilt=-0.4, breath=2.0,
        tempo=0.12, final=0.35, formants=1.0,
    ),
    "disgusted": Expression(
        f0_level=-2.0, f0_range=0.1, f0_slope=-1.0, accent=0.5, energy=1.0, dynamics=1.0, tilt=1.2,
        jitter=0.35, tempo=0.22, vowel=0.25, formants=-4.0,
    ),
    "fear": Expression(
        f0_level=6.0, f0_range=-0.5, f0_slope=0.5, energy=1.5, tilt=0.6, breath=7.0, tremor=0.8,
        jitter=0.2, tempo=-0.25, vowel=-0.05,
    ),
    "happy": Expression(
        f0_level=4.5, f0_range=0.6, f0_slope=0.5, accent=2.0, energy=3.5, dynamics=2.0, tilt=1.2,
        tempo=-0.08, vowel=0.08, formants=2.0,
    ),
    "neutral": Expression(),
    "sad": Expression(
        f0_level=-2.0, f0_range=-0.8, f0_slope=-2.0, energy=-6.0, dynamics=-1.0, tilt=-2.0, breath=3.0,
        tremor=0.2, tempo=0.22, vowel=0.1, final=0.15, formants=-2.0,
    ),
    "surprised": Expression(
        f0_level=4.0, f0_range=0.7, f0_slope=3.5, f0_final=5.0, accent=1.5, energy=2.0, dynamics=1.0,
        tilt=0.4, breath=2.0, tempo=0.02, vowel=0.15, final=0.25,
    ),
}  # fmt: skip
"""Each of MEAD's emotions at intensity 3."""

STRENGTH = {1: 0.55, 2: 0.78, 3: 1.0}
"""Intensity -> share of the full expression."""

_TAKE = Expression(
    f0_level=0.8, f0_range=0.15, f0_slope=0.7, f0_final=0.7, accent=0.4, energy=1.2, dynamics=0.6, tilt=0.4,
    breath=1.2, tremor=0.05, jitter=0.03, tempo=0.05, vowel=0.04, final=0.06, formants=0.7,
)  # fmt: skip
"""Standard deviation between two takes by one speaker."""

_HABIT = Expression(
    f0_level=0.5, f0_range=0.12, f0_slope=0.5, f0_final=0.5, accent=0.4, energy=0.8, dynamics=0.5, tilt=0.4,
    breath=0.8, tremor=0.08, jitter=0.03, tempo=0.05, vowel=0.04, final=0.05, formants=0.6,
)  # fmt: skip
"""Standard deviation, between speakers, of how an emotion is expressed."""


@dataclass(frozen=True, kw_only=True)
class Speaker:
    id: str
    f0_scale: float
    """Relative to the network's voice, a woman at about 185 Hz."""
    formant_scale: float
    """Factor on the frequencies of resonances: below 1 is a longer vocal tract. The network's voice has a
    short one: a recogniser loses ever more words above 1, none down to 0.9."""
    tempo: float
    """Factor on durations."""
    breath: float
    """Aspiration noise, dB relative to the harmonics."""
    tilt: float = 0.0
    """dB per octave around 500 Hz."""
    f0_range: float = 1.0
    """Factor on F0 excursions."""
    expressiveness: float = 1.0
    """Factor on every emotion."""

    def habit(self, emotion: str) -> Expression:
        """How this speaker's way of expressing an emotion differs from the average: fixed by the id."""
        if emotion == "neutral":
            return Expression()
        return _random(_HABIT, np.random.default_rng(list(f"{self.id}/{emotion}".encode())))


SPEAKERS: tuple[Speaker, ...] = (
    Speaker(id="F01", f0_scale=1.0, formant_scale=0.95, tempo=1.10, breath=-30.0),
    Speaker(
        id="M01", f0_scale=0.60, formant_scale=0.85, tempo=1.14, breath=-30.0, tilt=-0.3, expressiveness=0.95
    ),
    Speaker(id="F02", f0_scale=1.12, formant_scale=0.97, tempo=1.05, breath=-26.0, f0_range=1.1, tilt=-0.5),
    Speaker(id="M02", f0_scale=0.71, formant_scale=0.89, tempo=1.06, breath=-27.0, f0_range=1.15, tilt=0.3),
    Speaker(
        id="F03", f0_scale=0.88, formant_scale=0.92, tempo=1.16, breath=-22.0, tilt=-0.8, expressiveness=0.9
    ),
    Speaker(id="M03", f0_scale=0.52, formant_scale=0.82, tempo=1.20, breath=-32.0, f0_range=0.9, tilt=0.2),
    Speaker(id="C01", f0_scale=1.42, formant_scale=1.09, tempo=1.15, breath=-27.0, expressiveness=1.1),
    Speaker(id="C02", f0_scale=1.30, formant_scale=1.05, tempo=1.08, breath=-24.0, f0_range=1.2, tilt=-0.3),
)
"""Three women, three men and two children, the most different first."""


def take(speaker: Speaker, emotion: str, intensity: int, rng: np.random.Generator) -> Expression:
    """The expression of one recording: the emotion, the speaker's habit and the take's own variation.

    Raises:
        ValueError: the emotion is not one of MEAD's, or it has no such intensity.
    """
    if emotion not in EMOTIONS:
        raise ValueError(f"unknown emotion {emotion!r}; expected one of {', '.join(MEAD_EMOTIONS)}")
    allowed = (1,) if emotion == "neutral" else tuple(STRENGTH)
    if intensity not in allowed:
        raise ValueError(f"{emotion} has intensities {allowed}, got {intensity!r}")
    felt = EMOTIONS[emotion].plus(speaker.habit(emotion)).scaled(STRENGTH[intensity] * speaker.expressiveness)
    return felt.plus(_random(_TAKE, rng))


def _random(spread: Expression, rng: np.random.Generator) -> Expression:
    """Normal deviations, cut at two standard deviations so that no take is a caricature."""
    return Expression(
        **{name: sd * float(np.clip(rng.standard_normal(), -2, 2)) for name, sd in asdict(spread).items()}
    )
