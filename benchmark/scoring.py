"""Predictions beside the truth: what a method's answers, and the truth itself, score.

Runs inside worker processes. One item is in memory at a time.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from benchmark.data.items import Item, truth_of
from benchmark.data.recordings import recording_notes
from benchmark.floors import other_real_clips, real_floors
from benchmark.judging import Verdicts, asked_emotion, load_judges, truth_tables, verdict_tables, verdicts_in
from benchmark.lossless import load_frames
from benchmark.metrics.extractors import FrameExtractor, extractor
from benchmark.metrics.frechet import TooFewVectorsError
from benchmark.metrics.score import Score
from benchmark.metrics.scorer import frame_features, score_clip, score_set, set_protocols
from benchmark.names import slug
from benchmark.records import WHOLE_SET, write_text
from benchmark.study import Study
from models.artefacts import load_arrays, save_arrays
from models.preprocess.facemesh import FaceMesh
from models.seeding import generator
from models.types import CROP_SIZE, Prediction

SCORES, JUDGED, FLOORS, FEATURES, LANDMARKS, REDETECTED = (
    "scores.json",
    "judged.json",
    "floors.json",
    "features.safetensors",
    "landmarks.safetensors",
    "redetected.safetensors",
)
Progress = Callable[[int, int], None]


def frames_file(folder: Path, item: Item) -> Path:
    return folder / "frames" / f"{slug(item.id)}.mkv"


def video_file(item: Item) -> str:
    """Where a prediction's or truth's video lies in its stage's folder."""
    return f"media/{slug(item.id)}.mp4"


def load_prediction(folder: Path, landmarks: Mapping[str, np.ndarray], item: Item) -> Prediction:
    points = landmarks[item.id]
    path = frames_file(folder, item)
    return Prediction(points, load_frames(path, len(points)) if path.is_file() else None)


def _extractors(study: Study) -> dict[str, FrameExtractor]:
    weights = study.config.metrics["inception_weights"]
    return {name: extractor(name, inception_weights=weights) for name in study.extractors}


def _redetector(study: Study) -> FaceMesh | None:
    """The detector that looks at predicted and true frames, if one is asked for."""
    return FaceMesh() if study.config.metrics["redetect"] == "facemesh" else None


def _detected(detector: FaceMesh, frames: np.ndarray) -> np.ndarray:
    """(frames, 68, 2) float32 in pixels of the 256 crop."""
    return detector.find(frames).landmarks * np.float32(CROP_SIZE / frames.shape[2])


def score_truth(study: Study, folder: Path, judge_folder: Path | None, progress: Progress) -> None:
    """What the truth looks like to the judge and the extractors, and its videos."""
    from models.rendering.video import write_video

    judges, neutral = load_judges(judge_folder)
    extractors = _extractors(study)
    features: dict[str, np.ndarray] = {}
    seen: Verdicts = {}
    redetected: dict[str, np.ndarray] = {}
    detector = _redetector(study)
    (folder / "media").mkdir()
    for number, item in enumerate(study.items, start=1):
        truth = truth_of(item)
        emotion = asked_emotion(item, judges)
        if emotion is not None:
            # The judges look at landmarks; without frames nothing else of the truth is scored against itself.
            bare = Prediction(truth.landmarks)
            score = score_clip(bare, bare, clip_id=item.id, emotion=emotion, judges=judges, neutral=neutral)
            seen[item.id] = verdicts_in(score)
        if truth.frames is not None:
            features |= _features(study, item, truth.frames, extractors)
            if detector is not None:
                redetected[item.id] = _detected(detector, truth.frames)
            write_video(folder / video_file(item), truth.frames, item.audio.waveform)
        progress(number, len(study.items))
    save_arrays(folder / FEATURES, features or {"none": np.zeros(0, np.float32)})
    _write_floors(study, folder, features, extractors)
    if redetected:
        save_arrays(folder / REDETECTED, redetected)
    tables = truth_tables(study, judge_folder, seen)
    write_text(folder / JUDGED, json.dumps(tables, indent=1, sort_keys=True) + "\n")


def _features(
    study: Study, item: Item, frames: np.ndarray, extractors: Mapping[str, FrameExtractor]
) -> dict[str, np.ndarray]:
    found = frame_features(frames, extractors, every=study.config.metrics["feature_every"])
    return {f"{name}/{item.id}": features for name, features in found.items()}


def _write_floors(
    study: Study, folder: Path, features: Mapping[str, np.ndarray], extractors: Mapping[str, FrameExtractor]
) -> None:
    """Write what real clips score against real clips, and the notes on the recordings.

    The real clips are the truths of each condition and the subject's other filmed clips.
    """
    metrics = study.config.metrics
    filmed = {c: [i for i in study.items if i.condition == c and i.truth.filmed] for c in _conditions(study)}
    names = set(set_protocols(extractors).values())
    truths = {
        condition: [
            {name: features[f"{name}/{item.id}"] for name in names}
            for item in {item.truth.id: item for item in items}.values()
        ]
        for condition, items in filmed.items()
        if items and extractors
    }
    others = other_real_clips((*study.split.train, *study.split.validation), study.items) if truths else []
    speakers = {
        condition: [
            *({item.truth.id: item.truth.speaker for item in filmed[condition]}.values()),
            *(clip.speaker for clip in others),
        ]
        for condition in truths
    }
    floors, notes = real_floors(
        truths,
        [frame_features(np.asarray(c.frames), extractors, every=metrics["feature_every"]) for c in others],
        extractors,
        allow_biased=metrics["allow_biased"],
        speakers=speakers,
    )
    told = {p: {c: asdict(floor) for c, floor in found.items()} for p, found in floors.items()}
    learned = (*study.split.train, *study.split.validation)
    notes += recording_notes([*(item.truth for item in study.items), *learned])
    content = {"floors": told, "notes": notes}
    write_text(folder / FLOORS, json.dumps(content, indent=1, sort_keys=True, allow_nan=False) + "\n")


def _conditions(study: Study) -> tuple[str, ...]:
    return tuple(dict.fromkeys(item.condition for item in study.items))


def score_predictions(
    study: Study, folder: Path, predict: Path, truth: Path, judge_folder: Path | None, progress: Progress
) -> None:
    """Every clip under every protocol that applies, then every condition under the protocols of sets."""
    judges, neutral = load_judges(judge_folder)
    landmarks = load_arrays(predict / LANDMARKS)
    extractors = _extractors(study) if (predict / "frames").is_dir() else {}
    detector = _redetector(study) if (truth / REDETECTED).is_file() else None
    found = load_arrays(truth / REDETECTED) if detector is not None else {}
    features: dict[str, np.ndarray] = {}
    rows: list[dict[str, Any]] = []
    seen: Verdicts = {}
    for number, item in enumerate(study.items, start=1):
        predicted = load_prediction(predict, landmarks, item)
        scores = score_clip(
            predicted,
            truth_of(item),
            clip_id=item.id,
            emotion=asked_emotion(item, judges),
            judges=judges,
            neutral=neutral,
            redetected=(_detected(detector, predicted.frames), found[item.id])
            if detector is not None and predicted.frames is not None and item.id in found
            else None,
            waveform=item.audio.waveform,
        )
        rows += [_row(item.condition, protocol, item.id, score) for protocol, score in scores.items()]
        seen[item.id] = verdicts_in(scores)
        if predicted.frames is not None and item.truth.filmed:
            features |= _features(study, item, predicted.frames, extractors)
        progress(number, len(study.items))
    sets, notes = _score_sets(study, features, extractors, truth)
    content = {"rows": rows + sets, "notes": notes, "judged": verdict_tables(study, judges, seen)}
    write_text(folder / SCORES, json.dumps(content, indent=1, sort_keys=True, allow_nan=False) + "\n")


def _score_sets(
    study: Study, features: Mapping[str, np.ndarray], extractors: Iterable[str], truth: Path
) -> tuple[list[dict[str, Any]], list[str]]:
    if not features:
        return [], []
    metrics = study.config.metrics
    true = load_arrays(truth / FEATURES)
    rows: list[dict[str, Any]] = []
    notes: list[str] = []
    for protocol, name in set_protocols(extractors).items():
        for condition in _conditions(study):
            keys = _keys(study.items, condition, name, features)
            if not keys:
                continue
            try:
                score = score_set(
                    protocol,
                    [features[k] for k in keys],
                    [true[k] for k in keys],
                    rng=generator(0, "score", protocol, condition),
                    resamples=metrics["resamples"],
                    allow_biased=metrics["allow_biased"],
                )
            except TooFewVectorsError as error:
                notes.append(f"{protocol} is left out for {condition}: {error}")
                continue
            rows.append(_row(condition, protocol, WHOLE_SET, score))
    return rows, notes


def _keys(items: Sequence[Item], condition: str, name: str, features: Mapping[str, np.ndarray]) -> list[str]:
    keys = [f"{name}/{item.id}" for item in items if item.condition == condition]
    return [key for key in keys if key in features]


def _row(condition: str, protocol: str, clip: str, score: Score) -> dict[str, Any]:
    values = {key: value for key, value in asdict(score).items() if key != "label" and value is not None}
    return {"value": None, **values, "condition": condition, "protocol": protocol, "clip": clip}
