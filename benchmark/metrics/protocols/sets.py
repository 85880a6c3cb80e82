"""Protocols of a whole set of frames: distances of distributions, each under its network's name."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from benchmark.metrics.extrapolation import extrapolated_score
from benchmark.metrics.frechet import frechet_score
from benchmark.metrics.kid import kernel_score
from benchmark.metrics.metric import Metric, SetPair
from benchmark.metrics.sampling import ALL, FIVE_SWAPPED, Sampling
from benchmark.metrics.score import Score

INTERVAL = "95 % interval from resampling clips."


@dataclass(frozen=True)
class _Network:
    extractor: str
    features: str
    """As a description says it."""
    main: bool = False
    """Whether its Fréchet distance has a column in the main table."""

    @property
    def is_inception(self) -> bool:
        return self.extractor == "inception"

    @property
    def frechet(self) -> str:
        """The id of its Fréchet distance: only Inception makes a FID."""
        return "fid" if self.is_inception else f"fd/{self.extractor}"

    def label(self, name: str, more: str = "") -> str:
        if self.is_inception:
            return ("FID" if name == "FD" else name) + (f" ({more})" if more else "")
        return f"{name} ({self.extractor}{', ' + more if more else ''})"

    def symbol(self, name: str, more: str = "") -> str:
        if self.is_inception:
            return ("FID" if name == "FD" else name) + (rf"$_\mathrm{{{more}}}$" if more else "")
        return name + rf"$_\mathrm{{{self.extractor}{', ' + more if more else ''}}}$"


def _protocol(
    network: _Network,
    protocol: str,
    label: str,
    symbol: str,
    source: str,
    description: str,
    compute: Callable[[SetPair], Score],
    *,
    main: bool = False,
    legacy: bool = False,
    sampling: Sampling = ALL,
    best: float | None = 0.0,
    limits: tuple[float | None, float | None] = (0.0, None),
) -> Metric:
    return Metric(
        id=protocol,
        family="Fréchet distance",
        label=label,
        symbol=symbol,
        unit="",
        direction="lower",
        needs=frozenset({"frames"}),
        level="set",
        source=source,
        description=description,
        compute=compute,
        main=main,
        legacy=legacy,
        extractor=network.extractor,
        sampling=sampling,
        best=best,
        limits=limits,
    )


def _frechet(network: _Network) -> Metric:
    return _protocol(
        network,
        network.frechet,
        network.label("FD"),
        network.symbol("FD"),
        "Heusel et al., NeurIPS 2017",
        f"Fréchet distance of {network.features} features of frames of all test clips; {INTERVAL} Comparable "
        "only at the same number of frames; fewer than twice as many frames as dimensions are refused.",
        lambda pair: frechet_score(
            pair.predicted,
            pair.truth,
            rng=pair.rng,
            resamples=pair.resamples,
            allow_biased=pair.allow_biased,
        ),
        main=network.main,
    )


def _extrapolated(network: _Network) -> Metric:
    return _protocol(
        network,
        f"{network.frechet}/extrapolated",
        network.label("FD", "extrapolated"),
        network.symbol("FD", r"\infty"),
        "Chong and Forsyth, CVPR 2020",
        f"Fréchet distance of {network.features} features at 1/N = 0, by a line through subsets of half of "
        f"the clips and more; {INTERVAL} Comparable across numbers of clips as far as there are enough of "
        "them; may be below 0.",
        lambda pair: extrapolated_score(
            pair.predicted,
            pair.truth,
            rng=pair.rng,
            resamples=pair.resamples,
            allow_biased=pair.allow_biased,
        ),
        limits=(None, None),
    )


def _kernel(network: _Network) -> Metric:
    return _protocol(
        network,
        f"kid/{network.extractor}",
        network.label("KID"),
        network.symbol("KID"),
        "Bińkowski et al., ICLR 2018",
        f"Kernel distance of {network.features} features: unbiased squared MMD with KID's cubic "
        f"kernel, over all frames of all test clips, not over random subsets; {INTERVAL} May be below 0.",
        lambda pair: kernel_score(pair.predicted, pair.truth, rng=pair.rng, resamples=pair.resamples),
        best=None,
        limits=(None, None),
    )


def _five_swapped(network: _Network) -> Metric:
    # What is reproduced are the frames; its network, torchvision's ImageNet weights, is another download.
    stands_for = "; the script's network is Inception-v3 with torchvision's ImageNet weights"
    return _protocol(
        network,
        f"{network.frechet}/5f-bgr",
        network.label("FD", "EAT, 5 frames, BGR"),
        network.symbol("FD", r"5f,\,bgr"),
        "yuangan/evaluation_eat, test_fid.py",
        f"Fréchet distance of {network.features} features of five frames a clip with red and blue exchanged, "
        f"however few frames there are for the dimensions{stands_for}. {INTERVAL}",
        lambda pair: frechet_score(
            pair.predicted, pair.truth, rng=pair.rng, resamples=pair.resamples, allow_biased=True
        ),
        legacy=True,
        sampling=FIVE_SWAPPED,
    )


NETWORKS = (
    _Network("mobilenetv2-96", "MobileNetV2 (ImageNet), last 96-channel block,", main=True),
    _Network("mobilenetv2", "MobileNetV2 (ImageNet), 1280 pooled,"),
    _Network("inception", "Inception-v3 (TensorFlow weights), 2048 pooled,", main=True),
)

SETS: tuple[Metric, ...] = (
    *(_frechet(network) for network in NETWORKS),
    *(
        make(network)
        for network in NETWORKS
        for make in (_extrapolated, _kernel, _five_swapped)
        if (network.extractor, make) != ("mobilenetv2", _five_swapped)
    ),
)
