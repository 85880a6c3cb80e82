"""What can go wrong, and its exit code: 2 usage, 3 failed cells, 4 storage, 75/130/143 interrupted."""

from __future__ import annotations

import signal

from models.errors import ConfigError, StageError, is_storage_fault, one_line

__all__ = ["ConfigError", "Interrupted", "UnusableInput", "is_storage_fault", "one_line"]

INTERRUPTED = {signal.SIGINT: 130, signal.SIGTERM: 143, signal.SIGUSR1: 75}
"""Exit code by signal. SIGUSR1 is what clusters send before they take a machine away."""


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


def is_out_of_memory(error: BaseException) -> bool:
    """Return whether memory was refused: Python and NumPy say MemoryError, torch a RuntimeError."""
    refused = "can't allocate memory" in str(error) or "out of memory" in str(error).lower()
    return isinstance(error, MemoryError) or (isinstance(error, RuntimeError) and refused)
