"""How far each way of placing a predicted face is from the truth: python -m benchmark.pose_errors

The embedded corpus's head is known exactly, so the true landmarks of *this expression under that pose* are.
A prediction is such a head seen almost from the front, stabilised; its target is a moving head around a yaw,
neutral, with detector noise. None of the people is among those the face model is learned from. Errors are
means over the 68 landmarks and all frames and emotions of a person; intervals are over people.
"""

from __future__ import annotations

import csv
import io
import math
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np
from scipy.stats import t as student

from benchmark.data.parametric import synthetic_heads
from benchmark.data.synthetic import motion
from benchmark.data.synthetic.face import identity, landmarks3d, project, rotation
from models.command import Parser, run_command
from models.errors import storage_faults
from models.face3d.alignment import LandmarkAlignment, PoseSwap, SimilarityAlignment, StillAlignment
from models.face3d.camera import angle_between
from models.face3d.fitting import fit
from models.face3d.morphable import Face3DStage, FaceModel, learn
from models.files import check_output_file, write_output
from models.landmarks.alignment import stabilise

YAWS = (0, 15, 30, 45)
EMOTIONS = ("neutral", "angry", "happy", "sad", "surprised")

SAME_PERSON: Mapping[str, LandmarkAlignment] = {
    "paper": PoseSwap(placement="pose", shape="predicted", carry_residual=False),
    "code": PoseSwap(placement="points", shape="predicted", carry_residual=False, smooth=True),
    "code, unfiltered": PoseSwap(placement="points", shape="predicted", carry_residual=False),
    "stable": PoseSwap(placement="stable", shape="predicted"),
    "ours": PoseSwap(),
    "ours, smoothed": PoseSwap(pose_smoothing=1.5),
    "similarity": SimilarityAlignment(),
    "none": StillAlignment(),
}
"""The prediction is of the person in the target video; "paper" and "code" are `align=paper` and `align=code`,
"ours" is `align=best`."""

OTHER_PERSON: Mapping[str, LandmarkAlignment] = {
    "target's shape": PoseSwap(shape="target"),
    "target's shape, code": PoseSwap(placement="points", shape="target"),
    "predicted shape": PoseSwap(shape="predicted"),
    "similarity": SimilarityAlignment(),
}
"""The prediction is of somebody else; the truth is the target's face with the predicted expression."""


@dataclass(frozen=True)
class Row:
    """One alignment of one scene."""

    voice: str
    person: int
    emotion: str
    yaw: int
    version: str
    error: float
    """Pixels of the 256 crop."""
    rotation_error: float
    """Degrees between the target's fitted and true rotations."""


@dataclass(frozen=True)
class Scene:
    predicted: np.ndarray
    target: np.ndarray
    truth: np.ndarray
    rotation: np.ndarray


def face_model() -> FaceModel:
    """As `Face3DStage` learns it from the embedded corpus."""
    stage = Face3DStage()
    return learn(synthetic_heads(), stage.shapes, stage.expressions)


def speaking(emotion: str, frames: int, rng: np.random.Generator) -> np.ndarray:
    """(frames, expressions): random syllables at the emotion's full intensity."""
    ends = np.cumsum(rng.uniform(0.06, 0.15, frames))
    starts = np.concatenate([[0.0], ends[:-1]])
    names = list(motion.MOUTH_SHAPES)
    said = [
        (names[rng.integers(len(names))], float(a), float(b))
        for a, b in zip(starts, ends, strict=True)
        if a < frames / 25
    ]
    energy = np.convolve(rng.uniform(0, 1, frames), np.ones(5) / 5, "same")
    return motion.perform(said, energy, emotion, 1 if emotion == "neutral" else 3, rng)


def scene(
    speaker: str,
    host: str,
    emotion: str,
    yaw: float,
    rng: np.random.Generator,
    *,
    frames: int = 50,
    noise: float = 0.5,
    prediction_noise: float = 0.0,
) -> Scene:
    """`speaker`'s expression predicted, `host` filmed around a yaw in degrees.

    Noise is in pixels: of each of the target's landmarks, and of a prediction's. The latter is half one
    offset that lasts the clip, half slow, as a network errs.
    """
    said = speaking(emotion, frames, rng)
    ahead = np.zeros((frames, 6), np.float32)
    ahead[:, 0] = np.radians(rng.normal(0, 3))
    turned = motion.head_motion(frames, rng, "neutral")
    turned[:, 0] += np.radians(yaw)
    filmed = project(landmarks3d(identity(host), speaking("neutral", frames, rng)), turned)
    predicted = stabilise(project(landmarks3d(identity(speaker), said), ahead))
    slow = np.cumsum(rng.normal(size=(frames + 24, 68, 2)), 0)
    slow = (slow[24:] - slow[:-24]) / np.sqrt(24)
    wrong = np.sqrt(0.5) * (slow + rng.normal(size=(1, 68, 2)))
    return Scene(
        (predicted + prediction_noise * wrong).astype(np.float32),
        (filmed + noise * rng.normal(size=filmed.shape)).astype(np.float32),
        project(landmarks3d(identity(host), said), turned),
        rotation(turned),
    )


def measure(
    model: FaceModel,
    *,
    people: int = 8,
    emotions: Sequence[str] = EMOTIONS,
    yaws: Sequence[int] = YAWS,
    seed: int = 0,
    noise: float = 0.5,
    prediction_noise: float = 0.0,
) -> list[Row]:
    """Every version on every scene."""
    rows = []
    for voice, versions in (("same", SAME_PERSON), ("other", OTHER_PERSON)):
        for person in range(people):
            host = f"pose-{seed}-{person}"
            speaker = host if voice == "same" else f"voice-{seed}-{person}"
            for k, emotion in enumerate(emotions):
                for yaw in yaws:
                    rng = np.random.default_rng([seed, person, k, yaw])
                    seen = scene(
                        speaker, host, emotion, yaw, rng, noise=noise, prediction_noise=prediction_noise
                    )
                    found = fit(model, seen.target).pose.rotation
                    turned = float(np.degrees(angle_between(found, seen.rotation)).mean())
                    for name, version in versions.items():
                        placed = version.align(seen.predicted, seen.target, model)
                        error = float(np.linalg.norm(placed - seen.truth, axis=-1).mean())
                        rows.append(Row(voice, person, emotion, yaw, name, error, turned))
    return rows


def interval(values: Sequence[float]) -> tuple[float, float]:
    """Mean and half of its 95 % t interval; half is NaN for a single value."""
    array = np.asarray(values, np.float64)
    if len(array) < 2:
        return float(array.mean()), float("nan")
    half = student.ppf(0.975, len(array) - 1) * array.std(ddof=1) / np.sqrt(len(array))
    return float(array.mean()), float(half)


def table(rows: Sequence[Row], voice: str) -> str:
    """Markdown: yaw down, versions across, mean and interval over people; rotation error last."""
    chosen = [row for row in rows if row.voice == voice]
    versions = list(dict.fromkeys(row.version for row in chosen))
    people = sorted({row.person for row in chosen})

    def cell(values: Mapping[int, list[float]], digits: int) -> str:
        mean, half = interval([float(np.mean(values[person])) for person in people])
        return f"{mean:.{digits}f} ± {half:.{digits}f}"

    lines = [
        "| yaw | " + " | ".join(f"{name} (px)" for name in versions) + " | rotation (degrees) |",
        "| ---: |" + " ---: |" * (len(versions) + 1),
    ]
    for yaw in sorted({row.yaw for row in chosen}):
        at = [row for row in chosen if row.yaw == yaw]
        cells = [
            cell({p: [r.error for r in at if (r.person, r.version) == (p, name)] for p in people}, 2)
            for name in versions
        ]
        cells.append(cell({p: [r.rotation_error for r in at if r.person == p] for p in people}, 2))
        lines.append(f"| {yaw} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the table; the exit code says how it went."""
    return run_command(lambda: _run(arguments))


def _run(arguments: Sequence[str] | None) -> int:
    parser = Parser(prog="python -m benchmark.pose_errors", description=__doc__)
    parser.add_argument("--people", type=int, default=8, help="unseen people, each with its own scenes")
    parser.add_argument("--seed", type=int, default=0, help="another seed is other people and other scenes")
    parser.add_argument("--noise", type=float, default=0.5, help="of a target's landmark, in pixels")
    parser.add_argument(
        "--prediction-noise", type=float, default=0.0, help="of a predicted landmark, in pixels"
    )
    parser.add_argument("--out", type=Path, help="write one CSV row for each scene and version")
    asked = parser.parse_args(arguments)
    noises = (asked.noise, asked.prediction_noise)
    if asked.people < 1 or asked.seed < 0 or not all(0 <= noise < math.inf for noise in noises):
        parser.error("expected at least one person, and a seed and noise of 0 or more")
    if asked.out:
        check_output_file(asked.out, "--out")
    rows = measure(
        face_model(),
        people=asked.people,
        seed=asked.seed,
        noise=asked.noise,
        prediction_noise=asked.prediction_noise,
    )
    print(
        f"Landmark error, mean and 95 % interval over {asked.people} unseen people, {len(EMOTIONS)} emotions "
        f"each;\n{asked.noise:g} px of detector noise, {asked.prediction_noise:g} px of prediction noise, "
        f"seed {asked.seed}.\n\nPrediction of the person in the video:\n\n{table(rows, 'same')}\n\n"
        f"Prediction of somebody else, shown on the person in the video:\n\n{table(rows, 'other')}"
    )
    if asked.out:
        text = io.StringIO(newline="")
        writer = csv.writer(text)
        names = [field.name for field in fields(Row)]
        writer.writerow(names)
        writer.writerows([getattr(row, name) for name in names] for row in rows)
        with storage_faults(f"writing {asked.out}"):
            write_output(asked.out, text.getvalue())
    return 0


if __name__ == "__main__":
    sys.exit(main())
