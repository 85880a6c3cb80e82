"""What a metric is: what it is called, in which unit, which way is better, what it needs and sees.

A metric here is a protocol: a named definition that is never changed under its id. Adding one is a
function that takes a `ClipPair` or a `SetPair`, and one entry in a module of `benchmark.metrics.protocols`;
the scorer, the records, the report and the contract tests then know it. This module imports no torch.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal, get_args

import numpy as np

from benchmark.metrics.edges import EdgeDistances, edge_distances
from benchmark.metrics.emotion import EmotionClassifier, emotion_probability, emotion_score
from benchmark.metrics.image import check_pair, gaussian_sums, luma_of, mouth_boxes
from benchmark.metrics.judges import NO_JUDGES, Judges
from benchmark.metrics.landmarks import (
    AlignedPair,
    Sides,
    align_pair,
    check_sides,
    faces_found,
    procrustes,
    stabilise_sides,
)
from benchmark.metrics.sampling import ALL, Sampling
from benchmark.metrics.score import Score
from benchmark.metrics.sync import Agreement
from benchmark.records import ProtocolInfo
from models.rendering.canny import Box
from models.types import CROP_SIZE, Prediction

Need = Literal[
    "landmarks", "frames", "square", "judge", "redetected", "audio", "emotion network", "sync judge"
]

Damage = Literal[
    "lip shift",
    "landmark jitter",
    "frozen mouth",
    "emotion swap",
    "blur",
    "identity drift",
    "dropped frames",
    "colour shift",
]
"""What can go wrong with a talking face, each in graded doses; a dropped frame shows the one before it."""
DAMAGES: tuple[Damage, ...] = get_args(Damage)

Change = Literal["head motion", "translation", "mouth offset", "frame order", "time reversal"]
"""What a protocol may be unmoved by: a similarity of each predicted frame, a shift of each predicted frame,
one shift of the predicted mouth in all frames, another order of the frames on both sides, both sides played
backwards."""
CHANGES: tuple[Change, ...] = get_args(Change)

Rung = Literal[
    "perfection", "symmetry", "invariance", "damage", "region", "unit", "coverage", "degenerate", "repetition"
]
"""What the contract tests ask of every protocol, one check each. "region" is that a score of the face sees
all of it and one of the mouth no less than that, "unit" that a known error has the value that the unit says,
whatever the clip's length."""
RUNGS: tuple[Rung, ...] = get_args(Rung)


@dataclass(frozen=True)
class ClipPair:
    """One prediction beside the truth. What several metrics need is computed once."""

    predicted: Prediction
    truth: Prediction
    clip: str
    emotion: str | None = None
    """The wanted emotion."""
    judges: Judges = NO_JUDGES
    neutral: np.ndarray | None = None
    """(68, 2): the subject's neutral face, from its training clips."""
    redetected: tuple[np.ndarray, np.ndarray] | None = None
    """(frames, 68, 2) each: what a detector that no method trains with finds in the predicted and in the true
    frames, pixels of the 256 crop; NaN where it finds no face."""
    waveform: np.ndarray | None = None
    """(samples,) float32, 16 kHz mono in [-1, 1]: what is said in both."""

    @cached_property
    def sides(self) -> Sides:
        """Both sides' landmarks, checked."""
        return check_sides(self.predicted.landmarks, self.truth.landmarks, clip=self.clip)

    @cached_property
    def aligned(self) -> AlignedPair:
        return stabilise_sides(self.sides)

    @cached_property
    def fitted(self) -> AlignedPair:
        return procrustes(self.sides)

    @property
    def native(self) -> np.ndarray:
        """(2,) pixels of the clip's own frames per pixel of the 256 crop, along x and y; 1 without frames.

        Those of the truth, so that all methods are measured alike, with frames of their own or without. Both
        are of the width (`models.types`): in frames that are not square the scale is still one similarity.
        """
        if self.truth.frames is None:
            return np.ones(2)
        return np.full(2, self.truth.frames.shape[2] / CROP_SIZE)

    @cached_property
    def aligned_redetected(self) -> AlignedPair:
        """
        Raises:
            ValueError: nothing was detected again, or it does not fit.
        """
        if self.redetected is None:
            raise ValueError(
                f"clip {self.clip}: needs landmarks detected in the predicted and the true frames"
            )
        return align_pair(*self.redetected, clip=self.clip)

    @cached_property
    def frames(self) -> tuple[np.ndarray, np.ndarray]:
        """Predicted and true frames.

        Raises:
            ValueError: a side has none.
        """
        if self.predicted.frames is None or self.truth.frames is None:
            raise ValueError(f"clip {self.clip}: an image metric needs predicted and true frames")
        return self.predicted.frames, self.truth.frames

    @cached_property
    def luma(self) -> tuple[np.ndarray, np.ndarray]:
        """(frames, H, W) uint8 of predicted and true frames.

        Raises:
            ValueError: a side has no frames, or they don't fit.
        """
        predicted, true = self.frames
        check_pair(predicted, true, self.clip)
        return luma_of(predicted), luma_of(true)

    @cached_property
    def gaussian_sums(self) -> np.ndarray:
        """(frames,) SSIM summed over windows and channels (`benchmark.metrics.image.gaussian_sums`)."""
        return gaussian_sums(*self.frames, clip=self.clip)

    @cached_property
    def mouth_boxes(self) -> tuple[Box | None, ...]:
        """Per frame, the pixels around the true mouth; None where it is not seen."""
        return mouth_boxes(self.truth.landmarks, self.frames[1], clip=self.clip)

    @cached_property
    def edge_distances(self) -> EdgeDistances:
        return edge_distances(self.predicted, self.truth, clip=self.clip)

    @property
    def offers(self) -> frozenset[Need]:
        """What metrics can be computed from."""
        found: set[Need] = {"landmarks"}
        if self.predicted.frames is not None and self.truth.frames is not None:
            found.add("frames")
            if self.truth.frames.shape[1] == self.truth.frames.shape[2]:
                found.add("square")
        if self.neutral is not None and self.emotion is not None:
            if self.judges.emotion is not None:
                found.add("judge")
            if self.judges.network is not None:
                found.add("emotion network")
        if self.redetected is not None:
            found.add("redetected")
        if self.waveform is not None:
            found.add("audio")
        if self.judges.sync is not None:
            found.add("sync judge")
        return frozenset(found)

    @cached_property
    def agreement(self) -> Agreement | None:
        """How well the predicted mouth goes with the sound; None for a clip with too few faces in a row.

        Raises:
            ValueError: the judge or the waveform is missing.
        """
        judge = self.judges.sync
        if judge is None or self.waveform is None:
            raise ValueError(f"clip {self.clip}: needs a sync judge and a waveform")
        found = faces_found(self.predicted.landmarks, f"clip {self.clip}: predicted landmarks")
        if not judge.sees_enough(found):
            return None
        return judge.agreement(self.predicted.landmarks, self.waveform, clip=self.clip)

    def judged(self) -> Score:
        """
        Raises:
            ValueError: the judge, the neutral face or the wanted emotion is missing.
        """
        return emotion_score(*self._asked(self.judges.emotion), clip=self.clip)

    def judged_by_network(self) -> Score:
        """As `judged`, by the second judge."""
        return emotion_score(*self._asked(self.judges.network), clip=self.clip)

    def probability(self) -> Score:
        """The probability that the judge gives the wanted emotion; raises as `judged`."""
        return emotion_probability(*self._asked(self.judges.emotion), clip=self.clip)

    def _asked(
        self, judge: EmotionClassifier | None
    ) -> tuple[EmotionClassifier, np.ndarray, np.ndarray, str]:
        if judge is None or self.neutral is None or self.emotion is None:
            raise ValueError(f"clip {self.clip}: needs a judge, a neutral face and a wanted emotion")
        return judge, self.predicted.landmarks, self.neutral, self.emotion


@dataclass(frozen=True)
class SetPair:
    """Frame features of all predictions beside those of the truth, per clip (frames, d), in one order."""

    predicted: Sequence[np.ndarray]
    truth: Sequence[np.ndarray]
    rng: np.random.Generator
    resamples: int = 200
    allow_biased: bool = False


@dataclass(frozen=True)
class Metric:
    id: str
    """The protocol id, as in the records."""
    family: str
    """What it is a definition of, as the report calls it: "M-LD", "SSIM". At most one of a family is main."""
    label: str
    symbol: str
    """As LaTeX prints it."""
    unit: str
    direction: Literal["lower", "higher"]
    needs: frozenset[Need]
    level: Literal["clip", "set"]
    source: str
    description: str
    compute: Callable[[Any], Score]
    """From a `ClipPair` or, at level "set", from a `SetPair`."""
    main: bool = True
    """Whether the protocol has a column in the main table."""
    legacy: bool = False
    """Whether it reproduces a published script with its defects: for comparison with old tables, never for
    a claim."""
    extractor: str = ""
    """The network whose features of frames a metric of a set compares (`benchmark.metrics.extractors`)."""
    sampling: Sampling = ALL
    """The frames that a metric of a set looks at."""
    best: float | None = 0.0
    """The value of a perfect prediction; None where it has none (PSNR leaves identical frames out)."""
    limits: tuple[float | None, float | None] = (0.0, None)
    """The least and the greatest value that is possible; None where there is none."""
    sees: frozenset[Damage] = frozenset()
    """Damages under which a larger dose scores strictly worse. What is neither here nor in `blind_to` may
    move the value, but not in proportion. Every protocol of clips names something here or there."""
    blind_to: frozenset[Damage] = frozenset()
    """Damages that do not move the value at all."""
    symmetric: bool = True
    """Whether prediction and truth may change places."""
    unmoved_by: frozenset[Change] = frozenset()
    bounded: bool = False
    """Whether a score says what the frames without a predicted face could have made of it."""
    defects: Mapping[Rung, str] = field(default_factory=dict, hash=False)
    """Checks that a legacy protocol fails, as its script does, each with the reason. The contract tests then
    demand that it fails."""

    @property
    def features(self) -> str:
        """The name of the features that a metric of a set compares: protocols that share it share them."""
        return f"{self.extractor}:{self.sampling.name}" if self.sampling.name else self.extractor


def info(metric: Metric) -> ProtocolInfo:
    """What the manifest says of a metric."""
    return ProtocolInfo(
        label=metric.label,
        symbol=metric.symbol,
        unit=metric.unit,
        direction=metric.direction,
        source=metric.source,
        description=metric.description,
        main=metric.main,
        family=metric.family,
        legacy=metric.legacy,
        least=metric.limits[0],
        most=metric.limits[1],
    )
