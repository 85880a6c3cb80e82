"""The alphabet of DeepSpeech 0.1: text to labels, logits to text, and how wrong a transcript is."""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np

ALPHABET = " abcdefghijklmnopqrstuvwxyz'"
BLANK = len(ALPHABET)
"""The label that stands for no character."""
NUM_LABELS = len(ALPHABET) + 1


def normalised(text: str) -> str:
    """Lower case, words apart by one space, nothing that is not in the alphabet."""
    return " ".join(re.sub(r"[^a-z' ]", "", re.sub(r"[\s\-]", " ", text.lower())).split())


def labels(text: str) -> np.ndarray:
    """(characters,) int64 labels of a text, normalised first."""
    return np.array([ALPHABET.index(character) for character in normalised(text)], np.int64)


def greedy_text(logits: np.ndarray) -> str:
    """The text of (time, 29) logits: the best label of each row, runs made one, blanks left out."""
    best = logits.argmax(-1)
    changes = np.concatenate([[True], best[1:] != best[:-1]]) if len(best) else np.zeros(0, bool)
    return "".join(ALPHABET[label] for label in best[changes] if label != BLANK)


def edits(first: Sequence, second: Sequence) -> int:
    """Least number of insertions, deletions and substitutions that make one sequence the other."""
    row = list(range(len(second) + 1))
    for i, a in enumerate(first, start=1):
        diagonal, row[0] = row[0], i
        for j, b in enumerate(second, start=1):
            diagonal, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, diagonal + (a != b))
    return row[-1]


def character_error_rate(recognised: Sequence[str], said: Sequence[str]) -> float:
    """Edits over all transcripts for each character said; what was said is normalised first.

    Raises:
        ValueError: the two differ in number, or nothing was said.
    """
    truths = [normalised(text) for text in said]
    characters = sum(map(len, truths))
    if not characters:
        raise ValueError("expected transcripts with letters of the English alphabet, got none")
    return sum(edits(a, b) for a, b in zip(recognised, truths, strict=True)) / characters
