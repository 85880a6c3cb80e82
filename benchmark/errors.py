"""What can go wrong, and its exit code: 2 usage, 3 failed cells, 4 storage, 75/130/143 interrupted."""

from __future__ import annotations

import errno
import signal
from collections.abc import Iterator
from contextlib import contextmanager

DONE, USAGE, FAILED_CELLS, STORAGE = 0, 2, 3, 4
INTERRUPTED = {signal.SIGINT: 130, signal.SIGTERM: 143, signal.SIGUSR1: 75}
"""Exit code by signal. SIGUSR1 is what clusters send before they take a machine away."""

NO_SPACE = frozenset({errno.ENOSPC, errno.EDQUOT})
STORAGE_ERRNOS = NO_SPACE | frozenset(
    {errno.EIO, errno.EROFS, errno.EACCES, errno.EPERM, errno.EMFILE, errno.EFBIG}
)


class BenchmarkError(Exception):
    """Something the user can act on: what was expected, what came, what to do."""

    exit_code = FAILED_CELLS


class ConfigError(BenchmarkError):
    """A command line or configuration that cannot be run."""

    exit_code = USAGE


class StorageError(BenchmarkError):
    """Something could not be written or read; what was there before is as it was."""

    exit_code = STORAGE


class StageError(BenchmarkError):
    """A stage that breaks its contract with the harness."""


class UnusableInput(StageError):
    """A stage that another one reads is damaged or gone: it has to be computed again."""

    def __init__(self, folder: str, reason: str) -> None:
        super().__init__(f"{folder} {reason}")
        self.folder = folder


class NonFiniteLoss(BenchmarkError):
    """A loss term, gradient or validation value that is NaN or infinite."""


class Interrupted(BaseException):
    """A signal asked for an end; whatever can be resumed has been saved.

    A BaseException, so that a method's own `except Exception` cannot swallow it.
    """

    def __init__(self, signum: int) -> None:
        super().__init__(signal.Signals(signum).name)
        self.signum = signum


def storage_error(error: OSError, doing: str) -> StorageError:
    """The clear form of an OSError met while `doing` something."""
    if error.errno in NO_SPACE:
        return StorageError(f"no space left while {doing}: free some and run the same command again")
    reason = error.strerror or str(error)
    return StorageError(
        f"storage fault while {doing}: {reason}; run the same command again once it is mended"
    )


@contextmanager
def storage_faults(doing: str) -> Iterator[None]:
    """Turn an OSError into its clear form.

    Raises:
        StorageError: instead of the OSError.
    """
    try:
        yield
    except OSError as error:
        raise storage_error(error, doing) from error


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
    line = text if isinstance(error, BenchmarkError) and text else f"{name}: {text}" if text else name
    return line if len(line) <= 300 else line[:297] + "..."
