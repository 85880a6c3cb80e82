"""The intervals hold what they promise, measured on made-up studies whose true mean is known."""

from __future__ import annotations

import numpy as np
import pytest

from reports.stats import holm, proportion_interval, sign_flip, two_way_interval, whole_set_interval

STUDIES = 400


def simulate(
    rng: np.random.Generator, seeds: int, sentences: int, variances: tuple[float, float, float]
) -> np.ndarray:
    between_seeds, between_sentences, residual = (v**0.5 for v in variances)
    return (
        between_seeds * rng.normal(size=(seeds, 1))
        + between_sentences * rng.normal(size=(1, sentences))
        + residual * rng.normal(size=(seeds, sentences))
    )


@pytest.mark.parametrize(
    ("seeds", "sentences", "variances", "at_least"),
    [
        (2, 4, (0.0, 1.0, 0.1), 0.92),
        (2, 8, (0.1, 1.0, 0.3), 0.92),
        (2, 13, (0.1, 0.1, 1.0), 0.90),
        (2, 13, (1.0, 0.2, 0.2), 0.83),
        (5, 13, (0.1, 1.0, 0.3), 0.91),
        (5, 8, (1.0, 0.2, 0.2), 0.91),
    ],
)
def test_coverage_of_the_two_way_interval(seeds, sentences, variances, at_least):
    rng = np.random.default_rng([seeds, sentences])
    names = [str(k) for k in range(sentences)]
    hits = 0
    for _ in range(STUDIES):
        interval = two_way_interval(simulate(rng, seeds, sentences, variances), names)
        hits += interval.low <= 0 <= interval.high
    assert hits / STUDIES >= at_least


def test_sentences_are_the_unit_when_clips_share_them():
    """Eight clips per sentence that move together: clip-wise intervals would be far too narrow."""
    rng = np.random.default_rng(5)
    names = [str(k // 8) for k in range(48)]
    hits = 0
    for _ in range(STUDIES):
        shared = np.repeat(rng.normal(size=6), 8)
        values = shared + 0.3 * rng.normal(size=(2, 48))
        interval = two_way_interval(values, names)
        hits += interval.low <= 0 <= interval.high
    assert 0.92 <= hits / STUDIES <= 0.99


def test_coverage_of_proportions():
    rng = np.random.default_rng(6)
    names = [str(k // 4) for k in range(32)]
    hits = 0
    for _ in range(STUDIES):
        chance = np.clip(0.8 + 0.08 * np.repeat(rng.normal(size=8), 4), 0, 1)
        values = (rng.random((2, 32)) < chance).astype(float)
        interval = proportion_interval(values, names)
        assert 0 <= interval.low <= interval.mean <= interval.high <= 1
        hits += interval.low <= 0.795 <= interval.high
    assert hits / STUDIES >= 0.92


def test_a_proportion_of_one_is_not_certain():
    interval = proportion_interval(np.ones((2, 16)), [str(k // 4) for k in range(16)])
    assert interval.mean == 1.0
    assert interval.low < 0.9


def test_one_seed_equals_the_plain_t_interval():
    values = np.array([[1.0, 2.0, 4.0]])
    interval = two_way_interval(values, ["a", "b", "c"])
    error = np.std(values, ddof=1) / np.sqrt(3)
    assert interval.high - interval.mean == pytest.approx(4.302652729911275 * error)
    assert interval.df == pytest.approx(2)


def test_seeds_without_variance_add_nothing():
    values = np.random.default_rng(0).normal(size=(1, 9))
    names = [str(k // 3) for k in range(9)]
    once, thrice = two_way_interval(values, names), two_way_interval(np.repeat(values, 3, axis=0), names)
    assert thrice.half == pytest.approx(once.half)


def test_unequal_sentences_keep_the_mean_over_clips():
    values = np.array([[1.0, 1.0, 1.0, 5.0], [2.0, 2.0, 2.0, 6.0]])
    assert two_way_interval(values, ["a", "a", "a", "b"]).mean == pytest.approx(2.5)


def test_one_number_has_no_interval():
    assert not two_way_interval(np.array([[3.0]]), ["a"]).known


def test_scores_must_be_finite():
    with pytest.raises(ValueError, match="finite"):
        two_way_interval(np.array([[np.nan, 1.0]]), ["a", "b"])


def test_whole_set_interval_keeps_each_side():
    interval = whole_set_interval(np.array([10.0, 10.0]), np.array([9.0, 9.0]), np.array([14.0, 14.0]))
    assert (interval.low, interval.high) == pytest.approx((9.0, 14.0))
    wider = whole_set_interval(np.array([9.0, 11.0]), np.array([8.0, 10.0]), np.array([13.0, 15.0]))
    assert wider.high - 10 == pytest.approx(np.hypot(4.0, 12.706204736 * 1.0))
    assert wider.low == 0.0


def test_sign_flip_is_exact_by_hand():
    differences = np.array([[1.0, 2.0, 3.0]])
    assert sign_flip(differences, ["a", "b", "c"], np.random.default_rng(0)) == (0.25, 0.25)
    assert sign_flip(np.zeros((1, 3)), ["a", "b", "c"], np.random.default_rng(0))[0] == 1.0


def test_sign_flip_error_rate():
    rng = np.random.default_rng(1)
    names = [str(k) for k in range(8)]
    rejected = [sign_flip(rng.normal(size=(2, 8)), names, rng)[0] <= 0.05 for _ in range(STUDIES)]
    assert np.mean(rejected) <= 0.08


def test_holm_by_hand():
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert holm([0.9, 0.8]) == pytest.approx([1.0, 1.0])


@pytest.mark.parametrize("values", [[[0.0, 1.0]], [[0.5, 0.1]], [[1.0, 1.0]], [[0.0, 1.0], [1.0, 0.0]]])
def test_two_clips_have_no_interval_and_say_so(values):
    for method in (two_way_interval, proportion_interval):
        interval = method(np.array(values), ["a", "b"])
        assert not interval.known
        assert np.isnan(interval.p)
        assert interval.reason == "2 sentences, and it takes 3"


def test_no_interval_leaves_what_is_possible():
    """Differences of accuracies used to reach from -685 to +585 percentage points."""
    rng = np.random.default_rng(0)
    for clips in (3, 4, 5, 9):
        names = [str(k) for k in range(clips)]
        for _ in range(50):
            right = rng.integers(0, 2, (2, 1, clips)).astype(float)
            wide = two_way_interval(right[0] - right[1], names)
            cut = two_way_interval(right[0] - right[1], names, limits=(-1.0, 1.0))
            assert -1 <= cut.low <= cut.mean <= cut.high <= 1
            assert (cut.low, cut.high) == (max(wide.low, -1), min(wide.high, 1))
            assert cut.p == wide.p
    ssim = two_way_interval(np.array([[0.2, 0.99, 0.99]]), ["a", "b", "c"], limits=(-1.0, 1.0))
    assert ssim.high == 1.0
    assert not ssim.symmetric
