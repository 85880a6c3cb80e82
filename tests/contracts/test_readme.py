"""Every command in the README can be typed."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

import sweeps.run
from benchmark import pose_errors, transfer_truth
from benchmark.conformance import __main__ as conformance
from benchmark.metrics import __main__ as protocols
from benchmark.observability import __main__ as observability
from benchmark.run import main
from benchmark.score import __main__ as folder
from models.importing import __main__ as importing
from models.talk import __main__ as talk
from reports import paper

ROOT = Path(__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
COMMANDS = sorted(
    {line.split("#")[0].strip() for line in re.findall(r"^\.venv/bin/python -m .*$", README, re.M)}
)
HELPFUL = {
    "models.importing": importing.main,
    "benchmark.pose_errors": pose_errors.main,
    "benchmark.metrics": protocols.main,
}
EXPLAINED = {"benchmark.observability": observability.main, "benchmark.transfer_truth": transfer_truth.main}
MISSING = {
    "benchmark.score": (folder.main, "generated"),
    "benchmark.conformance": (conformance.main, "path/to/file.py"),
}
"""Commands that get as far as missing what the README only names."""
MAKE = sorted(set(re.findall(r"\bmake (\w+)", README)))


def test_the_readme_has_commands() -> None:
    assert len(COMMANDS) >= 4
    assert {"run", "test"} <= set(MAKE)


@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_is_understood(command: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _, _, module, *arguments = shlex.split(command)
    places = [f"out={tmp_path / 'results'}", f"cache={tmp_path / 'cache'}"]
    if module == "benchmark.run":
        extra = [] if "--help" in arguments else ["dry_run=true", *places]
        assert main([*(a for a in arguments if a != "dry_run=true"), *extra]) == 0
    elif module == "reports.paper":
        # There are no records below tmp_path: the command must get as far as missing them.
        assert paper.main([*arguments, f"out={tmp_path}"]) == 2
        assert "no records" in capsys.readouterr().err
    elif module == "models.talk":
        # The run that it needs is not there: the command must get as far as missing it.
        assert talk.main([*arguments, "--run", str(tmp_path / "run")]) == 2
        assert "no trained run" in capsys.readouterr().err
    elif module in HELPFUL:
        with pytest.raises(SystemExit, match="0"):
            HELPFUL[module]([*arguments, "--help"])
    elif module in EXPLAINED:
        assert EXPLAINED[module]([*arguments, "--help"]) == 0
    elif module in MISSING:
        run, missing = MISSING[module]
        assert run(arguments) == 2
        assert missing in capsys.readouterr().err
    else:
        assert module == "sweeps.run"
        assert sweeps.run.main(["--help"]) == 0
        assert all("=" in argument for argument in arguments)


@pytest.mark.parametrize("target", MAKE)
def test_a_target_exists(target: str) -> None:
    assert re.search(rf"^{target}:", (ROOT / "Makefile").read_text(encoding="utf-8"), re.M)
