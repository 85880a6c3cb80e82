"""What can go wrong, and its exit code: 2 usage, 3 failed cells, 4 storage, 75/130/143 interrupted."""

from __future__ import annotations

import errno
import signal

from models.errors import NO_SPACE, StageError, StorageError, UserError

INTERRUPTED = {signal.SIGINT: 130, signal.SIGTERM: 143, signal.SIGUSR1: 75}
"""Exit code by signal. SIGUSR1 is what clusters send before they take a machine away."""

STORAGE_ERRNOS = NO_SPACE | frozenset(
    {errno.EIO, errno.EROFS, errno.EACCES, errno.EPERM, errno.EMFILE, errno.EFBIG}
)


class ConfigError(UserError):
    """A command line or configuration that cannot be run."""


class UnusableInput(StageError):
    """A stage that another one reads is damaged or gone: it has to be computed again."""

    def __init__(self, folder: str, reason: str) -> None:
        super().__init__(f"{folder} {reason}")
        self.folder = folder


class Interrupted(BaseException):
    """A signal asked for an end; whatever can be resumed has been saved.

    A BaseException, so that a method's own `except Exception` cannot swallow it.
    """

    def __init__(self, signum: int) -> None:
        super().__init__(signal.Signals(signum).name)
        self.signum = signum


def is_storage_fault(error: BaseException) -> bool:
    """Whether an error, or what caused it, is the disk's and not the stage's."""
    seen: set[int] = set()
    link: BaseException | None = error
    while link is not None and id(link) not in seen:
        seen.add(id(link))
        if isinstance(link, StorageError) or (isinstance(link, OSError) and link.errno in STORAGE_ERRNOS):
            return True
        link = link.__cause__ or link.__context__
    return False


def one_line(error: BaseException) -> str:
    """Type and message in one line of at most 300 characters."""
    text = " ".join(str(error).split())
    name = type(error).__name__
    line = text if isinstance(error, UserError) and text else f"{name}: {text}" if text else name
    return line if len(line) <= 300 else line[:297] + "..."
