"""Prepared clips that were damaged between or during runs are named, set aside and made again."""

from __future__ import annotations

import contextlib
import hashlib
import io
import os
import random
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

TOYS = Path(__file__).parents[1] / "toys"
ROUNDS = int(os.environ.get("EVP_BENCH_DAMAGE_ROUNDS", "1"))
"""Runs with seven damaged files each."""


@pytest.fixture(scope="module", autouse=True)
def toys() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(TOYS))
        import toy_run

        toy_run.lend(patch.setattr, report=False)
        yield


def run(place: Path) -> str:
    import toy_run

    arguments = [f"out={place}/results", f"cache={place}/cache", "seeds=[0]", "ablations=[full]"]
    with contextlib.redirect_stdout(io.StringIO()) as out, contextlib.redirect_stderr(io.StringIO()) as err:
        code = toy_run.main([*arguments, "methods=[toy,ground_truth]", "workers=1"])
    assert code == 0, err.getvalue() + out.getvalue()
    return err.getvalue() + out.getvalue()


def results(place: Path) -> dict[str, str]:
    root = place / "results"
    return {
        str(p.relative_to(root)): hashlib.sha256(p.read_bytes()).hexdigest()
        for p in sorted(root.rglob("*"))
        if p.is_file() and p.suffix not in (".seconds", ".lock")
    }


def flip(path: Path, rng: random.Random) -> None:
    content = bytearray(path.read_bytes())
    content[rng.randrange(len(content))] ^= 1 << rng.randrange(8)
    path.write_bytes(content)


def truncate(path: Path, rng: random.Random) -> None:
    path.write_bytes(path.read_bytes()[: rng.randrange(1, path.stat().st_size)])


def swap(path: Path, rng: random.Random) -> None:
    others = [p for p in path.parent.parent.glob(f"*/{path.name}") if p != path]
    other = rng.choice(sorted(others))
    mine, its = path.read_bytes(), other.read_bytes()
    path.write_bytes(its)
    other.write_bytes(mine)


def header(path: Path, rng: random.Random) -> None:
    path.write_bytes(path.read_bytes().replace(b"'<f4'", b"'>f4'", 1))


DAMAGES: dict[str, Callable[[Path, random.Random], object]] = {
    "flipped bit": flip,
    "truncated": truncate,
    "emptied": lambda path, rng: path.write_bytes(b""),
    "removed": lambda path, rng: path.unlink(),
    "exchanged": swap,
    "other header": header,
    "appended": lambda path, rng: path.write_bytes(path.read_bytes() + b"\0"),
}


def test_damaged_clips_are_named_and_made_again(tmp_path: Path) -> None:
    run(tmp_path)
    expected = results(tmp_path)
    rng = random.Random(0)
    for number in range(ROUNDS):
        files = sorted((tmp_path / "cache").glob("toy-*/[!.]*/*.npy"))
        chosen = dict(zip(DAMAGES, rng.sample(files, len(DAMAGES)), strict=True))
        for kind, path in chosen.items():
            DAMAGES[kind](path, rng)
        # Everything is computed again, from the cache.
        (tmp_path / "results").rename(tmp_path / f"results-{number}")
        said = " ".join(run(tmp_path).split())
        assert results(tmp_path) == expected
        for kind, path in chosen.items():
            if kind != "removed":
                assert f"prepared clip {path.parent.name}: {path.name}" in said, (kind, said)
