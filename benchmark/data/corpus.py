"""What every corpus offers, and how it is split.

A corpus lists its clips without touching media, prepares one clip at a time into a folder of arrays
(`models.types.Clip`), and may be able to make a *counterfactual*: the true face for the timing of one
clip, the emotion of a second and the head pose of a third.

Splits are by sentence and by speaker, never by window (EVP's own split by window index leaks overlapping
windows; `audit` makes that impossible here). The subject is the person the models are made for. Judges
are trained on other people.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from models.errors import InputError
from models.targets import configurable
from models.types import Clip


class CorpusError(InputError):
    """A corpus that cannot be used as asked: what was expected, what came, what to do.

    Args:
        problems: lines to show below the message, one for each fault where there are many.
    """

    def __init__(self, message: str, *, problems: Sequence[str] = ()) -> None:
        super().__init__(message)
        self.problems = tuple(problems)


@configurable
class Corpus(ABC):
    """A set of clips. Constructed from its YAML, with keyword-only arguments."""

    name: str
    description: str
    """One sentence for the report: what it is, and whose."""
    emotions: tuple[str, ...]
    """Labels in their fixed order; empty where the corpus has no emotion labels."""
    has_frames: bool
    """Whether clips can be prepared with video frames."""
    has_landmarks: bool = True
    """False for speech alone, which needs `face=parametric` to be a benchmark of faces."""
    default_subject: str | None
    """The speaker whose models are trained by default; None pools all speakers (tiny corpora)."""
    notes: tuple[str, ...] = ()
    """What a reader of its scores must know, in sentences."""

    @abstractmethod
    def identity(self) -> str:
        """Return a hash of what all prepared arrays depend on: recipe, version, or files' contents."""

    def clip_identity(self, clip: Clip) -> str:
        """Return what the arrays of one clip depend on besides `identity`, such as labels that shape a face.

        Of a counterfactual these are the labels of the clips that it is made of. "" where there is nothing.
        """
        return ""

    def heads_identity(self) -> str:
        """Return a hash of what `heads` depends on."""
        return self.identity()

    @abstractmethod
    def clips(self) -> tuple[Clip, ...]:
        """Every clip, in a fixed order; no media is read."""

    @abstractmethod
    def prepare(self, clip: Clip, *, frames: bool) -> None:
        """Make the clip's folder, whole or not at all; does nothing where it is there already.

        Raises:
            CorpusError: naming the clip, if its media cannot be used.
        """

    def check_unchanged(self, clip: Clip) -> None:  # noqa: B027 -- generated clips have no files
        """Refuse a clip whose files are not those that the identity was taken of.

        Raises:
            CorpusError: naming the file.
        """

    def counterfactual(self, timing: Clip, emotion: Clip, pose: Clip) -> Clip | None:
        """The clip, not yet prepared, of the words of `timing`, the emotion of `emotion`, the pose of `pose`.

        It is of `pose`'s speaker, has `timing`'s waveform and length, and `pose`'s head motion extended by
        time reversal. None where the corpus cannot know it.
        """
        return None

    @abstractmethod
    def heads(self) -> np.ndarray:
        """(people, examples, 68, 3) float32, see `models.method.TrainingData.heads`."""


SYNC_CLIPS = 48
"""Other speakers' clips for a judge of synchrony alone: enough for it, and video takes long to prepare."""


@dataclass(frozen=True)
class Split:
    """Who learns from what. Sentences of `test` occur nowhere else, whoever speaks them."""

    subject: str | None
    train: tuple[Clip, ...]
    validation: tuple[Clip, ...]
    test: tuple[Clip, ...]
    judge_train: tuple[Clip, ...]
    """Clips of other speakers; their sentences are the training ones."""
    validation_by_sentence: bool = True
    """False on a corpus of fewer than three sentences, where other takes of the training ones validate."""
    notes: tuple[str, ...] = field(default=())
    """What had to be dropped or pooled, in words, for the report."""


def audit(split: Split) -> None:
    """Refuse a split in which a clip or a sentence stands on both sides, or a judge knows the subject.

    Raises:
        CorpusError: naming the first offender.
    """
    _disjoint(split.train, split.test, "train", "test")
    _disjoint(split.validation, split.test, "validation", "test")
    if split.validation_by_sentence:
        _disjoint(split.train, split.validation, "train", "validation")
    elif both := {c.id for c in split.train} & {c.id for c in split.validation}:
        raise CorpusError(f"split: clip {min(both)} is in both train and validation")
    _disjoint(split.judge_train, split.test, "judge_train", "test")
    if split.subject is not None:
        for clip in split.judge_train:
            if clip.speaker == split.subject:
                raise CorpusError(f"split: judge clip {clip.id} is of the subject {split.subject}")
        for clip in (*split.train, *split.validation, *split.test):
            if clip.speaker != split.subject:
                raise CorpusError(f"split: clip {clip.id} is not of the subject {split.subject}")


def _disjoint(first: Sequence[Clip], second: Sequence[Clip], first_name: str, second_name: str) -> None:
    shared = {clip.sentence for clip in first} & {clip.sentence for clip in second}
    if shared:
        raise CorpusError(
            f"split: sentence {sorted(shared)[0]!r} is in both {first_name} and {second_name}; "
            "every sentence must be on one side only"
        )


def choose_sentences(sentences: Iterable[str], count: int) -> tuple[str, ...]:
    """`count` sentences spread evenly over the sorted list: a rule, not a draw, so all seeds test alike."""
    ordered = sorted(set(sentences))
    if count > len(ordered):
        raise CorpusError(f"split: {count} sentences asked for, the corpus has {len(ordered)}")
    positions = np.floor((np.arange(count) + 0.5) * len(ordered) / max(count, 1)).astype(int)
    return tuple(ordered[i] for i in positions)


def shared_sentences(clips: Sequence[Clip], emotions: Sequence[str]) -> tuple[str, ...]:
    """Sentences that the clips hold in every emotion: the ones pseudo pairs can be made of."""
    spoken: dict[str, set[str]] = {}
    for clip in clips:
        if clip.emotion is not None:
            spoken.setdefault(clip.sentence, set()).add(clip.emotion)
    return tuple(sorted(s for s, found in spoken.items() if found >= set(emotions)))


def split_corpus(
    corpus: Corpus,
    *,
    subject: str | None = "default",
    test_shared: int = 2,
    test_other: int = 2,
    validation_shared: int = 1,
    validation_other: int = 1,
    intensities: Sequence[int] | None = None,
    train_sentences: int | None = None,
    judge_sentences: int | None = None,
) -> Split:
    """Split by sentence text and speaker.

    Shared sentences (spoken in every emotion by the subject) and the others are held out separately, as
    pseudo pairs exist for the former only. At least one shared sentence is left to train on; what one kind
    lacks is taken from the other. On a small corpus all four numbers shrink alike, so that about half of the
    sentences are left to train on, and a note says so.

    Args:
        subject: a speaker, "default" for the corpus's own choice, or None to pool all speakers.
        intensities: keep only clips of these intensities for the subject (neutral, intensity 1, always
            stays); None keeps all. EVP trains on the strongest only.
        train_sentences: how many sentences of each kind are trained on; None takes all that are left.
        judge_sentences: how many of the training sentences the other speakers say to the judges; None
            takes all, 0 trains no judge.
    """
    clips = corpus.clips()
    if not clips:
        raise CorpusError(f"{corpus.name}: no clips found")
    who = corpus.default_subject if subject == "default" else subject
    speakers = sorted({clip.speaker for clip in clips})
    if who is not None and who not in speakers:
        raise CorpusError(f"{corpus.name}: no speaker {who!r}; there are {', '.join(speakers)}")
    own = [c for c in clips if who is None or c.speaker == who]
    if intensities is not None:
        own = [c for c in own if c.intensity in intensities or c.emotion in (None, "neutral")]
    wanted = _Held(test_shared, test_other, validation_shared, validation_other)
    sentences = len({c.sentence for c in own})
    few = sentences < 3
    held_out = _Held(min(wanted.test, 1), 0, 0, 0) if few else wanted.within(sentences)
    held_test, held_validation = _held_out(own, corpus.emotions, held_out)
    held = held_test | held_validation
    learning = _first_sentences(
        sorted((c for c in own if c.sentence not in held), key=lambda c: c.id),
        corpus.emotions,
        train_sentences,
    )
    takes = learning[3::4] if few else [c for c in own if c.sentence in held_validation]
    train = tuple(c for c in learning if c not in takes)
    test = tuple(c for c in own if c.sentence in held_test)
    notes = [*corpus.notes, *_notes(corpus, few)]
    if who is None:
        notes += _pooled(corpus, train, test)
    if not few:
        notes += _fewer(corpus, sentences, wanted, held_out)
    split = Split(
        subject=who,
        train=train,
        validation=tuple(takes),
        test=test,
        judge_train=_judge_clips(clips, who, held, judge_sentences, bool(corpus.emotions)),
        validation_by_sentence=not few,
        notes=tuple(notes),
    )
    for part in ("train", "validation", "test"):
        if not getattr(split, part):
            raise CorpusError(
                f"{corpus.name}: no {part} clips for subject {who or 'all speakers'}: "
                f"expected three sentences or more (or two with several takes), got {len(own)} clips of "
                f"{sentences}; add recordings or choose another split.subject"
            )
    audit(split)
    return split


class _Held(NamedTuple):
    """How many sentences of each kind are held out."""

    test_shared: int
    test_other: int
    validation_shared: int
    validation_other: int

    @property
    def test(self) -> int:
        return self.test_shared + self.test_other

    @property
    def validation(self) -> int:
        return self.validation_shared + self.validation_other

    def within(self, sentences: int) -> _Held:
        """As it is, or all shrunk alike to half of the sentences, but to one for each purpose at least."""
        most = sentences // 2
        if sum(self) <= most:
            return self
        validation = min(max(1, round(most * self.validation / sum(self))), self.validation)
        test = min(max(1, most - validation), self.test)
        return _Held(
            *_in_proportion(test, self.test_shared, self.test_other),
            *_in_proportion(validation, self.validation_shared, self.validation_other),
        )


def _in_proportion(count: int, shared: int, other: int) -> tuple[int, int]:
    """`count` as so many shared and so many other sentences, the former rounded up."""
    first = -(-count * shared // max(shared + other, 1))
    return first, count - first


def _held_out(own: Sequence[Clip], emotions: Sequence[str], wanted: _Held) -> tuple[set[str], set[str]]:
    """The test and the validation sentences; what one kind lacks is taken from the other."""
    shared = set(shared_sentences(own, emotions)) if emotions else set()
    other = {c.sentence for c in own} - shared
    test = _chosen(shared, other, wanted.test_shared, wanted.test_other)
    validation = _chosen(shared - test, other - test, wanted.validation_shared, wanted.validation_other)
    return test, validation


def _chosen(shared: set[str], other: set[str], from_shared: int, from_other: int) -> set[str]:
    # One shared sentence must remain, or there is nothing to pair.
    lacking = max(from_shared - max(len(shared) - 1, 0), 0)
    from_shared, from_other = from_shared - lacking, from_other + lacking
    lacking = max(from_other - len(other), 0)
    from_shared, from_other = from_shared + lacking, from_other - lacking
    return {*choose_sentences(shared, from_shared), *choose_sentences(other, from_other)}


def _first_sentences(clips: list[Clip], emotions: Sequence[str], count: int | None) -> list[Clip]:
    """The clips of at most `count` shared and `count` other sentences."""
    if count is None:
        return clips
    shared = set(shared_sentences(clips, emotions)) if emotions else set()
    other = {c.sentence for c in clips} - shared
    kept = {s for pool in (shared, other) for s in choose_sentences(pool, min(count, len(pool)))}
    return [c for c in clips if c.sentence in kept]


def _judge_clips(
    clips: Sequence[Clip], subject: str | None, held: set[str], sentences: int | None, emotional: bool
) -> tuple[Clip, ...]:
    """Other speakers' clips of some training sentences; where only synchrony is judged, some of them."""
    others = [c for c in clips if subject is not None and c.speaker != subject]
    free = {c.sentence for c in others} - held
    chosen = free if sentences is None else set(choose_sentences(free, min(sentences, len(free))))
    found = tuple(c for c in others if c.sentence in chosen)
    if emotional or len(found) <= SYNC_CLIPS:
        return found
    return tuple(found[place * len(found) // SYNC_CLIPS] for place in range(SYNC_CLIPS))


def _fewer(corpus: Corpus, sentences: int, wanted: _Held, held: _Held) -> list[str]:
    """Says that fewer sentences are held out than the configuration asks for."""
    if held == wanted:
        return []
    return [
        f"{corpus.name} offers {sentences} sentences: it tests on {held.test} and validates on "
        f"{held.validation}, not {wanted.test} and {wanted.validation} as configured, so that about half are "
        "left to train on."
    ]


def _pooled(corpus: Corpus, train: Sequence[Clip], test: Sequence[Clip]) -> list[str]:
    """Says that there is one model for all speakers, and whether it is tested on strangers."""
    few = corpus.default_subject is None
    why = f"{corpus.name} has few clips a speaker" if few else "No subject is chosen"
    known = {c.speaker for c in train}
    strangers = sum(c.speaker not in known for c in test)
    return [
        f"{why}: one model is trained on all speakers pooled, though the methods are made for one person. "
        f"{strangers} of the {len(test)} test clips show speakers that it was not trained on."
    ]


def _notes(corpus: Corpus, few: bool) -> list[str]:
    notes = []
    if few:
        notes.append(
            f"{corpus.name} has fewer than three sentences: other takes of the training sentence, not "
            "another sentence, select the checkpoints. The test sentence is unseen."
        )
    if not corpus.emotions:
        notes.append(
            f"{corpus.name} has no emotion labels: the transfer condition, the emotion judge and every "
            "method or ablation that needs emotions are left out."
        )
    if not corpus.has_frames:
        notes.append(f"{corpus.name} has no video: rendering and image metrics are left out.")
    return notes
