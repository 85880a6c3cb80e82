"""Prediction of stabilised landmarks from speech, with the emotion of a second utterance or a stored code."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, Float32
from torch import Tensor, nn

from models.artefacts import ArtefactError, load_module, save_module
from models.audio.deepspeech import DeepSpeech, at_video_rate, logit_windows
from models.audio.framing import num_windows
from models.audio.logits import find_recogniser
from models.audio.mfcc import mfcc, windows
from models.audio.recogniser import save_recogniser
from models.face3d.alignment import frontalise
from models.face3d.morphable import FaceModel
from models.landmarks.alignment import fill_missing, stabilise
from models.landmarks.codes import Code, EmotionCodes
from models.landmarks.network import AudioToLandmarks, AudioToLandmarksSizes
from models.landmarks.pca import LandmarkPCA
from models.landmarks.topology import Layout, in_layout

POOLINGS = ("mean", "none")
IDENTITIES = ("zeros", "frame", "target")
_ENCODE_BATCH = 256


class LandmarkPredictor:
    """A trained audio-to-landmark network with its PCA.

    Args:
        network: in eval mode when it is asked to predict.
        pca: of the subject that the network was trained for.
        pooling: "mean" gives all frames the mean emotion embedding of the emotional utterance; "none", as
            released, frame i that of its window i, the last one held where the utterance is shorter.
        use_emotion: False for a network that was trained without emotion labels: its emotion input is zero.
        codes: mean emotion embeddings of the training clips, by emotion and intensity.
        identity: the example landmarks, to which the network adds the displacement: "zeros", the subject's
            mean face, as released; "frame", the target video's first frame; "target", its mean face.
        frontal: whether faces are seen from the front, by the 3D model, or as their heads were turned.
        recogniser: hears the logits of new speech, for a content encoder of logits; without it they must be
            given.
    """

    def __init__(
        self,
        network: AudioToLandmarks,
        pca: LandmarkPCA,
        *,
        pooling: str,
        use_emotion: bool,
        codes: EmotionCodes,
        identity: str = "zeros",
        frontal: bool = False,
        recogniser: DeepSpeech | None = None,
    ) -> None:
        if identity not in IDENTITIES:
            raise ValueError(f"unknown identity {identity!r}: expected one of {', '.join(IDENTITIES)}")
        self.network = network
        self.pca = pca
        self.pooling = pooling
        self.use_emotion = use_emotion
        self.codes = codes
        self.identity = identity
        self.frontal = frontal
        self.recogniser = recogniser

    @property
    def layout(self) -> Layout:
        """The points that are predicted."""
        return self.pca.layout

    @torch.inference_mode()
    def predict(
        self,
        waveform: np.ndarray,
        *,
        emotion_waveform: np.ndarray | None = None,
        emotion_code: np.ndarray | None = None,
        target: np.ndarray | None = None,
        num_frames: int | None = None,
        logits: np.ndarray | None = None,
    ) -> Float32[np.ndarray, "frames points 2"]:
        """Stabilised landmarks in pixels, one frame per 40 ms of speech.

        Args:
            waveform: (samples,) what is said.
            emotion_waveform: (samples,) speech with the wanted emotion; None takes it from `waveform` itself.
            emotion_code: an embedding in its place, for instance from `code`.
            target: (frames, 68 or 106, 2) landmarks of the target video without head motion, see `still`;
                needed, and used, only where `identity` is not "zeros".
            num_frames: return this many, dropping the end or holding the last frame; None keeps all.
            logits: (rows, 29) at 50 Hz of `waveform`, for a content encoder that hears them; None lets the
                recogniser listen.

        Raises:
            ValueError: both an emotional waveform and a code were given, a code of another length, no target
                where one is needed, or neither logits nor a recogniser where they are heard.
        """
        content = self.encode_content(waveform, logits)
        emotion = self._emotion(waveform, emotion_waveform, emotion_code, len(content))
        coeffs = self._coefficients(content, emotion, self._example(target))
        if num_frames is not None:
            coeffs = coeffs[np.minimum(np.arange(num_frames), len(coeffs) - 1)]
        return self.pca.decode(coeffs)

    def code(self, emotion: str, intensity: int | None = None) -> Code:
        """The stored code of an emotion or of a mixture such as `angry4_neutral6`: see `EmotionCodes.get`.

        Raises:
            ValueError: it was not trained on; the message lists what was.
        """
        return self.codes.get(emotion, intensity)

    @torch.inference_mode()
    def emotion_code(self, waveform: np.ndarray) -> Float32[np.ndarray, " emotion"]:
        """The mean emotion embedding of an utterance."""
        return encode(self.network.emotion, self._windows(waveform)).mean(0).cpu().numpy()

    @torch.inference_mode()
    def encode_emotion(self, waveform: np.ndarray) -> Float32[np.ndarray, "time emotion"]:
        return encode(self.network.emotion, self._windows(waveform)).cpu().numpy()

    @torch.inference_mode()
    def encode_content(
        self, waveform: np.ndarray, logits: np.ndarray | None = None
    ) -> Float[Tensor, "time content"]:
        return encode(self.network.content, self._heard(waveform, logits))

    def save(self, directory: Path) -> None:
        save_module(directory / "network.safetensors", self.network)
        self.pca.save(directory / "pca.safetensors")
        self.codes.save(directory / "codes.safetensors")
        if self.recogniser is not None:
            save_recogniser(directory, self.recogniser)
        settings = {
            "sizes": self.network.sizes.as_dict(),
            "pooling": self.pooling,
            "use_emotion": self.use_emotion,
            "identity": self.identity,
            "frontal": self.frontal,
        }
        (directory / "predictor.json").write_text(json.dumps(settings, indent=2, sort_keys=True) + "\n")

    @classmethod
    def load(cls, directory: Path, device: torch.device) -> LandmarkPredictor:
        """The predictor in the folder of a `LandmarksStage`.

        Raises:
            ArtefactError: a file is missing, damaged or of another network.
        """
        path = directory / "predictor.json"
        try:
            settings = json.loads(path.read_text())
            sizes = AudioToLandmarksSizes(**settings.pop("sizes"))
            pooling, use_emotion = settings.pop("pooling"), settings.pop("use_emotion")
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise ArtefactError(f"{path} cannot be read ({error}): run its stage again") from error
        network = AudioToLandmarks(sizes)
        load_module(directory / "network.safetensors", network)
        pca = LandmarkPCA.load(directory / "pca.safetensors")
        codes = EmotionCodes.load(directory / "codes.safetensors")
        network = network.to(device).eval()
        settings["recogniser"] = find_recogniser(directory, device)
        return cls(network, pca, pooling=pooling, use_emotion=use_emotion, codes=codes, **settings)

    def _windows(self, waveform: np.ndarray) -> Tensor:
        device = next(self.network.parameters()).device
        return torch.from_numpy(np.ascontiguousarray(windows(mfcc(waveform)))).unsqueeze(1).to(device)

    def _heard(self, waveform: np.ndarray, logits: np.ndarray | None) -> Tensor:
        """What the content encoder gets, one window for each video frame."""
        if self.network.sizes.hears == "mfcc":
            return self._windows(waveform)
        if logits is None:
            if self.recogniser is None:
                raise ValueError(
                    "the content encoder hears logits that were computed elsewhere: give those of this "
                    "speech as logits, or train with a recogniser (features.logits=null)"
                )
            logits = self.recogniser.of(waveform)
        frames = at_video_rate(logits, num_windows(len(waveform)))
        device = next(self.network.parameters()).device
        return torch.from_numpy(np.ascontiguousarray(logit_windows(frames))).unsqueeze(1).to(device)

    def _emotion(
        self, waveform: np.ndarray, emotional: np.ndarray | None, code: np.ndarray | None, frames: int
    ) -> Tensor:
        dim = self.network.sizes.emotion_dim
        device = next(self.network.parameters()).device
        if emotional is not None and code is not None:
            raise ValueError("give an emotional waveform or an emotion code, not both")
        if not self.use_emotion:
            return torch.zeros(frames, dim, device=device)
        if code is not None:
            if code.shape != (dim,):
                raise ValueError(f"expected an emotion code of shape ({dim},), got {code.shape}")
            return torch.from_numpy(code.astype(np.float32)).to(device).expand(frames, dim)
        source = waveform if emotional is None else emotional
        embedding = encode(self.network.emotion, self._windows(source))
        return pooled(embedding, frames, self.pooling)

    def _example(self, target: np.ndarray | None) -> np.ndarray:
        if self.identity == "zeros":
            return np.zeros(self.network.sizes.num_components, np.float32)
        if target is None:
            raise ValueError(
                f"identity {self.identity!r} needs the target's landmarks without head motion, got None"
            )
        coeffs = self.pca.encode(in_layout(fill_missing(target), self.layout))
        return coeffs[0] if self.identity == "frame" else coeffs.mean(0)

    def _coefficients(self, content: Tensor, emotion: Tensor, example: np.ndarray) -> np.ndarray:
        given = torch.from_numpy(example).to(content)[None]
        return self.network(content[None], emotion[None], given)[0].cpu().numpy()


def still(landmarks: np.ndarray, model: FaceModel | None) -> Float32[np.ndarray, "frames 68 2"]:
    """Landmarks (frames, 68, 2) without head motion: stabilised, and seen from the front where there is a
    face model. Frames without a face stay NaN."""
    return stabilise(landmarks) if model is None else frontalise(landmarks, model)


def encode(encoder: nn.Module, inputs: Float[Tensor, "time 1 28 12"]) -> Float[Tensor, "time dim"]:
    """All windows through an encoder, some at a time to bound memory."""
    return torch.cat([encoder(part) for part in inputs.split(_ENCODE_BATCH)])


def pooled(embedding: Float[Tensor, "time dim"], frames: int, pooling: str) -> Float[Tensor, "frames dim"]:
    """The emotion input of each of `frames` frames, from an utterance's embeddings.

    "none" is the release's condition "audio": a longer utterance is cut, the end of a shorter one is held.
    """
    if pooling == "mean":
        return embedding.mean(0).expand(frames, -1)
    index = torch.arange(frames, device=embedding.device).clamp(max=len(embedding) - 1)
    return embedding[index]
