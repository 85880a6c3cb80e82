"""Protocols on frames: structural similarity, noise, sharpness, edges, flicker."""

from __future__ import annotations

from benchmark.metrics.edges import edge_chamfer, edge_f1, flicker
from benchmark.metrics.image import psnr, psnr_in, psnr_luma, ssim, ssim_in, ssim_luma
from benchmark.metrics.legacy_images import psnr_uint8_wrap, ssim_uniform, ssim_zero_padded
from benchmark.metrics.metric import Change, Damage, Metric
from benchmark.metrics.sharpness import cpbd

_ORDER: frozenset[Change] = frozenset({"frame order", "time reversal"})
_LANDMARKS_ONLY: frozenset[Damage] = frozenset({"landmark jitter"})
_MOVED: frozenset[Damage] = frozenset({"lip shift", "emotion swap", "identity drift"})
_SHOWN: frozenset[Damage] = frozenset({"blur", "colour shift"})
_DROPPED: frozenset[Damage] = frozenset({"dropped frames"})
_HELD: frozenset[Damage] = frozenset({"dropped frames", "frozen mouth"})
"""PSNR of a frozen mouth is not graded: it leaves out the frames that happen to be right."""

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
        compute=lambda pair: ssim(*pair.frames, clip=pair.clip, sums=pair.gaussian_sums),
        best=1.0,
        limits=(-1.0, 1.0),
        sees=_MOVED | _SHOWN | _HELD,
        blind_to=_LANDMARKS_ONLY,
        unmoved_by=_ORDER,
    ),
    Metric(
        id="ssim/luma",
        family="SSIM",
        label="SSIM (luma)",
        symbol=r"SSIM$_Y$",
        unit="",
        direction="higher",
        needs=frozenset({"frames"}),
        level="clip",
        source="Wang et al., IEEE TIP 13(4), 2004, whose images are grey",
        description=(
            "SSIM of the ITU-R BT.601 luma in whole grey levels: Gaussian 11 x 11 window of sigma 1.5, "
            "population covariance, windows inside the frame, mean over frames, then clips."
        ),
        compute=lambda pair: ssim_luma(*pair.luma, clip=pair.clip),
        main=False,
        best=1.0,
        limits=(-1.0, 1.0),
        sees=_MOVED | _SHOWN | _HELD,
        blind_to=_LANDMARKS_ONLY,
        unmoved_by=_ORDER,
    ),
    Metric(
        id="ssim/skimage",
        family="SSIM",
        label="SSIM (scikit-image)",
        symbol=r"SSIM$_{7\times7}$",
        unit="",
        direction="higher",
        needs=frozenset({"frames"}),
        level="clip",
        source="scikit-image's defaults; ATVGnet, evaluation_matrix.py, there resized to 256 px",
        description=(
            "Structural similarity as most tables of 2019 to 2021 have it: uniform 7 x 7 window, sample "
            "covariance, data range 255, windows inside the frame, mean over RGB, then frames, then clips."
        ),
        compute=lambda pair: ssim_uniform(*pair.frames, clip=pair.clip),
        main=False,
        best=1.0,
        limits=(-1.0, 1.0),
        sees=_MOVED | _SHOWN | _HELD,
        blind_to=_LANDMARKS_ONLY,
        unmoved_by=_ORDER,
    ),
    Metric(
        id="ssim/zero-pad",
        family="SSIM",
        label="SSIM (pytorch_ssim)",
        symbol=r"SSIM$_0$",
        unit="",
        direction="higher",
        needs=frozenset({"frames"}),
        level="clip",
        source="pytorch_ssim (Po-Hsun Su), as copied in ATVGnet and EVP",
        description=(
            "SSIM with the Gaussian window around every pixel and black beyond the border, which both sides "
            "share: the border scores better than it is, the more the smaller the frame."
        ),
        compute=lambda pair: ssim_zero_padded(*pair.frames, clip=pair.clip, sums=pair.gaussian_sums),
        main=False,
        legacy=True,
        best=1.0,
        limits=(-1.0, 1.0),
        sees=_MOVED | _SHOWN | _HELD,
        blind_to=_LANDMARKS_ONLY,
        unmoved_by=_ORDER,
        defects={"unit": "near the border a flat picture is compared as one with a black frame"},
    ),
    Metric(
        id="ssim/mouth",
        family="SSIM of the mouth",
        label="SSIM (mouth)",
        symbol=r"SSIM$_\mathrm{mouth}$",
        unit="",
        direction="higher",
        needs=frozenset({"landmarks", "frames", "square"}),
        level="clip",
        source="Wang et al., IEEE TIP 13(4), 2004, of a part of the frame",
        description=(
            "SSIM, as in the main table, of the windows centred in the true mouth's bounding box, widened on "
            "each side by a quarter of its width. Frames without a true face lower the coverage."
        ),
        compute=lambda pair: ssim_in(pair.frames[0], pair.frames[1], pair.mouth_boxes, clip=pair.clip),
        main=False,
        best=1.0,
        limits=(-1.0, 1.0),
        symmetric=False,
        sees=_MOVED | _SHOWN | _HELD,
        blind_to=_LANDMARKS_ONLY,
        unmoved_by=_ORDER,
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
        sees=_MOVED | _SHOWN | _DROPPED,
        blind_to=_LANDMARKS_ONLY,
        unmoved_by=_ORDER,
    ),
    Metric(
        id="psnr/luma",
        family="PSNR",
        label="PSNR (luma)",
        symbol=r"PSNR$_Y$",
        unit="dB",
        direction="higher",
        needs=frozenset({"frames"}),
        level="clip",
        source="ITU-T J.340 (peak 255, luma)",
        description=(
            "Peak signal-to-noise ratio of the ITU-R BT.601 luma in whole grey levels, mean over frames, "
            "then clips. Frames of identical luma are infinite: they are left out and lower the coverage."
        ),
        compute=lambda pair: psnr_luma(*pair.luma),
        main=False,
        best=None,
        sees=_MOVED | _SHOWN | _DROPPED,
        blind_to=_LANDMARKS_ONLY,
        unmoved_by=_ORDER,
    ),
    Metric(
        id="psnr/uint8-wrap",
        family="PSNR",
        label="PSNR (ATVGnet)",
        symbol=r"PSNR$_{256}$",
        unit="dB",
        direction="higher",
        needs=frozenset({"frames"}),
        level="clip",
        source="ATVGnet, evaluation_matrix.py, there resized to 256 px and over the frames of all clips",
        description=(
            "PSNR of luma that is subtracted and squared in 8 bits, where both wrap around: independent "
            "noise has 27.9 dB instead of 7.8, an error of 16 grey levels counts as none, and a frame "
            "without errors as 100 dB. For comparison with old tables only."
        ),
        compute=lambda pair: psnr_uint8_wrap(*pair.luma),
        main=False,
        legacy=True,
        best=100.0,
        sees=_MOVED | _SHOWN | _DROPPED,
        blind_to=_LANDMARKS_ONLY,
        unmoved_by=_ORDER,
        defects={
            "unit": "an error of 20 grey levels has the square 144",
            "damage": "a larger error may wrap around to a smaller one",
        },
    ),
    Metric(
        id="psnr/mouth",
        family="PSNR of the mouth",
        label="PSNR (mouth)",
        symbol=r"PSNR$_\mathrm{mouth}$",
        unit="dB",
        direction="higher",
        needs=frozenset({"landmarks", "frames", "square"}),
        level="clip",
        source="ITU-T J.340 (peak 255, RGB), of a part of the frame",
        description=(
            "PSNR of the pixels in the true mouth's bounding box, widened on each side by a quarter of its "
            "width. Frames without a true face, or with an identical mouth, lower the coverage."
        ),
        compute=lambda pair: psnr_in(pair.frames[0], pair.frames[1], pair.mouth_boxes, clip=pair.clip),
        main=False,
        best=None,
        symmetric=False,
        sees=_MOVED | _SHOWN,
        blind_to=_LANDMARKS_ONLY,
        unmoved_by=_ORDER,
    ),
    Metric(
        id="cpbd",
        family="Sharpness",
        label="CPBD",
        symbol="CPBD",
        unit="",
        direction="higher",
        needs=frozenset({"frames"}),
        level="clip",
        source="Narvekar and Karam, IEEE TIP 20(9), 2011, as in the package cpbd 1.0.7",
        description=(
            "Share of vertical edges too narrow to be noticed as blurred, of the predicted frames' luma "
            "alone, mean over frames, then clips. It rewards noise and hard edges, whether the truth has "
            "them or not: compare it with the ground truth's own. Not defined below 64 px."
        ),
        compute=lambda pair: cpbd(pair.luma[0]),
        main=False,
        best=None,
        limits=(0.0, 1.0),
        symmetric=False,
        sees=frozenset({"blur"}),
        blind_to=_LANDMARKS_ONLY,
        unmoved_by=_ORDER,
    ),
    Metric(
        id="edges/f1",
        family="Background edges",
        label="Edge F1",
        symbol=r"F$_\mathrm{edge}$",
        unit="",
        direction="higher",
        needs=frozenset({"landmarks", "frames", "square"}),
        level="clip",
        source="Martin, Fowlkes and Malik, TPAMI 26(5), 2004",
        description=(
            "F1 of Canny edges outside the face at a tolerance of 2 px of the rendered size, mean over "
            "frames, then clips."
        ),
        compute=lambda pair: edge_f1(pair.edge_distances),
        main=False,
        best=1.0,
        limits=(0.0, 1.0),
        bounded=True,
        blind_to=_LANDMARKS_ONLY,
        unmoved_by=_ORDER,
    ),
    Metric(
        id="edges/chamfer",
        family="Background edges",
        label="Edge chamfer",
        symbol=r"d$_\mathrm{edge}$",
        unit="px",
        direction="lower",
        needs=frozenset({"landmarks", "frames", "square"}),
        level="clip",
        source="Barrow et al., IJCAI 1977, truncated at 20 px",
        description=(
            "Distance of Canny edges outside the face to the other side's nearest edge, mean of both "
            "directions, then frames, then clips; pixels of the rendered size."
        ),
        compute=lambda pair: edge_chamfer(pair.edge_distances),
        main=False,
        bounded=True,
        blind_to=_LANDMARKS_ONLY,
        unmoved_by=_ORDER,
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
        sees=_MOVED | _SHOWN | _HELD,
        blind_to=_LANDMARKS_ONLY,
        unmoved_by=frozenset({"time reversal"}),
    ),
)
