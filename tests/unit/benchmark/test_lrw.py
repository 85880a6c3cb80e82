"""LRW's layout, made of generated video: what is read, what is refused, and that a stage trains on it."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from benchmark.config import Settings, load
from benchmark.data.corpus import CorpusError
from benchmark.data.lrw import FRAMES, LRW
from benchmark.data.synthetic import face, motion
from benchmark.errors import ConfigError
from benchmark.execute import worker_setup
from benchmark.plan import make_plan
from benchmark.preparation import UnusableRecordings, inspected_study, settled_plan
from benchmark.study import Study, StudyConfig
from models.preprocess.faces import Given
from tests.unit.models.preprocess.media_files import write_video

WORDS = ("ABOUT", "COULD", "DON'T")


def speaking(seed: int) -> np.ndarray:
    """(29, 68, 2) landmarks of the parametric head, in a picture of 96 x 96."""
    rng = np.random.default_rng(seed)
    said = [("sil", 0.0, 0.2), ("aa", 0.2, 0.6), ("p", 0.6, 0.7), ("ih", 0.7, 1.16)]
    expression = motion.perform(said, np.full(FRAMES, 0.5), "neutral", 1, rng)
    points = face.project(face.landmarks3d(face.identity("F02"), expression), motion.head_motion(FRAMES, rng))
    return (points * (96 / 256)).astype(np.float32)


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    top = tmp_path_factory.mktemp("lrw")
    for word in WORDS:
        for split, count in (("train", 5), ("val", 1), ("test", 1)):
            folder = top / "lipread_mp4" / word / split
            folder.mkdir(parents=True)
            for number in range(1, count + 1):
                path = write_video(folder / f"{word}_{number:05d}.mp4", frames=FRAMES, size=(96, 96))
                np.save(path.with_suffix(".npy"), speaking(number))
                path.with_suffix(".txt").write_text("Disk reference: 1\nDuration: 0.5 seconds\n")
    return top


def corpus(root: Path, cache: Path, **options: Any) -> LRW:
    return LRW(root=str(root), cache=str(cache), detector=Given(), **options)


def test_training_clips_alone_are_read(root: Path, tmp_path: Path) -> None:
    clips = corpus(root, tmp_path).clips()
    assert [clip.id for clip in clips] == [f"{word}_{n:05d}" for word in WORDS for n in range(1, 6)]
    assert [clip.text for clip in clips[::5]] == ["about", "could", "don't"]
    few = corpus(root, tmp_path, words=1, per_word=2).clips()
    assert [clip.id for clip in few] == ["COULD_00001", "COULD_00002"]
    inner = corpus(root / "lipread_mp4", tmp_path)
    assert [clip.id for clip in inner.clips()] == [clip.id for clip in clips]


def test_a_clip_has_29_frames_of_landmarks_and_of_sound(root: Path, tmp_path: Path) -> None:
    lrw = corpus(root, tmp_path)
    clip = lrw.clips()[1]
    lrw.prepare(clip)
    assert clip.waveform.shape == (FRAMES * 640,)
    assert np.abs(clip.waveform).max() > 0.1
    # The crop is a similarity: distances keep their ratios.
    seen, shown = clip.landmarks, speaking(2)
    scale = np.ptp(seen[:, :, 1], axis=1) / np.ptp(shown[:, :, 1], axis=1)
    np.testing.assert_allclose(scale, scale.mean(), rtol=1e-3)
    assert not clip.has("frames")


def test_clips_without_a_face_stay_and_damaged_ones_are_named(root: Path, tmp_path: Path) -> None:
    folder = tmp_path / "lipread_mp4" / "ABOUT" / "train"
    folder.mkdir(parents=True)
    faceless = write_video(folder / "ABOUT_00001.mp4", frames=FRAMES)
    np.save(faceless.with_suffix(".npy"), np.full((FRAMES, 68, 2), np.nan, np.float32))
    cut = write_video(folder / "ABOUT_00002.mp4", frames=20)
    np.save(cut.with_suffix(".npy"), speaking(1)[:20])
    (folder / "notes.mp4").write_bytes(b"")
    lrw = corpus(tmp_path, tmp_path / "cache")
    first, second = lrw.clips()
    lrw.prepare(first)
    assert np.isnan(first.landmarks).all()
    with pytest.raises(CorpusError, match=r"ABOUT_00002.*20 frames"):
        lrw.prepare(second)
    with pytest.raises(CorpusError, match=r"LRW not found.*lipread_mp4/ABOUT/train"):
        corpus(tmp_path / "elsewhere", tmp_path)


def planned(tmp_path: Path, *arguments: str, **corpus: Any) -> tuple[Study, dict[str, str]]:
    """A study, and its stage ids by name."""
    places = [f"out={tmp_path}/out", f"cache={tmp_path}"]
    settings = load(["suite=smoke", "methods=[evp]", "ablations=[full]", *places, *arguments])
    if corpus:
        given = {"_target_": "models.preprocess.faces.Given"}
        settings = replace(
            settings, pretraining={**(settings.pretraining or {}), "detector": given, **corpus}
        )
    study = Study(StudyConfig.of(settings))
    (cell,) = make_plan(settings, study).cells
    return study, dict(cell.stages)


def test_a_run_pretrains_on_it_and_depends_on_its_files(root: Path, tmp_path: Path) -> None:
    study, ids = planned(tmp_path, "pretraining=lrw", root=str(root))
    _, fewer = planned(tmp_path, "pretraining=lrw", root=str(root), per_word=3)
    _, without = planned(tmp_path)
    changed = {"content_pretraining", "disentangle", "landmarks", "predict", "score", "probe"}
    assert {name for name in ids if ids[name] != fewer[name]} == changed
    assert {name for name in ids if ids[name] != without.get(name)} == changed
    clips = list(study.data.pretraining())
    assert len(clips) == 15
    assert all(clip.num_frames == FRAMES for clip in clips)


@pytest.fixture
def damaged(root: Path, tmp_path: Path) -> Path:
    """The corpus with a truncated clip, a short one, and one that is damaged where only decoding looks."""
    top = tmp_path / "lrw"
    shutil.copytree(root, top)
    folder = top / "lipread_mp4" / "ABOUT" / "train"
    path = folder / "ABOUT_00001.mp4"
    path.write_bytes(path.read_bytes()[:3000])
    write_video(folder / "ABOUT_00002.mp4", frames=20, size=(96, 96))
    path = folder / "ABOUT_00003.mp4"
    with av.open(str(path)) as container:
        packet = list(container.demux(video=0))[10]
        place, size = packet.pos, packet.size
    data = bytearray(path.read_bytes())
    data[place + 4 : place + size] = bytes(size - 4)
    path.write_bytes(data)
    return top


SEEN = [f"lipread_mp4/ABOUT/train/ABOUT_0000{number}.mp4" for number in (1, 2)]
FOUND = "lipread_mp4/ABOUT/train/ABOUT_00003.mp4"


def settings_for(root: Path, tmp_path: Path, *arguments: str) -> Settings:
    given = {"_target_": "models.preprocess.faces.Given"}
    settings = load(
        [
            *("suite=smoke", "methods=[evp]", "ablations=[full]", "pretraining=lrw", "workers=1"),
            *(f"out={tmp_path}/out", f"cache={tmp_path}/cache", *arguments),
        ]
    )
    return replace(
        settings, pretraining={**(settings.pretraining or {}), "detector": given, "root": str(root)}
    )


def test_clips_that_cannot_be_used_are_named_before_the_work(damaged: Path, tmp_path: Path) -> None:
    expected = r"lrw: 2 recordings .* by pretraining\.corpus\.unusable=skip"
    with pytest.raises(UnusableRecordings, match=expected) as caught:
        inspected_study(settings_for(damaged, tmp_path, "dry_run=true"))
    truncated, short = caught.value.problems
    assert truncated.startswith(f"cannot be used: {SEEN[0]}: ")
    assert short.startswith(f"cannot be used: {SEEN[1]}: 20 frames; an LRW clip has 29")


def test_clips_that_are_skipped_are_stated_and_part_of_the_identity(
    root: Path, damaged: Path, tmp_path: Path
) -> None:
    settings = settings_for(damaged, tmp_path, "pretraining.corpus.unusable=skip")
    study = inspected_study(settings)
    assert list(study.config.pretraining_left_out) == SEEN
    seen = study.pretraining_id
    plan = settled_plan(settings, study, lambda study: make_plan(settings, study))
    assert list(plan.study.config.pretraining_left_out) == [*SEEN, FOUND]
    (note,) = [note for note in plan.study.data_notes if "pretraining.corpus.unusable=skip" in note]
    assert note.startswith("3 recordings are left out")
    assert len(list(plan.study.data.pretraining())) == 12
    whole = Study(StudyConfig.of(settings_for(root, tmp_path)))
    assert len({plan.study.pretraining_id, seen, whole.pretraining_id}) == 3
    # Workers and later plans leave out the same.
    config = worker_setup(settings, plan).study
    assert config.pretraining_left_out == plan.study.config.pretraining_left_out
    again = settled_plan(settings, inspected_study(settings), lambda study: make_plan(settings, study))
    assert again.study.pretraining_id == plan.study.pretraining_id


def test_a_run_without_it_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="pretraining=lrw"):
        planned(tmp_path, "pretraining=proxy", "pretraining.stage.clips=outside")
    study, _ = planned(tmp_path)
    with pytest.raises(CorpusError, match="pretraining=lrw"):
        next(study.data.pretraining())
