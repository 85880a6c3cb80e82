"""Locks between processes whose holder can be named by those who wait.

A lock is an `flock` on a file: the kernel frees it as soon as its holder ends, however it ends. The holder
writes into the file who it is; that text is believed only while the process that it names is alive.
"""

from __future__ import annotations

import errno
import fcntl
import json
import os
import re
import socket
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path

POLL_SECONDS = 0.1
ANNOUNCE_SECONDS = 0.4
"""Until a process that waits says so: shorter waits are not worth a line."""
REPEAT_SECONDS = 60.0
CHANGE_SECONDS = 2.0
"""Between two messages of one wait at least, if many processes hold the lock one after the other."""
LOCK = ".folder.lock"
"""Name of a folder's own lock file."""


@dataclass(frozen=True)
class Holder:
    """The process that holds a lock."""

    pid: int
    host: str
    command: str
    since: float
    """Seconds since the epoch at which the lock was taken."""
    born: str
    """When the process began, as the system says: tells it apart from a later one with the same pid."""

    @staticmethod
    def this_process() -> Holder:
        pid = os.getpid()
        return Holder(pid, socket.gethostname(), command_line(), time.time(), _born(pid))

    def alive(self) -> bool:
        """Whether the process still runs; those of other hosts are taken to."""
        return self.host != socket.gethostname() or (bool(self.born) and _born(self.pid) == self.born)

    def __str__(self) -> str:
        at = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(self.since))
        return f"process {self.pid} on {self.host} ({self.command}) since {at}"


def command_line() -> str:
    """Return the command of this process, without passwords in addresses and shortened."""
    program, *arguments = sys.argv or ["python"]
    short = "/".join(Path(program).parts[-2:]) if program else "python"
    text = re.sub(r"(\w+://)[^\s/@]*@", r"\1***@", " ".join([short, *arguments]))
    text = "".join(c if c.isprintable() else "?" for c in text)
    return text if len(text) <= 200 else text[:197] + "..."


def _born(pid: int) -> str:
    """Return what tells a process apart from another one of its pid; empty for a process that has ended."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except FileNotFoundError:
        if Path("/proc/self/stat").exists():
            return ""
        return _signalled(pid)
    except OSError:
        return ""
    state, *fields = text.rpartition(")")[2].split()
    return "" if state in "ZX" else fields[18]


def _signalled(pid: int) -> str:
    """Do as `_born` on systems without /proc, which cannot tell two processes of one pid apart."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return ""
    except PermissionError:
        pass
    return "alive"


def holder_of(path: Path) -> Holder | None:
    """Return the living process that wrote its name into a lock file, if there is one."""
    try:
        holder = Holder(**json.loads(path.read_bytes()))
        return holder if holder.alive() else None
    except (OSError, ValueError, TypeError):
        return None


@contextmanager
def locked(
    path: Path,
    what: str,
    *,
    say: Callable[[str], None],
    wait: Callable[[], None] = lambda: None,
    remove: bool = False,
    make_folder: bool = False,
) -> Iterator[None]:
    """Hold a lock.

    Args:
        path: the lock file; its folder must exist, unless `make_folder`.
        what: what is waited for, as the message names it.
        say: is told who holds the lock: within a second, once a minute, and when the holder changes.
        wait: called ten times a second while another process holds the lock; may raise to give up.
        remove: delete the file at the end, and its folder if it was made here and is empty.

    Raises:
        OSError: the file cannot be opened. On a file system that is mounted read-only nothing is locked:
            nobody can change anything there.
    """
    descriptor, made = _acquire(path, what, say, wait, make_folder)
    if descriptor is None:
        yield
        return
    before = os.fstat(descriptor)
    try:
        _write(descriptor, json.dumps(asdict(Holder.this_process())))
        yield
    finally:
        if remove:
            # Whoever waits for the deleted file finds out in `_acquire`, and takes the lock of a new one.
            path.unlink(missing_ok=True)
        _write(descriptor, "")
        # Who changes nothing but the lock leaves no time stamp.
        with suppress(OSError):
            os.utime(descriptor, ns=(before.st_atime_ns, before.st_mtime_ns))
        os.close(descriptor)
        if remove and made:
            with suppress(OSError):
                path.parent.rmdir()


def folder_lock(
    folder: Path,
    what: str,
    *,
    say: Callable[[str], None],
    wait: Callable[[], None] = lambda: None,
    remove: bool = False,
) -> AbstractContextManager[None]:
    """Hold a folder, which is made if it is missing, as `locked`."""
    return locked(folder / LOCK, what, say=say, wait=wait, remove=remove, make_folder=True)


def say_on_stderr(message: str) -> None:
    print(message, file=sys.stderr, flush=True)


def _acquire(
    path: Path, what: str, say: Callable[[str], None], wait: Callable[[], None], make_folder: bool
) -> tuple[int | None, bool]:
    """Return the locked file, if the file system takes one, and whether its folder was made."""
    announcement = _Announcement(path, what, say)
    made = False
    while True:
        # Not once before the loop: a holder that gives up may remove the folder that it has made.
        made = (make_folder and _make(path.parent)) or made
        try:
            descriptor = _open(path)
        except FileNotFoundError:
            if not make_folder:
                raise
            continue
        if descriptor is None:
            return None, made
        try:
            while not _take(descriptor):
                wait()
                announcement.update()
                time.sleep(POLL_SECONDS)
        except BaseException:
            os.close(descriptor)
            raise
        # The file may have been deleted meanwhile: a lock on it would exclude nobody.
        try:
            if os.path.samestat(os.fstat(descriptor), path.stat()):
                return descriptor, made
        except FileNotFoundError:
            pass
        os.close(descriptor)


def _make(folder: Path) -> bool:
    try:
        folder.mkdir(parents=True)
    except FileExistsError:
        # Raises where something else is in the place.
        folder.mkdir(exist_ok=True)
        return False
    return True


def _open(path: Path) -> int | None:
    try:
        return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
    except OSError as error:
        if error.errno == errno.EROFS:
            return None
        if error.errno not in (errno.EACCES, errno.EPERM) or not path.exists():
            raise
    # Another user's lock file: it can be locked, though not be written to.
    return os.open(path, os.O_RDONLY | os.O_CLOEXEC)


def _take(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _write(descriptor: int, text: str) -> None:
    """Replace the file's text. A full disk or another user's file costs the name, not the lock."""
    try:
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, text.encode(), 0)
    except OSError:
        return


class _Announcement:
    """Says whose lock is waited for."""

    def __init__(self, path: Path, what: str, say: Callable[[str], None]) -> None:
        self._path, self._what, self._say = path, what, say
        self._earliest = self._latest = time.monotonic() + ANNOUNCE_SECONDS
        self._holder: Holder | None = None

    def update(self) -> None:
        now = time.monotonic()
        if now < self._earliest:
            return
        holder = holder_of(self._path)
        if now < self._latest and (holder is None or holder == self._holder):
            return
        self._earliest, self._latest = now + CHANGE_SECONDS, now + REPEAT_SECONDS
        self._holder = holder
        whose = f"held by {holder}" if holder else "held by a process that has not written its name"
        self._say(f"waiting for {self._what}: {whose}")
