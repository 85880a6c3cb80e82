"""Decoding in a child process, so that no file can crash, hang or starve the program.

The child serves file after file. It is limited in memory, is killed when it stalls, and leaves nothing
behind: decoded arrays go into a file without a name that the parent opens and hands over.
"""

from __future__ import annotations

import atexit
import contextlib
import ctypes
import json
import os
import resource
import signal
import socket
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

import models
from models.errors import NO_SPACE, StorageError
from models.heartbeat import beat
from models.preprocess.audio import Sound, read_sound
from models.preprocess.container import open_container
from models.preprocess.media import DecodingFailure, MediaError
from models.preprocess.video import Outline, Video, read_outline, write_frames

MEMORY_BYTES = 3 * 2**30
"""Address space of the child; PyAV, NumPy and SoundFile map about 1 GB before they read anything."""
STALL_SECONDS = 30.0
"""Silence after which the child is taken for hung; it reports after every frame."""

PR_SET_PDEATHSIG = 1
"""Of Linux's prctl: the signal that a process gets when its parent ends."""

SERVE = "from models.preprocess.decoder import serve; serve()"


class Decoder:
    """A handle on the child. Not for use by two threads at once; a forked process starts its own child."""

    def __init__(self, *, memory_bytes: int = MEMORY_BYTES, stall_seconds: float = STALL_SECONDS) -> None:
        self._memory_bytes = memory_bytes
        self._stall_seconds, self._slice = stall_seconds, min(1.0, stall_seconds)
        self._child: subprocess.Popen[bytes] | None = None
        self._owner = -1
        self._socket: socket.socket | None = None

    def sound(self, path: Path) -> Sound:
        """The file's sound at 16 kHz.

        Raises:
            MediaError: naming the file.
        """
        with tempfile.TemporaryFile() as scratch:
            reply = self._ask("sound", path, scratch)
            scratch.seek(0)
            waveform = np.frombuffer(scratch.read(), np.float32)
        if len(waveform) != reply["samples"]:
            raise DecodingFailure(f"{path}: {reply['samples']} samples decoded, {len(waveform)} received")
        return Sound(waveform.copy(), reply["start"], tuple(reply["notes"]))

    def video(self, path: Path, scratch_folder: Path | None = None) -> tuple[Video, np.ndarray]:
        """The file's frames at 25 fps: what they are, and (frames, height, width, 3) uint8 mapped from disk.

        Raises:
            MediaError: naming the file.
            StorageError: the scratch folder is full.
        """
        with tempfile.TemporaryFile(dir=scratch_folder) as scratch:
            video = Video(**_with_notes(self._ask("video", path, scratch, scratch_folder)))
            shape = (video.frames, video.height, video.width, 3)
            return video, np.memmap(scratch, np.uint8, "r", shape=shape)

    def outline(self, path: Path) -> Outline:
        """What the video is: its frames at 25 fps, size and rate.

        Raises:
            MediaError: naming the file.
        """
        with tempfile.TemporaryFile() as scratch:
            return Outline(**_with_notes(self._ask("outline", path, scratch)))

    def has_sound(self, path: Path) -> bool:
        """Tell whether a container holds a sound track, readable or not; nothing is decoded.

        Raises:
            MediaError: naming the file, where it is no readable container.
        """
        with tempfile.TemporaryFile() as scratch:
            return self._ask("sound tracks", path, scratch)["count"] > 0

    def close(self) -> None:
        if self._child is not None and self._owner == os.getpid():
            self._child.kill()
            self._child.wait()
        if self._socket is not None:
            self._socket.close()
        self._child = self._socket = None

    def _ask(self, what: str, path: Path, scratch: BinaryIO, folder: Path | None = None) -> dict[str, Any]:
        try:
            if not path.is_file():
                raise DecodingFailure(f"{path}: no such file")
            if path.stat().st_size == 0:
                raise MediaError(f"{path}: the file is empty")
        except OSError as error:
            raise DecodingFailure(f"{path}: cannot be read: {error.strerror or error}") from error
        channel = self._running()
        try:
            message = json.dumps({"what": what, "path": str(path)}).encode() + b"\n"
            socket.send_fds(channel, [message], [scratch.fileno()])
            reply = self._reply(channel)
        except TimeoutError:
            self.close()
            raise DecodingFailure(f"{path}: decoding stalled for {self._stall_seconds:.0f} s") from None
        except (ConnectionError, EOFError):
            raise DecodingFailure(f"{path}: the decoder {self._obituary()} on this file") from None
        if reply["outcome"] == "storage":
            place = folder or tempfile.gettempdir()
            raise StorageError(
                f"no space left in {place} while decoding {path}: free some, or set TMPDIR to a folder on "
                "another disk"
            )
        if reply["outcome"] != "done":
            raise (DecodingFailure if reply["outcome"] == "failed" else MediaError)(reply["message"])
        return reply["value"]

    def _reply(self, channel: socket.socket) -> dict[str, Any]:
        """Return the next message that is not a sign of life. Each line that arrives renews the patience.

        Raises:
            TimeoutError: the child was silent for too long. Only seconds are counted in which this process
                ran itself: both may have been stopped meanwhile.
        """
        buffer, silent = b"", 0.0
        while True:
            try:
                data = channel.recv(65536)
            except TimeoutError:
                silent += self._slice
                if silent >= self._stall_seconds:
                    raise
                continue
            silent = 0.0
            beat()
            if not data:
                raise EOFError
            *lines, buffer = (buffer + data).split(b"\n")
            for line in lines:
                if line:
                    return json.loads(line)

    def _running(self) -> socket.socket:
        if self._child is not None and self._owner == os.getpid() and self._child.poll() is None:
            assert self._socket is not None
            return self._socket
        self.close()
        ours, theirs = socket.socketpair()
        with theirs:
            self._child = subprocess.Popen(
                [sys.executable, "-c", SERVE, str(theirs.fileno()), str(self._memory_bytes)],
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": _python_path()},
            )
        ours.settimeout(self._slice)
        self._socket, self._owner = ours, os.getpid()
        return ours

    def _obituary(self) -> str:
        assert self._child is not None
        code = self._child.wait()
        self.close()
        return f"crashed ({signal.Signals(-code).name})" if code < 0 else f"ended (exit code {code})"


_shared: dict[int, Decoder] = {}


def shared_decoder() -> Decoder:
    """This process's decoder; its child ends with the process."""
    if os.getpid() not in _shared:
        _shared.clear()
        _shared[os.getpid()] = Decoder()
        atexit.register(_shared[os.getpid()].close)
    return _shared[os.getpid()]


def _with_notes(reply: dict[str, Any]) -> dict[str, Any]:
    return {**reply, "notes": tuple(reply["notes"])}


def _python_path() -> str:
    root = str(Path(models.__file__).resolve().parents[1])
    return os.pathsep.join(filter(None, [root, os.environ.get("PYTHONPATH")]))


def serve() -> None:
    """The child: answer requests until the parent is gone."""
    descriptor, memory_bytes = int(sys.argv[1]), int(sys.argv[2])
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    _end_with_parent()
    resource.setrlimit(resource.RLIMIT_AS, (memory_bytes, memory_bytes))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    channel = socket.socket(fileno=descriptor)
    while True:
        data, descriptors, _, _ = socket.recv_fds(channel, 65536, 1)
        while data and not data.endswith(b"\n"):
            data += channel.recv(65536)
        if not data:
            return
        with os.fdopen(descriptors[0], "wb") as scratch:
            reply = _answer(json.loads(data), scratch, lambda: channel.sendall(b"\n"))
        channel.sendall(json.dumps(reply).encode() + b"\n")


def _end_with_parent() -> None:
    """Let the kernel end this process with its parent, which may be killed while a codec loops here."""
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def _answer(request: dict[str, Any], scratch: BinaryIO, progress: Any) -> dict[str, Any]:
    path = Path(request["path"])
    try:
        if request["what"] == "video":
            value: dict[str, Any] = vars(write_frames(path, scratch, progress))
        elif request["what"] == "outline":
            value = vars(read_outline(path, progress))
        elif request["what"] == "sound tracks":
            with open_container(path, "sound") as container:
                value = {"count": len(container.streams.audio)}
        else:
            sound = read_sound(path)
            scratch.write(sound.waveform.data)
            value = {"samples": len(sound.waveform), "start": sound.start, "notes": sound.notes}
        scratch.flush()
    except MediaError as error:
        return {"outcome": "failed" if _may_pass(error, path) else "refused", "message": str(error)}
    except MemoryError:
        return {"outcome": "failed", "message": f"{path}: decoding needs more memory than allowed"}
    except OSError as error:
        if error.errno in NO_SPACE:
            return {"outcome": "storage"}
        return {"outcome": "failed", "message": f"{path}: cannot be read: {error.strerror or error}"}
    except ImportError:
        # Too little memory for a library: this child is of no use any more.
        raise
    except Exception as error:
        # Libraries fail in many ways on damaged files; the next file deserves the same child.
        kind, text = type(error).__name__, " ".join(str(error).split())
        return {"outcome": "refused", "message": f"{path}: cannot be decoded: {kind}: {text}"}
    return {"outcome": "done", "value": value}


def _may_pass(error: MediaError, path: Path) -> bool:
    """Return whether the machine may have failed rather than the file.

    FFmpeg tells a disk's errors by their number. Other readers take what a disk does not deliver for the end
    of the file, so a refused file is read once more from end to end.
    """
    if isinstance(error.__cause__, OSError | MemoryError):
        return True
    try:
        with path.open("rb") as file:
            while file.read(1 << 20):
                pass
    except OSError:
        return True
    return False
