"""How the face moves: speech, emotion, blinks and the head, each by itself so that they can come from three
clips.

Everything is sampled at the centres of 25 fps video frames: frame t stands for (t + 0.5) / 25 seconds.
Expression arrays are (T, E) float32 in the order of `head_fields.EXPRESSIONS`; poses are (T, 6), see
`face.project`.

Sources: co-articulation by dominance functions after Cohen & Massaro (1993); emotions from the action units
that EMFACS lists for them (Ekman & Friesen, 1983; contempt: Matsumoto & Ekman, 2004). MEAD's labels and
intensities.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache

import numpy as np

from benchmark.data.synthetic import face
from benchmark.data.synthetic.head_fields import EXPRESSIONS
from benchmark.data.synthetic.visemes import BILABIAL, LABIODENTAL, SILENCE, VISEMES
from models.types import MEAD_EMOTIONS

FPS = 25.0

MOUTH_SHAPES: Mapping[str, Mapping[str, float]] = {
    "sil": {},
    "p": {"jaw_open": 0.08, "mouth_close": 0.08, "lip_press": 0.55},
    "f": {"jaw_open": 0.10, "lower_lip_tuck": 0.85, "upper_lip_raise": 0.16},
    "th": {"jaw_open": 0.16, "lips_part": 0.45, "tongue_up": 0.9},
    "t": {"jaw_open": 0.14, "lips_part": 0.55, "lip_spread": 0.15, "tongue_up": 0.5},
    "s": {"jaw_open": 0.07, "lips_part": 0.75, "lip_spread": 0.35, "lower_lip_depress": 0.12},
    "sh": {"jaw_open": 0.11, "lips_part": 0.75, "lip_round": 0.42, "lip_protrude": 0.75},
    "k": {"jaw_open": 0.20, "lips_part": 0.40},
    "n": {"jaw_open": 0.17, "lips_part": 0.50, "tongue_up": 0.7},
    "r": {"jaw_open": 0.14, "lips_part": 0.45, "lip_round": 0.40, "lip_protrude": 0.42},
    "aa": {"jaw_open": 0.68, "lips_part": 0.45},
    "eh": {"jaw_open": 0.47, "lips_part": 0.45, "lip_spread": 0.36},
    "ih": {"jaw_open": 0.22, "lips_part": 0.60, "lip_spread": 0.70},
    "ao": {"jaw_open": 0.50, "lips_part": 0.35, "lip_round": 0.58, "lip_protrude": 0.45},
    "uw": {"jaw_open": 0.15, "lips_part": 0.38, "lip_round": 0.95, "lip_protrude": 0.80},
    "er": {"jaw_open": 0.27, "lips_part": 0.45, "lip_round": 0.18, "lip_protrude": 0.15},
}
"""What each still viseme wants of the mouth."""

_GLIDES = {"ay": ("aa", "ih"), "aw": ("aa", "uw"), "ey": ("eh", "ih"), "oy": ("ao", "ih"), "ow": ("ao", "uw")}
_GLIDE_AT = 0.55

# Strength and reach in seconds of a viseme's pull, per coefficient group. Consonants pull hard on their own
# articulator for a short time; vowels pull on everything, longer and softer.
_STRENGTH = {
    "sil": 0.8,
    "p": 6.0,
    "f": 5.0,
    "th": 1.2,
    "t": 0.7,
    "s": 1.4,
    "sh": 2.2,
    "k": 0.5,
    "n": 0.7,
    "r": 1.0,
}
_OWN_STRENGTH = {"p": ("jaw_open",), "f": ("lower_lip_tuck",)}
_ROUNDING = ("lip_round", "lip_protrude")
_REACH = {"lip_round": 0.085, "lip_protrude": 0.085, "jaw_open": 0.055}
_DEFAULT_REACH = 0.045
_SHORT_REACH = 0.026

Viseme = tuple[str, float, float]
"""Name, start and end in seconds."""


@cache
def _targets() -> np.ndarray:
    """(still visemes, E)."""
    rows = np.zeros((len(MOUTH_SHAPES), len(EXPRESSIONS)))
    for k, shape in enumerate(MOUTH_SHAPES.values()):
        for name, value in shape.items():
            rows[k, EXPRESSIONS.index(name)] = value
    return rows


def _column(name: str) -> int:
    return EXPRESSIONS.index(name)


def frame_times(num_frames: int) -> np.ndarray:
    """(T,) seconds of the frames' centres."""
    if num_frames < 1:
        raise ValueError(f"expected at least one frame, got {num_frames}")
    return (np.arange(num_frames) + 0.5) / FPS


def articulate(visemes: Sequence[Viseme], num_frames: int, vigour: float = 1.0) -> np.ndarray:
    """(T, E) mouth movement for visemes given as (name, start s, end s), in order of time.

    Each segment pulls every coefficient towards its target with a dominance that is full during the segment
    and decays exponentially outside it, so neighbours blend: rounding spreads far, closures are short and
    win.

    Args:
        vigour: amplitude of the openings, 1 is plain speech; see `vigour`.

    Raises:
        ValueError: an unknown viseme, a segment that ends before it starts, or no frames.
    """
    times = frame_times(num_frames)
    segments = _still(visemes)
    names = list(MOUTH_SHAPES)
    index = np.array([names.index(name) for name, _, _ in segments], dtype=int)
    start = np.array([s for _, s, _ in segments])
    end = np.array([e for _, _, e in segments])
    outside = np.maximum(np.maximum(start - times[:, None], times[:, None] - end), 0.0)
    # A segment's middle rules: dominance grows towards it, so that short sounds still reach their target.
    length = np.maximum(end - start, 1e-3)
    middle = np.minimum(np.abs(times[:, None] - 0.5 * (start + end)) / length, 0.5)
    strength = np.array([_STRENGTH.get(name, 1.0) for name, _, _ in segments])
    duration = np.clip(end - start, 0.02, 0.2)
    strength = strength * np.sqrt(duration / 0.08)
    vowel = index >= names.index("aa")
    out = np.zeros((num_frames, len(EXPRESSIONS)))
    for column, name in enumerate(EXPRESSIONS):
        target = _targets()[index, column]
        reach = _REACH.get(name, _DEFAULT_REACH)
        reaches = np.where(vowel | (target > 0.3), reach, _SHORT_REACH)
        # A sound that asks nothing of the lips' rounding lets its neighbours' rounding through.
        weak = np.where((name in _ROUNDING) & (target == 0) & ~vowel, 0.25, 1.0)
        pull = weak * strength * np.exp(-outside / reaches - 0.7 * middle)
        out[:, column] = (pull @ target) / (pull.sum(1) + 0.02)
    out *= vigour
    close = _closure(segments, times, BILABIAL)
    out[:, _column("mouth_close")] = close
    touch = _closure(segments, times, LABIODENTAL)
    tuck = _column("lower_lip_tuck")
    out[:, tuck] = np.maximum(out[:, tuck] * 0.6, 0.85 * touch)
    for name in ("jaw_open", "lips_part"):
        out[:, _column(name)] *= (1 - 0.75 * close) * (1 - 0.6 * touch)
    return out.astype(np.float32)


def _still(visemes: Sequence[Viseme]) -> list[Viseme]:
    """Checked segments, diphthongs split in two."""
    segments: list[Viseme] = []
    for name, start, end in visemes:
        if name not in VISEMES:
            raise ValueError(f"unknown viseme {name!r}: expected one of {', '.join(VISEMES)}")
        if not end >= start:
            raise ValueError(f"viseme {name!r} ends at {end} s, before it starts at {start} s")
        if name in _GLIDES:
            turn = start + _GLIDE_AT * (end - start)
            segments += [(_GLIDES[name][0], start, turn), (_GLIDES[name][1], turn, end)]
        else:
            segments.append((name, start, end))
    return segments or [(SILENCE, 0.0, 1e9)]


def _closure(segments: Sequence[Viseme], times: np.ndarray, viseme: str) -> np.ndarray:
    """(T,) in [0, 1]: 1 while a sound of this viseme holds the lips shut, with 40 ms flanks.

    A closure is widened to the nearest frame's centre: a stop shorter than a frame is seen, as it is on
    camera.
    """
    value = np.zeros(len(times))
    for name, start, end in segments:
        if name != viseme:
            continue
        middle, half = 0.5 * (start + end), max(0.5 * (end - start) * 0.6, 0.5 / FPS + 1e-6)
        distance = np.maximum(np.abs(times - middle) - half, 0.0)
        value = np.maximum(value, np.clip(1 - distance / 0.045, 0, 1))
    return value * value * (3 - 2 * value)


_EMOTIONS: Mapping[str, Mapping[str, float]] = {
    "neutral": {},
    "angry": {
        "brow_lower": 1.0, "lid_raise": 0.35, "lid_tighten": 0.7, "lip_press": 0.35, "nose_wrinkle": 0.25,
        "upper_lip_raise": 0.25, "lower_lip_depress": 0.35, "chin_raise": 0.2, "lip_stretch": 0.15,
    },
    "contempt": {"dimple_l": 1.0, "lid_tighten": 0.3, "brow_outer_up": 0.12, "lip_press": 0.25,
    "chin_raise": 0.2},
    "disgusted": {
        "nose_wrinkle": 1.0, "upper_lip_raise": 0.8, "brow_lower": 0.5, "cheek_raise": 0.5,
        "lid_tighten": 0.7,
        "corner_depress": 0.4, "chin_raise": 0.35,
    },
    "fear": {
        "brow_inner_up": 0.95, "brow_outer_up": 0.45, "brow_lower": 0.4, "lid_raise": 0.95,
        "lip_stretch": 0.85,
        "lips_part": 0.35, "jaw_open": 0.08,
    },
    "happy": {"corner_pull": 1.12, "cheek_raise": 0.8, "lips_part": 0.35, "upper_lip_raise": 0.14,
    "lid_tighten": 0.4},
    "sad": {
        "brow_inner_up": 1.0, "brow_lower": 0.35, "corner_depress": 0.95, "chin_raise": 0.5,
        "lid_tighten": 0.15,
        "blink_l": 0.20, "blink_r": 0.20,
    },
    "surprised": {"brow_inner_up": 1.0, "brow_outer_up": 1.0, "lid_raise": 0.9, "jaw_open": 0.30,
    "lips_part": 0.1},
}  # fmt: skip

_STRENGTH_OF = {1: 0.42, 2: 0.70, 3: 1.0}
_VIGOUR = {
    "angry": 1.28, "contempt": 0.88, "disgusted": 0.98, "fear": 1.08, "happy": 1.14, "neutral": 1.0,
    "sad": 0.74,
    "surprised": 1.20,
}  # fmt: skip
_PULSE = {
    "angry": 0.30,
    "happy": 0.18,
    "surprised": 0.25,
    "fear": 0.22,
    "disgusted": 0.20,
    "sad": 0.10,
    "contempt": 0.12,
}


def _check_emotion(emotion: str, intensity: int) -> None:
    if emotion not in _EMOTIONS:
        raise ValueError(f"unknown emotion {emotion!r}: expected one of {', '.join(MEAD_EMOTIONS)}")
    if intensity not in _STRENGTH_OF:
        raise ValueError(f"expected intensity 1, 2 or 3, got {intensity!r}")


def vigour(emotion: str, intensity: int) -> float:
    """How far the mouth opens in speech: 1 for neutral, more for anger, less for sadness."""
    _check_emotion(emotion, intensity)
    return 1.0 + (_VIGOUR[emotion] - 1.0) * _STRENGTH_OF[intensity]


def emote(emotion: str, intensity: int, energy: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """(T, E) of an emotion held through a clip: a shape scaled by intensity, moved by the voice's energy.

    It sets in over the first quarter second, wavers slowly, and swells with energy (T,) in [0, 1]. Each take
    weighs the action units a little differently. Neutral is a breath of movement about rest.

    Raises:
        ValueError: an unknown emotion or intensity, or energy that is not (T,) in [0, 1].
    """
    _check_emotion(emotion, intensity)
    energy = np.asarray(energy, dtype=np.float64)
    if (
        energy.ndim != 1
        or not len(energy)
        or not (np.isfinite(energy).all() and energy.min() >= 0 and energy.max() <= 1)
    ):
        raise ValueError(f"expected energy (T,) between 0 and 1, got shape {energy.shape}")
    num_frames = len(energy)
    units = np.zeros(len(EXPRESSIONS))
    for name, value in _EMOTIONS[emotion].items():
        units[_column(name)] = value
    take = units * np.clip(1 + 0.14 * rng.standard_normal(len(units)), 0.6, 1.4)
    waver = 1 + 0.09 * _slow(num_frames, 1.1, rng)
    onset = np.clip(0.65 + 0.35 * frame_times(num_frames) / 0.25, 0, 1)
    pulse = 1 + _PULSE.get(emotion, 0.0) * (_smooth(energy, 2.0) - 0.5)
    level = _STRENGTH_OF[intensity] * waver * onset * pulse
    out = level[:, None] * take
    drift = ("brow_inner_up", "brow_outer_up", "brow_lower", "corner_pull", "lid_tighten")
    for name in drift:
        out[:, _column(name)] += 0.05 * _slow(num_frames, 0.9, rng)
    # Speakers lift their brows on stressed syllables, whatever they feel.
    out[:, _column("brow_outer_up")] += 0.12 * _smooth(np.clip(energy - 0.55, 0, 1), 2.5)
    return np.maximum(out, 0.0).astype(np.float32)


def _slow(num_frames: int, seconds: float, rng: np.random.Generator) -> np.ndarray:
    """(T,) smooth noise of about unit variance that changes within `seconds`."""
    width = seconds * FPS / 2.5
    margin = int(4 * width) + 1
    noise = rng.standard_normal(num_frames + 2 * margin)
    smooth = _smooth(noise, width)[margin : margin + num_frames]
    return smooth * np.sqrt(2 * np.sqrt(np.pi) * width)


def _smooth(values: np.ndarray, width: float) -> np.ndarray:
    """Gaussian smoothing with a standard deviation of `width` frames; edges repeat."""
    reach = int(np.ceil(3 * width))
    kernel = np.exp(-0.5 * (np.arange(-reach, reach + 1) / width) ** 2)
    padded = np.pad(values, reach, mode="edge")
    return np.convolve(padded, kernel / kernel.sum(), mode="valid")


def blink(num_frames: int, rng: np.random.Generator) -> np.ndarray:
    """(T, E) blinks: about one in three seconds, 80 ms to close, 160 ms to open."""
    times = frame_times(num_frames)
    closed = np.zeros(num_frames)
    moment = rng.uniform(0.3, 2.8)
    while moment < times[-1]:
        away = times - moment
        closed = np.maximum(closed, np.clip(np.where(away < 0, 1 + away / 0.09, 1.25 - away / 0.14), 0, 1))
        moment += 0.8 + rng.gamma(2.0, 1.2)
    out = np.zeros((num_frames, len(EXPRESSIONS)), dtype=np.float32)
    out[:, [_column("blink_l"), _column("blink_r")]] = closed[:, None]
    return out


_BEARING = {  # yaw, pitch (degrees), and how lively the head is
    "angry": (0.0, 2.5, 1.25), "contempt": (2.0, -3.0, 0.8), "disgusted": (3.0, -2.0, 0.9),
    "fear": (0.0, -1.5, 1.1),
    "happy": (0.0, -1.0, 1.25), "neutral": (0.0, 0.0, 1.0), "sad": (0.0, 4.0, 0.7),
    "surprised": (0.0, -2.5, 1.15),
}  # fmt: skip


def head_motion(num_frames: int, rng: np.random.Generator, emotion: str | None = None) -> np.ndarray:
    """(T, 6) float32 smooth head poses: yaw within 10 degrees, pitch within 6, roll within 4, a few pixels of
    shift.

    An emotion gives the head its bearing (sadness bows it, surprise throws it back) and liveliness.
    """
    if emotion is not None:
        _check_emotion(emotion, 1)
    yaw, pitch, lively = _BEARING[emotion or "neutral"]
    out = np.zeros((num_frames, 6))
    for column, (spread, limit) in enumerate(((4.2, 10.0), (2.2, 6.0), (1.6, 4.0))):
        sway = 0.8 * _slow(num_frames, 1.6, rng) + 0.35 * _slow(num_frames, 0.6, rng)
        bearing = (yaw, pitch, 0.0)[column] + 0.6 * spread * rng.standard_normal()
        degrees = bearing + spread * lively * sway
        out[:, column] = np.deg2rad(limit * np.tanh(degrees / limit))
    out[:, 3] = 1.6 * _slow(num_frames, 1.6, rng) + 1.2 * rng.standard_normal()
    out[:, 4] = 1.0 * _slow(num_frames, 1.6, rng) + 0.8 * rng.standard_normal()
    out[:, 5] = 0.010 * _slow(num_frames, 2.0, rng) + 0.008 * rng.standard_normal()
    return out.astype(np.float32)


@cache
def _gap_row() -> np.ndarray:
    """(3, E): how each coefficient opens the three pairs of inner-lip points of the average head, in
    pixels."""
    unit = np.eye(len(EXPRESSIONS), dtype=np.float32)
    someone = face.identity("M1")
    rest = face.landmarks3d(someone, np.zeros((1, len(EXPRESSIONS))))[0, :, 1]
    moved = face.landmarks3d(someone, unit)[:, :, 1] - rest
    return np.stack([moved[:, low] - moved[:, high] for high, low in ((61, 67), (62, 66), (63, 65))])


def lip_gap(expression: np.ndarray) -> np.ndarray:
    """(T, 3) pixels between the inner lips at points 61-67, 62-66 and 63-65."""
    return np.asarray(expression, dtype=np.float64) @ _gap_row().T


def combine(articulation: np.ndarray, emotion: np.ndarray, blink: np.ndarray) -> np.ndarray:
    """(T, E) of speech, emotion and blinks together, within what a face can do.

    A smile and rounded lips pull against each other: each gives way. Lips that speech closes stay closed
    whatever the emotion does to them, and never pass through each other.

    Raises:
        ValueError: the three differ in shape.
    """
    parts = [face.check_expression(part) for part in (articulation, emotion, blink)]
    if len({part.shape for part in parts}) > 1:
        raise ValueError(
            f"expected three arrays of one shape, got {', '.join(str(part.shape) for part in parts)}"
        )
    speech, feeling, lids = (part.astype(np.float64) for part in parts)
    seal = speech[:, _column("mouth_close")].copy()
    tuck = np.clip(speech[:, _column("lower_lip_tuck")], 0, 1)
    speech[:, _column("mouth_close")] = 0.0
    rounding = np.clip(speech[:, _column("lip_round")], 0, 1)
    out = speech + feeling + lids
    for name in ("corner_pull", "lip_stretch", "lip_spread"):
        out[:, _column(name)] -= 0.55 * rounding * feeling[:, _column(name)]
    smile = np.clip(feeling[:, _column("corner_pull")] + feeling[:, _column("lip_stretch")], 0, 1)
    for name in ("lip_round", "lip_protrude"):
        out[:, _column(name)] *= 1 - 0.45 * smile
    for name in ("lips_part", "jaw_open", "upper_lip_raise", "lower_lip_depress"):
        out[:, _column(name)] -= (0.85 * seal + 0.5 * tuck * (1 - seal)) * feeling[:, _column(name)]
    out = np.clip(out, 0.0, 1.35)
    eyes = np.maximum(lids[:, _column("blink_l")], 0)
    for name in ("lid_raise", "lid_tighten"):
        out[:, _column(name)] *= 1 - eyes
    for name in ("blink_l", "blink_r"):
        out[:, _column(name)] = np.clip(out[:, _column(name)], 0, 1)
    return _settle_lips(out, seal).astype(np.float32)


def _settle_lips(expression: np.ndarray, seal: np.ndarray) -> np.ndarray:
    """Close the lips by `seal` (T,) of their gap, and part lips that overlap."""
    row = _gap_row()
    close, part = _column("mouth_close"), _column("lips_part")
    gap = lip_gap(expression).mean(1)
    expression[:, close] = seal * np.maximum(gap, 0.0) / -row[:, close].mean()
    gap = lip_gap(expression).mean(1)
    expression[:, part] += np.maximum(-gap, 0.0) / row[:, part].mean()
    return expression


def perform(
    visemes: Sequence[Viseme], energy: np.ndarray, emotion: str, intensity: int, rng: np.random.Generator
) -> np.ndarray:
    """(T, E) of a whole clip: these sounds spoken with this emotion, T being the length of `energy`."""
    num_frames = len(energy)
    feeling = emote(emotion, intensity, energy, rng)
    speech = articulate(visemes, num_frames, vigour(emotion, intensity))
    return combine(speech, feeling, blink(num_frames, rng))
