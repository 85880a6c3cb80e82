"""A run directory with made-up scores, for tests of the report: plausible sizes, known structure."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path

import av
import numpy as np

from benchmark.records import (
    FULL,
    WHOLE_SET,
    CellInfo,
    Manifest,
    ProtocolInfo,
    Record,
    RowInfo,
    write_manifest,
    write_records,
)

EMOTIONS = ("angry", "contempt", "disgusted", "fear", "happy", "neutral", "sad", "surprised")
CONDITIONS = {
    "self": "audio and emotion of the clip itself, over its own head motion; truth: the clip",
    "transfer": "words of one clip, emotion of a second, head motion of a third; truth: the counterfactual",
}


def protocol(label: str, unit: str, direction: str, description: str) -> ProtocolInfo:
    return ProtocolInfo(label, label, unit, direction, "made up", description)


PROTOCOLS = {
    "ld/mouth": protocol("M-LD", "px@256", "lower", "Distance of the mouth points to the true ones."),
    "lvd/mouth": protocol("M-LVD", "px/frame", "lower", "Distance of the mouth points' motion."),
    "ld/face": protocol("F-LD", "px@256", "lower", "Distance of all points to the true ones."),
    "lvd/face": protocol("F-LVD", "px/frame", "lower", "Distance of all points' motion."),
    "ssim": protocol("SSIM", "", "higher", "Structural similarity."),
    "psnr": protocol("PSNR", "dB", "higher", "Peak signal-to-noise ratio; identical frames are left out."),
    "emotion": protocol("Emotion accuracy", "share", "higher", "1 where the judge sees the wanted emotion."),
    "fd/mobilenetv2-96": protocol("FD (mobilenetv2-96)", "", "lower", "Fréchet distance of frame features."),
}


@dataclass(frozen=True)
class Quality:
    """How good a made-up row is: mean scores, and what varies."""

    label: str
    kind: str
    error: float
    accuracy: float
    seed_sd: float = 0.03
    fails: tuple[int, ...] = ()


ROWS = {
    "evp": Quality("EVP", "method", 1.0, 0.78),
    "evp/no_dtw": Quality("w/o DTW", "ablation", 1.18, 0.60),
    "evp/no_cross_reconstruction": Quality("w/o cross-reconstruction", "ablation", 1.02, 0.70),
    "song": Quality("Song 2020", "method", 1.3, 0.40, fails=(1,)),
    "mean_face": Quality("Mean face", "floor", 2.1, 0.125, 0.0),
    "neutral": Quality("Neutral face", "floor", 2.3, 0.125, 0.0),
    "nearest": Quality("Nearest neighbour", "floor", 1.7, 0.55, 0.0),
    "first_frame": Quality("First frame", "floor", 2.0, 0.30, 0.0),
    "truth": Quality("Ground truth", "ceiling", 0.0, 0.92, 0.0),
}
SCALES = {"ld/mouth": 2.4, "lvd/mouth": 1.1, "ld/face": 1.9, "lvd/face": 0.8}


def items(sentences: int) -> dict[str, dict[str, object]]:
    """Every sentence in four of the emotions, under both conditions."""
    made: dict[str, dict[str, object]] = {}
    for condition in CONDITIONS:
        for s in range(sentences):
            for e in range(s % 2, len(EMOTIONS), 2):
                name = f"{condition}-s{s:02d}-{EMOTIONS[e]}"
                made[name] = {
                    "condition": condition,
                    "sentence": f"s{s:02d}",
                    "text": f"Sentence number {s} has a few words.",
                    "emotion": EMOTIONS[e],
                    "intensity": 3,
                    "speaker": "ada",
                    "target": f"clip-{(s * 5 + e) % 9}",
                }
    return made


def rows_of(
    key: str, seed: int, clips: dict[str, dict[str, object]], rng: np.random.Generator
) -> list[Record]:
    """One cell's records. Clip difficulty is shared by all cells, so differences are paired."""
    quality = ROWS[key]
    method, _, ablation = key.partition("/")
    common = {"corpus": "synthetic", "method": method, "ablation": ablation or FULL, "seed": seed}
    shift = 1 + quality.seed_sd * float(np.random.default_rng([99, seed, len(key)]).normal())
    records = []
    for index, (clip, info) in enumerate(clips.items()):
        hard = 1 + 0.2 * float(np.random.default_rng([7, index]).normal())
        harder = 1.15 if info["condition"] == "transfer" else 1.0
        noise = 1 + 0.05 * float(rng.normal()) * (quality.kind != "ceiling")
        place = {**common, "condition": str(info["condition"]), "clip": clip}
        for name, scale in SCALES.items():
            value = quality.error * scale * hard * harder * shift * noise
            records.append(Record(protocol=name, value=value, coverage=0.97 if index == 0 else 1.0, **place))
        perfect = quality.kind == "ceiling"
        ssim = 1.0 if perfect else 0.95 - 0.05 * quality.error * hard
        psnr = None if perfect or (key == "first_frame" and index < 2) else 30 - 3 * quality.error * hard
        right = float(
            np.random.default_rng([3, index, seed if quality.seed_sd else 0, len(key)]).random()
            < quality.accuracy / harder
        )
        records.append(Record(protocol="ssim", value=ssim, **place))
        records.append(Record(protocol="psnr", value=psnr, **place))
        records.append(Record(protocol="emotion", value=right, **place))
    for condition in CONDITIONS:
        value = 40.0 * quality.error * shift
        whole = {**common, "condition": condition, "clip": WHOLE_SET, "protocol": "fd/mobilenetv2-96"}
        records.append(Record(value=value, low=0.8 * value, high=1.35 * value, count=1200, clips=16, **whole))
    return records


def confusion(accuracy: float) -> list[list[int]]:
    matrix = [[0] * len(EMOTIONS) for _ in EMOTIONS]
    for i in range(len(EMOTIONS)):
        right = round(8 * accuracy)
        matrix[i][i] = right
        matrix[i][(i + 3) % len(EMOTIONS)] += 8 - right
    return matrix


def write_video(path: Path, level: int, frames: int = 24) -> None:
    """A small moving square; tiny and with a known look."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=25)
        stream.width = stream.height = 96
        stream.pix_fmt = "yuv420p"
        stream.codec_context.thread_count = 1
        for t in range(frames):
            image = np.full((96, 96, 3), level, dtype=np.uint8)
            image[30:60, 2 * t : 2 * t + 30] = (220, 180, 160)
            for packet in stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")):
                container.mux(packet)
        for packet in stream.encode():
            container.mux(packet)


def write_run(
    directory: Path,
    *,
    seeds: tuple[int, ...] = (0, 1),
    sentences: int = 4,
    videos: int = 0,
    **changes: object,
) -> Manifest:
    """Write records and manifest; `changes` replace fields of the manifest.

    Args:
        videos: how many items get videos of the truth and of three methods.
    """
    clips = items(sentences)
    records: list[Record] = []
    cells = []
    for place, key in enumerate(ROWS):
        method, _, ablation = key.partition("/")
        for seed in seeds:
            failed = seed in ROWS[key].fails
            if not failed:
                records += rows_of(key, seed, clips, np.random.default_rng([place, seed]))
            cells.append(
                CellInfo(
                    method,
                    ablation or FULL,
                    seed,
                    "FAILED" if failed else "done",
                    "NonFiniteLoss: step 120, term recon is nan" if failed else "",
                    run_id=f"{place:02d}{seed:02d}c0ffee",
                    overrides=(f"method={method}", f"seed={seed}"),
                    stages={"features": "aaaa1111", "landmarks": f"bbbb{place:02d}{seed:02d}"},
                )
            )
    media: dict[str, dict[str, str]] = {}
    for clip in list(clips)[:videos]:
        media[clip] = {}
        for level, who in (
            (40, "truth"),
            (90, "evp/full/0"),
            (130, "evp/no_dtw/0"),
            (170, "mean_face/full/0"),
        ):
            path = f"media/{clip}/{who.replace('/', '-')}.mp4"
            write_video(directory / path, level)
            media[clip][who] = path
    manifest = Manifest(
        suite="quick",
        corpus="synthetic",
        corpus_description="Generated speech and faces: 4 speakers, 8 emotions, 3 intensities.",
        protocols=PROTOCOLS,
        methods={key: RowInfo(q.label, q.kind, f"What does {q.label} tell?") for key, q in ROWS.items()},
        conditions=CONDITIONS,
        seeds=seeds,
        clips=clips,
        cells=tuple(cells),
        notes=("w/o DTW keeps the pairs of equal length.",),
        judges={
            "emotion": {
                "ceiling": 0.92,
                "chance": 0.125,
                "labels": list(EMOTIONS),
                "confusion": {
                    "evp/full/self": confusion(0.78),
                    "evp/full/transfer": confusion(0.6),
                    "truth/full/self": confusion(0.92),
                },
            }
        },
        provenance={
            "command": "python -m benchmark.run suite=quick",
            "versions": {"torch": "2.14.1", "numpy": "2.4.6"},
            "split": {"train": 300, "validation": 40, "test": 16},
        },
        media=media,
    )
    manifest = dataclasses.replace(manifest, **changes)
    write_records(directory / "records.jsonl", records)
    write_manifest(directory / "manifest.json", manifest)
    return manifest
