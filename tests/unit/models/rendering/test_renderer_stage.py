from dataclasses import replace

import numpy as np
import pytest
import torch

from models.rendering.renderer import Renderer
from models.rendering.sequences import damage, importance
from models.rendering.stage import RendererStage, Schedule, triples
from models.types import Portrait

SMALL = {
    "size": 32,
    "channels": "simple",
    "width": 8,
    "downsamplings": 2,
    "encoder_blocks": 1,
    "decoder_blocks": 1,
    "kernel": 3,
    "flow_reach": 4.0,
    "discriminator_width": 8,
    "discriminator_scales": 1,
    "temporal_strides": [1],
    "steps": 160,
    "batch": 2,
    "rollout": 2,
    "learning_rate": 2e-3,
    "discriminator_learning_rate": 1e-3,
    "loss": {"recon": 20.0, "drawn_recon": 10.0, "flow_warp": 5.0},
    "validate_every": 80,
    "validation_clips": 1,
}


def portrait(clip) -> Portrait:
    return Portrait(clip.speaker, clip.landmarks, np.asarray(clip.frames))


@pytest.fixture(scope="module")
def trained(puppets, plain_run, tmp_path_factory):
    torch.set_num_threads(1)
    directory = tmp_path_factory.mktemp("stage")
    run = plain_run(directory)
    RendererStage(**SMALL).run(puppets, {}, run)
    return directory, run


def test_a_trained_renderer_beats_pasting_the_first_frame_over_a_long_roll_out(trained, puppets):
    clip = puppets.validation[0]
    made = Renderer.load(trained[0], torch.device("cpu")).render(clip.landmarks, portrait(clip))
    real = np.asarray(clip.frames).astype(int)
    error = np.abs(made - real).mean((1, 2, 3))
    pasted = np.abs(real[:1] - real).mean((1, 2, 3))
    assert error.mean() < 0.8 * pasted.mean()
    assert error[55:].mean() < 1.5 * error[5:30].mean() + 1
    assert made.shape == clip.frames.shape
    assert made.dtype == np.uint8


def test_the_mouth_follows_the_landmarks_not_the_target(trained, puppets, draw_puppet):
    clip = puppets.validation[0]
    still = clip.landmarks[:1]
    shut, wide = (_with_mouth(still, opening) for opening in (0.3, 1.6))
    renderer = Renderer.load(trained[0], torch.device("cpu"))
    made_shut, made_wide = (renderer.render(np.repeat(x, 6, 0), portrait(clip))[-1] for x in (shut, wide))
    change = made_wide.astype(float) - made_shut
    wanted = draw_puppet(wide[0], 32).astype(float) - draw_puppet(shut[0], 32)
    assert np.corrcoef(change.ravel(), wanted.ravel())[0, 1] > 0.5


def _with_mouth(landmarks: np.ndarray, opening: float) -> np.ndarray:
    moved = landmarks.copy()
    middle = moved[:, 48:68, 1].mean(1, keepdims=True)
    moved[:, 48:68, 1] = middle + opening * (moved[:, 48:68, 1] - middle)
    return moved


def test_rendering_repeats_to_the_bit_and_fits_targets_of_other_sizes(trained, puppets):
    clip = puppets.validation[0]
    renderer = Renderer.load(trained[0], torch.device("cpu"))
    first = renderer.render(clip.landmarks[:5], portrait(clip))
    np.testing.assert_array_equal(first, renderer.render(clip.landmarks[:5], portrait(clip)))
    large = np.repeat(np.repeat(np.asarray(clip.frames[:3]), 2, 1), 2, 2)
    again = renderer.render(clip.landmarks[:5], Portrait("puppet", clip.landmarks[:3], large))
    assert again.shape == (5, 64, 64, 3)


def test_every_term_and_the_validation_are_logged(trained):
    rows = trained[1].rows
    terms = {"recon", "drawn_recon", "flow_warp", "image_gan", "image_features"}
    terms |= {"motion_gan", "motion_features"}
    assert {f"generator/{t}" for t in terms} <= set(rows[-1])
    assert {f"validation/{t}" for t in ("recon", "face", "mouth", "dissimilarity")} <= set(rows[-1])
    assert rows[-1]["generator/recon"] < 0.5 * rows[1]["generator/recon"]


def test_training_repeats_to_the_bit(puppets, plain_run, tmp_path):
    weights = []
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        RendererStage(**{**SMALL, "steps": 3}).run(puppets, {}, plain_run(tmp_path / name))
        weights.append((tmp_path / name / "generator.safetensors").read_bytes())
    assert weights[0] == weights[1]


def test_what_cannot_be_trained_or_rendered_is_refused(puppets, trained, plain_run, tmp_path):
    with pytest.raises(ValueError, match="needs a corpus with video"):
        RendererStage(**SMALL).run(replace(puppets, train=()), {}, plain_run(tmp_path))
    with pytest.raises(ValueError, match="rollout of 5"):
        RendererStage(**{**SMALL, "temporal_strides": [3]})
    with pytest.raises(ValueError, match="multiple of 4"):
        RendererStage(**{**SMALL, "size": 50})
    clip = puppets.validation[0]
    renderer = Renderer.load(trained[0], torch.device("cpu"))
    with pytest.raises(ValueError, match="no frames"):
        renderer.render(clip.landmarks, Portrait("puppet", clip.landmarks, None))
    with pytest.raises(ValueError, match="finite"):
        renderer.render(np.full_like(clip.landmarks, np.nan), portrait(clip))


def test_perceptual_weights_are_read_or_refused(puppets, plain_run, tmp_path):
    stage = RendererStage(**SMALL, perceptual_weights=str(tmp_path / "vgg19.safetensors"))
    with pytest.raises(FileNotFoundError, match="VGG-19"):
        stage.run(puppets, {}, plain_run(tmp_path))


def test_the_learning_rate_is_held_then_falls_to_a_fiftieth():
    optimizer = torch.optim.Adam([torch.nn.Parameter(torch.zeros(1))], 1.0)
    schedule = Schedule([optimizer], 100)
    rates = []
    for _ in range(100):
        schedule.advance()
        rates.append(optimizer.param_groups[0]["lr"])
    assert rates[:50] == [1.0] * 50
    assert rates[74] == pytest.approx(0.5)
    assert rates[-1] == 0.02


def test_triples_end_in_a_drawn_frame():
    film = torch.arange(7.0).reshape(1, 7, 1, 1, 1).repeat(1, 1, 3, 1, 1)
    one = triples(film[:, :2], film[:, 2:], 1)[:, ::3, 0, 0]
    assert one.tolist() == [[0, 1, 2], [1, 2, 3], [2, 3, 4], [3, 4, 5], [4, 5, 6]]
    assert triples(film[:, :2], film[:, 2:], 3)[:, ::3, 0, 0].tolist() == [[0, 3, 6]]


def test_damage_changes_frames_a_little_and_repeats():
    frames = torch.rand(2, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    first, second = (damage(frames, np.random.default_rng(5)) for _ in range(2))
    assert torch.equal(first, second)
    assert 0 < (first - frames).abs().mean() < 0.3


def test_mistakes_at_lips_and_eyes_weigh_more(puppets):
    points = puppets.validation[0].landmarks[0]
    size = 64
    weight = importance(points, size, face=2.0, mouth=3.0, eyes=5.0)[0]

    def at(indices) -> float:
        x, y = (points[list(indices)].mean(0) * size / 256).astype(int)
        return float(weight[y, x])

    assert at(range(48, 60)) == 6
    assert at(range(36, 42)) == at(range(42, 48)) == 8
    assert at([27]) == 3, "the bridge of the nose"
    assert weight[0, 0] == 1
    only_eyes = importance(points, size, plain=0.0, eyes=1.0)[0]
    assert 0 < only_eyes.mean() < 0.05
