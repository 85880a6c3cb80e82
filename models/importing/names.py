"""Names and shapes of every tensor in the released checkpoints, and which of ours each one is.

The one home of the released names. Their misspellings (`eocder`) are real. Shapes come from our own networks
at the paper's sizes, whose names differ from the released ones by a prefix only.

Source: the classes of the EVP, ATVGnet and vid2vid releases.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache

import torch
from torch import nn

from models.disentangle.content import ContentEncoder
from models.disentangle.cross import DisentanglerSizes
from models.disentangle.emotion import EmotionClassifier
from models.landmarks.network import AudioToLandmarks, AudioToLandmarksSizes
from models.rendering.renderer import RendererSizes
from models.types import MEAD_EMOTIONS

Shape = tuple[int, ...]


@dataclass(frozen=True)
class Entry:
    """A tensor of a released checkpoint."""

    shape: Shape
    ours: str | None = None
    """Its name in our network; None for what nothing calls."""
    needed: bool = True
    """False where some released files lack it."""


Keys = Mapping[str, Entry]
"""By released name."""

COUNTER = "num_batches_tracked"
"""Of each batch norm, in files from torch 0.4.1 on. It has no part in the outputs."""
STATISTICS = ("running_mean", "running_var", COUNTER)
DATA_PARALLEL = "module."
"""Before every name in a file saved from several GPUs, as the classifier's and ATVGnet's were."""

PAPER_DISENTANGLER = DisentanglerSizes(width=64, hidden=2048, decoder_width=32)
PAPER_RENDERER = RendererSizes(
    size=512,
    channels="full",
    width=128,
    downsamplings=3,
    encoder_blocks=5,
    decoder_blocks=4,
    kernel=7,
    flow_reach=20.0,
    start="released",
)

_CONTENT = {
    "content.features.": "con_encoder.audio_eocder.",
    "content.embedding.": "con_encoder.audio_eocder_fc.",
}
LANDMARKS = _CONTENT | {
    "emotion.features.": "emo_encoder.emotion_eocder.",
    "emotion.embedding.": "emo_encoder.emotion_eocder_fc.",
    "lstm.": "decoder.lstm.",
    "head.": "decoder.lstm_fc.0.",
    "identity.": "lm_encoder.lmark_encoder.",
}
"""Our names to the released ones, by prefix. `decoder` is the LSTM here and D in the other."""
DISENTANGLER = _CONTENT | {
    "emotion.encoder.features.": "emo_encoder.emotion_eocder.",
    "emotion.encoder.embedding.": "emo_encoder.emotion_eocder_fc.",
    "emotion.head.": "classify.last_fc.",
    "decoder.layers.": "decoder.decon.",
}
EMOTION = {
    "encoder.features.": "emotion_eocder.",
    "encoder.embedding.": "emotion_eocder_fc.",
    "head.": "last_fc.",
}
ATVGNET = {"features.": "audio_eocder.", "embedding.": "audio_eocder_fc."}


def _convolution(name: str, outputs: int, inputs: int) -> dict[str, Shape]:
    return {f"{name}.0.weight": (outputs, inputs, 3, 3), **_batch_norm(f"{name}.1", outputs)}


def _batch_norm(name: str, width: int) -> dict[str, Shape]:
    return {f"{name}.{part}": (width,) for part in ("weight", "bias", "running_mean", "running_var")}


def _linear(name: str, outputs: int, inputs: int) -> dict[str, Shape]:
    return {f"{name}.weight": (outputs, inputs), f"{name}.bias": (outputs,)}


UNUSED_HEAD = _linear("emo_encoder.last_fc", 8, 128)
"""The emotion encoder of both checkpoints keeps its classifier's layer, which nothing calls."""
UNUSED_IDENTITY = {
    **_convolution("emo_encoder.re_id.0", 1024, 512),
    **_convolution("emo_encoder.re_id.2", 1024, 1024),
    **_convolution("emo_encoder.re_id.3", 2048, 1024),
    **_linear("emo_encoder.re_id_fc.0", 512, 2048),
    **_linear("emo_encoder.re_id_fc.2", 128, 512),
}
"""Two sub-networks of the last release's emotion encoder that nothing calls. Older releases lack them."""
UNUSED_ATVGNET = {
    **_linear("lmark_encoder.0", 256, 6),
    **_linear("lmark_encoder.2", 512, 256),
    "lstm.weight_ih_l0": (1024, 768),
    **{f"lstm.weight_ih_l{layer}": (1024, 256) for layer in (1, 2)},
    **{f"lstm.weight_hh_l{layer}": (1024, 256) for layer in (0, 1, 2)},
    **{f"lstm.bias_{part}_l{layer}": (1024,) for part in ("ih", "hh") for layer in (0, 1, 2)},
    **_linear("lstm_fc.0", 6, 256),
}
"""ATVGnet's own landmark network. Only its audio encoder is wanted."""


@cache
def landmark_keys() -> Keys:
    """Audio to landmarks: 38,315,544 parameters with those of the unused head."""
    network = _on_meta(lambda: AudioToLandmarks(AudioToLandmarksSizes()))
    return _keys(network, lambda name: _renamed(name, LANDMARKS)) | _unused(UNUSED_HEAD)


@cache
def disentangle_keys() -> Keys:
    """E_c, E_e, C_e and D: 74,053,713 parameters with those that nothing calls."""
    model = _on_meta(lambda: PAPER_DISENTANGLER.build(len(MEAD_EMOTIONS)))
    unused = _unused(UNUSED_HEAD) | _unused(UNUSED_IDENTITY, needed=False)
    return _keys(model, lambda name: _renamed(name, DISENTANGLER)) | unused


@cache
def emotion_keys() -> Keys:
    """The emotion classifier: 8,107,592 parameters."""
    classifier = _on_meta(lambda: EmotionClassifier(num_emotions=len(MEAD_EMOTIONS)))
    return _keys(classifier, lambda name: _renamed(name, EMOTION))


@cache
def atvgnet_keys() -> Keys:
    """ATVGnet, whose audio encoder is the content encoder to start from: 30,071,750 parameters."""
    encoder = _on_meta(ContentEncoder)
    return _keys(encoder, lambda name: _renamed(name, ATVGNET)) | _unused(UNUSED_ATVGNET)


@cache
def renderer_keys(sizes: RendererSizes = PAPER_RENDERER) -> Keys:
    """vid2vid's composite generator: 356 tensors, 364,996,230 parameters.

    Its batch norms are run on the statistics of the image itself, so the running ones are not used.
    """
    generator = _on_meta(sizes.generator)
    keys = _keys(generator, lambda name: _released_generator_name(name, sizes.decoder_blocks))
    for name, module in generator.named_modules():
        if isinstance(module, nn.InstanceNorm2d):
            released = _released_generator_name(f"{name}.", sizes.decoder_blocks)
            keys |= _unused({released + part: (module.num_features,) for part in STATISTICS[:2]})
    return keys


def _released_generator_name(name: str, blocks: int) -> str:
    """model_res_* and model_up_* are one sequence of ours."""
    part, _, rest = name.partition(".")
    head = {"decode_image": "img", "decode_flow": "flow"}.get(part)
    if head is not None:
        index, _, rest = rest.partition(".")
        at = f"model_res_{head}.{index}" if int(index) < blocks else f"model_up_{head}.{int(index) - blocks}"
    else:
        at = {
            "encode_conditions": "model_down_seg",
            "encode_history": "model_down_img",
            "image": "model_final_img",
            "flow": "model_final_flow",
            "mask": "model_final_w",
        }[part]
    return f"{at}.{rest}".replace(".body.", ".conv_block.")


def _on_meta(build: Callable[[], nn.Module]) -> nn.Module:
    """A network without memory for its weights."""
    with torch.device("meta"):
        return build()


def _renamed(name: str, prefixes: Mapping[str, str]) -> str:
    (ours,) = [prefix for prefix in prefixes if name.startswith(prefix)]
    return prefixes[ours] + name[len(ours) :]


def _keys(module: nn.Module, released: Callable[[str], str]) -> dict[str, Entry]:
    return {
        released(name): Entry(tuple(tensor.shape), name, needed=not name.endswith(COUNTER))
        for name, tensor in module.state_dict().items()
    }


def _unused(shapes: Mapping[str, Shape], *, needed: bool = True) -> dict[str, Entry]:
    entries = {name: Entry(shape, needed=needed) for name, shape in shapes.items()}
    norms = [name.removesuffix("running_mean") for name in shapes if name.endswith("running_mean")]
    return entries | {norm + COUNTER: Entry((), needed=False) for norm in norms}
