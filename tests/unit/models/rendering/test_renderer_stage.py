from dataclasses import replace

import numpy as np
import pytest
import torch

from models.landmarks.topology import to_106
from models.rendering.cycle.canny import SoftCannyCycle
from models.rendering.cycle.landmarks import LandmarkCycle
from models.rendering.cycle.losses import CycleLosses
from models.rendering.cycle.sketch import SketchCycle
from models.rendering.edges import EdgeSketch
from models.rendering.generator import Rendering
from models.rendering.renderer import Renderer, RendererSizes
from models.rendering.sequences import (
    FIRST_HISTORY,
    FaceSequence,
    Windows,
    WindowSampler,
    damage,
    importance,
    mirrored,
    prepare,
)
from models.rendering.stage import AdversarialTraining, RendererStage, Schedule, triples
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


@pytest.mark.parametrize(("channels", "rounding"), [("line", "none"), ("full", "released")])
def test_every_condition_map_trains_and_renders(channels, rounding, puppets, plain_run, tmp_path):
    few = {"steps": 3, "channels": channels, "rounding": rounding, "validate_every": 0}
    RendererStage(**SMALL | few).run(puppets, {}, plain_run(tmp_path))
    renderer = Renderer.load(tmp_path, torch.device("cpu"))
    clip = puppets.validation[0]
    assert (renderer.sketch.channels, renderer.sketch.sub_pixel) == (channels, rounding == "none")
    assert renderer.render(clip.landmarks[:4], portrait(clip)).shape == (4, 32, 32, 3)


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
    terms |= {"motion_gan", "motion_features", "flow_warp_real", "frame_warp", "mask"}
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
    with pytest.raises(ValueError, match="unknown loss terms flow_wrap"):
        RendererStage(**{**SMALL, "loss": {"flow_wrap": 1.0}})
    with pytest.raises(ValueError, match="start: expected one of lead_in, still, released"):
        RendererStage(**SMALL, **{"start": "moving"})
    with pytest.raises(ValueError, match="recon_norm: expected l1 or l2"):
        RendererStage(**SMALL, **{"recon_norm": "l3"})
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
    with pytest.raises(ValueError, match=r"loss\.perceptual needs VGG-19"):
        RendererStage(**{**SMALL, "loss": {"perceptual": 2.0}})


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


def sampler(puppets, **changes) -> WindowSampler:
    sequences = prepare(puppets.train, EdgeSketch(channels="simple", size=32))
    keys = {"face": 0.0, "mouth": 0.0, "eyes": 0.0, "batch": 4, "steps": 2, "warm_up": 0, "damaged": 0.0}
    return WindowSampler(sequences=sequences, **{**keys, "start": "lead_in", "elsewhere": 1.0, **changes})


@pytest.mark.parametrize("start", FIRST_HISTORY)
def test_windows_start_from_a_history_like_that_in_use(puppets, start):
    numbers = np.arange(30, dtype=np.uint8)[:, None, None, None]
    frames, maps = (np.broadcast_to(k, (30, 3, 32, 32)) for k in (numbers, numbers + 100))
    sequence = FaceSequence(frames, maps, puppets.train[0].landmarks)
    draw = replace(sampler(puppets, start=start), sequences=[sequence])
    windows = draw(np.random.default_rng(0))
    shown = (windows.history[:, :, 0, 0, 0] * 255).round()
    step = {"lead_in": -1, "still": 0, "released": 1}[start]
    assert (shown[:, 1] - shown[:, 0]).tolist() == [step] * 4
    assert ((windows.conditions[:, :2, 0, 0, 0] * 255).round() - 100).tolist() == shown.tolist()
    assert len(set(shown[:, 0].tolist())) > 1


def test_a_mirrored_window_is_the_window_of_the_mirrored_subject(puppets):
    plain, flipped = sampler(puppets), sampler(puppets, flip=True, batch=8)
    share = np.mean([_is_mirrored(plain, flipped(np.random.default_rng(k))) for k in range(8)])
    assert 0.2 < share < 0.8
    clip, sketch = puppets.validation[0], EdgeSketch(channels="full", size=64)
    frame = np.asarray(clip.frames[0]).repeat(2, 0).repeat(2, 1)
    points = torch.from_numpy(to_106(clip.landmarks[:1]))
    drawn = torch.from_numpy(sketch.draw(points[0].numpy(), frame)[None])
    maps, turned = mirrored((drawn, points))
    again = sketch.draw(turned[0].numpy(), np.ascontiguousarray(frame[:, ::-1]))
    assert np.abs(maps[0].numpy().astype(int) - again)[1:].max() <= 3
    assert np.abs(maps[0].numpy().astype(int) - again).mean() < 2


def _is_mirrored(sampler: WindowSampler, windows: Windows) -> float:
    """Share of windows whose frames are found only when they are turned around."""
    frames = np.concatenate([s.frames for s in sampler.sequences]) / np.float32(255)
    found = [
        float(np.abs(frames - shown).sum((1, 2, 3)).min()) < 1e-3 for shown in windows.frames[:, 0].numpy()
    ]
    return 1 - float(np.mean(found))


class Follower(torch.nn.Module):
    """Shows which history it saw: red is a quarter of the sum of both frames'."""

    def forward(self, maps, history):
        frame = history[:, -1].clone()
        frame[:, 0] = (history[:, 0, 0] + history[:, 1, 0]) / 4
        return Rendering(frame, frame, frame, frame[:, :2], frame[:, :1])


@pytest.mark.parametrize("start", FIRST_HISTORY)
def test_a_roll_out_starts_from_the_targets_own_frames(puppets, start):
    clip = puppets.validation[0]
    frames = np.zeros((3, 32, 32, 3), np.uint8)
    frames[..., 0] = np.array([40, 120, 240])[:, None, None]
    sizes = RendererSizes(32, "simple", 4, 2, 1, 1, 3, 4.0, start)
    renderer = Renderer(sizes, Follower(), torch.device("cpu"))  # pyright: ignore[reportArgumentType]
    made = renderer.render(clip.landmarks[:4], Portrait("puppet", clip.landmarks[:3], frames))
    red = made[:, 0, 0, 0].tolist()
    assert len(made) == 4
    assert (
        red
        == {
            "lead_in": [40, 20, 15, 9],
            "still": [20, 15, 9, 6],
            "released": [40, 120, 40, 40],
        }[start]
    )
    one = renderer.render(clip.landmarks[:1], Portrait("puppet", clip.landmarks[:1], frames[:1]))
    assert one.shape == (1, 32, 32, 3)


def test_flow_terms_by_hand():
    """A ramp that moves by two pixels, a frame that is a little off, and a flow that is wrong."""
    training = object.__new__(AdversarialTraining)
    ramp = torch.arange(16.0).expand(1, 1, 3, 16, 16) / 64
    real = ramp + 2 / 64
    flow = torch.zeros(1, 2, 16, 16)
    flow[:, 0] = 2
    windows = Windows(torch.zeros(0), torch.zeros(0), ramp.repeat(1, 2, 1, 1, 1), real, *torch.zeros(2, 0))
    shown = ramp[:, 0] + 0.25
    frame, mask = real[:, 0] + 0.125, torch.full((1, 1, 16, 16), 0.5)
    terms = training._flow_terms(windows, [Rendering(frame, frame, shown, flow, mask)])
    inside, edge = 14 / 16, (1 / 64 + 2 / 64) / 16
    assert float(terms["flow_warp_real"]) == pytest.approx(edge, abs=1e-6)
    assert float(terms["flow_warp"]) == pytest.approx(0.25 - 2 / 64, abs=1e-6)
    trusted = 1 - (3 * (2 / 64) ** 2 >= 0.005) / 16 - (3 * (1 / 64) ** 2 >= 0.005) / 16
    assert trusted >= inside
    assert float(terms["frame_warp"]) == pytest.approx(abs(0.125 + 2 / 64 - 0.25) * trusted, abs=1e-6)
    assert float(terms["mask"]) == pytest.approx(0.5 * trusted)
    away = torch.zeros_like(flow) - 12
    lost = training._flow_terms(windows, [Rendering(frame, frame, shown, away, mask)])
    assert float(lost["mask"]) < 0.1


def test_a_cycle_is_learned_first_and_weight_zero_changes_no_bit(puppets, plain_run, tmp_path):
    """So a cycle's renderer starts from the weights and sees the batches of the one without."""
    small = {"width": 4, "levels": 2, "steps": 2, "batch": 2}
    weights = {}
    for name, weight in (("none", None), ("zero", 0.0), ("one", 1.0)):
        cycle = CycleLosses()
        if weight is not None:
            cycle = CycleLosses(
                canny=SoftCannyCycle(weight=weight, begin=0.0),
                sketch=SketchCycle(weight=weight, backward_weight=weight, **small),
                landmarks=LandmarkCycle(weight=weight, **small),
            )
        (tmp_path / name).mkdir()
        run = plain_run(tmp_path / name)
        RendererStage(**{**SMALL, "steps": 3}, cycle=cycle).run(puppets, {}, run)
        weights[name] = (tmp_path / name / "generator.safetensors").read_bytes()
        logged = [key for row in run.rows for key in row]
        learned = ("sketcher_on_real_frames", "regressor_error_on_real_frames", "generator/recon")
        if weight is not None:
            assert [logged.index(key) for key in learned] == sorted(logged.index(key) for key in learned)
            assert {"generator/cycle_canny", "generator/cycle_landmarks"} <= set(logged)
    assert weights["zero"] == weights["none"]
    assert weights["one"] != weights["none"]
