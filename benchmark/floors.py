"""Real clips against other real clips, under every protocol of a set: what no method can be expected to beat.

The real clips of a condition are its truths and the subject's other filmed clips, those that a renderer was
trained on. They say other sentences, so the floor holds what sentences change beside what few frames do.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmark.metrics.floor import real_floor
from benchmark.metrics.frechet import TooFewVectorsError
from benchmark.metrics.score import Score
from benchmark.metrics.scorer import score_set, set_protocols
from benchmark.records import Floor
from models.seeding import generator
from models.types import Clip

if TYPE_CHECKING:
    # It brings what makes and aligns corpora, 50 MB that scoring a folder does without.
    from benchmark.data.items import Item

Features = Mapping[str, np.ndarray]


def other_real_clips(filmed: Sequence[Clip], items: Sequence[Item]) -> list[Clip]:
    """The filmed clips that are no item's truth, each once."""
    truths = {item.truth.id for item in items}
    return list({clip.id: clip for clip in filmed if clip.filmed and clip.id not in truths}.values())


def real_floors(
    truths: Mapping[str, Sequence[Features]],
    others: Sequence[Features],
    extractors: Iterable[str],
    *,
    allow_biased: bool,
    speakers: Mapping[str, Sequence[str]] | None = None,
) -> tuple[dict[str, dict[str, Floor]], list[str]]:
    """The floor of every protocol in every condition, at the number of frames and clips of its truths.

    Args:
        truths: condition -> per clip its features by name, each clip once.
        others: the same of further real clips.
        speakers: condition -> speakers of its truths, then of the others; clips are compared with clips of
            the same people. None: all are of one person.

    Returns:
        Protocol -> condition -> floor; and what is left out, in sentences.
    """
    floors: dict[str, dict[str, Floor]] = {}
    notes: list[str] = []
    for protocol, name in set_protocols(extractors).items():
        for condition, own in truths.items():
            wanted = [clip[name] for clip in own]
            real = wanted + [clip[name] for clip in others]
            try:
                people = None if speakers is None else speakers[condition]
                score = _floor(protocol, condition, real, wanted, allow_biased, people)
            except (TooFewVectorsError, ValueError) as error:
                notes.append(f"{protocol}: real against real is left out for {condition}: {error}")
                continue
            floors.setdefault(protocol, {})[condition] = _record(score, wanted)
    return floors, notes


def _floor(
    protocol: str,
    condition: str,
    real: Sequence[np.ndarray],
    wanted: Sequence[np.ndarray],
    allow_biased: bool,
    speakers: Sequence[str] | None,
) -> Score:
    rng = generator(0, "floor", protocol, condition)

    def score(first: Sequence[np.ndarray], second: Sequence[np.ndarray]) -> Score:
        return score_set(protocol, first, second, rng=rng, resamples=0, allow_biased=allow_biased)

    count = sum(map(len, wanted))
    return real_floor(score, real, count=count, clips=len(wanted), rng=rng, speakers=speakers)


def _record(score: Score, wanted: Sequence[np.ndarray]) -> Floor:
    values: dict[str, Any] = {"value": score.value, "low": score.low, "high": score.high}
    return Floor(
        **values,
        count=score.count or 0,
        clips=score.clips or 0,
        wanted_count=sum(map(len, wanted)),
        wanted_clips=len(wanted),
    )
