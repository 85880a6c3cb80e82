"""Sound files and the sound of videos, as 16 kHz mono float32. Runs in the decoder's child process.

Channels are averaged. One resampler is used everywhere: soxr at its "HQ" setting.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from pathlib import Path

import av
import numpy as np
import soundfile
import soxr
from av.container import InputContainer
from av.error import FFmpegError

from models.audio.framing import SAMPLE_RATE
from models.preprocess.media import MAX_SECONDS, MediaError, seconds

RESAMPLER = "soxr HQ, channels averaged"
SOUNDFILE_SUFFIXES = (".wav", ".flac", ".ogg", ".aif", ".aiff")
UNKNOWN_SIZE = 0xFFFFFFFF
TOLERANCE = 0.1
"""Seconds by which a container may announce more sound than it holds; codecs pad by less."""


@dataclass(frozen=True)
class Sound:
    waveform: np.ndarray
    """(samples,) float32, 16 kHz."""
    start: float
    """Seconds: when the first sample is heard on the container's clock."""


def read_sound(path: Path) -> Sound:
    """The file's sound.

    Raises:
        MediaError: the file is unreadable, truncated, empty, too long or has no sound.
    """
    if path.suffix.lower() in SOUNDFILE_SUFFIXES:
        samples, rate, start = _with_soundfile(path)
    else:
        samples, rate, start = _with_av(path)
    if samples.size == 0:
        raise MediaError(f"{path}: the sound is 0 s long")
    if not np.isfinite(samples).all():
        raise MediaError(f"{path}: the sound has samples that are not finite numbers")
    mono = samples.mean(1, dtype=np.float32)
    if rate != SAMPLE_RATE:
        mono = soxr.resample(mono, rate, SAMPLE_RATE, quality="HQ")
    if mono.size == 0:
        raise MediaError(f"{path}: {samples.shape[0]} samples at {rate} Hz are too short to use")
    return Sound(np.clip(mono, -1, 1).astype(np.float32), start)


def _with_soundfile(path: Path) -> tuple[np.ndarray, int, float]:
    """Samples (n, channels) float32, their rate, and the start, 0."""
    if path.suffix.lower() == ".wav":
        _refuse_cut_riff(path)
    try:
        with soundfile.SoundFile(path) as file:
            announced, rate = file.frames, file.samplerate
            _refuse_long(path, announced / max(rate, 1))
            samples = file.read(dtype="float32", always_2d=True)
    except soundfile.LibsndfileError as error:
        raise MediaError(f"{path}: cannot be read as sound: {error.error_string}") from error
    if len(samples) < announced:
        raise MediaError(f"{path}: truncated: {announced} samples announced, {len(samples)} found")
    return samples, rate, 0.0


def _refuse_cut_riff(path: Path) -> None:
    """libsndfile silently shortens a WAV that ends early, so the header is compared with the file here."""
    size = path.stat().st_size
    if size == 0:
        raise MediaError(f"{path}: the file is empty")
    with path.open("rb") as file:
        if file.read(4) != b"RIFF":
            return
        file.seek(12)
        while len(head := file.read(8)) == 8:
            name, length = struct.unpack("<4sI", head)
            if name == b"data":
                found = size - file.tell()
                if found < length != UNKNOWN_SIZE:
                    raise MediaError(f"{path}: truncated: {length} bytes of sound announced, {found} found")
                return
            file.seek(length + length % 2, 1)


def _refuse_long(path: Path, length: float) -> None:
    if length > MAX_SECONDS:
        raise MediaError(f"{path}: {length:.0f} s of sound; at most {MAX_SECONDS:.0f} s are allowed: cut it")


def _with_av(path: Path) -> tuple[np.ndarray, int, float]:
    try:
        with av.open(str(path)) as container:
            if not container.streams.audio:
                raise MediaError(f"{path}: no audio stream: expected a recording with sound")
            return _decode(path, container)
    except FFmpegError as error:
        raise MediaError(f"{path}: the sound cannot be decoded: {error.strerror}") from error


def _decode(path: Path, container: InputContainer) -> tuple[np.ndarray, int, float]:
    stream = container.streams.audio[0]
    rate, channels = stream.codec_context.sample_rate, stream.codec_context.channels
    if not 1000 <= rate <= 768_000:
        raise MediaError(f"{path}: a sample rate of {rate} Hz")
    unify = av.AudioResampler(format="fltp", layout=stream.codec_context.layout, rate=rate)
    blocks: list[np.ndarray] = []
    count, start = 0, None
    for frame in container.decode(stream):
        if frame.sample_rate != rate or frame.layout.nb_channels != channels:
            raise MediaError(f"{path}: rate or channels of the sound change in mid-stream")
        if start is None:
            start = seconds(frame.pts, frame.time_base)
        blocks += [block.to_ndarray() for block in unify.resample(frame)]
        count += frame.samples
        _refuse_long(path, count / rate)
    blocks += [block.to_ndarray() for block in unify.resample(None)]
    announced = seconds(stream.duration, stream.time_base)
    if count / rate < announced - TOLERANCE:
        found = f"{announced:.2f} s of sound announced, {count / rate:.2f} s found"
        raise MediaError(f"{path}: truncated: {found}")
    samples = np.concatenate(blocks, 1).T if blocks else np.zeros((0, 1), np.float32)
    return samples, rate, start or 0.0
