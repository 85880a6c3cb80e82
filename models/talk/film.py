"""From a voice, an emotion and a target video to the finished mp4."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import torch

from models.audio.framing import FRAMES_PER_SECOND, SAMPLES_PER_FRAME
from models.errors import InputError, storage_error
from models.files import check_output_file, check_output_folder
from models.preprocess.face_alignment import FaceAlignment
from models.preprocess.facemesh import FaceMesh
from models.preprocess.faces import FaceDetector
from models.preprocess.people import check_face
from models.rendering.renderer import Renderer
from models.rendering.video import write_video
from models.talk.personal import TRAINING_FRAMES, personal_renderer
from models.talk.progress import working
from models.talk.speaker import Speaker, read_voice
from models.talk.target import Target
from models.talk.trained import TrainedRun

DETECTORS: dict[str, type[FaceDetector]] = {"facemesh": FaceMesh, "face_alignment": FaceAlignment}


def film(options: argparse.Namespace) -> str:
    """Make the video that the command line asks for, and say what was made.

    Raises:
        UserError: something that was given cannot be used, or the disk failed; no output is there.
    """
    torch.set_num_threads(1)
    _check_output(options.output, overwrite=options.overwrite)
    for option, given in (("--audio", options.audio), ("--target", options.target)):
        if options.output.exists() and given.exists() and options.output.samefile(given):
            raise InputError(
                f"-o: {options.output} is the file of {option}, which would be lost: name another"
            )
    if options.steps is not None and options.steps < 1:
        raise InputError(f"--steps {options.steps}: expected 1 or more")
    face = check_face(options.face)
    device = _device(options.device)
    cache = options.cache or options.run.parent / "talk"
    if options.renderer == "target":
        check_output_folder(cache, "--cache")
    run = TrainedRun.read(options.run, row=options.row, seed=options.seed)
    speaker = Speaker.load(run, device)
    voice = read_voice(options.audio)
    emotion = speaker.emotion(options.emotion, options.intensity, options.emotion_from)
    count = len(voice) // SAMPLES_PER_FRAME
    personal = options.renderer == "target"

    with working(f"finding the face in {options.target}") as advance:
        limit = max(count, TRAINING_FRAMES) if personal else count
        detector = DETECTORS[options.detector]()
        target = Target.read(options.target, detector, limit, advance, close=personal, face=face)
    for note in target.notes:
        print(f"{options.target}: {note}", file=sys.stderr)
    folder = _personal(target, run, options, device, cache) if personal else run.folder("renderer")
    renderer = Renderer.load(folder, device)
    with working("predicting the landmarks"):
        landmarks = speaker.landmarks(voice, emotion, target.landmarks, carried=personal)
    with working(f"drawing {count} frames") as advance:
        made = renderer.render(landmarks, target.portrait(renderer.sizes.size), advance)
    with working(f"writing {options.output}"):
        _write(options.output, made if options.crop else target.with_face(made, landmarks), voice)
    return f"{options.output}: {count} frames, {count / FRAMES_PER_SECOND:.1f} s"


def _personal(
    target: Target, run: TrainedRun, options: argparse.Namespace, device: torch.device, cache: Path
) -> Path:
    config = dict(run.config("renderer"))
    if options.steps is not None:
        config["steps"] = options.steps
    with working("learning to draw the target's face") as advance:
        return personal_renderer(
            target.first(TRAINING_FRAMES),
            config,
            cache,
            seed=options.seed or 0,
            device=device,
            progress=advance,
        )


def _write(output: Path, frames: Iterable[np.ndarray], voice: np.ndarray) -> None:
    try:
        # A link stays one: the file that it names is replaced.
        write_video(output.resolve(), frames, voice)
    except OSError as error:
        raise storage_error(error, f"writing {output}") from error


def _check_output(output: Path, *, overwrite: bool) -> None:
    if output.suffix.lower() != ".mp4":
        raise InputError(f"{output}: expected a name that ends in .mp4")
    if output.is_file() and not overwrite:
        raise InputError(f"{output} is there already: add --overwrite to replace it, or name another")
    if output.exists() and not output.is_file():
        raise InputError(f"-o: {output} is no file; an mp4 cannot be written into a device or a pipe")
    check_output_file(output, "-o")


def _device(name: str) -> torch.device:
    try:
        device = torch.device(name)
        torch.zeros(1, device=device)
    except (RuntimeError, AssertionError) as error:
        raise InputError(f"--device {name} cannot be used here: {str(error).splitlines()[0]}") from error
    return device
