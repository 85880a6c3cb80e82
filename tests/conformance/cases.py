"""Functions with planted defects, and sound ones, with what the kit must say of them."""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass
from pathlib import Path

from benchmark.conformance.check import Kind, check
from benchmark.conformance.verdict import Verdict
from benchmark.metrics.extractors import FrameExtractor
from tests.conformance.network import ColourNetwork

FOLDER = Path(__file__).parent


@dataclass(frozen=True)
class Case:
    file: str
    """Below this folder, without its ending."""
    name: str
    kind: Kind
    words: tuple[str, ...]
    """What the verdict must say: of a planted defect its name, of a sound definition in what it differs."""
    region: str | None = None
    extractor: FrameExtractor | None = None
    """The network whose distance it claims, of a function that takes frames."""
    needs: str | None = None
    """A package without which it cannot run."""

    @property
    def place(self) -> str:
        return f"{FOLDER / self.file}.py:{self.name}"

    def verdict(self, seed: int = 0) -> Verdict:
        return check(self.place, self.kind, region=self.region, extractor=self.extractor, seed=seed)

    @property
    def id(self) -> str:
        return f"{Path(self.file).name}:{self.name}"

    @property
    def can_run(self) -> bool:
        return self.needs is None or importlib.util.find_spec(self.needs) is not None


def _planted(file: str, name: str, kind: Kind, *words: str, region: str | None = None) -> Case:
    return Case(f"planted/{file}", name, kind, words, region)


PLANTED: tuple[Case, ...] = (
    _planted("psnr_uint8", "psnr", "psnr", "wrap around", "psnr/uint8-wrap"),
    _planted("lvd_face_from_mouth", "face_lvd", "lvd", "20 mouth points divided by 68", "flvd/eat"),
    _planted("frechet_bgr", "frechet", "frechet", "R and B exchanged", "BGR"),
    _planted("ld_drops_missing_faces", "mouth_ld", "ld", "vanishes silently", "the frame is dropped"),
    _planted("ld_squared", "ld", "ld", "squared distances"),
    _planted("ld_signed", "ld", "ld", "errors of opposite sign cancel"),
    _planted("ld_running_mean", "ld", "ld", "state"),
    _planted("ld_in_place", "mouth_ld", "ld", "changes its input in place (predicted and target)"),
    _planted("lvd_by_frames", "mouth_lvd", "lvd", "T - 1 velocities by T frames", "lvd/eat"),
    _planted("lvd_over_points", "lvd", "lvd", "over points, not over time"),
    _planted("lvd_zip", "face_lvd", "lvd", "zip", "not scored"),
    _planted("ssim_range_one", "ssim", "ssim", "data range of 1"),
    _planted("ssim_guessed_range", "ssim", "ssim", "data range of 2", "guessed"),
    _planted("ssim_swapped_luma", "ssim", "ssim", "read as BGR"),
    _planted("psnr_natural_log", "psnr", "psnr", "natural logarithm"),
    _planted("psnr_capped", "psnr", "psnr", "cut to a largest value"),
    _planted("frechet_trace_of_product", "frechet", "frechet", "without its square root"),
    Case(
        "planted/frames_bgr",
        "frechet",
        "frechet",
        ("channels of both sides are swapped", "fid/5f-bgr"),
        extractor=ColourNetwork(),
    ),
    _planted("frechet_nan_to_zero", "frechet", "frechet", "replaced by 0 silently"),
)

THIRD_PARTY: tuple[Case, ...] = (
    Case(
        "sound/scikit_image",
        "ssim",
        "ssim",
        ("7x7 uniform", "sample", "protocol ssim/skimage"),
        needs="skimage",
    ),
    Case("sound/scikit_image", "ssim_wang", "ssim", ("standard definition",), needs="skimage"),
    Case("sound/scikit_image", "psnr", "psnr", ("standard definition",), needs="skimage"),
    Case("sound/with_piq", "ssim", "ssim", ("averaged down by 2",), needs="piq"),
    Case("sound/with_piq", "psnr", "psnr", ("1e-08 of peak²", "80 dB"), needs="piq"),
    Case("sound/with_torchmetrics", "ssim", "ssim", ("reflected image",), needs="torchmetrics"),
    Case("sound/with_torchmetrics", "psnr", "psnr", ("standard definition",), needs="torchmetrics"),
    Case("sound/with_pytorch_msssim", "ssim", "ssim", ("standard definition",), needs="pytorch_msssim"),
    Case("sound/with_torch_fidelity", "frechet", "frechet", ("standard definition",), needs="torch_fidelity"),
)

PLAIN: tuple[Case, ...] = (
    Case("sound/plain", "ld", "ld", ("unaligned",), "face"),
    Case("sound/plain", "lvd", "lvd", ("unaligned",), "face"),
    Case("sound/plain", "lmd_eat", "ld", ("mean-centred per region", "protocol lmd/eat"), "mouth"),
    Case("sound/plain", "lmd_atvgnet", "ld", ("summed over the 20 points", "protocol lmd/atvgnet"), "mouth"),
    Case("sound/plain", "lmd_vico", "ld", ("mean of |dx| and |dy|", "protocol lmd/vico")),
    Case("sound/plain", "ld_by_eyes", "ld", ("divided by the distance of the eyes' centres",), "mouth"),
    Case("sound/plain", "lvd_per_second", "lvd", ("pixels per second",)),
    Case("sound/plain", "psnr", "psnr", ("standard definition",)),
    Case("sound/plain", "psnr_100", "psnr", ("standard definition",)),
    Case("sound/plain", "ssim", "ssim", ("standard definition",)),
    Case("sound/plain", "frechet", "frechet", ("standard definition",)),
    Case("sound/plain", "frechet_population", "frechet", ("population covariances",)),
)

OURS: tuple[Case, ...] = (
    Case("sound/ours", "mouth_ld", "ld", ("standard definition", "protocol ld/mouth"), "mouth"),
    Case("sound/ours", "face_ld", "ld", ("standard definition", "protocol ld/face"), "face"),
    Case("sound/ours", "mouth_lvd", "lvd", ("standard definition", "protocol lvd/mouth"), "mouth"),
    Case("sound/ours", "face_lvd", "lvd", ("standard definition", "protocol lvd/face"), "face"),
    Case("sound/ours", "ssim", "ssim", ("standard definition", "protocol ssim")),
    Case("sound/ours", "psnr", "psnr", ("standard definition", "protocol psnr")),
    Case("sound/ours", "frechet", "frechet", ("standard definition",)),
)

FRAMES: tuple[Case, ...] = (
    Case("sound/frames", "frechet", "frechet", ("RGB frames",), extractor=ColourNetwork()),
)

SOUND = (*THIRD_PARTY, *PLAIN, *FRAMES, *OURS)
