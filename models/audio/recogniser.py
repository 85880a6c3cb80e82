"""A small speech recogniser, trained where the weights of DeepSpeech are not at hand.

The layers, the input, the alphabet and the loss are those of DeepSpeech 0.1; width, speech and length of
training are not. It is "deepspeech-small, CTC on generated speech" wherever it is named, never DeepSpeech.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from models import initialise
from models.artefacts import ArtefactError, load_module, save_module
from models.audio.deepspeech import BLANK, DeepSpeech, in_context, recogniser_rows
from models.audio.transcripts import character_error_rate, greedy_text, labels, normalised
from models.method import Player, Stage, StageRun, Training, TrainingData
from models.types import Transcribed

LABEL = "deepspeech-small, CTC on generated speech"

_WEIGHTS, _SIZES = "recogniser.safetensors", "recogniser.json"
_BUCKET = 4
"""A batch is drawn from so many times its size of utterances of nearly one length."""


@dataclass(frozen=True, kw_only=True)
class RecogniserStage(Stage):
    """Trains a `DeepSpeech` of some width on `TrainingData.transcribed`; other sentences of it select.

    The log ends with the character error rates on those sentences and on the subject's validation clips.

    Args:
        width: of the network; 2048 is DeepSpeech's.
        sentences: how many are heard, the held-out ones included; each is read once.
        held_out: how many of them select the weights.
        largest_gradient: the norm that gradients are scaled down to.
        warm_up: steps in which the rate rises from zero; over the second half of all steps it falls to zero.
        seed: of this stage, in all cells: one recogniser serves a study, as DeepSpeech would.
    """

    reads = ("text", "transcribed")

    width: int = 192
    dropout: float = 0.05
    sentences: int = 2400
    held_out: int = 100
    steps: int = 1600
    batch: int = 16
    learning_rate: float = 2e-3
    warm_up: int = 50
    largest_gradient: float = 1.0
    validate_every: int = 200
    seed: int = 0

    @property
    def own_seed(self) -> int:  # type: ignore[override]
        return self.seed

    def run(self, data: TrainingData, inputs: Mapping[str, Path], run: StageRun) -> None:
        heard: list[_Heard] = []
        for spoken in data.transcribed(self.sentences):
            heard.append(_Heard.of(spoken))
            run.progress(len(heard), self.sentences)
        learned, held_out = heard[: -self.held_out], heard[-self.held_out :]
        if len(learned) < self.batch or self.held_out < 1:
            raise ValueError(
                f"expected a batch of {self.batch} sentences to learn and one or more to select by, got "
                f"{len(heard)} with {self.held_out} held out: raise sentences"
            )
        model = DeepSpeech(width=self.width, dropout=self.dropout)
        initialised(model, run.torch_generator("initial weights"))
        model.to(run.device)
        batches = _Batches(learned, self.batch)

        def loss(batch: Sequence[_Heard]) -> Mapping[str, Tensor]:
            return {"ctc": ctc(model, batch, run.device)}

        run.fit(
            Training(
                modules={"recogniser": model.train()},
                players=[Player("recogniser", self._optimizer(model), loss)],
                batch=batches.draw,
                steps=self.steps,
                validate=lambda: {"character_error_rate": error_rate(model, held_out)},
                validate_every=self.validate_every,
                select_by="character_error_rate",
            )
        )
        model.eval()
        told = [_Heard.of(Transcribed(c.waveform, c.text)) for c in data.validation if normalised(c.text)]
        run.log(
            recogniser=LABEL,
            generated_speech_character_error_rate=error_rate(model, held_out),
            **({"validation_clips_character_error_rate": error_rate(model, told)} if told else {}),
        )
        save_recogniser(run.directory, model)

    def _optimizer(self, model: nn.Module) -> torch.optim.Optimizer:
        optimizer = torch.optim.Adam(model.parameters(), lr=self.learning_rate / self.warm_up, fused=True)

        def clip(*_: object) -> None:
            nn.utils.clip_grad_norm_(model.parameters(), self.largest_gradient)

        def follow(optimizer: torch.optim.Optimizer, *_: object) -> None:
            taken = next(float(state["step"]) for state in optimizer.state.values() if "step" in state)
            rise, fall = (taken + 1) / self.warm_up, 2 * max(0.0, 1 - taken / self.steps)
            for group in optimizer.param_groups:
                group["lr"] = self.learning_rate * min(1.0, rise, fall)

        optimizer.register_step_pre_hook(clip)
        optimizer.register_step_post_hook(follow)
        return optimizer


@dataclass(frozen=True)
class _Heard:
    rows: np.ndarray
    """Input rows before they are stacked: thousands of utterances are held."""
    labels: np.ndarray
    text: str

    @property
    def features(self) -> Tensor:
        """(time, 494)"""
        return torch.from_numpy(in_context(self.rows))

    @classmethod
    def of(cls, spoken: Transcribed) -> _Heard:
        return cls(recogniser_rows(spoken.waveform), labels(spoken.text), spoken.text)


class _Batches:
    """Draws utterances of nearly one length, so that little of a batch is padding."""

    def __init__(self, utterances: Iterable[_Heard], batch: int) -> None:
        self._sorted = sorted(utterances, key=lambda heard: len(heard.rows))
        self._batch = batch

    def draw(self, rng: np.random.Generator) -> list[_Heard]:
        size = min(_BUCKET * self._batch, len(self._sorted))
        first = rng.integers(len(self._sorted) - size + 1)
        picks = first + rng.choice(size, self._batch, replace=False)
        return [self._sorted[pick] for pick in picks]


def initialised(model: DeepSpeech, generator: torch.Generator) -> None:
    """Fresh weights; the LSTM's forget gates begin open, as in TensorFlow's cell."""
    initialise.kaiming(model, generator)
    for lstm in (model.onward, model.returning):
        initialise.uniform(lstm, generator)
        with torch.no_grad():
            for name, parameter in lstm.named_parameters():
                if name.startswith("bias"):
                    parameter.zero_()
                if name.startswith("bias_ih"):
                    parameter[model.width : 2 * model.width] = 1.0


def ctc(model: DeepSpeech, batch: Sequence[_Heard], device: torch.device) -> Tensor:
    """The CTC loss of a batch per character, the mean over utterances (Graves et al., ICML 2006)."""
    each = [heard.features for heard in batch]
    lengths = torch.tensor([len(features) for features in each])
    features = nn.utils.rnn.pad_sequence(each, batch_first=True)
    said = torch.from_numpy(np.concatenate([heard.labels for heard in batch]))
    characters = torch.tensor([len(heard.labels) for heard in batch])
    log_probability = model(features.to(device), lengths).log_softmax(-1).transpose(0, 1)
    return F.ctc_loss(log_probability, said.to(device), lengths, characters, blank=BLANK)


@torch.no_grad()
def error_rate(model: DeepSpeech, utterances: Sequence[_Heard]) -> float:
    """The character error rate of greedy transcripts, by a network in eval mode."""
    device = next(model.parameters()).device
    texts = [greedy_text(model(heard.features.to(device)[None])[0].cpu().numpy()) for heard in utterances]
    return character_error_rate(texts, [heard.text for heard in utterances])


def save_recogniser(directory: Path, model: DeepSpeech) -> None:
    save_module(directory / _WEIGHTS, model)
    (directory / _SIZES).write_text(json.dumps({"width": model.width}) + "\n")


def holds_recogniser(directory: Path) -> bool:
    return (directory / _SIZES).exists() or (directory / _WEIGHTS).exists()


def load_recogniser(directory: Path, device: torch.device) -> DeepSpeech:
    """The network that `save_recogniser` left, in eval mode.

    Raises:
        ArtefactError: a file is missing, damaged or of another network.
    """
    path = directory / _SIZES
    try:
        model = DeepSpeech(width=int(json.loads(path.read_text())["width"]))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ArtefactError(f"{path} cannot be read ({error}): run its stage again") from error
    load_module(directory / _WEIGHTS, model)
    return model.to(device).eval()
