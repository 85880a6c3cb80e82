"""The kit beside functions that misbehave: they hang, crash, print, exit, or return what is no number."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmark.conformance.__main__ import main
from benchmark.conformance.check import check
from tests.conformance.cases import FOLDER

PLAIN = f"{FOLDER / 'sound/plain.py'}"


def written(folder: Path, body: str, head: str = "") -> str:
    path = folder / "given.py"
    path.write_text(f"import numpy as np\n{head}\n\ndef metric(predicted, target):\n    {body}\n")
    return f"{path}:metric"


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ("import time; time.sleep(60)", "it hangs: no answer in 1 s"),
        ("import os; os._exit(3)", "it ends its process: exit code 3"),
        ("import os; os.kill(os.getpid(), 11)", "it ends its process: killed by SIGSEGV"),
        ("raise SystemExit(0)", "refuses an ordinary input: SystemExit: 0 (given.py, line 5)"),
        ("raise KeyError('jaw')", "refuses an ordinary input: KeyError: 'jaw'"),
        ("return None", "it returns None"),
        ("return 'good'", "it returns a str"),
        ("return np.linalg.norm(predicted - target, axis=-1)", "it returns a ndarray"),
        ("return np.linalg.norm(predicted - target, axis=-1).mean() + 1j", "it returns a complex128"),
        ("return float('nan')", "not a finite number"),
        ("return float(np.random.default_rng().random())", "randomness without a seed"),
        ("return 5.0", "have a distance: the two sides"),
        ("return -float(np.linalg.norm(predicted - target, axis=-1).mean())", "the sign is wrong"),
        (
            "return float(np.linalg.norm(predicted - target, axis=-1)[:, 48:67].mean())",
            "one point is missing",
        ),
        (
            "return float(np.linalg.norm(predicted.astype(np.float16) - target.astype(np.float16), axis=-1)"
            ".mean(dtype=np.float16))",
            "half precision",
        ),
    ],
)
def test_a_function_that_misbehaves_fails_with_the_reason(body: str, words: str, tmp_path: Path) -> None:
    verdict = check(written(tmp_path, body), "ld", timeout=1.0)
    assert not verdict.passed
    assert words in "\n".join(verdict.looks_like)


def test_what_it_prints_is_no_part_of_the_answer(tmp_path: Path) -> None:
    body = "print('{}' * 3); return float(np.linalg.norm(predicted - target, axis=-1).mean())"
    verdict = check(written(tmp_path, body), "ld")
    assert verdict.passed
    assert "it prints while it computes" in verdict.notes


def test_a_coverage_makes_a_missing_face_honest(tmp_path: Path) -> None:
    body = (
        "found = ~np.isnan(predicted + target).any((1, 2)); "
        "return np.linalg.norm((predicted - target)[found], axis=-1).mean(), found.mean()"
    )
    silent = body.replace(", found.mean()", "")
    assert check(written(tmp_path, body), "ld").passed
    verdict = check(written(tmp_path, silent), "ld")
    assert not verdict.passed
    assert "the frame is dropped, and the clip scored without it" in verdict.sentence


def test_one_hang_does_not_end_the_ladder(tmp_path: Path) -> None:
    body = "import time; len(target) or time.sleep(60); return float(np.abs(predicted - target).mean())"
    verdict = check(written(tmp_path, body), "ld", timeout=1.0)
    assert verdict.looks_like == ["it hangs: no answer in 1 s"]
    assert any(step.asked == "the 106-point layout" for step in verdict.steps)


@pytest.mark.parametrize(
    ("place", "words"),
    [
        ("nowhere.py:metric", "there is no file nowhere.py"),
        ("nowhere", "expected path/to/file.py:function or module:function"),
        ("no.such.module:metric", "no module no.such.module"),
        (f"{PLAIN}:nothing", "it has no nothing"),
        (f"{PLAIN}:np", "not a function"),
    ],
)
def test_what_cannot_be_run_is_one_line(place: str, words: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([place, "--kind", "ld"]) == 2
    error = capsys.readouterr().err
    assert words in error
    assert error.count("\n") == 1


@pytest.mark.parametrize(
    ("head", "words"),
    [("import nothing_of_that_name", "ModuleNotFoundError"), ("raise SystemExit", "SystemExit")],
)
def test_a_module_that_cannot_be_imported_is_one_line(
    head: str, words: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([written(tmp_path, "return 0.0", head), "--kind", "ld"]) == 2
    error = capsys.readouterr().err
    assert words in error
    assert error.count("\n") == 1


def test_the_command_says_it_and_writes_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "verdict.json"
    assert main([f"{PLAIN}:lmd_eat", "--kind", "ld", "--region", "mouth", "--json", str(file)]) == 0
    found = json.loads(file.read_text())
    assert found["passed"]
    assert found["published"].startswith("lmd/eat")
    assert "PASSES as mean-centred per region" in capsys.readouterr().out
    planted = f"{FOLDER / 'planted/ld_squared.py'}:ld"
    assert main([planted, "--kind", "ld", "--json", str(file)]) == 1
    assert "squared distances" in json.loads(file.read_text())["looks_like"][0]
    assert "FAILS" in capsys.readouterr().out


def test_a_module_is_found_by_its_name() -> None:
    assert check("tests.conformance.sound.plain:psnr", "psnr").passed
    assert check("benchmark.conformance.definitions.features:frechet", "frechet").passed


def test_regions_are_of_landmarks() -> None:
    assert main([f"{PLAIN}:psnr", "--kind", "psnr", "--region", "mouth"]) == 2


def test_the_documentation_shows_what_the_command_prints(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(FOLDER.parents[1])
    text = Path("docs/conformance.md").read_text(encoding="utf-8")
    screen = text.split("$ .venv/bin/python -m benchmark.conformance ")[1].split("```")[0]
    command, shown = screen.split("\n", 1)
    assert main(command.split()) == 1
    # Other people's error messages, in the table, change with their versions.
    verdict = "It computes:"
    assert capsys.readouterr().out.split(verdict)[1].strip() == shown.split(verdict)[1].strip()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--kind", "psnr", "--extractor", "inception"], "--extractor is for frechet"),
        (["--kind", "psnr", "--timeout", "0"], "expected more than 0 seconds"),
        (["--kind", "fid"], "invalid choice"),
    ],
)
def test_a_wrong_option_is_explained(
    arguments: list[str], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([f"{PLAIN}:psnr", *arguments]) == 2
    errors = capsys.readouterr().err
    assert words in errors
    assert errors.count("\n") == 1


def test_a_network_that_is_not_there_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    place = f"{FOLDER / 'sound/frames.py'}:frechet"
    assert main([place, "--kind", "frechet", "--extractor", "resnet"]) == 2
    assert "no frame extractor 'resnet'" in capsys.readouterr().err
