"""The registry of metrics: what each is called, in which unit, which way is better, and what it needs.

A metric here is a protocol: a named definition that is never changed under its id. Adding one is a
function that takes a `ClipPair` or a `SetPair`, and one entry in `METRICS`; the scorer, the records, the
report and the contract tests then know it. This module imports no torch.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

import numpy as np

from benchmark.metrics.edges import edge_chamfer, edge_f1, flicker
from benchmark.metrics.emotion import EmotionJudge, emotion_score
from benchmark.metrics.frechet import frechet_score
from benchmark.metrics.image import psnr, ssim
from benchmark.metrics.landmarks import (
    AlignedPair,
    Region,
    align_pair,
    landmark_distance,
    landmark_velocity_distance,
)
from benchmark.metrics.score import Score
from benchmark.records import ProtocolInfo
from models.types import Prediction

Need = Literal["landmarks", "frames", "judge", "redetected"]


@dataclass(frozen=True)
class ClipPair:
    """One prediction beside the truth. What several metrics need is computed once."""

    predicted: Prediction
    truth: Prediction
    clip: str
    emotion: str | None = None
    """The wanted emotion."""
    judge: EmotionJudge | None = None
    neutral: np.ndarray | None = None
    """(68, 2): the subject's neutral face, from its training clips."""
    redetected: tuple[np.ndarray, np.ndarray] | None = None
    """(frames, 68, 2) each: what a detector that no method trains with finds in the predicted and in the true
    frames, pixels of the 256 crop; NaN where it finds no face."""

    @cached_property
    def aligned(self) -> AlignedPair:
        return align_pair(self.predicted.landmarks, self.truth.landmarks, clip=self.clip)

    @cached_property
    def aligned_redetected(self) -> AlignedPair:
        """
        Raises:
            ValueError: nothing was detected again, or it does not fit.
        """
        if self.redetected is None:
            raise ValueError(
                f"clip {self.clip}: needs landmarks detected in the predicted and the true frames"
            )
        return align_pair(*self.redetected, clip=self.clip)

    @cached_property
    def frames(self) -> tuple[np.ndarray, np.ndarray]:
        """Predicted and true frames.

        Raises:
            ValueError: a side has none.
        """
        if self.predicted.frames is None or self.truth.frames is None:
            raise ValueError(f"clip {self.clip}: an image metric needs predicted and true frames")
        return self.predicted.frames, self.truth.frames

    @property
    def offers(self) -> frozenset[Need]:
        """What metrics can be computed from."""
        found: set[Need] = {"landmarks"}
        if self.predicted.frames is not None and self.truth.frames is not None:
            found.add("frames")
        if self.judge is not None and self.neutral is not None and self.emotion is not None:
            found.add("judge")
        if self.redetected is not None:
            found.add("redetected")
        return frozenset(found)

    def judged(self) -> Score:
        """
        Raises:
            ValueError: the judge, the neutral face or the wanted emotion is missing.
        """
        if self.judge is None or self.neutral is None or self.emotion is None:
            raise ValueError(f"clip {self.clip}: needs a judge, a neutral face and a wanted emotion")
        return emotion_score(self.judge, self.predicted.landmarks, self.neutral, self.emotion, clip=self.clip)


@dataclass(frozen=True)
class SetPair:
    """Frame features of all predictions beside those of the truth, per clip (frames, d), in one order."""

    predicted: Sequence[np.ndarray]
    truth: Sequence[np.ndarray]
    rng: np.random.Generator
    resamples: int = 200
    allow_biased: bool = False


@dataclass(frozen=True)
class Metric:
    id: str
    """The protocol id, as in the records."""
    label: str
    symbol: str
    """As LaTeX prints it."""
    unit: str
    direction: Literal["lower", "higher"]
    needs: frozenset[Need]
    level: Literal["clip", "set"]
    source: str
    description: str
    compute: Callable[[Any], Score]
    """From a `ClipPair` or, at level "set", from a `SetPair`."""
    main: bool = True
    """Whether the protocol has a column in the main table."""
    extractor: str = ""
    """The frame features that a metric of a set compares (`benchmark.metrics.extractors`)."""
    best: float | None = 0.0
    """The value of a perfect prediction; None where it has none (PSNR leaves identical frames out)."""


def info(metric: Metric) -> ProtocolInfo:
    """What the manifest says of a metric."""
    return ProtocolInfo(
        label=metric.label,
        symbol=metric.symbol,
        unit=metric.unit,
        direction=metric.direction,
        source=metric.source,
        description=metric.description,
        main=metric.main,
    )


def metric_of(protocol: str) -> Metric:
    """The metric of a protocol id.

    Raises:
        ValueError: there is none; the message lists the known ids.
    """
    for metric in METRICS:
        if metric.id == protocol:
            return metric
    raise ValueError(f"no metric {protocol!r}; there are {', '.join(m.id for m in METRICS)}")


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


def _frechet(extractor: str, protocol: str, network: str, main: bool) -> Metric:
    name = "FID" if protocol == "fid" else f"FD ({extractor})"
    return Metric(
        id=protocol,
        label=name,
        symbol="FID" if protocol == "fid" else r"FD$_\mathrm{" + extractor + "}$",
        unit="",
        direction="lower",
        needs=frozenset({"frames"}),
        level="set",
        source="Heusel et al., NeurIPS 2017",
        description=(
            f"Fréchet distance of {network} features of frames of all test clips; 95 % interval from "
            "resampling clips. Comparable only at the same number of frames; fewer than twice as many frames "
            "as dimensions are refused."
        ),
        compute=lambda pair: frechet_score(
            pair.predicted,
            pair.truth,
            rng=pair.rng,
            resamples=pair.resamples,
            allow_biased=pair.allow_biased,
        ),
        main=main,
        extractor=extractor,
    )


METRICS: tuple[Metric, ...] = (
    Metric(
        id="ld/mouth",
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
    Metric(
        id="ssim",
        label="SSIM",
        symbol="SSIM",
        unit="",
        direction="higher",
        needs=frozenset({"frames"}),
        level="clip",
        source="Wang et al., IEEE TIP 13(4), 2004",
        description=(
            "Structural similarity at the rendered size: Gaussian 11 x 11 window of sigma 1.5, population "
            "covariance, data range 255, windows inside the frame, mean over RGB, then frames, then clips."
        ),
        compute=lambda pair: ssim(*pair.frames, clip=pair.clip),
        best=1.0,
    ),
    Metric(
        id="psnr",
        label="PSNR",
        symbol="PSNR",
        unit="dB",
        direction="higher",
        needs=frozenset({"frames"}),
        level="clip",
        source="ITU-T J.340 (peak 255, RGB)",
        description=(
            "Peak signal-to-noise ratio at the rendered size, RGB, mean over frames, then clips. Identical "
            "frames are infinite: they are left out and lower the coverage. Not comparable to EVP's table, "
            "whose values fit a PSNR that wraps around in uint8."
        ),
        compute=lambda pair: psnr(*pair.frames, clip=pair.clip),
        best=None,
    ),
    Metric(
        id="edges/f1",
        label="Edge F1",
        symbol=r"F$_\mathrm{edge}$",
        unit="",
        direction="higher",
        needs=frozenset({"landmarks", "frames"}),
        level="clip",
        source="Martin, Fowlkes and Malik, TPAMI 26(5), 2004",
        description=(
            "F1 of Canny edges outside the face at a tolerance of 2 px of the rendered size, mean over "
            "frames, then clips."
        ),
        compute=lambda pair: edge_f1(pair.predicted, pair.truth, clip=pair.clip),
        main=False,
        best=1.0,
    ),
    Metric(
        id="edges/chamfer",
        label="Edge chamfer",
        symbol=r"d$_\mathrm{edge}$",
        unit="px",
        direction="lower",
        needs=frozenset({"landmarks", "frames"}),
        level="clip",
        source="Barrow et al., IJCAI 1977, truncated at 20 px",
        description=(
            "Distance of Canny edges outside the face to the other side's nearest edge, mean of both "
            "directions, then frames, then clips; pixels of the rendered size."
        ),
        compute=lambda pair: edge_chamfer(pair.predicted, pair.truth, clip=pair.clip),
        main=False,
    ),
    Metric(
        id="flicker",
        label="Flicker",
        symbol="Flicker",
        unit="grey levels",
        direction="lower",
        needs=frozenset({"frames"}),
        level="clip",
        source="after tLP of TecoGAN (Chu et al., TOG 39(4), 2020), pixel by pixel",
        description=(
            "Difference of the changes from frame to frame, predicted and true, in grey levels (0 to 255); a "
            "constant mistake cancels. Mean over pixels, RGB, pairs of frames, then clips."
        ),
        compute=lambda pair: flicker(*pair.frames, clip=pair.clip),
        main=False,
    ),
    *(_redetected(region, of_motion) for region in ("mouth", "face") for of_motion in (False, True)),
    Metric(
        id="emotion",
        label="Emotion accuracy",
        symbol="EA",
        unit="share",
        direction="higher",
        needs=frozenset({"landmarks", "judge"}),
        level="clip",
        source="EVP (Ji et al., CVPR 2021), section 4, with the judge of benchmark.metrics.emotion",
        description=(
            "1 where a judge trained on other speakers sees the wanted emotion in the landmarks, else 0. "
            "Read it beside the judge's accuracy on the true clips and beside chance."
        ),
        compute=ClipPair.judged,
        best=None,
    ),
    _frechet(
        "mobilenetv2-96", "fd/mobilenetv2-96", "MobileNetV2 (ImageNet), last 96-channel block,", main=True
    ),
    _frechet("mobilenetv2", "fd/mobilenetv2", "MobileNetV2 (ImageNet), 1280 pooled,", main=False),
    _frechet("inception", "fid", "Inception-v3 (TensorFlow weights), 2048 pooled,", main=True),
)
"""Every protocol there is, in the order of the tables."""
