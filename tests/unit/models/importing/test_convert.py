"""What is imported is read by our own loaders and does what the released network did."""

from __future__ import annotations

import pickle
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from models.artefacts import load_module
from models.disentangle.content import ContentEncoder
from models.disentangle.emotion import EmotionClassifier, classifier_file
from models.importing.__main__ import main
from models.importing.checkpoint import read_tensors
from models.importing.convert import _publish, our_tensors, write_renderer
from models.importing.names import PAPER_RENDERER, atvgnet_keys, emotion_keys, landmark_keys, renderer_keys
from models.landmarks.predictor import LandmarkPredictor
from models.rendering.renderer import Renderer
from tests.golden.formula import released_state

CPU = torch.device("cpu")


class Block(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv_block = nn.Sequential(
            nn.ReflectionPad2d(1),
            nn.Conv2d(width, width, 3),
            nn.BatchNorm2d(width),
            nn.ReLU(),
            nn.ReflectionPad2d(1),
            nn.Conv2d(width, width, 3),
            nn.BatchNorm2d(width),
        )

    def forward(self, x: Tensor) -> Tensor:
        return x + self.conv_block(x)


class ReleasedGenerator(nn.Module):
    """vid2vid's composite generator with its batch norms, written from its description and not from ours."""

    def __init__(self, width: int) -> None:
        super().__init__()

        def down(inputs: int) -> nn.Sequential:
            layers = [nn.ReflectionPad2d(3), nn.Conv2d(inputs, width, 7), nn.BatchNorm2d(width), nn.ReLU()]
            for wide in (width, 2 * width, 4 * width):
                layers += [nn.Conv2d(wide, 2 * wide, 3, 2, 1), nn.BatchNorm2d(2 * wide), nn.ReLU()]
            return nn.Sequential(*layers, *(Block(8 * width) for _ in range(5)))

        def up() -> nn.Sequential:
            layers = []
            for wide in (8 * width, 4 * width, 2 * width):
                layers += [
                    nn.ConvTranspose2d(wide, wide // 2, 3, 2, 1, 1),
                    nn.BatchNorm2d(wide // 2),
                    nn.ReLU(),
                ]
            return nn.Sequential(*layers)

        def final(outputs: int, *end: nn.Module) -> nn.Sequential:
            return nn.Sequential(nn.ReflectionPad2d(3), nn.Conv2d(width, outputs, 7), *end)

        self.model_down_seg, self.model_down_img = down(45), down(6)
        self.model_res_img = nn.Sequential(*(Block(8 * width) for _ in range(4)))
        self.model_res_flow = nn.Sequential(*(Block(8 * width) for _ in range(4)))
        self.model_up_img, self.model_up_flow = up(), up()
        self.model_final_img = final(3, nn.Tanh())
        self.model_final_flow, self.model_final_w = final(2), final(1, nn.Sigmoid())

    def forward(self, maps: Tensor, frames: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """maps (1, 45, h, w) in [0, 1], frames (1, 6, h, w) in [-1, 1] -> frame in [-1, 1], flow, weight."""
        both = self.model_down_seg(maps) + self.model_down_img(frames)
        drawn = self.model_final_img(self.model_up_img(self.model_res_img(both)))
        motion = self.model_up_flow(self.model_res_flow(both))
        flow, weight = self.model_final_flow(motion) * 20, self.model_final_w(motion)
        height, width = maps.shape[2:]
        x = torch.linspace(-1, 1, width).expand(1, 1, height, width)
        y = torch.linspace(-1, 1, height)[:, None].expand(1, 1, height, width)
        reach = torch.tensor([(width - 1) / 2, (height - 1) / 2])[:, None, None]
        grid = (torch.cat([x, y], 1) + flow / reach).permute(0, 2, 3, 1)
        moved = functional.grid_sample(frames[:, 3:], grid, "bilinear", "border", align_corners=True)
        return weight * drawn + (1 - weight) * moved, flow, weight


@pytest.fixture(scope="module")
def released() -> ReleasedGenerator:
    torch.manual_seed(0)
    network = ReleasedGenerator(4)
    for name, tensor in network.state_dict().items():
        if name.endswith("running_mean"):
            tensor.normal_()
        elif name.endswith("running_var"):
            tensor.uniform_(0.5, 2)
        elif name.endswith(("bias", ".2.weight", ".5.weight", ".6.weight")) and tensor.ndim == 1:
            tensor.normal_(0.3, 0.5)
    return network


@pytest.mark.parametrize("form", ["zip", "legacy"])
def test_the_imported_generator_draws_what_batch_norm_draws_in_training_mode(
    released, form, tmp_path
) -> None:
    sizes = replace(PAPER_RENDERER, width=4)
    keys = renderer_keys(sizes)
    assert released.state_dict().keys() == keys.keys()
    path = tmp_path / "latest_net_G0.pth"
    torch.save(released.state_dict(), path, _use_new_zipfile_serialization=form == "zip")
    (tmp_path / "ours").mkdir()
    write_renderer(our_tensors(read_tensors(path, keys, {}), keys), tmp_path / "ours", sizes)
    renderer = Renderer.load(tmp_path / "ours", CPU)

    maps, past = torch.rand(1, 3, 15, 64, 64), torch.rand(1, 2, 3, 64, 64)
    with torch.no_grad():
        ours = renderer.generator(maps, past)
        frame, flow, weight = released.train()(maps.flatten(1, 2), past.flatten(1, 2) * 2 - 1)
        settled, *_ = released.eval()(maps.flatten(1, 2), past.flatten(1, 2) * 2 - 1)
    assert flow.std() > 0.1
    torch.testing.assert_close(ours.frame, (frame + 1) / 2, rtol=0, atol=1e-5)
    torch.testing.assert_close(ours.flow, flow, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(ours.mask, weight, rtol=0, atol=1e-5)
    assert (settled - frame).abs().max() > 0.05


def test_a_renderer_is_written_as_the_stage_writes_it(released, tmp_path) -> None:
    sizes = replace(PAPER_RENDERER, width=4)
    keys = renderer_keys(sizes)
    write_renderer(our_tensors(released.state_dict(), keys), tmp_path, sizes)
    imported = Renderer.load(tmp_path, CPU)
    assert imported.sizes == sizes
    assert (imported.sketch.num_channels, imported.sketch.sub_pixel) == (15, True)
    assert not replace(sizes, rounding="released").sketch().sub_pixel
    imported.save(tmp_path)
    assert Renderer.load(tmp_path, CPU).sizes == sizes


# Through the command


def basis(folder: Path) -> list[str]:
    rng = np.random.default_rng(0)
    np.save(folder / "U.npy", np.linalg.qr(rng.normal(size=(212, 212)))[0].astype(np.float32))
    np.save(folder / "mean.npy", rng.uniform(0.2, 0.8, 212))
    codes = folder / "codes"
    codes.mkdir()
    for k, emotion in enumerate(["angry", "disgust", "angry4_neutral6"]):
        np.save(codes / f"{emotion}.npy", np.full(128, float(k), np.float32))
    return ["--pca", f"{folder / 'U.npy'}", "--mean", f"{folder / 'mean.npy'}", "--codes", f"{codes}"]


@pytest.fixture(scope="module")
def subject(tmp_path_factory) -> Path:
    """A landmark checkpoint as released, from the newest torch and with all its counters."""
    folder = tmp_path_factory.mktemp("subject")
    torch.save(released_state(landmark_keys(), counters=True), folder / "M003_20.pth")
    return folder


def test_a_landmark_predictor_comes_with_its_pca_and_codes(subject, tmp_path, capsys) -> None:
    extras = basis(tmp_path)
    out = tmp_path / "weights" / "M003"
    assert main(["landmarks", str(subject / "M003_20.pth"), *extras, "-o", str(out)]) == 0
    told = capsys.readouterr()
    assert "82 tensors, 38,314,512 parameters of ours" in told.out
    assert "2 tensors of emo_encoder.last_fc" in told.out
    assert told.err == ""
    assert [path.name for path in out.parent.iterdir()] == ["M003"]

    predictor = LandmarkPredictor.load(out, CPU)
    assert (predictor.pooling, predictor.use_emotion) == ("none", True)
    np.testing.assert_array_equal(predictor.code("disgusted"), np.ones(128))
    np.testing.assert_array_equal(predictor.code("angry4_neutral6"), np.full(128, 2.0))
    np.testing.assert_array_equal(predictor.pca.components, np.load(tmp_path / "U.npy")[:, :16])
    rng = np.random.default_rng(1)
    waveform = rng.normal(0, 0.05, 8000).astype(np.float32)
    for emotion in ({}, {"emotion_code": np.zeros(128, np.float32)}):
        landmarks = predictor.predict(waveform, **emotion)
        assert landmarks.shape[1:] == (106, 2)
        flat = landmarks.reshape(len(landmarks), -1) / 255 - predictor.pca.mean
        within = flat @ predictor.pca.components @ predictor.pca.components.T
        np.testing.assert_allclose(flat, within, atol=1e-5)
        assert np.abs(flat).max() > 1e-3


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda f: np.save(f / "U.npy", np.ones((212, 212))), "U.npy is no PCA basis"),
        (lambda f: np.save(f / "U.npy", np.eye(212)[:, :9]), "U.npy is no PCA basis"),
        (lambda f: np.save(f / "mean.npy", np.ones(136)), "(136,); expected (212,)"),
        (lambda f: np.save(f / "codes" / "sad.npy", np.full(128, -1.0)), "least value is -1"),
        (lambda f: np.save(f / "codes" / "sad.npy", np.ones(256)), "(256,); expected (128,)"),
        (lambda f: np.save(f / "codes" / "s d.npy", np.ones(128)), "not named after an emotion"),
        (lambda f: [path.unlink() for path in (f / "codes").iterdir()], "no folder with emotion codes"),
    ],
)
def test_what_comes_with_landmarks_is_checked_first(tmp_path, capsys, change, message) -> None:
    extras = basis(tmp_path)
    change(tmp_path)
    refused(["landmarks", "M003_20.pth", *extras, "-o", str(tmp_path / "out")], message, capsys)


def test_landmarks_need_their_pca(tmp_path, capsys) -> None:
    refused(["landmarks", "M003_20.pth", "-o", str(tmp_path / "out")], "give --pca", capsys)


def refused(arguments: list[str], message: str, capsys) -> None:
    """One line says why, and nothing is left behind."""
    out = Path(arguments[-1])
    before = set(out.parent.iterdir())
    assert main(arguments) == 2
    told = capsys.readouterr()
    assert told.out == ""
    assert message in told.err
    assert told.err.count("\n") == 1
    assert set(out.parent.iterdir()) == before


def test_the_classifier_and_atvgnet(tmp_path, capsys) -> None:
    released = {"emotion": released_state(emotion_keys()), "atvgnet": released_state(atvgnet_keys())}
    for kind, state in released.items():
        named = {f"module.{name}": tensor for name, tensor in state.items()}
        torch.save(named, tmp_path / f"{kind}.pth", _use_new_zipfile_serialization=False)
        assert main([kind, str(tmp_path / f"{kind}.pth"), "-o", str(tmp_path / kind)]) == 0
    told = capsys.readouterr().out
    assert "8,107,592 parameters" in told
    assert "lmark_encoder.0, lmark_encoder.2, lstm.bias_hh_l0" in told
    classifier, content = EmotionClassifier(num_emotions=8), ContentEncoder()
    load_module(classifier_file(tmp_path / "emotion"), classifier)
    load_module(tmp_path / "atvgnet" / "content.safetensors", content)
    torch.testing.assert_close(classifier.head.weight.data, released["emotion"]["last_fc.weight"])
    torch.testing.assert_close(
        content.state_dict()["embedding.2.weight"], released["atvgnet"]["audio_eocder_fc.2.weight"]
    )
    path, out = str(tmp_path / "emotion.pth"), str(tmp_path / "out")
    refused(["atvgnet", path, "-o", out], "it looks like 'emotion'", capsys)
    refused(["emotion", path, "-o", str(tmp_path / "atvgnet")], "name a new folder", capsys)
    refused(["emotion", str(tmp_path / "none.pth"), "-o", out], "missing", capsys)


def test_a_face_model_that_is_a_program_is_refused(tmp_path, capsys) -> None:
    (tmp_path / "base_weight.pickle").write_bytes(pickle.dumps({"base": print}))
    path = str(tmp_path / "base_weight.pickle")
    refused(["face-model", path, "-o", str(tmp_path / "out")], "builtins.print", capsys)


def test_usage(capsys) -> None:
    for arguments in (
        [],
        ["landmarks"],
        ["faces", "a.pth", "-o", "b"],
        ["emotion", "a", "-o", "b", "--pca", "c"],
    ):
        assert main(arguments) == 2
        assert capsys.readouterr().err.count("\n") == 1
    with pytest.raises(SystemExit) as end:
        main(["--help"])
    assert end.value.code == 0
    assert "latest_net_G0.pth" in capsys.readouterr().out


def test_a_folder_may_have_the_longest_name_there_is(tmp_path) -> None:
    out = tmp_path / ("x" * 255)
    assert _publish(out, lambda folder: (folder / "a").write_text("a") and None) == ("a",)
    assert [path.name for path in tmp_path.iterdir()] == [out.name]
