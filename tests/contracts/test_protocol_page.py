"""The page of protocols names every one, and is in step with the registry."""

from __future__ import annotations

import json
from pathlib import Path

from benchmark.metrics.__main__ import main, page
from benchmark.metrics.registry import METRICS

ROOT = Path(__file__).resolve().parents[2]


def test_the_page_is_in_step() -> None:
    written = (ROOT / "docs" / "protocols.md").read_text(encoding="utf-8")
    assert written == page(), "run python -m benchmark.metrics --page docs/protocols.md"
    for metric in METRICS:
        assert f"`{metric.id}`" in written


def test_the_list_is_printed_as_json_or_written_as_a_page(capsys, tmp_path) -> None:
    assert main([]) == 0
    assert [record["id"] for record in json.loads(capsys.readouterr().out)] == [m.id for m in METRICS]
    assert main(["--page", str(tmp_path / "page.md")]) == 0
    assert (tmp_path / "page.md").read_text(encoding="utf-8") == page()
    (tmp_path / "file").touch()
    assert main(["--page", str(tmp_path / "file" / "page.md")]) == 2
    assert "expected a folder" in capsys.readouterr().err
