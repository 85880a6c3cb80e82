"""Rows 5 to 9: disks that are full, broken or forbidden, and files that are damaged."""

from __future__ import annotations

import errno
import json
import random
import shutil
from collections.abc import Callable
from pathlib import Path

import torch

from models.training.checkpoint import load_checkpoint, save_checkpoint
from tests.faults import toys
from tests.faults.tally import Tally, check
from tests.faults.write_calls import ALLOCATING, Call, Fault, Watch, recorded, recorder


def full_disk(count: int, folder: Path) -> Tally:
    """Let the disk become full at every place that writes, the first and the last time it is passed."""
    return _failing_calls(count, folder, [errno.ENOSPC], times=2)


def broken_disk(count: int, folder: Path) -> Tally:
    """Let every place that writes fail once: input/output error, no permission, read-only, too many open
    files."""
    return _failing_calls(count, folder, [errno.EIO, errno.EACCES, errno.EROFS, errno.EMFILE], times=1)


def _failing_calls(count: int, folder: Path, codes: list[int], *, times: int) -> Tally:
    tally = Tally()
    check(toys.run(folder / "undisturbed").code == 0, "undisturbed run")
    wanted = toys.contents(folder / "undisturbed")
    place = folder / "recorded"
    place.mkdir()
    log = folder / "calls.txt"
    check(toys.run(place, before=lambda: Watch(place, recorder(log)).install()).code == 0, "recording")
    # Removing needs no space.
    calls = [c for c in recorded(log) if codes != [errno.ENOSPC] or c.kind in ALLOCATING]
    places = _places(calls, times)
    cases = [(call, code) for call in places for code in codes]
    random.Random(f"failing calls {codes}").shuffle(cases)
    absorbed = 0
    for number, (call, code) in enumerate(cases[:count]):
        place = folder / f"case-{number}"
        with tally.case(f"{errno.errorcode[code]} at {call.kind} of {call.site}"):
            fault = Fault(call, code)
            ended = toys.run(place, before=lambda p=place, f=fault: Watch(p, f).install())
            check(fault.happened, "the call was not reached")
            if ended.code == 0:
                absorbed += 1
            else:
                check(ended.code == 4, f"ended with {ended.code}: {ended.last or ended.stdout[-200:]}")
                check(ended.last.startswith("error: "), f"no clear message: {ended.last}")
                check(not ended.trace, f"a traceback: {ended.trace}")
                _check_unpublished(place, wanted)
            wrong = toys.identical(place, wanted)
            check(not wrong, wrong)
        shutil.rmtree(place, ignore_errors=True)
    tally.notes.append(
        f"{len(cases)} cases at {len({(c.site, c.kind) for c in places})} places; {absorbed} faults were got "
        "around (exit code 0, the same bytes)"
    )
    return tally


def _places(calls: list[Call], times: int) -> list[Call]:
    by_place: dict[tuple[str, str], list[Call]] = {}
    for call in calls:
        by_place.setdefault((call.site, call.kind), []).append(call)
    chosen: list[Call] = []
    for each in by_place.values():
        chosen += dict.fromkeys((each[0], each[-1]) if times == 2 else (each[len(each) // 2],))
    return chosen


def _check_unpublished(place: Path, wanted: dict[str, str]) -> None:
    """What is visible after a fault is whole: every complete stage has the undisturbed run's files."""
    for recipe in (place / "results" / "stages").glob("[a-z]*/stage.json"):
        prefix = f"stages/{recipe.parent.name}/"
        now = {k: v for k, v in toys.contents(place).items() if k.startswith(prefix)}
        whole = {k: v for k, v in wanted.items() if k.startswith(prefix)}
        check(now == whole, f"{recipe.parent.name} is visible, but not whole")


# Checkpoints


def damaged_checkpoints(count: int, folder: Path) -> Tally:
    """Flip bits of a checkpoint, truncate, empty or swap its files: the one before is loaded, or none."""
    tally = Tally()
    rng = random.Random("damaged checkpoints")
    save_checkpoint(folder / "own", owner="net-1/0", step=1, tensors=_tensors(1), state={"rows": [1]})
    save_checkpoint(folder / "own", owner="net-1/0", step=2, tensors=_tensors(2), state={"rows": [1, 2]})
    save_checkpoint(folder / "other", owner="net-2/0", step=2, tensors=_tensors(3), state={"rows": [3]})
    files = [folder / "own" / f"{2:09d}{ending}" for ending in (".safetensors", ".json")]
    for number in range(count):
        shutil.rmtree(folder / "damaged", ignore_errors=True)
        shutil.copytree(folder / "own", folder / "damaged")
        path = folder / "damaged" / files[number % 2].name
        what = _damage(path, number // 2, rng, folder / "other" / path.name)
        with tally.case(f"{what} of {path.suffix}"):
            said: list[str] = []
            loaded = load_checkpoint(folder / "damaged", owner="net-1/0", say=said.append)
            check(loaded is not None, "the one before was not loaded")
            assert loaded is not None
            check(
                loaded.step == 1 and torch.equal(loaded.tensors["w"], _tensors(1)["w"]), "damage was loaded"
            )
            check(len(said) == 1 and "is not used" in said[0], f"said {said}")
    return tally


def _tensors(seed: int) -> dict[str, torch.Tensor]:
    return {"w": torch.randn(8, 8, generator=torch.Generator().manual_seed(seed)), "n": torch.tensor(seed)}


def _damage(path: Path, number: int, rng: random.Random, other: Path) -> str:
    """Damage a file in one of four ways; which."""
    data = bytearray(path.read_bytes())
    kind = number % 8
    if kind < 4:
        data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
        what = "a flipped bit"
    elif kind < 6:
        del data[rng.randrange(len(data)) :]
        what = "a truncation"
    elif kind == 6:
        data.clear()
        what = "an empty file"
    else:
        data = bytearray(other.read_bytes())
        what = "another's file"
    path.write_bytes(data)
    return what


# Stages and clips


def damaged_cache(count: int, folder: Path) -> Tally:
    """Damage the files of finished stages and of prepared clips, and run again: named, put aside, the same
    bytes."""
    tally = Tally()
    rng = random.Random("damaged cache")
    place = folder / "run"
    check(toys.run(place).code == 0, "undisturbed run")
    wanted = toys.contents(place)
    clips = toys.contents(place, below="cache")
    shutil.copytree(place, folder / "whole")
    stages = [p for p in sorted((place / "results" / "stages").glob("[a-z]*/**/*")) if p.is_file()]
    prepared = [p for p in sorted((place / "cache").rglob("*")) if p.is_file() and not p.name.startswith(".")]
    for number in range(count):
        path = rng.choice((stages, prepared)[number % 2])
        other = rng.choice([p for p in (stages, prepared)[number % 2] if p.suffix == path.suffix])
        what = _damage(path, number, rng, other)
        if (
            what == "another's file"
            and other.read_bytes() == (folder / "whole" / path.relative_to(place)).read_bytes()
        ):
            what = _damage(path, 0, rng, other)
        name = path.relative_to(place).as_posix()
        kind = path.parent.name.split("-")[0] if "stages" in name else "a clip"
        with tally.case(f"{what} in {kind}/{path.name}"):
            _redo(place, kind, path)
            ended = toys.run(place)
            check(ended.code == 0, f"ended with {ended.code}: {ended.last or ended.stdout[-200:]}")
            fresh = {k: v for k, v in toys.contents(place).items() if ".damaged-" not in k}
            wrong = toys.difference(fresh, wanted)
            check(not wrong, f"other results: {wrong}")
            now = {k: v for k, v in toys.contents(place, below="cache").items() if "damaged" not in k}
            wrong = toys.difference(now, clips)
            check(not wrong, f"other clips: {wrong}")
            check(
                "damaged" in ended.stderr
                or "is not what was written" in ended.stderr
                or "missing" in ended.stderr,
                f"nothing was said: {ended.stderr[-200:]}",
            )
        shutil.rmtree(place)
        shutil.copytree(folder / "whole", place)
    return tally


def _redo(place: Path, kind: str, damaged: Path) -> None:
    """Remove what was made from a damaged file, so that it is read again: a finished study reads nothing."""
    stages = place / "results" / "stages"
    readers = {
        "features": ["net", "predict", "score"],
        "net": ["predict", "score"],
        "predict": ["score"],
        "truth": ["score"],
        "judge": ["truth", "score"],
        "a clip": ["features", "net", "predict", "judge", "truth", "score"],
    }
    for name in readers.get(kind, []):
        for folder in stages.glob(f"{name}-*"):
            shutil.rmtree(folder)
    if kind == "score":
        (place / "results" / "toy-toy" / "records.jsonl").unlink()


# Records


def torn_records(count: int, folder: Path) -> Tally:
    """Cut off the tail of what a run has written, or append to it: the next run has every record."""
    tally = Tally()
    rng = random.Random("torn records")
    place = folder / "run"
    check(toys.run(place).code == 0, "undisturbed run")
    wanted = toys.contents(place)
    directory = place / "results" / "toy-toy"
    from benchmark.records import RecordsError, read_manifest, read_records

    readers: dict[str, Callable[[Path], object]] = {
        "records.jsonl": read_records,
        "manifest.json": read_manifest,
    }
    for number in range(count):
        name = list(readers)[number % 2]
        path = directory / name
        whole = path.read_bytes()
        cut = rng.randrange(len(whole))
        tail = b'{"torn": ' if number % 4 > 1 else b""
        path.write_bytes(whole[:cut] + tail)
        with tally.case(f"{name} cut off"):
            _check_read(readers[name], path, whole, RecordsError)
            ended = toys.run(place)
            check(ended.code == 0, f"ended with {ended.code}: {ended.last}")
            wrong = toys.difference(toys.contents(place), wanted)
            check(not wrong, wrong)
        path.write_bytes(whole)
    return tally


def _check_read(read: Callable[[Path], object], path: Path, whole: bytes, refused: type[Exception]) -> None:
    """A torn file is refused by name; one that lost whole lines may be read, and has those that are there."""
    try:
        found = read(path)
    except refused as error:
        check(path.name in str(error), f"does not name the file: {error}")
        return
    data = path.read_bytes()
    check(whole.startswith(data), "damage was read")
    if path.suffix == ".jsonl":
        rows = [json.loads(line) for line in data.decode().splitlines()]
        check(isinstance(found, list) and len(found) == len(rows), "a record was lost")
