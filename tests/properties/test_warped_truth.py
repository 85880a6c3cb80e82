"""Warped truths on the embedded corpus, whose clocks and counterfactuals are known."""

from __future__ import annotations

import numpy as np
import pytest

from benchmark.data.parametric import Parametric
from benchmark.data.synthetic.corpus import SyntheticSpeech
from benchmark.data.warped import ERROR
from benchmark.transfer_truth import Measured, against_exact, pairs_of

STATED = ERROR["synthesised speech"]


@pytest.fixture(scope="module")
def measured(tmp_path_factory) -> dict[str, Measured]:
    cache = str(tmp_path_factory.mktemp("warped"))
    corpus = Parametric(corpus=SyntheticSpeech(cache=cache, speakers=1, shared=3, others=0), cache=cache)
    return against_exact(corpus, pairs_of(corpus, 10))


def test_the_warp_finds_the_true_times(measured: dict[str, Measured]):
    assert measured["true times"].milliseconds.max() == 0
    assert measured["dtw"].milliseconds.mean() < 10
    assert measured["dtw"].milliseconds.mean() < 0.2 * measured["linear"].milliseconds.mean()


def test_little_of_its_error_is_one_of_time(measured: dict[str, Measured]):
    for protocol in STATED:
        of = {way: float(np.mean(found.scores[protocol])) for way, found in measured.items()}
        assert of["true times"] < 1.05 * of["dtw"], protocol
        assert of["dtw"] - of["true times"] < 0.25 * (of["linear"] - of["true times"]), protocol


def test_the_stated_error_is_that_of_the_warp(measured: dict[str, Measured]):
    """On few pairs and one speaker: within half of it."""
    for protocol, (mean, half) in STATED.items():
        assert np.mean(measured["dtw"].scores[protocol]) == pytest.approx(mean, rel=0.5), protocol
        assert 0 < half < 0.25 * mean
