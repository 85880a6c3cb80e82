"""The networks that `scale=paper` composes, to the last shape and parameter; nothing is computed.

`scale=small` builds the same classes, so that what holds of the layers here holds of its own.
"""

from __future__ import annotations

from math import prod
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from benchmark.config import instantiate, parse
from models.disentangle.content import ContentEncoder
from models.disentangle.cross import Disentangler
from models.disentangle.decoder import Decoder
from models.disentangle.emotion import EmotionClassifier, EmotionEncoder
from models.importing.names import UNUSED_HEAD, UNUSED_IDENTITY
from models.landmarks.network import AudioToLandmarks
from models.method import Method
from models.rendering.discriminators import MultiScaleDiscriminator
from models.rendering.generator import Generator, ResidualBlock
from tests import paper_scale

EMOTIONS = 8
BATCH = 2


def parameters(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def learned(shapes: dict[str, tuple[int, ...]]) -> int:
    """Parameters among a checkpoint's entries, which hold running statistics too."""
    return sum(prod(shape) for name, shape in shapes.items() if "running_" not in name)


def outputs(layers: nn.Sequential, inputs: Tensor) -> list[tuple[int, ...]]:
    """Shape of each layer's output, without the batch."""
    shapes = []
    for layer in layers:
        inputs = layer(inputs)
        shapes.append(tuple(inputs.shape[1:]))
    return shapes


def weights(module: nn.Module) -> list[tuple[int, ...]]:
    """Shapes of its convolutions' and linear layers' weights, in order."""
    kinds = (nn.Conv2d, nn.ConvTranspose2d, nn.Linear)
    return [tuple(part.weight.shape) for part in module.modules() if isinstance(part, kinds)]


@pytest.fixture(scope="module")
def windows() -> Tensor:
    return torch.empty(BATCH, 1, 28, 12, device="meta")


@pytest.fixture(scope="module")
def classifier() -> EmotionClassifier:
    with torch.device("meta"):
        return EmotionClassifier(num_emotions=EMOTIONS, **paper_scale.stage("emotion_classifier").sizes)


@pytest.fixture(scope="module")
def disentangler() -> Disentangler:
    with torch.device("meta"):
        return paper_scale.stage("disentangle").sizes.build(EMOTIONS)


@pytest.fixture(scope="module")
def network() -> AudioToLandmarks:
    with torch.device("meta"):
        return AudioToLandmarks(paper_scale.stage("landmarks").sizes)


@pytest.fixture(scope="module")
def generator() -> Generator:
    with torch.device("meta"):
        return paper_scale.stage("renderer").sizes.generator()


# Encoders and decoder


def test_emotion_classifier_has_8_107_592_parameters(classifier: EmotionClassifier) -> None:
    assert parameters(classifier) == 8_107_592
    assert parameters(classifier.head) == learned(UNUSED_HEAD) == 1_032


def test_emotion_encoder_layer_by_layer(classifier: EmotionClassifier, windows: Tensor) -> None:
    encoder = classifier.encoder
    assert outputs(encoder.features, windows.transpose(2, 3)) == [
        (64, 12, 28), (64, 12, 13), (128, 12, 13), (256, 12, 13), (256, 1, 13), (512, 1, 13), (512, 1, 6),
    ]  # fmt: skip
    assert weights(encoder) == [
        (64, 1, 3, 3), (128, 64, 3, 3), (256, 128, 3, 3), (512, 256, 3, 3), (2048, 3072), (128, 2048),
    ]  # fmt: skip
    assert all(part.bias is None for part in encoder.modules() if isinstance(part, nn.Conv2d))
    assert isinstance(encoder.embedding[-1], nn.ReLU)
    assert classifier(windows).shape == (BATCH, 8)


def test_content_encoder_layer_by_layer(disentangler: Disentangler, windows: Tensor) -> None:
    encoder = disentangler.content
    assert outputs(encoder.features, windows) == [
        (64, 28, 12), (128, 28, 12), (128, 26, 5), (256, 26, 5), (256, 26, 5), (512, 26, 5), (512, 12, 2),
    ]  # fmt: skip
    assert weights(encoder) == [
        (64, 1, 3, 3), (128, 64, 3, 3), (256, 128, 3, 3), (256, 256, 3, 3), (512, 256, 3, 3),
        (2048, 12288), (256, 2048),
    ]  # fmt: skip
    assert all(part.bias is None for part in encoder.modules() if isinstance(part, nn.Conv2d))
    assert isinstance(encoder.embedding[-1], nn.ReLU)
    assert encoder(windows).shape == (BATCH, 256)


def test_decoder_layer_by_layer(disentangler: Disentangler) -> None:
    codes = torch.empty(BATCH, 384, 1, 1, device="meta")
    layers = disentangler.decoder.layers
    assert outputs(layers, codes)[0::3] == [
        (256, 4, 4), (128, 8, 6), (64, 16, 12), (32, 28, 12), (1, 28, 12),
    ]  # fmt: skip
    assert weights(layers) == [
        (384, 256, 6, 6), (256, 128, 4, 2), (128, 64, 4, 4), (64, 32, 4, 3), (32, 1, 3, 3),
    ]  # fmt: skip
    assert all(part.bias is not None for part in layers if isinstance(part, nn.ConvTranspose2d))
    content, emotion = torch.empty(BATCH, 256, device="meta"), torch.empty(BATCH, 128, device="meta")
    assert disentangler.decoder(content, emotion).shape == (BATCH, 1, 28, 12)


def test_disentangler_is_the_released_one_without_its_unused_parts(disentangler: Disentangler) -> None:
    """The checkpoint's 74,053,713 are ours and 36 million of sub-networks that nothing calls."""
    unused = learned(UNUSED_HEAD) + learned(UNUSED_IDENTITY)
    assert parameters(disentangler) + unused == 74_053_713


def test_every_stage_uses_the_same_encoders(
    classifier: EmotionClassifier, disentangler: Disentangler, network: AudioToLandmarks
) -> None:
    def shapes(module: nn.Module) -> dict[str, tuple[int, ...]]:
        return {name: tuple(tensor.shape) for name, tensor in module.state_dict().items()}

    assert shapes(classifier) == shapes(disentangler.emotion)
    assert shapes(classifier.encoder) == shapes(network.emotion)
    assert shapes(disentangler.content) == shapes(network.content)


# Audio to landmarks


def test_landmark_network_has_38_314_512_of_the_38_315_544_parameters(network: AudioToLandmarks) -> None:
    """The released count includes the emotion classifier's last layer, 128 x 8 + 8, which nothing calls."""
    assert parameters(network) == 38_314_512
    assert parameters(network) + learned(UNUSED_HEAD) == 38_315_544


def test_landmark_network_layer_by_layer(network: AudioToLandmarks) -> None:
    assert weights(network.identity) == [(256, 16), (512, 256)]
    assert isinstance(network.identity[-1], nn.ReLU)
    assert {name: tuple(tensor.shape) for name, tensor in network.lstm.named_parameters()} == {
        "weight_ih_l0": (1024, 896),
        **{f"weight_ih_l{layer}": (1024, 256) for layer in (1, 2)},
        **{f"weight_hh_l{layer}": (1024, 256) for layer in range(3)},
        **{f"bias_{part}_l{layer}": (1024,) for part in ("ih", "hh") for layer in range(3)},
    }
    assert network.lstm.batch_first
    assert not network.lstm.bidirectional
    assert network.lstm.dropout == network.dropout.p == 0
    assert tuple(network.head.weight.shape) == (16, 256)
    content, emotion = (torch.empty(BATCH, 24, dim, device="meta") for dim in (256, 128))
    assert network(content, emotion, torch.empty(BATCH, 16, device="meta")).shape == (BATCH, 24, 16)


# Renderer


def test_generator_has_364_996_230_parameters_in_356_entries(generator: Generator) -> None:
    assert parameters(generator) == 364_996_230
    convolutions = [p for p in generator.modules() if isinstance(p, nn.Conv2d | nn.ConvTranspose2d)]
    norms = [part for part in generator.modules() if isinstance(part, nn.InstanceNorm2d)]
    assert all(part.bias is not None for part in convolutions)
    # vid2vid's batch norms keep three more tensors each, which are never read.
    assert 2 * len(convolutions) + 5 * len(norms) == 356


def test_generator_layer_by_layer(generator: Generator) -> None:
    residual = [(1024, 1024, 3, 3)] * 2
    down = [(256, 128, 3, 3), (512, 256, 3, 3), (1024, 512, 3, 3)]
    up = [(1024, 512, 3, 3), (512, 256, 3, 3), (256, 128, 3, 3)]
    assert weights(generator.encode_conditions) == [(128, 45, 7, 7), *down, *(5 * residual)]
    assert weights(generator.encode_history) == [(128, 6, 7, 7), *down, *(5 * residual)]
    assert weights(generator.decode_image) == weights(generator.decode_flow) == [*(4 * residual), *up]
    heads = (generator.image, generator.flow, generator.mask)
    assert [weights(head) for head in heads] == [[(n, 128, 7, 7)] for n in (3, 2, 1)]
    assert isinstance(generator.image[-1], nn.Tanh)
    assert isinstance(generator.mask[-1], nn.Sigmoid)
    assert generator.flow_reach == 20


def test_generator_sizes_at_512_pixels(generator: Generator) -> None:
    maps = torch.empty(1, 45, 512, 512, device="meta")
    assert _changes(outputs(generator.encode_conditions, maps)) == [
        (128, 512, 512), (256, 256, 256), (512, 128, 128), (1024, 64, 64),
    ]  # fmt: skip
    features = torch.empty(1, 1024, 64, 64, device="meta")
    for head in (generator.decode_image, generator.decode_flow):
        assert isinstance(head[0], ResidualBlock)
        assert _changes(outputs(head, features)) == [
            (1024, 64, 64), (512, 128, 128), (256, 256, 256), (128, 512, 512),
        ]  # fmt: skip
    history = torch.empty(1, 2, 3, 512, 512, device="meta")
    made = generator(maps.unflatten(1, (3, 15)), history)
    assert made.frame.shape == made.drawn.shape == made.moved.shape == (1, 3, 512, 512)
    assert made.flow.shape == (1, 2, 512, 512)
    assert made.mask.shape == (1, 1, 512, 512)


def _changes(shapes: list[tuple[int, ...]]) -> list[tuple[int, ...]]:
    """The shapes that differ from the one before; the outermost padding left out."""
    inner = [shape for shape in shapes if shape[-1] % 32 == 0]
    return [shape for k, shape in enumerate(inner) if k == 0 or shape != inner[k - 1]]


@pytest.mark.parametrize("inputs", [18, 13])
def test_discriminators_layer_by_layer(inputs: int) -> None:
    """18 channels: an edge map and its frame; 13: three frames and the two flows between them."""
    stage: Any = paper_scale.stage("renderer")
    with torch.device("meta"):
        judge = MultiScaleDiscriminator(
            inputs=inputs, width=stage.discriminator_width, scales=stage.discriminator_scales
        )
    assert len(judge.scales) == 2
    for scale in judge.scales:
        assert weights(scale) == [
            (64, inputs, 4, 4), (128, 64, 4, 4), (256, 128, 4, 4), (512, 256, 4, 4), (1, 512, 4, 4),
        ]  # fmt: skip
        norms = [part.num_features for part in scale.modules() if isinstance(part, nn.BatchNorm2d)]
        assert norms == [128, 256, 512]
    images = torch.empty(1, inputs, 512, 512, device="meta")
    assert [[tuple(layer.shape[1:]) for layer in scale] for scale in judge(images)] == [
        [(64, 257, 257), (128, 129, 129), (256, 65, 65), (512, 66, 66), (1, 67, 67)],
        [(64, 129, 129), (128, 65, 65), (256, 33, 33), (512, 34, 34), (1, 35, 35)],
    ]


def test_temporal_discriminators_judge_steps_of_one_and_three_frames() -> None:
    assert paper_scale.stage("renderer").temporal_strides == (1, 3)


# The scales


def test_small_networks_come_from_the_same_definitions() -> None:
    config = parse(["scale=small"]).method("evp", (), {"emotions": True, "frames": True})
    small = instantiate(config.config, "method", Method).stages()
    for name, stage in paper_scale.method().stages().items():
        assert type(small[name]) is type(stage)
    with torch.device("meta"):
        pairs: list[tuple[nn.Module, nn.Module]] = [
            (s["disentangle"].sizes.build(EMOTIONS), AudioToLandmarks(s["landmarks"].sizes))
            for s in (small, paper_scale.method().stages())
        ]
    for narrow, full in zip(*pairs, strict=True):
        kinds = [[type(part) for part in module.modules()] for module in (narrow, full)]
        assert kinds[0] == kinds[1]
        assert parameters(narrow) < parameters(full) / 10


@pytest.mark.parametrize("part", [EmotionEncoder, ContentEncoder, Decoder])
def test_defaults_of_the_networks_are_the_papers(part: type[nn.Module], disentangler: Disentangler) -> None:
    with torch.device("meta"):
        alone = part()
    (composed,) = [m for m in disentangler.modules() if type(m) is part]
    assert weights(alone) == weights(composed)
