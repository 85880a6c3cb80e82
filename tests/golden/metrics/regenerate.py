"""Write the frozen inputs and values again: python tests/golden/metrics/regenerate.py (from the root).

With `values` behind it, only the values of the talking face: what a new protocol needs.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np

HERE = Path(__file__).resolve().parent
OF_FRAMES = (
    "ssim",
    "ssim/luma",
    "ssim/skimage",
    "ssim/zero-pad",
    "psnr",
    "psnr/luma",
    "psnr/uint8-wrap",
    "flicker",
)


def scores() -> dict[str, float | None]:
    """Scores of the frozen landmarks, scores of the frozen frames, and one Fréchet distance."""
    from benchmark.metrics.frechet import frechet_distance
    from benchmark.metrics.metric import ClipPair
    from benchmark.metrics.registry import metric_of
    from benchmark.metrics.scorer import score_clip
    from models.types import Prediction

    with np.load(HERE / "input.npz", allow_pickle=False) as stored:
        predicted, truth = Prediction(stored["predicted_landmarks"]), Prediction(stored["true_landmarks"])
        filmed = ClipPair(
            Prediction(predicted.landmarks, stored["predicted_frames"]),
            Prediction(truth.landmarks, stored["true_frames"]),
            clip="golden",
        )
    values = {name: score.value for name, score in score_clip(predicted, truth, clip_id="golden").items()}
    values |= {name: metric_of(name).compute(filmed).value for name in OF_FRAMES}
    features = [p.landmarks.reshape(-1, 4) for p in (predicted, truth)]
    return values | {"frechet of landmarks in fours": frechet_distance(*features)}


def make_input() -> None:
    rng = np.random.default_rng(2021)
    landmarks = (rng.uniform(60, 200, (68, 2)) + rng.normal(0, 2, (8, 68, 2))).astype(np.float32)
    landmarks[:, 36:42] += np.float32((-40, -30))
    predicted = (landmarks + rng.normal(0, 1.5, landmarks.shape)).astype(np.float32)
    frames = rng.integers(0, 256, (4, 20, 24, 3)).astype(np.uint8)
    noisy = np.clip(frames + rng.integers(-40, 41, frames.shape), 0, 255).astype(np.uint8)
    np.savez_compressed(
        HERE / "input.npz",
        predicted_landmarks=predicted,
        true_landmarks=landmarks,
        predicted_frames=noisy,
        true_frames=frames,
    )


def whole_ladder() -> dict[str, dict[str, float | None]]:
    """Every protocol that no judge takes part in, of a drawn face that talks and is lost in one frame.

    Those of a set compare the landmarks of each frame, cut into vectors; a frame is a clip there.
    """
    from benchmark.metrics.metric import ClipPair, SetPair
    from benchmark.metrics.registry import METRICS
    from models.types import Prediction

    with np.load(HERE / "talking.npz", allow_pickle=False) as stored:
        predicted = Prediction(stored["predicted_landmarks"], stored["predicted_frames"])
        truth = Prediction(stored["true_landmarks"], stored["true_frames"])
    again = (predicted.landmarks, truth.landmarks)
    pair = ClipPair(predicted, truth, "golden", redetected=again)
    vectors = [list(np.nan_to_num(side / 256).reshape(len(side), -1, 4)) for side in again]
    found = {}
    for metric in METRICS:
        if metric.level == "clip" and not metric.needs <= pair.offers:
            continue
        sets = SetPair(*vectors, np.random.default_rng(0), resamples=20)
        score = metric.compute(pair if metric.level == "clip" else sets)
        found[metric.id] = {name: getattr(score, name) for name in ("value", "coverage", "least", "most")}
    return found


def make_talking() -> None:
    from tests.contracts.bench import draw, talking

    true = talking("happy")[:8].astype(np.float32)
    predicted = talking("surprised", lag=2)[:8].astype(np.float32)
    frames = np.roll(draw(predicted), 1, axis=2)
    predicted[5] = np.nan
    np.savez_compressed(
        HERE / "talking.npz",
        predicted_landmarks=predicted,
        true_landmarks=true,
        predicted_frames=frames,
        true_frames=draw(true),
    )


if __name__ == "__main__":
    sys.path.insert(0, str(HERE.parents[2]))
    if "values" not in sys.argv:
        make_input()
        make_talking()
        (HERE / "values.json").write_text(json.dumps(scores(), indent=1) + "\n", encoding="utf-8")
    (HERE / "talking.json").write_text(json.dumps(whole_ladder(), indent=1) + "\n", encoding="utf-8")
