"""Networks filled with weights from a formula, under the parameter names of the released checkpoints.

A name's place among the sorted names of its checkpoint and an element's index give its value, so that a
layout that differs (the order in which features are flattened or concatenated, gates, pooling) gives other
outputs. Names that we have no use for count among the sorted ones.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from functools import cache

import numpy as np
import torch
from torch import Tensor, nn

from models.disentangle.cross import Disentangler
from models.landmarks.network import AudioToLandmarks
from tests import paper_scale

ENCODERS = {
    "content.features.": "con_encoder.audio_eocder.",
    "content.embedding.": "con_encoder.audio_eocder_fc.",
}
LANDMARKS = ENCODERS | {
    "emotion.features.": "emo_encoder.emotion_eocder.",
    "emotion.embedding.": "emo_encoder.emotion_eocder_fc.",
    "lstm.": "decoder.lstm.",
    "head.": "decoder.lstm_fc.0.",
    "identity.": "lm_encoder.lmark_encoder.",
}
"""Our names to those of the released audio-to-landmark network."""
DISENTANGLER = ENCODERS | {
    "emotion.encoder.features.": "emo_encoder.emotion_eocder.",
    "emotion.encoder.embedding.": "emo_encoder.emotion_eocder_fc.",
    "emotion.head.": "classify.last_fc.",
    "decoder.layers.": "decoder.decon.",
}
UNUSED_HEAD = {"emo_encoder.last_fc.weight": (8, 128), "emo_encoder.last_fc.bias": (8,)}
"""The emotion encoder of both checkpoints keeps its classifier's layer, which nothing calls."""


def _convolution(name: str, outputs: int, inputs: int) -> dict[str, tuple[int, ...]]:
    norm = {f"{name}.1.{part}": (outputs,) for part in ("weight", "bias", "running_mean", "running_var")}
    return {f"{name}.0.weight": (outputs, inputs, 3, 3), **norm}


def _linear(name: str, outputs: int, inputs: int) -> dict[str, tuple[int, ...]]:
    return {f"{name}.weight": (outputs, inputs), f"{name}.bias": (outputs,)}


UNUSED_IDENTITY = {
    **_convolution("emo_encoder.re_id.0", 1024, 512),
    **_convolution("emo_encoder.re_id.2", 1024, 1024),
    **_convolution("emo_encoder.re_id.3", 2048, 1024),
    **_linear("emo_encoder.re_id_fc.0", 512, 2048),
    **_linear("emo_encoder.re_id_fc.2", 128, 512),
}
"""Two sub-networks of the last release's emotion encoder that nothing calls."""


def formula(position: int, name: str, shape: tuple[int, ...]) -> Tensor:
    """Values in [-1, 1) hashed from a name's position and an element's index, scaled by role."""
    index = np.arange(np.prod(shape), dtype=np.uint64) + np.uint64(position * 1_000_003)
    mask = np.uint64(2**32 - 1)
    h = (index * np.uint64(2654435761)) & mask
    h ^= h >> np.uint64(16)
    h = (h * np.uint64(2246822519)) & mask
    h ^= h >> np.uint64(13)
    u = h.astype(np.float64) / 2**31 - 1
    if name.endswith("running_var"):
        value = 1 + 0.5 * np.abs(u)
    elif name.endswith("running_mean"):
        value = 0.1 * u
    elif len(shape) >= 2:
        value = u * np.sqrt(6 / np.prod(shape[1:]))
    elif re.search(r"\.weight$", name):
        value = 1 + 0.1 * u
    else:
        value = 0.05 * u
    return torch.from_numpy(value.reshape(shape)).float()


def positions(names: Iterable[str]) -> dict[str, int]:
    return {name: position for position, name in enumerate(sorted(names))}


def fill(module: nn.Module, prefixes: Mapping[str, str], unused: Iterable[str]) -> None:
    """Fill a module by the released names that its own stand for; `unused` are the checkpoint's others."""
    state = {key: value for key, value in module.state_dict().items() if not key.endswith("batches_tracked")}
    released = {key: _released(key, prefixes) for key in state}
    position = positions([*released.values(), *unused])
    values = {k: formula(position[released[k]], released[k], tuple(v.shape)) for k, v in state.items()}
    missing = module.load_state_dict(values, strict=False).missing_keys
    assert all(key.endswith("batches_tracked") for key in missing)


def _released(key: str, prefixes: Mapping[str, str]) -> str:
    (match,) = [ours for ours in prefixes if key.startswith(ours)]
    return prefixes[match] + key[len(match) :]


@cache
def landmark_network() -> AudioToLandmarks:
    """The audio-to-landmark network of `scale=paper` in eval mode; the checkpoint of a subject."""
    network = AudioToLandmarks(paper_scale.stage("landmarks").sizes)
    fill(network, LANDMARKS, UNUSED_HEAD)
    return network.eval()


@cache
def disentangler() -> Disentangler:
    """E_c, E_e, C_e and D of `scale=paper` in eval mode; the checkpoint of the disentanglement."""
    model = paper_scale.stage("disentangle").sizes.build(8)
    fill(model, DISENTANGLER, [*UNUSED_HEAD, *UNUSED_IDENTITY])
    return model.eval()
