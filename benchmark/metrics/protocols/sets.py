"""Protocols of a whole set of frames: Fréchet distances, each under its network's name."""

from __future__ import annotations

from benchmark.metrics.frechet import frechet_score
from benchmark.metrics.metric import Metric


def _frechet(extractor: str, protocol: str, network: str, main: bool) -> Metric:
    name = "FID" if protocol == "fid" else f"FD ({extractor})"
    return Metric(
        id=protocol,
        family="Fréchet distance",
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


SETS: tuple[Metric, ...] = (
    _frechet(
        "mobilenetv2-96", "fd/mobilenetv2-96", "MobileNetV2 (ImageNet), last 96-channel block,", main=True
    ),
    _frechet("mobilenetv2", "fd/mobilenetv2", "MobileNetV2 (ImageNet), 1280 pooled,", main=False),
    _frechet("inception", "fid", "Inception-v3 (TensorFlow weights), 2048 pooled,", main=True),
)
