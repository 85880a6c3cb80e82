"""EVP: Audio-Driven Emotional Video Portraits (Ji et al., CVPR 2021). Read this file first.

    speech ──> MFCC windows ──> content encoder ─┐
                                                 ├─> LSTM ─> landmarks, free of head motion
    emotional speech ─> MFCC ─> emotion encoder ─┘               │
                                                                 ▼
    target video ──> its landmarks ──> head pose ─────> 3D-aware alignment ─> edge sketch ─> GAN ─> frames
                 └─> its edges outside the face ────────────────────────────────┘

It is trained in stages, one set of networks for each subject:

1. `features`             28 x 12 MFCC windows, one for each video frame;
   (`recogniser`, `logits`: where what is said is heard in DeepSpeech features, a speech recogniser and the
   character logits of all clips, which then go to the content encoder in place of the MFCC);
2. `emotion_classifier`   the emotion encoder learns to tell the emotion of a window;
3. `pairs`                dynamic time warping puts the same sentence in two emotions on one time axis;
   (`content_pretraining`: where the content encoder doesn't start from random weights, what it starts from);
4. `disentangle`          from the content of one and the emotion of another, a decoder rebuilds the window
                          that has both: so content and emotion are split without labels for content;
5. `face3d`               a linear 3D face model tells head pose from expression;
6. `landmarks`            an LSTM on content, emotion and identity predicts landmarks as PCA coefficients;
7. `renderer`             a conditional video GAN learns frames from edge sketches of the subject's own video.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch

from models.audio.features import FeaturesStage
from models.audio.logits import LogitsStage
from models.audio.pairs import PairsStage
from models.audio.recogniser import RecogniserStage
from models.disentangle.cross import DisentangleStage
from models.disentangle.emotion import EmotionClassifierStage
from models.disentangle.pretraining import NAME as CONTENT_PRETRAINING
from models.face3d.alignment import LandmarkAlignment
from models.face3d.morphable import FaceModel
from models.landmarks.predictor import LandmarkPredictor, still
from models.landmarks.silence import RULES
from models.landmarks.stage import LandmarksStage
from models.landmarks.topology import to_68
from models.method import Embedder, Method, Predictor, Stage, TrainingData
from models.rendering.renderer import Renderer
from models.rendering.stage import RendererStage
from models.types import Clip, Prediction, Request


class EVP(Method):
    """The whole method, or what is left of it on a corpus without emotion labels or without video.

    Args:
        align: how the predicted face is put under the target's head pose.
        emotion_from: "audio" takes the emotion from the emotional utterance itself, the release's condition
            of that name; "label" from the mean embedding of that emotion's training clips, its condition
            "feature".
        content_pretraining: what the content encoder starts from; None starts from random weights.
        silence: what happens to the mouth in long pauses, see `models.landmarks.silence`.
        recogniser, logits: where the content encoder hears logits in place of MFCC. The recogniser is not
            trained if they were computed elsewhere.
        emotions: whether the corpus has emotion labels. Without them nothing can be paired or
            disentangled: landmarks are then predicted from content alone.
        frames: whether the corpus has video. Without it the method ends at landmarks.
    """

    def __init__(
        self,
        *,
        features: FeaturesStage,
        emotion_classifier: EmotionClassifierStage,
        pairs: PairsStage,
        disentangle: DisentangleStage,
        landmarks: LandmarksStage,
        face3d: Stage,
        align: LandmarkAlignment,
        renderer: RendererStage,
        recogniser: RecogniserStage | None = None,
        logits: LogitsStage | None = None,
        content_pretraining: Stage | None = None,
        emotion_from: str = "audio",
        silence: Literal["none", "released", "recommended"] = "none",
        emotions: bool = True,
        frames: bool = True,
    ) -> None:
        if emotion_from not in ("audio", "label"):
            raise ValueError(f"emotion_from: expected audio or label, got {emotion_from!r}")
        if silence not in RULES:
            raise ValueError(f"silence: expected one of {', '.join(RULES)}, got {silence!r}")
        self.align = align
        self.silence = silence
        self.emotion_from = emotion_from
        self._stages: dict[str, Stage] = {"features": features, "face3d": face3d}
        self._precomputed = logits.precomputed if logits else None
        if logits is not None:
            if self._precomputed is None:
                if recogniser is None:
                    raise ValueError("logits need a recogniser, or a folder of precomputed ones")
                self._stages["recogniser"] = recogniser
            self._stages["logits"] = logits
        if emotions:
            if content_pretraining is not None:
                if disentangle.hears != "mfcc":
                    raise ValueError("content_pretraining: pre-trained encoders hear MFCC; use features=mfcc")
                self._stages[CONTENT_PRETRAINING] = content_pretraining
                disentangle = replace(disentangle, upstream=(*disentangle.upstream, CONTENT_PRETRAINING))
            self._stages |= {
                "emotion_classifier": emotion_classifier,
                "pairs": pairs,
                "disentangle": disentangle,
            }
        self._stages["landmarks"] = landmarks
        if frames:
            self._stages["renderer"] = renderer

    def stages(self) -> Mapping[str, Stage]:
        return self._stages

    def predictor(self, data: TrainingData, inputs: Mapping[str, Path], device: torch.device) -> Predictor:
        speak = LandmarkPredictor.load(inputs["landmarks"], device)
        model = FaceModel.load(inputs["face3d"])
        renderer = Renderer.load(inputs["renderer"], device) if "renderer" in inputs else None

        def predict(request: Request) -> Prediction:
            spoken = self.still_face(
                speak,
                request.waveform,
                request.num_frames,
                request.target.landmarks,
                model,
                **self._logits(request),
                **self._emotion(speak, request),
            )
            landmarks = self.align.align(spoken, request.target.landmarks, model)
            if renderer is None or request.target.frames is None:
                return Prediction(landmarks)
            return Prediction(landmarks, renderer.render(landmarks, request.target))

        return predict

    embedding_keys = ()

    @property
    def embedding_stages(self) -> tuple[str, ...]:
        """Logits that were computed elsewhere exist for the study's own clips only, so nothing is embedded
        from these."""
        return () if self._precomputed else ("landmarks",)

    def embedder(self, inputs: Mapping[str, Path], device: torch.device) -> Embedder:
        """The embeddings that landmarks are predicted from, before the emotion's are pooled over time."""
        speak = LandmarkPredictor.load(inputs["landmarks"], device)

        def embed(clip: Clip) -> Mapping[str, np.ndarray]:
            content = speak.encode_content(clip.waveform).cpu().numpy()
            if not speak.use_emotion:
                return {"content": content}
            return {"content": content, "emotion": speak.encode_emotion(clip.waveform)}

        return embed

    def still_face(
        self,
        speak: LandmarkPredictor,
        waveform: np.ndarray,
        num_frames: int,
        target: np.ndarray,
        model: FaceModel,
        **told: Any,
    ) -> np.ndarray:
        """Stabilised landmarks (frames, 68, 2) of the subject who says `waveform`.

        Args:
            target: (frames, 68, 2) landmarks of the target video.
            told: the wanted emotion, and logits computed elsewhere: see `LandmarkPredictor.predict`.
        """
        example = None
        if speak.identity != "zeros":
            example = still(target, model if speak.frontal else None)
        spoken = speak.predict(waveform, num_frames=num_frames, target=example, **told)
        # The same request gets the same bits, so the rule that draws at random starts anew each time.
        return to_68(RULES[self.silence](spoken, waveform, np.random.default_rng(0)))

    def _logits(self, request: Request) -> dict[str, Any]:
        if self._precomputed is None:
            return {}
        return {"logits": self._precomputed.of(request.recording, len(request.waveform))}

    def _emotion(self, speak: LandmarkPredictor, request: Request) -> dict[str, Any]:
        if not speak.use_emotion:
            return {}
        if self.emotion_from == "audio":
            return {"emotion_waveform": request.emotion_waveform}
        if request.emotion is None:
            raise ValueError("emotion_from=label needs a request with an emotion label, got None")
        return {"emotion_code": speak.code(request.emotion)}
