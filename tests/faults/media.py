"""Rows 22, 23, 25 and 26: recordings that are damaged, gigantic, or not what a recording usually is."""

from __future__ import annotations

import struct
import time
import zipfile
from collections.abc import Callable, Iterable
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import soundfile

from models.errors import InputError
from models.preprocess.decoder import Decoder
from tests.faults.tally import Tally, check

HANG_SECONDS = 30.0
STALL_SECONDS = 8
"""What a decoder is given in the row that lets it hang; starting one takes seconds on a busy machine."""
MAX_GROWTH = 200
"""MB that this process may grow by while it refuses bombs."""


def fuzzed_videos(count: int, folder: Path) -> Tally:
    """Truncate, flip, splice and mislead the headers of videos in many containers, and decode them."""
    from tests.faults import media_fuzz

    return _fuzzed(media_fuzz.video_cases(count))


def fuzzed_sounds(count: int, folder: Path) -> Tally:
    """The same with sound files."""
    from tests.faults import media_fuzz

    return _fuzzed(media_fuzz.sound_cases(count))


def _fuzzed(cases: Iterable[Any]) -> Tally:
    from collections import Counter

    from tests.faults import media_fuzz

    tally = Tally()
    kinds: Counter[str] = Counter()
    slowest = 0.0
    for case in cases:
        started = time.monotonic()
        outcome = media_fuzz.judge(case)
        seconds = time.monotonic() - started
        slowest = max(slowest, seconds)
        kinds[outcome.kind] += 1
        fine = outcome.kind in ("refused", "right", "noted")
        suffix = Path(case.name).suffix
        tally.add(fine and seconds < HANG_SECONDS, f"{outcome.kind} {suffix}: {outcome.text[:80]}")
    listed = ", ".join(f"{number:,} {kind}" for kind, number in kinds.most_common())
    tally.notes.append(f"{listed}; the slowest took {slowest:.1f} s")
    return tally


def hanging_decoder(count: int, folder: Path) -> Tally:
    """Stop or kill the decoding process before a file: ended after its limit, and replaced."""
    import os
    import signal

    tally = Tally()
    path = _video(folder / "plain.mp4", frames=10)
    for number in range(count):
        decoder = Decoder(stall_seconds=STALL_SECONDS)
        with tally.case(("SIGSTOP", "SIGKILL")[number % 2]):
            decoder.video(path)
            child = decoder._child
            assert child is not None
            os.kill(child.pid, signal.SIGSTOP if number % 2 == 0 else signal.SIGKILL)
            if number % 2:
                child.wait()
            started = time.monotonic()
            if number % 2 == 0:
                _refused(lambda d=decoder: d.video(path), f"stalled for {STALL_SECONDS} s")
                check(time.monotonic() - started < HANG_SECONDS, "took too long")
            _is(_count(decoder, path), 10)
        decoder.close()
    return tally


# Bombs


def bombs(count: int, folder: Path) -> Tally:
    """Give recordings, weights and landmarks that claim or unpack to far more than they should be."""
    from models.importing.checkpoint import read_npy, read_tensors
    from models.importing.names import Entry
    from models.preprocess.faces import read_landmarks

    tally = Tally()
    decoder = Decoder()
    keys = {"layer.weight": Entry((3, 4), "w")}
    readers: dict[str, Callable[[Path], object]] = {
        "video": decoder.video,
        "sound": decoder.sound,
        "weights": lambda p: read_tensors(p, keys, {}),
        "array": lambda p: read_npy(p, ((4,),)),
        "landmarks": lambda p: read_landmarks(p, 25),
    }
    made = _bombs(folder)
    before = _resident()
    for name, kind, path in made[:count]:
        with tally.case(name):
            try:
                readers[kind](path)
            except InputError as error:
                check(path.name in str(error), f"does not name the file: {str(error)[:100]}")
            else:
                raise AssertionError("it was read")
            grown = (_resident() - before) // 2**20
            check(grown < MAX_GROWTH, f"memory grew by {grown} MB")
    decoder.close()
    tally.notes.append(f"memory grew by {max(0, (_resident() - before) // 2**20)} MB over all of them")
    return tally


def _resident() -> int:
    import os

    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def _bombs(folder: Path) -> list[tuple[str, str, Path]]:
    """Name, kind of reader and file of each."""
    made = []

    def add(name: str, kind: str, suffix: str, write: Callable[[Path], object]) -> None:
        path = folder / f"bomb-{len(made)}{suffix}"
        write(path)
        made.append((name, kind, path))

    for size in ((5000, 2400), (8192, 8192), (12000, 9000)):
        add(f"pictures of {size[0]} x {size[1]}", "video", ".mp4", lambda p, s=size: _picture(p, s))
    add("a PNG header of 16k x 16k", "video", ".png", lambda p: p.write_bytes(_png(16384, 16384)))
    for code, name in ((1, "PCM"), (3, "float"), (6, "A-law")):
        add(f"a WAV of 1 GB of zeros, {name}", "sound", ".wav", lambda p, c=code: _long_wav(p, 2**30, c))
    add("a WAV of 30 minutes", "sound", ".wav", lambda p: _long_wav(p, 16000 * 2 * 1800, 1))
    add(
        "a WAV header of 2 billion channels", "sound", ".wav", lambda p: _long_wav(p, 1000, 1, channels=65535)
    )
    add("a WAV rate of 4 GHz", "sound", ".wav", lambda p: _long_wav(p, 1000, 1, rate=2**32 - 1))
    add("weights compressed from 500 MB", "weights", ".pth", lambda p: _zip_bomb(p, "x/data/0"))
    add("weights of 1 TB of holes", "weights", ".pth", lambda p: _sparse(p, 10**12))
    add("weights of 100,000 members", "weights", ".pth", lambda p: _crowd(p, 100_000))
    header = "{'descr': '<f8', 'fortran_order': False, 'shape': (1000000000000,), }"
    add("an array of 8 TB by its header", "array", ".npy", lambda p: _npy(p, header))
    add("landmarks of 8 TB by their header", "landmarks", ".npy", lambda p: _npy(p, header))
    deep = "{'descr': '<f4', 'fortran_order': False, 'shape': (25, 68, 2, 1000000000), }"
    add("landmarks of four dimensions", "landmarks", ".npy", lambda p: _npy(p, deep))
    nested = "{'descr': " + "[" * 3000 + "]" * 3000 + ", 'fortran_order': False, 'shape': (1,), }"
    add("landmarks with a nested header", "landmarks", ".npy", lambda p: _npy(p, nested, version=2))
    add("landmarks of 300 MB of digits", "landmarks", ".txt", lambda p: _sparse(p, 3 * 10**8))
    add("landmarks compressed from 500 MB", "landmarks", ".npz", lambda p: _zip_bomb(p, "landmarks.npy"))
    add("a video of one byte 1 GB long", "video", ".mp4", lambda p: _sparse(p, 2**30))
    return made


def _picture(path: Path, size: tuple[int, int]) -> None:
    width, height = size
    with av.open(str(path), "w") as container:
        stream: Any = container.add_stream("mjpeg" if max(size) > 8000 else "libx264", rate=25)
        stream.width, stream.height = width, height
        stream.pix_fmt = "yuvj420p" if max(size) > 8000 else "yuv420p"
        frame = av.VideoFrame(width, height, stream.pix_fmt)
        for plane in frame.planes:
            plane.update(bytes(plane.buffer_size))
        container.mux(stream.encode(frame))
        container.mux(stream.encode())


def _png(width: int, height: int) -> bytes:
    import zlib

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")
    )


def _long_wav(path: Path, size: int, code: int, *, channels: int = 1, rate: int = 16000) -> None:
    bits = {1: 16, 3: 32, 6: 8}[code]
    block = channels * bits // 8
    form = struct.pack(
        "<IHHIIHH", 16, code, channels, rate, min(rate * block, 2**32 - 1), block % 65536, bits
    )
    with path.open("wb") as stream:
        stream.write(
            b"RIFF" + struct.pack("<I", size + 36) + b"WAVEfmt " + form + b"data" + struct.pack("<I", size)
        )
        stream.truncate(size + 44)


def _zip_bomb(path: Path, name: str) -> None:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("x/data.pkl", b"\x80\x02}.")
        with archive.open(name, "w", force_zip64=True) as member:
            for _ in range(500):
                member.write(bytes(2**20))


def _sparse(path: Path, size: int) -> None:
    with path.open("wb") as stream:
        stream.truncate(size)


def _crowd(path: Path, members: int) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        for number in range(members):
            archive.writestr(f"x/{number}", b"")


def _npy(path: Path, header: str, version: int = 1) -> None:
    text = header.encode() + b"\n"
    size = struct.pack("<H" if version == 1 else "<I", len(text))
    path.write_bytes(b"\x93NUMPY" + bytes([version, 0]) + size + text)


# Unusual recordings


def unusual_recordings(count: int, folder: Path) -> Tally:
    """Decode recordings of every unusual kind: each has one documented outcome."""
    tally = Tally()
    decoder = Decoder()
    for name, case in list(_unusual().items())[:count]:
        place = folder / f"case-{tally.tried}"
        place.mkdir()
        with tally.case(name):
            case(decoder, place)
    decoder.close()
    return tally


def _video(path: Path, **options: Any) -> Path:
    from importlib import util

    source = Path(__file__).parents[1] / "unit/models/preprocess/media_files.py"
    spec = util.spec_from_file_location("media_files", source)
    assert spec is not None
    assert spec.loader is not None
    module = util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.write_video(path, **options)


def _count(decoder: Decoder, path: Path) -> int:
    return len(decoder.video(path)[1])


def _refused(ask: Callable[[], object], words: str) -> None:
    try:
        ask()
    except InputError as error:
        check(words in str(error), f"refused, but: {str(error)[:120]}")
    else:
        raise AssertionError("it was accepted")


def _is(found: object, wanted: object) -> None:
    check(found == wanted, f"expected {wanted}, got {found}")


def _tone(seconds: float, rate: int = 16000) -> np.ndarray:
    return 0.5 * np.sin(2 * np.pi * 300 * np.arange(round(seconds * rate)) / rate)


def _unusual() -> dict[str, Callable[[Decoder, Path], None]]:
    ntsc = Fraction(30000, 1001)
    cases: dict[str, Callable[[Decoder, Path], None]] = {}
    for rate, frames, at_25 in (
        (25, 40, 40),
        (50, 50, 25),
        (30, 45, 38),
        (ntsc, 45, 38),
        (10, 12, 30),
        (24, 48, 50),
    ):
        cases[f"{float(rate):.2f} fps become 25"] = lambda d, p, r=rate, n=frames, m=at_25: check(
            abs(_count(d, _video(p / "v.mp4", frames=n, rate=r, sound=False)) - m) <= 1, "another length"
        )
    for size in ((97, 63), (33, 65), (2, 2)):
        cases[f"a picture of {size[0]} x {size[1]}"] = lambda d, p, s=size: _is(
            d.video(_video(p / "v.mp4", frames=3, size=s, sound=False))[1].shape, (3, s[1], s[0], 3)
        )
    cases |= {
        "one frame": lambda d, p: _is(_count(d, _video(p / "v.mp4", frames=1, sound=False)), 1),
        "no frame": lambda d, p: _refused(lambda: d.video(_empty_video(p / "v.mp4")), "v.mp4"),
        "a variable rate": lambda d, p: _is(
            _count(d, _video(p / "v.mkv", frames=5, times=[0, 0.04, 0.2, 0.24, 0.28], sound=False)), 8
        ),
        "a hole of two seconds": lambda d, p: _refused(
            lambda: d.video(_video(p / "v.mkv", frames=4, times=[0, 0.04, 2.0, 2.04], sound=False)),
            "the clock",
        ),
        "ten bits a colour": lambda d, p: _is(_count(d, _encoded(p / "v.mp4", "yuv420p10le")), 10),
        "grey": lambda d, p: _is(_count(d, _encoded(p / "v.mp4", "gray")), 10),
        "sound longer than the picture": lambda d, p: _is(_count(d, _video(p / "v.mp4", frames=25)), 25),
        "no sound": lambda d, p: _refused(
            lambda: d.sound(_video(p / "v.mp4", frames=3, sound=False)), "no audio stream"
        ),
        "no picture": lambda d, p: _refused(lambda: d.video(_wav(p / "a.wav", _tone(1))), "no video stream"),
        "no samples": lambda d, p: _refused(lambda: d.sound(_wav(p / "a.wav", np.zeros(0))), "0 s long"),
        "samples that are NaN": lambda d, p: _refused(
            lambda: d.sound(_wav(p / "a.wav", np.full(100, np.nan), "FLOAT")), "not finite"
        ),
        "96 kHz": lambda d, p: _is(
            len(d.sound(_wav(p / "a.wav", _tone(1, 96000), rate=96000)).waveform), 16000
        ),
        "eight channels": lambda d, p: _is(
            len(d.sound(_wav(p / "a.wav", np.stack([_tone(1)] * 8, 1))).waveform), 16000
        ),
        "24 bits": lambda d, p: _is(len(d.sound(_wav(p / "a.wav", _tone(1), "PCM_24")).waveform), 16000),
        "a half video": lambda d, p: _refused(
            lambda: d.video(_cut(_video(p / "v.mp4", frames=40))), "cut.mp4"
        ),
        "a half sound": lambda d, p: _refused(
            lambda: d.sound(_cut(_wav(p / "a.wav", _tone(1)))), "truncated"
        ),
    }
    return cases


def _wav(path: Path, samples: np.ndarray, subtype: str = "PCM_16", rate: int = 16000) -> Path:
    soundfile.write(path, samples, rate, subtype=subtype)
    return path


def _cut(path: Path) -> Path:
    data = path.read_bytes()
    cut = path.with_name(f"cut{path.suffix}")
    cut.write_bytes(data[: int(len(data) * 0.6)])
    return cut


def _encoded(path: Path, pixels: str) -> Path:
    with av.open(str(path), "w") as container:
        stream: Any = container.add_stream("libx264", rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 48, pixels
        for level in range(10):
            frame = av.VideoFrame.from_ndarray(np.full((48, 64, 3), 20 * level, np.uint8), format="rgb24")
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


def _empty_video(path: Path) -> Path:
    with av.open(str(path), "w") as container:
        stream: Any = container.add_stream("libx264", rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        container.mux(stream.encode())
    return path
