"""Rows 18 to 21: cells that fail by memory, by numbers that are none, or by standing still; metrics that
are fed badly."""

from __future__ import annotations

import os
import random
import shutil
import signal
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from tests.faults import toys
from tests.faults.tally import Tally, check

TWO_ROWS = "methods=[toy,ground_truth]"
"""A method that fails beside one that must not."""


def _check_failed_alone(place: Path, ended: toys.Ended, reason: str) -> None:
    """The toy's cell is FAILED for the reason, the ceiling's is done, and the toy has no number anywhere."""
    check(ended.code == 3, f"ended with {ended.code}: {ended.last or ended.stdout[-200:]}")
    line = next((line for line in ended.stdout.splitlines() if line.startswith("FAILED toy seed 0")), "")
    check(reason in line, f"expected {reason!r}, got {line!r}")
    run = place / "results" / "toy-toy"
    records = (run / "records.jsonl").read_text()
    check('"method": "ground_truth"' in records, "the other row has no records")
    check('"method": "toy"' not in records, "a failed cell has a number")
    check('"status": "FAILED"' in (run / "manifest.json").read_text(), "the manifest does not say so")


# Memory


def out_of_memory(count: int, folder: Path) -> Tally:
    """Let a training ask for more memory than the process may have, or be killed as the kernel does."""
    tally = Tally()
    kinds = ("numpy", "torch", "bytes", "list", "killed")
    for number in range(count):
        kind = kinds[number % len(kinds)]
        place = folder / f"case-{number}"
        with tally.case(kind):
            ended = toys.run(place, TWO_ROWS, before=lambda k=kind: _exhaust(k))
            _check_failed_alone(place, ended, "memory")
            again = toys.run(place, TWO_ROWS)
            check(again.code == 0, f"with enough memory the next run ended with {again.code}")
        shutil.rmtree(place, ignore_errors=True)
    return tally


def _exhaust(kind: str) -> None:
    import resource

    import toy_parts

    def fail(self: Any) -> None:
        size = int(Path("/proc/self/statm").read_text().split()[0]) * os.sysconf("SC_PAGE_SIZE") + 2**28
        resource.setrlimit(resource.RLIMIT_AS, (size, resource.RLIM_INFINITY))
        if kind == "numpy":
            np.ones(2**31)
        elif kind == "torch":
            import torch

            torch.ones(2**31)
        elif kind == "bytes":
            bytes(2**33)
        elif kind == "list":
            grown: list[Any] = []
            while True:
                grown.append([0] * 2**20)
        else:
            os.kill(os.getpid(), signal.SIGKILL)

    toy_parts.Regression._fail = fail


# Hanging

STALL_SECONDS = 2


def hanging(count: int, folder: Path) -> Tally:
    """Let a training sleep, for ever or for seconds, and a decoding process stand still or die."""
    from tests.faults import media

    tally = media.hanging_decoder(count // 2, folder)
    check(toys.run(folder / "undisturbed", TWO_ROWS).code == 0, "undisturbed run")
    wanted = toys.contents(folder / "undisturbed")
    for number in range(count - count // 2):
        place = folder / f"case-{number}"
        for_ever = number % 2 == 0
        limits = (TWO_ROWS, f"stall_seconds={STALL_SECONDS}", f"stall={'fail' if for_ever else 'report'}")
        with tally.case("a training that sleeps " + ("for ever" if for_ever else "for seconds")):
            seconds = 10_000.0 if for_ever else 4.0 * STALL_SECONDS
            ended = toys.run(place, *limits, before=lambda s=seconds: _sleep_in_training(s))
            check("net-" in ended.stderr and "no progress" in ended.stderr, f"it was not named: {ended.last}")
            if for_ever:
                _check_failed_alone(place, ended, "stalled")
                accounts = (place / "results" / "toy-toy" / "failures").glob("net-*.txt")
                check(
                    any("_fail" in p.read_text() for p in accounts), "the stack does not show where it hangs"
                )
                ended = toys.run(place, TWO_ROWS)
            check(ended.code == 0, f"ended with {ended.code}: {ended.last}")
            wrong = toys.difference(toys.contents(place), wanted)
            check(not wrong, wrong)
        shutil.rmtree(place, ignore_errors=True)
    return tally


def _sleep_in_training(seconds: float) -> None:
    import time

    import toy_parts

    def _fail(self: Any) -> None:
        time.sleep(seconds)

    toy_parts.Regression._fail = _fail


# Numbers that are none


def not_a_number(count: int, folder: Path) -> Tally:
    """Make a loss, a gradient or a validation value NaN or infinite at a random step."""
    tally = Tally()
    rng = random.Random("not a number")
    kinds = ("nan term", "inf term", "nan gradient", "nan validation", "inf validation")
    for number in range(count):
        kind, step = kinds[number % len(kinds)], rng.randrange(1, 39)
        place = folder / f"case-{number}"
        with tally.case(f"{kind} at step {step}"):
            ended = toys.run(place, TWO_ROWS, before=lambda k=kind, s=step: _spoil(k, s))
            _check_failed_alone(place, ended, "nan" if kind.startswith("nan") else "inf")
            dumps = list((place / "results" / "toy-toy" / "failures").glob("net-*.txt"))
            check(
                len(dumps) == 1 and "NonFiniteLoss" in dumps[0].read_text(),
                "no account of the failure was kept",
            )
            again = toys.run(place, TWO_ROWS)
            check(again.code == 0, f"mended, the next run ended with {again.code}: {again.last}")
        shutil.rmtree(place, ignore_errors=True)
    return tally


def _spoil(kind: str, step: int) -> None:
    from models.training import loop

    plain = loop.Loop._check
    bad = float(kind.split()[0])

    def spoiled(self: Any) -> None:
        plain(self)
        player, calls = self.training.players[0], [0]
        validate = self.training.validate
        losses = player.loss

        def loss(batch: Any) -> Any:
            calls[0] += 1
            terms = losses(batch)
            if calls[0] == step and kind.endswith("term"):
                terms["error"] = terms["error"] * bad
            if calls[0] == step and kind.endswith("gradient"):
                weight = next(iter(self.training.modules.values()))[0].weight
                terms["error"] = terms["error"] + 0 * (weight.sum() * 0).sqrt()
            return terms

        changed = replace(player, loss=loss)
        # Validation is at every tenth step.
        late = {"error": bad} if kind.endswith("validation") else None
        self.training = replace(self.training, players=[changed], validate=lambda: late or validate())

    loop.Loop._check = spoiled


# Metrics


def hostile_arrays(count: int, folder: Path) -> Tally:
    """Give every metric landmarks, frames, sounds and features that are NaN, infinite, empty, constant or
    misshapen."""
    from benchmark.metrics.metric import SetPair
    from benchmark.metrics.registry import METRICS
    from benchmark.metrics.score import Score
    from tests.contracts.bench import make_bench

    tally = Tally()
    bench = make_bench(folder)
    shapes = _shapes(bench)
    for metric in METRICS:
        if metric.level == "clip":
            for name, make in shapes.items():
                with tally.case(f"{metric.id} of {name}"):
                    _check_score(lambda m=metric, p=make: m.compute(p()), Score)
        else:
            for name, pair in _feature_sets(SetPair).items():
                with tally.case(f"{metric.id} of {name}"):
                    _check_score(lambda m=metric, p=pair: m.compute(p), Score)
        if tally.tried >= count:
            break
    tally.notes.append(f"{len(METRICS)} metrics")
    return tally


def _check_score(compute: Callable[[], Any], kind: type) -> None:
    """A score is finite or left out by rule, over a share of the frames; otherwise a ValueError says what
    is wrong."""
    with np.errstate(all="ignore"):
        try:
            score = compute()
        except ValueError as error:
            check(bool(str(error)), "an error without words")
            return
    check(isinstance(score, kind), f"returned a {type(score).__name__}")
    for name in ("value", "low", "high", "least", "most"):
        number = getattr(score, name)
        check(number is None or bool(np.isfinite(number)), f"{name} is {number}")
    check(0 <= score.coverage <= 1, f"coverage {score.coverage}")


def _shapes(bench: Any) -> dict[str, Callable[[], Any]]:
    truth = bench.truth
    points, frames = truth.landmarks, truth.frames

    def of(predicted: Any = points, true: Any = points, shown: Any = frames, seen: Any = frames) -> Any:
        return bench.pair(
            replace(truth, landmarks=predicted, frames=shown), replace(truth, landmarks=true, frames=seen)
        )

    def holes(value: float) -> np.ndarray:
        spoiled = points.copy()
        spoiled[3, 10, 1] = value
        return spoiled

    return {
        "nothing but NaN predicted": lambda: of(np.full_like(points, np.nan)),
        "nothing but NaN as truth": lambda: of(true=np.full_like(points, np.nan)),
        "one NaN": lambda: of(holes(np.nan)),
        "an infinity": lambda: of(holes(np.inf)),
        "points at 1e300": lambda: of(holes(1e300)),
        "no frames": lambda: of(points[:0], points[:0], frames[:0], frames[:0]),
        "one frame": lambda: of(points[:1], points[:1], frames[:1], frames[:1]),
        "all points in one place": lambda: of(np.zeros_like(points), np.zeros_like(points)),
        "fewer frames than the truth": lambda: of(points[:-2], shown=frames[:-2]),
        "black frames on both sides": lambda: of(shown=np.zeros_like(frames), seen=np.zeros_like(frames)),
        "frames that are NaN": lambda: of(shown=np.full(frames.shape, np.nan, np.float32)),
        "67 points": lambda: of(points[:, :67], points[:, :67]),
        "a still clip": lambda: of(
            np.repeat(points[:1], len(points), 0), np.repeat(points[:1], len(points), 0)
        ),
        "a sound that is NaN": lambda: replace(of(), waveform=np.full_like(bench.waveform, np.nan)),
    }


def _feature_sets(pair: Any) -> dict[str, Any]:
    rng = np.random.default_rng(0)
    sound = [rng.normal(size=(40, 8)) for _ in range(3)]

    def of(predicted: list[np.ndarray], truth: list[np.ndarray] = sound) -> Any:
        return pair(predicted, truth, np.random.default_rng(0), resamples=3)

    one_nan = [s.copy() for s in sound]
    one_nan[1][2, 3] = np.nan
    return {
        "one NaN": of(one_nan),
        "an infinity": of([np.where(np.isnan(s), np.inf, s) for s in one_nan]),
        "nothing but NaN": of([np.full((40, 8), np.nan)] * 3),
        "no clips": of([], []),
        "empty clips": of([np.zeros((0, 8))] * 3),
        "one vector": of([np.zeros((1, 8))], [np.zeros((1, 8))]),
        "constant features": of([np.ones((40, 8))] * 3, [np.ones((40, 8))] * 3),
        "other dimensions": of([np.zeros((40, 7))] * 3),
        "features at 1e200": of([s * 1e200 for s in sound]),
        "tiny features": of([s * 1e-200 for s in sound], [s * 1e-200 for s in sound]),
        "fewer clips": of(sound[:1]),
        "no axis": of([np.zeros(8)] * 3),
    }
