"""python -m benchmark.overview: the README's picture, from a finished quick suite.

The upper row is the embedded corpus: one sentence of the subject in its eight emotions. The lower rows are
one transfer item over time: the truth, and what EVP made of the words of one clip and the emotion of another.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np

from benchmark.config import load
from benchmark.records import FULL, read_manifest
from benchmark.study import Study, StudyConfig
from models.preprocess.decoder import shared_decoder

PICTURE = Path("docs/overview.jpg")


def main(arguments: Sequence[str]) -> int:
    settings = load(["suite=quick", *arguments])
    study = Study(StudyConfig.of(settings))
    rows = [_emotions(study), *_transfer(settings.run_directory)]
    width = min(row.shape[1] for row in rows)
    sheet = np.concatenate([row[:, :width] for row in rows])
    PICTURE.parent.mkdir(exist_ok=True)
    cv2.imwrite(str(PICTURE), cv2.cvtColor(sheet, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, 92])
    print(PICTURE)
    return 0


def _emotions(study: Study) -> np.ndarray:
    """The middle frame of one shared sentence in every emotion."""
    clips = {}
    for clip in study.split.train:
        clips.setdefault(clip.sentence, {})[clip.emotion] = clip
    spoken = next(found for found in clips.values() if len(found) == len(study.data.emotions))
    frames = []
    for emotion in study.data.emotions:
        study.corpus.prepare(spoken[emotion], frames=True)
        film = np.load(spoken[emotion].directory / "frames.npy", mmap_mode="r")
        frames.append(np.array(film[int(0.4 * len(film))]))
    return np.concatenate(frames, axis=1)


def _transfer(run_directory: Path) -> tuple[np.ndarray, np.ndarray]:
    """Eight moments of the truth and of EVP's video for the first transfer item that wants happiness."""
    manifest = read_manifest(run_directory / "manifest.json")
    wanted = (k for k, v in manifest.clips.items() if (v["condition"], v["emotion"]) == ("transfer", "happy"))
    videos = manifest.media[next(wanted)]
    decoder = shared_decoder()
    films = [decoder.video(run_directory / videos[key])[1] for key in ("truth", f"evp/{FULL}/0")]
    moments = np.linspace(5, len(films[0]) - 6, 8).astype(int)
    truth, made = (np.concatenate(list(np.array(film[moments])), axis=1) for film in films)
    return truth, made


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
