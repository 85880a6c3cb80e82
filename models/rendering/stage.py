"""Trains the renderer on the subject's own video: real frames under the edge maps of their own landmarks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from models.losses import require_known_terms
from models.method import Player, Stage, StageRun, Training, TrainingData
from models.rendering.cycle.losses import CycleLosses, Drawn
from models.rendering.discriminators import MultiScaleDiscriminator
from models.rendering.edges import Channels, Rounding
from models.rendering.generator import HISTORY, Generator, Rendering, initialise
from models.rendering.losses import (
    RECONSTRUCTION,
    Perceptual,
    adversarial,
    dissimilarity,
    explained,
    feature_matching,
    weighted_l1,
)
from models.rendering.renderer import Renderer, RendererSizes
from models.rendering.sequences import (
    FIRST_HISTORY,
    FaceSequence,
    Start,
    Windows,
    WindowSampler,
    importance,
    prepare,
    unit,
)
from models.rendering.warping import warp

OPTIONAL_TERMS = ("flow_warp_real", "frame_warp", "mask", "perceptual")
TERMS = (
    *("recon", "drawn_recon", "flow_warp", "image_gan", "image_features", "motion_gan", "motion_features"),
    *OPTIONAL_TERMS,
)


class Schedule(nn.Module):
    """Learning rates: constant for the first half of the steps, then linearly to a fiftieth.

    A module, so that the step belongs to the checkpoint.
    """

    step: Tensor

    def __init__(self, optimizers: Sequence[torch.optim.Optimizer], steps: int) -> None:
        super().__init__()
        self.register_buffer("step", torch.zeros((), dtype=torch.int64))
        self.steps = steps
        self._optimizers = [(optimizer, optimizer.param_groups[0]["lr"]) for optimizer in optimizers]

    def advance(self) -> None:
        self.step += 1
        factor = min(1.0, max(0.02, 2 * (1 - int(self.step) / self.steps)))
        for optimizer, rate in self._optimizers:
            for group in optimizer.param_groups:
                group["lr"] = rate * factor


class AdversarialTraining:
    """The generator's and the discriminators' losses on the same windows.

    The generator draws the window's frames one after another from its own previous ones; no gradient flows
    back through those. The discriminators then judge what it left in the batch.
    """

    def __init__(
        self,
        generator: Generator,
        image: MultiScaleDiscriminator,
        temporal: Mapping[int, MultiScaleDiscriminator],
        perceptual: Perceptual | None,
        judge_drawn: bool,
        recon_norm: Literal["l1", "l2"],
        cycle: CycleLosses,
        schedule: Schedule,
    ) -> None:
        self.generator = generator
        self.image = image
        self.temporal = temporal
        self.perceptual = perceptual
        self.judge_drawn = judge_drawn
        self.distance = RECONSTRUCTION[recon_norm]
        self.cycle = cycle
        self.schedule = schedule

    def roll_out(self, windows: Windows) -> list[Rendering]:
        """The renderings of the frames to learn from, after drawing those before them without gradient."""
        history, made = windows.history, []
        alone = windows.conditions.shape[1] - HISTORY - windows.frames.shape[1]
        for k in range(alone + windows.frames.shape[1]):
            with torch.set_grad_enabled(k >= alone):
                made.append(self.generator(windows.conditions[:, k : k + HISTORY + 1], history))
            history = torch.cat([history[:, 1:], made[-1].frame.detach()[:, None]], 1)
        return made[alone:]

    def generator_loss(self, windows: Windows) -> dict[str, Tensor]:
        self.schedule.advance()
        self._freeze(True)
        made = self.roll_out(windows)
        frame = torch.stack([r.frame for r in made], 1)
        drawn = torch.cat([r.drawn for r in made])
        windows.drawn = frame.detach()

        real, weight = (_in_order(x) for x in (windows.frames, windows.importance))
        predicted = _in_order(frame)
        terms = {
            "recon": self.distance(predicted, real, weight),
            "drawn_recon": self.distance(drawn, real, weight),
        }
        terms |= self._flow_terms(windows, made)
        maps = _in_order(windows.conditions[:, -windows.frames.shape[1] :])
        judged = [predicted, drawn] if self.judge_drawn else [predicted]
        with torch.no_grad():
            truth = self.image(torch.cat([maps, real], 1))
        verdicts = [self.image(torch.cat([maps, images], 1)) for images in judged]
        terms["image_gan"] = torch.stack([adversarial(v, real=True) for v in verdicts]).sum()
        terms["image_features"] = torch.stack([feature_matching(v, truth) for v in verdicts]).sum()
        if self.temporal:
            terms |= self._temporal_terms(windows, frame)
        if self.perceptual is not None:
            terms["perceptual"] = torch.stack([self.perceptual(images, real) for images in judged]).sum()
        progress = int(self.schedule.step) / self.schedule.steps
        return terms | self.cycle.terms(Drawn(windows, frame, self.generator, progress))

    def discriminator_loss(self, windows: Windows) -> dict[str, Tensor]:
        if windows.drawn is None:
            raise ValueError("the discriminators judge what the generator drew: it must move before them")
        self._freeze(False)
        maps = _in_order(windows.conditions[:, -windows.frames.shape[1] :])
        real = self.image(torch.cat([maps, _in_order(windows.frames)], 1))
        made = self.image(torch.cat([maps, _in_order(windows.drawn)], 1))
        terms = {"image": (adversarial(real, real=True) + adversarial(made, real=False)) / 2}
        for stride, judge in self.temporal.items():
            real = judge(triples(windows.before, windows.frames, stride))
            made = judge(triples(windows.before, windows.drawn, stride))
            terms[f"motion_{stride}"] = (adversarial(real, real=True) + adversarial(made, real=False)) / 2
        return terms

    def _flow_terms(self, windows: Windows, made: Sequence[Rendering]) -> dict[str, Tensor]:
        """vid2vid's terms of flow and mask, with the flow head's own flow in the place of FlowNet2's.

        flow_warp, flow_warp_real: the previous frame as the generator saw it, and the true previous frame,
        both moved along the flow, against the true frame. frame_warp: the frame against the generator's
        previous one moved along the flow. mask: the share of the drawing. The last two only where the flow
        explains the true frames.
        """
        real, frame, moved, flow, mask = (
            _in_order(windows.frames),
            *(torch.cat([getattr(r, name) for r in made]) for name in ("frame", "moved", "flow", "mask")),
        )
        before = _in_order(torch.cat([windows.before[:, -1:], windows.frames[:, :-1]], 1))
        moved_real = warp(before, flow)
        trusted = explained(moved_real.detach(), real)
        return {
            "flow_warp": functional.l1_loss(moved, real),
            "flow_warp_real": functional.l1_loss(moved_real, real),
            "frame_warp": ((frame - moved.detach()).abs() * trusted).mean(),
            "mask": (mask * trusted).mean(),
        }

    def _temporal_terms(self, windows: Windows, frame: Tensor) -> dict[str, Tensor]:
        gan, features = [], []
        for stride, judge in self.temporal.items():
            with torch.no_grad():
                truth = judge(triples(windows.before, windows.frames, stride))
            verdict = judge(triples(windows.before, frame, stride))
            gan.append(adversarial(verdict, real=True))
            features.append(feature_matching(verdict, truth))
        return {"motion_gan": torch.stack(gan).sum(), "motion_features": torch.stack(features).sum()}

    def _freeze(self, frozen: bool) -> None:
        """Spares the discriminators' gradients while the generator learns."""
        for judge in (self.image, *self.temporal.values()):
            judge.requires_grad_(not frozen)


def _in_order(images: Tensor) -> Tensor:
    """(batch, steps, ...) to (steps * batch, ...), as the roll-out's outputs are concatenated."""
    return images.transpose(0, 1).flatten(0, 1)


def triples(before: Tensor, frames: Tensor, stride: int) -> Tensor:
    """All runs of three frames `stride` apart that end in a drawn one: (runs * batch, 9, h, w)."""
    film = torch.cat([before, frames], 1)
    last = range(max(HISTORY, 2 * stride), film.shape[1])
    runs = [film[:, [k - 2 * stride, k - stride, k]].flatten(1, 2) for k in last]
    return torch.cat(runs)


class RendererStage(Stage):
    """Trains generator and discriminators on every training clip that has frames.

    Differs from vid2vid where it needs an outside flow network: flow is learned from the photometric error
    of the moved frame, and temporal discriminators see three frames (9 channels) without the two flows of
    FlowNet2 (13 channels), which have no counterpart at their larger strides in a generator's own flow.

    Args:
        size: side of the frames the generator draws; the corpus's are resized to it.
        channels, rounding: see `EdgeSketch`.
        width, downsamplings, encoder_blocks, decoder_blocks, kernel, flow_reach: see `Generator`.
        discriminator_width, discriminator_scales: see `MultiScaleDiscriminator`.
        temporal_strides: distances in frames that a temporal discriminator each judges; may be empty.
        steps, batch, rollout: training steps, windows per step, frames drawn per window.
        learning_rate, discriminator_learning_rate: of Adam with betas (0.5, 0.999).
        cycle: losses on what an extractor finds in the generated frame; their weights are their own.
        loss: weights of the generator's terms: recon, drawn_recon, flow_warp, image_gan, image_features,
            motion_gan, motion_features (with strides), each 1 if it is not named; flow_warp_real, frame_warp,
            mask and perceptual (with its weights given), each 0 if it is not named.
        recon_norm: distance of recon and drawn_recon: l1, or l2 as in the paper's supplement.
        face, mouth, eyes: extra weight of pixels in the face, around the lips and around the eyes in
            reconstruction.
        start: what the generator is shown as the past of its first frame.
        elsewhere, damaged, warm_up, flip: see `WindowSampler`.
        max_clips: training clips used, spread evenly over those there are; None for all.
        clip_frames: frames used of each clip, from its start; None for all.
        validate_every, validation_clips: steps between validations, and clips rolled out in each.
        select_by: validation value that picks the final weights: recon, face, mouth, eyes or dissimilarity.
        perceptual_weights: path of VGG-19 weights, or None for no perceptual term.
        judge_drawn: whether the image head's raw drawing is judged too, as in vid2vid.
    """

    version = 2
    reads = ("frames",)

    def __init__(
        self,
        *,
        size: int,
        channels: Channels,
        width: int,
        downsamplings: int,
        encoder_blocks: int,
        decoder_blocks: int,
        kernel: int,
        flow_reach: float,
        discriminator_width: int,
        discriminator_scales: int,
        temporal_strides: Sequence[int],
        steps: int,
        batch: int,
        rollout: int,
        learning_rate: float,
        discriminator_learning_rate: float,
        cycle: CycleLosses | None = None,
        loss: Mapping[str, float],
        face: float = 1.0,
        mouth: float = 4.0,
        eyes: float = 4.0,
        recon_norm: Literal["l1", "l2"] = "l1",
        start: Start = "lead_in",
        rounding: Rounding = "none",
        elsewhere: float = 0.3,
        damaged: float = 0.5,
        warm_up: int = 8,
        flip: bool = False,
        max_clips: int | None = None,
        clip_frames: int | None = None,
        validate_every: int = 0,
        validation_clips: int = 3,
        select_by: str = "recon",
        perceptual_weights: str | None = None,
        judge_drawn: bool = False,
    ) -> None:
        if size % 2**downsamplings or size < 32:
            raise ValueError(f"size must be 32 or more and a multiple of {2**downsamplings}, got {size}")
        if temporal_strides and rollout + HISTORY <= 2 * max(temporal_strides):
            widest = max(temporal_strides)
            needed = 2 * widest + 1 - HISTORY
            raise ValueError(f"temporal stride {widest} needs a rollout of {needed} or more, got {rollout}")
        require_known_terms(dict(loss), TERMS)
        if loss.get("perceptual") and perceptual_weights is None:
            raise ValueError(
                "loss.perceptual needs VGG-19: expected perceptual_weights to be the path of torchvision's "
                "vgg19 state dict as safetensors; or set loss.perceptual to 0"
            )
        if start not in FIRST_HISTORY:
            raise ValueError(f"start: expected one of {', '.join(FIRST_HISTORY)}, got {start!r}")
        if recon_norm not in RECONSTRUCTION:
            raise ValueError(f"recon_norm: expected l1 or l2, got {recon_norm!r}")
        self.sizes = RendererSizes(
            size,
            channels,
            width,
            downsamplings,
            encoder_blocks,
            decoder_blocks,
            kernel,
            flow_reach,
            start,
            rounding,
        )
        self.discriminator_width = discriminator_width
        self.discriminator_scales = discriminator_scales
        self.temporal_strides = tuple(temporal_strides)
        self.steps = steps
        self.batch = batch
        self.rollout = rollout
        self.learning_rate = learning_rate
        self.discriminator_learning_rate = discriminator_learning_rate
        self.cycle = cycle or CycleLosses()
        computed = [term for term in OPTIONAL_TERMS if term != "perceptual" or perceptual_weights is not None]
        named = {
            term: weight for term, weight in loss.items() if term not in OPTIONAL_TERMS or term in computed
        }
        self.loss = {**dict.fromkeys(computed, 0.0), **named}
        self.recon_norm: Literal["l1", "l2"] = recon_norm
        self.extra = {"face": face, "mouth": mouth, "eyes": eyes}
        self.elsewhere, self.damaged, self.warm_up, self.flip = elsewhere, damaged, warm_up, flip
        self.max_clips = max_clips
        self.clip_frames = clip_frames
        self.validate_every = validate_every
        self.validation_clips = validation_clips
        self.select_by = select_by
        self.perceptual_weights = perceptual_weights
        self.judge_drawn = judge_drawn

    @property
    def outside(self) -> tuple[str, ...]:
        return (self.perceptual_weights,) if self.perceptual_weights is not None else ()

    @property
    def shortest(self) -> int:
        """Frames that a clip needs to be trained on."""
        return HISTORY + self.warm_up + self.rollout

    def run(self, data: TrainingData, inputs: Mapping[str, Path], run: StageRun) -> None:
        sketch = self.sizes.sketch()
        shortest = self.shortest
        clips = _spread([clip for clip in data.train if clip.has("frames")], self.max_clips)
        sequences = [s for s in prepare(clips, sketch, self.clip_frames) if len(s.frames) >= shortest]
        if not sequences:
            raise ValueError(
                f"no training clip has {shortest} frames or more and a face: the renderer needs a corpus "
                "with video (or leave it out of the method)"
            )
        held = [clip for clip in data.validation if clip.has("frames")]
        validation = prepare(_spread(held, self.validation_clips), sketch, self.clip_frames)
        validation = [s for s in validation if len(s.frames) > HISTORY]
        run.log(training_clips=len(sequences), training_frames=sum(len(s.frames) for s in sequences))
        self.cycle.learn(sequences, validation, run)
        generator = self._train(sequences, validation, run)
        Renderer(self.sizes, generator, run.device).save(run.directory)

    def _train(
        self, sequences: list[FaceSequence], validation: list[FaceSequence], run: StageRun
    ) -> Generator:
        generator = self.sizes.generator()
        channels = self.sizes.sketch().num_channels
        judge = {"width": self.discriminator_width, "scales": self.discriminator_scales}
        image = MultiScaleDiscriminator(inputs=channels + 3, **judge)
        temporal = {stride: MultiScaleDiscriminator(inputs=9, **judge) for stride in self.temporal_strides}
        modules: dict[str, nn.Module] = {"generator": generator, "image": image}
        modules |= {f"motion_{stride}": module for stride, module in temporal.items()}
        for name, module in modules.items():
            initialise(module, run.torch_generator("initialise", name))
            module.to(run.device)
        perceptual = None
        if self.perceptual_weights is not None:
            perceptual = Perceptual(Path(self.perceptual_weights)).to(run.device)

        judges = [p for name, module in modules.items() if name != "generator" for p in module.parameters()]
        betas = (0.5, 0.999)
        moves = torch.optim.Adam(generator.parameters(), self.learning_rate, betas)
        answers = torch.optim.Adam(judges, self.discriminator_learning_rate, betas)
        schedule = Schedule([moves, answers], self.steps)
        training = AdversarialTraining(
            generator, image, temporal, perceptual, self.judge_drawn, self.recon_norm, self.cycle, schedule
        )
        sampler = WindowSampler(
            sequences=sequences,
            batch=self.batch,
            steps=self.rollout,
            start=self.sizes.start,
            elsewhere=self.elsewhere,
            damaged=self.damaged,
            **self.extra,
            warm_up=self.warm_up,
            flip=self.flip,
        )
        run.fit(
            Training(
                name="renderer",
                modules={**modules, "schedule": schedule},
                players=[
                    Player("generator", moves, training.generator_loss, self.loss),
                    Player("discriminator", answers, training.discriminator_loss),
                ],
                batch=lambda rng: _to(sampler(rng), run.device),
                steps=self.steps,
                validate=(lambda: self._validate(generator, validation, run.device)) if validation else None,
                validate_every=self.validate_every,
                select_by=self.select_by if validation else None,
            )
        )
        return generator

    def _validate(
        self, generator: Generator, sequences: Sequence[FaceSequence], device: torch.device
    ) -> dict[str, float]:
        """Errors of whole roll-outs from each clip's first frames, as at inference; copies are left out."""
        renderer = Renderer(self.sizes, generator, device)
        rows = [self._roll_out_errors(renderer, sequence) for sequence in sequences]
        return {name: float(np.mean([row[name] for row in rows])) for name in rows[0]}

    def _roll_out_errors(self, renderer: Renderer, sequence: FaceSequence) -> dict[str, float]:
        order = list(FIRST_HISTORY[self.sizes.start])
        rest = slice(HISTORY if self.sizes.start == "released" else 0, None)
        made = renderer.run(sequence.conditions[rest], sequence.conditions[order], sequence.frames[order])
        predicted, real = unit(made.transpose(0, 3, 1, 2)), unit(sequence.frames[rest])

        def error(**weights: float) -> float:
            maps = [importance(x, self.sizes.size, **weights) for x in sequence.landmarks[rest]]
            return float(weighted_l1(predicted, real, torch.from_numpy(np.stack(maps))))

        return {
            "recon": error(**self.extra),
            "face": error(plain=0, face=1),
            "mouth": error(plain=0, mouth=1),
            "eyes": error(plain=0, eyes=1),
            "dissimilarity": float(dissimilarity(predicted, real)),
        }


def _spread(clips: Sequence, count: int | None) -> list:
    """`count` of the clips, evenly spaced over their order."""
    if count is None or count >= len(clips):
        return list(clips)
    return [clips[k] for k in np.linspace(0, len(clips) - 1, count).round().astype(int)]


def _to(windows: Windows, device: torch.device) -> Windows:
    names = ("conditions", "history", "before", "frames", "importance", "landmarks")
    return Windows(*(getattr(windows, name).to(device) for name in names))
