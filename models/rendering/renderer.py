"""Landmarks and a target video in, a video out."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import cv2
import numpy as np
import torch

from models.artefacts import load_module, save_module
from models.heartbeat import beat
from models.landmarks.alignment import fill_missing
from models.rendering.edges import Channels, EdgeSketch, Rounding
from models.rendering.generator import HISTORY, Generator
from models.rendering.sequences import FIRST_HISTORY, Start, resized, unit
from models.types import Portrait, ping_pong

WEIGHTS, SIZES = "generator.safetensors", "renderer.json"


@dataclass(frozen=True)
class RendererSizes:
    """What fixes the generator's shape, and the history it starts from.

    See `Generator`, `EdgeSketch` and `Start` for what each means.
    """

    size: int
    channels: Channels
    width: int
    downsamplings: int
    encoder_blocks: int
    decoder_blocks: int
    kernel: int
    flow_reach: float
    start: Start = "lead_in"
    rounding: Rounding = "none"

    def sketch(self) -> EdgeSketch:
        return EdgeSketch(channels=self.channels, size=self.size, rounding=self.rounding)

    def generator(self) -> Generator:
        return Generator(
            condition_channels=self.sketch().num_channels,
            width=self.width,
            downsamplings=self.downsamplings,
            encoder_blocks=self.encoder_blocks,
            decoder_blocks=self.decoder_blocks,
            kernel=self.kernel,
            flow_reach=self.flow_reach,
        )


class Renderer:
    """A trained generator, run frame after frame on its own output."""

    def __init__(self, sizes: RendererSizes, generator: Generator, device: torch.device) -> None:
        self.sizes = sizes
        self.sketch = sizes.sketch()
        self.generator = generator.to(device).eval()
        self.device = device

    def save(self, directory: Path) -> None:
        save_module(directory / WEIGHTS, self.generator)
        (directory / SIZES).write_text(json.dumps(asdict(self.sizes), indent=1) + "\n", encoding="utf-8")

    @staticmethod
    def load(directory: Path, device: torch.device) -> Renderer:
        """Raises FileNotFoundError or `ArtefactError` where `RendererStage` did not leave its files whole."""
        sizes = RendererSizes(**json.loads((directory / SIZES).read_text(encoding="utf-8")))
        generator = sizes.generator()
        load_module(directory / WEIGHTS, generator)
        return Renderer(sizes, generator, device)

    def render(
        self,
        landmarks: np.ndarray,
        target: Portrait,
        progress: Callable[[int, int], None] = lambda done, total: None,
    ) -> np.ndarray:
        """Frames (time, h, w, 3) uint8 of the target's size.

        Args:
            landmarks: (time, 68, 2) in the target's crop, under its head pose.
            target: its edges outside the face are drawn with frame k's landmarks, by time reversal when it
                is the shorter; its first two frames are shown to the generator as the past (see `Start`).
                No other pixel of it is used.

        Raises:
            ValueError: the target has no frames or no face, or a landmark is not finite.
        """
        if target.frames is None or len(target.frames) == 0:
            raise ValueError(f"the target video of {target.speaker} has no frames to render from")
        faces = fill_missing(target.landmarks)
        needed = ping_pong(len(target.frames), len(landmarks))
        order = np.minimum(FIRST_HISTORY[self.sizes.start], len(target.frames) - 1)
        used = np.unique(np.concatenate([needed, order]))
        small = resized(target.frames[used], self.sizes.size)
        frames, past = (small[np.searchsorted(used, chosen)] for chosen in (needed, order))
        conditions = self.sketch.draw_clip(landmarks, frames, faces[needed])
        if self.sizes.start == "released":
            made = self.run(conditions[HISTORY:], conditions[:HISTORY], past.transpose(0, 3, 1, 2), progress)
            made = np.concatenate([past, made])[: len(landmarks)]
        else:
            maps = self.sketch.draw_clip(faces[order], past)
            made = self.run(conditions, maps, past.transpose(0, 3, 1, 2), progress)
        height, width = target.frames.shape[1:3]
        if (height, width) != (self.sizes.size, self.sizes.size):
            made = np.stack([cv2.resize(f, (width, height), interpolation=cv2.INTER_CUBIC) for f in made])
        return made

    @torch.no_grad()
    def run(
        self,
        conditions: np.ndarray,
        maps_before: np.ndarray,
        past: np.ndarray,
        progress: Callable[[int, int], None] = lambda done, total: None,
    ) -> np.ndarray:
        """Roll out over edge maps (time, c, h, w) from two frames (2, 3, h, w) and their maps, all uint8."""
        history = unit(past)[None].to(self.device)
        maps = unit(maps_before)[None].to(self.device)
        made = np.empty((len(conditions), *past.shape[2:], 3), np.uint8)
        for k, condition in enumerate(conditions):
            maps = torch.cat([maps[:, -HISTORY:], unit(condition)[None, None].to(self.device)], 1)
            frame = self.generator(maps, history).frame
            history = torch.cat([history[:, 1:], frame[:, None]], 1)
            made[k] = frame[0].mul(255).round_().byte().permute(1, 2, 0).cpu().numpy()
            progress(k + 1, len(conditions))
            beat()
        return made
