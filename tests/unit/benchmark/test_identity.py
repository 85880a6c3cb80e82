"""What changes a result changes an identity: edits of labels, files, models and keys against every stage."""

from __future__ import annotations

import copy
import os
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from benchmark.config import Settings, load
from benchmark.data.corpus import Corpus
from benchmark.data.parametric import Parametric
from benchmark.data.views import DeclaredData
from benchmark.execute import worker_setup
from benchmark.jobs import Surroundings, run_job
from benchmark.plan import Job, Plan, make_plan
from benchmark.study import Study, StudyConfig, stage_data
from benchmark.workers import unlike
from models.errors import StageError
from models.method import READABLE, Stage
from models.types import LABELS, Clip

TRAINED = {"features", "recogniser", "logits", "emotion_classifier", "pairs", "disentangle", "landmarks"}
LEARNED = TRAINED | {"renderer", "face", "face3d"}
SCORED = {"predict", "truth", "score"}
EVERY = LEARNED | SCORED | {"judge"}
FELT = {"emotion_classifier", "pairs", "disentangle", "landmarks"}
"""Stages that follow the emotion labels of the subject's training clips."""
CLIPS = "prepared clips"
HEADER = "file,speaker,sentence,emotion,intensity"


class Recordings:
    """A folder of recordings of three speakers, with landmark files and a table; none is ever decoded."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.rows: dict[str, list[str]] = {}
        for speaker in "ABC":
            (root / speaker).mkdir(parents=True)
            for sentence in range(1, 7):
                for emotion in ("angry", "happy", "neutral"):
                    name = f"{speaker}/{sentence}-{emotion}.mp4"
                    (root / name).write_bytes(f"recording {name}".encode())
                    self.landmarks(name).write_bytes(f"landmarks {name}".encode())
                    level = "1" if emotion == "neutral" else "3"
                    self.rows[name] = [speaker, f"s{sentence}", emotion, level]
        self.write_table()

    def write_table(self) -> None:
        lines = [HEADER, *(",".join([name, *row]) for name, row in self.rows.items())]
        (self.root / "clips.csv").write_text("\n".join(lines) + "\n")

    def landmarks(self, name: str) -> Path:
        return (self.root / name).with_suffix(".npy")

    def swap(self, column: str, first: str, second: str) -> None:
        """Exchange one label of two recordings."""
        at = HEADER.split(",").index(column) - 1
        one, other = self.rows[first], self.rows[second]
        one[at], other[at] = other[at], one[at]
        self.write_table()

    def set(self, column: str, name: str, value: str) -> None:
        self.rows[name][HEADER.split(",").index(column) - 1] = value
        self.write_table()


@dataclass
class World:
    """A study that an edit may change: its recordings, settings, methods' configurations and surroundings."""

    recordings: Recordings
    settings: Settings
    patch: pytest.MonkeyPatch
    plan: Plan
    configs: dict[str, Any] = field(default_factory=dict)
    """Changes of the configuration of `method=evp`, by dotted key."""

    def clip(self, part: str, emotion: str, number: int = 0) -> str:
        """Name of a recording of a part of the split, by emotion."""
        clips = getattr(self.plan.study.split, part)
        chosen = sorted(c.id for c in clips if c.emotion == emotion)[number]
        return chosen.replace("_", "/", 1) + ".mp4"

    def change(self, group: str, **values: Any) -> None:
        self.settings = replace(self.settings, **{group: {**getattr(self.settings, group), **values}})


@pytest.fixture(scope="module")
def composed() -> Settings:
    """A composed command line, whose methods are composed once: that takes most of a plan's time."""
    settings = load(
        [
            "suite=smoke",
            "methods=[evp,neutral_face]",
            "ablations=[full]",
            "features=deepspeech",
            "data=folder",
            "data.table=clips.csv",
            "data.detector._target_=models.preprocess.faces.Given",
            "split.subject=A",
            "split.intensities=null",
            "film.train=99",
            "film.validation=99",
            "items.max_self=null",
            "items.max_transfer=null",
            "observe.clips=0",
        ]
    )
    compose, known = settings.composer.method, {}

    def method(name: str, extra: Any, facts: Mapping[str, bool]) -> Any:
        key = (name, tuple(extra), tuple(facts.items()))
        if key not in known:
            known[key] = compose(name, extra, facts)
        return known[key]

    object.__setattr__(
        settings, "composer", SimpleNamespace(method=method, choices=settings.composer.choices)
    )
    return settings


def planned(settings: Settings, changes: Mapping[str, Any]) -> Plan:
    method = settings.composer.method

    def changed(name: str, extra: Any, facts: Mapping[str, bool]) -> Any:
        found = method(name, extra, facts)
        config = copy.deepcopy(dict(found.config))
        for key, value in changes.items():
            stage, _, last = key.partition(".")
            if stage in config:
                config[stage][last] = value
        return replace(found, config=config)

    composer = SimpleNamespace(method=changed, choices=settings.composer.choices)
    settings = replace(settings, composer=composer)  # type: ignore[arg-type]
    return make_plan(settings, Study(StudyConfig.of(settings)))


@pytest.fixture
def world(tmp_path: Path, composed: Settings, monkeypatch: pytest.MonkeyPatch) -> World:
    recordings = Recordings(tmp_path / "recordings")
    settings = replace(composed, data={**composed.data, "root": str(recordings.root), "cache": str(tmp_path)})
    return World(recordings, settings, monkeypatch, planned(settings, {}))


def identities(plan: Plan) -> dict[str, str]:
    """Identities of the first row's cell, EVP's, of the neutral face's stage, and of the harness's jobs."""
    (evp, still) = plan.cells
    judge = next(job.id for job in plan.jobs.values() if job.name == "judge")
    places = sorted(f"{c.directory.parent.name}/{c.directory.name}" for c in plan.study.corpus.clips())
    return {
        **dict(evp.stages),
        "face": still.stages["face"],
        "truth": plan.jobs[plan.truth].id,
        "judge": judge,
        CLIPS: " ".join(places),
    }


Edit = Callable[[World], None]


def swap(column: str, first: tuple[str, str, int], second: tuple[str, str, int]) -> Edit:
    """An edit that exchanges a label of two recordings: part of the split, emotion, number."""
    return lambda world: world.recordings.swap(column, world.clip(*first), world.clip(*second))


def rewrite(path: Callable[[World], Path]) -> Edit:
    """An edit that replaces a file's contents, leaving its size and its modification time."""

    def edit(world: World) -> None:
        place = path(world)
        state = place.stat()
        place.write_bytes(bytes(reversed(place.read_bytes())))
        os.utime(place, ns=(state.st_atime_ns, state.st_mtime_ns))

    return edit


def recording(part: str) -> Callable[[World], Path]:
    return lambda world: world.recordings.root / world.clip(part, "happy")


def landmark_file(part: str) -> Callable[[World], Path]:
    return lambda world: world.recordings.landmarks(world.clip(part, "happy"))


def facemesh(world: World, **settings: Any) -> None:
    world.change(
        "data", detector={"_target_": "models.preprocess.facemesh.FaceMesh", "models": None, **settings}
    )


def outside(world: World, key: str) -> Path:
    """Name a file of the user's in a method's configuration."""
    place = world.recordings.root.parent / "weights.bin"
    place.write_bytes(b"weights")
    world.configs[key] = str(place)
    return place


def extractor_weights(world: World) -> Path:
    place = world.recordings.root.parent / "extractor.pt"
    place.write_bytes(b"weights")
    world.patch.setattr("benchmark.metrics.extractors._mobilenetv2_path", lambda: place)
    return place


def models_folder(world: World) -> Path:
    from models.preprocess.facemesh import DETECTOR_FILE, MESH_FILE

    folder = world.recordings.root.parent / "models"
    folder.mkdir()
    for name in (DETECTOR_FILE, MESH_FILE):
        (folder / name).write_bytes(name.encode())
    facemesh(world, models=str(folder))
    return folder / MESH_FILE


def renamed_subject(world: World) -> None:
    for name, row in world.recordings.rows.items():
        if name.startswith("A/"):
            row[0] = "Z"
    world.recordings.write_table()
    world.change("split", subject="Z")


def beside(suffix: str, *, instead: bool) -> Edit:
    def edit(world: World) -> None:
        path = world.recordings.landmarks(world.clip("train", "happy"))
        path.with_suffix(suffix).write_bytes(b"0,1\n")
        if instead:
            path.unlink()

    return edit


def patched(target: str, value: Any) -> Edit:
    return lambda world: world.patch.setattr(target, value)


TRAIN, VALIDATION, TEST, OTHERS = (
    (part, "happy", 0) for part in ("train", "validation", "test", "judge_train")
)


def angry(clip: tuple[str, str, int]) -> tuple[str, str, int]:
    return clip[0], "angry", clip[2]


MATRIX: dict[str, tuple[Edit, set[str]]] = {
    # Labels
    "emotions of two training clips": (
        swap("emotion", TRAIN, angry(TRAIN)),
        FELT | SCORED | {"face", "judge"},
    ),
    "emotions of a training clip and the neutral one": (
        swap("emotion", TRAIN, ("train", "neutral", 0)),
        FELT | SCORED | {"face", "judge"},
    ),
    "emotions of two validation clips": (
        swap("emotion", VALIDATION, angry(VALIDATION)),
        FELT | SCORED | {"face"},
    ),
    "emotions of two test clips": (swap("emotion", TEST, angry(TEST)), SCORED),
    "emotions of two clips of another speaker": (
        swap("emotion", OTHERS, angry(OTHERS)),
        {"judge", "truth", "score"},
    ),
    "sentences of two training clips": (
        swap("sentence", TRAIN, ("train", "happy", 1)),
        {"pairs", "disentangle", "landmarks", "judge"} | SCORED,
    ),
    "intensity of a training clip": (
        lambda w: w.recordings.set("intensity", w.clip(*TRAIN), "2"),
        {"pairs", "disentangle", "landmarks"} | SCORED,
    ),
    "intensity of a test clip": (lambda w: w.recordings.set("intensity", w.clip(*TEST), "2"), SCORED),
    "speakers of two clips for the judges": (
        swap("speaker", OTHERS, ("judge_train", "happy", -1)),
        {"judge", "truth", "score"},
    ),
    "name of the subject": (renamed_subject, {"pairs", "disentangle", "landmarks", "judge"} | SCORED),
    "order of the emotions": (
        lambda w: w.change("data", emotions=["neutral", "happy", "angry"]),
        FELT | SCORED | {"face", "judge"},
    ),
    # Files
    "bytes of a training recording": (rewrite(recording("train")), EVERY | {CLIPS}),
    "bytes of a test recording": (rewrite(recording("test")), EVERY | {CLIPS}),
    "bytes of a landmark file": (rewrite(landmark_file("train")), EVERY | {CLIPS}),
    "a landmark file of another kind": (beside(".csv", instead=True), EVERY | {CLIPS}),
    "a missing landmark file": (
        lambda w: w.recordings.landmarks(w.clip(*TRAIN)).unlink(),
        EVERY | {CLIPS},
    ),
    "a landmark file that is not read": (beside(".txt", instead=False), set()),
    "times of all files": (
        lambda w: [os.utime(p, (1e9, 1e9)) for p in w.recordings.root.rglob("*") if p.is_file()],  # type: ignore[func-returns-value]
        set(),
    ),
    "another detector": (facemesh, EVERY | {CLIPS}),
    # Surroundings
    "code that shapes generated heads": (
        patched("benchmark.data.parametric._source_digest", lambda: "other code"),
        {"face3d", "landmarks", "predict", "score"},
    ),
    "the voice that reads aloud": (
        patched("benchmark.data.synthetic.readings.voice_identity", lambda: "another voice"),
        {"recogniser", "logits", "pairs", "disentangle", "landmarks", "predict", "score"},
    ),
    "the place of the recordings": (
        lambda w: (
            shutil.copytree(w.recordings.root, w.recordings.root.with_name("moved")),
            w.change("data", root=str(w.recordings.root.with_name("moved"))),
        )[1],
        set(),
    ),
    # Keys
    "steps of the landmark network": (
        lambda w: w.configs.update({"landmarks.steps": 7}),
        {"landmarks", "predict", "score"},
    ),
    "resamples of the scores": (lambda w: w.change("metrics", resamples=3), {"truth", "score"}),
    "steps of the sync judge": (
        lambda w: w.change("metrics", sync_steps=7),
        {"judge", "truth", "score"},
    ),
    "fewer filmed clips": (lambda w: w.change("film", train=1), {"renderer", "truth", "predict", "score"}),
    "seed": (
        lambda w: setattr(w, "settings", replace(w.settings, seeds=(1,))),
        {"emotion_classifier", "disentangle", "landmarks", "renderer", "predict", "score"},
    ),
}


@pytest.mark.parametrize("edit", MATRIX)
def test_an_edit_changes_what_reads_it_and_nothing_else(edit: str, world: World) -> None:
    before = identities(world.plan)
    assert set(before) == EVERY | {CLIPS}
    change, expected = MATRIX[edit]
    change(world)
    after = identities(planned(world.settings, world.configs))
    assert {name for name in before if before[name] != after[name]} == expected


def logits_folder(world: World) -> Path:
    folder = world.recordings.root.parent / "logits"
    folder.mkdir()
    (folder / "a.npy").write_bytes(b"logits")
    world.configs["logits.precomputed"] = str(folder)
    return folder / "a.npy"


READ_FILES: dict[str, tuple[Callable[[World], Path], set[str]]] = {
    "weights of the renderer's perceptual loss": (
        lambda w: outside(w, "renderer.perceptual_weights"),
        {"renderer", "predict", "score"},
    ),
    "logits of another recogniser": (
        logits_folder,
        {"logits", "pairs", "disentangle", "landmarks", "predict", "score"},
    ),
    "weights of the frame extractor": (extractor_weights, {"truth", "score"}),
    "models of the landmark detector": (models_folder, EVERY | {CLIPS}),
}


@pytest.mark.parametrize("file", READ_FILES)
def test_a_file_counts_by_what_it_holds(file: str, world: World) -> None:
    make, expected = READ_FILES[file]
    path = make(world)
    before = identities(planned(world.settings, world.configs))
    assert before == identities(planned(world.settings, world.configs))
    rewrite(lambda _: path)(world)
    after = identities(planned(world.settings, world.configs))
    assert {name for name in before if before[name] != after.get(name)} == expected


# Labels one by one


class Voices(Corpus):
    """A speech corpus whose labels a test can edit."""

    name, description, emotions, has_frames, default_subject = "voices", "", ("happy", "neutral"), False, None

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.labels: dict[str, dict[str, Any]] = {
            name: {"speaker": "A", "sentence": name, "emotion": "happy", "intensity": 3, "text": name}
            for name in "abc"
        }

    def identity(self) -> str:
        return "voices"

    def clips(self) -> tuple[Clip, ...]:
        return tuple(Clip(id=n, directory=self.folder / n, **labels) for n, labels in self.labels.items())

    def prepare(self, clip: Clip, *, frames: bool) -> None:
        raise AssertionError

    def visemes(self, clip: Clip) -> Any:
        raise AssertionError

    def heads(self) -> np.ndarray:
        raise AssertionError


OTHER = {"speaker": "B", "sentence": "z", "emotion": "neutral", "intensity": 1, "text": "other words"}


def test_every_label_is_known_to_the_tests() -> None:
    assert set(OTHER) == set(LABELS)
    assert set(LABELS) < set(READABLE)
    assert set(LABELS) <= set(Stage.reads)


@pytest.mark.parametrize("label", LABELS)
def test_a_parametric_face_moves_to_another_folder_with_its_labels(label: str, tmp_path: Path) -> None:
    voices = Voices(tmp_path)

    def folders() -> dict[str, Path]:
        faces = Parametric(corpus=voices, cache=str(tmp_path), frame_size=64)
        a, b, c = faces.clips()
        made = {
            "a": a,
            "b": b,
            "c": c,
            "aba": faces.counterfactual(a, b, a),
            "aac": faces.counterfactual(a, a, c),
        }
        return {name: clip.directory for name, clip in made.items()}

    before = folders()
    assert folders() == before
    voices.labels["b"][label] = OTHER[label]
    after = folders()
    assert {name for name in before if before[name] != after[name]} == {"b", "aba"}


@pytest.mark.parametrize("label", LABELS)
def test_a_label_is_in_the_identity_of_what_reads_it(label: str, world: World) -> None:
    study = world.plan.study
    first, *others = study.split.train
    relabelled = copy.copy(study)
    split = replace(study.split, train=(replace(first, **{label: OTHER[label]}), *others))
    object.__setattr__(relabelled, "split", split)
    for read in LABELS:
        same = study.training_identity([read]) == relabelled.training_identity([read])
        assert same == (read != label)
    assert study.training_identity(()) == relabelled.training_identity(())
    assert study.training_identity(Stage.reads) != relabelled.training_identity(Stage.reads)


# Declarations


def test_a_stage_cannot_read_what_it_does_not_declare(world: World) -> None:
    data = world.plan.study.data
    blind = DeclaredData(data, "blind", ())
    (clip, *_) = blind.train
    assert clip.id == data.train[0].id
    for label in LABELS:
        with pytest.raises(StageError, match=f"stage blind reads {label} .* add '{label}' to its `reads`"):
            getattr(clip, label)
    for read, part in (
        (lambda d: d.train[0].has("frames"), "frames"),
        (lambda d: d.train[0].frames, "frames"),
        (lambda d: d.emotions, "emotion"),
        (lambda d: d.heads(), "heads"),
        (lambda d: d.transcribed(1), "transcribed"),
        (lambda d: d.pretraining(), "pretraining"),
    ):
        with pytest.raises(StageError, match=f"reads {part} "):
            read(blind)
    seeing = DeclaredData(data, "seeing", READABLE)
    assert [clip.labels() for clip in seeing.train] == [clip.labels() for clip in data.train]
    assert seeing.emotions == data.emotions
    assert seeing.train[0].has("frames")


def test_clips_are_compared_and_named_without_their_labels(world: World) -> None:
    clips = world.plan.study.data.train
    blind = DeclaredData(world.plan.study.data, "blind", ()).train
    assert blind[0] == clips[0]
    assert blind[0] != blind[1]
    assert blind[0] in blind
    assert len({*blind, *blind}) == len(clips)
    assert clips[0].id in repr(blind[0])


# What changes while a run goes on


def test_a_worker_refuses_data_that_changed_after_planning(world: World) -> None:
    setup = worker_setup(world.settings, world.plan)
    assert unlike(setup, Study(setup.study)) is None
    world.recordings.swap("emotion", world.clip("train", "happy"), world.clip("train", "angry"))
    refusal = unlike(setup, Study(setup.study))
    assert refusal is not None
    assert "the data changed after this run was planned (training clips" in refusal.reason
    assert "recordings" not in refusal.reason


def test_a_stage_whose_files_change_while_it_runs_is_not_published(world: World, tmp_path: Path) -> None:
    class Reads(Stage):
        seeded = False
        outside = (tmp_path / "weights",)

        def run(self, data: Any, inputs: Any, run: Any) -> None:
            if written:
                (tmp_path / "weights").write_text("others")

    (tmp_path / "weights").write_text("weights")
    study, stage, written = world.plan.study, Reads(), []
    job = Job(
        "reads-a",
        "stage",
        "reads",
        "a",
        payload={"config": {}, "stage": "reads", "inputs": {}, "seed": None},
        recipe={"data": stage_data(stage, study.training_identity)},
    )
    world.patch.setattr("benchmark.jobs.instantiate", lambda config, key, kind: stage)
    around = Surroundings(study, tmp_path / "stages")
    written.append(True)
    with pytest.raises(StageError, match=r"what stage reads reads \(.*weights\) changed after"):
        run_job(job, around)
    assert not (tmp_path / "stages" / "reads-a").exists()
    (tmp_path / "weights").write_text("weights")
    written.clear()
    run_job(job, around)
    assert (tmp_path / "stages" / "reads-a").is_dir()


def test_an_unknown_declaration_is_refused(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("models.audio.features.FeaturesStage.reads", ("emotions",))
    with pytest.raises(StageError, match="stage 'features' of evp reads 'emotions'; known are speaker, "):
        planned(world.settings, {})
