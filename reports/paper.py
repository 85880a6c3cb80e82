"""The report of a run, built from its records alone: `python -m reports.paper suite=quick`.

    python -m reports.paper suite=quick [data=...] [out=results] [run=NAME] [readme=README.md] [check=true]

writes `<out>/<run>/report/`: index.html, tables/*.{md,csv,tex} and figures/*.{pdf,png}, the same bytes every
time. `run` is the suite's name, with the corpus behind it unless that is the embedded one. `readme=` also
rewrites the results block of that file; with `check=true` nothing is written, and the exit code is 1 if the
block is stale. Exit code 2: the input cannot be used.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

from benchmark.names import slug
from benchmark.records import write_text
from benchmark.signals import run_and_exit, run_interruptible
from models.errors import UserError, storage_faults
from models.files import check_output_file, check_output_folder, filled_folder, write_output
from models.locks import folder_lock, locked, say_on_stderr
from reports.disentanglement import probe_tables
from reports.figures import Drawing, all_figures
from reports.formats import Table, to_csv, to_latex, to_markdown
from reports.judges import judge_tables
from reports.load import load_study
from reports.observability import observations_of, write_observability
from reports.page import media_file, render_page
from reports.tables import all_tables, readme_block, seed_table

KEYS = {"suite": "quick", "data": "synthetic", "out": "results", "run": "", "readme": "", "check": "false"}
"""Arguments and their defaults."""
BEGIN, END = "<!-- results:begin -->", "<!-- results:end -->"

_Part = TypeVar("_Part", Table, Drawing)


class UsageError(UserError):
    """An argument that cannot be used."""


def build_report(run_directory: Path) -> Path:
    """Write the report of a run directory and return its index.html.

    A build that fails leaves the previous report. The caller holds the lock of the run directory.

    Raises:
        RecordsError: the records cannot be used; the message says why.
        OSError: the folder cannot be written.
    """
    study = load_study(run_directory)
    for paths in study.manifest.media.values():
        for path in paths.values():
            media_file(run_directory, path)
    tables = named((*all_tables(study), *judge_tables(study), *probe_tables(study)))
    drawings = named(all_figures(study))
    page = render_page(study, tables, drawings)
    observed = observations_of(run_directory)
    with filled_folder(run_directory / "report", last="index.html", prune=True) as fresh:
        for table in tables:
            for ending, written in (("md", to_markdown), ("csv", to_csv), ("tex", to_latex)):
                write_text(fresh / "tables" / f"{table.name}.{ending}", written(table))
        write_text(fresh / "tables" / "seeds.csv", seed_table(study))
        for drawing in drawings:
            for ending, content in (("pdf", drawing.pdf), ("png", drawing.png)):
                path = fresh / "figures" / f"{drawing.name}.{ending}"
                path.parent.mkdir(exist_ok=True)
                path.write_bytes(content)
        write_text(fresh / "index.html", page)
        if observed is not None:
            write_observability(observed, fresh, back="index.html#observability")
    return run_directory / "report" / "index.html"


def named(parts: Sequence[_Part]) -> tuple[_Part, ...]:
    """Return tables or drawings under names that can be files', each under its own."""
    names: dict[str, _Part] = {}
    for part in parts:
        name, copies = slug(part.name), 1
        while name in names:
            copies += 1
            name = slug(f"{part.name}~{copies}")
        names[name] = replace(part, name=name)
    return tuple(names.values())


def update_readme(readme: Path, block: str, *, check: bool) -> bool:
    """Put the block between the marks of a file; True if the file already had it.

    Raises:
        UsageError: the file is missing or does not have both marks once, in order.
    """
    if not readme.is_file():
        raise UsageError(f"readme={readme}: no such file")
    text = readme.read_text(encoding="utf-8")
    start, end = text.find(BEGIN), text.find(END)
    if text.count(BEGIN) != 1 or text.count(END) != 1 or end < start:
        raise UsageError(f"{readme}: expected one {BEGIN} and, after it, one {END}")
    wanted = text[: start + len(BEGIN)] + "\n" + block + text[end:]
    if wanted != text and not check:
        write_output(readme, wanted)
    return wanted == text


def parse(arguments: Sequence[str]) -> dict[str, str]:
    """`key=value` arguments over the defaults.

    Raises:
        UsageError: not key=value, or a key that does not exist.
    """
    given = dict(KEYS)
    for argument in arguments:
        key, equals, value = argument.partition("=")
        if not equals or key not in KEYS:
            raise UsageError(f"{argument!r}: expected key=value with a key of {', '.join(KEYS)}")
        given[key] = value
    if given["check"] not in ("true", "false"):
        raise UsageError(f"check={given['check']}: expected true or false")
    if given["check"] == "true" and not given["readme"]:
        raise UsageError("check=true compares a README: give readme=README.md as well")
    return given


def run_directory_of(given: Mapping[str, str]) -> Path:
    name = given["suite"] if given["data"] == "synthetic" else f"{given['suite']}-{given['data']}"
    return Path(given["out"]) / (given["run"] or name)


def main(arguments: Sequence[str] | None = None) -> int:
    """Build a report; the exit code says how it went."""
    arguments = sys.argv[1:] if arguments is None else arguments
    if {"-h", "--help"} & set(arguments):
        print(__doc__)
        return 0
    return run_interruptible(lambda: _run(parse(arguments)))


def _run(given: Mapping[str, str]) -> int:
    directory = run_directory_of(given)
    readme = Path(given["readme"]) if given["readme"] else None
    if readme is not None and given["check"] == "true":
        current = update_readme(readme, readme_block(load_study(directory)), check=True)
        print(f"{readme}: the results block is {'current' if current else 'stale; run without check=true'}")
        return 0 if current else 1
    if not directory.is_dir():
        # Says which suite to run; a lock would make the folder.
        load_study(directory)
    check_output_folder(directory / "report", "out")
    if readme is not None:
        check_output_file(readme, "readme")
    with (
        storage_faults(f"writing the report of {directory}"),
        folder_lock(directory, f"the results in {directory}", say=say_on_stderr),
    ):
        if readme is not None:
            block = readme_block(load_study(directory))
            lock = readme.resolve().with_name(f".{readme.name}.lock")
            with locked(lock, str(readme), say=say_on_stderr, remove=True):
                update_readme(readme, block, check=False)
        print(build_report(directory))
    return 0


if __name__ == "__main__":
    run_and_exit(main)
