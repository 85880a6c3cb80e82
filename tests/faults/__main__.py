"""Run the fault matrix: `python -m tests.faults [--counts large] [--rows 1,22] [--record]`."""

from __future__ import annotations

import argparse
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import Any

for _name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS"):
    os.environ[_name] = "1"

from tests.faults import page, toys  # noqa: E402
from tests.faults.matrix import NOT_BUILT, ROWS, Row  # noqa: E402
from tests.faults.tally import Tally  # noqa: E402


def main(arguments: Sequence[str] | None = None) -> int:
    """Run rows, print their outcomes; 1 if any was not as expected."""
    options = _options(arguments)
    if options.page:
        page.write()
        return 0
    rows = [r for r in ROWS if not options.rows or r.number in options.rows]
    scale = page.SCALES.index(options.counts)
    results = _run_all([r for r in rows if r.built and r.counts[scale]], scale, options)
    print(_table(rows, results, scale))
    wrong = [r["row"] for r in results if r["expected"] != r["tried"] or r["others"]]
    if wrong:
        print(f"not as expected: rows {', '.join(map(str, wrong))}", file=sys.stderr)
    return 1 if wrong else 0


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.faults", description=__doc__)
    parser.add_argument("--counts", choices=page.SCALES, default="ci", help="how many injections a row gets")
    parser.add_argument(
        "--rows",
        type=lambda text: {int(n) for n in text.split(",") if n},
        default=set(),
        help="numbers, separated by commas; all if left out",
    )
    parser.add_argument("--count", type=int, help="injections of each row, instead of those declared")
    parser.add_argument("--workers", type=int, default=2, help="rows at a time")
    parser.add_argument("--record", action="store_true", help=f"keep the outcomes and write {page.PAGE.name}")
    parser.add_argument("--page", action="store_true", help="only write the page, from what was recorded")
    return parser.parse_args(arguments)


def _run_all(rows: Sequence[Row], scale: int, options: argparse.Namespace) -> list[dict[str, Any]]:
    """Run each row in a forked process of its own, some at a time; the longest first."""
    toys.warm()
    place = Path(tempfile.mkdtemp(prefix="evp-faults-"))
    commit = _commit()
    waiting = sorted(rows, key=lambda r: -page.seconds_of(r.number, scale))
    running: dict[int, tuple[Row, float]] = {}
    results = []
    try:
        while waiting or running:
            while waiting and len(running) < options.workers:
                row = waiting.pop(0)
                running[_fork_row(row, options.count or row.counts[scale], place)] = (row, time.monotonic())
            for pid, (row, started) in list(running.items()):
                result = _ended(pid, row, started, row.limit[scale], place)
                if result is not None:
                    del running[pid]
                    result |= {"row": row.number, "counts": page.SCALES[scale], "commit": commit}
                    results.append(result)
                    print(_line(row, result), file=sys.stderr, flush=True)
                    if options.record:
                        page.record([result])
            time.sleep(0.1)
    finally:
        for pid in running:
            _kill_tree(pid)
        shutil.rmtree(place, ignore_errors=True)
    return sorted(results, key=lambda r: r["row"])


def _fork_row(row: Row, count: int, place: Path) -> int:
    folder = place / f"row-{row.number}"
    folder.mkdir()
    sys.stdout.flush()
    pid = os.fork()
    if pid:
        return pid
    code = 1
    try:
        os.setsid()
        result = row.run(count, folder).as_json()
        (place / f"row-{row.number}.json").write_text(json.dumps(result))
        code = 0
    except BaseException:
        (place / f"row-{row.number}.txt").write_text(traceback.format_exc())
    finally:
        os._exit(code)


def _ended(pid: int, row: Row, started: float, limit: float, place: Path) -> dict[str, Any] | None:
    """The outcome of a row's process, once it has ended or taken too long."""
    seconds = time.monotonic() - started
    ended, _, usage = os.wait4(pid, os.WNOHANG)
    if not ended and seconds < limit:
        return None
    result = Tally().as_json()
    if not ended:
        _kill_tree(pid)
        _, _, usage = os.wait4(pid, 0)
        result["others"] = {f"the row did not end within {limit:.0f} s": 1}
    elif (path := place / f"row-{row.number}.json").exists():
        result = json.loads(path.read_text())
    else:
        trace = place / f"row-{row.number}.txt"
        last = trace.read_text().strip().splitlines()[-1] if trace.exists() else "its process died"
        print(trace.read_text() if trace.exists() else "", file=sys.stderr)
        result["others"] = {f"the row itself failed: {last}": 1}
    shutil.rmtree(place / f"row-{row.number}", ignore_errors=True)
    return {**result, "seconds": round(seconds), "cpu": round(usage.ru_utime + usage.ru_stime)}


def _kill_tree(pid: int) -> None:
    """Kill a process and all that descend from it, in sessions of their own or not."""
    for child in Path(f"/proc/{pid}/task").glob("*/children"):
        for each in child.read_text().split():
            _kill_tree(int(each))
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        return


def _line(row: Row, result: dict[str, Any]) -> str:
    counts = f"{result['expected']} of {result['tried']} as expected"
    head = f"row {row.number}: {counts}, {result['seconds']} s, CPU {result['cpu']} s"
    others = "".join(f"\n    {count} x {what}" for what, count in result["others"].items())
    return f"{head}  ({row.fault}){others}"


def _table(rows: Sequence[Row], results: Sequence[dict[str, Any]], scale: int) -> str:
    by_row = {r["row"]: r for r in results}
    lines = [f"{'row':>3} {'tried':>6} {'as expected':>11} {'else':>5} {'s':>5}  fault"]
    for row in rows:
        result = by_row.get(row.number)
        if result is None:
            state = "on request: `make faults`" if row.built else NOT_BUILT
            lines.append(f"{row.number:>3} {state:>30}  {row.fault}")
        else:
            other = sum(result["others"].values())
            counts = f"{result['tried']:>6} {result['expected']:>11} {other:>5} {result['seconds']:>5}"
            lines.append(f"{row.number:>3} {counts}  {row.fault}")
    return "\n".join(lines)


def _commit() -> str:
    done = subprocess.run(
        ["git", "-C", str(toys.ROOT), "rev-parse", "--short=10", "HEAD"],
        capture_output=True,
        text=True,
        check=False,
    )
    return done.stdout.strip() or "unknown"


if __name__ == "__main__":
    sys.exit(main())
