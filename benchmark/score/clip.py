"""One pair of videos: decoded, brought into one space, and scored under every protocol that applies.

Runs in worker processes. Decoded frames lie in unnamed files on disk and are mapped, so that memory does
not grow with the length of a video.
"""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import cv2
import numpy as np

from benchmark.data.clip_store import holds, publish
from benchmark.metrics.judge_file import JudgeError
from benchmark.metrics.judges import NO_JUDGES, Judges
from benchmark.metrics.landmarks import faces_found
from benchmark.metrics.registry import metric_of
from benchmark.metrics.score import Score
from benchmark.metrics.scorer import frame_features, score_clip, set_protocols
from benchmark.metrics.sync import SyncJudge
from benchmark.score.pairing import SIDES, Pair, Side
from models.audio.framing import SAMPLES_PER_FRAME
from models.errors import InputError, storage_error
from models.landmarks.alignment import apply
from models.numerics import array_numerics
from models.preprocess.audio import Sound
from models.preprocess.decoder import shared_decoder
from models.preprocess.facemesh import FaceMesh
from models.preprocess.faces import FaceDetector, Faces
from models.preprocess.landmark_files import read_landmarks
from models.preprocess.media import DECODING
from models.preprocess.people import DEFAULT_FACE
from models.preprocess.pipeline import crop, find_face, fit_sound, portrait_similarity
from models.sealed import read_sealed
from models.types import CROP_SIZE, Prediction

if TYPE_CHECKING:
    from benchmark.metrics.extractors import FrameExtractor

Crop = Literal["none", "face"]
FACES = ("landmarks", "people", "note")
"""Arrays that the cache holds of each video."""
CHUNK = 64
"""Frames that are cropped at a time."""


@dataclass(frozen=True)
class Rules:
    """How pairs are scored; nothing of it depends on the machine."""

    crop: Crop = "none"
    landmarks: bool = True
    """Whether protocols that need landmarks are computed."""
    extractors: tuple[str, ...] = ()
    inception_weights: Path | None = None
    every: int = 1
    """Every so many frames go into the scores of the whole set."""
    face: str | int = DEFAULT_FACE
    """Whose face of several in the reference; the generated video's is the one at the same place."""
    sync_judge: Path | None = None
    """File of a `SyncJudge`, which hears the reference's sound track."""


@dataclass(frozen=True)
class ClipResult:
    name: str
    scores: Mapping[str, Score]
    features: Mapping[str, tuple[np.ndarray, np.ndarray]]
    """(n, d) of generated and reference frames, by `Metric.features`."""
    faces: int
    """Frames of the reference with a face; 0 where landmarks are not used."""
    notes: tuple[str, ...] = ()
    """Who is in the pictures where it is not clear, in sentences."""
    sound_notes: tuple[str, ...] = ()
    """What is wrong with the reference's sound, where it is heard."""


def prepare(rules: Rules) -> None:
    """Make what the rules ask for, so that missing weights are told before any work.

    Raises:
        InputError: an extractor is unknown, or its weights or the judge's file are missing.
    """
    try:
        _judges(rules.sync_judge)
    except JudgeError as error:
        raise InputError(str(error)) from error
    if not rules.extractors:
        return
    from benchmark.metrics.extractors import ExtractorError

    try:
        found = _extractors(rules.extractors, rules.inception_weights)
    except ExtractorError as error:
        raise InputError(str(error)) from error
    for name in found:
        if not set_protocols([name]):
            raise InputError(f"no protocol uses the extractor {name!r}")


def score_pair(pair: Pair, rules: Rules, cache: Path) -> ClipResult:
    """Every clip protocol, and the features for protocols of the set.

    Args:
        cache: folder in which detected landmarks are kept.

    Raises:
        InputError: naming the file: it cannot be decoded, is not what its container said, or shows no face.
        ValueError: naming the clip: a protocol cannot be computed from it.
    """
    generated, reference, notes = load_pair(pair, rules, cache)
    sound = None if rules.sync_judge is None else sound_of(pair)
    scores = score_clip(
        generated,
        reference,
        clip_id=pair.name,
        judges=_judges(rules.sync_judge),
        waveform=None if sound is None else sound.waveform,
    )
    if not rules.landmarks:
        scores = {name: s for name, s in scores.items() if "landmarks" not in metric_of(name).needs}
    networks = _extractors(rules.extractors, rules.inception_weights)
    features = [
        frame_features(frames, networks, every=rules.every)
        for frames in (generated.frames, reference.frames)
        if frames is not None
    ]
    found = int(np.isfinite(reference.landmarks).all((1, 2)).sum())
    both = {name: (features[0][name], features[1][name]) for name in features[1]}
    return ClipResult(pair.name, scores, both, found, notes, () if sound is None else sound.notes)


def load_pair(pair: Pair, rules: Rules, cache: Path) -> tuple[Prediction, Prediction, tuple[str, ...]]:
    """Return generated and reference video as the protocols see them, and notes on who is in them.

    Both have frames of one size and landmarks of one crop.

    Raises:
        InputError: naming the file.
    """
    pictures = [_decode(side) for side in (pair.generated, pair.reference)]
    faces = _faces(pair, pictures, rules, cache)
    landmarks = [each.landmarks for each in faces]
    notes = tuple(
        f"{name} {pair.name}: {each.note}." for name, each in zip(SIDES, faces, strict=True) if each.note
    )
    pictures, landmarks = ([each[: pair.frames] for each in part] for part in (pictures, landmarks))
    height, width = pictures[1].shape[1:3]
    if pictures[0].shape != pictures[1].shape:
        landmarks[0] = landmarks[0] * (np.array([width, height], np.float32) / pictures[0].shape[2:0:-1])
        pictures[0] = resized(pictures[0], width, height)
    if rules.crop == "face":
        matrix = portrait_similarity(landmarks[1])
        pictures = [_cropped(each, matrix) for each in pictures]
    else:
        matrix = np.eye(2, 3) * (CROP_SIZE / width)
    moved = [apply(matrix, each.astype(np.float32)) for each in landmarks]
    return Prediction(moved[0], pictures[0]), Prediction(moved[1], pictures[1]), notes


def _decode(side: Side) -> np.ndarray:
    _, pictures = shared_decoder().video(side.video)
    expected = (side.outline.frames, side.outline.height, side.outline.width, 3)
    if pictures.shape != expected:
        raise InputError(
            f"{side.video}: decodes to (frames, height, width, 3) {pictures.shape}, but its container says "
            f"{expected}: it is damaged, or was written to meanwhile"
        )
    return pictures


def sound_of(pair: Pair) -> Sound:
    """Return the reference's sound track, as long as the frames that are compared.

    Raises:
        InputError: naming the file: it has no sound, or sound of another length than the video.
    """
    side = pair.reference
    sound = shared_decoder().sound(side.video)
    whole = fit_sound(sound.waveform, sound.start - side.outline.start, side.outline.frames, side.video)
    return replace(sound, waveform=whole[: pair.frames * SAMPLES_PER_FRAME])


def _faces(pair: Pair, pictures: Sequence[np.ndarray], rules: Rules, cache: Path) -> tuple[Faces, Faces]:
    """Return the same person's faces in the generated and the reference video, in pixels of each."""
    sides, views = (pair.generated, pair.reference), [each.shape[2:0:-1] for each in pictures]
    if not rules.landmarks:
        nobody = [Faces(np.full((len(each), 68, 2), np.nan, np.float32), 0) for each in pictures]
        return nobody[0], nobody[1]
    if sides[0].landmarks is not None and sides[1].landmarks is not None:
        given = [
            read_landmarks(side.landmarks, len(p))
            for side, p in zip(sides, pictures, strict=True)
            if side.landmarks
        ]
        return Faces(given[0], 1), Faces(given[1], 1)
    reference = detected(sides[1].video, pictures[1], _detector(), cache, face=rules.face)
    if not faces_found(reference.landmarks[: pair.frames], str(sides[1].video)).any():
        raise InputError(f"{sides[1].video}: no face found in any frame; the truth must show one")
    near = reference.landmarks * (np.array(views[0], np.float32) / views[1])
    generated = detected(sides[0].video, pictures[0], _detector(), cache, near=near)
    return generated, reference


def detected(
    video: Path,
    pictures: np.ndarray,
    detector: FaceDetector,
    cache: Path,
    *,
    face: str | int = DEFAULT_FACE,
    near: np.ndarray | None = None,
) -> Faces:
    """Return the face that the detector follows, from the cache where the same was asked before.

    Args:
        face: see `models.preprocess.people.check_face`.
        near: where the same person is in another video, in pixels of this one; used where there are
            several people.
    """
    faces = _detected(video, pictures, detector, cache, face, None)
    if near is None or faces.people < 2:
        return faces
    return _detected(video, pictures, detector, cache, face, near)


def _detected(
    video: Path,
    pictures: np.ndarray,
    detector: FaceDetector,
    cache: Path,
    face: str | int,
    near: np.ndarray | None,
) -> Faces:
    about = f"{detector.identity()} {DECODING} {array_numerics().digest} {face}"
    digest = hashlib.sha256(about.encode())
    if near is not None:
        digest.update(near.tobytes())
    with video.open("rb") as file:
        digest.update(hashlib.file_digest(file, "sha256").digest())
    place = cache / digest.hexdigest()[:32]
    if holds(place, *FACES):
        landmarks, people, note = (read_sealed(place / f"{name}.npy") for name in FACES)
        return Faces(np.array(landmarks), int(people), str(note))
    faces = find_face(detector, pictures, video, face, near=near)
    arrays = (faces.landmarks, np.array(faces.people), np.array(faces.note))
    publish(place, dict(zip(FACES, arrays, strict=True)))
    return faces


def resized(pictures: np.ndarray, width: int, height: int) -> np.ndarray:
    """Frames (n, height, width, 3) uint8: areas averaged where they shrink, bilinear where they grow."""
    method = cv2.INTER_AREA if width < pictures.shape[2] else cv2.INTER_LINEAR
    out = _on_disk((len(pictures), height, width, 3))
    for k, picture in enumerate(pictures):
        out[k] = cv2.resize(np.ascontiguousarray(picture), (width, height), interpolation=method)
    return out


def _cropped(pictures: np.ndarray, matrix: np.ndarray) -> np.ndarray:
    out = _on_disk((len(pictures), CROP_SIZE, CROP_SIZE, 3))
    for start in range(0, len(pictures), CHUNK):
        out[start : start + CHUNK] = crop(pictures[start : start + CHUNK], matrix, CROP_SIZE)
    return out


def _on_disk(shape: tuple[int, ...]) -> np.ndarray:
    """Return an array in an unnamed file, which ends with it.

    Raises:
        StorageError: the disk has no room for all of it: once mapped, that would be a bus error.
    """
    with tempfile.TemporaryFile() as scratch:
        try:
            os.posix_fallocate(scratch.fileno(), 0, int(np.prod(shape)))
        except OSError as error:
            raise storage_error(error, f"decoding into {tempfile.gettempdir()}") from error
        return np.memmap(scratch, np.uint8, "r+", shape=shape)


@lru_cache(maxsize=1)
def _extractors(names: tuple[str, ...], weights: Path | None) -> Mapping[str, FrameExtractor]:
    if not names:
        return {}
    # Torch is slow to import and large, and nothing else here needs it.
    import torch

    from benchmark.metrics.extractors import extractor

    torch.set_num_threads(1)
    return {name: extractor(name, inception_weights=weights) for name in names}


@lru_cache(maxsize=1)
def _judges(sync: Path | None) -> Judges:
    return NO_JUDGES if sync is None else Judges(sync=SyncJudge.load(sync))


@lru_cache(maxsize=1)
def _detector() -> FaceDetector:
    return FaceMesh()
