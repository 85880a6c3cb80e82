"""Damaged recordings by the thousand, the same every time, and a judge of what the decoder makes of each.

A case is right when it is refused with a message that names the file, or gives what the undamaged file gives,
or gives something else and says in its notes why that may be. Run as a script for a table of outcomes:

    python tests/faults/media_fuzz.py video 600
"""

from __future__ import annotations

import io
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from functools import cache
from pathlib import Path
from typing import cast

import av
import numpy as np
import soundfile

from models.preprocess.decoder import Decoder
from models.preprocess.media import MediaError

FRAMES, WIDTH, HEIGHT = 50, 48, 32
RATE = 16000
SAMPLES = 20000
DAMAGES = ("truncate", "flip", "splice", "header")


@dataclass(frozen=True)
class Facts:
    """What the undamaged recording holds."""

    frames: int | None = None
    """At 25 fps; None for a sound file."""
    samples: int | None = None
    """At 16 kHz; None for a video."""


@dataclass(frozen=True)
class Case:
    name: str
    """A file name: number, damage, and the suffix of the format."""
    data: bytes
    facts: Facts


@dataclass(frozen=True)
class Outcome:
    kind: str
    """refused, right, noted (another length, and a note that it may be wrong), WRONG or CRASHED."""
    text: str
    """The message, the notes, or the count."""

    @property
    def fine(self) -> bool:
        return self.kind in ("refused", "right", "noted")


def video_cases(count: int, seed: int = 0) -> Iterator[Case]:
    """Yield damaged videos, all containers and damages in turn."""
    bases = video_bases()
    yield from _cases(count, seed, bases, lambda name: Facts(frames=_true_length(name, bases[name])))


def sound_cases(count: int, seed: int = 0) -> Iterator[Case]:
    """Yield damaged sound files, all formats and damages in turn."""
    bases = sound_bases()
    yield from _cases(count, seed, bases, lambda name: Facts(samples=_true_length(name, bases[name])))


class Judge:
    """Gives cases to one long-lived decoder."""

    def __init__(self) -> None:
        self._folder = tempfile.TemporaryDirectory()
        self._decoder = Decoder()

    def close(self) -> None:
        self._decoder.close()
        self._folder.cleanup()

    def __call__(self, case: Case) -> Outcome:
        path = Path(self._folder.name) / case.name
        path.write_bytes(case.data)
        try:
            return self._outcome(path, case.facts)
        except MediaError as error:
            named = str(error).startswith(str(path)) and "\n" not in str(error)
            crashed = "the decoder" in str(error) or "stalled" in str(error)
            kind = "refused" if named and not crashed else "CRASHED"
            return Outcome(kind, str(error).removeprefix(str(path)))
        except Exception as error:
            return Outcome("CRASHED", f"{type(error).__name__}: {error}")
        finally:
            path.unlink()

    def _outcome(self, path: Path, facts: Facts) -> Outcome:
        if facts.frames is not None:
            video, pictures = self._decoder.video(path)
            got, expected, notes = len(pictures), facts.frames, video.notes
        else:
            sound = self._decoder.sound(path)
            got, expected, notes = len(sound.waveform), facts.samples, sound.notes
        if got == expected:
            return Outcome("right", str(got))
        return Outcome("noted" if notes else "WRONG", f"{got} of {expected}: {'; '.join(notes)}")


def judge(case: Case) -> Outcome:
    """Judge a case by this process's own decoder."""
    return _shared_judge()(case)


@cache
def _shared_judge() -> Judge:
    return Judge()


@cache
def _true_length(name: str, data: bytes) -> int:
    """Frames or samples that the undamaged file gives."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / name
        path.write_bytes(data)
        decoder = Decoder()
        try:
            if name in video_bases():
                return len(decoder.video(path)[1])
            return len(decoder.sound(path).waveform)
        finally:
            decoder.close()


def _cases(count: int, seed: int, bases: dict[str, bytes], facts: Callable[[str], Facts]) -> Iterator[Case]:
    names = list(bases)
    for number in range(count):
        name = names[number % len(names)]
        damage = DAMAGES[number // len(names) % len(DAMAGES)]
        rng = np.random.default_rng([seed, number])
        data = _damaged(damage, bytearray(bases[name]), rng)
        yield Case(f"{number:05}-{damage}-{name}", data, facts(name))


def _damaged(damage: str, data: bytearray, rng: np.random.Generator) -> bytes:
    size = len(data)
    if damage == "truncate":
        # Half of the cuts are near the end, where they are hardest to notice.
        keep = rng.integers(1, size) if rng.random() < 0.5 else size - rng.integers(1, max(2, size // 10))
        return bytes(data[: int(keep)])
    if damage == "flip":
        _flip(data, rng.integers(0, size, rng.integers(1, 20)), rng)
    elif damage == "header":
        # Headers and tables lie at either end.
        places = rng.integers(0, min(size, 800), rng.integers(1, 4))
        _flip(data, places if rng.random() < 0.6 else size - 1 - places, rng)
    else:
        _splice(data, rng)
    return bytes(data)


def _flip(data: bytearray, places: np.ndarray, rng: np.random.Generator) -> None:
    for place in places:
        data[int(place)] ^= 1 << int(rng.integers(8))


def _splice(data: bytearray, rng: np.random.Generator) -> None:
    """Take out, double, or overwrite a part; some parts are whole packets or sectors."""
    size = len(data)
    unit = int(rng.choice([1, 1, 188, 2048]))
    length = min(int(rng.integers(1, max(2, size // 5 // unit + 1))) * unit, size // 2)
    start = int(rng.integers(0, max(1, (size - length) // unit))) * unit
    part = bytes(data[start : start + length])
    how = rng.integers(3)
    if how == 0:
        del data[start : start + length]
    elif how == 1:
        data[start:start] = part
    else:
        other = int(rng.integers(0, size - length))
        data[other : other + length] = part


@cache
def video_bases() -> dict[str, bytes]:
    """Return one small video of each kind, by a file name."""
    x264 = {"preset": "ultrafast", "g": "12"}
    fragments = {"movflags": "frag_keyframe+delay_moov"}
    return {
        "h264.mp4": _video("mp4", "libx264", "aac", {**x264, "bf": "0"}),
        "bframes.mp4": _video("mp4", "libx264", "aac", {**x264, "bf": "2"}),
        "fragments.mp4": _video("mp4", "libx264", "aac", x264, fragments),
        "mpeg4.mov": _video("mov", "mpeg4", "pcm_s16le"),
        "h264.mkv": _video("matroska", "libx264", "flac", {**x264, "bf": "2"}),
        "vp8.webm": _video("webm", "libvpx", "libopus", {"deadline": "realtime", "cpu-used": "8"}),
        "live.webm": _video("webm", "libvpx", "libopus", {"deadline": "realtime"}, {"live": "1"}),
        "mpeg4.avi": _video("avi", "mpeg4", "pcm_s16le"),
        "h264.avi": _video("avi", "libx264", "mp2", x264),
        "mpeg1.mpg": _video("mpeg", "mpeg1video", "mp2", {"bf": "2", "g": "12"}),
        "mpeg2.mpg": _video("vob", "mpeg2video", "mp2", {"g": "12"}),
        "h264.ts": _video("mpegts", "libx264", "aac", x264),
        "mpeg2.ts": _video("mpegts", "mpeg2video", "mp2", {"g": "12"}),
    }


@cache
def sound_bases() -> dict[str, bytes]:
    """Return one short sound of each kind, by a file name."""
    bases = {}
    for name, form, subtype in (
        ("pcm.wav", "WAV", "PCM_16"),
        ("float.wav", "WAV", "FLOAT"),
        ("wide.wav", "WAVEX", "PCM_24"),
        ("rf64.wav", "RF64", "PCM_16"),
        ("lossless.flac", "FLAC", "PCM_16"),
        ("vorbis.ogg", "OGG", "VORBIS"),
        ("pcm.aiff", "AIFF", "PCM_16"),
    ):
        file = io.BytesIO()
        soundfile.write(file, _speech(), RATE, subtype=subtype, format=form)
        bases[name] = file.getvalue()
    bases["aac.m4a"] = _sound("mp4", "aac")
    bases["mp3.mp3"] = _sound("mp3", "libmp3lame")
    bases["opus.opus"] = _sound("ogg", "libopus")
    return bases


def _speech() -> np.ndarray:
    """(samples,) float64 of noise under a slow envelope, so that no two parts are alike."""
    rng = np.random.default_rng(7)
    return 0.2 * rng.normal(size=SAMPLES) * np.sin(np.arange(SAMPLES) / 1500) ** 2


def _video(
    form: str,
    codec: str,
    sound: str,
    options: dict[str, str] | None = None,
    muxing: dict[str, str] | None = None,
) -> bytes:
    file = io.BytesIO()
    with av.open(file, "w", format=form, options={"fflags": "+bitexact", **(muxing or {})}) as container:
        video = cast("av.VideoStream", container.add_stream(codec, rate=25, options=options or {}))
        video.width, video.height, video.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        video.codec_context.thread_count = 1
        rate = 48000 if sound in ("mp2", "libopus") else RATE
        audio = cast("av.AudioStream", container.add_stream(sound, rate=rate, layout="mono"))
        moving = np.random.default_rng(3).integers(0, 255, (HEIGHT, WIDTH, 3)).astype(np.uint8)
        for index in range(FRAMES):
            picture = np.roll(moving // 2, index, 1)
            picture[:, : WIDTH // 2] = 5 * index
            frame = av.VideoFrame.from_ndarray(picture)
            frame.pts, frame.time_base = index, Fraction(1, 25)
            container.mux(video.encode(frame))
            if index % 5 == 0:
                container.mux(audio.encode(_block(audio, index / 25, 0.2)))
        container.mux(video.encode())
        container.mux(audio.encode())
    return file.getvalue()


def _sound(form: str, codec: str) -> bytes:
    file = io.BytesIO()
    with av.open(file, "w", format=form, options={"fflags": "+bitexact"}) as container:
        rate = 48000 if codec == "libopus" else RATE
        audio = cast("av.AudioStream", container.add_stream(codec, rate=rate, layout="mono"))
        container.mux(audio.encode(_block(audio, 0.0, SAMPLES / RATE)))
        container.mux(audio.encode())
    return file.getvalue()


def _block(audio: av.AudioStream, start: float, length: float) -> av.AudioFrame:
    rate = audio.codec_context.sample_rate
    samples = np.resize(_speech(), round(length * rate))
    block = av.AudioFrame.from_ndarray(np.round(samples[None] * 32767).astype(np.int16), "s16", "mono")
    block.sample_rate, block.pts, block.time_base = rate, round(start * rate), Fraction(1, rate)
    return block


def main() -> None:
    kind, count = sys.argv[1], int(sys.argv[2])
    seed = int(sys.argv[3]) if len(sys.argv) > 3 else 0
    outcomes: Counter[tuple[str, str, str]] = Counter()
    for case in (video_cases if kind == "video" else sound_cases)(count, seed):
        outcome = judge(case)
        _, damage, base = case.name.split("-")
        outcomes[base, damage, outcome.kind] += 1
        if not outcome.fine:
            print(outcome.kind, case.name, outcome.text)
    _shared_judge().close()
    kinds = sorted({each for _, _, each in outcomes})
    for base in [*dict.fromkeys(name for name, _, _ in outcomes), "all"]:
        counts: Counter[str] = Counter()
        for (name, _, each), number in outcomes.items():
            counts[each] += number if base in (name, "all") else 0
        print(f"{base:16}", "  ".join(f"{each} {counts[each]}" for each in kinds))


if __name__ == "__main__":
    main()
