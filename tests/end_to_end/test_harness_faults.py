"""The real command on toys: what a fault leaves behind, and what the next run makes of it."""

from __future__ import annotations

import hashlib
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

TOYS = Path(__file__).parents[1] / "toys"
COMMAND = [sys.executable, str(TOYS / "run.py"), "suite=toy"]
SMALL = ("seeds=[0]", "ablations=[full]", "methods=[toy]")


def arguments(place: Path, *extra: str) -> list[str]:
    return [*COMMAND, f"out={place}/results", f"cache={place}/cache", *extra]


def toy(place: Path, *extra: str, code: int = 0) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(arguments(place, *extra), capture_output=True, text=True, timeout=120)
    assert done.returncode == code, done.stderr + done.stdout
    return done


def contents(place: Path) -> dict[str, str]:
    """Digests of all that a run left, but for how long it took and whose lock it was."""
    root = place / "results"
    return {
        str(p.relative_to(root)): hashlib.sha256(p.read_bytes()).hexdigest()
        for p in sorted(root.rglob("*"))
        if p.is_file() and p.suffix not in (".seconds", ".lock")
    }


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    place = tmp_path_factory.mktemp("undisturbed")
    toy(place, *SMALL, "workers=2")
    return contents(place)


def test_second_run_does_nothing_and_worker_counts_give_the_same_bytes(tmp_path, undisturbed):
    toy(tmp_path, *SMALL, "workers=1")
    assert contents(tmp_path) == undisturbed
    before = {p: p.stat().st_mtime_ns for p in (tmp_path / "results").rglob("*")}
    assert "nothing was left to do" in toy(tmp_path, *SMALL).stdout
    assert before == {p: p.stat().st_mtime_ns for p in (tmp_path / "results").rglob("*")}


SLOW = ("method.net.pause=0.05", "method.net.steps=60", "checkpoint_seconds=0", "workers=1")


def begin(place: Path, *extra: str) -> subprocess.Popen[str]:
    """A run that is in the middle of its training."""
    process = subprocess.Popen(
        arguments(place, *SMALL, *SLOW, *extra), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    deadline = time.monotonic() + 100
    while not _past(place, 3):
        if process.poll() is not None or time.monotonic() > deadline:
            process.kill()
            raise AssertionError(process.communicate())
        time.sleep(0.02)
    return process


def _past(place: Path, step: int) -> bool:
    saved = place.glob("results/stages/.net-*.work/checkpoints/0/*.json")
    return any(int(p.stem) >= step for p in saved)


@pytest.fixture(scope="module")
def undisturbed_slow(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    place = tmp_path_factory.mktemp("slow")
    toy(place, *SMALL, *SLOW)
    return contents(place)


@pytest.mark.parametrize(
    ("number", "code"),
    [(signal.SIGKILL, -9), (signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGUSR1, 75)],
)
def test_resumes_to_the_same_bytes(tmp_path, undisturbed_slow, number, code):
    process = begin(tmp_path)
    children = _children(process.pid)
    process.send_signal(number)
    _, errors = process.communicate(timeout=30)
    assert process.returncode == code
    if number != signal.SIGKILL:
        assert re.fullmatch(r"stopped by SIG\w+; the same command goes on from here", errors.splitlines()[-1])
    _gone(children)
    assert list(tmp_path.glob("results/stages/.net-*.work"))
    toy(tmp_path, *SMALL, *SLOW)
    assert contents(tmp_path) == undisturbed_slow


def _children(pid: int) -> list[int]:
    return [int(p) for p in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def _gone(pids: list[int]) -> None:
    deadline = time.monotonic() + 5
    while any(_alive(pid) for pid in pids):
        assert time.monotonic() < deadline, "a worker outlived its parent"
        time.sleep(0.1)


def _alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().split(") ")[1][0] != "Z"
    except FileNotFoundError:
        return False


def test_damaged_checkpoint_is_passed_over(tmp_path, undisturbed_slow):
    process = begin(tmp_path)
    process.kill()
    process.communicate()
    time.sleep(1.2)  # the worker sees within half a second that its parent is gone
    newest = sorted(tmp_path.glob("results/stages/.net-*/checkpoints/0/*.safetensors"))[-1]
    data = bytearray(newest.read_bytes())
    data[len(data) // 2] ^= 1
    newest.write_bytes(data)
    assert "is not used: its weights are damaged" in toy(tmp_path, *SMALL, *SLOW).stderr
    assert contents(tmp_path) == undisturbed_slow


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        ("raise", "net: ValueError: a toy fault"),
        ("nan", "net: net/error is nan at step 20 of net/fit 0"),
        ("memory", "net: out of memory"),
        ("die", "net: its worker process was killed by SIGKILL"),
    ],
)
def test_a_failing_cell_fails_alone(tmp_path, fault, reason):
    done = toy(tmp_path, "seeds=[0]", "ablations=[full]", f"method.net.fault={fault}", code=3)
    assert f"FAILED toy seed 0: {reason}" in done.stdout
    assert "ground truth" in done.stdout
    manifest = (tmp_path / "results" / "toy-toy" / "manifest.json").read_text()
    assert manifest.count('"status": "FAILED"') == 1
    assert manifest.count('"status": "done"') == 1
    assert '"method": "toy"' not in (tmp_path / "results" / "toy-toy" / "records.jsonl").read_text()


def test_an_ablation_that_fails_leaves_the_full_model(tmp_path):
    done = toy(tmp_path, "seeds=[0]", "ablations=[full,faulty]", code=3)
    assert "FAILED toy/faulty seed 0: net: ValueError: a toy fault" in done.stdout
    assert done.stdout.count("FAILED") == 1


def test_full_disk(tmp_path, undisturbed):
    done = toy(tmp_path, *SMALL, "method.net.fault=full", code=4)
    assert done.stderr.splitlines()[-1].startswith("error: no space left while computing net-")
    assert not list(tmp_path.glob("results/stages/net-*"))
    assert not (tmp_path / "results" / "toy-toy" / "records.jsonl").exists()
    toy(tmp_path, *SMALL)
    fresh = contents(tmp_path)
    assert {k: v for k, v in fresh.items() if k in undisturbed} == undisturbed


def test_a_broken_clip_is_named(tmp_path):
    done = toy(tmp_path, *SMALL, "data.broken=A-s1-happy", code=3)
    assert "clip A-s1-happy: the file is truncated" in done.stdout


def test_damaged_stage_is_redone(tmp_path, undisturbed):
    toy(tmp_path, *SMALL)
    weights = next(tmp_path.glob("results/stages/net-*/net.safetensors"))
    weights.write_bytes(weights.read_bytes()[:-1])
    for score in tmp_path.glob("results/stages/predict-*"):
        score.rename(tmp_path / "elsewhere")
    for score in tmp_path.glob("results/stages/score-*"):
        score.rename(tmp_path / "elsewhere-too")
    assert "net.safetensors is not what was written" in toy(tmp_path, *SMALL, code=3).stdout
    toy(tmp_path, *SMALL)
    fresh = contents(tmp_path)
    assert {k: fresh[k] for k in undisturbed} == undisturbed


def test_two_processes_share_the_work(tmp_path, undisturbed):
    line = arguments(tmp_path, *SMALL, "workers=1")
    both = [
        subprocess.Popen(line, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) for _ in range(2)
    ]
    for process in both:
        output, _ = process.communicate(timeout=120)
        assert process.returncode == 0, output
    assert contents(tmp_path) == undisturbed


def test_without_emotions(tmp_path):
    done = toy(tmp_path, "seeds=[0]", "ablations=[full]", "data.labels=false")
    assert "note: toy has no emotion labels" in done.stdout
    assert "transfer" not in done.stdout.split("note:")[0]


@pytest.fixture
def here(monkeypatch):
    """The command in this process, for what never reaches a worker."""
    from benchmark import config, run

    monkeypatch.syspath_prepend(str(TOYS))
    monkeypatch.setattr(config, "ALLOWED_TARGETS", (*config.ALLOWED_TARGETS, "toy_parts."))

    def call(place: Path, *extra: str) -> int:
        line = ["suite=toy", f"out={place}/results", f"cache={place}/cache", *extra]
        return run.main(line, search_path=[str(TOYS / "configs")])

    return call


@pytest.mark.parametrize(
    ("argument", "message"),
    [
        ("sedes=[1]", "no configuration key 'sedes'; did you mean seeds?"),
        ("split.test_sharde=1", "no configuration key 'split.test_sharde'; did you mean split.test_shared?"),
        ("method.net.stpes=3", "no configuration key 'method.net.stpes'; did you mean method.net.steps?"),
        ("suite=huge", "no suite 'huge'; there are"),
        ("methods=[nobody]", "no method 'nobody'; there are"),
        ("ablations=[no_brain]", "no ablation 'no_brain'; there are full, no_dtw"),
        ("seeds=[0,0]", "seeds: a seed is there twice"),
        ("seeds=[-1]", "seeds: expected a list of whole numbers"),
        ("workers=0", "workers: expected 1 or more, got 0"),
        ("run=../x", "run: '../x' cannot name a file"),
        ("tracking.mode=loud", "tracking.mode: expected offline, online or disabled"),
        ("data._target_=os.system", "data._target_: 'os.system' is refused"),
        ("data._target_=benchmark.errors.signal.raise_signal", "data._target_: "),
        ("method.net._target_=torch.load", "method.net._target_: 'torch.load' is refused"),
        ("method.net.steps=${oc.env:HOME}", "method: "),
        ("split.subject=Z", "no speaker 'Z'; there are A, B, C"),
        ("nonsense", "expected key=value, got 'nonsense'"),
    ],
)
def test_bad_command_lines(tmp_path, capsys, here, argument, message):
    assert here(tmp_path, argument) == 2
    errors = capsys.readouterr().err
    assert errors.startswith("error: ")
    assert message in errors
    assert errors.count("\n") == 1
    assert not (tmp_path / "results").exists()


def test_dry_run_touches_nothing(tmp_path, capsys, here):
    assert here(tmp_path, "dry_run=true") == 0
    said = capsys.readouterr().out
    assert "8 cells" in said
    assert "used by 6 cells" in said
    assert not list(tmp_path.iterdir())


def test_help(tmp_path, capsys, here):
    assert here(tmp_path, "--help") == 0
    said = capsys.readouterr().out
    assert "usage: python -m benchmark.run" in said
    assert "no_cross_reconstruction" in said
