"""PSNR and SSIM of one pair of images, as they are, or were, computed."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache, partial
from itertools import product

import cv2
import numpy as np
from scipy.ndimage import correlate1d

from benchmark.conformance.definitions.fitting import Definition

Array = np.ndarray
PEAK = 255.0
BT601, BT709 = np.array([0.299, 0.587, 0.114]), np.array([0.2125, 0.7154, 0.0721])


@dataclass(frozen=True)
class Channels:
    """What is made of an RGB image: (H, W, 3) uint8 -> (H, W, planes) float64."""

    words: str
    planes: Callable[[Array], Array]
    defect: str = ""


def _luma(weights: Array) -> Callable[[Array], Array]:
    return lambda image: (image @ weights)[..., None]


def _rounded(image: Array) -> Array:
    return cv2.cvtColor(np.ascontiguousarray(image), cv2.COLOR_RGB2GRAY)[..., None].astype(float)


def _rounded_bgr(image: Array) -> Array:
    return _rounded(image[..., ::-1])


def _channel(index: int) -> Callable[[Array], Array]:
    return lambda image: image[..., [index]].astype(float)


SWAPPED = "luma of channels in the wrong order: RGB images are read as BGR, or the reverse"
CHANNELS: Mapping[str, Channels] = {
    "rgb": Channels("", lambda image: image.astype(float)),
    "luma": Channels("luma (BT.601) instead of RGB", _luma(BT601)),
    "rounded": Channels("luma (BT.601) rounded to whole grey levels instead of RGB", _rounded),
    "bt709": Channels("luma (BT.709) instead of RGB", _luma(BT709)),
    "studio": Channels(
        "luma in studio range (BT.601, 16 to 235, as MATLAB's rgb2ycbcr) instead of RGB",
        _luma(np.array([65.481, 128.553, 24.966]) / 255),
    ),
    "average": Channels(
        "the mean of R, G and B instead of each", lambda image: image.mean(-1, keepdims=True)
    ),
    "swapped": Channels("luma of swapped channels", _luma(BT601[::-1]), SWAPPED),
    "swapped rounded": Channels("rounded luma of swapped channels", _rounded_bgr, SWAPPED),
    "swapped bt709": Channels("BT.709 luma of swapped channels", _luma(BT709[::-1]), SWAPPED),
    **{
        name: Channels(f"the {name} channel only", _channel(k), f"only the {name} channel is compared")
        for k, name in enumerate(("red", "green", "blue"))
    },
}


@dataclass(frozen=True)
class Range:
    words: str
    value: Callable[[Array, Array], float]
    defect: str = ""


def _span(*images: Array) -> float:
    return float(max(np.ptp(image) for image in images))


RANGES: Mapping[str, Range] = {
    "255": Range("", lambda p, t: PEAK),
    "of the target": Range(
        "data range taken from each target (its maximum minus its minimum) instead of 255",
        lambda p, t: _span(t),
    ),
    "of the prediction": Range(
        "data range taken from each prediction (its maximum minus its minimum) instead of 255",
        lambda p, t: _span(p),
    ),
    "of either": Range(
        "data range taken from each pair (the larger of the two spans) instead of 255",
        lambda p, t: _span(p, t),
    ),
    "of the pair": Range(
        "data range taken from each pair (common maximum minus common minimum) instead of 255",
        lambda p, t: float(max(p.max(), t.max())) - float(min(p.min(), t.min())),
    ),
    "target's maximum": Range(
        "data range is the target's maximum instead of 255", lambda p, t: float(t.max())
    ),
    "1": Range(
        "data range 1",
        lambda p, t: 1.0,
        "a data range of 1 on values from 0 to 255 (a float image's range on bytes)",
    ),
    "2": Range(
        "data range 2",
        lambda p, t: 2.0,
        "a data range of 2 on values from 0 to 255 (guessed from the float type, whose range is -1 to 1)",
    ),
    "65025": Range(
        "data range 255 on values from 0 to 1",
        lambda p, t: PEAK**2,
        "a data range of 255 on values from 0 to 1: the constants swallow the picture, and all score near 1",
    ),
    "32512.5": Range(
        "data range 255 on values from -1 to 1", lambda p, t: PEAK**2 / 2,
        "a data range of 255 on values from -1 to 1: the constants swallow the picture",
    ),
}  # fmt: skip


def _gaussian(size: int, sigma: float) -> Array:
    offsets = np.arange(size) - size // 2
    weights = np.exp(-(offsets**2) / (2 * sigma**2))
    return weights / weights.sum()


WINDOWS: Mapping[str, tuple[str, Array]] = {
    "gauss11": ("", _gaussian(11, 1.5)),
    "uniform7": ("7x7 uniform window instead of the Gaussian one", np.full(7, 1 / 7)),
    "uniform11": ("11x11 uniform window instead of the Gaussian one", np.full(11, 1 / 11)),
    "uniform8": ("8x8 uniform window instead of the Gaussian one", np.full(8, 1 / 8)),
    "gauss7": ("7x7 Gaussian window instead of 11x11", _gaussian(7, 1.5)),
    "gauss5": ("5x5 Gaussian window instead of 11x11", _gaussian(5, 1.5)),
}
BORDERS: Mapping[str, tuple[str, str]] = {
    "valid": ("", "reflect"),
    "zero": ("windows reach over the border into zeros", "constant"),
    "mirror": ("windows reach over the border into a reflected image", "mirror"),
    "symmetric": ("windows reach over the border into an image reflected with its edge", "reflect"),
    "nearest": ("windows reach over the border into repeated edges", "nearest"),
}
CONSTANTS: Mapping[str, tuple[str, float, float]] = {
    "Wang": ("", 0.01, 0.03),
    "none": ("without stabilising constants (universal quality index)", 0.0, 0.0),
    "0.4": ("K2 = 0.4 instead of 0.03", 0.01, 0.4),
}
HALVED = "averaged down by 2 first where the image is larger than 384 px"


def psnr_definitions() -> Iterator[Definition]:
    """The catalogue of PSNR: the standard, sound variants, then broken ones."""
    for channels, peak in product(CHANNELS.values(), RANGES.values()):
        words = _join(channels.words, peak.words)
        defect = _join(channels.defect, peak.defect)
        name = "10 log10(peak² / MSE)" + (f", {words}" if words else " of RGB, peak 255")
        yield Definition(
            name, partial(_psnr, channels, peak), differs=words, defect=defect,
            published={"": "psnr", CHANNELS["rounded"].words: "psnr/luma"}.get(words, ""),
        )  # fmt: skip
    yield Definition(
        "mean of the PSNR of R, G and B",
        _by_channel,
        differs="PSNR per channel, then their mean, not one MSE",
    )
    for epsilon in (1e-8, 1e-10, 1e-6):
        words = (
            f"{epsilon:g} of peak² added to the MSE: identical images score {-10 * np.log10(epsilon):.0f} dB"
        )
        yield Definition(f"PSNR of RGB, {words}", partial(_padded_psnr, epsilon), differs=words)
    yield from _broken_psnr()


def _join(*parts: str) -> str:
    return "; ".join(part for part in parts if part)


def _decibel(mse: float, peak: float = PEAK) -> float:
    return float(10 * np.log10(peak**2 / mse)) if mse > 0 else np.inf


def _squares(channels: Channels, p: Array, t: Array) -> Array:
    return (channels.planes(p) - channels.planes(t)) ** 2


def _psnr(channels: Channels, peak: Range, p: Array, t: Array) -> float:
    return _decibel(_squares(channels, p, t).mean(), peak.value(p, t))


def _by_channel(p: Array, t: Array) -> float:
    return float(np.mean([_decibel(x) for x in _squares(CHANNELS["rgb"], p, t).mean((0, 1))]))


def _padded_psnr(epsilon: float, p: Array, t: Array) -> float:
    return float(-10 * np.log10(_squares(CHANNELS["rgb"], p, t).mean() / PEAK**2 + epsilon))


WRAPS = (
    "differences are taken in uint8, where they wrap around modulo 256 ({}): large errors look small "
    "(psnr/uint8-wrap, as in ATVGnet)"
)


def _bytes(channels: Channels, image: Array) -> Array:
    return channels.planes(image).astype(np.uint8)


def _wrapped_mse(channels: Channels, squares: bool, p: Array, t: Array) -> float:
    difference = _bytes(channels, p) - _bytes(channels, t)
    return float((difference**2 if squares else difference.astype(float) ** 2).mean())


def _saturated_mse(p: Array, t: Array) -> float:
    return float((np.maximum(p.astype(float) - t, 0) ** 2).mean())


def _broken_psnr() -> Iterator[Definition]:
    for name, squares in product(("rgb", "rounded", "swapped rounded"), (True, False)):
        channels = CHANNELS[name]
        what = "and their squares too" if squares else "and are squared in float"
        defect = WRAPS.format(("grey images, " if name != "rgb" else "") + what)
        yield Definition(
            f"PSNR in uint8 arithmetic, {name}",
            lambda p, t, c=channels, s=squares: _decibel(_wrapped_mse(c, s, p, t)),
            defect=defect,
            published="psnr/uint8-wrap",
        )
    for defect, compute in BROKEN_PSNR.items():
        yield Definition(f"PSNR: {defect}", compute, defect=defect)


def _rgb_mse(p: Array, t: Array) -> float:
    return float(_squares(CHANNELS["rgb"], p, t).mean())


def _half(image: Array) -> Array:
    return image.astype(np.float16).astype(float)


BROKEN_PSNR: Mapping[str, Callable[[Array, Array], float]] = {
    "a natural logarithm instead of one to base 10": lambda p, t: float(
        10 * np.log(PEAK**2 / _rgb_mse(p, t))
    ),
    "a logarithm to base 2 instead of base 10": lambda p, t: float(10 * np.log2(PEAK**2 / _rgb_mse(p, t))),
    "20 log10 of a ratio of squares: every decibel counts twice": lambda p, t: 2 * _decibel(_rgb_mse(p, t)),
    "10 log10 of a ratio of amplitudes: every decibel counts half": lambda p, t: _decibel(_rgb_mse(p, t)) / 2,
    "the peak is not squared": lambda p, t: float(10 * np.log10(PEAK / _rgb_mse(p, t))),
    "the sign is wrong: larger errors score higher": lambda p, t: -_decibel(_rgb_mse(p, t)),
    "the squared error is divided by the number of pixels, not of samples: three times the MSE": (
        lambda p, t: _decibel(3 * _rgb_mse(p, t))
    ),
    "a mean absolute error instead of a mean squared one": lambda p, t: _decibel(
        float(np.abs(p.astype(float) - t).mean())
    ),
    "the square of a mean difference: errors of opposite sign cancel": lambda p, t: _decibel(
        float((p.astype(float) - t).mean() ** 2)
    ),
    "images are averaged first, so that errors of opposite sign cancel": lambda p, t: _decibel(
        float(((p.astype(float) - t).mean((0, 1)) ** 2).mean())
    ),
    "negative differences are cut to 0 (saturated subtraction)": lambda p, t: _decibel(_saturated_mse(p, t)),
    "positive differences are cut to 0 (saturated subtraction)": lambda p, t: _decibel(_saturated_mse(t, p)),
    "the channels of one side are in the opposite order (BGR against RGB)": lambda p, t: _decibel(
        _rgb_mse(p[..., ::-1], t)
    ),
    "it returns the mean squared error, not its logarithm": _rgb_mse,
}  # fmt: skip


@lru_cache(maxsize=4096)
def _moments(planes: bytes, shape: tuple[int, ...], window: str, border: str) -> tuple[Array, ...]:
    """Means, variances and covariance in every window: of (2, H, W, planes) float64."""
    x, y = np.frombuffer(planes).reshape(shape)
    weights = WINDOWS[window][1]

    def mean(image: Array) -> Array:
        for axis in (0, 1):
            image = correlate1d(image, weights, axis=axis, mode=BORDERS[border][1])
        if border != "valid":
            return image
        low, high = len(weights) // 2, (len(weights) - 1) // 2
        return image[low : image.shape[0] - high, low : image.shape[1] - high]

    mx, my = mean(x), mean(y)
    return mx, my, mean(x * x) - mx * mx, mean(y * y) - my * my, mean(x * y) - mx * my


def _ssim(
    channels: Channels,
    window: str,
    border: str,
    sample: bool,
    span: Range,
    constants: str,
    p: Array,
    t: Array,
) -> float:
    stacked = np.stack([channels.planes(p), channels.planes(t)])
    if min(stacked.shape[1:3]) < len(WINDOWS[window][1]):
        return np.nan
    mx, my, vx, vy, cov = _moments(stacked.tobytes(), stacked.shape, window, border)
    count = len(WINDOWS[window][1]) ** 2
    grown = count / (count - 1) if sample else 1.0
    _, k1, k2 = CONSTANTS[constants]
    c1, c2 = (k1 * span.value(p, t)) ** 2, (k2 * span.value(p, t)) ** 2
    upper = (2 * mx * my + c1) * (2 * grown * cov + c2)
    return float((upper / ((mx**2 + my**2 + c1) * (grown * (vx + vy) + c2))).mean())


def ssim_definitions() -> Iterator[Definition]:
    """The catalogue of SSIM: the standard, sound variants, then broken ones."""
    for channels, window, border in product(CHANNELS.values(), WINDOWS, BORDERS):
        for sample, span, constants in product((False, True), RANGES.values(), CONSTANTS):
            yield _ssim_definition(channels, window, border, sample, span, constants)
    yield from _broken_ssim()


def _ssim_definition(
    channels: Channels, window: str, border: str, sample: bool, span: Range, constants: str
) -> Definition:
    words = _join(
        channels.words,
        WINDOWS[window][0],
        BORDERS[border][0],
        "sample instead of population covariance" if sample else "",
        span.words,
        CONSTANTS[constants][0],
    )
    published = {
        "": "ssim",
        CHANNELS["rounded"].words: "ssim/luma",
        _join(WINDOWS["uniform7"][0], "sample instead of population covariance"): "ssim/skimage",
        BORDERS["zero"][0]: "ssim/zero-pad",
    }.get(words, "")
    return Definition(
        f"SSIM, {words}" if words else "SSIM of Wang et al. 2004",
        partial(_ssim, channels, window, border, sample, span, constants),
        differs=words,
        defect=_join(channels.defect, span.defect),
        published=published,
    )


def _standard_ssim(p: Array, t: Array) -> float:
    return _ssim(CHANNELS["rgb"], "gauss11", "valid", False, RANGES["255"], "Wang", p, t)


def _global_ssim(p: Array, t: Array) -> float:
    x, y = (image.astype(float).ravel() for image in (p, t))
    c1, c2 = (0.01 * PEAK) ** 2, (0.03 * PEAK) ** 2
    upper = (2 * x.mean() * y.mean() + c1) * (2 * np.cov(x, y, ddof=0)[0, 1] + c2)
    return float(upper / ((x.mean() ** 2 + y.mean() ** 2 + c1) * (x.var() + y.var() + c2)))


def _without_luminance(p: Array, t: Array) -> float:
    stacked = np.stack([p, t]).astype(float)
    _, _, vx, vy, cov = _moments(stacked.tobytes(), stacked.shape, "gauss11", "valid")
    c2 = (0.03 * PEAK) ** 2
    return float(((2 * cov + c2) / (vx + vy + c2)).mean())


def _wrapped_products(p: Array, t: Array) -> float:
    planes = [x.astype(float) for x in (p, t, p * p, t * t, p * t)]
    weights = WINDOWS["gauss11"][1]
    mx, my, xx, yy, xy = (
        correlate1d(correlate1d(x, weights, axis=0), weights, axis=1)[5:-5, 5:-5] for x in planes
    )
    c1, c2 = (0.01 * PEAK) ** 2, (0.03 * PEAK) ** 2
    upper = (2 * mx * my + c1) * (2 * (xy - mx * my) + c2)
    return float((upper / ((mx**2 + my**2 + c1) * (xx - mx**2 + yy - my**2 + c2))).mean())


def _broken_ssim() -> Iterator[Definition]:
    for defect, compute in {
        "means and variances of the whole image, without any window: structure is not compared": _global_ssim,
        "the luminance term is missing: a shift of brightness costs nothing": _without_luminance,
        "products are taken in uint8, where they wrap around modulo 256": _wrapped_products,
        "it returns 1 - SSIM, a dissimilarity: the better image scores lower": (
            lambda p, t: 1 - _standard_ssim(p, t)
        ),
        "it returns (1 - SSIM) / 2, a loss: the better image scores lower": (
            lambda p, t: (1 - _standard_ssim(p, t)) / 2
        ),
        "the channels of one side are in the opposite order (BGR against RGB)": (
            lambda p, t: _standard_ssim(p[..., ::-1], t)
        ),
        "rows and columns of one side are mirrored": lambda p, t: _standard_ssim(p[:, ::-1], t),
    }.items():
        yield Definition(f"SSIM: {defect}", compute, defect=defect)


def shrunk(image: Array, factor: int) -> Array:
    """Blocks of factor x factor pixels averaged, float64; what does not fill a block is cut."""
    height, width = (size // factor * factor for size in image.shape[:2])
    blocks = (
        image[:height, :width].astype(float).reshape(height // factor, factor, width // factor, factor, -1)
    )
    return blocks.mean((1, 3))
