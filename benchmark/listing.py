"""Commands that print a list as JSON, or write it as a Markdown page of the documentation."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any


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
    parser = argparse.ArgumentParser(prog=prog, description=description)
    parser.add_argument("--page", type=Path, metavar="FILE", help="write the Markdown page instead of JSON")
    chosen = parser.parse_args(arguments)
    if chosen.page is None:
        print(json.dumps(records(), indent=1, ensure_ascii=False))
        return 0
    try:
        chosen.page.parent.mkdir(parents=True, exist_ok=True)
        chosen.page.write_text(page(), encoding="utf-8")
    except OSError as error:
        print(f"error: cannot write {chosen.page}: {error.strerror}", file=sys.stderr)
        return 4
    print(f"{chosen.page}: {counted}")
    return 0


def table_row(cells: Sequence[str]) -> str:
    """A line of a pipe table."""
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"
