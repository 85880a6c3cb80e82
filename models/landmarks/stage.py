"""Training of the audio-to-landmark network on a subject's clips."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import ClassVar, Literal

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from models import initialise
from models.audio.deepspeech import DeepSpeech
from models.audio.features import LogitBank, WindowBank, evenly_spaced, load_features
from models.audio.logits import find_recogniser, load_logits
from models.disentangle.cross import load_encoders
from models.disentangle.emotion import EmotionClassifier
from models.face3d.morphable import FaceModel
from models.landmarks.alignment import fill_missing
from models.landmarks.codes import EmotionCodes, mean_codes
from models.landmarks.network import AudioToLandmarks, AudioToLandmarksSizes
from models.landmarks.pca import LandmarkPCA
from models.landmarks.predictor import IDENTITIES, POOLINGS, LandmarkPredictor, encode, pooled, still
from models.landmarks.topology import IBUG68, LAYOUTS, Layout, in_layout, to_68
from models.losses import require_known_terms, velocity_error
from models.method import Player, Stage, StageRun, Training, TrainingData
from models.normalisation import batches_of
from models.optimisation import adam, refresh_batch_norm
from models.types import Clip

TERMS = ("coeffs", "mouth", "velocity")


@dataclass(frozen=True, kw_only=True)
class LandmarksStage(Stage):
    """Fits landmark PCA, then the network that predicts its coefficients from speech.

    Args:
        width, hidden, content_dim, emotion_dim: sizes of the encoders, as in the disentanglement stage.
        hears: what the content encoder hears, as in the disentanglement stage: "mfcc" or "deepspeech".
        use_emotion: False for a corpus without labels: no upstream encoders, emotion input zero.
        fine_tune: train the encoders too, as released. Without it they are kept, and every window is
            encoded once, which makes a step ten times cheaper. Without emotion labels there are no encoders
            to keep, and they are always trained.
        emotion_pooling: see `LandmarkPredictor`.
        emotion_swap: probability that the emotion input comes from another training clip of the same emotion
            and intensity, so that it cannot tell what is said.
        frontal: predict the face as it looks straight ahead, by the 3D model, not under whatever pose its
            head happened to have; the paper's landmarks are aligned in 2D only.
        layout: 68 points, or the 106 of the paper's detector, of which 38 are derived from the 68.
        identity: the example landmarks of a training sequence: "zeros", the subject's mean face, as released;
            "frame", the frame before the sequence, as in code of the release that is not called; "target",
            the mean face of another clip drawn at random, for the paper's "aligned landmark of the target".
            See `LandmarkPredictor` for what takes its place in use.
        head: see `AudioToLandmarksSizes`.
        sequence: frames per example.
        dropout: see `AudioToLandmarks`; keeps few sentences from being learned by heart. 0 as released.
        loss: weights of the mean squared errors: "coeffs" of the coefficients, "mouth" of the mouth's points,
            "velocity" of the coefficients' changes between frames.
        select_by: "mouth_distance" keeps the weights whose validation error of the mouth is lowest, "last"
            those of the last step.
    """

    version: ClassVar[int] = 2
    reads = ("emotion", "intensity")

    width: int = 16
    hidden: int = 256
    content_dim: int = 256
    emotion_dim: int = 128
    identity_hidden: int = 64
    identity_dim: int = 64
    lstm_hidden: int = 128
    lstm_layers: int = 3
    num_components: int = 16
    hears: str = "mfcc"
    layout: Literal[68, 106] = 68
    identity: Literal["zeros", "frame", "target"] = "zeros"
    head: Literal["linear", "mlp"] = "linear"
    use_emotion: bool = True
    fine_tune: bool = False
    emotion_pooling: str = "mean"
    emotion_swap: float = 0.5
    frontal: bool = True
    sequence: int = 16
    dropout: float = 0.3
    loss: Mapping[str, float] = field(default_factory=lambda: {"coeffs": 1.0, "mouth": 0.0, "velocity": 0.0})
    steps: int = 1200
    batch: int = 16
    learning_rate: float = 1e-3
    decay: bool = True
    select_by: Literal["mouth_distance", "last"] = "mouth_distance"
    validate_every: int = 200
    validation_clips: int = 24

    @property
    def upstream(self) -> tuple[str, ...]:  # type: ignore[override]
        logits = ("logits",) if self.hears == "deepspeech" else ()
        encoders = ("disentangle",) if self.use_emotion else ()
        return ("features", *logits, *encoders, *(("face3d",) if self.frontal else ()))

    def run(self, data: TrainingData, inputs: Mapping[str, Path], run: StageRun) -> None:
        weights = self._checked()
        features = load_features(inputs["features"])
        clips = self._usable(data.train, features, run)
        if not clips:
            raise ValueError(f"no training clip with a face has {self.sequence} frames or more")
        model = FaceModel.load(inputs["face3d"]) if self.frontal else None
        layout = LAYOUTS[self.layout]
        truths = _truths(clips, model, layout)
        pca = LandmarkPCA.fit(
            np.concatenate([truth[np.isfinite(truth).all((1, 2))] for truth in truths]), self.num_components
        )
        network = self._network(len(data.emotions), inputs, run)
        bank = WindowBank((features[clip.id] for clip in clips), run.device)
        logits = load_logits(inputs["logits"]) if "logits" in inputs else {}
        heard = (
            LogitBank((logits[clip.id] for clip in clips), bank.counts, run.device)
            if self.hears == "deepspeech"
            else bank
        )
        sequences = _Sequences(self, clips, truths, pca, bank)
        inputs_of = (
            self._encoded(network, heard, bank)
            if not self.trains_encoders
            else _TrainedEncoders(self, network, heard, bank)
        )
        mouth = torch.from_numpy(_mouth_columns(pca)).to(run.device)

        def loss(batch: _Batch) -> Mapping[str, Tensor]:
            predicted = network(*inputs_of(batch), batch.example.to(run.device))
            target = batch.coeffs.to(run.device)
            return {
                "coeffs": F.mse_loss(predicted, target),
                "mouth": F.mse_loss(predicted @ mouth, target @ mouth),
                "velocity": velocity_error(predicted, target),
            }

        held_out = self._usable(data.validation, features, run)
        held_out = [held_out[i] for i in evenly_spaced(len(held_out), self.validation_clips)]
        expected = _truths(held_out, model, IBUG68)
        # A held-out clip's own face would tell what is to be predicted.
        targets = [truths[i % len(truths)] for i in range(len(held_out))]
        recogniser = find_recogniser(inputs["logits"], run.device) if "logits" in inputs else None
        predictor = self._predictor(network, pca, EmotionCodes(), recogniser)
        trained = network if self.trains_encoders else _DecoderOnly(network)
        optimizer = adam(
            trained.parameters(), learning_rate=self.learning_rate, steps=self.steps, decay=self.decay
        )
        rng = run.generator("batch statistics")
        calibration = [sequences.draw(rng) for _ in range(16)] if self.trains_encoders else []

        def validate() -> Mapping[str, float]:
            if self.trains_encoders:
                refresh_batch_norm(network, (partial(inputs_of, batch) for batch in calibration))
            return _mouth_distance(predictor, held_out, expected, targets, logits) if held_out else {}

        run.fit(
            Training(
                modules={"network": trained.train()},
                players=[Player("landmarks", optimizer, loss, weights)],
                batch=sequences.draw,
                steps=self.steps,
                validate=validate,
                validate_every=self.validate_every,
                select_by=self.select_by if held_out and self.select_by != "last" else None,
            )
        )
        codes = self._codes(network, clips, bank)
        self._predictor(network, pca, codes, recogniser).save(run.directory)

    @property
    def trains_encoders(self) -> bool:
        return self.fine_tune or not self.use_emotion

    def _checked(self) -> dict[str, float]:
        weights = {name: float(weight) for name, weight in self.loss.items()}
        require_known_terms(weights, TERMS)
        if self.emotion_pooling not in POOLINGS:
            raise ValueError(
                f"unknown emotion_pooling {self.emotion_pooling!r}: expected {' or '.join(POOLINGS)}"
            )
        if self.layout not in LAYOUTS:
            raise ValueError(f"unknown layout {self.layout!r}: expected 68 or 106")
        if self.identity not in IDENTITIES:
            raise ValueError(f"unknown identity {self.identity!r}: expected one of {', '.join(IDENTITIES)}")
        if self.select_by not in ("mouth_distance", "last"):
            raise ValueError(f"unknown select_by {self.select_by!r}: expected mouth_distance or last")
        return weights

    def _usable(self, clips: Sequence[Clip], features: Mapping[str, np.ndarray], run: StageRun) -> list[Clip]:
        """Clips long enough for one sequence, with a face in some frame; how many are left out is logged."""
        kept = [
            clip
            for clip in clips
            if clip.num_frames >= self.sequence and np.isfinite(clip.landmarks).all((1, 2)).any()
        ]
        if len(kept) < len(clips):
            run.log(left_out=len(clips) - len(kept), reason=f"no face, or fewer than {self.sequence} frames")
        missing = [clip.id for clip in kept if clip.id not in features]
        if missing:
            raise ValueError(f"clip {missing[0]} has no features: run the features stage on this data again")
        return kept

    def _network(self, num_emotions: int, inputs: Mapping[str, Path], run: StageRun) -> AudioToLandmarks:
        network = AudioToLandmarks(self.sizes, dropout=self.dropout)
        generator = run.torch_generator("initial weights")
        for part in (network.content, network.emotion):
            initialise.kaiming(part, generator)
        for part in (network.identity, network.lstm, network.head):
            initialise.uniform(part, generator)
        if self.use_emotion:
            classifier = EmotionClassifier(
                num_emotions=num_emotions, width=self.width, hidden=self.hidden, dim=self.emotion_dim
            )
            load_encoders(inputs["disentangle"], network.content, classifier)
            network.emotion.load_state_dict(classifier.encoder.state_dict())
        return network.to(run.device)

    @property
    def sizes(self) -> AudioToLandmarksSizes:
        return AudioToLandmarksSizes(
            self.width,
            self.hidden,
            self.content_dim,
            self.emotion_dim,
            self.identity_hidden,
            self.identity_dim,
            self.lstm_hidden,
            self.lstm_layers,
            self.num_components,
            self.head,
            self.hears,
        )

    def _encoded(
        self, network: AudioToLandmarks, heard: WindowBank | LogitBank, bank: WindowBank
    ) -> _FixedEncoders:
        network.eval()
        content, emotion = _embeddings(network.content, heard), _embeddings(network.emotion, bank)
        per_frame = [
            pooled(part, len(part), self.emotion_pooling) for part in emotion.split(bank.counts.tolist())
        ]
        return _FixedEncoders(content, torch.cat(per_frame))

    def _predictor(
        self, network: AudioToLandmarks, pca: LandmarkPCA, codes: EmotionCodes, recogniser: DeepSpeech | None
    ) -> LandmarkPredictor:
        return LandmarkPredictor(
            network,
            pca,
            pooling=self.emotion_pooling,
            use_emotion=self.use_emotion,
            codes=codes,
            identity=self.identity,
            frontal=self.frontal,
            recogniser=recogniser,
        )

    def _codes(self, network: AudioToLandmarks, clips: Sequence[Clip], bank: WindowBank) -> EmotionCodes:
        if not self.use_emotion:
            return EmotionCodes()
        network.eval()
        embeddings = _embeddings(network.emotion, bank).split(bank.counts.tolist())
        return mean_codes(embeddings, [clip.emotion for clip in clips], [clip.intensity for clip in clips])


@dataclass(frozen=True)
class _Batch:
    windows: np.ndarray
    """(batch, time) indices into the bank: what is said."""
    emotion: np.ndarray
    """(batch, time) indices into the bank: how it is felt."""
    coeffs: Tensor
    """(batch, time, components)"""
    example: Tensor
    """(batch, components): whose displacement is to be predicted."""


class _Sequences:
    """Random sequences of consecutive frames; a clip is drawn in proportion to the starts that it offers."""

    def __init__(
        self,
        stage: LandmarksStage,
        clips: Sequence[Clip],
        truths: Sequence[np.ndarray],
        pca: LandmarkPCA,
        bank: WindowBank,
    ) -> None:
        self.batch, self.length, self.swap = stage.batch, stage.sequence, stage.emotion_swap
        self.first = bank.first
        self.identity = stage.identity
        frames = np.minimum(bank.counts, [len(truth) for truth in truths])
        self.starts = np.maximum(frames - self.length + 1, 0)
        if not self.starts.sum():
            raise ValueError(f"no training clip with a face has {self.length} frames or more")
        self.coeffs = [torch.from_numpy(pca.encode(fill_missing(truth))) for truth in truths]
        self.faces = torch.stack([coeffs.mean(0) for coeffs in self.coeffs])
        self.clip_of = np.repeat(np.arange(len(clips)), self.starts)
        self.start_of = np.concatenate([np.arange(n) for n in self.starts])
        kinds = [(clip.emotion, clip.intensity) for clip in clips]
        self.alike = [
            np.array([j for j, other in enumerate(kinds) if other == kind and self.starts[j]])
            for kind in kinds
        ]

    def draw(self, rng: np.random.Generator) -> _Batch:
        picks = rng.integers(len(self.clip_of), size=self.batch)
        clips, starts = self.clip_of[picks], self.start_of[picks]
        partners = np.array([rng.choice(self.alike[clip]) for clip in clips])
        swapped = rng.random(self.batch) < self.swap
        other_starts = rng.integers(self.starts[partners])
        emotional = np.where(swapped, self.first[partners] + other_starts, self.first[clips] + starts)
        steps = np.arange(self.length)
        targets = [
            self.coeffs[clip][start : start + self.length] for clip, start in zip(clips, starts, strict=True)
        ]
        return _Batch(
            (self.first[clips] + starts)[:, None] + steps,
            emotional[:, None] + steps,
            torch.stack(targets),
            self._examples(clips, starts, rng),
        )

    def _examples(self, clips: np.ndarray, starts: np.ndarray, rng: np.random.Generator) -> Tensor:
        if self.identity == "frame":
            before = np.maximum(starts - 1, 0)
            return torch.stack([self.coeffs[clip][at] for clip, at in zip(clips, before, strict=True)])
        if self.identity == "target":
            return self.faces[torch.from_numpy(rng.integers(len(self.faces), size=len(clips)))]
        return self.faces.new_zeros(len(clips), self.faces.shape[1])


@dataclass(frozen=True)
class _FixedEncoders:
    content: Tensor
    emotion: Tensor

    def __call__(self, batch: _Batch) -> tuple[Tensor, Tensor]:
        device = self.content.device
        content = torch.from_numpy(batch.windows).to(device)
        emotion = torch.from_numpy(batch.emotion).to(device)
        return self.content[content], self.emotion[emotion]


@dataclass(frozen=True)
class _TrainedEncoders:
    stage: LandmarksStage
    network: AudioToLandmarks
    heard: WindowBank | LogitBank
    """What the content encoder gets."""
    bank: WindowBank

    def __call__(self, batch: _Batch) -> tuple[Tensor, Tensor]:
        content = _step_by_step(self.network.content, self.heard, batch.windows)
        if not self.stage.use_emotion:
            return content, content.new_zeros(*batch.windows.shape, self.stage.emotion_dim)
        emotion = _step_by_step(self.network.emotion, self.bank, batch.emotion)
        if self.stage.emotion_pooling == "mean":
            emotion = emotion.mean(1, keepdim=True).expand_as(emotion)
        return content, emotion


def _step_by_step(
    encoder: torch.nn.Module, bank: WindowBank | LogitBank, windows: np.ndarray
) -> Float[Tensor, "batch time dim"]:
    """Embeddings of windows (batch, time), all at once, but batch norm sees one time step at a time.

    As released: its encoders are called once for every step.
    """
    batch, time = windows.shape
    with batches_of(batch, encoder):
        return encoder(bank.windows(windows.T.ravel())).unflatten(0, (time, batch)).transpose(0, 1)


class _DecoderOnly(torch.nn.Module):
    """The trained part of a network whose encoders are kept, so that they stay in eval mode."""

    def __init__(self, network: AudioToLandmarks) -> None:
        super().__init__()
        self.identity, self.lstm, self.head = network.identity, network.lstm, network.head
        self.dropout = network.dropout


@torch.no_grad()
def _embeddings(encoder: torch.nn.Module, bank: WindowBank | LogitBank) -> Tensor:
    return encode(encoder, bank.windows(np.arange(len(bank))))


def _truths(clips: Sequence[Clip], model: FaceModel | None, layout: Layout) -> list[np.ndarray]:
    """(frames, points, 2) landmarks of each clip without head motion."""
    return [in_layout(still(clip.landmarks, model), layout) for clip in clips]


def _mouth_columns(pca: LandmarkPCA) -> np.ndarray:
    """(components, 2 mouth points): from coefficients to the mouth's normalised coordinates."""
    columns = pca.components.T.reshape(pca.components.shape[1], -1, 2)[:, pca.layout.region("mouth")]
    return columns.reshape(len(columns), -1)


def _mouth_distance(
    predictor: LandmarkPredictor,
    clips: Sequence[Clip],
    truths: Sequence[np.ndarray],
    targets: Sequence[np.ndarray],
    logits: Mapping[str, np.ndarray],
) -> Mapping[str, float]:
    """Mean distance of the mouth and of all of the 68 landmarks in pixels; every clip counts equally."""
    mouths, faces = [], []
    for clip, truth, target in zip(clips, truths, targets, strict=True):
        predicted = to_68(
            predictor.predict(clip.waveform, target=target, num_frames=len(truth), logits=logits.get(clip.id))
        )
        distance = np.linalg.norm(predicted - truth, axis=-1)[np.isfinite(truth).all((1, 2))]
        mouths.append(distance[:, list(IBUG68.regions["mouth"])].mean())
        faces.append(distance.mean())
    return {"mouth_distance": float(np.mean(mouths)), "face_distance": float(np.mean(faces))}
