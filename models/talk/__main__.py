"""`python -m models.talk`: make somebody in a video say something, with a wanted emotion."""

from __future__ import annotations

import argparse
import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

from models.command import Parser, run_command

DESCRIPTION = """\
Make the person in a video say what is said in a recording, with a wanted emotion, by a trained run of EVP.

  python -m models.talk --audio a.wav --target video.mp4 --emotion happy -o out.mp4
  python -m models.talk --audio a.wav --target video.mp4 --emotion-from b.wav -o out.mp4
  python -m models.talk --audio a.wav --target video.mp4 --emotion happy4_neutral6 -o out.mp4
"""

EPILOG = """\
The first time that a target is used, a renderer is trained on it, which takes a few minutes and is kept.
exit codes: 0 done, 2 something that was given cannot be used, 3 a training failed, 4 a storage fault,
130 and 143 interrupted: run the same command again to go on
"""


def parser() -> argparse.ArgumentParser:
    made = Parser(
        "python -m models.talk",
        description=DESCRIPTION,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    made.add_argument("--audio", type=Path, required=True, help="what is said: any sound or video file")
    made.add_argument("--target", type=Path, required=True, help="video of the person who shall say it")
    made.add_argument("-o", "--output", type=Path, required=True, help="the mp4 to write")
    emotion = made.add_mutually_exclusive_group()
    emotion.add_argument("--emotion", help="label that the run knows, or a mixture such as angry4_neutral6")
    emotion.add_argument(
        "--emotion-from", type=Path, metavar="FILE", help="speech with the wanted emotion (default: --audio)"
    )
    made.add_argument("--intensity", type=int, choices=(1, 2, 3), help="of --emotion (default: all)")
    made.add_argument(
        "--run", type=Path, default=Path("results/quick"), help="a trained suite (default: results/quick)"
    )
    made.add_argument("--row", default="evp", help="row of its table: evp, or evp/ABLATION (default: evp)")
    made.add_argument("--seed", type=int, help="which of the run's seeds (default: the lowest)")
    made.add_argument(
        "--renderer",
        choices=("target", "run"),
        default="target",
        help="target: trained on the target's own video. run: the run's, for videos of its own subject, "
        "whose face shape it also takes (default: target)",
    )
    made.add_argument(
        "--steps", type=int, help="training steps of the target's renderer (default: the run's)"
    )
    made.add_argument(
        "--cache", type=Path, help="where targets' renderers are kept (default: the folder talk beside --run)"
    )
    made.add_argument(
        "--crop", action="store_true", help="write the face crop, as EVP does, not the whole frame"
    )
    made.add_argument(
        "--face",
        default="largest",
        metavar="WHO",
        help="who it is if --target shows several people: largest, left, right, or a number from the left "
        "(largest)",
    )
    made.add_argument("--detector", choices=("facemesh", "face_alignment"), default="facemesh")
    made.add_argument("--device", default="cpu", help="cpu, or cuda where there is one (default: cpu)")
    made.add_argument("--overwrite", action="store_true", help="replace an output file that is there")
    return made


def main(arguments: Sequence[str] | None = None) -> int:
    """Make the video; the exit code says how it went."""
    signal.signal(signal.SIGTERM, _terminate)
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    try:
        return run_command(lambda: _film(arguments))
    except KeyboardInterrupt:
        print("interrupted: run the same command again to go on", file=sys.stderr)
        return 128 + signal.SIGINT


def _film(arguments: Sequence[str] | None) -> int:
    options = parser().parse_args(arguments)
    from models.talk.film import film

    print(film(options))
    return 0


def _terminate(signum: int, frame: object) -> None:
    raise SystemExit(128 + signum)


if __name__ == "__main__":
    sys.exit(main())
