"""The released names against the tables of the released classes, written out by hand."""

from __future__ import annotations

from dataclasses import asdict
from math import prod

import pytest

from models.importing.names import (
    COUNTER,
    PAPER_DISENTANGLER,
    PAPER_RENDERER,
    Keys,
    atvgnet_keys,
    disentangle_keys,
    emotion_keys,
    landmark_keys,
    renderer_keys,
)
from tests import paper_scale

CONTENT = {
    "audio_eocder.0.0.weight": (64, 1, 3, 3),
    "audio_eocder.1.0.weight": (128, 64, 3, 3),
    "audio_eocder.3.0.weight": (256, 128, 3, 3),
    "audio_eocder.4.0.weight": (256, 256, 3, 3),
    "audio_eocder.5.0.weight": (512, 256, 3, 3),
    "audio_eocder_fc.0.weight": (2048, 12288),
    "audio_eocder_fc.0.bias": (2048,),
    "audio_eocder_fc.2.weight": (256, 2048),
    "audio_eocder_fc.2.bias": (256,),
}
EMOTION = {
    "emotion_eocder.0.0.weight": (64, 1, 3, 3),
    "emotion_eocder.2.0.weight": (128, 64, 3, 3),
    "emotion_eocder.3.0.weight": (256, 128, 3, 3),
    "emotion_eocder.5.0.weight": (512, 256, 3, 3),
    "emotion_eocder_fc.0.weight": (2048, 3072),
    "emotion_eocder_fc.0.bias": (2048,),
    "emotion_eocder_fc.2.weight": (128, 2048),
    "emotion_eocder_fc.2.bias": (128,),
    "last_fc.weight": (8, 128),
    "last_fc.bias": (8,),
}
LSTM = {f"lstm.{part}_l{k}": (1024, 256) for part in ("weight_ih", "weight_hh") for k in (0, 1, 2)}
LSTM |= {f"lstm.{part}_l{k}": (1024,) for part in ("bias_ih", "bias_hh") for k in (0, 1, 2)}
NORM = ("weight", "bias", "running_mean", "running_var")


def with_norms(table: dict[str, tuple[int, ...]]) -> dict[str, tuple[int, ...]]:
    """Each convolution `x.0` has its batch norm `x.1`."""
    norms = {
        name.replace(".0.weight", f".1.{part}"): shape[:1]
        for name, shape in table.items()
        if len(shape) == 4
        for part in NORM
    }
    return table | norms


def under(prefix: str, table: dict[str, tuple[int, ...]]) -> dict[str, tuple[int, ...]]:
    return {prefix + name: shape for name, shape in table.items()}


def shapes(keys: Keys) -> dict[str, tuple[int, ...]]:
    return {name: entry.shape for name, entry in keys.items() if not name.endswith(COUNTER)}


def parameters(keys: Keys) -> int:
    return sum(prod(shape) for name, shape in shapes(keys).items() if "running_" not in name)


def unused(keys: Keys) -> set[str]:
    return {".".join(name.split(".")[:2]) for name, entry in keys.items() if entry.ours is None}


def test_landmarks() -> None:
    keys = landmark_keys()
    assert shapes(keys) == {
        **under("con_encoder.", with_norms(CONTENT)),
        **under("emo_encoder.", with_norms(EMOTION)),
        **under("decoder.", LSTM),
        "decoder.lstm.weight_ih_l0": (1024, 896),
        "decoder.lstm_fc.0.weight": (16, 256),
        "decoder.lstm_fc.0.bias": (16,),
        "lm_encoder.lmark_encoder.0.weight": (256, 16),
        "lm_encoder.lmark_encoder.0.bias": (256,),
        "lm_encoder.lmark_encoder.2.weight": (512, 256),
        "lm_encoder.lmark_encoder.2.bias": (512,),
    }
    assert parameters(keys) == 38_315_544
    assert unused(keys) == {"emo_encoder.last_fc"}


def test_disentanglement() -> None:
    keys = disentangle_keys()
    decoder: dict[str, tuple[int, ...]] = {
        "decoder.decon.0.weight": (384, 256, 6, 6),
        "decoder.decon.3.weight": (256, 128, 4, 2),
        "decoder.decon.6.weight": (128, 64, 4, 4),
        "decoder.decon.9.weight": (64, 32, 4, 3),
        "decoder.decon.12.weight": (32, 1, 3, 3),
    }
    decoder |= {name.replace("weight", "bias"): shape[1:2] for name, shape in decoder.items()}
    for index, width in ((1, 256), (4, 128), (7, 64), (10, 32)):
        decoder |= {f"decoder.decon.{index}.{part}": (width,) for part in NORM}
    identity = {
        "emo_encoder.re_id.0.0.weight": (1024, 512, 3, 3),
        "emo_encoder.re_id.2.0.weight": (1024, 1024, 3, 3),
        "emo_encoder.re_id.3.0.weight": (2048, 1024, 3, 3),
        "emo_encoder.re_id_fc.0.weight": (512, 2048),
        "emo_encoder.re_id_fc.0.bias": (512,),
        "emo_encoder.re_id_fc.2.weight": (128, 512),
        "emo_encoder.re_id_fc.2.bias": (128,),
    }
    assert shapes(keys) == {
        **under("con_encoder.", with_norms(CONTENT)),
        **under("emo_encoder.", with_norms(EMOTION)),
        **with_norms(identity),
        **decoder,
        "classify.last_fc.weight": (8, 128),
        "classify.last_fc.bias": (8,),
    }
    assert parameters(keys) == 74_053_713
    assert unused(keys) == {"emo_encoder.last_fc", "emo_encoder.re_id", "emo_encoder.re_id_fc"}
    assert not any(entry.needed for name, entry in keys.items() if ".re_id" in name)


def test_emotion_classifier() -> None:
    assert shapes(emotion_keys()) == with_norms(EMOTION)
    assert parameters(emotion_keys()) == 8_107_592
    assert not unused(emotion_keys())


def test_atvgnet() -> None:
    keys = atvgnet_keys()
    assert shapes(keys) == {
        **with_norms(CONTENT),
        **LSTM,
        "lstm.weight_ih_l0": (1024, 768),
        "lstm_fc.0.weight": (6, 256),
        "lstm_fc.0.bias": (6,),
        "lmark_encoder.0.weight": (256, 6),
        "lmark_encoder.0.bias": (256,),
        "lmark_encoder.2.weight": (512, 256),
        "lmark_encoder.2.bias": (512,),
    }
    assert parameters(keys) == 30_071_750
    assert all((entry.ours is not None) == name.startswith("audio_eocder") for name, entry in keys.items())


def generator() -> dict[str, tuple[int, ...]]:
    """vid2vid's composite generator of width 128 and 15 channels."""
    convolutions: dict[str, tuple[int, ...]] = {
        "model_down_seg.1": (128, 45, 7, 7),
        "model_down_img.1": (128, 6, 7, 7),
        "model_final_img.1": (3, 128, 7, 7),
        "model_final_flow.1": (2, 128, 7, 7),
        "model_final_w.1": (1, 128, 7, 7),
    }
    norms = {"model_down_seg.2": 128, "model_down_img.2": 128}
    for branch in ("model_down_seg", "model_down_img"):
        for index, width in ((4, 128), (7, 256), (10, 512)):
            convolutions[f"{branch}.{index}"] = (2 * width, width, 3, 3)
            norms[f"{branch}.{index + 1}"] = 2 * width
    blocks = [f"{b}.{k}" for b in ("model_down_seg", "model_down_img") for k in range(13, 18)]
    blocks += [f"{b}.{k}" for b in ("model_res_img", "model_res_flow") for k in range(4)]
    for block in blocks:
        for index in (1, 5):
            convolutions[f"{block}.conv_block.{index}"] = (1024, 1024, 3, 3)
            norms[f"{block}.conv_block.{index + 1}"] = 1024
    transposed = {
        f"{branch}.{index}": (2 * width, width, 3, 3)
        for branch in ("model_up_img", "model_up_flow")
        for index, width in ((0, 512), (3, 256), (6, 128))
    }
    norms |= {name[:-1] + str(int(name[-1]) + 1): shape[1] for name, shape in transposed.items()}
    table = {f"{name}.weight": shape for name, shape in (convolutions | transposed).items()}
    table |= {f"{name}.bias": shape[:1] for name, shape in convolutions.items()}
    table |= {f"{name}.bias": shape[1:2] for name, shape in transposed.items()}
    return table | {f"{name}.{part}": (width,) for name, width in norms.items() for part in NORM}


def test_renderer() -> None:
    keys = renderer_keys()
    assert shapes(keys) == generator()
    assert len(keys) == 356
    assert parameters(keys) == 364_996_230
    assert {name.rpartition(".")[2] for name, entry in keys.items() if entry.ours is None} == {
        "running_mean",
        "running_var",
        COUNTER,
    }


@pytest.mark.parametrize(
    "keys", [landmark_keys, disentangle_keys, emotion_keys, atvgnet_keys], ids=lambda keys: keys.__name__
)
def test_every_batch_norm_has_a_counter_that_may_be_missing(keys) -> None:
    counters = {name for name in keys() if name.endswith(COUNTER)}
    means = {name for name in keys() if name.endswith("running_mean")}
    assert counters == {name.replace("running_mean", COUNTER) for name in means}
    assert not any(keys()[name].needed for name in counters)


def test_sizes_are_those_of_the_paper_scale() -> None:
    assert paper_scale.stage("disentangle").sizes == PAPER_DISENTANGLER
    ours, imported = asdict(paper_scale.stage("renderer").sizes), asdict(PAPER_RENDERER)
    assert {name for name in ours if ours[name] != imported[name]} <= {"start"}
