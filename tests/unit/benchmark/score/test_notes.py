"""What is odd about a folder's clips is said while it is scored, and in the manifest."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

from benchmark.score import folder
from benchmark.score.clip import ClipResult, Rules
from benchmark.score.folder import Settings
from benchmark.score.pairing import Pair, Paired, Side, shared_notes
from benchmark.score.work import SetScores
from models.preprocess.video import Outline


class Follower:
    def __init__(self) -> None:
        self.said: list[str] = []

    def __call__(self, phase: str, done: int, total: int) -> None: ...

    def say(self, message: str) -> None:
        self.said.append(message)


def test_notes_of_sounds_are_said_and_written() -> None:
    side = Side(Path("a.mp4"), Outline(frames=2, height=8, width=8, start=0.0, rate=25.0, source_frames=2))
    pairs = [Pair(name, side, side) for name in "ab"]
    people = {"a": ("generated a: two people.",), "b": ()}
    results = [ClipResult(pair.name, {}, {}, 0, people[pair.name], ("a hole",)) for pair in pairs]
    workers = SimpleNamespace(score=lambda given: zip(given, results, strict=True))
    follow = Follower()
    assert folder._score_clips(workers, pairs, follow) == results  # pyright: ignore
    assert follow.said == ["generated a: two people.", "reference a: a hole.", "reference b: a hole."]
    settings = Settings(Path("g"), Path("r"), Path("o"), Rules(landmarks=False))
    manifest = folder._manifest(settings, Paired(tuple(pairs)), results, SetScores({}, {}, ()), "none")
    assert "In 2 clips: the reference's sound: a hole (a, b)." in manifest.notes


def test_a_clip_is_named_once_for_a_note_of_both_its_videos() -> None:
    assert shared_notes([("a", "x"), ("a", "x"), ("b", "x"), ("b", "y")]) == [
        "In 2 clips: x (a, b).",
        "In 1 clips: y (b).",
    ]
