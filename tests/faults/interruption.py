"""Rows 1 to 4, 11 and 12: processes that are killed, asked to stop, or stand still."""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path

from tests.faults import toys
from tests.faults.tally import Tally, check
from tests.faults.write_calls import Call, Kill, Watch, recorded, recorder

CHECKPOINT_SECONDS = 10.0
"""How soon a process that is asked to stop must have saved its state and ended."""
SMOKE = ("suite=smoke", "out=results", "cache=cache")


def _undisturbed_training(folder: Path) -> tuple[dict[str, str], float]:
    """What an undisturbed training leaves, and the seconds that it takes."""
    started = time.monotonic()
    ended = toys.train(folder).wait()
    check(ended.code == 0, f"undisturbed training ended with {ended.code}: {ended.last}")
    return toys.contents(folder), time.monotonic() - started


def _remains_of_training(folder: Path, wanted: Mapping[str, str]) -> str:
    return toys.difference(toys.contents(folder), wanted) or "; ".join(toys.remains(folder))


def kill_training(count: int, folder: Path) -> Tally:
    """Kill a toy training at random times until it has ended by itself, then begin another."""
    tally = Tally()
    rng = random.Random("kill training")
    wanted, seconds = _undisturbed_training(folder / "undisturbed")
    place, finished = folder / "run-0", 0
    while tally.tried < count:
        running = toys.train(place)
        if not running.sleep(rng.uniform(0, seconds)):
            running.kill()
            killed = running.wait()
            tally.add(killed.code in (-signal.SIGKILL, 0), f"ended with {killed.code}: {killed.last}")
            continue
        finished += _finish_training(running, place, wanted, tally)
        place = folder / f"run-{finished}"
    _finish_training(toys.train(place), place, wanted, tally)
    tally.notes.append(f"{finished + 1} trainings ended by themselves between the kills")
    return tally


def _finish_training(running: toys.Running, place: Path, wanted: Mapping[str, str], tally: Tally) -> int:
    """Let a training end and compare it; its last kill is unexpected if it is not the undisturbed one."""
    ended = running.wait()
    wrong = f"ended with {ended.code}: {ended.last}" if ended.code else _remains_of_training(place, wanted)
    if wrong:
        tally.expected -= 1
        tally.others[f"after the last kill: {wrong}"] += 1
    shutil.rmtree(place)
    return 1


# The real command


def kill_smoke(count: int, folder: Path) -> Tally:
    """Kill `benchmark.run suite=smoke`, its workers with it or left alone, at random times in all stages."""
    tally = Tally()
    rng = random.Random("kill smoke")
    undisturbed = folder / "undisturbed"
    _wait(_smoke(undisturbed), 900)
    wanted = toys.contents(undisturbed)
    shutil.rmtree(undisturbed / "cache")
    place, finished, recomputed = folder / "run-0", 0, 0
    published: dict[str, tuple[int, int]] = {}
    while tally.tried < count:
        process = _smoke(place)
        try:
            # Half of them soon after the start, the others long enough for the work to go on.
            process.wait(rng.choice((rng.uniform(3, 12), rng.uniform(10, 40))))
        except subprocess.TimeoutExpired:
            (os.killpg if rng.random() < 0.5 else os.kill)(process.pid, signal.SIGKILL)
            process.wait()
            _await_workers(process.pid)
            recomputed += _count_recomputed(place, published)
            tally.add(True)
            continue
        finished += 1
        _finish_smoke(process, place, wanted, published, tally)
        published.clear()
        place = folder / f"run-{finished}"
    process = _smoke(place)
    _wait(process, 900)
    _finish_smoke(process, place, wanted, published, tally)
    if recomputed:
        tally.others["a complete stage was computed again"] += recomputed
        tally.expected -= recomputed
    tally.notes.append(f"{finished + 1} studies ended by themselves between the kills")
    return tally


def _smoke(place: Path) -> subprocess.Popen[str]:
    place.mkdir(parents=True, exist_ok=True)
    return subprocess.Popen(
        [sys.executable, "-m", "benchmark.run", *SMOKE, f"out={place}/results", f"cache={place}/cache"],
        cwd=toys.ROOT,
        stdout=subprocess.DEVNULL,
        stderr=(place / "errors.txt").open("w"),
        text=True,
        start_new_session=True,
    )


def _wait(process: subprocess.Popen[str], seconds: float) -> None:
    try:
        process.wait(seconds)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _await_workers(session: int) -> None:
    """Wait for the workers of a killed parent to notice: they share its session."""
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        try:
            os.killpg(session, 0)
        except ProcessLookupError:
            return
        time.sleep(0.1)


def _count_recomputed(place: Path, published: dict[str, tuple[int, int]]) -> int:
    """How many stages that were complete are other files now; remembers those that are complete."""
    again = 0
    for recipe in (place / "results" / "stages").glob("*/stage.json"):
        seen = recipe.stat()
        mark = (seen.st_ino, seen.st_mtime_ns)
        again += published.setdefault(recipe.parent.name, mark) != mark
        published[recipe.parent.name] = mark
    return again


def _finish_smoke(
    process: subprocess.Popen[str],
    place: Path,
    wanted: Mapping[str, str],
    published: dict[str, tuple[int, int]],
    tally: Tally,
) -> None:
    again = _count_recomputed(place, published)
    found = {k: v for k, v in toys.contents(place).items() if not k.startswith("smoke/wandb/")}
    same = {k: v for k, v in wanted.items() if not k.startswith("smoke/wandb/")}
    wrong = (
        f"ended with {process.returncode}: {(place / 'errors.txt').read_text()[-200:]}"
        if process.returncode
        else toys.difference(found, same) or "; ".join(toys.remains(place))
    )
    if again:
        wrong = f"{wrong}; {again} complete stages were computed again"
    if wrong:
        tally.expected -= 1
        tally.others[f"after the last kill: {wrong}"] += 1
    shutil.rmtree(place)


# Kills aimed at writing


def kill_at_writes(count: int, folder: Path) -> Tally:
    """Kill a training before, after and in the middle of every call that writes.

    Each kind of call at each line is hit at its first, middle and last time: checkpoints of the first, a
    middle and the last step among them.
    """
    tally = Tally()
    wanted, _ = _undisturbed_training(folder / "undisturbed")
    place = folder / "recorded"
    place.mkdir()
    log = place / "calls.txt"
    check(
        toys.train(place, before=lambda: Watch(place, recorder(log)).install()).wait().code == 0, "recording"
    )
    cases = _boundaries(recorded(log))
    random.Random("kill at writes").shuffle(cases)
    for number, (call, how) in enumerate(cases[:count]):
        place = folder / f"case-{number}"
        with tally.case(f"killed ({how}) before {call}"):
            kill = Kill(call, how)
            killed = toys.train(place, before=lambda p=place, k=kill: Watch(p, k).install()).wait()
            check(
                killed.code == -signal.SIGKILL, f"was not killed but ended with {killed.code}: {killed.last}"
            )
            again = toys.train(place).wait()
            check(again.code == 0, f"the next start ended with {again.code}: {again.last}")
            wrong = _remains_of_training(place, wanted)
            check(not wrong, wrong)
        shutil.rmtree(place, ignore_errors=True)
    tally.notes.append(f"{len(cases)} cases at {len({(c.site, c.kind) for c, _ in cases})} places")
    return tally


def _boundaries(calls: list[Call]) -> list[tuple[Call, str]]:
    by_place: dict[tuple[str, str], list[Call]] = {}
    for call in calls:
        by_place.setdefault((call.site, call.kind), []).append(call)
    cases = []
    for (_, kind), times in by_place.items():
        for call in dict.fromkeys((times[0], times[len(times) // 2], times[-1])):
            cases.append((call, "process"))
            if kind == "write":
                cases.append((call, "half"))
    return cases


# Signals


def signals(count: int, folder: Path) -> Tally:
    """Send SIGINT, SIGTERM and SIGUSR1 at random times of a toy study, then run it again."""
    tally = Tally()
    rng = random.Random("signals")
    started = time.monotonic()
    check(toys.run(folder / "undisturbed", "checkpoint_seconds=0").code == 0, "undisturbed run")
    seconds = time.monotonic() - started
    wanted = toys.contents(folder / "undisturbed")
    codes = {signal.SIGINT: 130, signal.SIGTERM: 143, signal.SIGUSR1: 75}
    slowest = 0.0
    for number in range(count):
        signum = list(codes)[number % 3]
        place = folder / f"case-{number}"
        with tally.case(signal.Signals(signum).name):
            running = toys.start(place, "workers=1", "checkpoint_seconds=0")
            ended_before = running.sleep(rng.uniform(0.05, seconds))
            asked = time.monotonic()
            # A terminal tells every process of the session, a cluster the one that it knows.
            running.kill(signum, everyone=signum == signal.SIGINT)
            ended = running.wait()
            slowest = max(slowest, time.monotonic() - asked)
            check(time.monotonic() - asked < CHECKPOINT_SECONDS, "took too long to stop")
            allowed = (0, codes[signum]) if ended_before or "report:" in ended.stdout else (codes[signum],)
            check(ended.code in allowed, f"ended with {ended.code}: {ended.last}")
            check(not ended.trace, f"a traceback: {ended.trace}")
            _await_workers(running.pid)
            wrong = toys.identical(place, wanted)
            check(not wrong, wrong)
        shutil.rmtree(place, ignore_errors=True)
    tally.notes.append(f"the slowest stop took {slowest:.1f} s")
    return tally


# Locks, and processes that stand still


def killed_lock_holder(count: int, folder: Path) -> Tally:
    """Kill the process that computes a stage while another waits for it."""
    tally = Tally()
    wanted, _ = _undisturbed_training(folder / "undisturbed")
    slowest = 0.0
    for number in range(count):
        place = folder / f"case-{number}"
        with tally.case("lock"):
            holder = toys.train(place, environment={"TOY_PAUSE": "0.05"})
            _await(lambda p=place: list(p.glob("results/stages/.net-*.work/checkpoints/0/*.json")), holder)
            waiting = toys.train(place)
            time.sleep(0.6)
            check(waiting.poll() is None, "the second process did not wait")
            killed = time.monotonic()
            holder.kill()
            holder.wait()
            ended = waiting.wait(30)
            slowest = max(slowest, time.monotonic() - killed)
            check(ended.code == 0, f"the waiting process ended with {ended.code}: {ended.last}")
            check(str(holder.pid) in ended.stdout, "it did not say whose lock it waits for")
            wrong = _remains_of_training(place, wanted)
            check(not wrong, wrong)
        shutil.rmtree(place, ignore_errors=True)
    tally.notes.append(f"the slowest take-over, its training included, took {slowest:.1f} s")
    return tally


def _await(condition, running: toys.Running) -> None:
    deadline = time.monotonic() + toys.PATIENCE
    while not condition():
        check(running.poll() is None, "it ended before its turn")
        check(time.monotonic() < deadline, "it never came so far")
        time.sleep(0.005)


def stopped_worker(count: int, folder: Path) -> Tally:
    """Stop the worker with SIGSTOP in the middle of its training, and let it go on."""
    tally = Tally()
    rng = random.Random("stopped worker")
    check(toys.run(folder / "undisturbed").code == 0, "undisturbed run")
    wanted = toys.contents(folder / "undisturbed")
    for number in range(count):
        place = folder / f"case-{number}"
        with tally.case("SIGSTOP"):
            running = toys.start(place, "workers=1", environment={"TOY_PAUSE": "0.02"})
            _await(lambda p=place: list(p.glob("results/stages/.net-*.work/out/log.jsonl")), running)
            (worker,) = running.workers()
            os.kill(worker, signal.SIGSTOP)
            time.sleep(rng.uniform(0.1, 1.5))
            os.kill(worker, signal.SIGCONT)
            ended = running.wait()
            check(ended.code == 0, f"ended with {ended.code}: {ended.last}")
            wrong = toys.difference(toys.contents(place), wanted)
            check(not wrong, wrong)
        shutil.rmtree(place, ignore_errors=True)
    return tally
