"""Row 15: the database of a sweep is locked by somebody else."""

from __future__ import annotations

import shutil
import sqlite3
import time
from pathlib import Path

from tests.faults import toys
from tests.faults.tally import Tally, check

LOCKED_SECONDS = 30.0
"""How long the database is locked; a third of it for the few of `.ci/run`."""


def locked_database(count: int, folder: Path) -> Tally:
    """Hold an exclusive lock on a sweep's SQLite file while the sweep goes on."""
    tally = Tally()
    seconds = LOCKED_SECONDS if count > 2 else LOCKED_SECONDS / 3
    for number in range(count):
        place = folder / f"case-{number}"
        with tally.case(f"locked for {seconds:.0f} s"):
            first = _sweep(place, 1)
            check(first.code == 0, f"the first trial ended with {first.code}: {first.last}")
            (database,) = (place / "results" / "sweeps").glob("*.db")
            started = time.monotonic()
            holder = toys.fork(place, lambda d=database, s=seconds: _hold(d, s))
            while not (place / "locked").exists():
                time.sleep(0.01)
            ended = _sweep(place, 3)
            check(ended.code == 0, f"ended with {ended.code}: {ended.last}")
            check(time.monotonic() - started >= seconds, "it did not wait")
            check("3 trials, 0 FAILED" in ended.stdout, ended.stdout[-200:])
            check(holder.wait().code == 0, "the lock was not held")
        shutil.rmtree(place, ignore_errors=True)
    return tally


def _hold(database: Path, seconds: float) -> int:
    connection = sqlite3.connect(database, isolation_level=None)
    connection.execute("BEGIN EXCLUSIVE")
    Path("locked").touch()
    time.sleep(seconds)
    connection.execute("ROLLBACK")
    connection.close()
    return 0


def _sweep(place: Path, trials: int) -> toys.Ended:
    """Tune the toy's loss weight, in a forked process."""
    toys.warm()

    def work() -> int:
        from optuna.distributions import FloatDistribution

        from sweeps import run
        from sweeps.spaces import SPACES, Space

        SPACES["toy"] = Space(  # type: ignore[index]
            method="toy",
            stage="net",
            metric="error",
            unit="",
            distributions={"method.net.weight": FloatDistribution(0.5, 2.0)},
        )
        line = ["study=toy", f"trials={trials}", "suite=toy", *toys.PLACES]
        return run.main(line, [str(toys.TOYS / "configs")])

    return toys.fork(place, work).wait()
