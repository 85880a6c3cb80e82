"""What a worker process does for each kind of job. Everything a method may touch passes through here."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmark import judging, probing, scoring, transfer_truth
from benchmark.config import instantiate
from benchmark.data.corpus import CorpusError
from benchmark.data.items import Item, to_request
from benchmark.data.parametric import Parametric
from benchmark.data.recordings import UnusableRecording
from benchmark.data.views import DeclaredData
from benchmark.errors import Interrupted, UnusableInput
from benchmark.observations import OBSERVATIONS, write_observations
from benchmark.plan import Job, corpus_of
from benchmark.records import write_text
from benchmark.study import Study, stage_data
from benchmark.training.stage_cache import StageFolder
from models.artefacts import save_arrays
from models.errors import InputError, StageError, storage_error
from models.heartbeat import beat
from models.method import Method, Stage, Training
from models.sealed import check_readings, forget_readings
from models.seeding import derive_seed, generator, torch_generator
from models.training.loop import Loop
from models.types import Prediction, Request

LOG = "log.jsonl"
WARPED = "warped.json"
"""In the folder of the truth: how its warped clips fare when they are warped there and back."""


class Surroundings:
    """What a job needs of its process: where stages lie, whom to tell, and when to stop."""

    def __init__(
        self,
        study: Study,
        stages: Path,
        *,
        checkpoint_seconds: float = 30.0,
        progress: Callable[[int, int], None] = lambda done, total: None,
        say: Callable[[str], None] = lambda message: None,
        stop_signal: Callable[[], int | None] = lambda: None,
    ) -> None:
        self.study, self.stages, self.checkpoint_seconds = study, stages, checkpoint_seconds
        self.report, self.say, self.stop_signal = progress, say, stop_signal

    def check(self) -> None:
        """
        Raises:
            Interrupted: a signal asked this process to end.
        """
        beat()
        signum = self.stop_signal()
        if signum is not None:
            raise Interrupted(signum)

    def progress(self, done: int, total: int) -> None:
        self.report(done, total)
        self.check()


class Run:
    """`models.method.StageRun`: what the harness lends to a running stage."""

    def __init__(self, folder: StageFolder, name: str, seed: int | None, around: Surroundings) -> None:
        self.directory = folder.output
        self.device = torch.device(around.study.config.device)
        self._folder, self._name, self._seed, self._around = folder, name, seed, around
        self._fits = 0

    def _derived(self) -> int:
        if self._seed is None:
            raise StageError(f"stage {self._name} declares seeded = False, but draws at random")
        return self._seed

    def generator(self, *purpose: str) -> np.random.Generator:
        return generator(self._derived(), self._name, *purpose)

    def torch_generator(self, *purpose: str) -> torch.Generator:
        return torch_generator(self._derived(), self._name, *purpose)

    def fit(self, training: Training) -> None:
        number, self._fits = self._fits, self._fits + 1
        around = self._around
        loop = Loop(
            training=training,
            seed=self._derived(),
            purpose=training.purpose(self._name, number),
            checkpoints=self._folder.checkpoints / str(number),
            owner=f"{self._folder.path.name}/{number}",
            interrupted=around.check,
            wants_stop=lambda: around.stop_signal() is not None,
            progress=around.report,
            say=around.say,
            checkpoint_seconds=around.checkpoint_seconds,
        )
        for row in loop.run():
            self._write({"fit": number, **row} if number else row)
        around.check()

    def progress(self, done: int, total: int) -> None:
        self._around.progress(done, total)

    def log(self, **values: float | int | str) -> None:
        self._write(values)
        self._around.check()

    def _write(self, row: Mapping[str, Any]) -> None:
        with (self.directory / LOG).open("a", encoding="utf-8") as stream:
            stream.write(json.dumps(row, sort_keys=True, allow_nan=False) + "\n")


def run_job(job: Job, around: Surroundings) -> None:
    """Do one job, unless it is done. What it makes appears whole or not at all.

    Raises:
        Interrupted: asked to stop; what can be resumed was saved.
        DamagedFile: a prepared clip that it reads is damaged.
        Exception: whatever the job's code raised; a storage fault as StorageError.
    """
    forget_readings()
    if job.kind == "prepare":
        return _prepare(job, around)
    folder = job.folder(around.stages)
    if folder is None:
        raise StageError(f"job {job.key} has no folder")
    try:
        with folder.locked(around.check, around.say):
            if folder.is_complete() and not _set_aside(folder, around):
                folder.discard_work()
                return
            inputs = {key: _sound(around, name) for key, name in job.payload["inputs"].items()}
            started = time.monotonic()
            folder.begin()
            _seed_globals(job)
            WORK[job.kind](job, folder, inputs, around)
            check_readings()
            folder.publish({**job.recipe, "name": job.name, "id": job.id})
            folder.note_seconds(time.monotonic() - started)
    except OSError as error:
        if error.errno is None or isinstance(error, FileNotFoundError):
            raise
        raise storage_error(error, f"computing {folder.path.name}") from error


def _set_aside(folder: StageFolder, around: Surroundings) -> bool:
    """Move a complete but damaged folder out of the way; whether there was reason to."""
    damage = folder.damage()
    if damage is None:
        return False
    around.say(f"{folder.path.name} was damaged ({damage}) and is now {folder.quarantine().name}")
    return True


@cache
def _verified(path: Path, written: int) -> None:
    """Check a folder's digests, once a process."""
    name, _, identity = path.name.rpartition("-")
    damage = StageFolder(path.parent, name, identity).damage()
    if damage is not None:
        raise UnusableInput(path.name, f"is damaged ({damage})")


def _sound(around: Surroundings, name: str) -> Path:
    """The folder of what a job reads.

    Raises:
        UnusableInput: it is gone, or its files are not what was written.
    """
    path = around.stages / name
    try:
        written = path.stat().st_mtime_ns
    except FileNotFoundError as error:
        raise UnusableInput(name, "has vanished") from error
    _verified(path, written)
    return path


def _seed_globals(job: Job) -> None:
    # Layers are initialised from torch's global generator; no ablation is named, so seeds are paired.
    seed = derive_seed(job.payload["seed"] or 0, job.name, "global")
    torch.manual_seed(seed)


def _prepare(job: Job, around: Surroundings) -> None:
    """Prepare every clip that can be, and remember the recordings that cannot be used.

    Raises:
        CorpusError: unless the job is to collect them: naming the clips that cannot be used, and why the
            first of them cannot.
    """
    study, key = around.study, corpus_of(job)
    wanted = {clip.id: clip for clip in study.clips_of(key)}
    refused: dict[str, InputError] = {}
    for number, identity in enumerate(job.payload["clips"], start=1):
        clip = wanted[identity]
        try:
            study.prepare(clip, key)
        except InputError as error:
            refused[identity] = error
            if isinstance(error, UnusableRecording) and key in study.recorded:
                study.recorded[key].remember_refusal(error)
                if job.payload.get("collect"):
                    del refused[identity]
        around.progress(number, len(job.payload["clips"]))
    if refused:
        first, *others = refused
        more = f"; nor can {', '.join(others)} be used" if others else ""
        raise CorpusError(f"{refused[first]}{more}") from refused[first]


def _stage(job: Job, folder: StageFolder, inputs: Mapping[str, Path], around: Surroundings) -> None:
    name = job.payload["stage"]
    stage = instantiate(job.payload["config"], f"method.{name}", Stage)
    data = DeclaredData(around.study.data, name, stage.reads)
    stage.run(data, inputs, Run(folder, name, job.payload["seed"], around))
    if stage.outside and stage_data(stage, around.study.training_identity) != job.recipe["data"]:
        files = ", ".join(str(path) for path in stage.outside)
        raise StageError(
            f"what stage {name} reads ({files}) changed after the run was planned: run the same command again"
        )


def _train_judge(job: Job, folder: StageFolder, inputs: Mapping[str, Path], around: Surroundings) -> None:
    judging.train_judges(around.study, folder.output)


def _truth(job: Job, folder: StageFolder, inputs: Mapping[str, Path], around: Surroundings) -> None:
    scoring.score_truth(around.study, folder.output, inputs.get("judge"), around.progress)
    trips = [transfer_truth.round_trip_errors(i.audio, i.target) for i in around.study.items if i.warped]
    if trips:
        means = {name: float(np.mean([t[name] for t in trips if name in t])) for name in trips[0]}
        write_text(folder.output / WARPED, json.dumps({"clips": len(trips), "round trip": means}) + "\n")


def _score(job: Job, folder: StageFolder, inputs: Mapping[str, Path], around: Surroundings) -> None:
    scoring.score_predictions(
        around.study, folder.output, inputs["predict"], inputs["truth"], inputs.get("judge"), around.progress
    )


def _observe(job: Job, folder: StageFolder, inputs: Mapping[str, Path], around: Surroundings) -> None:
    from benchmark.observability.measure import observe, observed_study

    config = job.payload["config"]
    study = observed_study(config, job.payload["metrics"])
    found = observe(study, folder.output, frames=config["frames"], progress=around.progress)
    write_observations(folder.output / OBSERVATIONS, found)


def _predict(job: Job, folder: StageFolder, inputs: Mapping[str, Path], around: Surroundings) -> None:
    from benchmark.lossless import save_frames
    from models.rendering.video import write_video

    study = around.study
    method: Method = instantiate(job.payload["config"], "method", Method)
    with torch.inference_mode():
        answer = method.predictor(study.data, inputs, torch.device(study.config.device))
        landmarks: dict[str, np.ndarray] = {}
        for number, item in enumerate(study.items, start=1):
            request = to_request(item, with_truth=method.sees_truth)
            predicted = _checked(answer(request), request, item, job.payload["row"])
            landmarks[item.id] = np.asarray(predicted.landmarks, np.float32)
            if predicted.frames is not None:
                scoring.frames_file(folder.output, item).parent.mkdir(exist_ok=True)
                (folder.output / "media").mkdir(exist_ok=True)
                save_frames(scoring.frames_file(folder.output, item), predicted.frames)
                write_video(folder.output / scoring.video_file(item), predicted.frames, request.waveform)
            around.progress(number, len(study.items))
    save_arrays(folder.output / scoring.LANDMARKS, landmarks)


def _checked(predicted: Prediction, request: Request, item: Item, row: str) -> Prediction:
    """
    Raises:
        StageError: shapes or types that were not asked for; NaN that only a ceiling may repeat.
    """
    shape = np.shape(predicted.landmarks)
    if shape != (request.num_frames, 68, 2):
        raise StageError(
            f"{row} answered {item.id} with landmarks {shape}; expected ({request.num_frames}, 68, 2)"
        )
    if request.truth is None and not np.isfinite(predicted.landmarks).all():
        raise StageError(f"{row} answered {item.id} with landmarks that are NaN or infinite")
    frames = predicted.frames
    if frames is None:
        return predicted
    target = request.target.frames
    expected = (request.num_frames, *(target.shape[1:] if target is not None else frames.shape[1:]))
    if frames.shape != expected or frames.dtype != np.uint8:
        raise StageError(
            f"{row} answered {item.id} with frames {frames.shape} {frames.dtype}; expected {expected} uint8"
        )
    return replace(predicted, frames=np.ascontiguousarray(frames))


def _probe(job: Job, folder: StageFolder, inputs: Mapping[str, Path], around: Surroundings) -> None:
    study = around.study
    assert isinstance(study.corpus, Parametric)
    every = study.config.probes["frame_every"]
    facts = probing.Facts.of(study.corpus, study.probe_clips, study.split.test, every)
    embed = probing.reference
    if "config" in job.payload:
        method: Method = instantiate(job.payload["config"], "method", Method)
        embed = method.embedder(inputs, torch.device(study.config.device))
    with torch.inference_mode():
        probing.probe(facts, embed, folder.output, around.progress)


WORK: Mapping[str, Callable[[Job, StageFolder, Mapping[str, Path], Surroundings], None]] = {
    "stage": _stage,
    "judge": _train_judge,
    "truth": _truth,
    "predict": _predict,
    "score": _score,
    "probe": _probe,
    "observe": _observe,
}
