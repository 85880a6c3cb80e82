"""Protocols on frames: structural similarity, noise, edges, flicker."""

from __future__ import annotations

from benchmark.metrics.edges import edge_chamfer, edge_f1, flicker
from benchmark.metrics.image import psnr, ssim
from benchmark.metrics.metric import Metric

IMAGES: tuple[Metric, ...] = (
    Metric(
        id="ssim",
        family="SSIM",
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
        family="PSNR",
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
        family="Background edges",
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
        family="Background edges",
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
        family="Flicker",
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
)
