"""What is asked of every method: the test items, by condition.

``self``
    Audio and emotion of a test clip, over its own video. The truth is the clip. As in the paper, the head
    pose and whatever lies outside the face come from that video.
``transfer``
    The words of one clip, the emotion of a second, over a third. The truth is the corpus's counterfactual:
    the same timing, emotion and head pose, generated. Where a corpus cannot know it, but a speaker says the
    sentence in the wanted emotion too, the truth is that clip, warped onto the timing of the first, and the
    same clip lends its head motion: see `benchmark.data.warped`. Without such clips there are no items.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from benchmark.data.corpus import Corpus, CorpusError, Split
from benchmark.data.warped import warped
from models.types import Clip, Portrait, Prediction, Request

GOLDEN = (5**0.5 - 1) / 2
"""Multiples of it, modulo 1, are spread evenly however many are taken."""

CONDITIONS = {
    "self": "audio and emotion of the clip itself, over its own head motion; truth: the clip",
    "transfer": "words of one clip, emotion of a second, head motion of a third; truth: the counterfactual",
}
WARPED = (
    "words of one clip, emotion of a second; truth: the speaker's own clip of that sentence in that emotion, "
    "warped in time, over its head motion; how wrong that is stands in the notes"
)
"""What `transfer` is where its truth is warped."""


@dataclass(frozen=True)
class Item:
    """One question with its answer."""

    id: str
    condition: str
    audio: Clip
    """Says the words."""
    emotion: Clip
    """Shows the emotion."""
    target: Clip
    """Lends its head motion, and all that is outside the face."""
    truth: Clip
    warped: bool = False
    """Whether the truth is the target clip, warped onto the timing of the audio clip."""


def build_items(
    corpus: Corpus,
    split: Split,
    *,
    conditions: Sequence[str] = ("self", "transfer"),
    max_self: int | None = None,
    max_transfer: int | None = None,
    filmed: bool = True,
) -> tuple[Item, ...]:
    """Test items in a fixed order; none for a condition that the corpus cannot have.

    Args:
        max_self: at most so many, spread evenly over sentences and emotions; None takes every test clip.
        max_transfer: likewise; every held-out sentence is asked for in every emotion otherwise.
        filmed: score frames too, where the corpus has them.
    """
    unknown = set(conditions) - set(CONDITIONS)
    if unknown:
        raise CorpusError(f"items: no condition {sorted(unknown)[0]!r}; there are {', '.join(CONDITIONS)}")
    test = [replace(c, filmed=filmed and corpus.has_frames) for c in split.test]
    items: list[Item] = []
    if "self" in conditions:
        own = [Item(f"self-{c.id}", "self", audio=c, emotion=c, target=c, truth=c) for c in test]
        items += _spread(own, max_self)
    if "transfer" in conditions and corpus.emotions:
        exact = list(_transfers(corpus, test, filmed))
        items += _spread(exact or list(_parallels(corpus, test)), max_transfer)
    if not items:
        raise CorpusError(f"{corpus.name}: no test items for the conditions {', '.join(conditions)}")
    return tuple(items)


def _transfers(corpus: Corpus, test: Sequence[Clip], filmed: bool) -> Iterable[Item]:
    """Every held-out sentence in every emotion; what is said in and by whom the emotion is lent rotates."""
    sentences = sorted({c.sentence for c in test})
    emotions = corpus.emotions
    for row, sentence in enumerate(sentences):
        spoken = [c for c in test if c.sentence == sentence]
        others = [c for c in test if c.sentence != sentence] or spoken
        for column, wanted in enumerate(emotions):
            lenders = [c for c in others if c.emotion == wanted]
            speakers = [c for c in spoken if c.emotion != wanted]
            if not lenders or not speakers:
                continue
            emotion = lenders[row % len(lenders)]
            audio = speakers[(row + column) % len(speakers)]
            posers = [c for c in others if c.id not in (emotion.id, audio.id)] or [audio]
            target = posers[(3 * row + 5 * column) % len(posers)]
            truth = corpus.counterfactual(audio, emotion, target)
            if truth is None:
                continue
            truth = replace(truth, filmed=filmed and corpus.has_frames)
            name = f"transfer-{audio.id}--{emotion.id}--{target.id}"
            yield Item(name, "transfer", audio=audio, emotion=emotion, target=target, truth=truth)


def _parallels(corpus: Corpus, test: Sequence[Clip]) -> Iterable[Item]:
    """Every held-out sentence in every emotion that one of its speakers says it in beside another emotion.

    Of several takes the strongest is the truth. The emotion is heard in another sentence, of the intensity
    nearest, so that the sound of the truth isn't given away with it; in the truth's where there is no other.
    """
    places = sorted({(c.sentence, c.speaker) for c in test})
    for row, (sentence, speaker) in enumerate(places):
        own = [c for c in test if c.speaker == speaker]
        said = [c for c in own if c.sentence == sentence]
        for column, wanted in enumerate(corpus.emotions):
            answers = sorted((c for c in said if c.emotion == wanted), key=lambda c: (-c.intensity, c.id))
            sources = [c for c in said if c.emotion != wanted]
            if not answers or not sources:
                continue
            spoken, audio = replace(answers[0], filmed=False), sources[(row + column) % len(sources)]
            others = [c for c in own if c.sentence != sentence and c.emotion == wanted] or [spoken]
            emotion = min(others, key=lambda c: (abs(c.intensity - spoken.intensity), c.id))
            truth = warped(audio, spoken)
            name = f"transfer-{audio.id}--{spoken.id}"
            yield Item(
                name, "transfer", audio=audio, emotion=emotion, target=spoken, truth=truth, warped=True
            )


def condition_text(condition: str, items: Iterable[Item]) -> str:
    """One sentence on what is asked under a condition and what the truth of these items is."""
    return WARPED if any(i.warped for i in items if i.condition == condition) else CONDITIONS[condition]


def _spread(items: list[Item], most: int | None) -> list[Item]:
    """At most `most` items, balanced over emotions, then spread evenly over the rest."""
    if most is None or len(items) <= most:
        return items
    groups: dict[str | None, list[Item]] = {}
    for item in items:
        groups.setdefault(item.emotion.emotion, []).append(item)
    kept: set[str] = set()
    for index, group in enumerate(groups.values()):
        quota = most // len(groups) + (index < most % len(groups))
        # Each emotion starts elsewhere, or all would ask for the same few sentences.
        start = (index + 0.5) * GOLDEN % 1
        places = np.floor((np.arange(quota) + start) * len(group) / max(quota, 1)).astype(int)
        kept.update(group[place].id for place in places)
    return [item for item in items if item.id in kept]


def film(split: Split, *, train: int, validation: int) -> Split:
    """The split with `train` training and `validation` validation clips filmed, spread over emotions.

    Rendering trains on these; the others give audio and landmarks only.
    """
    return replace(split, train=_film(split.train, train), validation=_film(split.validation, validation))


def _film(clips: tuple[Clip, ...], count: int) -> tuple[Clip, ...]:
    by_emotion = sorted(clips, key=lambda c: (c.emotion or "", c.id))
    places = np.floor((np.arange(min(count, len(clips))) + 0.5) * len(clips) / max(min(count, len(clips)), 1))
    chosen = {by_emotion[int(place)].id for place in places}
    return tuple(replace(c, filmed=c.id in chosen) for c in clips)


def clips_to_prepare(split: Split, items: Sequence[Item]) -> tuple[Clip, ...]:
    """Every clip that the study reads, once, `filmed` where any use needs its frames; in a fixed order."""
    wanted: dict[str, Clip] = {}
    used = (*split.train, *split.validation, *split.judge_train)
    asked = (clip for item in items for clip in (item.audio, item.emotion, item.target, item.truth))
    for clip in (*used, *asked):
        before = wanted.get(clip.id)
        if before is None or (clip.filmed and not before.filmed):
            wanted[clip.id] = clip
    return tuple(wanted[key] for key in sorted(wanted))


def to_request(item: Item, *, with_truth: bool = False) -> Request:
    """The question as a method sees it; with the answer for ceilings only."""
    return Request(
        waveform=item.audio.waveform,
        num_frames=item.truth.num_frames,
        emotion=item.emotion.emotion,
        intensity=item.emotion.intensity,
        emotion_waveform=item.emotion.waveform if item.emotion.emotion is not None else None,
        target=Portrait(
            speaker=item.target.speaker,
            landmarks=item.target.landmarks,
            frames=np.asarray(item.target.frames) if item.target.filmed else None,
        ),
        recording=item.audio.id,
        truth=truth_of(item) if with_truth else None,
    )


def truth_of(item: Item) -> Prediction:
    clip = item.truth
    return Prediction(landmarks=clip.landmarks, frames=np.asarray(clip.frames) if clip.filmed else None)
