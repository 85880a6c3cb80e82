"""The content encoder learns from the lips, and the disentanglement starts where it ended."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from models.artefacts import ArtefactError, load_module, load_tensors, save_module
from models.audio.aligners import LinearAligner
from models.audio.features import FeaturesStage
from models.audio.mfcc import mfcc, windows
from models.audio.pairs import PairsStage
from models.disentangle.content import ContentEncoder
from models.disentangle.cross import DisentangleStage
from models.disentangle.emotion import EmotionClassifierStage
from models.disentangle.pretraining import (
    NAME,
    ATNet,
    ContentPretrainingStage,
    ImportedContentStage,
    _Sequences,
    content_file,
)
from models.landmarks.alignment import stabilise
from models.landmarks.pca import LandmarkPCA
from models.landmarks.topology import IBUG68
from models.sealed import write_sealed
from models.types import Clip

SIZES: dict[str, Any] = {"width": 4, "hidden": 32, "content_dim": 16}
MOUTH = list(IBUG68.regions["mouth"])


def stage(**changes: Any) -> ContentPretrainingStage:
    return ContentPretrainingStage(
        **SIZES, identity_hidden=16, identity_dim=16, lstm_hidden=32, num_components=2, steps=80, batch=8,
        validate_every=0, **changes,
    )  # fmt: skip


@pytest.fixture(scope="module")
def trained(tiny, bare_run, tmp_path_factory: pytest.TempPathFactory) -> Any:
    torch.set_num_threads(1)
    run = bare_run(tmp_path_factory.mktemp("content"))
    stage().run(tiny, {}, run)
    return run


def test_atnet_has_the_released_30_071_750_parameters() -> None:
    with torch.device("meta"):
        network = ATNet(ContentEncoder())
        made = network(torch.empty(2, 16, 1, 28, 12), torch.empty(2, 6))
    assert sum(parameter.numel() for parameter in network.parameters()) == 30_071_750
    assert tuple(network.lstm.weight_ih_l0.shape) == (1024, 768)
    assert made.shape == (2, 16, 6)


def test_examples_are_the_third_to_seventh_frame_of_an_lrw_clip_and_targets_follow(tmp_path: Path) -> None:
    """Coefficients that count frames, of a clip whose windows can be told apart."""
    rng = np.random.default_rng(0)
    waveform = rng.normal(0, 0.1, 29 * 640).astype(np.float32)
    rest = rng.uniform(50, 200, (68, 2))
    opening = np.zeros((68, 2))
    opening[57, 1] = 1.0
    write_sealed(tmp_path / "waveform.npy", waveform)
    write_sealed(
        tmp_path / "landmarks.npy", (rest + np.arange(29)[:, None, None] * opening).astype(np.float32)
    )
    clip = Clip("a", "A", "a", None, 1, tmp_path)
    faces = stabilise(clip.landmarks)[:, MOUTH]
    pca = LandmarkPCA.fit(faces, 1)
    slope = float(np.diff(pca.encode(faces)[:, 0]).mean())
    sequences = _Sequences([clip], MOUTH, pca, slope, torch.device("cpu"))
    assert len(sequences) == 5
    batch = sequences.examples(np.arange(5))
    zero = pca.encode(faces)[0, 0] / slope
    frames = (batch.example[:, 0].numpy() - zero).round().astype(int)
    assert frames.tolist() == [3, 4, 5, 6, 7]
    steps = (batch.coeffs[..., 0].numpy() - zero).round().astype(int)
    np.testing.assert_array_equal(steps, frames[:, None] + np.arange(1, 17))
    np.testing.assert_allclose(batch.windows[:, :, 0].numpy(), windows(mfcc(waveform))[steps])


def test_the_lips_are_predicted_better_than_by_their_mean(trained: Any) -> None:
    """Targets have variance 1 in the first component, so that their mean as a guess would score about 0.5."""
    losses = [row["coeffs"] for row in trained.rows if "step" in row]
    assert np.mean(losses[-10:]) < 0.5 * np.mean(losses[:5])
    assert trained.rows[-1]["coeffs"] < 0.3
    assert trained.rows[0]["training_clips"] == 4
    assert trained.rows[0]["validation_clips"] == 1


def test_the_disentanglement_starts_from_it(tiny, bare_run, trained: Any, tmp_path: Path) -> None:
    sizes = {"width": SIZES["width"], "hidden": SIZES["hidden"]}
    stages: dict[str, Any] = {
        "features": FeaturesStage(),
        "pairs": PairsStage(aligner=LinearAligner()),
        "emotion_classifier": EmotionClassifierStage(**sizes, dim=8, steps=1),
    }
    inputs: dict[str, Path] = {}
    for name, each in stages.items():
        (tmp_path / name).mkdir()
        each.run(tiny, inputs, bare_run(tmp_path / name))
        inputs[name] = tmp_path / name
    disentangle = DisentangleStage(**SIZES, emotion_dim=8, decoder_width=4)
    initial = disentangle._initial(3, {**inputs, NAME: trained.directory}, bare_run(tmp_path))
    learned = load_tensors(str(content_file(trained.directory)))
    for name, tensor in initial.content.state_dict().items():
        assert torch.equal(tensor, learned[name]), name
    random = disentangle._initial(3, inputs, bare_run(tmp_path))
    assert not torch.equal(
        random.content.features[0][0].weight,
        initial.content.features[0][0].weight,  # type: ignore[index]
    )
    for first, second in zip(random.decoder.parameters(), initial.decoder.parameters(), strict=True):
        assert torch.equal(first, second), "the other networks start as without it"


@dataclass
class _Outside:
    clips: tuple[Clip, ...]
    emotions: tuple[str, ...] = ()
    train: tuple[Clip, ...] = ()
    validation: tuple[Clip, ...] = ()

    def pretraining(self) -> Iterator[Clip]:
        yield from self.clips


def test_clips_from_outside_are_trained_on_and_every_tenth_validates(tiny, bare_run, tmp_path: Path) -> None:
    faceless = tmp_path / "faceless"
    faceless.mkdir()
    write_sealed(faceless / "waveform.npy", tiny.train[0].waveform)
    write_sealed(faceless / "landmarks.npy", np.full_like(tiny.train[0].landmarks, np.nan))
    data = _Outside((replace(tiny.train[0], id="faceless", directory=faceless), *tiny.train[:10]))
    run = bare_run(tmp_path)
    replace(stage(clips="outside", points="face"), steps=2).run(data, {}, run)
    assert run.rows[0] == {"training_clips": 9, "validation_clips": 1}
    load_module(content_file(tmp_path), ContentEncoder(width=4, hidden=32, dim=16))
    with pytest.raises(ValueError, match="needs clips with a face"):
        stage(clips="outside").run(_Outside(data.clips[:1]), {}, run)


def test_imported_weights_are_taken_as_they_are_or_refused(bare_run, tmp_path: Path) -> None:
    given = ContentEncoder(width=4, hidden=32, dim=16)
    save_module(tmp_path / "given.safetensors", given)
    run = bare_run(tmp_path)
    ImportedContentStage(weights=str(tmp_path / "given.safetensors"), **SIZES).run(_Outside(()), {}, run)
    taken = ContentEncoder(width=4, hidden=32, dim=16)
    load_module(content_file(tmp_path), taken)
    for first, second in zip(given.parameters(), taken.parameters(), strict=True):
        assert torch.equal(first, second)
    wide = ImportedContentStage(weights=str(tmp_path / "given.safetensors"))
    with pytest.raises(ArtefactError, match="another network"):
        wide.run(_Outside(()), {}, run)
    with pytest.raises(ArtefactError, match="missing"):
        ImportedContentStage(weights=str(tmp_path / "none")).run(_Outside(()), {}, run)
