"""LRW, Lip Reading in the Wild (Chung & Zisserman, 2016), to pre-train content encoders on: pretraining=lrw.

Layout: `lipread_mp4/ABOUT/train/ABOUT_00001.mp4`, 500 words, up to 1000 clips each to train on. Every clip is
29 frames at 25 fps around one word of the BBC's news, with sound; who speaks is not known. The `.txt` beside
a clip tells the word's duration and is not needed. LRW must be registered for.

Only sound and landmarks are prepared. A clip in which no face is found stays, without landmarks, and whoever
trains on it leaves it out and says how many.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from benchmark.data.corpus import CorpusError, choose_sentences
from benchmark.data.discovery import find_files
from benchmark.data.parametric import synthetic_heads, synthetic_heads_identity
from benchmark.data.recordings import Recordings, Unusable, check_video
from models.landmarks.alignment import apply
from models.preprocess.decoder import shared_decoder
from models.preprocess.faces import FaceDetector
from models.preprocess.media import DECODING
from models.preprocess.pipeline import fit_sound, portrait_similarity
from models.types import Clip

VERSION = 1
FRAMES = 29
EXPECTED = "lipread_mp4/ABOUT/train/ABOUT_00001.mp4, ..."
_NAME = re.compile(r"[A-Z']+_\d{5}")


class LRW(Recordings):
    """The training clips at `root`.

    Args:
        detector: finds the landmarks.
        words: how many of the words, spread evenly over the alphabet; None takes all.
        per_word: how many clips of each, the first ones; None takes all.
    """

    name = "lrw"
    description = "LRW: single words from the BBC's news (Chung & Zisserman, 2016)."
    emotions: tuple[str, ...] = ()
    has_frames = False
    default_subject = None
    _detector: FaceDetector

    def __init__(
        self,
        *,
        root: str,
        cache: str,
        detector: FaceDetector,
        words: int | None = None,
        per_word: int | None = None,
        unusable: Unusable = "refuse",
        left_out: Sequence[str] = (),
    ) -> None:
        self._root, self._cache, self._detector = Path(root), cache, detector
        self.unusable = unusable
        top = self._root / "lipread_mp4" if (self._root / "lipread_mp4").is_dir() else self._root
        found = {
            folder.parent.name: [p for p in find_files(folder, (".mp4",)) if _NAME.fullmatch(p.stem)]
            for folder in sorted(top.glob("*/train"))
        }
        found = {word: files for word, files in found.items() if files}
        if not found:
            raise CorpusError(
                f"LRW not found at {root}: expected {EXPECTED}; set pretraining.corpus.root, or use "
                "pretraining=proxy, which needs no other corpus"
            )
        chosen = sorted(found) if words is None else choose_sentences(found, min(words, len(found)))
        paths = [path for word in chosen for path in found[word][:per_word]]
        self._files = {path.stem: path for path in self._split_off(paths, left_out)}

    def _settings(self) -> str:
        return f"lrw v{VERSION} {self._detector.identity()} {DECODING}"

    def _clip(self, name: str, directory: Path) -> Clip:
        word = name.rsplit("_", 1)[0]
        return Clip(name, "unknown", word, None, 1, directory, text=word.lower())

    @property
    def _modalities(self) -> tuple[str, ...]:
        return ("waveform", "landmarks")

    def _arrays(self, clip: Clip) -> Mapping[str, np.ndarray]:
        path = self._files[clip.id]
        track = shared_decoder().sound(path)
        video, pictures = shared_decoder().video(path)
        _check_length(path, len(pictures))
        waveform = fit_sound(track.waveform, track.start - video.start, FRAMES, path)
        landmarks = self._detector.find(pictures, path).landmarks
        if np.isfinite(landmarks).all((1, 2)).any():
            landmarks = apply(portrait_similarity(landmarks), landmarks)
        return {"waveform": waveform, "landmarks": landmarks}

    def _check(self, path: Path, *others: Path) -> str:
        _check_length(path, check_video(path))
        return ""

    def heads(self) -> np.ndarray:
        return synthetic_heads()

    def heads_identity(self) -> str:
        return synthetic_heads_identity()


def _check_length(path: Path, frames: int) -> None:
    if frames != FRAMES:
        raise CorpusError(f"{path}: {frames} frames; an LRW clip has {FRAMES}: truncated or damaged")
