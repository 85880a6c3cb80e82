"""Who speaks, what, and how: the voice, the wanted emotion, and the landmarks that follow from them."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from models.audio.framing import SAMPLE_RATE, SAMPLES_PER_FRAME
from models.errors import InputError
from models.evp import EVP
from models.face3d.morphable import FaceModel
from models.landmarks.alignment import fill_missing
from models.landmarks.predictor import LandmarkPredictor
from models.preprocess.decoder import shared_decoder
from models.preprocess.pipeline import whole_frames
from models.talk.personal import at_rest, carry_over
from models.talk.trained import TrainedRun
from models.types import ping_pong

SHORTEST = 0.2
"""Seconds of sound below which nothing is said."""
SILENT = 1e-3
"""Loudest sample, of 1, below which a recording is silence."""
NEUTRAL = "neutral"


def read_voice(path: Path) -> np.ndarray:
    """Return (samples,) float32 at 16 kHz mono, a whole number of video frames; stderr says what is odd.

    Raises:
        InputError: the file is unreadable, silent or too short.
    """
    sound = shared_decoder().sound(path)
    for note in sound.notes:
        print(f"{path}: {note}", file=sys.stderr)
    waveform = sound.waveform
    if len(waveform) < SHORTEST * SAMPLE_RATE:
        raise InputError(
            f"{path}: {len(waveform) / SAMPLE_RATE:.2f} s of sound; expected {SHORTEST} s or more"
        )
    if np.abs(waveform).max() < SILENT:
        raise InputError(f"{path}: the sound is silent: expected speech")
    return whole_frames(waveform)


@dataclass(frozen=True)
class Speaker:
    """The parts of a trained run that turn speech into landmarks."""

    method: EVP
    predictor: LandmarkPredictor
    face: FaceModel

    @staticmethod
    def load(run: TrainedRun, device: torch.device) -> Speaker:
        predictor = LandmarkPredictor.load(run.folder("landmarks"), device)
        return Speaker(run.method, predictor, FaceModel.load(run.folder("face3d")))

    def emotion(self, asked: str | None, intensity: int | None, heard: Path | None) -> Mapping[str, Any]:
        """What the predictor is told of the wanted emotion: a code, an utterance, or nothing.

        Args:
            asked: a label, or a mixture such as `angry4_neutral6`.
            intensity: of `asked`; None for the mean of all.
            heard: speech with the wanted emotion.

        Raises:
            InputError: a label or intensity that the run was not trained on, a run without emotions, or a
                recording that cannot be used.
        """
        if asked is None and heard is None:
            return {}
        if not self.predictor.use_emotion:
            raise InputError(
                "the run was trained on a corpus without emotion labels: leave --emotion and --emotion-from "
                "out, or name a run of another corpus with --run"
            )
        if heard is not None:
            return {"emotion_waveform": read_voice(heard)}
        assert asked is not None
        try:
            return {"emotion_code": self.predictor.code(asked, intensity)}
        except ValueError as error:
            raise InputError(f"--emotion: {error}") from error

    def landmarks(
        self, voice: np.ndarray, emotion: Mapping[str, Any], target: np.ndarray, *, carried: bool
    ) -> np.ndarray:
        """(time, 68, 2) in the target's crop, under its head motion, one for each frame of the voice.

        Args:
            target: (frames, 68, 2) landmarks of the target video.
            carried: put the predicted displacements on the target's own face; without, the run's subject's
                face is predicted, as in EVP.
        """
        count = len(voice) // SAMPLES_PER_FRAME
        complete = fill_missing(target)
        still = self._still(voice, complete, emotion)
        if carried:
            plain = {"emotion_code": self.predictor.code(NEUTRAL)} if self._knows(NEUTRAL) else {}
            rest = at_rest(self._still(voice, complete, plain))
            still = carry_over(still, rest, complete, ping_pong(len(target), count), self.face)
        return self.method.align.align(still, complete, self.face)

    def _still(self, voice: np.ndarray, target: np.ndarray, emotion: Mapping[str, Any]) -> np.ndarray:
        count = len(voice) // SAMPLES_PER_FRAME
        return self.method.still_face(self.predictor, voice, count, target, self.face, **emotion)

    def _knows(self, emotion: str) -> bool:
        return self.predictor.use_emotion and emotion in self.predictor.codes.mean
