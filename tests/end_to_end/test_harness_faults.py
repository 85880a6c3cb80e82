"""The real command on toys: what a fault leaves behind, and what the next run makes of it."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import io
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

TOYS = Path(__file__).parents[1] / "toys"
COMMAND = [sys.executable, str(TOYS / "toy_run.py")]
SMALL = ("seeds=[0]", "ablations=[full]", "methods=[toy]")
PATIENCE = 240
"""Seconds that a process may take on a machine that is busy with something else."""


@dataclass(frozen=True)
class Said:
    stdout: str
    stderr: str


@pytest.fixture(scope="module", autouse=True)
def toys() -> Iterator[None]:
    """The command with toys in this process: most tests need no other but the workers."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(TOYS))
        import toy_run

        toy_run.lend(patch.setattr, report=False)
        yield


def places(place: Path) -> list[str]:
    return [f"out={place}/results", f"cache={place}/cache"]


def toy(place: Path, *extra: str, code: int = 0) -> Said:
    import toy_run

    with (
        contextlib.redirect_stdout(io.StringIO()) as out,
        contextlib.redirect_stderr(io.StringIO()) as err,
    ):
        got = toy_run.main([*places(place), *extra])
    assert got == code, err.getvalue() + out.getvalue()
    return Said(out.getvalue(), err.getvalue())


def without_command(path: Path) -> bytes:
    """Return a file's bytes without the command of the run, which names the places that it was given."""
    data = path.read_bytes()
    if path.name in ("manifest.json", "index.html"):
        data = re.sub(rb"python -m benchmark\.run [^\n<\"]*", b"", data)
    return data


def contents(place: Path) -> dict[str, str]:
    """Digests of all that a run left, but for its times, whose lock it was, and the command."""
    root = place / "results"
    return {
        str(p.relative_to(root)): hashlib.sha256(without_command(p)).hexdigest()
        for p in sorted(root.rglob("*"))
        # A report's marker is a digest of the manifest, which holds the command.
        if p.is_file() and p.suffix not in (".seconds", ".lock") and p.name != ".report.json"
    }


def times(place: Path) -> dict[Path, int]:
    return {
        p: p.stat().st_mtime_ns
        for p in (place / "results").rglob("*")
        if p.suffix != ".lock" and p.name != ".lock"
    }


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory, toys: None) -> dict[str, str]:
    place = tmp_path_factory.mktemp("undisturbed")
    toy(place, *SMALL, "workers=2")
    return contents(place)


def test_second_run_does_nothing_and_worker_counts_give_the_same_bytes(tmp_path, undisturbed):
    toy(tmp_path, *SMALL, "workers=1")
    assert contents(tmp_path) == undisturbed
    before = times(tmp_path)
    assert "nothing was left to do" in toy(tmp_path, *SMALL).stdout
    assert before == times(tmp_path)


# Interruptions


def begin(place: Path) -> subprocess.Popen[str]:
    """A run of its own process group that is in the middle of its training."""
    line = [*COMMAND, *places(place), *SMALL, "workers=1", "checkpoint_seconds=0"]
    process = subprocess.Popen(
        line,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        env={**os.environ, "TOY_PAUSE": "0.5"},
    )
    wait_for(process, lambda: _past(place, 3))
    return process


def wait_for(process: subprocess.Popen[str], condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not condition():
        if process.poll() is not None or time.monotonic() > deadline:
            process.kill()
            raise AssertionError(process.communicate())
        time.sleep(0.02)


def test_ctrl_c_while_a_worker_is_importing(tmp_path):
    line = [*COMMAND, *places(tmp_path), *SMALL, "workers=1"]
    process = subprocess.Popen(line, stderr=subprocess.PIPE, text=True, start_new_session=True)
    deadline = time.monotonic() + PATIENCE
    while not (workers := [p for p in _children(process.pid) if "spawn_main" in _command(p)]):
        assert process.poll() is None
        assert time.monotonic() < deadline
    for _ in range(2):
        os.killpg(process.pid, signal.SIGINT)
        time.sleep(0.1)
    _, errors = process.communicate(timeout=PATIENCE)
    assert process.returncode == 130
    assert errors == "stopped by SIGINT; the same command goes on from here\n"
    _gone(workers)


def _command(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return ""


def _past(place: Path, step: int) -> bool:
    saved = place.glob("results/stages/.net-*.work/checkpoints/0/*.json")
    return any(int(p.stem) >= step for p in saved if p.stem.isdigit())


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_stopped_run_resumes_to_the_same_bytes(tmp_path, undisturbed, number, code):
    process = begin(tmp_path)
    children = _children(process.pid)
    # A terminal sends Ctrl-C to every process of the group, a cluster SIGTERM to the one it knows.
    (os.killpg if number == signal.SIGINT else os.kill)(process.pid, number)
    _, errors = process.communicate(timeout=PATIENCE)
    assert process.returncode == code
    assert re.fullmatch(r"stopped by SIG\w+; the same command goes on from here", errors.splitlines()[-1])
    assert "Traceback" not in errors
    _gone(children)
    assert _past(tmp_path, 3)
    assert not (tmp_path / "results" / "toy-toy" / "records.jsonl").exists()
    toy(tmp_path, *SMALL)
    assert contents(tmp_path) == undisturbed


@pytest.mark.parametrize("damaged", [False, True])
def test_a_killed_run_resumes_to_the_same_bytes(tmp_path, undisturbed, damaged):
    process = begin(tmp_path)
    children = _children(process.pid)
    process.kill()
    process.communicate(timeout=PATIENCE)
    assert process.returncode == -signal.SIGKILL
    _gone(children)
    if damaged:
        newest = sorted(tmp_path.glob("results/stages/.net-*/checkpoints/0/[0-9]*.safetensors"))[-1]
        data = bytearray(newest.read_bytes())
        data[len(data) // 2] ^= 1
        newest.write_bytes(data)
        newest.with_suffix(".json").touch()
    said = toy(tmp_path, *SMALL)
    assert ("is not used" in said.stderr) == damaged
    assert contents(tmp_path) == undisturbed


def _children(pid: int) -> list[int]:
    return [int(p) for p in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def _gone(pids: list[int]) -> None:
    deadline = time.monotonic() + PATIENCE
    while any(_alive(pid) for pid in pids):
        assert time.monotonic() < deadline, "a worker outlived its parent"
        time.sleep(0.1)


def _alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().split(") ")[1][0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


PLANNING = """
import os, signal, sys, time
from benchmark import config, run

def load(*arguments):
    os.kill(os.getpid(), signal.{signal})
    time.sleep(60)

config.load = load
sys.exit(run.main(["suite=quick"]))
"""


@pytest.mark.parametrize(("number", "code"), [("SIGINT", 130), ("SIGTERM", 143), ("SIGUSR1", 75)])
def test_exit_code_of_every_signal(tmp_path, number, code):
    line = [sys.executable, "-c", PLANNING.replace("{signal}", number)]
    done = subprocess.run(line, capture_output=True, text=True, timeout=50, cwd=Path(__file__).parents[2])
    assert (done.returncode, done.stdout) == (code, "")
    assert done.stderr == f"stopped by {number}; the same command goes on from here\n"


# Cells that fail


def test_a_failing_cell_fails_alone_and_the_report_is_built(tmp_path, monkeypatch):
    from benchmark import results
    from reports.paper import build_report

    monkeypatch.setattr(results, "report", lambda directory: build_report(directory))
    said = toy(tmp_path, "seeds=[0]", "ablations=[full,raises,overflows,exhausts,dies]", code=3)
    reasons = {
        "raises": "net: ValueError: a toy fault",
        "overflows": "net: net/error is nan at step 20 of net/fit 0",
        "exhausts": "net: out of memory",
        "dies": "net: its worker process was killed by SIGKILL",
    }
    for name, reason in reasons.items():
        assert f"FAILED toy/{name} seed 0: {reason}" in said.stdout
    assert said.stdout.count("FAILED") == len(reasons)
    run = tmp_path / "results" / "toy-toy"
    manifest = (run / "manifest.json").read_text()
    assert manifest.count('"status": "FAILED"') == len(reasons)
    assert manifest.count('"status": "done"') == 2
    page = Path(said.stdout.split("report: ")[1].strip())
    assert page == run / "report" / "index.html"
    assert "FAILED" in page.read_text()
    records = (run / "records.jsonl").read_text()
    assert '"ablation": "full"' in records
    assert not any(f'"{name}"' in records for name in reasons)
    assert any("a toy fault" in p.read_text() for p in (run / "failures").glob("net-*.txt"))


def test_a_job_that_hangs_is_named_with_its_stack_and_ended_if_so_asked(tmp_path):
    hang = ("ablations=[full,sleeps,locks]", "methods=[toy]", "seeds=[0]", "workers=2")
    said = toy(tmp_path, *hang, "stall_seconds=25", "stall=fail", code=3)
    run = tmp_path / "results" / "toy-toy"
    for name in ("sleeps", "locks"):
        assert re.search(rf"FAILED toy/{name} seed 0: net: stalled: no progress for \d+ s", said.stdout)
    named = [
        line for line in said.stderr.splitlines() if re.match(r"net-\w+: no progress for \d+ s \(File", line)
    ]
    assert len(named) == 2
    stacks = [p.read_text() for p in run.glob("failures/net-*.stalled.txt")]
    assert len(stacks) == 2
    assert all("toy_parts.py" in stack and "in _fail" in stack for stack in stacks)
    manifest = (run / "manifest.json").read_text()
    assert manifest.count('"status": "FAILED"') == 2
    assert manifest.count('"status": "done"') == 1


def test_a_stopped_worker_is_named_and_goes_on_to_the_same_bytes(tmp_path, undisturbed):
    line = [*COMMAND, *places(tmp_path), *SMALL, "workers=1", "checkpoint_seconds=0", "stall_seconds=5"]
    process = subprocess.Popen(
        line,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "TOY_PAUSE": "0.2"},
        start_new_session=True,
    )
    assert process.stderr is not None
    wait_for(process, lambda: _past(tmp_path, 3))
    (worker,) = [p for p in _children(process.pid) if "spawn_main" in _command(p)]
    os.kill(worker, signal.SIGSTOP)
    lines = iter(process.stderr.readline, "")
    assert any(re.match(r"net-\w+: no progress for \d+ s \(its process is stopped\)", line) for line in lines)
    os.kill(worker, signal.SIGCONT)
    assert any(re.match(r"net-\w+: goes on", line) for line in lines)
    process.communicate(timeout=PATIENCE)
    assert process.returncode == 0
    assert contents(tmp_path) == undisturbed


def test_a_fault_of_the_machine_leaves_nothing_and_the_next_run_goes_on(tmp_path, undisturbed, monkeypatch):
    monkeypatch.setenv("TOY_FAULT", "full")
    said = toy(tmp_path, *SMALL, "workers=1", code=4)
    assert said.stderr.splitlines()[-1].startswith("error: no space left while computing net-")
    assert not list(tmp_path.glob("results/stages/net-*"))
    assert not (tmp_path / "results" / "toy-toy" / "records.jsonl").exists()
    monkeypatch.delenv("TOY_FAULT")
    toy(tmp_path, *SMALL, "workers=1")
    assert contents(tmp_path) == undisturbed


def test_no_space_for_the_records(tmp_path, undisturbed, monkeypatch):
    from benchmark import results

    def full(path: Path, records: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))

    with monkeypatch.context() as patch:
        patch.setattr(results, "write_records", full)
        errors = toy(tmp_path, *SMALL, "workers=1", code=4).stderr.splitlines()
    assert errors[-1].startswith(f"error: no space left while writing results to {tmp_path}/results/toy-toy")
    assert "Traceback" not in "".join(errors)
    toy(tmp_path, *SMALL)
    assert contents(tmp_path) == undisturbed


def test_broken_clips_are_named_once_and_the_next_run_goes_on(tmp_path, undisturbed):
    said = toy(tmp_path, *SMALL, "data.broken=A-s1-happy+A-s1-angry", "workers=1", code=3)
    reason = "prepare: clip A-s1-angry: the file is truncated; nor can A-s1-happy be used"
    assert f"FAILED toy seed 0: {reason}" in said.stdout
    assert said.stderr.count("truncated") == 1
    assert "not run for that reason: features, net, predict, judge, truth, score" in said.stderr
    toy(tmp_path, *SMALL, "workers=1")
    assert contents(tmp_path) == undisturbed


def test_a_place_that_cannot_be_written_is_named_before_anything_is_done(tmp_path):
    said = toy(tmp_path, *SMALL, "out=/proc/nothing", code=4)
    assert said.stderr.startswith("error: storage fault while beginning work in /proc/nothing")
    assert said.stderr.count("\n") == 1


# Damage


def test_damaged_and_missing_stages_are_computed_again_in_the_same_run(tmp_path, undisturbed):
    toy(tmp_path, *SMALL, "workers=1")
    stages = tmp_path / "results" / "stages"
    weights = next(stages.glob("net-*/net.safetensors"))
    weights.write_bytes(weights.read_bytes()[:-1])
    scores = next(stages.glob("score-*/scores.json"))
    scores.write_text(scores.read_text().replace("1", "2", 1))
    for name in ("predict", "features"):
        next(stages.glob(f"{name}-*")).rename(tmp_path / name)
    errors = toy(tmp_path, *SMALL, "workers=1").stderr
    assert "net.safetensors is not what was written" in errors
    assert "scores.json is not what was written" in errors
    assert re.search(r"net-\w+ is damaged \(.*\): it is computed again", errors)
    fresh = {k: v for k, v in contents(tmp_path).items() if ".damaged-" not in k}
    assert fresh == undisturbed
    assert len(list(stages.glob(".*.damaged-0"))) == 2


def test_two_processes_share_the_work(tmp_path, undisturbed):
    line = [*COMMAND, *places(tmp_path), *SMALL, "workers=1"]
    run = tmp_path / "results" / "toy-toy"
    together(line, os.environ.copy())
    assert contents(tmp_path) == undisturbed
    # Nothing but the report is left to do, so that both begin it at the same time.
    together(line, {**os.environ, "TOY_REPORT": "1"})
    assert (run / "report" / "index.html").is_file()
    assert not [p for p in run.iterdir() if p.name.startswith(".report.") and p.is_dir()]


def together(line: list[str], environment: dict[str, str]) -> None:
    both = [
        subprocess.Popen(line, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environment)
        for _ in range(2)
    ]
    for process in both:
        output, _ = process.communicate(timeout=PATIENCE)
        assert process.returncode == 0, output


def test_without_emotions(tmp_path):
    said = toy(tmp_path, "seeds=[0]", "ablations=[full]", "data.labels=false", "workers=1")
    assert "note: toy has no emotion labels" in said.stdout
    assert "transfer" not in said.stdout.split("note:")[0]


# Nothing is begun


@pytest.mark.parametrize(
    ("argument", "message"),
    [
        ("sedes=[1]", "no configuration key 'sedes'; did you mean seeds?"),
        ("split.test_sharde=1", "no configuration key 'split.test_sharde'; did you mean split.test_shared?"),
        ("method.net.stpes=3", "no configuration key 'method.net.stpes'; did you mean method.net.steps?"),
        ("out=/dev/null/x", "out: expected a folder, but /dev/null is a file"),
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
        ("method.net.steps=${oc.env:SHELL}", "method: the environment variable 'SHELL' is not read"),
        ("data={_target_:toy_parts.ToyCorpus}", "data: expected a name, got {"),
        ("+data.x={_target_:toy_parts.Toy}", "no configuration key 'data.x'"),
        ("method.net._target_=toy_parts.Toy", "toy_parts.Toy is refused: it is not a Stage"),
        ("method.net._target_=toy_parts.face", "'toy_parts.face' is refused: it is not a class of"),
        ("split.test_other=1.5", "split.test_other: expected a whole number, got 1.5"),
        ("split.test_shared=-1", "split.test_shared: expected 0 or more, got -1"),
        ("method.net.steps=few", "method.net.steps: expected a whole number, got 'few'"),
        ("split.subject=Z", "no speaker 'Z'; there are A, B, C"),
        ("method.net.weight=nan", "method.net.weight: expected a finite number, got nan"),
        ("nonsense", "expected key=value, got 'nonsense'"),
    ],
)
def test_bad_command_lines(tmp_path, argument, message):
    errors = toy(tmp_path, argument, code=2).stderr
    assert errors.startswith("error: ")
    assert message in errors
    assert errors.count("\n") == 1
    assert not (tmp_path / "results").exists()


def test_an_unknown_ablation_is_refused_even_if_no_method_is_ablated(tmp_path):
    errors = toy(tmp_path, "ablated=[]", "ablations=[no_brain]", code=2).stderr
    assert errors.startswith("error: no ablation 'no_brain'; there are full, ")
    assert toy(tmp_path, "ablated=[nobody]", code=2).stderr == "error: ablated: no method 'nobody'\n"


def test_dry_run_touches_nothing(tmp_path):
    said = toy(tmp_path, "dry_run=true").stdout
    assert "8 cells" in said
    assert "used by 6 cells" in said
    assert not list(tmp_path.iterdir())


def test_help(tmp_path):
    said = toy(tmp_path, "--help").stdout
    assert "usage: python -m benchmark.run" in said
    assert "no_cross_reconstruction" in said
