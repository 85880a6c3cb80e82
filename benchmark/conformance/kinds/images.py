"""Probes and rungs of SSIM and PSNR: functions of two uint8 images (height, width, 3) RGB."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal

import cv2
import numpy as np

from benchmark.conformance.definitions.fitting import Fit, Pair
from benchmark.conformance.definitions.images import HALVED, psnr_definitions, shrunk, ssim_definitions
from benchmark.conformance.ladder import CLOSED, DEGENERATE, IDENTITY, INVARIANT, PARITY, Ladder
from benchmark.conformance.runner import Answer
from benchmark.conformance.verdict import Outcome

SIZES = ((56, 48), (64, 72), (48, 80), (72, 64))
LARGE = (400, 392)
"""A size at which implementations that follow Wang's script average the image down first."""

LOSSLESS = 60.0
"""dB: a value that stands for infinity must lie above what rendered frames reach."""

Array = np.ndarray
Name = Literal["ssim", "psnr"]


def picture(size: tuple[int, int], rng: np.random.Generator) -> Array:
    """(H, W, 3) float64 in [15, 235]: soft coloured shapes with edges."""
    soft = cv2.GaussianBlur(rng.normal(size=(*size, 3)), (0, 0), 4)
    edges = np.sign(cv2.GaussianBlur(rng.normal(size=size), (0, 0), 6))[..., None] * rng.uniform(0.3, 1, 3)
    image = soft / soft.std() + edges
    image = (image - image.min((0, 1))) / np.ptp(image, axis=(0, 1))
    low = rng.uniform(15, 40, 3)
    return low + image * (rng.uniform(180, 235, 3) - low)


def as_bytes(image: Array) -> Array:
    return np.clip(np.rint(image), 0, 255).astype(np.uint8)


def pair_of(size: tuple[int, int], rng: np.random.Generator, sigma: float = 18.0) -> Pair:
    """An image and a worse one: other colours, blurred in places, noisy."""
    target = picture(size, rng)
    changed = 0.75 * target + 0.25 * cv2.GaussianBlur(target, (0, 0), 3)
    changed = changed * rng.uniform(0.88, 1.08, 3) + rng.normal(0, sigma, target.shape) * rng.uniform(
        0.5, 1.5, 3
    )
    return as_bytes(changed), as_bytes(target)


def run(ladder: Ladder, *, kind: Name, rng: np.random.Generator) -> None:
    """All rungs of SSIM or PSNR."""
    probes = [pair_of(size, rng, sigma) for size, sigma in zip(SIZES, (18, 30, 9, 50), strict=True)]
    if not ladder.begins(probes[0], probes[1]):
        return
    reference = ladder.subject(*probes[0])
    if kind == "ssim":
        ladder.identify(ssim_definitions(), probes, "none")
        _large(ladder, rng)
        _ssim_forms(ladder)
    else:
        found = ladder.identify(psnr_definitions(), probes, "offset", telling=[_nearly(probes[0][1], 40)])
        _judge_peak(ladder, found)
        _psnr_forms(ladder, probes)
    _invariances(ladder, probes[0], reference, kind)
    _monotone(ladder, rng)
    _degenerate(ladder, probes[0], kind)


def _nearly(target: Array, wrong: int) -> Pair:
    """An image of which the first samples of one row are wrong by 1."""
    nearly = target.copy()
    nearly[20].flat[:wrong] += 1
    return nearly, target


def _judge_peak(ladder: Ladder, found: Fit | None) -> None:
    """A constant number of decibels too many is a wrong peak."""
    if found is None or found.plain or found.definition.defect:
        return
    peak = 255 * 10 ** (found.constant / 20)
    ladder.fit = None
    ladder.verdict.defect = (
        f"every value is off by {found.constant:+.4g} dB: the peak is {peak:.5g} instead of 255, or the mean "
        "is taken over another number of samples"
    )
    ladder.add(PARITY, "its peak", f"{peak:.5g}", "255", "fail", ladder.verdict.defect)


def _large(ladder: Ladder, rng: np.random.Generator) -> None:
    """Whether large images are compared at their own size."""
    if ladder.fit is None:
        return
    pair = pair_of(LARGE, rng)
    answer = ladder.subject(*pair)
    asked = f"an image of {LARGE[0]} x {LARGE[1]} px"
    if ladder.close(answer, ladder.fit(*pair), ladder.tolerance):
        ladder.add(PARITY, asked, str(answer), f"{ladder.fit(*pair):.6g}", "pass")
        return
    halved = ladder.fit(*(shrunk(image, 2) for image in pair))
    known = ladder.close(answer, halved, 3e-3)
    if known:
        ladder.verdict.differs = "; ".join(part for part in (ladder.verdict.differs, HALVED) if part)
        ladder.verdict.published = ""
    ladder.add(
        PARITY, asked, str(answer), f"{ladder.fit(*pair):.6g}, or {halved:.6g} averaged down by 2",
        "note" if known else "fail",
        f"images are {HALVED}: values at 256 and at 512 px are not comparable" if known
        else "large images are scored by another definition than small ones",
    )  # fmt: skip


def _flat(value: float, size: tuple[int, int] = (48, 56)) -> Array:
    return np.full((*size, 3), value, np.uint8)


def _ssim_forms(ladder: Ladder) -> None:
    """Of two flat images SSIM is its luminance term: (2ab + C1) / (a² + b² + C1), with C1 = 2.55²."""
    for a, b in ((100, 120), (30, 200)):
        c1 = 2.55**2
        wanted = (2 * a * b + c1) / (a * a + b * b + c1)
        if ladder.fit is not None and ladder.verdict.differs:
            wanted = ladder.fit(_flat(a), _flat(b))
            if not math.isfinite(wanted):
                continue
        ladder.expect(
            CLOSED, f"flat images of {a} and {b}", (_flat(a), _flat(b)), wanted,
            "the closed form is missed", near=0.0 if ladder.tolerance < 1e-5 else 0.02,
        )  # fmt: skip


def _psnr_forms(ladder: Ladder, probes: Sequence[Pair]) -> None:
    """An error of d everywhere is 20 log10(255 / d) dB; one of 1 in one sample of N is 10 log10(255² N)."""
    plain = ladder.fit is None or not ladder.verdict.differs
    for a, b in ((110, 100), (100, 110), (30, 200)):
        pair = _flat(a), _flat(b)
        wanted = 20 * math.log10(255 / abs(a - b))
        if not plain and ladder.fit is not None:
            wanted = ladder.fit(*pair)
        if math.isfinite(wanted):
            ladder.expect(
                CLOSED, f"flat images of {a} and {b}", pair, wanted,
                "the closed form 20 log10(255 / d) is missed", near=1e-4,
            )  # fmt: skip
    nearly, target = _nearly(probes[0][1], 1)
    wanted = (
        10 * math.log10(255**2 * target.size) if plain or ladder.fit is None else ladder.fit(nearly, target)
    )
    if math.isfinite(wanted):
        ladder.expect(
            CLOSED, "one sample is wrong by 1", (nearly, target), wanted,
            "very good images are cut to a largest value, or lost by rounding", near=2e-3,
        )  # fmt: skip


def _invariances(ladder: Ladder, pair: Pair, reference: Answer, kind: Name) -> None:
    predicted, target = pair
    value = reference.value
    _identity(ladder, target, kind)
    near = ladder.tolerance
    ladder.law(
        INVARIANT,
        "predicted and target exchanged",
        (target, predicted),
        value,
        "it is not symmetric",
        near=near,
    )
    views = {
        "both images mirrored": lambda x: x[:, ::-1],
        "both images upside down": lambda x: x[::-1],
        "rows and columns of both exchanged": lambda x: x.transpose(1, 0, 2),
    }
    for asked, view in views.items():
        ladder.law(INVARIANT, asked, (view(predicted), view(target)), value, "sides matter", near=near)
    swapped = predicted[..., ::-1], target[..., ::-1]
    ladder.law(
        INVARIANT, "channels of both in the opposite order", swapped, None, "channels matter", near=near
    )
    fortran = np.asfortranarray(predicted), np.asfortranarray(target)
    ladder.same("in Fortran order", fortran, reference)
    integers = predicted.astype(np.int64), target.astype(np.int64)
    answer = ladder.subject(*integers)
    if answer.finite and not ladder.close(answer, value, near):
        ladder.add(
            "order and dtype", "the same image as int64", str(answer), f"{value:.6g}, or an error", "note",
            "images that are not uint8 are scored otherwise; check the type first",
        )  # fmt: skip


def _identity(ladder: Ladder, target: Array, kind: Name) -> None:
    if kind == "ssim":
        ladder.expect(
            IDENTITY, "the truth against itself", (target, target), 1.0,
            "identical images do not score 1: the two sides are not treated alike", near=1e-5,
        )  # fmt: skip
        return
    answer = ladder.subject(target, target)
    expected = ladder.fit(target, target) if ladder.fit is not None else math.inf
    wanted = f"{expected:.6g}" if math.isfinite(expected) else "inf, None or an error"
    outcome: Outcome = "pass"
    says = ""
    if answer.kind == "value" and not ladder.close(answer, expected, 0.05) and answer.value != math.inf:
        chosen = math.isnan(answer.value) or answer.value > LOSSLESS
        outcome = "note" if chosen else "fail"
        says = (
            f"identical images score {answer}, not infinity: a mean over frames depends on how many there are"
            if chosen
            else "identical images have a finite error, or very good ones are cut to a largest value"
        )
    ladder.add(IDENTITY, "the truth against itself", str(answer), wanted, outcome, says)


def _monotone(ladder: Ladder, rng: np.random.Generator) -> None:
    target = picture((64, 64), rng)
    noise = rng.normal(size=target.shape)
    grades = [(as_bytes(target + sigma * noise), as_bytes(target)) for sigma in (2, 5, 10, 20, 40, 80)]
    ladder.monotone("noise of sigma 2 to 80", grades, rising=False, says="more noise does not score worse")
    blurs = [(as_bytes(cv2.GaussianBlur(target, (0, 0), s)), as_bytes(target)) for s in (0.5, 1, 2, 4, 8)]
    ladder.monotone("blur of sigma 0.5 to 8 px", blurs, rising=False, says="more blur does not score worse")


def _degenerate(ladder: Ladder, pair: Pair, kind: Name) -> None:
    predicted, target = pair
    for asked, other in (
        ("a prediction of another height", predicted[:-6]),
        ("a prediction of another width", predicted[:, :-6]),
        ("a prediction transposed", predicted.transpose(1, 0, 2)),
    ):
        ladder.undefined(
            asked,
            (other, target),
            lambda answer: f"images of different size score {answer}: one is cut or resized",
        )
    grey = ladder.subject(predicted[..., :1], target)
    ladder.add(
        DEGENERATE, "a grey image against a coloured one", str(grey), "an error",
        "note" if grey.finite else "pass",
        "an image of one channel is compared with all three (broadcasting); check shapes first",
    )  # fmt: skip
    empty = predicted[:0], target[:0]
    ladder.undefined("an image without pixels", empty, lambda answer: f"an empty image scores {answer}")
    if kind == "ssim":
        tiny = predicted[:5, :5], target[:5, :5]
        answer = ladder.subject(*tiny)
        odd = answer.kind == "value" and not (answer.finite and -1 <= answer.value <= 1)
        ladder.add(
            DEGENERATE, "5 x 5 px, smaller than the window", str(answer), "an error, or a value in [-1, 1]",
            "note" if odd else "pass", "an image smaller than the window has a score without meaning",
        )  # fmt: skip
