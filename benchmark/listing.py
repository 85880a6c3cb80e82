"""Commands that print a list as JSON, or write it as a Markdown page of the documentation."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from models.command import Parser, run_command
from models.errors import storage_faults
from models.files import check_output_file, write_output


def print_or_write(
    arguments: Sequence[str] | None,
    *,
    prog: str,
    description: str,
    records: Callable[[], Sequence[dict[str, Any]]],
    page: Callable[[], str],
    counted: str,
) -> int:
    """The exit code of `prog [--page FILE]`.

    Args:
        counted: how many entries there are, as the screen says once the page is written.
    """
    parser = Parser(prog=prog, description=description)
    parser.add_argument("--page", type=Path, metavar="FILE", help="write the Markdown page instead of JSON")

    def work() -> int:
        chosen = parser.parse_args(arguments)
        if chosen.page is None:
            print(json.dumps(records(), indent=1, ensure_ascii=False))
            return 0
        check_output_file(chosen.page, "--page", make_folders=True)
        with storage_faults(f"writing {chosen.page}"):
            write_output(chosen.page, page())
        print(f"{chosen.page}: {counted}")
        return 0

    return run_command(work)


def table_row(cells: Sequence[str]) -> str:
    """A line of a pipe table."""
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"
