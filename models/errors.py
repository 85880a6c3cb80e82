"""What a user can act on, and its exit code."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager

DONE, USAGE, FAILED, STORAGE = 0, 2, 3, 4

NO_SPACE = frozenset({errno.ENOSPC, errno.EDQUOT})


class UserError(Exception):
    """Something the user can act on: what was expected, what came, what to do."""

    exit_code = USAGE


class InputError(UserError):
    """A file or a request that cannot be used as asked."""


class StorageError(UserError):
    """Something could not be written or read; what was there before is as it was."""

    exit_code = STORAGE


class StageError(UserError):
    """A stage that breaks its contract."""

    exit_code = FAILED


class NonFiniteLoss(UserError):
    """A loss term, gradient or validation value that is NaN or infinite."""

    exit_code = FAILED


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
