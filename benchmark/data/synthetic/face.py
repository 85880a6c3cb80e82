"""The parametric head: who it is, what it does, where its landmarks are, and how a camera sees it.

Space: the 256 crop at rest, x right, y down, z towards the viewer, float32. One millimetre is `PIXELS_PER_MM`
pixels, so that a face is 149 px from hairline to chin (58 % of the crop), its pupils 52 px apart near (102,
110) and (154, 110), with room for hair and shoulders. z = 0 is the plane of the ear openings.

A head is linear: vertices = mean + shapes . identity + expressions . coefficients, in pixels. Landmarks are
vertices, so they are exact. The camera is weak perspective, as in EVP's eq. 8 (Ji et al., CVPR 2021):
l = s R L + t, with the rotation about `PIVOT` in the neck.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cache

import numpy as np

from benchmark.data.synthetic import head_fields
from benchmark.data.synthetic.head_fields import EXPRESSIONS, SHAPES
from benchmark.data.synthetic.head_mesh import Head, rest_head

HEAD: Head = rest_head()
"""The average head, millimetres, at rest."""

PIXELS_PER_MM = 0.82
ORIGIN = np.array([128.0, 110.0, 0.0], dtype=np.float32)
"""Crop coordinates of the point half-way between the pupils (x, y), in the ears' plane (z)."""
PIVOT = np.array([128.0, 158.0, -12.0], dtype=np.float32)
"""The point the head turns about, crop coordinates."""

HAIRSTYLES = ("short", "crop", "parted", "bob", "long", "tied")

_SKINS = ((240, 207, 184), (228, 186, 158), (214, 168, 136), (190, 141, 108), (150, 104, 76), (112, 76, 56))
_HAIRS = (
    (36, 28, 26),
    (58, 40, 30),
    (92, 62, 40),
    (128, 90, 56),
    (176, 138, 88),
    (120, 58, 36),
    (120, 116, 112),
)
_IRISES = ((86, 60, 38), (110, 84, 48), (88, 110, 76), (86, 118, 146), (112, 128, 138))
_CLOTHES = (
    (58, 78, 112), (128, 52, 58), (70, 98, 80), (92, 84, 104), (188, 180, 166), (52, 56, 64),
    (170, 122, 66), (96, 132, 148),
)  # fmt: skip
_BACKGROUNDS = (
    (186, 192, 198),
    (168, 182, 174),
    (196, 184, 170),
    (150, 164, 184),
    (176, 168, 184),
    (140, 150, 152),
)

Colour = tuple[int, int, int]


@dataclass(frozen=True)
class Identity:
    """One person's looks. Colours are sRGB, 0 to 255."""

    id: str
    shape: tuple[float, ...]
    """Coefficients of `SHAPES`."""
    skin: Colour
    lips: Colour
    hair: Colour
    iris: Colour
    clothes: Colour
    background: Colour
    hairstyle: str
    brow_weight: float
    """Thickness and darkness of the brows; 1 is average."""
    texture_seed: int
    """Seeds freckles, strands and the background's pattern."""


def identity(name: str) -> Identity:
    """The person of that name: any speaker id of any corpus gets a face of its own, the same everywhere.

    A name that starts with F or M and a digit (M003, F01) gets proportions and hair more common in women or
    men; other names get either.

    Raises:
        ValueError: the name is empty.
    """
    if not name:
        raise ValueError("identity needs a speaker's name, for example 'F01'; it was empty")
    digest = hashlib.sha256(b"evp-bench face 1:" + name.encode()).digest()
    rng = np.random.default_rng(list(digest))
    shape = np.clip(rng.normal(0.0, 0.85, len(SHAPES)), -1.7, 1.7)
    lean = rng.random() < 0.5
    coded = name[:1].upper() in "FMW" and name[1:2].isdigit()
    female = name[0].upper() in "FW" if coded else lean
    step = -1.0 if female else 1.0
    for key, amount in (
        ("jaw_width", 0.7),
        ("chin_length", 0.4),
        ("brow_height", -0.5),
        ("upper_lip", -0.5),
        ("eye_size", -0.5),
        ("length", 0.4),
        ("width", 0.3),
    ):
        shape[SHAPES.index(key)] += step * amount
    styles = HAIRSTYLES[3:] if female else HAIRSTYLES[:3]
    tone = int(rng.choice(len(_SKINS), p=[0.2, 0.26, 0.2, 0.14, 0.12, 0.08]))
    hair = int(rng.integers(2 if tone > 3 else len(_HAIRS)))
    skin = _jitter(_SKINS[tone], 6, rng)
    red = np.array([0.86, 0.62, 0.60]) if female else np.array([0.88, 0.70, 0.67])
    return Identity(
        id=name,
        shape=tuple(float(v) for v in shape),
        skin=skin,
        lips=_colour(np.array(skin) * red + np.array([10, 0, 2])),
        hair=_jitter(_HAIRS[hair], 3, rng),
        iris=_IRISES[int(rng.integers(2 if tone > 2 else len(_IRISES)))],
        clothes=_jitter(_CLOTHES[int(rng.integers(len(_CLOTHES)))], 10, rng),
        background=_jitter(_BACKGROUNDS[int(rng.integers(len(_BACKGROUNDS)))], 8, rng),
        hairstyle=styles[int(rng.integers(len(styles)))],
        brow_weight=float(rng.uniform(0.75, 1.05) if female else rng.uniform(1.0, 1.35)),
        texture_seed=int(rng.integers(2**31)),
    )


def _jitter(colour: Colour, amount: float, rng: np.random.Generator) -> Colour:
    return _colour(np.array(colour) + rng.uniform(-amount, amount, 3))


def _colour(value: np.ndarray) -> Colour:
    r, g, b = np.clip(np.rint(value), 0, 255).astype(int)
    return int(r), int(g), int(b)


def to_crop(points_mm: np.ndarray) -> np.ndarray:
    """Millimetres of the head's own axes -> rest crop coordinates."""
    return (points_mm * PIXELS_PER_MM + ORIGIN).astype(np.float32)


@cache
def _shape_basis() -> np.ndarray:
    return (head_fields.shape_fields(HEAD.rest) * PIXELS_PER_MM).astype(np.float32)


@cache
def _expression_basis() -> np.ndarray:
    return (head_fields.expression_basis() * PIXELS_PER_MM).astype(np.float32)


@cache
def _neutral(shape: tuple[float, ...]) -> np.ndarray:
    offset = np.tensordot(np.asarray(shape, np.float32), _shape_basis(), 1)
    return to_crop(HEAD.rest) + offset


def vertices(identity: Identity, expression: np.ndarray) -> np.ndarray:
    """(T, V, 3) float32 of the unposed head for expression coefficients (T, E).

    Raises:
        ValueError: the coefficients are not (T, E) or not finite.
    """
    checked = check_expression(expression)
    basis = _expression_basis()
    moved = checked @ basis.reshape(len(basis), -1)
    return _neutral(identity.shape) + moved.reshape(len(checked), -1, 3)


def landmarks3d(identity: Identity, expression: np.ndarray, layout: int = 68) -> np.ndarray:
    """(T, 68 or 106, 3) float32 landmarks on the unposed head.

    Order: iBUG 68, or the 106 points of EVP, of which [0, 2, .., 32, 33-51, 52-63, 84-103] are the 68.

    Raises:
        ValueError: the layout is neither, or the coefficients are not (T, E).
    """
    rows = landmark_vertices(layout)
    checked = check_expression(expression)
    basis = _expression_basis()[:, rows]
    moved = checked @ basis.reshape(len(basis), -1)
    return _neutral(identity.shape)[rows] + moved.reshape(len(checked), -1, 3)


def check_expression(expression: np.ndarray) -> np.ndarray:
    expression = np.asarray(expression, dtype=np.float32)
    if expression.ndim != 2 or expression.shape[1] != len(EXPRESSIONS):
        raise ValueError(f"expected expression coefficients (T, {len(EXPRESSIONS)}), got {expression.shape}")
    if not np.isfinite(expression).all():
        raise ValueError("expression coefficients must be finite")
    return expression


@cache
def landmark_vertices(layout: int) -> np.ndarray:
    """(68 or 106,) the vertex under each landmark."""
    if layout == 68:
        return _ibug_vertices()
    if layout == 106:
        return _evp_vertices()
    raise ValueError(f"expected landmark layout 68 or 106, got {layout}")


def _flip(rows: np.ndarray) -> np.ndarray:
    """The same points on the image-left side."""
    return HEAD.mirror[rows]


def _ibug_vertices() -> np.ndarray:
    named = HEAD.named
    jaw, brow, ridge, base = (named[k] for k in ("jaw", "brow_upper", "nose_ridge", "nose_base"))
    above, below = named["lid_upper"], named["lid_lower"]
    eye = np.array([above[0], above[3], above[7], above[10], below[6], below[2]])
    eye_left = _flip(np.array([eye[3], eye[2], eye[1], eye[0], eye[5], eye[4]]))
    upper, lower = named["lip_upper_0"], named["lip_lower_0"]
    inner_upper, inner_lower = named["lip_upper_3"], named["lip_lower_3"]
    return np.concatenate(
        [
            _flip(jaw[:0:-1]), jaw,
            _flip(brow[::-1]), brow,
            ridge,
            _flip(base[:0:-1]), base,
            eye_left, eye,
            _flip(upper[[8, 5, 2]]), upper[[0, 2, 5, 8]], lower[[5, 3, 0]], _flip(lower[[3, 5]]),
            _flip(inner_upper[[8, 3]]), inner_upper[[0, 3, 8]], inner_lower[[3, 0]], _flip(inner_lower[[3]]),
        ]
    )  # fmt: skip


def _evp_vertices() -> np.ndarray:
    named, ibug = HEAD.named, _ibug_vertices()
    rows = np.empty(106, dtype=ibug.dtype)
    rows[[*range(0, 33, 2), *range(33, 64), *range(84, 104)]] = ibug
    between = named["jaw_between"]
    rows[1:33:2] = np.concatenate([_flip(between[::-1]), between])
    lower = named["brow_lower"]
    rows[64:72] = np.concatenate([_flip(lower[::-1]), lower])
    pupil = named["eye"][82]
    eye = np.array([named["lid_upper"][5], named["lid_lower"][4], pupil])
    rows[72:78] = np.concatenate([_flip(eye), eye])
    rows[78:84] = np.stack([_flip(named["nose_sides"]), named["nose_sides"]], 1).ravel()
    rows[104:106] = _flip(np.array([pupil]))[0], pupil
    return rows


def rotation(pose: np.ndarray) -> np.ndarray:
    """(T, 3, 3) of (T, 6) poses: Rz(roll) Ry(yaw) Rx(pitch).

    Positive yaw turns the nose to image right, positive pitch nods down, positive roll is clockwise in the
    image.
    """
    yaw, pitch, roll = np.asarray(pose, dtype=np.float64)[:, :3].T
    one, nil = np.ones_like(yaw), np.zeros_like(yaw)

    def matrix(*rows: np.ndarray) -> np.ndarray:
        return np.stack(rows, -1).reshape(-1, 3, 3)

    cy, sy, cp, sp, cr, sr = (
        np.cos(yaw),
        np.sin(yaw),
        np.cos(pitch),
        np.sin(pitch),
        np.cos(roll),
        np.sin(roll),
    )
    turn = matrix(cy, nil, sy, nil, one, nil, -sy, nil, cy)
    nod = matrix(one, nil, nil, nil, cp, sp, nil, -sp, cp)
    tilt = matrix(cr, -sr, nil, sr, cr, nil, nil, nil, one)
    return tilt @ turn @ nod


def posed(points3d: np.ndarray, pose: np.ndarray) -> np.ndarray:
    """(T, P, 3) points after the head's motion: exp(log_scale) R (p - PIVOT) + PIVOT + (tx, ty, 0)."""
    points3d, pose = np.asarray(points3d, dtype=np.float32), np.asarray(pose, dtype=np.float32)
    if pose.ndim != 2 or pose.shape[1] != 6:
        raise ValueError(f"expected poses (T, 6): yaw, pitch, roll, tx, ty, log-scale; got {pose.shape}")
    if points3d.ndim != 3 or points3d.shape[2] != 3 or len(points3d) != len(pose):
        raise ValueError(f"expected points (T, P, 3) for {len(pose)} poses, got {points3d.shape}")
    linear = rotation(pose) * np.exp(pose[:, 5].astype(np.float64))[:, None, None]
    shift = np.concatenate([pose[:, 3:5], np.zeros((len(pose), 1), np.float32)], 1)
    moved = (points3d - PIVOT) @ linear.astype(np.float32).transpose(0, 2, 1)
    return moved + PIVOT + shift[:, None]


def project(points3d: np.ndarray, pose: np.ndarray) -> np.ndarray:
    """(T, P, 2) float32 crop pixels of unposed points (T, P, 3) under poses (T, 6).

    Pose is (yaw, pitch, roll) in radians, (tx, ty) in pixels and the logarithm of the scale; weak
    perspective, so depth does not matter: see `posed`.

    Raises:
        ValueError: the shapes do not fit.
    """
    return posed(points3d, pose)[..., :2]
