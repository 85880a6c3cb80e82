"""What decides the bits of floating-point results on this machine, as facts that a person can read.

Two machines with equal facts give equal bits; where one differs, they may not. Facts are taken from what
actually runs: the instruction sets that libraries chose (after their environment settings), their BLAS, their
versions, and the bits of small computations, which also catch what nobody thought of. Settings whose effect
cannot be asked are facts as they stand in the environment.
"""

from __future__ import annotations

import contextlib
import ctypes
import functools
import hashlib
import importlib.metadata
import json
import os
import platform
import re
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from models.errors import ConfigError

LIBRARIES = (
    "numpy",
    "scipy",
    "opencv-python",
    "av",
    "numba",
    "llvmlite",
    "scikit-learn",
    "onnxruntime",
    "hibari-tts",
    "soxr",
    "soundfile",
)
"""Packages that compute what is kept, or read it from media; torch has facts of its own."""
SETTINGS = (
    "MKL_CBWR",
    "MKL_ENABLE_INSTRUCTIONS",
    "MKL_DEBUG_CPU_TYPE",
    "MKL_NUM_STRIPES",
    "ONEDNN_DEFAULT_FPMATH_MODE",
    "DNNL_DEFAULT_FPMATH_MODE",
    "ONEDNN_CPU_ISA_HINTS",
    "DNNL_CPU_ISA_HINTS",
    "NPY_ENABLE_CPU_FEATURES",
    "OPENCV_CPU_DISABLE",
    "OPENCV_IPP",
    "OPENCV_OPENCL_RUNTIME",
    "NUMBA_CPU_NAME",
    "NUMBA_CPU_FEATURES",
    "NUMBA_DISABLE_JIT",
    "NUMBA_OPT",
    "NUMBA_ENABLE_AVX",
    "NUMBA_LOOP_VECTORIZE",
    "NUMBA_SLP_VECTORIZE",
    "NUMBA_DISABLE_INTEL_SVML",
    "ATEN_MKLDNN_FPMATH_MODE",
    "TORCH_LINALG_PREFER_CUSOLVER",
    "NVIDIA_TF32_OVERRIDE",
    "GLIBC_TUNABLES",
    "XNN_FLAGS",
)
"""Environment variables that choose kernels and whose effect no library tells."""

Facts = Mapping[str, Any]


@dataclass(frozen=True)
class Numerics:
    """Facts, and their digest."""

    facts: Facts

    @property
    def digest(self) -> str:
        text = json.dumps(self.facts, sort_keys=True, ensure_ascii=False)
        return hashlib.blake2b(text.encode(), digest_size=10).hexdigest()

    def differences(self, other: Numerics) -> list[str]:
        """Return what is another fact there, in words."""
        names = dict.fromkeys((*self.facts, *other.facts))
        pairs = [(name, self.facts.get(name), other.facts.get(name)) for name in names]
        return [f"{name}: {_shown(a)} here, {_shown(b)} there" for name, a, b in pairs if a != b]


def _shown(fact: Any) -> str:
    text = "nothing" if fact is None else fact if isinstance(fact, str) else json.dumps(fact, sort_keys=True)
    return text if len(text) <= 80 else text[:77] + "..."


@functools.cache
def array_numerics() -> Numerics:
    """Return the facts of all that computes without torch: what prepared clips depend on."""
    facts: dict[str, Any] = {
        "python": ".".join(platform.python_version_tuple()[:2]),
        "machine": platform.machine(),
        "libc": " ".join(platform.libc_ver()),
        "libraries": {name: _version(name) for name in LIBRARIES},
        "media libraries": _media_libraries(),
        "numpy instruction sets": _numpy_instruction_sets(),
        "opencv instruction sets": _opencv_instruction_sets(),
        "numba target": _numba_target(),
        "blas": _blas(),
        "settings": {name: os.environ[name] for name in SETTINGS if name in os.environ},
        "threads": "1 a process",
    }
    with _one_thread():
        facts["bits"] = {name: _bits(compute) for name, compute in ARRAY_PROBES.items()}
    return Numerics(facts)


@functools.cache
def numerics(device: str = "cpu") -> Numerics:
    """Return the facts of all that computes: what stages depend on.

    Args:
        device: as torch names it.

    Raises:
        ConfigError: there is no such device.
    """
    import torch

    _check_device(device)
    facts: dict[str, Any] = dict(array_numerics().facts)
    facts["torch"] = torch.__version__
    facts["torch build"] = _torch_build(torch.__config__.show())
    facts["torch instruction set"] = torch.backends.cpu.get_cpu_capability()
    facts["onednn kernel"] = _onednn_kernel()
    facts["mkl reproducibility"] = _mkl_reproducibility()
    facts["device"] = device
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        facts["torch bits"] = {name: _bits(compute) for name, compute in TORCH_PROBES.items()}
    finally:
        torch.set_num_threads(before)
    if device.startswith("cuda"):
        facts["gpu"] = _gpu(device)
    return Numerics(facts)


def thread_count() -> int:
    """Return the largest number of threads that a numerical library of this process uses."""
    import threadpoolctl
    import torch

    pools = [int(pool["num_threads"]) for pool in threadpoolctl.threadpool_info()]
    return max(torch.get_num_threads(), *pools)


def _check_device(device: str) -> None:
    import torch

    kind, _, index = device.partition(":")
    if kind == "cuda" and int(index or 0) >= (count := torch.cuda.device_count()):
        raise ConfigError(f"device: torch finds no {device}, but {count} GPUs; device=cpu needs none")


def _version(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return "not installed"


def _media_libraries() -> dict[str, str]:
    import av

    return {name: ".".join(map(str, version)) for name, version in sorted(av.library_versions.items())}


def _numpy_instruction_sets() -> list[str]:
    simd = np.show_config(mode="dicts")["SIMD Extensions"]  # type: ignore[index]
    return [*simd.get("baseline", ()), *simd.get("found", ())]


def _opencv_instruction_sets() -> str:
    import cv2

    return cv2.getCPUFeaturesLine()


def _numba_target() -> str:
    import llvmlite.binding as llvm

    name = os.environ.get("NUMBA_CPU_NAME") or llvm.get_host_cpu_name()
    features = os.environ.get("NUMBA_CPU_FEATURES") or llvm.get_host_cpu_features().flatten()
    return f"{name} {hashlib.blake2b(features.encode(), digest_size=4).hexdigest()}"


def _blas() -> list[str]:
    """Return the BLAS of NumPy, SciPy and OpenCV, with the kernels that each has chosen."""
    import cv2  # noqa: F401 - brings a BLAS of its own
    import scipy.linalg  # noqa: F401 - likewise
    import threadpoolctl

    return sorted(
        {
            f"{pool['prefix']} {pool['version']} {pool.get('architecture', '')}".strip()
            for pool in threadpoolctl.threadpool_info()
            if pool["user_api"] == "blas"
        }
    )


def _torch_build(text: str) -> str:
    """Return torch's description of its build without line breaks."""
    return " ".join(text.split())


def _onednn_kernel() -> str:
    """Return which kernel oneDNN chooses for a convolution, such as jit:avx2, as it says itself."""
    import torch

    mkldnn = torch.backends.mkldnn
    if not mkldnn.is_available():
        return "not built in"
    with _captured_stdout() as text, mkldnn.verbose(mkldnn.VERBOSE_ON):
        _convolved()
    kernel = re.search(r"primitive,exec,cpu,convolution,([^,]*),", text())
    return kernel[1] if kernel else "unused"


@contextlib.contextmanager
def _captured_stdout() -> Iterator[Callable[[], str]]:
    """Keep what C code prints from the terminal; the function that is yielded returns it afterwards.

    It goes through a pipe, which holds some pages: a file on a full disk would seem to say nothing.
    """
    sys.stdout.flush()
    terminal = os.dup(1)
    reading, writing = os.pipe()
    content: list[str] = []
    try:
        os.dup2(writing, 1)
        yield lambda: content[0]
    finally:
        ctypes.CDLL(None).fflush(None)
        os.dup2(terminal, 1)
        os.close(terminal)
        os.close(writing)
        with os.fdopen(reading, encoding="utf-8", errors="replace") as file:
            content.append(file.read())


def _mkl_reproducibility() -> str:
    """Return MKL's branch for reproducible results (MKL_CBWR), which torch has linked into itself."""
    import torch

    library = Path(torch.__file__).parent / "lib" / "libtorch_cpu.so"
    try:
        branch = ctypes.CDLL(str(library)).mkl_serv_cbwr_get
        return f"{branch(-1)}"
    except (OSError, AttributeError):
        return f"not told; MKL_CBWR={os.environ.get('MKL_CBWR', '')}"


def _gpu(device: str) -> dict[str, Any]:
    import torch

    return {
        "name": torch.cuda.get_device_name(device),
        "capability": list(torch.cuda.get_device_capability(device)),
        "cuda": torch.version.cuda,
        "cudnn": torch.backends.cudnn.version(),
        "cublas workspace": os.environ.get("CUBLAS_WORKSPACE_CONFIG", ""),
        "tf32": [torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32],
    }


# Probes: small computations whose bits tell kernels apart


def _bits(compute: Callable[[], Any]) -> str:
    result = np.ascontiguousarray(compute())
    return hashlib.blake2b(result.tobytes(), digest_size=4).hexdigest()


@functools.cache
def _numbers(*shape: int) -> np.ndarray:
    """Return numbers in [-2, 2] that no library draws: a counter, mixed and scaled."""
    counter = np.arange(int(np.prod(shape)), dtype=np.uint64)
    mixed = (counter * np.uint64(0x9E3779B97F4A7C15)) >> np.uint64(40)
    return (mixed.astype(np.float64) / 2**22 - 2).reshape(shape)


def _floats(*shape: int) -> np.ndarray:
    return _numbers(*shape).astype(np.float32)


def _resized() -> np.ndarray:
    import cv2

    picture = (_numbers(37, 53, 3) * 63 + 127).astype(np.uint8)
    matrix = np.array([[0.9, 0.1, 1.3], [-0.1, 0.9, 2.1]])
    turned = cv2.warpAffine(picture.astype(np.float32), matrix, (31, 31), flags=cv2.INTER_LINEAR)
    small = cv2.resize(turned, (17, 19), interpolation=cv2.INTER_AREA)
    return np.concatenate([turned.ravel(), small.ravel()])


def _filtered() -> np.ndarray:
    from scipy.linalg import eigh
    from scipy.ndimage import gaussian_filter1d

    square = _numbers(24, 24)
    return np.concatenate([gaussian_filter1d(square, 1.5).ravel(), eigh(square + square.T)[0]])


ARRAY_PROBES: Mapping[str, Callable[[], Any]] = {
    "numpy matmul": lambda: _numbers(67, 131) @ _numbers(131, 59),
    "numpy matmul float32": lambda: _floats(67, 131) @ _floats(131, 59),
    "numpy exp": lambda: np.exp(_floats(999)),
    "numpy exp float64": lambda: np.exp(_numbers(999)),
    "numpy sin": lambda: np.sin(_floats(999)),
    "numpy log": lambda: np.log(np.abs(_numbers(999)) + 0.1),
    "numpy sum": lambda: _floats(33, 1001).sum(1),
    "numpy fft": lambda: np.fft.rfft(_numbers(400)),
    "scipy": _filtered,
    "opencv": _resized,
}


def _tensor(*shape: int) -> Any:
    import torch

    # A copy lies in memory as torch aligns it, wherever NumPy put the original.
    return torch.from_numpy(_numbers(*shape)).float().clone()


def _convolved() -> np.ndarray:
    import torch

    return torch.nn.functional.conv2d(_tensor(2, 17, 19, 23), _tensor(21, 17, 3, 3)).numpy()


def _activated() -> np.ndarray:
    import torch

    x = _tensor(999)
    return torch.cat([x.exp(), x.tanh(), x.sigmoid(), x.abs().add(0.1).log(), x.sin()]).numpy()


TORCH_PROBES: Mapping[str, Callable[[], Any]] = {
    "matmul": lambda: (_tensor(67, 131) @ _tensor(131, 59)).numpy(),
    "matmul float64": lambda: (_tensor(67, 131).double() @ _tensor(131, 59).double()).numpy(),
    "convolution": _convolved,
    "activations": _activated,
    "sum": lambda: _tensor(33, 1001).sum(1).numpy(),
}


@contextlib.contextmanager
def _one_thread() -> Iterator[None]:
    import threadpoolctl

    with threadpoolctl.threadpool_limits(1):
        yield
