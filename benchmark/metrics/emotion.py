"""Emotion accuracy: does a judge that knows other people see the wanted emotion in the landmarks?

The judge reads landmark motion, not pixels, so it scores methods that stop at landmarks too. It is trained
on real clips of other speakers. Every clip is stabilised (head motion and face size removed) and taken as
displacement from its speaker's own neutral face, so that the shape of a face is no emotion; what is left
is summarised over time and classified by a regularised linear model. Each training clip is seen mirrored
as well, for no emotion belongs to one side of a face. Clips of every intensity are used: the neutral class
has one intensity only, and a judge that never saw weak emotions would take them for neutral.

Source: EVP (Ji et al., CVPR 2021) section 4 scores emotion by a network on frames (Meng et al., ICIP 2019);
this judge replaces it, so its accuracies stand beside its own ceiling on real clips, not beside EVP's.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy.special import log_softmax, softmax

from benchmark.metrics.calibration import fit_temperature
from benchmark.metrics.judge_file import JudgeError, load_judge, save_judge
from benchmark.metrics.landmarks import faces_found, stabilised
from benchmark.metrics.score import Score
from models.landmarks.topology import IBUG68, to_68
from models.types import Clip

FORMAT = "evp-bench emotion judge 2"
QUANTILES = (0.1, 0.5, 0.9)
STRENGTHS = (0.0001, 0.0003, 0.001, 0.003, 0.01)
"""Inverse regularisation strengths, chosen from by leaving one speaker out."""
NEUTRAL = "neutral"


class EmotionClassifier(ABC):
    """What every emotion judge can be asked."""

    emotions: tuple[str, ...]
    temperature: float
    """Divides the logits. Fitted on clips of speakers that a training without them left out."""
    left_out_logits: np.ndarray
    """(clips, emotions) float64: what those trainings made of the clips that they left out."""
    left_out_labels: np.ndarray
    """(clips,) int64: indices of what these clips show."""

    @abstractmethod
    def logits(self, landmarks: np.ndarray, neutral: np.ndarray, *, clip: str = "unnamed") -> np.ndarray:
        """(emotions,) logits of a clip.

        Args:
            landmarks: (frames, 68 or 106, 2), pixels of any crop; NaN frames have no face.
            neutral: (68, 2), the speaker's `neutral_reference`.

        Raises:
            JudgeError: no two consecutive frames have a face, or the neutral face is of another shape.
        """

    def probabilities(
        self, landmarks: np.ndarray, neutral: np.ndarray, *, clip: str = "unnamed"
    ) -> np.ndarray:
        """(emotions,) calibrated probabilities of a clip; see `logits`."""
        return softmax(self.logits(landmarks, neutral, clip=clip) / self.temperature)

    def predict(self, landmarks: np.ndarray, neutral: np.ndarray, *, clip: str = "unnamed") -> str:
        return self.emotions[int(self.logits(landmarks, neutral, clip=clip).argmax())]


@dataclass(frozen=True)
class EmotionJudge(EmotionClassifier):
    """A linear classifier of clip features; `train_judge` makes one."""

    emotions: tuple[str, ...]
    centre: np.ndarray
    """(features,) mean of the training features."""
    weights: np.ndarray
    """(features, emotions), for features minus `centre`."""
    bias: np.ndarray
    """(emotions,)"""
    temperature: float
    left_out_logits: np.ndarray
    left_out_labels: np.ndarray

    def logits(self, landmarks: np.ndarray, neutral: np.ndarray, *, clip: str = "unnamed") -> np.ndarray:
        return (clip_features(landmarks, neutral, clip=clip) - self.centre) @ self.weights + self.bias

    def save(self, path: Path) -> None:
        """Write the arrays as safetensors, whole or not at all."""
        names = ("centre", "weights", "bias", "left_out_logits", "left_out_labels")
        facts = {"emotions": self.emotions, "temperature": self.temperature}
        save_judge(path, {name: getattr(self, name) for name in names}, FORMAT, facts)

    @classmethod
    def load(cls, path: Path) -> EmotionJudge:
        """
        Raises:
            JudgeError: the file is missing or is not a judge of this version.
        """
        arrays, facts = load_judge(path, FORMAT, "emotion judge")
        return cls(emotions=tuple(facts["emotions"]), temperature=facts["temperature"], **arrays)


def neutral_reference(clips: Sequence[Clip]) -> np.ndarray:
    """(68, 2) float64: the mean stabilised face over a speaker's neutral clips, each clip counting alike.

    Raises:
        JudgeError: the clips are of several speakers, or none is neutral and has a face.
    """
    speakers = sorted({clip.speaker for clip in clips})
    if len(speakers) > 1:
        raise JudgeError(f"expected clips of one speaker, got {', '.join(speakers)}")
    faces = [_stabilised(clip.landmarks, clip.id) for clip in clips if clip.emotion == NEUTRAL]
    means = [np.nanmean(face, axis=0) for face in faces if np.isfinite(face).any()]
    if not means:
        who = speakers[0] if speakers else "nobody"
        raise JudgeError(
            f"the emotion judge needs a neutral clip of speaker {who} with a face, got none among "
            f"{len(clips)} clips; give neutral training clips of every speaker"
        )
    return np.mean(means, axis=0)


def neutral_references(clips: Sequence[Clip]) -> dict[str, np.ndarray]:
    """The `neutral_reference` of every speaker.

    Raises:
        JudgeError: a speaker without a neutral clip that has a face.
    """
    by_speaker: dict[str, list[Clip]] = {}
    for clip in clips:
        by_speaker.setdefault(clip.speaker, []).append(clip)
    return {speaker: neutral_reference(own) for speaker, own in by_speaker.items()}


def displacement(landmarks: np.ndarray, neutral: np.ndarray, *, clip: str = "unnamed") -> np.ndarray:
    """(frames, 68, 2) float64: stabilised landmarks minus the neutral face; NaN where no face is.

    Raises:
        JudgeError: the neutral face is of another shape.
        ValueError: naming the clip: landmarks of another shape, infinite, or known in part of a frame.
    """
    if np.shape(neutral) != (68, 2) or not np.isfinite(neutral).all():
        raise JudgeError(f"clip {clip}: expected a finite neutral face (68, 2), got {np.shape(neutral)}")
    return _stabilised(landmarks, clip) - neutral


def _stabilised(landmarks: np.ndarray, clip: str) -> np.ndarray:
    what = f"clip {clip}: landmarks"
    return to_68(stabilised(landmarks, faces_found(landmarks, what), what))


def clip_features(landmarks: np.ndarray, neutral: np.ndarray, *, clip: str = "unnamed") -> np.ndarray:
    """What the judge sees of a clip: per coordinate the mean, the spread, three quantiles and the mean speed.

    Returns:
        (816,) float64, in pixels of the stabilised crop (per frame for the speed).

    Raises:
        JudgeError: no two consecutive frames have a face, or the neutral face is of another shape.
    """
    return _summary(displacement(landmarks, neutral, clip=clip), clip)


def _summary(displacement: np.ndarray, clip: str) -> np.ndarray:
    """The features of displacements (frames, 68, 2)."""
    motion = np.abs(np.diff(displacement, axis=0))
    motion = motion[_seen(motion)]
    if len(motion) == 0:
        raise JudgeError(f"clip {clip}: the emotion judge needs two consecutive frames with a face, got none")
    found = displacement[_seen(displacement)]
    parts = [found.mean(0), found.std(0), *np.quantile(found, QUANTILES, axis=0), motion.mean(0)]
    return np.concatenate([part.ravel() for part in parts])


def _seen(displacement: np.ndarray) -> np.ndarray:
    """(frames,) bool. A frame is known in all its points or in none."""
    return np.isfinite(displacement[:, 0, 0])


def _mirrored(displacement: np.ndarray) -> np.ndarray:
    """The same motion on the other side of the face."""
    return displacement[:, list(IBUG68.mirror)] * np.array([-1.0, 1.0])


def train_judge(clips: Sequence[Clip], emotions: Sequence[str]) -> EmotionJudge:
    """Train on real clips of other speakers. The same clips give the same bits; nothing is drawn.

    How strongly weights are held back is chosen by leaving one speaker out (or one sentence, where no speaker
    can be spared because others lack an emotion). Clips without two consecutive faces are left out.

    Raises:
        JudgeError: fewer than two emotions; a label that is not among them or has no clip; a speaker
            without neutral clips; or an emotion that only one speaker shows, in one sentence.
    """
    check_labels(clips, emotions)
    usable, plain, mirrored = _training_features(clips)
    labels = np.array([emotions.index(clip.emotion or "") for clip in usable])
    missing = sorted(set(emotions) - {emotions[k] for k in labels})
    if missing:
        raise JudgeError(f"the emotion judge has no usable training clip of {', '.join(missing)}")
    folds = folds_of(usable, labels)
    strength, logits = _choose_strength(plain, mirrored, labels, folds, len(emotions))
    left_out = np.concatenate([labels[held] for held in folds])
    return EmotionJudge(
        tuple(emotions),
        *_fit(plain, mirrored, labels, len(emotions), strength),
        temperature=fit_temperature(logits, left_out),
        left_out_logits=logits,
        left_out_labels=left_out,
    )


def check_labels(clips: Sequence[Clip], emotions: Sequence[str]) -> None:
    """
    Raises:
        JudgeError: fewer than two different emotions, or a clip that shows none of them.
    """
    if len(set(emotions)) != len(emotions) or len(emotions) < 2:
        raise JudgeError(f"the emotion judge needs two or more different emotions, got {list(emotions)}")
    for clip in clips:
        if clip.emotion not in emotions:
            raise JudgeError(f"clip {clip.id} has emotion {clip.emotion!r}; expected one of {list(emotions)}")


def _training_features(clips: Sequence[Clip]) -> tuple[list[Clip], np.ndarray, np.ndarray]:
    """The usable clips, their features, and those of their mirror images."""
    neutral = neutral_references(clips)
    usable, plain, mirrored = [], [], []
    for clip in clips:
        moved = displacement(clip.landmarks, neutral[clip.speaker], clip=clip.id)
        seen = _seen(moved)
        if (seen[1:] & seen[:-1]).any():
            usable.append(clip)
            plain.append(_summary(moved, clip.id))
            mirrored.append(_summary(_mirrored(moved), clip.id))
    if not usable:
        raise JudgeError(f"the emotion judge got {len(clips)} training clips, none with a face in two frames")
    return usable, np.array(plain), np.array(mirrored)


def folds_of(clips: Sequence[Clip], labels: np.ndarray) -> list[np.ndarray]:
    """Masks (clips,) of what is held out at a time, such that what stays has every emotion.

    Raises:
        JudgeError: no speaker and no sentence can be spared.
    """
    emotions = len(set(labels))
    for of in ("speaker", "sentence"):
        groups = np.array([getattr(clip, of) for clip in clips])
        masks = [groups == group for group in sorted(set(groups))]
        folds = [held for held in masks if len(set(labels[~held])) == emotions]
        if folds:
            return folds
    raise JudgeError(
        "the emotion judge needs every emotion from two speakers, or in two sentences; got "
        f"{len(clips)} clips of {len({clip.speaker for clip in clips})} speakers"
    )


def _choose_strength(
    plain: np.ndarray,
    mirrored: np.ndarray,
    labels: np.ndarray,
    folds: Sequence[np.ndarray],
    num_emotions: int,
) -> tuple[float, np.ndarray]:
    """The strength with the least cross-entropy on clips left out, and their logits, fold after fold.

    The strongest penalty wins a tie.
    """
    losses = dict.fromkeys(STRENGTHS, 0.0)
    found: dict[float, list[np.ndarray]] = {strength: [] for strength in STRENGTHS}
    for held in folds:
        for strength in STRENGTHS:
            centre, weights, bias = _fit(plain[~held], mirrored[~held], labels[~held], num_emotions, strength)
            logits = (plain[held] - centre) @ weights + bias
            found[strength].append(logits)
            chosen = log_softmax(logits, axis=1)[np.arange(held.sum()), labels[held]]
            losses[strength] -= float(chosen.sum())
    best = min(STRENGTHS, key=lambda strength: losses[strength])
    return best, np.concatenate(found[best])


def _fit(
    plain: np.ndarray, mirrored: np.ndarray, labels: np.ndarray, num_emotions: int, strength: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Centre (f,), weights (f, emotions) and bias (emotions,) of a multinomial logistic regression.

    Classes count alike however many clips they have. Features are put to unit variance before the penalty.
    """
    # A slow import that only the training of a judge needs.
    from sklearn.linear_model import LogisticRegression

    features, twice = np.concatenate([plain, mirrored]), np.concatenate([labels, labels])
    centre, scale = features.mean(0), features.std(0)
    scale[scale < 1e-9] = np.inf
    model = LogisticRegression(C=strength, class_weight="balanced", max_iter=1000, tol=1e-4)
    model.fit((features - centre) / scale, twice)
    weights, bias = model.coef_.T / scale[:, None], np.asarray(model.intercept_)
    if num_emotions == 2:  # scikit-learn then has one column: the odds of the second
        weights, bias = np.concatenate([-weights, weights], 1) / 2, np.concatenate([-bias, bias]) / 2
    return centre, weights, bias


def emotion_score(
    judge: EmotionClassifier,
    landmarks: np.ndarray,
    neutral: np.ndarray,
    emotion: str,
    *,
    clip: str = "unnamed",
) -> Score:
    """1 if the judge sees the wanted emotion, else 0; its verdict is the score's label.

    None, with its coverage, if no two consecutive frames have a face. Where any frame has none, the missing
    ones might have turned the verdict either way: at least 0, at most 1.

    Raises:
        JudgeError: the judge does not know the emotion.
        ValueError: naming the clip: landmarks that are not (frames, 68 or 106, 2), or one frame only.
    """
    found = _found(judge, landmarks, emotion, clip)
    if not _consecutive(found):
        return _score(None, found)
    label = judge.predict(landmarks, neutral, clip=clip)
    return _score(float(label == emotion), found, label)


def emotion_probability(
    judge: EmotionClassifier,
    landmarks: np.ndarray,
    neutral: np.ndarray,
    emotion: str,
    *,
    clip: str = "unnamed",
) -> Score:
    """The calibrated probability that the judge gives the wanted emotion; otherwise as `emotion_score`."""
    found = _found(judge, landmarks, emotion, clip)
    if not _consecutive(found):
        return _score(None, found)
    chances = judge.probabilities(landmarks, neutral, clip=clip)
    return _score(float(chances[judge.emotions.index(emotion)]), found)


def _found(judge: EmotionClassifier, landmarks: np.ndarray, emotion: str, clip: str) -> np.ndarray:
    """(frames,) bool: where a face is."""
    if emotion not in judge.emotions:
        raise JudgeError(f"clip {clip}: the judge knows {', '.join(judge.emotions)}, not {emotion!r}")
    found = faces_found(landmarks, f"clip {clip}: landmarks")
    if len(found) < 2:
        raise ValueError(f"clip {clip}: the emotion judge needs two frames or more, got {len(found)}")
    return found


def _consecutive(found: np.ndarray) -> bool:
    return bool((found[1:] & found[:-1]).any())


def _score(value: float | None, found: np.ndarray, label: str | None = None) -> Score:
    """With missing frames, anything between wrong and right could have been seen."""
    least, most = (None, None) if found.all() else (0.0, 1.0)
    return Score(value, coverage=float(found.mean()), label=label, least=least, most=most)


@dataclass(frozen=True)
class Verdicts:
    """How often each emotion was taken for which."""

    emotions: tuple[str, ...]
    confusion: np.ndarray
    """(emotions, emotions) int: rows are what was wanted, columns what the judge saw."""

    @property
    def accuracy(self) -> float:
        """Share of right verdicts, all clips counting alike.

        Raises:
            JudgeError: there are no verdicts.
        """
        if self.confusion.sum() == 0:
            raise JudgeError("no verdicts, so no accuracy")
        return float(np.trace(self.confusion) / self.confusion.sum())

    @property
    def chance(self) -> float:
        return 1 / len(self.emotions)


def verdicts(wanted: Sequence[str], seen: Sequence[str], emotions: Sequence[str]) -> Verdicts:
    """Count pairs of wanted and seen emotions.

    Raises:
        JudgeError: lists of different length, or a label that is not among the emotions.
    """
    if len(wanted) != len(seen):
        raise JudgeError(f"expected as many verdicts as wanted emotions, got {len(seen)} and {len(wanted)}")
    unknown = sorted((set(wanted) | set(seen)) - set(emotions))
    if unknown:
        raise JudgeError(f"expected emotions among {list(emotions)}, got {', '.join(unknown)}")
    confusion = np.zeros((len(emotions), len(emotions)), int)
    for row, column in zip(wanted, seen, strict=True):
        confusion[emotions.index(row), emotions.index(column)] += 1
    return Verdicts(tuple(emotions), confusion)
