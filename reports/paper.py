"""The report of a run, built from its records alone: `python -m reports.paper suite=quick`.

    python -m reports.paper suite=quick [data=...] [out=results] [run=NAME] [readme=README.md] [check=true]

writes `<out>/<run>/report/`: index.html, tables/*.{md,csv,tex} and figures/*.{pdf,png}, the same bytes every
time. `run` is the suite's name, with the corpus behind it unless that is the embedded one. `readme=` also
rewrites the results block of that file; with `check=true` nothing is written, and the exit code is 1 if the
block is stale. Exit code 2: the input cannot be used.
"""

from __future__ import annotations

import shutil
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from benchmark.records import RecordsError, write_text
from reports.disentanglement import probe_tables
from reports.figures import all_figures
from reports.formats import to_csv, to_latex, to_markdown
from reports.judges import judge_tables
from reports.load import load_study
from reports.observability import observations_of, write_observability
from reports.page import media_file, render_page
from reports.tables import all_tables, readme_block, seed_table

KEYS = {"suite": "quick", "data": "synthetic", "out": "results", "run": "", "readme": "", "check": "false"}
"""Arguments and their defaults."""
BEGIN, END = "<!-- results:begin -->", "<!-- results:end -->"


class UsageError(Exception):
    """An argument that cannot be used."""


def build_report(run_directory: Path) -> Path:
    """Write the report of a run directory and return its index.html.

    The report folder is replaced as a whole: a build that fails leaves the previous one.

    Raises:
        RecordsError: the records cannot be used; the message says why.
        OSError: the folder cannot be written.
    """
    study = load_study(run_directory)
    for paths in study.manifest.media.values():
        for path in paths.values():
            media_file(run_directory, path)
    tables, drawings = (*all_tables(study), *judge_tables(study), *probe_tables(study)), all_figures(study)
    page = render_page(study, tables, drawings)
    observed = observations_of(run_directory)
    fresh = run_directory / ".report.new"
    shutil.rmtree(fresh, ignore_errors=True)
    try:
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
        _replace(fresh, run_directory / "report")
    finally:
        shutil.rmtree(fresh, ignore_errors=True)
    return run_directory / "report" / "index.html"


def _replace(fresh: Path, target: Path) -> None:
    old = target.with_name(".report.old")
    shutil.rmtree(old, ignore_errors=True)
    if target.exists():
        target.replace(old)
    fresh.replace(target)
    shutil.rmtree(old, ignore_errors=True)


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
        write_text(readme, wanted)
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


def main(arguments: Sequence[str]) -> int:
    if {"-h", "--help"} & set(arguments):
        print(__doc__)
        return 0
    try:
        return _run(parse(arguments))
    except (RecordsError, UsageError) as error:
        print(f"reports.paper: {error}", file=sys.stderr)
        return 2
    except OSError as error:
        print(f"reports.paper: cannot write the report: {error}", file=sys.stderr)
        return 4


def _run(given: Mapping[str, str]) -> int:
    directory, check = run_directory_of(given), given["check"] == "true"
    if given["readme"]:
        readme = Path(given["readme"])
        current = update_readme(readme, readme_block(load_study(directory)), check=check)
        if check:
            print(
                f"{readme}: the results block is {'current' if current else 'stale; run without check=true'}"
            )
            return 0 if current else 1
    print(build_report(directory))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
