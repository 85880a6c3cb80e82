"""What a user can act on, and its exit code."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

DONE, USAGE, FAILED, STORAGE = 0, 2, 3, 4

NO_SPACE = frozenset({errno.ENOSPC, errno.EDQUOT})
STORAGE_ERRNOS = NO_SPACE | frozenset(
    {errno.EIO, errno.EROFS, errno.EACCES, errno.EPERM, errno.EMFILE, errno.EFBIG}
)
PLACE_ERRNOS = frozenset({errno.ENAMETOOLONG, errno.ELOOP, errno.ENOTDIR, errno.EISDIR})
"""No file or folder can have such a name there, whatever the disk's state."""
LONGEST_LINE = 300
"""Characters of a reason in a table or a manifest."""


class UserError(Exception):
    """Something the user can act on: what was expected, what came, what to do."""

    exit_code = USAGE
    problems: tuple[str, ...] = ()
    """Several things that are wrong at once, each shown on a line of its own below the message."""


class InputError(UserError):
    """A file or a request that cannot be used as asked."""


class ConfigError(UserError):
    """A command line or configuration that cannot be run."""


class StorageError(UserError):
    """Something could not be written or read; what was there before is as it was."""

    exit_code = STORAGE


class DamagedFile(StorageError):
    """A file of ours that is missing or is not what was written."""

    def __init__(self, path: Path, reason: str) -> None:
        super().__init__(f"{path} {reason}; run the same command again to make it again")
        self.path, self.reason = path, reason

    def __reduce__(self) -> tuple[type[DamagedFile], tuple[Path, str]]:
        return DamagedFile, (self.path, self.reason)


class StageError(UserError):
    """A stage that breaks its contract."""

    exit_code = FAILED


class NonFiniteLoss(UserError):
    """A loss term, gradient or validation value that is NaN or infinite."""

    exit_code = FAILED


def names_no_place(error: BaseException) -> bool:
    """Return whether an error says that a path cannot be that of a file or folder."""
    return isinstance(error, OSError) and error.errno in PLACE_ERRNOS and error.filename is not None


def place_error(error: OSError) -> InputError:
    """Return the clear form of an error that `names_no_place`."""
    # The reason first: the path may be so long that the line's end is cut off.
    return InputError(f"{error.strerror}: {os.fsdecode(error.filename)}")


def storage_error(error: OSError, doing: str) -> UserError:
    """Return the clear form of an OSError met while `doing` something."""
    if names_no_place(error):
        return place_error(error)
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
        InputError: instead of one about a path that cannot be used.
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


def escaped(text: str) -> str:
    """Return a text with escapes for the characters that have no glyph.

    They steer terminals, text direction, readers of CSV and font engines.
    """
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)


def printable(text: str) -> str:
    """Return a text on one line, `escaped`."""
    return escaped(" ".join(text.split()))


def first_line(error: BaseException) -> str:
    """Return the first line of an error's message, or its type where it has none."""
    return str(error).split("\n")[0].strip() or type(error).__name__


def one_line(error: BaseException, longest: int = LONGEST_LINE) -> str:
    """Return type and message in one line of at most `longest` printable characters."""
    text = printable(str(error))
    name = type(error).__name__
    line = text if isinstance(error, UserError) and text else f"{name}: {text}" if text else name
    return line if len(line) <= longest else line[: longest - 3] + "..."
