"""This project's protocols through its own kit: each is recognised, and legacy defects are named."""

from __future__ import annotations

import pytest

from benchmark.conformance.check import Kind, check

PLACE = "tests.conformance.protocols"

VARIANTS = ("", "/iod", "/face-width", "/128", "/raw", "/centred", "/procrustes")
SOUND: dict[str, Kind] = {
    **{f"ld/mouth{variant}": "ld" for variant in VARIANTS},
    **{f"lvd/face{variant}": "lvd" for variant in VARIANTS},
    "lmd/eat": "ld",
    "flmd/eat": "ld",
    "lmd/atvgnet": "ld",
    "lmd/vico": "ld",
    "ssim": "ssim",
    "ssim/luma": "ssim",
    "ssim/skimage": "ssim",
    "ssim/zero-pad": "ssim",
    "psnr": "psnr",
    "psnr/luma": "psnr",
}
BROKEN: dict[str, tuple[Kind, str]] = {
    "lvd/eat": ("lvd", "divides a sum of T - 1 velocities by T frames"),
    "flvd/eat": ("lvd", "called a face metric, but it measures the 20 mouth points"),
    "psnr/uint8-wrap": ("psnr", "wrap around modulo 256 (grey images, and their squares too)"),
}


@pytest.mark.parametrize("protocol", SOUND)
def test_a_sound_protocol_is_recognised_by_its_id(protocol: str) -> None:
    verdict = check(f"{PLACE}:{protocol}", SOUND[protocol])
    assert verdict.passed, verdict.sentence
    assert protocol in verdict.published.split(" and "), verdict.sentence


@pytest.mark.parametrize("protocol", BROKEN)
def test_a_published_defect_is_named(protocol: str) -> None:
    kind, words = BROKEN[protocol]
    region = "face" if protocol == "flvd/eat" else None
    verdict = check(f"{PLACE}:{protocol}", kind, region=region)
    assert not verdict.passed
    assert any(words in told for told in verdict.looks_like), verdict.looks_like
