"""The mirror in Weights & Biases: the same numbers as the records, no secret, never a reason to fail."""

from __future__ import annotations

import contextlib
import io
import json
import re
import socket
import time
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

from benchmark import tracking
from benchmark.errors import is_storage_fault
from benchmark.plan import Job
from benchmark.records import read_manifest, read_records
from benchmark.tracking import TrackingError, mirror

TOYS = Path(__file__).parents[2] / "toys"
SECRETS = {
    "WANDB_API_KEY": "5ec4e7" * 6 + "abcd",
    "CANARY_TOKEN": "canary-that-must-not-sing",
    "WANDB_SILENT": "false",
}
STUDY = ("seeds=[0]", "ablations=[full]", "workers=1")


def run(place: Path, *extra: str) -> tuple[int, str, str]:
    import toy_run

    line = [f"out={place}/results", f"cache={place}/cache", *STUDY, *extra]
    with (
        contextlib.redirect_stdout(io.StringIO()) as out,
        contextlib.redirect_stderr(io.StringIO()) as err,
    ):
        return toy_run.main(line), out.getvalue(), err.getvalue()


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A toy study, mirrored offline from an environment with secrets in it."""
    folder = tmp_path_factory.mktemp("mirrored")
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(TOYS))
        import toy_run

        toy_run.lend(patch.setattr, report=False)
        for name, value in SECRETS.items():
            patch.setenv(name, value)
        code, out, err = run(folder, "tracking=offline")
        assert code == 0, out + err
        assert "warning" not in err
        yield folder


def offline_runs(place: Path) -> dict:
    import wandb_file

    found = [wandb_file.read(p) for p in place.glob("results/toy-toy/wandb/wandb/offline-run-*/*.wandb")]
    return {f"{r.config['method']['_target_']}/{r.config['ablation']}/{r.config['seed']}": r for r in found}


def test_every_cell_is_one_run_with_the_numbers_of_its_records(place: Path):
    directory = place / "results" / "toy-toy"
    values: dict[tuple, list[float]] = defaultdict(list)
    for r in read_records(directory / "records.jsonl"):
        if r.value is not None:
            values[r.method, r.ablation, r.seed, f"{r.condition}/{r.protocol}"].append(r.value)
    runs = offline_runs(place)
    methods = {"toy": "toy_parts.Toy", "ground_truth": "baselines.trivial.GroundTruth"}
    cells = read_manifest(directory / "manifest.json").cells
    assert len(runs) == len(cells) == 2
    for cell in cells:
        mirrored = runs[f"{methods[cell.method]}/{cell.ablation}/{cell.seed}"]
        expected = {
            key: sum(v) / len(v)
            for (method, ablation, seed, key), v in values.items()
            if (method, ablation, seed) == (cell.method, cell.ablation, cell.seed)
        }
        summary = {k: v for k, v in mirrored.summary.items() if "/" in k and not k.startswith("net/")}
        assert summary == pytest.approx(expected, rel=1e-12)
        assert expected
        assert mirrored.id.startswith(cell.run_id)


def test_the_curves_are_the_log_of_the_stage(place: Path):
    (log,) = place.glob("results/stages/net-*/log.jsonl")
    logged = [json.loads(line) for line in log.read_text().splitlines()]
    history = offline_runs(place)["toy_parts.Toy/full/0"].history
    mirrored = [{k: v for k, v in row.items() if k.startswith("net/")} for row in history]
    assert [row for row in mirrored if row] == [{f"net/{k}": v for k, v in row.items()} for row in logged]


def test_no_secret_is_written_anywhere(place: Path):
    files = [p for p in (place / "results").rglob("*") if p.is_file()]
    assert any(p.suffix == ".wandb" for p in files)
    for path in files:
        data = path.read_bytes()
        for name in ("WANDB_API_KEY", "CANARY_TOKEN"):
            assert SECRETS[name].encode() not in data, path


def test_all_of_it_is_below_the_run(place: Path):
    assert {p.name for p in place.iterdir()} == {"results", "cache"}
    assert {p.name for p in (place / "results" / "toy-toy" / "wandb").iterdir()} <= {
        "wandb",
        "mirrored",
        "cache",
        "config",
    }


def test_a_second_run_mirrors_nothing(place: Path):
    def seen() -> dict[Path, int]:
        return {p: p.stat().st_mtime_ns for p in (place / "results").rglob("*")}

    before = seen()
    code, out, _ = run(place, "tracking=offline")
    assert code == 0
    assert "nothing was left to do" in out
    assert seen() == before


@pytest.fixture
def silent_server() -> Iterator[str]:
    """The address of a server that takes connections and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"http://127.0.0.1:{server.getsockname()[1]}"


@pytest.mark.parametrize("server", ["silent", "absent"])
def test_a_server_that_is_not_reached_costs_one_time_out_and_one_warning(
    place: Path, monkeypatch: pytest.MonkeyPatch, silent_server: str, server: str
):
    directory = place / "results" / "toy-toy"
    records = (directory / "records.jsonl").read_bytes()
    marks = directory / "wandb" / "mirrored"
    names = {p.name for p in marks.iterdir()}
    for mark in marks.iterdir():
        mark.unlink()
    before = set(directory.glob("wandb/wandb/offline-run-*"))
    # No key either: a tracker that asks would wait for an answer.
    monkeypatch.delenv("WANDB_API_KEY", raising=False)
    monkeypatch.setenv("HOME", str(place))
    monkeypatch.setenv("WANDB_BASE_URL", silent_server if server == "silent" else "http://127.0.0.1:9")
    code, out, err = run(place, "tracking=online", "tracking.timeout=60")
    assert code == 0, out + err
    warnings = [line for line in err.splitlines() if line.startswith("warning: ")]
    assert len(warnings) == 1, err
    reason = r"127\.0\.0\.1 gave no answer in 10 s" if server == "silent" else "URLError: .*refused"
    assert re.fullmatch(
        rf"warning: W&B was not reached \({reason}.*\): this run is kept offline; send it with `wandb sync "
        rf"{directory}/wandb/wandb/offline-run-\*`",
        warnings[0],
    )
    assert err.count("not reached") == 2  # beside the line of the job itself
    assert {p.name for p in marks.iterdir()} == names
    fresh = set(directory.glob("wandb/wandb/offline-run-*")) - before
    assert len(fresh) == len(names) == 2
    assert (directory / "records.jsonl").read_bytes() == records
    began = time.monotonic()
    code, out, err = run(place, "tracking=online", "tracking.timeout=1000")
    assert (code, err) == (0, "")
    assert "nothing was left to do" in out
    assert time.monotonic() - began < 200


def test_every_cell_goes_offline_once_a_server_that_answered_fails(tmp_path: Path):
    from benchmark.execute import Queue

    jobs = {
        key: Job(key, "mirror", "mirror", payload={"mode": "online"})
        for key in (tracking.CONNECT, "mirror-a", "mirror-b", "mirror-c")
    }
    queue = Queue(jobs, dict(jobs))
    for key in (tracking.CONNECT, "mirror-a", "mirror-b"):
        del queue.waiting[key]
    assert queue.online("mirror-a")
    assert queue.keep_offline()
    assert not queue.keep_offline()
    # The one that failed, one that was under way and fails later, and one that had not begun.
    for key in ("mirror-a", "mirror-b"):
        assert queue.online(key)
        queue.put_back(key)
    assert {key: job.payload["mode"] for key, job in queue.waiting.items()} == dict.fromkeys(
        ("mirror-c", "mirror-a", "mirror-b"), "offline"
    )
    assert not any(queue.online(key) for key in queue.waiting)


def surroundings(place: Path, seconds: float):
    setup = SimpleNamespace(run_directory=place, tracking={"timeout": seconds, "mode": "offline"})
    job = SimpleNamespace(payload={"name": "a cell", "marker": "mark"})
    return job, setup, SimpleNamespace(stages=place, say=print, check=lambda: None)


def test_a_tracker_that_hangs_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(tracking, "_write", lambda *arguments: time.sleep(30))
    with pytest.raises(TrackingError, match=r"took more than 0\.1 s"):
        mirror(*surroundings(tmp_path, 0.1))
    assert not [p for p in tmp_path.rglob("*") if p.is_file()]


def test_a_tracker_that_exits_is_a_tracking_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    def exits(*arguments: object) -> None:
        raise SystemExit(1)

    monkeypatch.setattr(tracking, "_write", exits)
    with pytest.raises(TrackingError, match="SystemExit") as caught:
        mirror(*surroundings(tmp_path, 5))
    assert not is_storage_fault(caught.value)
