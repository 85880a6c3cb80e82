"""Cycle losses: where gradients go, and that a loss falls as what it looks for agrees."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import pytest
import torch
from torch import Tensor, nn

from models.rendering.cycle.canny import SoftCannyCycle, soft_edges
from models.rendering.cycle.landmarks import (
    LandmarkCycle,
    Regressor,
    landmark_disagreement,
    point_weights,
)
from models.rendering.cycle.losses import Cycle, CycleLosses, Drawn, guarded
from models.rendering.cycle.sketch import SketchCycle, sketch_distance
from models.rendering.edges import EdgeSketch, face_mask, frame_edges
from models.rendering.generator import Generator, initialise
from models.rendering.sequences import FaceSequence, Windows, prepare

SIZE = 64


@dataclass
class Run:
    """Trains without checkpoints."""

    device = torch.device("cpu")

    def __post_init__(self):
        self.rows: list[dict] = []
        self.names: list[str | None] = []

    def torch_generator(self, *purpose):
        return torch.Generator().manual_seed(3)

    def log(self, **values):
        self.rows.append(values)

    def fit(self, training):
        self.names.append(training.name)
        for step in range(training.steps):
            torch.manual_seed(step)
            batch = training.batch(np.random.default_rng(step))
            for player in training.players:
                player.optimizer.zero_grad()
                sum(player.loss(batch).values()).backward()
                player.optimizer.step()


@pytest.fixture(scope="module")
def sequence(puppets, draw_puppet) -> FaceSequence:
    """A puppet of 64 px before a wall with corners."""
    torch.set_num_threads(1)
    landmarks = puppets.validation[0].landmarks[:24]
    frames = np.stack([draw_puppet(points, SIZE) for points in landmarks])
    frames[:, :, -9:] = (20, 30, 40)
    frames[:, :8] = (220, 230, 240)
    maps = EdgeSketch(channels="simple", size=SIZE).draw_clip(landmarks, frames)
    return FaceSequence(np.ascontiguousarray(frames.transpose(0, 3, 1, 2)), maps, landmarks)


def windows_of(sequence: FaceSequence, start: int = 2, steps: int = 2) -> Windows:
    def part(values: np.ndarray, first: int, last: int) -> Tensor:
        return torch.from_numpy(np.ascontiguousarray(values[first:last])).float()[None].clone()

    frames, maps = sequence.frames / np.float32(255), sequence.conditions / np.float32(255)
    before = part(frames, start - 2, start)
    return Windows(
        part(maps, start - 2, start + steps),
        before,
        before,
        part(frames, start, start + steps),
        torch.ones(1, steps, 1, SIZE, SIZE),
        part(sequence.landmarks, start, start + steps),
    )


def generator() -> Generator:
    network = Generator(condition_channels=3, width=4, downsamplings=2, encoder_blocks=1, decoder_blocks=1)
    initialise(network, torch.Generator().manual_seed(0))
    return network


def loss_of(cycle: Cycle, windows: Windows, frames: Tensor, progress: float = 1.0) -> Tensor:
    torch.manual_seed(1)
    terms = cycle.terms(Drawn(windows, frames, generator(), progress))
    return next(iter(terms.values()))


def frozen(cycle: SketchCycle | LandmarkCycle) -> nn.Module:
    return cycle.sketcher if isinstance(cycle, SketchCycle) else cycle.regressor


@pytest.fixture(scope="module")
def cycles(sequence) -> dict[str, Cycle]:
    """Each cycle, its network trained on the puppet."""
    run = Run()
    shared = {"width": 8, "levels": 3, "steps": 120, "batch": 6, "learning_rate": 4e-3}
    found: dict[str, Cycle] = {
        "canny": SoftCannyCycle(),
        "sketch": SketchCycle(**shared),
        "landmarks": LandmarkCycle(**shared),
    }
    for cycle in found.values():
        cycle.learn([sequence], [], run)  # pyright: ignore[reportArgumentType]
    return found


def moved(frames: Tensor, shift: int) -> Tensor:
    return torch.roll(frames, shift, -1) if shift else frames


def blurred(frames: Tensor, sigma: float) -> Tensor:
    pictures = frames[0].permute(0, 2, 3, 1).numpy()
    soft = np.stack([cv2.GaussianBlur(np.ascontiguousarray(p), (0, 0), sigma) for p in pictures])
    return torch.from_numpy(soft.transpose(0, 3, 1, 2))[None]


every_cycle = pytest.mark.parametrize("name", ["canny", "sketch", "landmarks"])
learned = pytest.mark.parametrize("name", ["sketch", "landmarks"])


@every_cycle
def test_gradients_reach_the_picture_and_nothing_that_is_frozen(cycles, sequence, name):
    windows = windows_of(sequence)
    windows.frames.requires_grad_(True)
    frames = (blurred(windows.frames.detach(), 1.5) * 0.9).requires_grad_(True)
    loss_of(cycles[name], windows, frames).backward()
    assert frames.grad is not None
    assert frames.grad.isfinite().all()
    assert (frames.grad != 0).any()
    assert windows.frames.grad is None
    if name != "canny":
        network = frozen(cycles[name])
        assert all(p.grad is None and not p.requires_grad for p in network.parameters())
        assert not network.training


@every_cycle
def test_the_loss_falls_as_the_picture_nears_the_truth(cycles, sequence, name):
    windows = windows_of(sequence)
    # Edges of one pixel's width say no more how far apart they are once they are two pixels apart.
    shifts = (2, 1, 0) if name == "canny" else (6, 4, 2, 0)
    by_shift = [float(loss_of(cycles[name], windows, moved(windows.frames, k))) for k in shifts]
    assert by_shift == sorted(by_shift, reverse=True)
    assert float(loss_of(cycles[name], windows, moved(windows.frames, 8))) > by_shift[-2]
    by_blur = [float(loss_of(cycles[name], windows, blurred(windows.frames, s))) for s in (4.0, 2.0, 0.5)]
    assert by_blur == sorted(by_blur, reverse=True)
    assert by_shift[-1] < 0.5 * by_shift[0]


@every_cycle
def test_following_the_gradient_brings_the_picture_nearer(cycles, sequence, name):
    windows = windows_of(sequence)
    frames = blurred(windows.frames, 1.0)
    first = float(loss_of(cycles[name], windows, frames))
    for _ in range(12):
        frames = frames.detach().requires_grad_(True)
        loss_of(cycles[name], windows, frames).backward()
        assert frames.grad is not None
        frames = (frames - 0.02 * frames.grad / frames.grad.abs().max()).clamp(0, 1)
    assert loss_of(cycles[name], windows, frames).item() < first


@every_cycle
@pytest.mark.parametrize("picture", ["uniform", "black", "white", "noise"])
def test_pictures_without_a_face_have_a_finite_loss_and_gradient(cycles, sequence, name, picture):
    windows = windows_of(sequence)
    level = {"uniform": 0.5, "black": 0.0, "white": 1.0, "noise": 0.5}[picture]
    frames = torch.full_like(windows.frames, level)
    if picture == "noise":
        frames = torch.rand(frames.shape, generator=torch.Generator().manual_seed(0))
    frames.requires_grad_(True)
    loss = loss_of(cycles[name], windows, frames)
    loss.backward()
    assert loss.isfinite()
    assert loss > loss_of(cycles[name], windows, windows.frames)
    assert frames.grad is not None
    assert frames.grad.isfinite().all()


@every_cycle
def test_weight_grows_from_nothing(sequence, cycles, name):
    windows = windows_of(sequence)
    frames = moved(windows.frames, 3)
    cycle = cycles[name]
    assert float(loss_of(cycle, windows, frames, progress=0.0)) == 0
    assert cycle.share(cycle.begin + cycle.ramp) == 1
    if cycle.ramp:
        assert cycle.share(cycle.begin + cycle.ramp / 4) == pytest.approx(0.25)


# Soft Canny


def test_soft_edges_lie_where_cannys_are(sequence):
    frames = torch.from_numpy(sequence.frames[:4] / np.float32(255))
    soft = soft_edges(frames, 0.02)[:, 0].numpy() > 0.25
    for found, picture in zip(soft, sequence.frames[:4], strict=True):
        hard = frame_edges(np.ascontiguousarray(picture.transpose(1, 2, 0))) > 0
        near = cv2.dilate(hard.astype(np.uint8), np.ones((3, 3), np.uint8)) > 0
        assert (found & near).sum() > 0.9 * found.sum()
        near = cv2.dilate(found.astype(np.uint8), np.ones((3, 3), np.uint8)) > 0
        assert (hard & near).sum() > 0.9 * hard.sum()


def test_a_step_edge_has_a_line_and_a_faint_one_has_none():
    picture = torch.zeros(1, 3, 16, 16)
    picture[..., 8:] = 1
    edges = soft_edges(picture, 0.02)[0, 0]
    assert edges[:, 7:9].sum(1).min() > 0.4
    assert edges[:, :5].max() < 0.01
    assert edges[:, 11:].max() < 0.01
    assert soft_edges(picture * 0.02, 0.02).max() < 0.01


def test_soft_canny_does_not_punish_what_is_inside_the_face(cycles, sequence):
    windows = windows_of(sequence)
    inside = np.stack([face_mask(x, SIZE, margin=-0.0) for x in windows.landmarks[0].numpy()])
    inside = np.stack([cv2.erode(mask, np.ones((21, 21), np.uint8)) for mask in inside]) > 0
    assert inside.any()
    painted = windows.frames.clone()
    painted[0] = torch.where(torch.from_numpy(inside[:, None]), torch.rand(2, 3, SIZE, SIZE), painted[0])
    before, after = (float(loss_of(cycles["canny"], windows, x)) for x in (windows.frames, painted))
    assert after == pytest.approx(before, abs=1e-6)
    outside = windows.frames.clone()
    outside[..., :7, 20:60:8] = 0
    assert float(loss_of(cycles["canny"], windows, outside)) > before + 0.01
    windows.landmarks[0, :, :17] = float("nan")
    assert float(loss_of(cycles["canny"], windows, outside)) == pytest.approx(0, abs=1e-6), "contour unknown"


def test_a_face_that_covers_the_picture_leaves_nothing_to_compare(cycles, sequence):
    windows = windows_of(sequence)
    middle = windows.landmarks.mean(2, keepdim=True)
    windows.landmarks = middle + 5 * (windows.landmarks - middle)
    frames = torch.rand(windows.frames.shape).requires_grad_(True)
    loss = loss_of(cycles["canny"], windows, frames)
    loss.backward()
    assert float(loss) == pytest.approx(0, abs=1e-6)
    assert frames.grad is not None
    assert not frames.grad.any()


def test_a_wall_without_edges_asks_for_none(cycles, sequence):
    plain = FaceSequence(np.full_like(sequence.frames, 128), sequence.conditions, sequence.landmarks)
    windows = windows_of(plain)
    drawn = windows.frames.clone()
    quiet = float(loss_of(cycles["canny"], windows, drawn))
    drawn[..., ::8] = 1.0
    assert float(loss_of(cycles["canny"], windows, drawn)) > quiet + 0.1


# Learned sketch


def test_the_sketcher_knows_real_pairs_and_its_ceiling_is_logged(sequence):
    run = Run()
    untrained, trained = (SketchCycle(width=8, levels=3, steps=n, learning_rate=4e-3) for n in (1, 80))
    for cycle in (untrained, trained):
        cycle.learn([sequence], [sequence], run)  # pyright: ignore[reportArgumentType]
    scores = [row["sketcher_on_real_frames"] for row in run.rows]
    assert run.names == ["sketcher", "sketcher"]
    assert scores[1] < 0.6 * scores[0]
    frames, maps = (torch.from_numpy(x[:8] / np.float32(255)) for x in (sequence.frames, sequence.conditions))
    again = float(sketch_distance(trained.sketcher(frames), maps))
    assert again == pytest.approx(scores[1], rel=0.2)


def test_the_guard_changes_what_the_network_sees():
    torch.manual_seed(0)
    picture = torch.rand(1, 3, 16, 16).repeat(40, 1, 1, 1) * 0.8 + 0.1
    secret = torch.zeros_like(picture)
    secret[..., ::2] = 0.2 / 255  # under the rounding to 8 bits
    quiet = guarded(picture, 0.0)
    assert not torch.equal(quiet, picture)
    kinds = {bool(torch.equal((x * 255).round() / 255, x)) for x in quiet}
    assert kinds == {True, False}, "some images are rounded, others blurred"
    torch.manual_seed(5)
    plain = guarded(picture, 0.0)
    torch.manual_seed(5)
    told = guarded(picture + secret, 0.0)
    heard = (told - plain)[..., 2:-2]
    soft = ((plain * 255).round() / 255 != plain).flatten(1).any(1)
    assert float((heard[soft][..., ::2] - heard[soft][..., 1::2]).abs().max()) < 1e-6
    assert {round(float(x) * 255, 3) for x in heard[~soft].unique()} == {0, 1}
    torch.manual_seed(5)
    noisy = guarded(picture, 0.02)
    assert float((noisy - plain).std()) == pytest.approx(0.017, abs=0.006)
    picture.requires_grad_(True)
    guarded(picture, 0.02).sum().backward()
    assert picture.grad is not None
    assert float(picture.grad.mean()) == pytest.approx(1, abs=0.01)


def test_the_backward_cycle_moves_the_generator_only(cycles, sequence):
    windows, network = windows_of(sequence), generator()
    terms = cycles["sketch"].terms(Drawn(windows, windows.frames, network, 1.0))
    terms["cycle_sketch_backward"].backward()
    assert all(p.grad is not None for p in network.encode_conditions.parameters())
    assert all(p.grad is None for p in cycles["sketch"].sketcher.parameters())
    without = SketchCycle(backward_weight=0.0, steps=1)
    without._sketcher = cycles["sketch"].sketcher
    assert set(without.terms(Drawn(windows, windows.frames, network, 1.0))) == {"cycle_sketch"}


def test_rare_edges_weigh_as_much_as_the_empty_rest():
    wanted = torch.zeros(1, 3, 10, 10)
    wanted[:, :, 0] = 1
    miss, invent = torch.full((1, 3, 10, 10), -4.0), torch.full((1, 3, 10, 10), 4.0)
    costs = [float(sketch_distance(x, wanted)) for x in (miss, invent)]
    assert costs[0] == pytest.approx(costs[1], rel=0.02)
    none = sketch_distance(miss, torch.zeros(1, 3, 10, 10))
    assert none.isfinite()
    full = torch.zeros(1, 15, 10, 10)
    logits = torch.full((1, 15, 10, 10), -20.0)
    assert float(sketch_distance(logits, full)) == pytest.approx(0, abs=1e-4)
    logits[:, 3] = 20
    assert float(sketch_distance(logits, full)) == pytest.approx(1, abs=1e-4)


# Landmarks


def test_the_place_is_the_maps_mean():
    regressor = Regressor(points=2, width=4, levels=2, sharpness=100.0)
    maps = torch.zeros(1, 2, 32, 32)
    maps[0, 0, 7, 20] = 1
    maps[0, 1, 3, 4:6] = 1
    regressor.maps = nn.Identity()  # pyright: ignore[reportAttributeAccessIssue]
    found = regressor(maps)[0]
    torch.testing.assert_close(found[0], torch.tensor([20.5 * 8, 7.5 * 8]))
    torch.testing.assert_close(found[1], torch.tensor([5.0 * 8, 3.5 * 8]))


def test_the_regressor_finds_the_puppets_landmarks(cycles, sequence):
    frames = torch.from_numpy(sequence.frames / np.float32(255))
    found = cycles["landmarks"].regressor(frames).numpy()
    error = np.linalg.norm(found - sequence.landmarks, axis=-1).mean()
    spread = np.linalg.norm(sequence.landmarks - sequence.landmarks.mean(0), axis=-1).mean()
    assert error < 0.7 * spread


def test_landmark_distance_and_motion_by_hand():
    wanted = torch.full((1, 2, 68, 2), 100.0)
    weights = point_weights(wanted, mouth=2.0)
    assert weights[0, 0, 47:49].tolist() == [1, 2]
    off = wanted.clone()
    off[..., 0] += 3
    expected = (3 - 0.5) * (48 + 2 * 20) / 68
    assert float(landmark_disagreement(off, wanted, weights)) == pytest.approx(expected)
    motion = landmark_disagreement(off.diff(dim=1), wanted.diff(dim=1), weights[:, 1:])
    assert float(motion) == 0, "a constant offset has no motion of its own"


def test_points_that_are_missing_or_outside_have_no_part(sequence):
    windows = windows_of(sequence)
    wanted = windows.landmarks
    wanted[:, :, :17] = float("nan")
    wanted[:, :, 20] = 300
    found = torch.full_like(wanted, 50.0).requires_grad_(True)
    loss = landmark_disagreement(found, wanted, point_weights(wanted, 2.0))
    loss.backward()
    assert loss.isfinite()
    assert found.grad is not None
    assert not found.grad[:, :, :17].any()
    assert not found.grad[:, :, 20].any()
    assert found.grad[:, :, 30].all()


# Together


def test_losses_are_added_by_name_and_only_their_networks_are_trained(sequence):
    run = Run()
    both = CycleLosses(canny=SoftCannyCycle(), landmarks=LandmarkCycle(width=4, levels=2, steps=2))
    both.learn([sequence], [], run)  # pyright: ignore[reportArgumentType]
    windows = windows_of(sequence)
    terms = both.terms(Drawn(windows, windows.frames, generator(), 1.0))
    assert set(terms) == {"cycle_canny", "cycle_landmarks"}
    assert run.names == ["regressor"]
    assert CycleLosses().terms(Drawn(windows, windows.frames, generator(), 1.0)) == {}


def test_what_cannot_be_a_cycle_is_refused(sequence):
    with pytest.raises(ValueError, match="shares of the training"):
        SoftCannyCycle(begin=0.9, ramp=0.2)
    with pytest.raises(ValueError, match="two numbers above 0"):
        SoftCannyCycle(softness=(0.1, 0.0))
    windows = windows_of(sequence)
    for cycle in (SketchCycle(steps=1), LandmarkCycle(steps=1)):
        with pytest.raises(ValueError, match="call learn first"):
            cycle.terms(Drawn(windows, windows.frames, generator(), 1.0))


def test_prepared_puppets_fit_the_cycles(puppets):
    (one, *_) = prepare(puppets.train, EdgeSketch(channels="simple", size=32))
    assert one.landmarks.shape[1:] == (68, 2)
