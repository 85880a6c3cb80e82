"""`python -m benchmark.score`: score a folder of videos against a folder of true ones."""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from benchmark.signals import check
from benchmark.workers import one_thread
from models.command import Parser

if TYPE_CHECKING:
    from benchmark.score.folder import Settings

DESCRIPTION = """\
Score generated videos against the true ones under every protocol that applies, and write a report.

  python -m benchmark.score generated reference
  python -m benchmark.score generated reference --landmarks landmarks --out scores/mine
  python -m benchmark.score reference reference --out scores/ceiling      what the truth itself scores

Videos are paired by their path in the folder without suffix. What does not fit is named and refused, all of
it at once, before anything is scored.
"""

EPILOG = """\
writes report.html, report.md, scores.csv, records.jsonl and manifest.json into --out, all or none
exit codes: 0 done, 2 something that was given cannot be used, 3 a pair stalled (--stall fail), 4 a storage
fault, 130/143 interrupted
"""


def parser() -> argparse.ArgumentParser:
    made = Parser(
        "python -m benchmark.score",
        description=DESCRIPTION,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    made.add_argument("generated", type=Path, help="folder of the videos to score")
    made.add_argument("reference", type=Path, help="folder of the true ones, of the same names")
    made.add_argument("--out", type=Path, default=Path("scores"), help="folder of the report (scores)")
    made.add_argument("--overwrite", action="store_true", help="replace scores that --out holds already")
    landmarks = made.add_argument_group(
        "landmarks", "by default FaceMesh finds them in both videos and they are kept in --cache"
    )
    landmarks.add_argument(
        "--landmarks",
        type=Path,
        metavar="DIR",
        help="has generated/ and reference/ with a .npy (frames, 68, 2), .csv or .txt named like each video, "
        "in its pixels, one row for each frame at 25 fps, NaN where there is no face",
    )
    landmarks.add_argument("--landmarks-generated", type=Path, metavar="DIR", help="the same, one side")
    landmarks.add_argument("--landmarks-reference", type=Path, metavar="DIR", help="the same, other side")
    landmarks.add_argument("--no-landmarks", action="store_true", help="score pictures only")
    landmarks.add_argument(
        "--sync-judge",
        type=Path,
        metavar="FILE",
        help="sync.safetensors of a run: also score how well the mouth moves with the reference's sound",
    )
    landmarks.add_argument(
        "--face",
        default="largest",
        metavar="WHO",
        help="who is scored where the reference shows several people: largest, left, right, or a number from "
        "the left (largest); in the generated video it is the person at the same place",
    )
    landmarks.add_argument("--cache", type=Path, default=Path(".cache/score"), metavar="DIR")
    pictures = made.add_argument_group("pictures")
    pictures.add_argument(
        "--crop",
        choices=("none", "face"),
        default="none",
        help="what is compared: whole frames, or the 256 px square around the reference's face in both",
    )
    pictures.add_argument(
        "--extractors",
        nargs="*",
        default=["mobilenetv2-96"],
        metavar="NAME",
        help="networks of the Fréchet distances (mobilenetv2-96); no name: none",
    )
    pictures.add_argument("--inception-weights", type=Path, metavar="FILE", help="adds the FID")
    pictures.add_argument(
        "--feature-every", type=int, default=1, metavar="N", help="use every N-th frame for them (1)"
    )
    pictures.add_argument(
        "--speakers",
        metavar="WHO",
        help="whose the clips are, so that real clips can be compared with others of the same person: one, "
        "folder (the first folder of their path), or a CSV with the columns file and speaker",
    )
    pictures.add_argument(
        "--allow-biased", action="store_true", help="also for fewer frames than twice the dimensions"
    )
    allowed = made.add_argument_group("what may be changed to make videos comparable; the report says where")
    allowed.add_argument("--allow-missing", action="store_true", help="score the names both folders have")
    allowed.add_argument("--resample", action="store_true", help="repeat and drop pictures to get 25 fps")
    allowed.add_argument(
        "--trim", type=int, default=0, metavar="N", help="cut up to N frames off the longer video's end (0)"
    )
    allowed.add_argument(
        "--resize", action="store_true", help="bring generated frames to the reference's size"
    )
    made.add_argument(
        "--stall-seconds",
        type=float,
        default=600.0,
        metavar="S",
        help="name a pair that makes no progress for so long, and where it stands; 0: never (600)",
    )
    made.add_argument(
        "--stall", choices=("report", "fail"), default="report", help="fail: it ends the command, too"
    )
    made.add_argument("--workers", type=int, default=os.cpu_count() or 1, help="processes (one per core)")
    return made


def settings_of(options: argparse.Namespace) -> Settings:
    """
    Raises:
        InputError: options that contradict each other, or a number out of range.
    """
    from benchmark.score.clip import Rules
    from benchmark.score.folder import Settings
    from benchmark.score.pairing import Allowances
    from models.errors import InputError
    from models.preprocess.people import DEFAULT_FACE, check_face

    if options.face != DEFAULT_FACE and (options.no_landmarks or _landmark_folders(options) is not None):
        raise InputError(
            "--face chooses among faces that FaceMesh finds: leave it or the landmark options out"
        )
    for name, least in (("workers", 1), ("feature_every", 1), ("trim", 0), ("stall_seconds", 0)):
        if not getattr(options, name) >= least:
            raise InputError(f"--{name.replace('_', '-')}: expected {least} or more")
    if options.no_landmarks and options.crop == "face":
        raise InputError("--crop face needs the reference's landmarks: leave --no-landmarks out")
    if options.no_landmarks and options.sync_judge is not None:
        raise InputError("--sync-judge looks at the mouth's landmarks: leave --no-landmarks out")
    extractors = list(dict.fromkeys(options.extractors))
    if options.inception_weights is not None and "inception" not in extractors:
        extractors.append("inception")
    return Settings(
        generated=options.generated,
        reference=options.reference,
        out=options.out,
        rules=Rules(
            crop=options.crop,
            landmarks=not options.no_landmarks,
            extractors=tuple(extractors),
            inception_weights=options.inception_weights,
            every=options.feature_every,
            sync_judge=options.sync_judge,
            face=check_face(options.face),
        ),
        allow=Allowances(options.allow_missing, options.resample, options.trim, options.resize),
        landmarks=_landmark_folders(options),
        cache=options.cache,
        workers=options.workers,
        allow_biased=options.allow_biased,
        overwrite=options.overwrite,
        speakers=options.speakers,
        stall_seconds=options.stall_seconds,
        end_stalled=options.stall == "fail",
    )


def _landmark_folders(options: argparse.Namespace) -> dict[str, Path] | None:
    from benchmark.score.pairing import SIDES
    from models.errors import InputError

    common, single = options.landmarks, (options.landmarks_generated, options.landmarks_reference)
    if common is None and single == (None, None):
        return None
    if options.no_landmarks:
        raise InputError("landmarks are given, and --no-landmarks leaves them unused: choose one")
    if common is not None and single != (None, None):
        raise InputError("give --landmarks, or --landmarks-generated and --landmarks-reference")
    folders = (common / "generated", common / "reference") if common is not None else single
    for side, folder in zip(SIDES, folders, strict=True):
        if folder is None:
            raise InputError(
                f"--landmarks-{side} is missing: landmarks of two origins cannot be compared, so both sides "
                "are given or neither"
            )
        if not folder.is_dir():
            raise InputError(f"{folder}: no such folder of {side} landmarks")
    return dict(zip(SIDES, folders, strict=True))


class Display:
    """What the user sees: a bar on a terminal, else a line for every tenth."""

    def __init__(self) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

        self._console = Console(file=sys.stderr, highlight=False, soft_wrap=True)
        self._bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeRemainingColumn(elapsed_when_finished=True),
            console=self._console,
            disable=not self._console.is_terminal,
        )
        self._tasks: dict[str, object] = {}
        self._began: dict[str, float] = {}
        self._told: dict[str, int] = {}

    def __enter__(self) -> Display:
        self._bar.start()
        return self

    def __exit__(self, *rest: object) -> None:
        self._bar.stop()

    def say(self, message: str) -> None:
        self._console.print(message, markup=False)

    def __call__(self, phase: str, done: int, total: int) -> None:
        check()
        if phase not in self._tasks:
            self._tasks[phase] = self._bar.add_task(phase, total=total)
            self._began[phase] = time.monotonic()
        self._bar.update(self._tasks[phase], completed=done)  # pyright: ignore[reportArgumentType]
        tenth = 10 * done // total
        if not self._console.is_terminal and tenth > self._told.get(phase, 0):
            self._told[phase] = tenth
            left = (time.monotonic() - self._began[phase]) * (total - done) / done
            rest = f", about {left:.0f} s left" if done < total else ""
            self.say(f"{phase}: {done} of {total} clips{rest}")


def main(arguments: Sequence[str] | None = None) -> int:
    """Score a folder; the exit code says how it went."""
    one_thread()
    import benchmark.score.folder  # noqa: F401
    from benchmark.signals import run_interruptible

    return run_interruptible(lambda: _score(arguments), "nothing was written")


def _score(arguments: Sequence[str] | None) -> int:
    from benchmark.score.folder import score_folders
    from benchmark.signals import deferred
    from models.errors import DONE

    settings = settings_of(parser().parse_args(arguments))
    with deferred(), Display() as follow:
        page = score_folders(settings, follow)
    print(page)
    return DONE


if __name__ == "__main__":
    from benchmark.signals import run_and_exit

    run_and_exit(main)
