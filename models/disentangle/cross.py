"""Cross-reconstructed emotion disentanglement: a window is rebuilt from the content of one utterance and the
emotion of another.

Source: EVP (Ji et al., CVPR 2021), section 3.2. `CrossReconstruction` samples as the authors' code intended:
an emotion code comes from another sentence than the window it helps to rebuild, so content cannot hide in it.
`PaperReconstruction` samples the 2 x 2 grid of the paper's text.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional as F

from models import initialise
from models.artefacts import load_module, save_module
from models.audio.pairs import Pairs, load_pairs
from models.disentangle.content import ContentEncoder, LogitContentEncoder, content_encoder
from models.disentangle.decoder import Decoder
from models.disentangle.emotion import EmotionClassifier, classifier_file
from models.disentangle.pretraining import NAME as CONTENT_PRETRAINING
from models.disentangle.pretraining import content_file
from models.losses import Distance, distance_named, require_known_terms, triplet
from models.method import Player, Stage, StageRun, Training, TrainingData
from models.normalisation import batches_of
from models.optimisation import adam, refresh_batch_norm

TERMS = ("cross_recon", "self_recon", "emotion_class", "content_match", "triplet")
"""The terms of L_dis: the paper's four, and one that earlier versions of the code had."""

OPTIONAL = {"triplet": 0.0}
"""Terms that count only where a configuration weighs them. Where the code had the triplet, it weighed 10."""


@dataclass(frozen=True)
class Grid:
    """Windows for one step, by slot and example, and what each of them is."""

    windows: Float[Tensor, "slots batch 1 28 12"]
    content: Int[Tensor, "slots batch"]
    """Index of what is said: equal numbers are the same sound."""
    emotion: Int[Tensor, "slots batch"]
    """Class of how it is said."""
    logits: Float[Tensor, "slots batch 1 16 29"] | None = None
    """Logits of the same moments, where the content encoder hears these."""

    @property
    def heard(self) -> Float[Tensor, "slots batch 1 time features"]:
        """What the content encoder gets."""
        return self.windows if self.logits is None else self.logits


class Disentangler(nn.Module):
    """E_c, E_e with its classifier, and D."""

    def __init__(
        self,
        *,
        num_emotions: int,
        content: Mapping[str, int],
        emotion: Mapping[str, int],
        decoder_width: int,
        hears: str = "mfcc",
    ) -> None:
        super().__init__()
        self.content = content_encoder(hears, **content)
        self.emotion = EmotionClassifier(num_emotions=num_emotions, **emotion)
        self.decoder = Decoder(
            content_dim=self.content.dim, emotion_dim=self.emotion.encoder.dim, width=decoder_width
        )


@dataclass(frozen=True, kw_only=True)
class Sampling(ABC):
    """Which windows are drawn, and what is rebuilt from what.

    Args:
        content_pairs: how many of the contents are pulled together over their two emotions.
        classified: "sources", the two windows that emotion codes are taken from, or "all" four windows of
            the two contents, which then count half.
    """

    content_pairs: int = 1
    classified: str = "sources"

    @abstractmethod
    def draw(self, pairs: Pairs, batch: int, rng: np.random.Generator) -> Grid: ...

    @abstractmethod
    def terms(
        self, model: Disentangler, grid: Grid, distance: Distance, label_smoothing: float
    ) -> Mapping[str, Tensor]:
        """The terms of L_dis."""

    def _embedding_terms(
        self,
        model: Disentangler,
        grid: Grid,
        contents: _Embeddings,
        codes: _Embeddings,
        alike: Sequence[tuple[int, int]],
        label_smoothing: float,
    ) -> dict[str, Tensor]:
        """The terms that nothing is rebuilt for; `alike` are the slots of one content in two emotions."""
        matches = [
            F.l1_loss(contents[first], contents[second]) for first, second in alike[: self.content_pairs]
        ]
        logits = model.emotion.head(codes.together).chunk(len(codes.slots))
        classes = [
            F.cross_entropy(given, grid.emotion[slot], label_smoothing=label_smoothing)
            for slot, given in zip(codes.slots, logits, strict=True)
        ]
        said, felt = grid.content[list(contents.slots)], grid.emotion[list(codes.slots)]
        return {
            "emotion_class": torch.stack(classes).sum() * (2 / len(classes)),
            "content_match": torch.stack(matches).sum(),
            "triplet": triplet(contents.together, said.flatten()) + triplet(codes.together, felt.flatten()),
        }


class CrossReconstruction(Sampling):
    """Contents c1, c2, c3 and two different emotions a, b; windows (c1, a), (c2, a), (c3, b), (c1, b).

    Both windows of c1 are rebuilt, each from either's content, with emotion codes of c2 and c3. With two
    content pairs there is a fifth window, (c2, b).
    """

    def draw(self, pairs: Pairs, batch: int, rng: np.random.Generator) -> Grid:
        content = rng.integers(len(pairs), size=batch)
        a, b = _two_emotions(pairs.present[content], rng)
        other_a = _content_with(pairs.present, rng, *((a, b) if self.content_pairs == 2 else (a,)))
        other_b = _content_with(pairs.present, rng, b)
        picks = [(content, a), (other_a, a), (other_b, b), (content, b)]
        return _grid(pairs, [*picks, (other_a, b)] if self.content_pairs == 2 else picks)

    def terms(
        self, model: Disentangler, grid: Grid, distance: Distance, label_smoothing: float
    ) -> Mapping[str, Tensor]:
        target_a, target_b = grid.windows[0], grid.windows[3]
        contents = _embed(model.content, grid.heard, (0, 3, 1, 4) if self.content_pairs == 2 else (0, 3))
        codes = _embed(
            model.emotion.encoder, grid.windows, (1, 2, 0, 3) if self.classified == "all" else (1, 2)
        )
        content_a, content_b, code_a, code_b = contents[0], contents[3], codes[1], codes[2]
        rebuilt = model.decoder(
            torch.cat([content_a, content_a, content_b, content_b]),
            torch.cat([code_a, code_b, code_a, code_b]),
        )
        a_from_a, b_from_a, a_from_b, b_from_b = rebuilt.chunk(4)
        return {
            "cross_recon": distance(b_from_a, target_b) + distance(a_from_b, target_a),
            "self_recon": distance(a_from_a, target_a) + distance(b_from_b, target_b),
            **self._embedding_terms(model, grid, contents, codes, [(0, 3), (1, 4)], label_smoothing),
        }


class PaperReconstruction(Sampling):
    """Contents i, j and emotions m, n; windows (i, m), (j, n), (i, n), (j, m): equations 2 to 6."""

    def draw(self, pairs: Pairs, batch: int, rng: np.random.Generator) -> Grid:
        i = rng.integers(len(pairs), size=batch)
        m, n = _two_emotions(pairs.present[i], rng)
        j = _content_with(pairs.present, rng, m, n)
        return _grid(pairs, [(i, m), (j, n), (i, n), (j, m)])

    def terms(
        self, model: Disentangler, grid: Grid, distance: Distance, label_smoothing: float
    ) -> Mapping[str, Tensor]:
        x_im, x_jn, x_in, x_jm = grid.windows
        contents = _embed(model.content, grid.heard, (0, 1, 2, 3))
        codes = _embed(
            model.emotion.encoder, grid.windows, (0, 1, 2, 3) if self.classified == "all" else (0, 1)
        )
        c_im, c_jn, e_m, e_n = contents[0], contents[1], codes[0], codes[1]
        rebuilt = model.decoder(torch.cat([c_im, c_jn, c_im, c_jn]), torch.cat([e_n, e_m, e_m, e_n]))
        in_cross, jm_cross, im_self, jn_self = rebuilt.chunk(4)
        return {
            "cross_recon": distance(in_cross, x_in) + distance(jm_cross, x_jm),
            "self_recon": distance(im_self, x_im) + distance(jn_self, x_jn),
            **self._embedding_terms(model, grid, contents, codes, [(0, 2), (1, 3)], label_smoothing),
        }


def measured(
    sampling: Sampling, model: Disentangler, grid: Grid, distance: Distance, label_smoothing: float
) -> Mapping[str, Tensor]:
    """The terms of L_dis, each slot's windows and each reconstruction normalised as a batch of its own."""
    with batches_of(grid.windows.shape[1], model):
        return sampling.terms(model, grid, distance, label_smoothing)


SAMPLINGS: dict[str, type[Sampling]] = {"code": CrossReconstruction, "paper": PaperReconstruction}


@dataclass(frozen=True)
class DisentanglerSizes:
    """Everything that decides the shapes of a `Disentangler`, the number of emotions apart."""

    width: int = 16
    hidden: int = 256
    content_dim: int = 256
    emotion_dim: int = 128
    decoder_width: int = 16
    hears: str = "mfcc"
    """What the content encoder hears: "mfcc", as in EVP, or "deepspeech"."""

    @property
    def content(self) -> dict[str, int]:
        return {"width": self.width, "hidden": self.hidden, "dim": self.content_dim}

    @property
    def emotion(self) -> dict[str, int]:
        return {"width": self.width, "hidden": self.hidden, "dim": self.emotion_dim}

    def build(self, num_emotions: int) -> Disentangler:
        return Disentangler(
            num_emotions=num_emotions,
            content=self.content,
            emotion=self.emotion,
            decoder_width=self.decoder_width,
            hears=self.hears,
        )


@dataclass(frozen=True, kw_only=True)
class DisentangleStage(Stage):
    """Trains E_c, E_e, C_e and D together on pseudo pairs; E_e and C_e start from the emotion classifier.

    E_c starts from the stage `content_pretraining` of a method that has it.

    Args:
        width, hidden, content_dim, emotion_dim, decoder_width: network sizes; those of the emotion encoder
            must be those of the emotion classifier's stage.
        hears: "mfcc", or "deepspeech" for a content encoder of logits; must be that of the pairs' stage.
        sampling: "code" or "paper".
        content_pairs, classified: see `Sampling`.
        distance: of reconstructions: "l1" (mean), "mse" or "l2" (norm per window).
        loss: weights by term; one that is left out counts 1, the triplet 0. What weighs 0 is still measured.
        label_smoothing: of the classification, see `EmotionClassifierStage`.
    """

    version = 2
    upstream: tuple[str, ...] = ("features", "pairs", "emotion_classifier")
    reads = ("emotion",)

    width: int = 16
    hidden: int = 256
    content_dim: int = 256
    emotion_dim: int = 128
    decoder_width: int = 16
    hears: str = "mfcc"
    sampling: str = "code"
    content_pairs: Literal[1, 2] = 1
    classified: Literal["sources", "all"] = "sources"
    distance: str = "l1"
    loss: Mapping[str, float] = field(default_factory=dict)
    label_smoothing: float = 0.1
    steps: int = 600
    batch: int = 16
    learning_rate: float = 1e-3
    decay: bool = True
    validate_every: int = 150
    validation_draws: int = 512

    def run(self, data: TrainingData, inputs: Mapping[str, Path], run: StageRun) -> None:
        sampling, distance = self._sampling(), distance_named(self.distance)
        weights = OPTIONAL | {name: float(weight) for name, weight in self.loss.items()}
        require_known_terms(weights, TERMS)
        pairs = load_pairs(inputs["pairs"], "train", run.device)
        model = self._initial(len(data.emotions), inputs, run).to(run.device)
        optimizer = adam(
            model.parameters(), learning_rate=self.learning_rate, steps=self.steps, decay=self.decay
        )

        def loss(grid: Grid) -> Mapping[str, Tensor]:
            return measured(sampling, model, grid, distance, self.label_smoothing)

        held_out = self._validation_grids(inputs["pairs"], sampling, run)

        rng = run.generator("batch statistics")
        calibration = [sampling.draw(pairs, 32, rng) for _ in range(16)]

        def validate() -> Mapping[str, float]:
            refresh_batch_norm(model, (partial(loss, grid) for grid in calibration))
            if not held_out:
                return {}
            sums: dict[str, float] = dict.fromkeys(TERMS, 0.0)
            for grid in held_out:
                for name, term in loss(grid).items():
                    sums[name] += float(term) / len(held_out)
            return sums | {"total": sum(weights.get(name, 1.0) * value for name, value in sums.items())}

        run.fit(
            Training(
                modules={"disentangler": model},
                players=[Player("disentangler", optimizer, loss, weights)],
                batch=lambda rng: sampling.draw(pairs, self.batch, rng),
                steps=self.steps,
                validate=validate,
                validate_every=self.validate_every,
                select_by="total" if held_out else None,
            )
        )
        for name, part in model.named_children():
            save_module(run.directory / f"{name}.safetensors", part)

    @property
    def sizes(self) -> DisentanglerSizes:
        return DisentanglerSizes(
            self.width, self.hidden, self.content_dim, self.emotion_dim, self.decoder_width, self.hears
        )

    def _initial(self, num_emotions: int, inputs: Mapping[str, Path], run: StageRun) -> Disentangler:
        model = self.sizes.build(num_emotions)
        generator = run.torch_generator("initial weights")
        initialise.kaiming(model, generator)
        # The release starts with a saturated tanh and needs thousands of steps to leave it.
        initialise.normal(model.decoder.layers[-1], generator)
        load_module(classifier_file(inputs["emotion_classifier"]), model.emotion)
        if CONTENT_PRETRAINING in inputs:
            load_module(content_file(inputs[CONTENT_PRETRAINING]), model.content)
        return model

    def _sampling(self) -> Sampling:
        if self.sampling not in SAMPLINGS:
            raise ValueError(f"unknown sampling {self.sampling!r}: expected {' or '.join(SAMPLINGS)}")
        if self.content_pairs not in (1, 2):
            raise ValueError(f"content_pairs: expected 1 or 2, got {self.content_pairs!r}")
        if self.classified not in ("sources", "all"):
            raise ValueError(f"classified: expected sources or all, got {self.classified!r}")
        return SAMPLINGS[self.sampling](content_pairs=self.content_pairs, classified=self.classified)

    def _validation_grids(self, directory: Path, sampling: Sampling, run: StageRun) -> list[Grid]:
        pairs = load_pairs(directory, "validation", run.device)
        if not len(pairs):
            run.log(
                validation="none: no validation sentence was spoken with two emotions; the last step is kept"
            )
            return []
        rng = run.generator("validation draws")
        return [sampling.draw(pairs, 64, rng) for _ in range(max(1, self.validation_draws // 64))]


def load_disentangler(directory: Path, sizes: DisentanglerSizes, num_emotions: int) -> Disentangler:
    """The trained networks in the folder of a `DisentangleStage`, in eval mode."""
    model = sizes.build(num_emotions)
    for name, part in model.named_children():
        load_module(directory / f"{name}.safetensors", part)
    return model.eval()


def load_encoders(
    directory: Path, content: ContentEncoder | LogitContentEncoder, emotion: EmotionClassifier
) -> None:
    """Fill the two encoders from the folder of a `DisentangleStage`."""
    load_module(directory / "content.safetensors", content)
    load_module(directory / "emotion.safetensors", emotion)


def _grid(pairs: Pairs, picks: list[tuple[np.ndarray, np.ndarray]]) -> Grid:
    windows = torch.stack([pairs.windows(content, emotion) for content, emotion in picks])
    content, emotion = (torch.from_numpy(np.stack(column)) for column in zip(*picks, strict=True))
    logits = None if pairs.frames is None else torch.stack([pairs.heard(*pick) for pick in picks])
    return Grid(windows, content.to(windows.device), emotion.to(windows.device), logits)


@dataclass(frozen=True)
class _Embeddings:
    """Of some slots of a grid, encoded together."""

    slots: tuple[int, ...]
    together: Float[Tensor, "examples dim"]
    apart: tuple[Tensor, ...]

    def __getitem__(self, slot: int) -> Float[Tensor, "batch dim"]:
        return self.apart[self.slots.index(slot)]


def _embed(encoder: nn.Module, inputs: Tensor, slots: tuple[int, ...]) -> _Embeddings:
    together = encoder(inputs[list(slots)].flatten(0, 1))
    return _Embeddings(slots, together, together.chunk(len(slots)))


def _two_emotions(present: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Two different emotions of each row, uniformly among those present."""
    keys = np.where(present, rng.random(present.shape), -1.0)
    order = np.argsort(-keys, axis=1)
    return order[:, 0].copy(), order[:, 1].copy()


def _content_with(present: np.ndarray, rng: np.random.Generator, *emotions: np.ndarray) -> np.ndarray:
    """For each example, a content that has all of its given emotions."""
    usable = np.logical_and.reduce([present[:, emotion].T for emotion in emotions])
    return np.argmax(np.where(usable, rng.random(usable.shape), -1.0), axis=1)
