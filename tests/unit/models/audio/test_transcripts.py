"""The alphabet, greedy decoding and the character error rate."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.audio.transcripts import BLANK, character_error_rate, edits, greedy_text, labels, normalised


def one_hot(best: list[int]) -> np.ndarray:
    return np.eye(29, dtype=np.float32)[best]


def test_labels_are_those_of_deepspeech() -> None:
    """Space is 0, the letters follow, the apostrophe is 27 and the blank 28."""
    assert labels("a z'").tolist() == [1, 0, 26, 27]
    assert BLANK == 28


def test_text_is_normalised() -> None:
    assert normalised("  Don't walk - run, ALICE!\n") == "don't walk run alice"


def test_greedy_text_joins_runs_and_drops_blanks() -> None:
    assert greedy_text(one_hot([28, 3, 3, 28, 1, 20, 20, 28, 20, 0, 28])) == "catt "
    assert greedy_text(np.zeros((0, 29))) == ""


@pytest.mark.parametrize(
    ("first", "second", "expected"),
    [("kitten", "sitting", 3), ("", "abc", 3), ("abc", "", 3), ("flaw", "lawn", 2), ("same", "same", 0)],
)
def test_edit_distances_known_from_the_literature(first: str, second: str, expected: int) -> None:
    assert edits(first, second) == expected


def slow_edits(a: str, b: str) -> int:
    if not a or not b:
        return len(a) + len(b)
    return min(slow_edits(a[1:], b) + 1, slow_edits(a, b[1:]) + 1, slow_edits(a[1:], b[1:]) + (a[0] != b[0]))


@given(st.text("ab ", max_size=5), st.text("ab ", max_size=5))
def test_edits_equal_the_definition(first: str, second: str) -> None:
    assert edits(first, second) == slow_edits(first, second)


def test_error_rate_counts_characters_not_utterances() -> None:
    assert character_error_rate(["cat", "a long lane"], ["Cat.", "a long line"]) == pytest.approx(1 / 14)


def test_error_rate_needs_words() -> None:
    with pytest.raises(ValueError, match="English"):
        character_error_rate([""], ["..."])
