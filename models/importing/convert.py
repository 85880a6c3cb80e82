"""From released files to the files of our stages, so that their own loaders read them."""

from __future__ import annotations

import json
import re
import shutil
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from models.artefacts import ArtefactError, save_state
from models.disentangle.emotion import classifier_file
from models.errors import InputError, storage_faults
from models.face3d import bfm
from models.files import check_output_folder, filled_folder, publish_folder
from models.importing import names
from models.importing.checkpoint import read_npy, read_tensors
from models.landmarks.codes import EmotionCodes
from models.landmarks.network import AudioToLandmarks, AudioToLandmarksSizes
from models.landmarks.pca import NUM_COMPONENTS, LandmarkPCA
from models.landmarks.predictor import LandmarkPredictor
from models.rendering.renderer import SIZES, WEIGHTS, RendererSizes

COORDINATES = 212
"""x and y of 106 landmarks."""
RELABELLED = {"disgust": "disgusted"}
"""Emotions that one subject's files spell otherwise than the labels."""


@dataclass(frozen=True)
class Extras:
    """What belongs to a landmark checkpoint but is not in it."""

    pca: Path | None = None
    """.npy (212, 16 or more): orthonormal columns U."""
    mean: Path | None = None
    """.npy (212,)."""
    codes: Path | None = None
    """Folder of .npy (128,), one for each emotion."""


@dataclass(frozen=True)
class Imported:
    """What became of a file."""

    parameters: int
    tensors: int
    unused: tuple[str, ...]
    """Released names of what nothing calls."""
    files: tuple[str, ...]


Writer = Callable[[dict[str, Tensor], Path], None]


@dataclass(frozen=True)
class Kind:
    """A kind of released checkpoint."""

    summary: str
    keys: Callable[[], names.Keys]
    writer: Callable[[Extras], Writer]
    """Reads what else is needed, and returns what writes a stage's files."""


def import_checkpoint(kind: str, path: Path, out: Path, extras: Extras | None = None) -> Imported:
    """Read a released checkpoint and write it into a new folder.

    Raises:
        InputError: the file, an extra or the folder cannot be used; nothing is written.
        StorageError: the folder could not be written.
    """
    _require_new(out)
    write = KINDS[kind].writer(extras or Extras())
    keys = KINDS[kind].keys()
    state = read_tensors(path, keys, {name: other.keys() for name, other in KINDS.items()})
    files = _publish(out, lambda folder: write(our_tensors(state, keys), folder))
    parameters = [name for name in state if "running_" not in name and not name.endswith(names.COUNTER)]
    return Imported(
        parameters=sum(state[name].numel() for name in parameters if keys[name].ours is not None),
        tensors=len(state),
        unused=tuple(sorted(name for name in state if keys[name].ours is None)),
        files=files,
    )


def import_face_model(path: Path, out: Path) -> Imported:
    """Read `base_weight.pickle` and write it into a new folder.

    Raises:
        InputError: the file or the folder cannot be used; nothing is written.
        StorageError: the folder could not be written.
    """

    _require_new(out)

    def write(folder: Path) -> None:
        try:
            bfm.convert(path, folder / "base_weight.safetensors")
        except ArtefactError as error:
            raise InputError(str(error)) from error

    size = 3 * bfm.VERTICES * (1 + bfm.SHAPES + bfm.EXPRESSIONS)
    return Imported(size, 2, (), _publish(out, write))


def our_tensors(state: Mapping[str, Tensor], keys: names.Keys) -> dict[str, Tensor]:
    """The tensors by our names, float32. A counter that an old file lacks is 0."""
    tensors = {}
    for name, entry in keys.items():
        if entry.ours is None:
            continue
        found = state.get(name)
        whole = torch.int64 if name.endswith(names.COUNTER) else torch.float32
        tensors[entry.ours] = torch.zeros(entry.shape, dtype=whole) if found is None else found.to(whole)
    return tensors


def _require_new(out: Path) -> None:
    if out.is_symlink() or (out.exists() and not (out.is_dir() and not any(out.iterdir()))):
        raise InputError(f"{out} is there already: name a new folder")
    check_output_folder(out, "--out")


def _publish(out: Path, write: Callable[[Path], None]) -> tuple[str, ...]:
    """Let a folder appear with all its files or not at all."""
    with storage_faults(f"writing {out}"):
        if out.is_dir():
            # It may be a mount point, which cannot be renamed over.
            with filled_folder(out, last="") as folder:
                write(folder)
            return tuple(sorted(file.name for file in out.iterdir()))
        out.parent.mkdir(parents=True, exist_ok=True)
        folder = Path(tempfile.mkdtemp(prefix=".", dir=out.parent))
        try:
            write(folder)
            folder.chmod(0o755)
            publish_folder(folder, out)
        except BaseException:
            shutil.rmtree(folder, ignore_errors=True)
            raise
    return tuple(sorted(file.name for file in out.iterdir()))


def _landmark_writer(extras: Extras) -> Writer:
    if extras.pca is None or extras.mean is None:
        raise InputError(
            "the landmark network predicts PCA coefficients: give --pca U.npy and --mean mean.npy"
        )
    components = read_npy(extras.pca, ((COORDINATES, None),))
    mean = read_npy(extras.mean, ((COORDINATES,),))
    components = components[:, :NUM_COMPONENTS]
    if components.shape[1] < NUM_COMPONENTS or not _orthonormal(components):
        raise InputError(
            f"{extras.pca} is no PCA basis: expected {NUM_COMPONENTS} orthonormal columns or more"
        )
    codes = EmotionCodes({} if extras.codes is None else _codes(extras.codes))
    pca = LandmarkPCA(mean, np.ascontiguousarray(components))

    def write(tensors: dict[str, Tensor], folder: Path) -> None:
        with torch.device("meta"):
            network = AudioToLandmarks(AudioToLandmarksSizes())
        network.load_state_dict(tensors, assign=True)
        LandmarkPredictor(network, pca, pooling="none", use_emotion=True, codes=codes).save(folder)

    return write


def _orthonormal(columns: np.ndarray) -> bool:
    return bool(np.abs(columns.T @ columns - np.eye(columns.shape[1])).max() < 1e-3)


def _codes(folder: Path) -> dict[str, np.ndarray]:
    paths = sorted(folder.glob("*.npy")) if folder.is_dir() else []
    if not paths:
        raise InputError(f"{folder} is no folder with emotion codes: expected happy.npy, sad.npy, ...")
    codes = {}
    for path in paths:
        if not re.fullmatch(r"[A-Za-z0-9_-]+", path.stem):
            raise InputError(f"{path} is not named after an emotion")
        code = read_npy(path, ((AudioToLandmarksSizes().emotion_dim,),))
        if code.min() < 0:
            raise InputError(
                f"{path} is no emotion code: its least value is {code.min():g}, expected 0 or more"
            )
        codes[RELABELLED.get(path.stem, path.stem)] = code
    return codes


def _write_disentangler(tensors: dict[str, Tensor], folder: Path) -> None:
    for part in ("content", "emotion", "decoder"):
        members = {n.removeprefix(f"{part}."): t for n, t in tensors.items() if n.startswith(f"{part}.")}
        save_state(folder / f"{part}.safetensors", members)


def _write_emotion(tensors: dict[str, Tensor], folder: Path) -> None:
    save_state(classifier_file(folder), tensors)


def _write_atvgnet(tensors: dict[str, Tensor], folder: Path) -> None:
    save_state(folder / "content.safetensors", tensors)


def _write_renderer(tensors: dict[str, Tensor], folder: Path) -> None:
    write_renderer(tensors, folder, names.PAPER_RENDERER)


def write_renderer(tensors: Mapping[str, Tensor], folder: Path, sizes: RendererSizes) -> None:
    """A generator's weights as `Renderer.load` reads them."""
    save_state(folder / WEIGHTS, tensors)
    (folder / SIZES).write_text(json.dumps(asdict(sizes), indent=1) + "\n", encoding="utf-8")


KINDS: Mapping[str, Kind] = {
    "landmarks": Kind("audio to landmarks (M003_20.pth)", names.landmark_keys, _landmark_writer),
    "disentangle": Kind(
        "encoders, classifier and decoder of the disentanglement (99_pretrain.pth)",
        names.disentangle_keys,
        lambda _: _write_disentangler,
    ),
    "emotion": Kind("emotion classifier (SER_99.pkl)", names.emotion_keys, lambda _: _write_emotion),
    "atvgnet": Kind(
        "ATVGnet's audio encoder (atnet_lstm_18.pth)", names.atvgnet_keys, lambda _: _write_atvgnet
    ),
    "renderer": Kind(
        "vid2vid's generator (latest_net_G0.pth)", names.renderer_keys, lambda _: _write_renderer
    ),
}
FACE_MODEL = "face-model"
