"""Outputs of the paper-size networks with weights from a formula, against those of the released classes.

The released parameter names are mapped to ours, so that this also proves every layout: the order in which
features are flattened and concatenated, gate order, and pooling.
"""

from __future__ import annotations

import re

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from models.audio.mfcc import mfcc, windows
from models.disentangle.decoder import Decoder
from models.landmarks.network import AudioToLandmarks, AudioToLandmarksSizes

OURS = {
    "con_encoder.audio_eocder.": "content.features.",
    "con_encoder.audio_eocder_fc.": "content.embedding.",
    "emo_encoder.emotion_eocder.": "emotion.features.",
    "emo_encoder.emotion_eocder_fc.": "emotion.embedding.",
    "decoder.lstm.": "lstm.",
    "decoder.lstm_fc.0.": "head.",
    "lm_encoder.lmark_encoder.": "identity.",
}
STATISTICS = ("weight", "bias", "running_mean", "running_var")


def released_name(name: str) -> str:
    for theirs, mine in OURS.items():
        if name.startswith(mine):
            return theirs + name[len(mine) :]
    raise KeyError(name)


def formula(position: int, name: str, shape: torch.Size) -> Tensor:
    """Values in [-1, 1) hashed from a name's position and an element's index, scaled by role."""
    index = np.arange(shape.numel(), dtype=np.uint64) + np.uint64(position * 1_000_003)
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


def fill(module: nn.Module, names: dict[str, str], extra: tuple[str, ...] = ()) -> None:
    """`names`: ours -> released. `extra`: released names we have no use for."""
    state = {k: v for k, v in module.state_dict().items() if not k.endswith("num_batches_tracked")}
    position = {name: j for j, name in enumerate(sorted([*names.values(), *extra]))}
    filled = {k: formula(position[names[k]], names[k], v.shape) for k, v in state.items()}
    module.load_state_dict(filled, strict=False)


@pytest.fixture(scope="module")
def inputs() -> Tensor:
    n = np.arange(16_000)
    waveform = 0.5 * np.sin(2 * np.pi * 440 * n / 16_000) + 0.1 * np.sin(2 * np.pi * 2500 * n / 16_000)
    return torch.from_numpy(windows(mfcc(waveform, pad_tail=False)).copy())[:, None]


@pytest.fixture(scope="module")
def network() -> AudioToLandmarks:
    network = AudioToLandmarks(AudioToLandmarksSizes())
    names = {k: released_name(k) for k in network.state_dict() if not k.endswith("num_batches_tracked")}
    fill(network, names, ("emo_encoder.last_fc.weight", "emo_encoder.last_fc.bias"))
    return network.eval()


def test_the_formula_itself() -> None:
    first = formula(0, "con_encoder.audio_eocder.0.0.weight", torch.Size((64, 1, 3, 3))).flatten()[:4]
    np.testing.assert_allclose(first, [-0.816497, 0.501743, 0.528728, 0.590790], atol=1e-6)


@torch.inference_mode()
def test_content(network: AudioToLandmarks, inputs: Tensor) -> None:
    content = network.content(inputs[10:11])[0]
    expected = [36.616829, 0, 60.510620, 95.044884, 0, 0, 0, 107.536041]
    np.testing.assert_allclose(content[:8], expected, rtol=1e-3)
    assert float(content.mean()) == pytest.approx(23.117998, rel=1e-3)
    assert float((content == 0).float().mean()) == pytest.approx(0.515625)


@torch.inference_mode()
def test_emotion(network: AudioToLandmarks, inputs: Tensor) -> None:
    emotion = network.emotion(inputs[10:11])[0]
    np.testing.assert_allclose(emotion[:8], [24.242180, 0, 48.391838, 0, 0, 0, 0, 0], rtol=1e-3)
    assert float(emotion.mean()) == pytest.approx(9.950127, rel=1e-3)
    assert float((emotion == 0).float().mean()) == pytest.approx(0.6015625)


@torch.inference_mode()
def test_identity(network: AudioToLandmarks) -> None:
    identity = network.identity(torch.zeros(1, 16))[0]
    np.testing.assert_allclose(identity[:6], [0, 0, 0, 0, 0, 0.007106], atol=1e-5)
    assert float(identity.mean()) == pytest.approx(0.0173466, rel=1e-3)


@torch.inference_mode()
def test_landmark_coefficients(network: AudioToLandmarks, inputs: Tensor) -> None:
    content, example = network.content(inputs)[None], torch.zeros(1, 16)
    coeffs = network(content, network.emotion(inputs)[None], example)
    first = [-0.022652, 0.008464, 0.195295, 0.086206, -0.048086, -0.039510, -0.091411, 0.056295]
    last = [0.066665, 0.182581, 0.154101, 0.147283, 0.138961, -0.166625, -0.206587, 0.435812]
    np.testing.assert_allclose(coeffs[0, 0, :8], first, atol=1e-3)
    np.testing.assert_allclose(coeffs[0, 23, :8], last, atol=1e-3)
    assert float(coeffs.mean()) == pytest.approx(0.0540881, abs=1e-4)
    assert float(coeffs.std()) == pytest.approx(0.2691227, rel=1e-3)

    code = torch.linspace(0, 1, 128).expand(1, 24, 128)
    expected = [-0.085330, 0.282627, -0.018389, 0.194135, 0.258423, 0.057839, -0.218166, 0.539922]
    np.testing.assert_allclose(network(content, code, example)[0, 23, :8], expected, atol=1e-3)


DEAD = {
    "re_id.0.0": (), "re_id.0.1": STATISTICS, "re_id.2.0": (), "re_id.2.1": STATISTICS,
    "re_id.3.0": (), "re_id.3.1": STATISTICS,
    "re_id_fc.0": ("weight", "bias"), "re_id_fc.2": ("weight", "bias"),
}  # fmt: skip
"""Parts of the released emotion network that nothing uses; they count among the sorted names."""


@torch.inference_mode()
def test_disentangler(inputs: Tensor) -> None:
    """The other released checkpoint, where `decoder` means D."""
    parts = AudioToLandmarks(AudioToLandmarksSizes())
    model = nn.ModuleDict(
        {
            "content": parts.content,
            "emotion": parts.emotion,
            "decoder": Decoder(),
            "head": nn.Linear(128, 8),
        }
    )

    def name(key: str) -> str:
        if key.startswith("decoder.layers."):
            return key.replace("decoder.layers.", "decoder.decon.")
        if key.startswith("head."):
            return key.replace("head.", "classify.last_fc.")
        return released_name(key)

    names = {key: name(key) for key in model.state_dict() if not key.endswith("num_batches_tracked")}
    dead = [f"emo_encoder.{part}.{s}" for part, stats in DEAD.items() for s in stats or ("weight",)]
    fill(model, names, (*dead, "emo_encoder.last_fc.weight", "emo_encoder.last_fc.bias"))
    model.eval()
    rebuilt = model["decoder"](model["content"](inputs[10:11]), model["emotion"](inputs[20:21]))[0, 0]
    assert float(rebuilt.mean()) == pytest.approx(8.158052, rel=1e-2)
    assert float(rebuilt.std()) == pytest.approx(85.774178, rel=1e-2)
    np.testing.assert_allclose(rebuilt[27, 8:], [-89.978683, 88.926224, 88.941505, 89.999992], atol=0.05)
    logits = model["head"](model["emotion"](inputs[20:21]))[0]
    expected = [0.637879, 49.356892, 6.394904, -45.627205, -39.729088, 7.144119, 21.947409, 7.835487]
    np.testing.assert_allclose(logits, expected, rtol=1e-3, atol=1e-2)
