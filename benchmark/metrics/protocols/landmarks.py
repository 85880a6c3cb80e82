"""Protocols on landmarks: distances of place (LD) and of motion (LVD), in several units and alignments."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

from benchmark.metrics.landmarks import (
    AlignedPair,
    Region,
    centred,
    landmark_distance,
    landmark_velocity_distance,
    scaled,
    true_length,
    unaligned,
)
from benchmark.metrics.legacy_landmarks import (
    atvgnet_distance,
    eat_distance,
    eat_velocity_distance,
    vico_distance,
)
from benchmark.metrics.metric import Change, ClipPair, Damage, Metric, Rung
from benchmark.metrics.score import Score

Kind = Literal["ld", "lvd"]
Changes = frozenset[Change]

_EVP = "EVP (Ji et al., CVPR 2021), section 4; the paper leaves unit, points and alignment open"
_MEANS = "mean over points, then frames, then clips. Frames without a face lower the coverage only."
_STABILISED = (
    "Both sequences aligned per frame by a similarity on eye-contour centroids and nose tip to the 256 px "
    "template; "
)
_WHAT: dict[tuple[Kind, Region], str] = {
    ("ld", "mouth"): "Distance of the 20 mouth points (48-67 of 68) to the true ones.",
    ("lvd", "mouth"): "Distance of the mouth points' frame-to-frame motion to the true one.",
    ("ld", "face"): "Distance of all points, contour and mouth included, to the true ones.",
    ("lvd", "face"): "Distance of all points' frame-to-frame motion to the true one.",
}
_FUNCTION = {"ld": landmark_distance, "lvd": landmark_velocity_distance}

_FRAMES_ONLY: frozenset[Damage] = frozenset({"blur", "colour shift"})
_SEEN: dict[Kind, frozenset[Damage]] = {
    "ld": frozenset(
        {"lip shift", "landmark jitter", "frozen mouth", "emotion swap", "identity drift", "dropped frames"}
    ),
    "lvd": frozenset({"lip shift", "landmark jitter", "frozen mouth", "identity drift", "dropped frames"}),
}
_ORDER: dict[Kind, frozenset[Change]] = {
    "ld": frozenset({"frame order", "time reversal"}),
    "lvd": frozenset({"time reversal"}),
}


@dataclass(frozen=True, kw_only=True)
class Variant:
    """A unit or an alignment, for both kinds and both regions."""

    id: str
    name: str
    """As the label has it."""
    unit: str
    how: str
    pair: Callable[[ClipPair, Region], AlignedPair]
    factor: Callable[[AlignedPair], float] = lambda pair: 1.0
    ignores: Callable[[Kind, Region], Changes] = lambda kind, region: frozenset()
    symmetric: bool = True


_SHIFT: Changes = frozenset({"translation"})
_POSE: Changes = frozenset({"translation", "head motion"})
_MOUTH: Changes = frozenset({"mouth offset"})


def _still(kind: Kind, region: Region) -> Changes:
    """What an alignment on points that do not move leaves unseen."""
    return _POSE | _MOUTH if kind == "lvd" else _POSE


def _centred_ignores(kind: Kind, region: Region) -> Changes:
    return _SHIFT | _MOUTH if kind == "lvd" or region == "mouth" else _SHIFT


MAIN = Variant(
    id="",
    name="",
    unit="px",
    how=_STABILISED + _MEANS,
    pair=lambda clip, region: clip.aligned,
    ignores=_still,
)

VARIANTS: tuple[Variant, ...] = (
    Variant(
        id="iod",
        name="IOD",
        unit="IOD",
        how=(
            f"{_STABILISED}divided by the true inter-ocular distance (outer eye corners, 36 and 45 of 68; "
            f"mean over the clip); {_MEANS}"
        ),
        pair=lambda clip, region: clip.aligned,
        factor=lambda pair: 1 / true_length(pair, "inter-ocular distance"),
        ignores=_still,
        symmetric=False,
    ),
    Variant(
        id="face-width",
        name="face width",
        unit="face width",
        how=(
            f"{_STABILISED}divided by the width of the true face (the contour's ends, 0 and 16 of 68; mean "
            f"over the clip); {_MEANS}"
        ),
        pair=lambda clip, region: clip.aligned,
        factor=lambda pair: 1 / true_length(pair, "face width"),
        ignores=_still,
        symmetric=False,
    ),
    Variant(
        id="128",
        name="128 px",
        unit="px@128",
        how=f"{_STABILISED}in pixels of a crop of 128 px; {_MEANS}",
        pair=lambda clip, region: clip.aligned,
        factor=lambda pair: 0.5,
        ignores=_still,
    ),
    Variant(
        id="raw",
        name="no alignment",
        unit="px",
        how=f"No alignment, so head motion counts; pixels of the 256 px crop; {_MEANS}",
        pair=lambda clip, region: unaligned(clip.sides),
        ignores=lambda kind, region: _MOUTH if kind == "lvd" else frozenset(),
    ),
    Variant(
        id="centred",
        name="centred",
        unit="px",
        how=(
            "Aligned by subtracting the mean of the compared points from each frame: where they are counts "
            f"for nothing, their size and turn do; pixels of the 256 px crop; {_MEANS}"
        ),
        pair=lambda clip, region: centred(clip.sides, region),
        ignores=_centred_ignores,
    ),
    Variant(
        id="procrustes",
        name="Procrustes",
        unit="px",
        how=(
            "Each predicted frame moved by the similarity that puts all its points best onto the true ones, "
            "which lie on the 256 px template: an error of place, size or turn that all points share is "
            f"none, and a wrong mouth moves the rest of the face; {_MEANS}"
        ),
        pair=lambda clip, region: clip.fitted,
        ignores=lambda kind, region: _POSE,
        symmetric=False,
    ),
)


def _protocol(kind: Kind, region: Region, variant: Variant) -> Metric:
    family = f"{region[0].upper()}-{kind.upper()}"
    main = variant is MAIN
    unit = {"ld": "px@256", "lvd": "px"}[kind] if variant.unit == "px" else variant.unit

    def compute(clip: ClipPair) -> Score:
        pair = variant.pair(clip, region)
        score = _FUNCTION[kind](pair, region)
        return score if main else scaled(score, variant.factor(pair))

    return Metric(
        id=f"{kind}/{region}" if main else f"{kind}/{region}/{variant.id}",
        family=family,
        label=family if main else f"{family} ({variant.name})",
        symbol=family if main else f"{family}$_\\mathrm{{{variant.id}}}$",
        unit=f"{unit}/frame" if kind == "lvd" else unit,
        direction="lower",
        needs=frozenset({"landmarks"}),
        level="clip",
        source=_EVP,
        description=f"{_WHAT[kind, region]} {variant.how}",
        compute=compute,
        main=main,
        sees=_SEEN[kind],
        blind_to=_FRAMES_ONLY,
        symmetric=variant.symmetric,
        unmoved_by=_ORDER[kind] | variant.ignores(kind, region),
        bounded=True,
    )


def _redetected(kind: Kind, region: Region) -> Metric:
    """LD or LVD of landmarks found in the frames."""
    family = f"{region[0].upper()}-{kind.upper()}"
    return Metric(
        id=f"{kind}/{region}/redetected",
        family=family,
        label=f"{family} in frames",
        symbol=f"{family}$_\\mathrm{{video}}$",
        unit="px/frame" if kind == "lvd" else "px@256",
        direction="lower",
        needs=frozenset({"redetected"}),
        level="clip",
        source=_EVP,
        description=(
            f"{family} of the landmarks that FaceMesh, which no method is trained with, finds in predicted "
            f"frames, against those that it finds in the true ones, so that its own idea of a point's "
            f"{'motion' if kind == 'lvd' else 'place'} cancels. The coverage is the share of frames in which "
            "it finds both faces."
        ),
        compute=lambda clip: _FUNCTION[kind](clip.aligned_redetected, region),
        main=False,
        sees=_SEEN[kind],
        unmoved_by=_ORDER[kind] | _still(kind, region),
        bounded=True,
    )


_SKIPS = "frames without a face are skipped, which improves the value, and nothing says so"
_EAT = "EAT (Gan et al., ICCV 2023), yuangan/evaluation_eat, code/test_lmd.py"


def _legacy(
    *,
    protocol: str,
    family: str,
    label: str,
    unit: str,
    source: str,
    description: str,
    compute: Callable[[ClipPair], Score],
    unmoved_by: Changes,
    defects: Mapping[Rung, str],
) -> Metric:
    kind: Kind = "lvd" if "LVD" in family else "ld"
    return Metric(
        id=protocol,
        family=family,
        label=label,
        symbol=label,
        unit=unit,
        direction="lower",
        needs=frozenset({"landmarks"}),
        level="clip",
        source=source,
        description=f"{description} Defect: {'; '.join([*defects.values(), _SKIPS])}.",
        compute=compute,
        main=False,
        legacy=True,
        sees=_SEEN[kind],
        blind_to=_FRAMES_ONLY,
        unmoved_by=_ORDER[kind] | unmoved_by,
        defects={"coverage": _SKIPS, **defects},
    )


_SHORT = "the sum over N - 1 motions is divided by N, so that a short clip scores better"

LEGACY: tuple[Metric, ...] = (
    _legacy(
        protocol="lmd/atvgnet",
        family="M-LD",
        label="LMD (ATVGnet)",
        unit="px of the frame",
        source="ATVGnet (Chen et al., CVPR 2019), lelechen63/ATVGnet, evaluation_matrix.py",
        description=(
            "Distance of the 20 mouth points after their mean is subtracted, in pixels of the frames."
        ),
        compute=lambda clip: atvgnet_distance(clip.sides, clip.native),
        unmoved_by=_SHIFT | _MOUTH,
        defects={"unit": "the sum over the points, 20 times their mean"},
    ),
    _legacy(
        protocol="lmd/eat",
        family="M-LD",
        label="M-LMD (EAT)",
        unit="px@128 (EAT)",
        source=_EAT,
        description=(
            "Mean distance of the 20 mouth points after their mean is subtracted, in EAT's aligned 128 px "
            "crop, in which the eyes lie 51.3 px apart."
        ),
        compute=lambda clip: eat_distance(clip.aligned, "mouth"),
        unmoved_by=_POSE | _MOUTH,
        defects={},
    ),
    _legacy(
        protocol="flmd/eat",
        family="F-LD",
        label="F-LMD (EAT)",
        unit="px@128 (EAT)",
        source=_EAT,
        description=(
            "Mean distance of all 68 points after their mean is subtracted, in EAT's aligned 128 px crop, in "
            "which the eyes lie 51.3 px apart."
        ),
        compute=lambda clip: eat_distance(clip.aligned, "face"),
        unmoved_by=_POSE,
        defects={},
    ),
    _legacy(
        protocol="lvd/eat",
        family="M-LVD",
        label="M-LVD (EAT)",
        unit="px@128 (EAT)/frame",
        source=_EAT,
        description=(
            "Distance of the mouth points' frame-to-frame motion to the true one, in EAT's aligned 128 px "
            "crop."
        ),
        compute=lambda clip: eat_velocity_distance(clip.aligned, "mouth"),
        unmoved_by=_POSE | _MOUTH,
        defects={"unit": _SHORT},
    ),
    _legacy(
        protocol="flvd/eat",
        family="F-LVD",
        label="F-LVD (EAT)",
        unit="px@128 (EAT)/frame",
        source=_EAT,
        description=(
            "Meant as the distance of all points' frame-to-frame motion, in EAT's aligned 128 px crop."
        ),
        compute=lambda clip: eat_velocity_distance(clip.aligned, "face"),
        unmoved_by=_POSE | _MOUTH,
        defects={
            "region": "the sum adds the mouth's difference: it is M-LVD times 20 / 68 and sees nothing else",
            "unit": _SHORT,
        },
    ),
    _legacy(
        protocol="lmd/vico",
        family="M-LD",
        label="LMD (ViCo)",
        unit="px of the frame",
        source="ViCo (Zhou et al., ECCV 2022), dc3ea9f/vico_challenge_baseline, evaluations/compute_lmd.py",
        description="Distance of the 20 mouth points with no alignment, in pixels of the frames.",
        compute=lambda clip: vico_distance(clip.sides, clip.native),
        unmoved_by=frozenset(),
        defects={
            "unit": "the mean of |dx| and |dy| in place of a length, which depends on the error's direction"
        },
    ),
)

_KINDS: tuple[Kind, ...] = ("ld", "lvd")
_REGIONS: tuple[Region, ...] = ("mouth", "face")

LANDMARKS: tuple[Metric, ...] = (
    *(_protocol(kind, region, MAIN) for region in _REGIONS for kind in _KINDS),
    *(_redetected(kind, region) for region in _REGIONS for kind in _KINDS),
    *(_protocol(*each) for each in itertools.product(_KINDS, _REGIONS, VARIANTS)),
    *LEGACY,
)
