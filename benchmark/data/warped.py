"""The truth for words of one recording in the emotion of another, where the subject said them with both.

A recorded corpus has no counterfactual. But where the subject has said the same sentence in the wanted
emotion, that clip's landmarks, warped in time onto the recording whose words are asked for, are what the
face would have done, up to the error of the warp. Dynamic time warping on the sounds gives the time of
each video frame in the other clip, and landmarks are interpolated linearly between its frames. Head
motion is warped with them: the target video is the same clip, unwarped, and landmark metrics align every
frame by a similarity, so what remains of the pose is the difference of its out-of-plane rotation at two
moments of one clip.

Frames are not warped: between two head poses there is no image to interpolate, so a warped truth has
none.

A warped truth is wrong by itself, and a method cannot be told from a perfect one below that error. It is
measured where the exact counterfactual is known, see `benchmark.transfer_truth`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from benchmark.data.clip_store import holds, publish
from models.audio.aligners import Aligner, DTWAligner
from models.audio.framing import FRAMES_PER_SECOND
from models.types import Clip

VERSION = 1
ERROR: Mapping[str, Mapping[str, tuple[float, float]]] = {
    "synthesised speech": {
        "ld/mouth": (0.540, 0.062),
        "lvd/mouth": (0.315, 0.043),
        "ld/face": (0.762, 0.091),
        "lvd/face": (0.271, 0.027),
    },
    "recorded voices (EMO-DB)": {
        "ld/mouth": (1.093, 0.188),
        "lvd/mouth": (0.642, 0.099),
        "ld/face": (1.067, 0.168),
        "lvd/face": (0.400, 0.060),
    },
}
"""What warped truths score against exact ones on parametric faces, by speech and protocol: mean and
half-width of the 95 % interval over sentences. Measured by `python -m benchmark.transfer_truth pairs=64`, and
that with `data=emodb face=parametric data.root=...`."""


def warped(timing: Clip, spoken: Clip) -> Clip:
    """The clip, not yet prepared, of `spoken`'s face in the timing of `timing`, with the latter's waveform.

    Both are of one speaker and say one sentence.
    """
    name = f"warp{VERSION}--{timing.id}--{spoken.id}"
    return replace(spoken, id=name, directory=timing.directory.parent / name, filmed=False)


def prepare_warped(clip: Clip, timing: Clip, spoken: Clip) -> None:
    """Make the folder of `warped(timing, spoken)`, whose parts are prepared."""
    if holds(clip.directory, "waveform", "landmarks"):
        return
    landmarks = warp_landmarks(spoken.landmarks, source_times(timing, spoken))
    publish(clip.directory, {"waveform": timing.waveform, "landmarks": landmarks})


def source_times(timing: Clip, spoken: Clip, aligner: Aligner | None = None) -> np.ndarray:
    """(frames,) seconds in `spoken` of what `timing` says in the middle of each of its video frames."""
    middles = (np.arange(timing.num_frames) + 0.5) / FRAMES_PER_SECOND
    return (aligner or DTWAligner()).align(spoken.waveform, timing.waveform).times(middles)


def warp_landmarks(landmarks: np.ndarray, times: np.ndarray) -> np.ndarray:
    """(len(times), points, 2) float32 landmarks at these seconds, linear between the middles of frames.

    Before the first and after the last middle they stand still. NaN where a frame that is used has no face.
    """
    place = np.clip(np.asarray(times) * FRAMES_PER_SECOND - 0.5, 0, len(landmarks) - 1)
    before = np.floor(place).astype(int)
    after = np.minimum(before + 1, len(landmarks) - 1)
    share = (place - before)[:, None, None]
    # Not a weighted sum: a frame without a face must not count where its weight is 0.
    between = landmarks[before] + share * (landmarks[after] - landmarks[before])
    return np.where(share > 0, between, landmarks[before]).astype(np.float32)
