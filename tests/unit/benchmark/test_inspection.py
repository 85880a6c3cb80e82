"""Inspection looks at every recording once, and keeps no verdict that may be the machine's fault."""

from __future__ import annotations

import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import soundfile

import models.preprocess.video  # noqa: F401
from benchmark.data import recordings
from benchmark.data.folder import Folder
from benchmark.data.recordings import UnusableRecording, inspecting_code, naming
from models.numerics import Numerics
from models.preprocess.decoder import Decoder
from models.preprocess.faces import Given
from models.preprocess.media import DecodingFailure, MediaError
from tests.unit.models.preprocess.media_files import write_video


def test_verdicts_follow_all_code_that_reads_media() -> None:
    loaded = [module for name, module in sys.modules.items() if name.startswith("models.preprocess")]
    files = {Path(module.__file__) for module in loaded if module.__file__}
    assert any(file.parent.name == "layout" for file in files)
    assert files <= set(inspecting_code())


class Requests:
    """Counts what decoders are asked, and fails where told."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.failure: MediaError | None = None
        self.counts: Counter[str] = Counter()
        for name in ("sound", "outline", "video", "has_sound"):
            monkeypatch.setattr(Decoder, name, self._counted(name, getattr(Decoder, name)))

    def _counted(self, name: str, original):
        def asked(decoder: Decoder, path: Path, *rest: object):
            self.counts[name] += 1
            if self.failure is not None:
                raise self.failure
            return original(decoder, path, *rest)

        return asked


@pytest.fixture
def requests(monkeypatch: pytest.MonkeyPatch) -> Requests:
    return Requests(monkeypatch)


@pytest.fixture
def spoken(tmp_path: Path) -> Path:
    """A folder of two sound files."""
    root = tmp_path / "data"
    root.mkdir()
    for seed, name in enumerate("ab"):
        noise = np.random.default_rng(seed).uniform(-0.5, 0.5, 16000)
        soundfile.write(root / f"{name}.wav", noise, 16000)
    return root


def folder(root: Path) -> Folder:
    return Folder(root=str(root), cache=f"{root}-cache", detector=Given(), unusable="skip")


def test_a_verdict_on_a_file_is_kept(spoken: Path, requests: Requests) -> None:
    requests.failure = MediaError(f"{spoken}/a.wav: truncated")
    assert set(folder(spoken).inspect().unusable) == {"a.wav", "b.wav"}
    requests.failure = None
    assert set(folder(spoken).inspect().unusable) == {"a.wav", "b.wav"}
    assert requests.counts["sound"] == 2


def test_a_failure_that_may_pass_is_named_and_not_kept(spoken: Path, requests: Requests) -> None:
    for _ in range(2):
        requests.failure = DecodingFailure(f"{spoken}/a.wav: decoding stalled for 30 s")
        unusable = folder(spoken).inspect().unusable
        assert list(unusable) == ["a.wav", "b.wav"]
        assert unusable["a.wav"] == "decoding stalled for 30 s"
    requests.failure = None
    assert folder(spoken).inspect().unusable == {}
    assert requests.counts["sound"] == 6
    assert folder(spoken).inspect().unusable == {}
    assert requests.counts["sound"] == 6


@pytest.mark.parametrize("error", [MediaError("x: damaged"), DecodingFailure("x: the decoder crashed")])
def test_preparation_keeps_only_what_is_the_files_fault(spoken: Path, error: MediaError) -> None:
    corpus = folder(spoken)
    with pytest.raises(UnusableRecording) as caught, naming(corpus.clips()[0]):
        raise error
    corpus.remember_refusal(caught.value)
    assert set(corpus.refusals(["a", "b"])) == {"a.wav"}
    corpus.forget_refusals(["a", "b"], lasting=False)
    assert bool(corpus.refusals(["a", "b"])) == (not isinstance(error, DecodingFailure))
    corpus.forget_refusals(["a", "b"], lasting=True)
    assert not corpus.refusals(["a", "b"])


def test_other_libraries_look_again(
    spoken: Path, requests: Requests, monkeypatch: pytest.MonkeyPatch
) -> None:
    corpus = folder(spoken)
    corpus.inspect()
    monkeypatch.setattr(recordings, "array_numerics", lambda: Numerics({"libraries": {"av": "99"}}))
    recordings._inspection_digest.cache_clear()
    try:
        corpus.inspect()
        assert requests.counts["sound"] == 4
    finally:
        recordings._inspection_digest.cache_clear()


def test_where_the_sound_is_is_looked_for_once(tmp_path: Path, requests: Requests) -> None:
    root = tmp_path / "data"
    root.mkdir()
    for name, sound in (("heard", True), ("mute", False)):
        write_video(root / f"{name}.mp4", sound=sound)
        noise = np.random.default_rng(0).uniform(-0.5, 0.5, 16000)
        soundfile.write(root / f"{name}.wav", noise, 16000)
    first = folder(root).inspect()
    assert not first.unusable
    assert [note.split(":")[1] for note in first.notes] == [" mute.mp4.", " heard.mp4."]
    # The sound of neither video is decoded to find out whether there is any.
    assert requests.counts == {"has_sound": 2, "outline": 2, "sound": 2}
    assert folder(root).inspect() == first
    assert requests.counts.total() == 6
