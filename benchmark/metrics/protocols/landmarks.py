"""Protocols on landmarks: distances of place (LD) and of motion (LVD)."""

from __future__ import annotations

from benchmark.metrics.landmarks import Region, landmark_distance, landmark_velocity_distance
from benchmark.metrics.metric import Metric

_EVP = "EVP (Ji et al., CVPR 2021), section 4; the paper leaves unit, points and alignment open"
_ALIGNED = (
    "Both sequences aligned per frame by a similarity on eye-contour centroids and nose tip to the 256 px "
    "template; mean over points, then frames, then clips. Frames without a face lower the coverage only."
)


def _redetected(region: Region, of_motion: bool) -> Metric:
    """LD or LVD of landmarks found in the frames."""
    compute, name = (landmark_velocity_distance, "lvd") if of_motion else (landmark_distance, "ld")
    label = f"{region[0].upper()}-{name.upper()}"
    what = "motion" if of_motion else "place"
    return Metric(
        id=f"{name}/{region}/redetected",
        family=label,
        label=f"{label} in frames",
        symbol=f"{label}$_\\mathrm{{video}}$",
        unit="px/frame" if of_motion else "px@256",
        direction="lower",
        needs=frozenset({"redetected"}),
        level="clip",
        source=_EVP,
        description=(
            f"{label} of the landmarks that FaceMesh, which no method is trained with, finds in predicted "
            f"frames, against those that it finds in the true ones, so that its own idea of a point's {what} "
            "cancels. The coverage is the share of frames in which it finds both faces."
        ),
        compute=lambda pair: compute(pair.aligned_redetected, region),
        main=False,
    )


LANDMARKS: tuple[Metric, ...] = (
    Metric(
        id="ld/mouth",
        family="M-LD",
        label="M-LD",
        symbol="M-LD",
        unit="px@256",
        direction="lower",
        needs=frozenset({"landmarks"}),
        level="clip",
        source=_EVP,
        description=f"Distance of the 20 mouth points (48-67 of 68) to the true ones. {_ALIGNED}",
        compute=lambda pair: landmark_distance(pair.aligned, "mouth"),
    ),
    Metric(
        id="lvd/mouth",
        family="M-LVD",
        label="M-LVD",
        symbol="M-LVD",
        unit="px/frame",
        direction="lower",
        needs=frozenset({"landmarks"}),
        level="clip",
        source=_EVP,
        description=f"Distance of the mouth points' frame-to-frame motion to the true one. {_ALIGNED}",
        compute=lambda pair: landmark_velocity_distance(pair.aligned, "mouth"),
    ),
    Metric(
        id="ld/face",
        family="F-LD",
        label="F-LD",
        symbol="F-LD",
        unit="px@256",
        direction="lower",
        needs=frozenset({"landmarks"}),
        level="clip",
        source=_EVP,
        description=f"Distance of all points, contour and mouth included, to the true ones. {_ALIGNED}",
        compute=lambda pair: landmark_distance(pair.aligned, "face"),
    ),
    Metric(
        id="lvd/face",
        family="F-LVD",
        label="F-LVD",
        symbol="F-LVD",
        unit="px/frame",
        direction="lower",
        needs=frozenset({"landmarks"}),
        level="clip",
        source=_EVP,
        description=f"Distance of all points' frame-to-frame motion to the true one. {_ALIGNED}",
        compute=lambda pair: landmark_velocity_distance(pair.aligned, "face"),
    ),
    *(_redetected(region, of_motion) for region in ("mouth", "face") for of_motion in (False, True)),
)
