"""The judges of a study: trained once, then asked about the truth and about every method's answers.

Runs inside worker processes.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from scipy.special import softmax

from benchmark.data.items import Item, truth_of
from benchmark.metrics.calibration import calibration
from benchmark.metrics.emotion import (
    EmotionClassifier,
    EmotionJudge,
    neutral_reference,
    train_judge,
    verdicts,
)
from benchmark.metrics.emotion_network import EmotionNetwork
from benchmark.metrics.judge_file import JudgeError
from benchmark.metrics.judges import NO_JUDGES, Judges
from benchmark.metrics.landmarks import faces_found
from benchmark.metrics.score import Score
from benchmark.metrics.sync import SyncJudge, shifted
from benchmark.records import write_text
from benchmark.study import Study
from models.artefacts import load_arrays, save_arrays

EMOTION, NETWORK, SYNC = "judge.safetensors", "network.safetensors", "sync.safetensors"
NEUTRAL = "neutral.safetensors"
NOTES = "notes.json"
FIRST, SECOND = "emotion", "emotion/network"
"""The protocols whose scores carry the verdicts of the two emotion judges."""
AGREEMENT = "agreement"
SHIFTS_MS = tuple(range(-200, 201, 20))
"""By how much the true sound is shifted to see whether the sync judge finds it out."""
CLOSE_MS = 20.0
Verdicts = dict[str, dict[str, str]]
"""Verdict by protocol, by item."""


def train_judges(study: Study, folder: Path) -> None:
    """Train the judges that the study can have, and measure the subject's neutral face."""
    from benchmark.metrics.emotion_network_training import train_emotion_network

    steps, emotions = study.config.metrics, study.data.emotions
    if study.judged:
        clips = [c for c in study.split.judge_train if c.emotion in emotions]
        train_judge(clips, emotions).save(folder / EMOTION)
        if steps["network_steps"]:
            train_emotion_network(clips, emotions, steps=steps["network_steps"]).save(folder / NETWORK)
        neutral = neutral_reference([c for c in study.split.train if c.emotion == "neutral"])
        save_arrays(folder / NEUTRAL, {"neutral": neutral})
    notes = _train_sync(study, folder) if study.listens else []
    write_text(folder / NOTES, json.dumps(notes) + "\n")


def _train_sync(study: Study, folder: Path) -> list[str]:
    """Why there is no judge, if the clips allow none: a study without it is still a study."""
    from benchmark.metrics.sync_training import train_sync_judge

    try:
        judge = train_sync_judge(study.split.judge_train, steps=study.config.metrics["sync_steps"])
    except JudgeError as error:
        return [f"Synchrony is not judged: {error}."]
    judge.save(folder / SYNC)
    return []


def load_judges(folder: Path | None) -> tuple[Judges, np.ndarray | None]:
    """The judges of a study and its subject's neutral face."""
    if folder is None:
        return NO_JUDGES, None
    judges = Judges(
        emotion=EmotionJudge.load(folder / EMOTION) if (folder / EMOTION).is_file() else None,
        network=EmotionNetwork.load(folder / NETWORK) if (folder / NETWORK).is_file() else None,
        sync=SyncJudge.load(folder / SYNC) if (folder / SYNC).is_file() else None,
    )
    neutral = load_arrays(folder / NEUTRAL)["neutral"] if judges.emotion is not None else None
    return judges, neutral


def asked_emotion(item: Item, judges: Judges) -> str | None:
    """The wanted emotion, if the judges know it."""
    wanted = item.emotion.emotion
    return wanted if judges.emotion is not None and wanted in judges.emotion.emotions else None


def verdicts_in(scores: Mapping[str, Score]) -> dict[str, str]:
    """Verdict by protocol."""
    return {p: label for p in (FIRST, SECOND) if p in scores and (label := scores[p].label) is not None}


def verdict_tables(study: Study, judges: Judges, found: Verdicts) -> dict[str, Any]:
    """Of each emotion judge the confusion by condition, and how often the two agree.

    Returns:
        By protocol {"confusion": {condition: rows of what was wanted}}, and "agreement": {condition: rows of
        the first judge's verdicts, columns of the second's}.
    """
    if judges.emotion is None:
        return {}
    labels = judges.emotion.emotions
    wanted = {item.id: {"wanted": str(item.emotion.emotion)} | found.get(item.id, {}) for item in study.items}
    tables = {p: {"confusion": _counts(study, wanted, "wanted", p, labels)} for p in (FIRST, SECOND)}
    tables = {p: table for p, table in tables.items() if table["confusion"]}
    return {**tables, AGREEMENT: _counts(study, wanted, FIRST, SECOND, labels)}


def _counts(
    study: Study, found: Mapping[str, Mapping[str, str]], first: str, second: str, labels: Sequence[str]
) -> dict[str, Any]:
    """By condition the table of one kind of label by another, over the items that have both."""
    tables = {}
    for condition in dict.fromkeys(item.condition for item in study.items):
        own = [found[i.id] for i in study.items if i.condition == condition]
        both = [each for each in own if first in each and second in each]
        if both:
            counts = verdicts([each[first] for each in both], [each[second] for each in both], labels)
            tables[condition] = counts.confusion.tolist()
    return tables


def truth_tables(study: Study, folder: Path | None, found: Verdicts) -> dict[str, Any]:
    """What the judges make of the true clips: their ceilings, their calibration, and shifts they find."""
    judges, neutral = load_judges(folder)
    tables = verdict_tables(study, judges, found)
    for protocol, judge in ((FIRST, judges.emotion), (SECOND, judges.network)):
        if judge is not None and neutral is not None and protocol in tables:
            tables[protocol] |= _trust(study, judge, neutral, found, protocol)
    if judges.sync is not None:
        tables["sync"] = _recovery(study, judges.sync)
    notes = json.loads((folder / NOTES).read_text(encoding="utf-8")) if folder is not None else []
    return {**tables, "notes": notes}


def _trust(
    study: Study, judge: EmotionClassifier, neutral: np.ndarray, found: Verdicts, protocol: str
) -> dict[str, Any]:
    """Chance, temperature, accuracy by condition, and calibration on clips left out and by condition."""
    calibrations = {"left out": _calibrations(judge, judge.left_out_logits, judge.left_out_labels)}
    for condition in dict.fromkeys(item.condition for item in study.items):
        own = [i for i in study.items if i.condition == condition and protocol in found.get(i.id, {})]
        if own:
            logits = [judge.logits(truth_of(i).landmarks, neutral, clip=i.id) for i in own]
            labels = [judge.emotions.index(str(i.emotion.emotion)) for i in own]
            calibrations[condition] = _calibrations(judge, np.array(logits), np.array(labels))
    return {
        "labels": list(judge.emotions),
        "chance": 1 / len(judge.emotions),
        "temperature": judge.temperature,
        "accuracy": {c: made["fitted"]["accuracy"] for c, made in calibrations.items() if c != "left out"},
        "calibration": calibrations,
    }


def _calibrations(judge: EmotionClassifier, logits: np.ndarray, labels: np.ndarray) -> dict[str, Any]:
    """As trained, and with the temperature fitted."""
    return {
        "trained": asdict(calibration(softmax(logits, axis=1), labels)),
        "fitted": asdict(calibration(softmax(logits / judge.temperature, axis=1), labels)),
    }


def _recovery(study: Study, judge: SyncJudge) -> dict[str, Any]:
    """By condition: how far off the judge finds the true sound, and known shifts of it."""
    tables = {}
    for condition in dict.fromkeys(item.condition for item in study.items):
        errors, offsets, confidences = [], [], []
        for item in (i for i in study.items if i.condition == condition):
            landmarks = truth_of(item).landmarks
            if not judge.sees_enough(faces_found(landmarks, f"clip {item.id}")):
                continue
            for shift in SHIFTS_MS:
                made = judge.agreement(landmarks, shifted(item.audio.waveform, shift), clip=item.id)
                if made.offset_ms is None:
                    continue
                errors.append(abs(made.offset_ms - shift))
                if shift == 0:
                    offsets.append(made.offset_ms)
                    confidences.append(made.confidence)
        # Without a true offset there is no median of them, either.
        if offsets:
            tables[condition] = {
                "clips": len(offsets),
                "offset_ms": float(np.median(offsets)),
                "confidence": float(np.mean(confidences)),
                "shifts_ms": [SHIFTS_MS[0], SHIFTS_MS[-1], SHIFTS_MS[1] - SHIFTS_MS[0]],
                "error_median_ms": float(np.median(errors)),
                "error_p95_ms": float(np.percentile(errors, 95)),
                "close_ms": CLOSE_MS,
                "close": float(np.mean(np.array(errors) <= CLOSE_MS)),
            }
    return tables
