"""Probes, silhouettes and gaps of embeddings whose factors are known, against formulas and scikit-learn."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import mutual_info_score, silhouette_samples
from sklearn.preprocessing import StandardScaler

from benchmark.metrics.disentanglement import (
    FOLDS,
    PROBES,
    block_gap,
    held_out_folds,
    jackknife,
    mutual_information_gap,
    read_out,
    silhouette,
)

SENTENCES, EMOTIONS, TAKES = 8, 4, 12


def labelled(seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.random.Generator]:
    """Emotions and sentences of 384 units, every emotion in every sentence equally often."""
    emotion, sentence = np.divmod(np.arange(SENTENCES * EMOTIONS * TAKES), SENTENCES)
    names = np.array(["angry", "happy", "neutral", "sad"])
    return names[emotion % EMOTIONS], sentence.astype(str), np.random.default_rng(seed)


def one_hot(labels: np.ndarray) -> np.ndarray:
    return np.eye(len(np.unique(labels)))[np.unique(labels, return_inverse=True)[1]]


@pytest.mark.parametrize("probe", PROBES)
def test_a_one_hot_embedding_is_read_without_an_error(probe):
    emotion, sentence, rng = labelled()
    embedding = np.hstack([one_hot(emotion), 0.01 * rng.normal(size=(len(emotion), 5))])
    found = read_out(embedding, emotion, sentence, probe=probe)
    assert found.balanced_accuracy() == 1
    assert found.chance == 1 / EMOTIONS
    assert found.information() > 0.95


@pytest.mark.parametrize("probe", PROBES)
def test_noise_is_read_at_chance(probe):
    emotion, sentence, rng = labelled()
    accuracy = [
        read_out(rng.normal(size=(len(emotion), 16)), emotion, sentence, probe=probe).balanced_accuracy()
        for _ in range(20)
    ]
    error = np.std(accuracy, ddof=1) / np.sqrt(len(accuracy))
    assert abs(np.mean(accuracy) - 1 / EMOTIONS) < 3.5 * error


def test_noise_holds_no_information():
    emotion, sentence, rng = labelled()
    found = read_out(rng.normal(size=(len(emotion), 16)), emotion, sentence)
    assert 0 <= found.information() < 0.02


def test_only_the_other_probe_reads_what_is_not_linear():
    emotion, sentence, rng = labelled()
    angle = rng.uniform(0, 2 * np.pi, len(emotion))
    radius = 1 + 2 * np.unique(emotion, return_inverse=True)[1]
    rings = np.stack([radius * np.cos(angle), radius * np.sin(angle)], 1)
    assert read_out(rings, emotion, sentence, probe="linear").balanced_accuracy() < 0.5
    assert read_out(rings, emotion, sentence, probe="neighbours").balanced_accuracy() > 0.9


def test_a_probe_that_has_only_learned_sentences_by_heart_is_at_chance():
    """Each sentence has codes of its own for the emotions: known on the same sentence, useless on another."""
    emotion, sentence, rng = labelled()
    own = one_hot(np.char.add(emotion, sentence)) @ rng.normal(size=(SENTENCES * EMOTIONS, 24))
    held_out = read_out(own, emotion, sentence, probe="neighbours").balanced_accuracy()
    leaked = read_out(own, emotion, rng.permutation(sentence), probe="neighbours").balanced_accuracy()
    assert leaked > 0.9
    assert held_out < 0.5


def test_every_group_is_held_out_as_a_whole():
    groups = np.repeat([f"s{k}" for k in range(10)], 7)
    folds = held_out_folds(groups)
    assert len(np.unique(folds)) == FOLDS
    for fold in np.unique(folds):
        assert not set(groups[folds == fold]) & set(groups[folds != fold])
    with pytest.raises(ValueError, match="two groups or more to hold one out, got 1"):
        held_out_folds(np.array(["s1", "s1"]))


def test_a_class_of_one_fold_is_left_out():
    emotion, sentence, rng = labelled()
    emotion = np.where((emotion == "sad") & (sentence != "3"), "happy", emotion)
    found = read_out(rng.normal(size=(len(emotion), 3)), emotion, sentence)
    assert found.classes == ("angry", "happy", "neutral")
    assert len(found.labels) == (emotion != "sad").sum()


def test_a_class_that_training_lacks_is_never_named():
    groups = np.repeat(["s", "t"], 4)
    labels = np.array([*"aaaa", *"bcbc"])
    for probe in PROBES:
        found = read_out(np.arange(8.0)[:, None], labels, groups, probe=probe, classes=["a", "b", "c"])
        assert found.probabilities[:4, 0].max() == 0
        assert found.probabilities[4:, 1:].max() == 0
        assert found.balanced_accuracy() == 0


def test_balanced_accuracy_counts_rare_classes_like_frequent_ones():
    labels = np.array(["often"] * 90 + ["rare"] * 10)
    groups = np.tile(["a", "b"], 50)
    embedding = np.zeros((100, 2))
    assert read_out(embedding, labels, groups).balanced_accuracy() == pytest.approx(0.5)


@pytest.mark.parametrize(
    ("embedding", "message"),
    [
        (np.zeros((5, 2)), r"expected \(units, dim\) with a label and a group each, got \(5, 2\), 4 labels"),
        (np.full((4, 2), np.nan), "expected a finite embedding"),
    ],
)
def test_what_cannot_be_probed_is_refused(embedding, message):
    with pytest.raises(ValueError, match=message):
        read_out(embedding, ["a", "b", "a", "b"], ["s", "s", "t", "t"])


def test_pseudo_values_are_those_of_a_mean():
    """The jackknife of a mean of equally large groups gives back the groups' means."""
    rng = np.random.default_rng(3)
    values, groups = rng.normal(size=40), np.repeat(list("abcde"), 8)
    found = jackknife(lambda chosen: float(values[chosen].mean()), groups)
    for name in "abcde":
        assert found[name] == pytest.approx(values[groups == name].mean())


def test_the_silhouette_is_that_of_scikit_learn():
    emotion, sentence, rng = labelled()
    embedding = one_hot(emotion) @ rng.normal(size=(EMOTIONS, 6)) + rng.normal(size=(len(emotion), 6))
    scaled = StandardScaler().fit_transform(embedding)
    expected = silhouette_samples(scaled, emotion).mean()  # classes are equally frequent
    found = silhouette(embedding, emotion, sentence)
    assert np.mean(list(found.values())) == pytest.approx(expected, abs=1e-5)


def test_the_gap_is_1_for_a_dimension_of_its_own_and_0_for_two_that_know_the_same():
    emotion, sentence, _ = labelled()
    code = np.unique(emotion, return_inverse=True)[1].astype(float)
    constant = np.zeros(len(code))
    alone = mutual_information_gap(np.stack([code, constant], 1), emotion, sentence)
    assert np.mean(list(alone.values())) == pytest.approx(1)
    twice = mutual_information_gap(np.stack([code, 3 - 2 * code, constant], 1), emotion, sentence)
    assert np.mean(list(twice.values())) == pytest.approx(0, abs=1e-12)


def test_the_gap_of_a_mixed_code_is_its_closed_form():
    """One dimension tells all four emotions (log 4), one only two pairs apart (log 2): a gap of one half."""
    emotion, sentence, _ = labelled()
    code = np.unique(emotion, return_inverse=True)[1]
    found = mutual_information_gap(np.stack([code, code // 2], 1), emotion, sentence)
    assert np.mean(list(found.values())) == pytest.approx(0.5)


def test_binned_information_is_that_of_scikit_learn():
    emotion, sentence, rng = labelled()
    codes = rng.normal(size=(len(emotion), 2)) + one_hot(emotion) @ rng.normal(size=(EMOTIONS, 2))
    bins = [np.clip(np.digitize(c, np.linspace(c.min(), c.max(), 21)) - 1, 0, 19) for c in codes.T]
    first, second = (mutual_info_score(emotion, b) / np.log(EMOTIONS) for b in bins)
    found = mutual_information_gap(codes, emotion, sentence)
    assert np.mean(list(found.values())) == pytest.approx(abs(first - second))


def test_the_gap_between_embeddings_tells_separated_from_mixed_ones():
    emotion, sentence, rng = labelled()
    holds = one_hot(emotion) + 0.05 * rng.normal(size=(len(emotion), EMOTIONS))
    noise = rng.normal(size=(len(emotion), 6))
    with_it, without = (read_out(x, emotion, sentence) for x in (holds, noise))
    assert np.mean(list(block_gap(with_it, [without]).values())) > 0.8
    assert np.mean(list(block_gap(with_it, [with_it]).values())) == pytest.approx(0)
    assert np.mean(list(block_gap(without, [with_it]).values())) < -0.8
