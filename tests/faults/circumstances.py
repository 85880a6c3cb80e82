"""Rows 10 and 33 to 41: other processes, clocks, locales, orders, numbers of workers, processors,
versions, places."""

from __future__ import annotations

import dataclasses
import json
import os
import random
import shutil
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from tests.faults import toys
from tests.faults.tally import Tally, check

PROCESSES = 8


def _undisturbed(folder: Path, *arguments: str) -> dict[str, str]:
    ended = toys.run(folder / "undisturbed", *arguments)
    check(ended.code == 0, f"the undisturbed run ended with {ended.code}: {ended.last}")
    return toys.contents(folder / "undisturbed")


def _check_same(place: Path, ended: toys.Ended, wanted: Mapping[str, str]) -> None:
    check(ended.code == 0, f"ended with {ended.code}: {ended.last or ended.stdout[-200:]}")
    wrong = toys.difference(toys.contents(place), wanted)
    check(not wrong, wrong)


def _real(place: Path, *arguments: str, **environment: str | None) -> toys.Ended:
    """The tiny study by a process of its own, started from nothing; None removes a variable."""
    place.mkdir(parents=True, exist_ok=True)
    variables = {**os.environ, **{k: v for k, v in environment.items() if v is not None}}
    for name in (k for k, v in environment.items() if v is None):
        variables.pop(name, None)
    done = subprocess.run(
        [*toys.COMMAND, *toys.TINY, "workers=1", *arguments],
        cwd=place,
        env=variables,
        capture_output=True,
        text=True,
        errors="replace",
        timeout=600,
        check=False,
    )
    return toys.Ended(done.returncode, done.stdout, done.stderr)


# Other processes


def many_processes(count: int, folder: Path) -> Tally:
    """Start eight processes with the same study in the same folder at once."""
    tally = Tally()
    wanted = _undisturbed(folder)
    slowest = 0.0
    for number in range(count):
        place = folder / f"case-{number}"
        place.mkdir()
        published = place / "published.txt"
        started = time.monotonic()
        running = [toys.start(place, "workers=1", before=_noting(published)) for _ in range(PROCESSES)]
        with tally.case(f"{PROCESSES} processes"):
            for process in running:
                ended = process.wait(240)
                check(ended.code == 0, f"one ended with {ended.code}: {ended.last}")
            slowest = max(slowest, time.monotonic() - started)
            twice = [k for k, n in Counter(published.read_text().split()).items() if n > 1]
            check(not twice, f"computed more than once: {', '.join(twice)}")
            wrong = toys.difference(toys.contents(place), wanted) or "; ".join(toys.remains(place))
            check(not wrong, wrong)
        shutil.rmtree(place, ignore_errors=True)
    tally.notes.append(f"the slowest eight took {slowest:.0f} s together")
    return tally


def _noting(log: Path) -> Callable[[], None]:
    """Let a process note every stage that it publishes."""

    def before() -> None:
        from benchmark.training.stage_cache import StageFolder

        publish = StageFolder.publish

        def noted(self: Any, recipe: Any) -> None:
            publish(self, recipe)
            with log.open("a") as stream:
                stream.write(f"{self.path.name}\n")

        StageFolder.publish = noted  # type: ignore[method-assign]

    return before


# Clocks


def clocks(count: int, folder: Path) -> Tally:
    """Let the wall clock jump during a run, or files bear other times, and run again: nothing is done
    twice."""
    tally = Tally()
    rng = random.Random("clocks")
    wanted = _undisturbed(folder)
    jumps = [-3600.0, 3600.0, -86400.0 * 365, 86400.0 * 365, -1.0]
    zones = ["Pacific/Kiritimati", "America/Adak", "right/UTC"]
    for number in range(count):
        place = folder / f"case-{number}"
        jump, zone = jumps[number % len(jumps)], zones[number % len(zones)]
        with tally.case(f"the clock jumps by {jump:.0f} s"):
            ended = toys.run(place, before=_jumping(jump, rng.randrange(400)))
            _check_same(place, ended, wanted)
            files = [p for p in (place / "results").rglob("*") if p.suffix not in (".lock", ".seconds")]
            for path in files:
                moved = time.time() + rng.choice((-1, 1)) * rng.uniform(0, 10**8)
                os.utime(path, (moved, moved))
            before = {p: p.stat().st_mtime_ns for p in files}
            again = toys.run(place, before=_jumping(-jump, 0), environment={"TZ": zone})
            _check_same(place, again, wanted)
            check("nothing was left to do" in again.stdout, "something was done again")
            check(before == {p: p.stat().st_mtime_ns for p in files}, "a file was written again")
        shutil.rmtree(place, ignore_errors=True)
    return tally


def _jumping(seconds: float, after: int) -> Callable[[], None]:
    """Let `time.time` be off by `seconds` once it has been asked `after` times."""

    def before() -> None:
        plain, calls = time.time, [0]

        def jumped() -> float:
            calls[0] += 1
            return plain() + (seconds if calls[0] > after else 0.0)

        time.time = jumped
        time.time_ns = lambda: round(jumped() * 1e9)
        time.tzset()

    return before


# Places


def surroundings(count: int, folder: Path) -> Tally:
    """Run in other locales, in folders with difficult names, with a read-only source tree, without a home."""
    tally = Tally()
    wanted = _undisturbed(folder)
    forked: dict[str, Callable[[Path], toys.Ended]] = {
        "a folder with spaces and characters of many scripts": toys.run,
        "a folder name of 255 bytes": toys.run,
        "umask 077": lambda p: toys.run(p, before=lambda: os.umask(0o077)),
        "no HOME": lambda p: toys.run(p, before=lambda: os.environ.pop("HOME", None)),
        "a HOME that does not exist": lambda p: toys.run(p, environment={"HOME": "/nonexistent"}),
        "a source tree that cannot be written": lambda p: toys.run(p, before=_read_only(toys.ROOT)),
    }
    ascii_only = {"PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    real: dict[str, dict[str, str]] = {
        "LC_ALL=C without UTF-8": {"LC_ALL": "C", **ascii_only},
        "LC_ALL=tr_TR.UTF-8": {"LC_ALL": "tr_TR.UTF-8", "LANG": "tr_TR.UTF-8"},
        "LC_ALL=POSIX without UTF-8": {"LC_ALL": "POSIX", **ascii_only},
        "LC_ALL=C": {"LC_ALL": "C"},
        "LC_ALL=POSIX": {"LC_ALL": "POSIX"},
        "LANG=ja_JP.eucJP": {"LANG": "ja_JP.eucJP", **ascii_only},
    }
    names = [*forked, *real][:count]
    for number, name in enumerate(names):
        place = folder / f"case-{number}"
        if "scripts" in name:
            place = folder / "für uns, 你好 'مرحبا' $HOME"
        elif "255" in name:
            place = folder / ("é" * 127 + "x")
        with tally.case(name):
            ended = forked[name](place) if name in forked else _real(place, **real[name])
            _check_same(place, ended, wanted)
        shutil.rmtree(place, ignore_errors=True)
    return tally


def _read_only(tree: Path) -> Callable[[], None]:
    """Let every write below a folder fail with EROFS, whoever the user is."""
    import errno

    root = f"{tree.resolve()}/"

    def hook(event: str, arguments: tuple[Any, ...]) -> None:
        if (event == "open" and arguments[2] & (os.O_WRONLY | os.O_RDWR | os.O_CREAT)) or event in (
            "os.mkdir",
            "os.remove",
            "os.rmdir",
            "os.truncate",
        ):
            path = arguments[0]
        elif event in ("os.rename", "os.link", "os.symlink"):
            path = arguments[1]
        else:
            return
        if isinstance(path, (str, Path)) and os.path.abspath(path).startswith(root):  # noqa: PTH100
            raise OSError(errno.EROFS, os.strerror(errno.EROFS), str(path))

    return lambda: sys.addaudithook(hook)


# Orders


def orders(count: int, folder: Path) -> Tally:
    """Change the hash seed of Python (every fourth time) or the order in which folders are listed."""
    tally = Tally()
    wanted = _undisturbed(folder)
    for number in range(count):
        place = folder / f"case-{number}"
        name = f"PYTHONHASHSEED={number // 4}" if number % 4 == 0 else "folders listed in another order"
        with tally.case(name):
            if number % 4 == 0:
                ended = _real(place, PYTHONHASHSEED=str(number // 4))
            else:
                ended = toys.run(place, before=lambda n=number: _shuffle_listings(n))
            _check_same(place, ended, wanted)
        shutil.rmtree(place, ignore_errors=True)
    return tally


class _Listing(list[Any]):
    """What `os.scandir` returns, in another order."""

    def __enter__(self) -> _Listing:
        return self

    def __exit__(self, *error: object) -> None:
        pass

    def __next__(self) -> Any:
        if not self:
            raise StopIteration
        return self.pop(0)

    def close(self) -> None:
        pass


def _shuffle_listings(seed: int) -> None:
    rng = random.Random(seed)
    scan, names = os.scandir, os.listdir

    def scandir(*arguments: Any) -> Any:
        with scan(*arguments) as entries:
            found = list(entries)
        rng.shuffle(found)
        return _Listing(found)

    def listdir(*arguments: Any) -> Any:
        found = names(*arguments)
        rng.shuffle(found)
        return found

    os.scandir, os.listdir = scandir, listdir  # type: ignore[assignment]


def worker_counts(count: int, folder: Path) -> Tally:
    """Use 1, 2, 4 and 8 workers, and let jobs take different times, so that they end in another order."""
    tally = Tally()
    study = ("seeds=[0,1]", "ablations=[full,shifted]")
    wanted = _undisturbed(folder, *study)
    for number in range(count):
        workers = (2, 8, 4, 1)[number % 4]
        place = folder / f"case-{number}"
        with tally.case(f"{workers} workers"):
            ended = toys.run(place, f"workers={workers}", *study, before=lambda n=number: _delay_jobs(n))
            _check_same(place, ended, wanted)
        shutil.rmtree(place, ignore_errors=True)
    return tally


def _delay_jobs(seed: int) -> None:
    from benchmark import jobs

    plain = jobs.run_job

    def delayed(job: Any, around: Any) -> None:
        time.sleep(random.Random(f"{seed} {job.key}").uniform(0, 0.3))
        plain(job, around)

    jobs.run_job = delayed


# Processors

NUMERICS = """
import hashlib, sys
import numpy as np, scipy.linalg, torch
from models.numerics import numerics
torch.set_num_threads(1)
x = torch.randn(257, 257, generator=torch.Generator().manual_seed(0))
pictures = torch.randn(2, 8, 33, 35, generator=torch.Generator().manual_seed(1))
kernels = torch.randn(8, 8, 3, 3, generator=torch.Generator().manual_seed(2))
results = [
    (x @ x).numpy(), torch.exp(x).sum(0).numpy(), torch.tanh(x).mean(1).numpy(), torch.softmax(x, 1).numpy(),
    torch.nn.functional.conv2d(pictures, kernels).numpy(), x.numpy().astype(float) @ x.numpy().astype(float),
    x.numpy() @ x.numpy(), np.sin(x.numpy()), scipy.linalg.svdvals(x.numpy()[:64, :64].astype(float)),
]
digest = hashlib.sha256(b"".join(np.ascontiguousarray(r).tobytes() for r in results)).hexdigest()
print(numerics("cpu").digest + "\\t" + digest)
"""
"""Prints the fingerprint of the numerics and a digest of results of all libraries that compute."""

SETTINGS: tuple[dict[str, str], ...] = (
    {"ONEDNN_MAX_CPU_ISA": "SSE41"},
    {"MKL_CBWR": "COMPATIBLE"},
    {"ATEN_CPU_CAPABILITY": "default"},
    {"OPENBLAS_CORETYPE": "Haswell"},
    {"ATEN_CPU_CAPABILITY": "avx2"},
    {"MKL_CBWR": "AVX2"},
    {"OPENBLAS_CORETYPE": "Nehalem"},
    {"ONEDNN_MAX_CPU_ISA": "AVX2"},
    {"MKL_ENABLE_INSTRUCTIONS": "SSE4_2"},
    {"NPY_DISABLE_CPU_FEATURES": "AVX512F AVX512_SKX AVX512_CLX AVX512_CNL AVX512_ICL AVX512_SPR FMA3 AVX2"},
)


def instruction_sets(count: int, folder: Path) -> Tally:
    """Restrict the instruction set by every setting that libraries know: other bits must be another
    fingerprint."""
    tally = Tally()
    bits = {}
    fingerprint, digest = _numerics({})
    bits[fingerprint] = digest
    moved = 0
    for setting in SETTINGS[:count]:
        with tally.case(" ".join(f"{k}={v}" for k, v in setting.items())):
            fingerprint, other = _numerics(setting)
            moved += other != digest
            check(
                bits.setdefault(fingerprint, other) == other,
                "other bits under the same fingerprint: would be mixed",
            )
    tally.notes.append(f"{moved} settings moved bits on this machine")
    return tally


def _numerics(setting: Mapping[str, str]) -> tuple[str, str]:
    done = subprocess.run(
        [sys.executable, "-c", NUMERICS],
        cwd=toys.ROOT,
        env={**os.environ, **setting},
        capture_output=True,
        text=True,
        timeout=180,
        check=True,
    )
    fingerprint, _, digest = done.stdout.strip().splitlines()[-1].partition("\t")
    return fingerprint, digest


# Changes between two runs


@dataclasses.dataclass(frozen=True)
class Change:
    """An edit between two runs, and the stages that must and must not be other ones after it."""

    name: str
    arguments: tuple[str, ...] = ()
    before: Callable[[], None] = lambda: None
    changed: frozenset[str] = frozenset()


ALL = frozenset({"features", "net", "predict", "judge", "truth", "score"})
AFTER_NET = frozenset({"net", "predict", "score"})


def _set(target: str, name: str, value: Any) -> Callable[[], None]:
    def before() -> None:
        import importlib

        module, _, attribute = target.partition(":")
        place: Any = importlib.import_module(module)
        for part in attribute.split(".") if attribute else ():
            place = getattr(place, part)
        setattr(place, name, value)

    return before


def _install(package: str, version: str = "9.9.9") -> Callable[[], None]:
    """Return what makes a process take a package for one of another version."""

    def before() -> None:
        import importlib.metadata

        from models import numerics

        installed = importlib.metadata.version
        importlib.metadata.version = lambda name: version if name == package else installed(name)
        _set(package, "__version__", version)()
        for measured in (numerics.array_numerics, numerics.numerics):
            measured.cache_clear()

    return before


def _changes() -> list[Change]:
    return [
        Change("a stage's steps", ("method.net.steps=41",), changed=AFTER_NET),
        Change("a loss weight", ("method.net.weight=0.5",), changed=AFTER_NET),
        Change("a flag", ("method.net.flag=1",), changed=AFTER_NET),
        Change("the method's own key", ("method.shift=1.0",), changed=frozenset({"predict", "score"})),
        Change("the seed", ("seeds=[7]",), changed=AFTER_NET),
        Change("the data's version", ("data.version=2",), changed=ALL),
        Change("no labels", ("data.labels=false",), changed=ALL),
        Change("the split", ("split.train_sentences=1",), changed=ALL),
        Change("the subject", ("split.subject=B",), changed=ALL),
        Change(
            "the number of items", ("items.max_self=2",), changed=frozenset({"predict", "truth", "score"})
        ),
        Change("resamples", ("metrics.resamples=3",), changed=frozenset({"truth", "score"})),
        Change(
            "the second judge", ("metrics.network_steps=1",), changed=frozenset({"judge", "truth", "score"})
        ),
        Change(
            "the code of features",
            before=_set("toy_parts:Features", "version", 2),
            changed=ALL - {"judge", "truth"},
        ),
        Change(
            "the code of the network", before=_set("toy_parts:Regression", "version", 2), changed=AFTER_NET
        ),
        Change(
            "the code of predicting",
            before=_set("benchmark.plan", "PREDICT_VERSION", 99),
            changed=frozenset({"predict", "score"}),
        ),
        Change(
            "the code of scoring",
            before=_set("benchmark.plan", "SCORE_VERSION", 99),
            changed=frozenset({"truth", "score"}),
        ),
        Change(
            "the code of judges",
            before=_set("benchmark.plan", "JUDGE_VERSION", 99),
            changed=frozenset({"judge", "truth", "score"}),
        ),
        Change(
            "the harness's format", before=_set("benchmark.training.stage_cache", "FORMAT", 99), changed=ALL
        ),
        Change("the version of torch", before=_install("torch"), changed=ALL),
        Change("the version of NumPy", before=_install("numpy"), changed=ALL),
        Change("the number of workers", ("workers=2",)),
        Change("the time between checkpoints", ("checkpoint_seconds=1",)),
        Change("tracking", ("tracking=offline",)),
        Change("the place", ("out=results/../results",)),
    ]


def changes(count: int, folder: Path) -> Tally:
    """Change code, data, configuration or libraries between two runs: what is affected is another stage,
    the rest is reused."""
    tally = Tally()
    ids = _stage_ids(folder / "before", Change("nothing"))
    for number, change in enumerate(_changes()[:count]):
        with tally.case(change.name):
            now = _stage_ids(folder / f"case-{number}", change)
            stale = sorted(n for n in change.changed if n in now and now[n] == ids[n])
            check(not stale, f"would be reused though it is affected: {', '.join(stale)}")
            lost = sorted(n for n in ids.keys() - change.changed if now.get(n) != ids[n])
            check(not lost, f"would be computed again for nothing: {', '.join(lost)}")
    return tally


def _stage_ids(place: Path, change: Change) -> dict[str, str]:
    """Folder id by stage name of the tiny study after a change, from a forked process."""
    toys.warm()

    def work() -> int:
        from benchmark import config
        from benchmark.plan import make_plan
        from benchmark.study import Study, StudyConfig

        change.before()
        arguments = ["suite=toy", *toys.TINY, "workers=1", *change.arguments]
        settings = config.load(arguments, [str(toys.TOYS / "configs")])
        plan = make_plan(settings, Study(StudyConfig.of(settings)))
        print(json.dumps({job.name: job.id for job in plan.jobs.values() if job.id}))
        return 0

    ended = toys.fork(place, work).wait()
    check(ended.code == 0, f"planning ended with {ended.code}: {ended.last}")
    return json.loads(ended.stdout)


# Versions


def old_versions(count: int, folder: Path) -> Tally:
    """Give the reader manifests and records of other schemas, and of none."""
    from benchmark.records import SCHEMA, RecordsError, read_manifest, read_records

    tally = Tally()
    check(toys.run(folder / "run").code == 0, "undisturbed run")
    directory = folder / "run" / "results" / "toy-toy"
    manifest = json.loads((directory / "manifest.json").read_text(encoding="utf-8"))
    other = folder / "other"
    other.mkdir()
    path = other / "manifest.json"
    edits: list[tuple[str, dict[str, Any]]] = [
        (f"schema {schema!r}", {**manifest, "schema": schema})
        for schema in (0, SCHEMA + 1, SCHEMA + 100, None, str(SCHEMA), -1, [SCHEMA])
    ]
    edits += [
        (f"no {key}", {k: v for k, v in manifest.items() if k != key}) for key in ("schema", "cells", "clips")
    ]
    edits += [("a key that is not known", {**manifest, "from_the_future": 1}), ("an empty manifest", {})]
    for name, edited in edits[:count]:
        path.write_text(json.dumps(edited), encoding="utf-8")
        with tally.case(name):
            _check_refused(lambda: read_manifest(path), RecordsError, "manifest.json")
    with tally.case(f"schema {SCHEMA}"):
        read_manifest(directory / "manifest.json")
        check(len(read_records(directory / "records.jsonl")) > 0, "no records")
    tally.notes.append(f"schema {SCHEMA} is the only one that was ever released")
    return tally


def _check_refused(read: Callable[[], object], refused: type[Exception], name: str) -> None:
    try:
        read()
    except refused as error:
        check(name in str(error), f"does not name the file: {error}")
        check("\n" not in str(error), "more than one line")
    else:
        raise AssertionError("it was read")


def from_nothing(count: int, folder: Path) -> Tally:
    """Run the same study twice from nothing, in two folders and two ways: one tree of digests."""
    tally = Tally()
    wanted = _undisturbed(folder)
    for number in range(count):
        place = folder / f"case-{number}" / "elsewhere"
        with tally.case("from nothing"):
            _check_same(place, _real(place), wanted)
            own = toys.contents(place, below="cache")
            wrong = toys.difference(own, toys.contents(folder / "undisturbed", below="cache"))
            check(not wrong, f"prepared clips: {wrong}")
        shutil.rmtree(place)
    return tally


# Soak


def soak(count: int, folder: Path) -> Tally:
    """Run a toy study and build its report, over and over in one process: memory and open files must not
    grow."""
    tally = Tally()
    log = folder / "figures.txt"

    def work() -> int:
        import toy_run

        from reports.paper import build_report

        for number in range(count):
            code = toy_run.main([*toys.TINY, "workers=1", f"out=results-{number}"])
            build_report(Path(f"results-{number}/toy-toy"))
            shutil.rmtree(f"results-{number}")
            with log.open("a") as stream:
                stream.write(
                    f"{code} {_resident()} {len(list(Path('/proc/self/fd').iterdir()))} {_shared_files()}\n"
                )
        return 0

    before = _shared_files()
    ended = toys.fork(folder / "run", work).wait(120 * count)
    rows = [[int(v) for v in line.split()] for line in log.read_text().splitlines()]
    for code, *_ in rows:
        tally.add(code == 0, f"a run ended with {code}")
    check(ended.code == 0 and len(rows) == count, f"ended with {ended.code}: {ended.last}")
    later = np.array(rows[count // 3 :], float)
    slope = float(np.polyfit(np.arange(len(later)), later[:, 1], 1)[0]) / 2**20
    tally.notes.append(f"resident memory grows by {slope:.2f} MB a run after the first third")
    for wrong, what in (
        (slope >= 1.0, f"memory grows by {slope:.2f} MB a run"),
        (later[-1, 2] > later[0, 2], f"open files: {later[0, 2]:.0f}, then {later[-1, 2]:.0f}"),
        (later[-1, 3] > before, f"files in /dev/shm: {before}, then {later[-1, 3]:.0f}"),
    ):
        if wrong:
            tally.others[what] += 1
            tally.expected = 0
    return tally


def _resident() -> int:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


def _shared_files() -> int:
    place = Path("/dev/shm")
    return len(list(place.iterdir())) if place.is_dir() else 0
