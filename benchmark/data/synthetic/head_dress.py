"""Hair and shoulders: meshes around the head, by hairstyle. Millimetres, axes of `head_surface`."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.interpolate import PchipInterpolator

from benchmark.data.synthetic.head_surface import skin

_AROUND = 161
_RING = -78.0
"""Height (v) at which the sides of the hair pass into the dome."""
_MIDDLE = np.array([0.0, -32.0, -6.0])


@dataclass(frozen=True)
class Dress:
    """One mesh: V vertices, F triangles."""

    points: np.ndarray
    """(V, 3)."""
    plane: np.ndarray
    """(V, 2) in [0, 1]: around, and from crown (or collar) to edge."""
    triangles: np.ndarray
    """(F, 3)."""
    follows: np.ndarray
    """(V,) how far it moves with the head: 1 on the skull, 0 on the chest."""


def _grid(points: np.ndarray, plane: np.ndarray, follows: np.ndarray) -> Dress:
    rows, columns = points.shape[:2]
    index = np.arange(rows * columns).reshape(rows, columns)
    a, b, c, d = (
        index[:-1, :-1].ravel(),
        index[:-1, 1:].ravel(),
        index[1:, :-1].ravel(),
        index[1:, 1:].ravel(),
    )
    triangles = np.concatenate([np.stack([a, b, c], 1), np.stack([b, d, c], 1)])
    return Dress(points.reshape(-1, 3), plane.reshape(-1, 2), triangles, follows.ravel())


def _join(parts: list[Dress]) -> Dress:
    starts = np.cumsum([0, *(len(p.points) for p in parts[:-1])])
    return Dress(
        np.concatenate([p.points for p in parts]),
        np.concatenate([p.plane for p in parts]),
        np.concatenate([p.triangles + s for p, s in zip(parts, starts, strict=True)]).astype(np.int32),
        np.concatenate([p.follows for p in parts]),
    )


def hair(style: str) -> Dress:
    """The hair of a style.

    Raises:
        ValueError: an unknown style.
    """
    if style not in _STYLES:
        raise ValueError(f"unknown hairstyle {style!r}: expected one of {', '.join(_STYLES)}")
    options = _STYLES[style]
    parts = [_cap(**options["cap"])]
    if "curtain" in options:
        parts.append(_curtain(**options["curtain"]))
    if "bun" in options:
        parts.append(_bun())
    return _join(parts)


def _hairline(
    theta: np.ndarray, front: float, temple: float, burn: float, nape: float, lean: float
) -> np.ndarray:
    """v of the hair's edge around the head."""
    knots = np.array([0.0, 0.35, 0.6, 0.8, 0.95, 1.1, 1.27, 1.42, 1.56, 1.72, 2.0, np.pi])
    sweep = temple - front
    edge = np.array(
        [
            front, front - 0.5, front + 0.12 * sweep, front + 0.55 * sweep, temple, 0.5 * (temple + burn),
            burn,
            burn - 4, -14, nape - 45, nape - 10, nape,
        ]
    )  # fmt: skip
    line = PchipInterpolator(knots, edge)(np.abs(theta))
    # Locks end unevenly. A sum of incommensurable waves is the same ragged line on every machine.
    ragged = 1.1 * np.sin(37 * theta + 1) + 0.9 * np.sin(61 * theta) + 0.8 * np.sin(89 * theta + 2)
    return (
        line
        + lean * np.sin(theta) * np.exp(-((theta / 0.6) ** 2))
        + ragged * np.clip(1.6 - np.abs(theta), 0, 1)
    )


def _cap(
    *,
    front: float,
    temple: float,
    burn: float,
    nape: float,
    thick: float,
    high: float,
    lean: float = 0.0,
    wave: float = 0.0,
    bangs: float = 2.2,
) -> Dress:
    theta = np.linspace(-np.pi, np.pi, _AROUND)
    edge = _hairline(theta, front, temple, burn, nape, lean)
    depth = np.linspace(0, 1, 15)[:, None]
    v = _RING + (edge - _RING) * depth
    turn = np.broadcast_to(theta, v.shape)
    scalp = skin(turn, v)
    out = scalp - _MIDDLE
    out /= np.linalg.norm(out, axis=-1, keepdims=True)
    # The ring's own lift is taken by the dome as well, so they meet.
    lift = 0.8 + thick * (1 - depth**bangs) + wave * np.sin(7 * theta) * (1 - depth**2)
    side = scalp + out * lift[..., None]
    ring = side[0]
    crown = np.array([0.0, -118.0 - high, -14.0])
    share = np.sin(np.linspace(0, np.pi / 2, 10))[:-1, None, None]
    flat = crown + (ring - crown) * share
    dome = flat.copy()
    dome[..., 1] = crown[1] + (ring[:, 1] - crown[1]) * (1 - np.sqrt(1 - share[..., 0] ** 2))
    points = np.concatenate([dome, side])
    along = np.concatenate([np.linspace(0, 0.34, 10)[:-1], 0.34 + 0.66 * np.linspace(0, 1, 15)])[:, None]
    plane = np.stack(
        [
            np.broadcast_to((theta + np.pi) / (2 * np.pi), points.shape[:2]),
            np.broadcast_to(along, points.shape[:2]),
        ],
        -1,
    )
    return _grid(points, plane, np.ones(points.shape[:2]))


def _curtain(*, start: float, end: float, wide: float, flare: float) -> Dress:
    """Hair that hangs round the back and the sides, open to the face."""
    theta = np.linspace(start, 2 * np.pi - start, 45)
    down = np.linspace(0, 1, 18)[:, None]
    y = -80 + (end + 80) * down
    bulge = wide + flare * down**2 - 14 * (1 - np.clip(down / 0.25, 0, 1)) ** 2
    x = bulge * np.sin(theta)
    z = -14 + (92 - 22 * down) * np.cos(theta)
    points = np.stack([x, y + 3.0 * np.cos(theta) * down, z], -1)
    plane = np.stack(
        [np.broadcast_to(theta / (2 * np.pi), x.shape), np.broadcast_to(0.35 + 0.65 * down, x.shape)], -1
    )
    follows = np.broadcast_to(1 - 0.75 * np.clip((y - 90) / 90, 0, 1), x.shape)
    return _grid(points, plane, follows)


def _bun() -> Dress:
    angle, rise = np.meshgrid(np.linspace(0, 2 * np.pi, 21), np.linspace(0, np.pi, 11))
    points = np.stack(
        [
            27 * np.sin(rise) * np.cos(angle),
            -126 - 22 * np.cos(rise),
            -40 + 25 * np.sin(rise) * np.sin(angle),
        ],
        -1,
    )
    plane = np.stack([angle / (2 * np.pi), 0.2 + 0.5 * rise / np.pi], -1)
    return _grid(points, plane, np.ones(points.shape[:2]))


_STYLES: dict[str, dict] = {
    "short": {"cap": {"front": -70, "temple": -42, "burn": 8, "nape": 66, "thick": 10, "high": 12}},
    "crop": {"cap": {"front": -74, "temple": -44, "burn": 2, "nape": 60, "thick": 3.2, "high": 3}},
    "parted": {"cap": {"front": -66, "temple": -40, "burn": 12, "nape": 72, "thick": 13, "high": 14,
    "lean": 12, "bangs": 3}},
    "bob": {
        "cap": {"front": -50, "temple": -22, "burn": 26, "nape": 60, "thick": 9, "high": 8, "lean": 9,
        "bangs": 6},
        "curtain": {"start": 1.22, "end": 92, "wide": 87, "flare": -6},
    },
    "long": {
        "cap": {"front": -68, "temple": -34, "burn": 14, "nape": 60, "thick": 10, "high": 9, "lean": 4},
        "curtain": {"start": 1.30, "end": 190, "wide": 84, "flare": 14},
    },
    "tied": {"cap": {"front": -70, "temple": -42, "burn": 2, "nape": 66, "thick": 4.5, "high": 5}, "bun": {}},
}  # fmt: skip


def shoulders(broad: float) -> Dress:
    """Neckline to chest; `broad` is the half width of the shoulders."""
    theta = np.linspace(-np.pi, np.pi, 49)
    down = np.linspace(0, 1, 16)[:, None]
    top = 146 + 14 * np.cos(theta)
    y = top + (285 - top) * down**1.15
    slope = np.sin(np.clip(down / 0.5, 0, 1) * np.pi / 2) ** 0.9
    half_x = 60 + (broad - 60) * slope
    half_z = 57 + 38 * slope
    points = np.stack([half_x * np.sin(theta), y, -12 + half_z * np.cos(theta)], -1)
    plane = np.stack(
        [np.broadcast_to((theta + np.pi) / (2 * np.pi), y.shape), np.broadcast_to(down, y.shape)], -1
    )
    return _grid(points, plane, np.zeros(y.shape))
