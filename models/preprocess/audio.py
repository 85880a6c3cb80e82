"""Sound files and the sound of videos, as 16 kHz mono float32. Runs in the decoder's child process.

Samples stand where the container's clock puts them. Channels are averaged. One resampler is used everywhere:
soxr at its "HQ" setting.
"""

from __future__ import annotations

import io
from dataclasses import dataclass
from pathlib import Path

import av
import numpy as np
import soundfile
import soxr
from av.container import InputContainer

from models.audio.framing import SAMPLE_RATE
from models.preprocess.container import open_container, sound_track
from models.preprocess.layout.reading import Layout
from models.preprocess.lengths import UNCHECKED_SOUND, checked_layout, container_kind, sound_file_kind
from models.preprocess.media import MAX_SECONDS, MediaError, seconds

SOUNDFILE_SUFFIXES = (".wav", ".flac", ".ogg", ".aif", ".aiff")
TOLERANCE = 0.1
"""Seconds by which a container may announce more sound than it holds; codecs pad by less."""
USUAL_RATES = frozenset(
    {
        *(8000, 10000, 11025, 12000, 12500, 16000, 20000, 22050, 24000, 25000, 32000),
        *(44100, 48000, 50000, 64000, 88200, 96000, 176400, 192000),
    }
)
"""Sample rates in Hz of recorders and corpora; AIFF states its rate once, so damage to it shows only here."""
CLOCK_TOLERANCE = 0.01
"""Seconds by which a block's time may differ from the end of the one before; clocks are rounded and drift."""
MAX_PADDING = 4096
"""Samples with which codecs fill up their last block, at most."""
MP3_PACKET = 1152
"""Samples of a packet of MP3, at most."""
MAX_OVERLAP = 0.5
"""Seconds by which sound may be given twice; more is a clock that starts again."""


@dataclass(frozen=True)
class Sound:
    waveform: np.ndarray
    """(samples,) float32, 16 kHz."""
    start: float
    """Seconds: when the first sample is heard on the container's clock."""
    notes: tuple[str, ...] = ()
    """What was done to the samples beyond decoding, and what the file cannot tell."""


def read_sound(path: Path) -> Sound:
    """The file's sound.

    Raises:
        MediaError: the file is unreadable, truncated, empty, too long or has no sound.
    """
    kind = sound_file_kind(path)
    if path.suffix.lower() in SOUNDFILE_SUFFIXES and kind != "flac":
        layout = Layout([UNCHECKED_SOUND]) if kind is None else checked_layout(path, kind)
        samples, rate, start, notes = _with_soundfile(path, layout)
    else:
        samples, rate, start, notes = _with_av(path)
    if samples.size == 0:
        raise MediaError(f"{path}: the sound is 0 s long")
    if not np.isfinite(samples).all():
        raise MediaError(f"{path}: the sound has samples that are not finite numbers")
    if rate not in USUAL_RATES:
        notes.append(f"its sample rate of {rate} Hz is unusual: if its header is damaged, so is its length")
    mono = samples.mean(1, dtype=np.float32)
    if rate != SAMPLE_RATE:
        mono = soxr.resample(mono, rate, SAMPLE_RATE, quality="HQ")
    if mono.size == 0:
        raise MediaError(f"{path}: {samples.shape[0]} samples at {rate} Hz are too short to use")
    return Sound(np.clip(mono, -1, 1).astype(np.float32), start, tuple(notes))


def _with_soundfile(path: Path, layout: Layout) -> tuple[np.ndarray, int, float, list[str]]:
    """Samples (n, channels) float32, their rate, the start, 0, and notes."""
    source: Path | io.BytesIO = path
    if layout.patches:
        content = bytearray(path.read_bytes())
        for place, field in layout.patches:
            content[place : place + len(field)] = field
        source = io.BytesIO(content)
    try:
        with soundfile.SoundFile(source) as file:
            announced, rate = file.frames, file.samplerate
            # Of MP3 the number is libsndfile's estimate, from the size of its first packet.
            spare = 2 * MP3_PACKET + announced // 100 if file.subtype.startswith("MPEG_LAYER") else 0
            _refuse_long(path, announced / max(rate, 1))
            samples = file.read(dtype="float32", always_2d=True)
    except soundfile.LibsndfileError as error:
        raise MediaError(f"{path}: cannot be read as sound: {error.error_string}") from error
    if len(samples) < announced - spare:
        raise MediaError(f"{path}: truncated: {announced} samples announced, {len(samples)} found")
    return samples, rate, 0.0, layout.notes


def _refuse_long(path: Path, length: float) -> None:
    if length > MAX_SECONDS:
        raise MediaError(f"{path}: {length:.0f} s of sound; at most {MAX_SECONDS:.0f} s are allowed: cut it")


def _with_av(path: Path) -> tuple[np.ndarray, int, float, list[str]]:
    with open_container(path, "sound") as container:
        stream, notes = sound_track(path, container)
        layout = checked_layout(path, container_kind(container))
        announced = layout.samples
        samples, rate, start, decoding_notes = _decode(path, container, stream, layout)
        if announced and len(samples) != announced:
            raise MediaError(f"{path}: damaged: {announced} samples announced, {len(samples)} found")
        notes += [*layout.notes, *decoding_notes]
        return samples, rate, start, notes


def _decode(
    path: Path, container: InputContainer, stream: av.AudioStream, layout: Layout
) -> tuple[np.ndarray, int, float, list[str]]:
    """Samples (n, channels) float32 on the track's own clock, their rate, the start in seconds, and notes."""
    rate, channels = stream.codec_context.sample_rate, stream.codec_context.channels
    if not 1000 <= rate <= 768_000:
        raise MediaError(f"{path}: a sample rate of {rate} Hz")
    unify = av.AudioResampler(format="fltp", layout=stream.codec_context.layout, rate=rate)
    placed = Placed(path, rate, channels)
    if stream.codec_context.name == "flac":
        # Its frames carry checksums; other codecs take harmless oddities for errors.
        stream.codec_context.options = {"err_detect": "crccheck+explode"}
    for packet in container.demux(stream):
        if packet.is_corrupt:
            raise MediaError(f"{path}: a packet of the sound at {placed.end:.2f} s is damaged or incomplete")
        if packet.size == 0 and packet.dts is not None:
            continue
        for frame in packet.decode():
            if frame.sample_rate != rate or frame.layout.nb_channels != channels:
                raise MediaError(f"{path}: rate or channels of the sound change in mid-stream")
            time = None if frame.pts is None else seconds(frame.pts, frame.time_base)
            for block in unify.resample(frame):
                placed.add(block.to_ndarray(), time)
    announced = 0.0 if layout.is_open else seconds(stream.duration, stream.time_base)
    if placed.length < announced - TOLERANCE:
        raise MediaError(
            f"{path}: truncated: {announced:.2f} s of sound announced, {placed.length:.2f} s found"
        )
    samples = placed.samples()
    if container_kind(container) == "mov" and announced:
        # The last packet is filled up to the codec's block; the track's length says how much of it is sound.
        length = round(announced * rate)
        samples = samples[: length if 0 < len(samples) - length < MAX_PADDING else None]
    return samples, rate, placed.start or 0.0, placed.notes()


class Placed:
    """Puts blocks of samples where the container's clock says: holes become silence, overlaps are cut."""

    def __init__(self, path: Path, rate: int, channels: int) -> None:
        self.start: float | None = None
        """Seconds: when the first sample is heard on the container's clock."""
        self._path = path
        self._rate = rate
        self._channels = channels
        self._blocks: list[np.ndarray] = []
        self._count = 0
        self._silent = self._cut = 0

    @property
    def length(self) -> float:
        """Seconds from the first sample to the last."""
        return self._count / self._rate

    @property
    def end(self) -> float:
        return (self.start or 0.0) + self.length

    def add(self, block: np.ndarray, time: float | None) -> None:
        """Append a block (channels, n) that is heard at `time` seconds; None: after the one before.

        Raises:
            MediaError: the clock goes back, or the sound becomes too long.
        """
        if self.start is None:
            self.start = time or 0.0
        offset = 0.0 if time is None else time - self.end
        if abs(offset) > CLOCK_TOLERANCE:
            if offset < -MAX_OVERLAP:
                raise MediaError(
                    f"{self._path}: the clock of the sound goes back from {self.end:.2f} s to {time:.2f} s"
                )
            block = self._moved(block, round(offset * self._rate))
        self._append(block)

    def _moved(self, block: np.ndarray, samples: int) -> np.ndarray:
        if samples < 0:
            self._cut += min(-samples, block.shape[1])
            return block[:, -samples:]
        _refuse_long(self._path, self.length + samples / self._rate)
        self._silent += samples
        self._append(np.zeros((self._channels, samples), np.float32))
        return block

    def _append(self, block: np.ndarray) -> None:
        self._blocks.append(block)
        self._count += block.shape[1]
        _refuse_long(self._path, self.length)

    def samples(self) -> np.ndarray:
        """(n, channels) float32."""
        if not self._blocks:
            return np.zeros((0, self._channels), np.float32)
        return np.concatenate(self._blocks, 1).T

    def notes(self) -> list[str]:
        notes = []
        if self._silent:
            notes.append(f"{self._silent / self._rate:.3f} s of its sound are missing and left silent")
        if self._cut:
            notes.append(f"{self._cut / self._rate:.3f} s of its sound overlap and are heard once")
        return notes
