"""How the head can change: displacement fields of expressions and of identities, in millimetres at
coefficient 1.

Expressions follow the action units (AU) of the Facial Action Coding System (Ekman & Friesen, 1978) where one
exists, and lip shapes of speech elsewhere. Every field is a sum of soft local pushes, so vertices move
linearly in the coefficients and a landmark moves exactly as its vertex does.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import numpy as np

from benchmark.data.synthetic.head_curves import INNER_CORNER
from benchmark.data.synthetic.head_mesh import CAVITY, EYE, SKIN, TEETH, TONGUE, Head, rest_head

EXPRESSIONS = (
    "jaw_open", "mouth_close", "lips_part", "lip_press", "lip_round", "lip_protrude", "lip_spread",
    "lower_lip_tuck", "upper_lip_raise", "lower_lip_depress", "corner_pull", "corner_depress", "lip_stretch",
    "dimple_l", "dimple_r", "chin_raise", "nose_wrinkle", "cheek_raise", "brow_inner_up", "brow_outer_up",
    "brow_lower", "lid_raise", "lid_tighten", "blink_l", "blink_r", "tongue_up",
)  # fmt: skip
"""Coefficient names, in the order of the last axis of every expression array. 0 is rest, 1 a full movement;
`_l` is the subject's left, which is image right. mouth_close at 1 closes the lips over a jaw opened by 1."""

SHAPES = (
    "width", "length", "jaw_width", "cheekbones", "chin_length", "chin_forward", "nose_length", "nose_width",
    "nose_forward", "eye_size", "eye_spacing", "eye_tilt", "brow_height", "upper_lip", "lower_lip",
    "mouth_width",
    "fleshiness", "forehead",
)  # fmt: skip
"""Identity coefficient names; 0 is the average, 1 about one standard deviation."""

_JAW_RADIANS = 0.2


class _Field:
    """One displacement field over the vertices of a head."""

    def __init__(self, head: Head) -> None:
        self.head = head
        self.x, self.y, self.z = head.rest.T
        self.out = np.zeros_like(head.rest)
        self.side = np.sign(self.x)
        self.lower = 1.0 - head.lip_side
        front = head.part != EYE
        self.soft = front & (head.part != TEETH) & (head.part != CAVITY) & (head.part != TONGUE)

    def bell(self, x: float, y: float, sx: float, sy: float) -> np.ndarray:
        """1 at (+-x, y), falling off over (sx, sy); only on soft tissue that faces the front."""
        value = np.exp(-(((np.abs(self.x) - x) / sx) ** 2) - ((self.y - y) / sy) ** 2)
        return value * self.soft * np.clip((self.z - 5) / 35.0, 0, 1)

    def push(self, weight: np.ndarray, dx: float = 0.0, dy: float = 0.0, dz: float = 0.0) -> None:
        """Move by (dx outwards, dy down, dz forwards) times weight."""
        outwards = np.clip(self.x / 6.0, -1, 1)
        self.out += weight[:, None] * np.stack([dx * outwards, dy + 0 * outwards, dz + 0 * outwards], 1)

    def only_left(self) -> None:
        """Keep the subject's left half, fading out over the midline."""
        self.out *= (1 / (1 + np.exp(-self.x / 3.0)))[:, None]


def _jaw_open(f: _Field) -> None:
    under = f.head.plane[:, 1] * (f.head.part == SKIN)
    weight = f.lower * np.clip((160 - under) / 45.0, 0, 1) * np.clip((f.z + 20) / 45.0, 0, 1)
    weight = np.where(f.head.part <= EYE, weight * (f.head.part == SKIN), f.lower)
    weight = np.where(f.head.part == CAVITY, np.clip((f.y - 66) / 20, 0, 1), weight)
    weight = np.where((f.head.part > CAVITY), 0.0, weight)
    f.out[:, 1] += _JAW_RADIANS * weight * (f.z - 6)
    f.out[:, 2] -= _JAW_RADIANS * weight * (f.y - 12) * 0.8
    f.push(f.bell(27, 70, 12, 14), dx=-1.6)
    f.push(f.bell(42, 62, 16, 24), dx=-1.2, dz=-1.0)


def _mouth_close(f: _Field) -> None:
    opened = field("jaw_open")
    named = f.head.named
    upper, lower = named["lip_upper_3"], np.append(named["lip_lower_3"], named["lip_upper_3"][-1])
    gap = opened[lower, 1] - opened[upper, 1]
    at = np.interp(np.abs(f.x), f.head.rest[upper, 0], gap, right=0.0) * (np.abs(f.x) < INNER_CORNER[0])
    lip = f.soft & (f.z > 60)
    near = np.exp(-((np.maximum(np.abs(f.y - 69) - 3.0, 0) / 12.0) ** 2)) * lip
    is_lower = np.where(np.abs(f.x) < INNER_CORNER[0], f.lower > 0.5, 0.0)
    f.out[:, 1] += near * at * np.where(is_lower, -0.72, 0.28 * (f.lower <= 0.5))
    f.out[:, 2] += near * at * np.where(is_lower, 0.10, 0.0)


def _lips_part(f: _Field) -> None:
    f.push(f.lower * f.bell(0, 73, 19, 10), dy=4.2, dz=-0.4)
    f.push(f.head.lip_side * f.bell(0, 64, 19, 9), dy=-2.0)


def _lip_press(f: _Field) -> None:
    f.push(f.bell(0, 59.5, 22, 3.6), dy=2.0, dz=-1.6)
    f.push(f.bell(0, 77.5, 22, 4.2), dy=-2.6, dz=-1.8)
    f.push(f.bell(0, 69, 22, 6), dz=-1.4)


def _lip_round(f: _Field) -> None:
    f.push(f.bell(25, 69, 13, 13), dx=-8.0, dz=3.0)
    f.push(f.bell(12, 69, 9, 14), dx=-2.2)
    f.push(f.bell(0, 60, 14, 6) - f.lower * f.bell(0, 78, 14, 6), dy=-0.8)
    f.push(f.bell(0, 69, 18, 12), dz=1.6)


def _lip_protrude(f: _Field) -> None:
    f.push(f.bell(0, 69, 20, 11), dz=5.5)
    f.push(f.head.lip_side * f.bell(0, 61, 15, 7), dy=-1.4)
    f.push(f.lower * f.bell(0, 77, 15, 7), dy=1.4)


def _lip_spread(f: _Field) -> None:
    f.push(f.bell(27, 69, 16, 13), dx=4.2, dy=-0.8, dz=-2.4)
    f.push(f.bell(36, 66, 12, 16), dx=1.2, dz=0.6)


def _lower_lip_tuck(f: _Field) -> None:
    f.push(f.lower * f.bell(0, 72, 19, 9), dy=-3.6, dz=-4.6)
    f.push(f.bell(0, 88, 18, 7), dy=-1.2, dz=0.8)
    f.push(f.head.lip_side * f.bell(0, 63, 18, 8), dy=-1.2)


def _upper_lip_raise(f: _Field) -> None:
    f.push(f.head.lip_side * f.bell(11, 62, 13, 10), dy=-5.4, dz=0.8)
    f.push(f.bell(17, 44, 8, 9), dy=-2.2, dx=0.8)
    f.push(f.bell(27, 50, 9, 12), dy=-2.4, dz=1.6)


def _lower_lip_depress(f: _Field) -> None:
    f.push(f.lower * f.bell(11, 75, 14, 11), dy=5.2, dz=-0.8, dx=0.8)


def _corner_pull(f: _Field) -> None:
    f.push(f.bell(27, 69, 13, 12), dx=7.2, dy=-7.0, dz=-4.6)
    f.push(f.bell(13, 70, 9, 10), dx=1.8, dy=-0.6, dz=-0.8)
    f.push(f.bell(0, 69, 14, 9), dy=0.9, dz=-1.2)
    f.push(f.bell(39, 40, 15, 15), dx=1.2, dy=-4.6, dz=3.8)
    f.push(f.bell(17, 42, 6, 7), dx=1.4, dy=-0.8)
    f.push(f.bell(48, 68, 14, 18), dx=2.0, dy=-2.0)


def _corner_depress(f: _Field) -> None:
    f.push(f.bell(26, 71, 12, 11), dx=0.6, dy=6.4, dz=-1.6)
    f.push(f.bell(15, 74, 8, 9), dy=1.6)
    f.push(f.bell(26, 88, 11, 11), dx=1.0, dy=1.6, dz=1.0)


def _lip_stretch(f: _Field) -> None:
    f.push(f.bell(27, 70, 15, 13), dx=5.8, dy=2.4, dz=-3.4)
    f.push(f.lower * f.bell(10, 76, 15, 9), dy=1.8)
    f.push(f.bell(32, 96, 16, 16), dx=1.6, dy=1.4)


def _dimple(f: _Field) -> None:
    f.push(f.bell(26, 69, 11, 11), dx=5.2, dy=-5.2, dz=-4.2)
    f.push(f.bell(34, 58, 10, 14), dx=0.8, dy=-2.8, dz=2.8)
    f.push(f.head.lip_side * f.bell(16, 63, 9, 8), dy=-2.0)
    f.only_left()


def _chin_raise(f: _Field) -> None:
    f.push(f.bell(0, 99, 19, 12), dy=-5.0, dz=1.4)
    f.push(f.lower * f.bell(0, 78, 20, 9), dy=-2.4, dz=2.4)
    f.push(f.bell(26, 71, 10, 9), dy=1.6)


def _nose_wrinkle(f: _Field) -> None:
    f.push(f.bell(16, 40, 9, 10), dy=-4.2, dx=1.0, dz=0.6)
    f.push(f.bell(9, 14, 9, 14), dy=-2.4, dz=0.8)
    f.push(f.bell(24, 42, 9, 16), dy=-3.2, dz=2.4)
    f.push(f.head.lip_side * f.bell(10, 61, 14, 8), dy=-3.0)
    f.push(f.bell(12, -15, 10, 9), dy=3.6, dx=-1.4, dz=1.0)


def _cheek_raise(f: _Field) -> None:
    f.push(f.bell(36, 26, 18, 14), dy=-4.2, dz=2.8)
    f.push(f.bell(50, 4, 8, 9), dy=-0.6, dx=-0.8, dz=0.5)


def _brow_inner_up(f: _Field) -> None:
    f.push(f.bell(13, -20, 13, 13), dy=-6.8, dx=-0.8, dz=-0.8)
    f.push(f.bell(10, -38, 18, 14), dy=-2.2)


def _brow_outer_up(f: _Field) -> None:
    f.push(f.bell(43, -22, 17, 12), dy=-6.6, dz=-1.8)
    f.push(f.bell(42, -38, 18, 14), dy=-2.0)


def _brow_lower(f: _Field) -> None:
    f.push(f.bell(14, -17, 12, 10), dy=5.6, dx=-2.8, dz=1.4)
    f.push(f.bell(36, -21, 16, 9), dy=3.2, dx=-1.0)
    f.push(f.bell(22, -9, 12, 5), dy=1.6)


def _tongue_up(f: _Field) -> None:
    weight = (f.head.part == TONGUE) * np.clip((f.z - 72) / 20, 0, 1)
    f.push(weight, dy=-4.5, dz=5.0)


def _lids(f: _Field, upper: np.ndarray, lower: np.ndarray) -> None:
    """Move the lids' margins by `upper` and `lower` ((11, 3) image-right), and the skin near them less."""
    named, rest = f.head.named, f.head.rest
    margin_upper = named["lid_upper"]
    margin_lower = np.concatenate([margin_upper[:1], named["lid_lower"], margin_upper[-1:]])
    skin = np.flatnonzero((f.head.part == SKIN) & (np.abs(f.x) > 8) & (np.abs(f.x) < 60) & (np.abs(f.y) < 22))
    place = rest[skin] * np.stack([f.side[skin], np.ones(len(skin)), np.ones(len(skin))], 1)
    is_upper = place[:, 1] < np.interp(place[:, 0], rest[margin_upper, 0], rest[margin_lower, 1]) - 1e-6
    for rows, moves, mine, reach in (
        (margin_upper, upper, is_upper, 5.0),
        (margin_lower, lower, ~is_upper, 4.5),
    ):
        edge = rest[rows]
        weights = np.stack([np.interp(place[:, 0], edge[:, 0], moves[:, k]) for k in range(3)], 1)
        distance = np.abs(place[:, 1] - np.interp(place[:, 0], edge[:, 0], edge[:, 1]))
        outside = np.maximum(np.maximum(edge[0, 0] - place[:, 0], place[:, 0] - edge[-1, 0]), 0)
        near = np.exp(-((distance / reach) ** 2) - (outside / 2.0) ** 2) * mine
        f.out[skin] += (
            near[:, None] * weights * np.stack([f.side[skin], np.ones(len(skin)), np.ones(len(skin))], 1)
        )


def _margins(f: _Field) -> tuple[np.ndarray, np.ndarray]:
    named, rest = f.head.named, f.head.rest
    upper = rest[named["lid_upper"]]
    lower = np.concatenate([upper[:1], rest[named["lid_lower"]], upper[-1:]])
    return upper, lower


def _blink(f: _Field) -> None:
    upper, lower = _margins(f)
    meet = upper + 0.86 * (lower - upper)
    meet[:, 2] = upper[:, 2] + 0.86 * (lower[:, 2] - upper[:, 2]) + 0.35
    _lids(f, meet - upper, meet - lower)
    f.out *= (f.x > 0)[:, None]


def _lid_raise(f: _Field) -> None:
    upper, _ = _margins(f)
    open_more = np.sin(np.pi * np.linspace(0, 1, len(upper)))[:, None] ** 0.8
    _lids(f, open_more * np.array([0, -2.8, -0.6]), open_more * np.array([0, 0.7, 0.0]))


def _lid_tighten(f: _Field) -> None:
    upper, _ = _margins(f)
    share = np.sin(np.pi * np.linspace(0, 1, len(upper)))[:, None] ** 0.8
    _lids(f, share * np.array([0, 1.4, 0.3]), share * np.array([0, -2.2, 0.3]))


def _mirrored(other: str) -> Callable[[_Field], None]:
    def build(f: _Field) -> None:
        f.out += field(other)[f.head.mirror] * (-1, 1, 1)

    return build


_BUILDERS: dict[str, Callable[[_Field], None]] = {
    "jaw_open": _jaw_open, "mouth_close": _mouth_close, "lips_part": _lips_part, "lip_press": _lip_press,
    "lip_round": _lip_round, "lip_protrude": _lip_protrude, "lip_spread": _lip_spread,
    "lower_lip_tuck": _lower_lip_tuck, "upper_lip_raise": _upper_lip_raise,
    "lower_lip_depress": _lower_lip_depress, "corner_pull": _corner_pull, "corner_depress": _corner_depress,
    "lip_stretch": _lip_stretch, "dimple_l": _dimple, "dimple_r": _mirrored("dimple_l"),
    "chin_raise": _chin_raise, "nose_wrinkle": _nose_wrinkle, "cheek_raise": _cheek_raise,
    "brow_inner_up": _brow_inner_up, "brow_outer_up": _brow_outer_up, "brow_lower": _brow_lower,
    "lid_raise": _lid_raise, "lid_tighten": _lid_tighten, "blink_l": _blink, "blink_r": _mirrored("blink_l"),
    "tongue_up": _tongue_up,
}  # fmt: skip


@cache
def field(name: str) -> np.ndarray:
    """(V, 3) displacement at coefficient 1 of an expression, millimetres."""
    built = _Field(rest_head())
    _BUILDERS[name](built)
    return built.out


def expression_basis() -> np.ndarray:
    """(E, V, 3) millimetres."""
    return np.stack([field(name) for name in EXPRESSIONS])


def shape_fields(points: np.ndarray) -> np.ndarray:
    """(S, n, 3) displacement of any points (n, 3) of a head at each identity coefficient 1, millimetres.

    Points that belong together (the eyeball and its lids, hair and skull) so stay together.
    """
    x, y, z = points.T
    side = np.clip(x / 6.0, -1, 1)
    ahead = np.clip((z - 0) / 40.0, 0, 1)
    zero = np.zeros_like(x)

    def bell(cx: float, cy: float, sx: float, sy: float) -> np.ndarray:
        return np.exp(-(((np.abs(x) - cx) / sx) ** 2) - ((y - cy) / sy) ** 2) * ahead

    def moved(
        dx: np.ndarray | float = 0.0, dy: np.ndarray | float = 0.0, dz: np.ndarray | float = 0.0
    ) -> np.ndarray:
        return np.stack([zero + dx, zero + dy, zero + dz], 1)

    chin, jaw = np.clip((y - 30) / 80.0, 0, 1.1) * np.clip((150 - y) / 40, 0, 1), bell(50, 82, 30, 30)
    eye, tip, wing = bell(31.5, 0, 17, 13), bell(0, 37, 14, 13), bell(16, 40, 9, 9)
    head_high = np.clip((125 - y) / 30, 0, 1)
    fields = {
        "width": moved(dx=0.042 * x * head_high),
        "length": moved(dy=3.6 * chin - 1.5 * np.clip(-y / 60, 0, 1.6)),
        "jaw_width": moved(dx=3.6 * side * jaw),
        "cheekbones": moved(dx=2.2 * side * bell(60, 14, 20, 16), dz=2.0 * bell(45, 20, 16, 13)),
        "chin_length": moved(dy=3.0 * bell(0, 108, 30, 16)),
        "chin_forward": moved(dz=3.0 * bell(0, 104, 20, 14)),
        "nose_length": moved(dy=2.4 * bell(0, 42, 18, 14)),
        "nose_width": moved(dx=1.9 * side * (wing + 0.5 * bell(9, 22, 8, 16))),
        "nose_forward": moved(dz=3.0 * tip + 1.6 * bell(0, 10, 9, 18)),
        "eye_size": moved(dx=0.07 * (x - 31.0 * np.sign(x)) * eye, dy=0.12 * y * eye),
        "eye_spacing": moved(dx=1.5 * side * bell(31.5, 0, 24, 20)),
        "eye_tilt": moved(dy=-0.07 * (np.abs(x) - 31) * bell(31.5, 0, 22, 12)),
        "brow_height": moved(dy=-2.4 * bell(30, -20, 30, 9)),
        "upper_lip": moved(dy=-1.5 * bell(0, 59.5, 20, 4.0), dz=0.8 * bell(0, 62, 18, 6)),
        "lower_lip": moved(dy=1.8 * bell(0, 78.5, 20, 5.0), dz=0.9 * bell(0, 75, 18, 6)),
        "mouth_width": moved(dx=2.2 * side * bell(24, 69, 18, 14)),
        "fleshiness": moved(dx=2.6 * side * bell(52, 62, 20, 28), dz=1.8 * bell(42, 58, 20, 26)),
        "forehead": moved(dz=2.4 * bell(0, -50, 60, 26), dy=-2.0 * np.clip((-y - 40) / 40, 0, 1)),
    }  # fmt: skip
    return np.stack([fields[name] for name in SHAPES])
