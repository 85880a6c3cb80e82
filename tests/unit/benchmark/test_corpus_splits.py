"""Splits are by sentence and by speaker, refuse leaks, and cope with small corpora."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from benchmark.data.corpus import Corpus, CorpusError, Split, audit, choose_sentences, split_corpus
from benchmark.data.items import build_items, clips_to_prepare, condition_text, film
from models.types import Clip

EMOTIONS = ("angry", "happy", "neutral")


class Listed(Corpus):
    """A corpus that is nothing but its list."""

    name = "listed"
    description = "A list."
    has_frames = True

    def __init__(
        self, clips: list[Clip], emotions=EMOTIONS, subject: str | None = "A", knows_all: bool = True
    ):
        self._clips, self.emotions, self.default_subject = tuple(clips), emotions, subject
        self.knows_all = knows_all

    def identity(self) -> str:
        return "listed"

    def clips(self):
        return self._clips

    def prepare(self, clip, *, frames):
        raise AssertionError("a split must not touch media")

    def counterfactual(self, timing, emotion, pose):
        if not self.knows_all:
            return None
        return replace(pose, id=f"cf--{timing.id}--{emotion.id}--{pose.id}")

    def heads(self):
        return np.zeros((1, 1, 68, 3), np.float32)


def clip(speaker: str, sentence: str, emotion: str | None, intensity: int = 3) -> Clip:
    name = f"{speaker}-{sentence}-{emotion}-{intensity}"
    return Clip(name, speaker, sentence, emotion, intensity, Path("none") / name)


def everyone(speakers="AB", shared=6, other=6) -> list[Clip]:
    clips = [clip(s, f"s{i}", e) for s in speakers for i in range(shared) for e in EMOTIONS]
    for s in speakers:
        clips += [clip(s, f"o{i}{e}", e) for i in range(other) for e in EMOTIONS]
    return clips


def test_no_sentence_is_learned_and_tested() -> None:
    split = split_corpus(Listed(everyone()))
    learned = {c.sentence for c in (*split.train, *split.validation, *split.judge_train)}
    assert learned.isdisjoint(c.sentence for c in split.test)
    assert {c.sentence for c in split.train}.isdisjoint(c.sentence for c in split.validation)
    assert {c.speaker for c in split.train} == {"A"}
    assert {c.speaker for c in split.judge_train} == {"B"}


def test_shared_and_other_sentences_are_both_held_out() -> None:
    split = split_corpus(Listed(everyone()), test_shared=2, test_other=3)
    tested = {c.sentence for c in split.test}
    assert len([s for s in tested if s.startswith("s")]) == 2
    assert len([s for s in tested if s.startswith("o")]) == 3


def test_the_strongest_intensity_only_keeps_neutral() -> None:
    clips = everyone() + [clip("A", f"s{i}", e, 1) for i in range(6) for e in EMOTIONS]
    split = split_corpus(Listed(clips), intensities=(3,))
    assert all(c.intensity == 3 or c.emotion == "neutral" for c in split.train)


def test_few_shared_sentences_are_left_to_pair() -> None:
    split = split_corpus(Listed(everyone(shared=2, other=8)), test_shared=2, test_other=1)
    kinds = [c.sentence[0] for c in split.train]
    assert kinds.count("s") == 3
    assert len({c.sentence for c in split.test}) == 3


def test_fewer_training_sentences_leave_the_test_as_it_is() -> None:
    whole, few = split_corpus(Listed(everyone())), split_corpus(Listed(everyone()), train_sentences=2)
    assert few.test == whole.test
    assert len({c.sentence for c in few.train}) == 4
    assert {c.emotion for c in few.train} == set(EMOTIONS)


@pytest.mark.parametrize("part", ["train", "validation", "judge_train"])
def test_audit_refuses_a_leak(part: str) -> None:
    split = split_corpus(Listed(everyone()))
    leaked = replace(split.test[0], speaker="B" if part == "judge_train" else "A", id="leak")
    bad = replace(split, **{part: (*getattr(split, part), leaked)})
    with pytest.raises(CorpusError, match="is in both"):
        audit(bad)


def test_audit_refuses_a_judge_that_knows_the_subject() -> None:
    split = split_corpus(Listed(everyone()))
    with pytest.raises(CorpusError, match="of the subject"):
        audit(replace(split, judge_train=(split.train[0],)))


def test_two_sentences_validate_on_other_takes_and_say_so() -> None:
    clips = [clip("A", f"s{i}", e, level) for i in range(2) for e in EMOTIONS for level in (2, 3)]
    split = split_corpus(Listed(clips))
    assert not split.validation_by_sentence
    assert {c.id for c in split.train}.isdisjoint(c.id for c in split.validation)
    assert {c.sentence for c in split.test}.isdisjoint(c.sentence for c in split.train)
    assert any("fewer than three sentences" in note for note in split.notes)


def test_a_corpus_without_emotions_has_no_transfer_and_no_judge() -> None:
    clips = [clip(s, f"{s}{i}", None, 1) for s in "AB" for i in range(4)]
    corpus = Listed(clips, emotions=(), subject=None)
    split = split_corpus(corpus, test_shared=1, test_other=1)
    assert split.judge_train == ()
    assert {item.condition for item in build_items(corpus, split)} == {"self"}
    assert any("no emotion labels" in note for note in split.notes)


def test_two_recordings_are_too_few() -> None:
    clips = [clip("A", name, None, 1) for name in ("one", "two")]
    with pytest.raises(CorpusError, match=r"expected three sentences or more .*, got 2 clips of 2;"):
        split_corpus(Listed(clips, emotions=()))


def test_pooled_speakers_say_how_many_test_clips_show_strangers() -> None:
    alone = [clip(speaker, f"{speaker}0", None, 1) for speaker in "ABCDEF"]
    (note,) = [n for n in split_corpus(Listed(alone, emotions=(), subject=None)).notes if "pooled" in n]
    assert "few clips a speaker" in note
    assert "2 of the 2 test clips" in note
    known = [clip(speaker, f"{speaker}{i}", None, 1) for speaker in "AB" for i in range(9)]
    split = split_corpus(Listed(known, emotions=()), subject=None)
    (note,) = [n for n in split.notes if "pooled" in n]
    assert "No subject is chosen" in note
    assert "0 of the" in note


def test_an_unknown_subject_is_named() -> None:
    with pytest.raises(CorpusError, match=r"no speaker 'Z'.*A, B"):
        split_corpus(Listed(everyone()), subject="Z")


def test_more_sentences_than_there_are_is_refused() -> None:
    with pytest.raises(CorpusError, match="sentences asked for"):
        choose_sentences("abcde", 6)


@pytest.mark.parametrize("sentences", range(3, 14))
@pytest.mark.parametrize("asked", [(3, 5, 1, 1), (2, 2, 1, 1), (50, 0, 0, 1)])
@pytest.mark.parametrize("emotions", [EMOTIONS, ()])
def test_a_small_corpus_holds_out_at_most_half_and_says_so(sentences: int, asked, emotions) -> None:
    labels = emotions or (None,)
    clips = [clip("A", f"s{i:02}", e) for i in range(sentences) for e in labels]
    names = ("test_shared", "test_other", "validation_shared", "validation_other")
    split = split_corpus(
        Listed(clips, emotions=emotions, subject="A"), **dict(zip(names, asked, strict=True))
    )
    parts = {name: {c.sentence for c in getattr(split, name)} for name in ("train", "validation", "test")}
    assert len(parts["train"]) >= sentences // 2
    assert sum(map(len, parts.values())) == sentences
    notes = [note for note in split.notes if "not" in note and "as configured" in note]
    assert bool(notes) == (sum(asked) > sentences // 2)
    assert len(parts["test"]) + len(parts["validation"]) == max(2, min(sum(asked), sentences // 2))


def test_a_kind_that_runs_out_is_made_up_from_the_other() -> None:
    clips = [*everyone(speakers="A", shared=12, other=0), clip("A", "only", "happy")]
    split = split_corpus(Listed(clips), test_shared=1, test_other=3, validation_shared=1, validation_other=1)
    assert len({c.sentence for c in split.test}) == 4
    assert len({c.sentence for c in split.validation}) == 2


def test_chosen_sentences_do_not_depend_on_the_order() -> None:
    assert choose_sentences("edcba", 2) == choose_sentences("abcde", 2) == ("b", "d")


def items_and_split(**options) -> tuple[tuple, Split]:
    corpus = Listed(everyone())
    split = split_corpus(corpus)
    return build_items(corpus, split, **options), split


def test_a_transfer_never_lends_the_emotion_it_already_has() -> None:
    items, split = items_and_split(conditions=("transfer",))
    tested = {c.id for c in split.test}
    assert {item.emotion.emotion for item in items} == set(EMOTIONS)
    for item in items:
        assert item.audio.emotion != item.emotion.emotion
        assert item.audio.sentence != item.emotion.sentence
        assert {item.audio.id, item.emotion.id, item.target.id} <= tested
        assert item.truth.id == f"cf--{item.audio.id}--{item.emotion.id}--{item.target.id}"


def test_fewer_items_stay_balanced_over_emotions() -> None:
    items, _ = items_and_split(conditions=("self",), max_self=6)
    counts = {e: sum(item.emotion.emotion == e for item in items) for e in EMOTIONS}
    assert counts == {"angry": 2, "happy": 2, "neutral": 2}


def test_fewer_items_still_ask_for_many_sentences() -> None:
    corpus = Listed(everyone(shared=12))
    split = split_corpus(corpus, test_shared=6, test_other=0)
    for condition in ("self", "transfer"):
        items = build_items(corpus, split, conditions=(condition,), max_self=6, max_transfer=6)
        assert len({item.audio.sentence for item in items}) >= 4


def test_without_a_counterfactual_the_truth_is_the_same_sentence_in_the_wanted_emotion() -> None:
    corpus = Listed(everyone(), knows_all=False)
    split = split_corpus(corpus)
    items = build_items(corpus, split, conditions=("transfer",))
    shared = {c.sentence for c in split.test if c.sentence.startswith("s")}
    assert {i.audio.sentence for i in items} == shared, "the others were said in one emotion only"
    assert len(items) == len(shared) * len(EMOTIONS)
    for item in items:
        assert item.warped
        assert item.audio.sentence == item.target.sentence
        assert item.audio.speaker == item.target.speaker == item.truth.speaker
        assert item.target.emotion == item.emotion.emotion == item.truth.emotion != item.audio.emotion
        assert item.emotion.sentence != item.audio.sentence, "the truth's own sound is not given away"
        assert not item.truth.filmed
        assert not item.target.filmed
    assert "warped in time" in condition_text("transfer", items)
    assert "counterfactual" in condition_text("transfer", items_and_split()[0])


def test_of_several_takes_the_strongest_is_the_warped_truth() -> None:
    clips = [clip("A", f"s{i}", e, k) for i in range(6) for e in EMOTIONS for k in (1, 2, 3)]
    corpus = Listed(clips, knows_all=False)
    items = build_items(corpus, split_corpus(corpus), conditions=("transfer",))
    assert {item.target.intensity for item in items} == {3}
    assert {item.emotion.intensity for item in items} == {3}


def test_without_a_parallel_clip_there_is_no_transfer() -> None:
    corpus = Listed([clip("A", f"o{i}{e}", e) for i in range(6) for e in EMOTIONS], knows_all=False)
    with pytest.raises(CorpusError, match="no test items"):
        build_items(corpus, split_corpus(corpus), conditions=("transfer",))


def test_frames_are_asked_for_where_the_study_uses_them_and_nowhere_else() -> None:
    items, split = items_and_split(max_self=3, max_transfer=3)
    split = film(split, train=5, validation=2)
    prepared = {c.id: c for c in clips_to_prepare(split, items)}
    assert sum(c.filmed for c in split.train) == 5
    for item in items:
        assert prepared[item.truth.id].filmed
        assert prepared[item.target.id].filmed
    assert not any(prepared[c.id].filmed for c in split.judge_train)
    assert len(prepared) == len({*prepared})
