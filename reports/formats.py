"""How a table looks in CSV, Markdown and LaTeX (booktabs).

Names of clips, methods and corpora come from outside: each format escapes every text in its own way.
"""

from __future__ import annotations

import csv
import io
import math
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Cell:
    value: str
    """The number, "n/a" or "–"."""
    spread: str = ""
    """The interval."""
    remark: str = ""
    """A verdict."""
    bold: bool = False
    marks: str = ""
    title: str = ""
    """What a reader may ask of the number: interval, N, coverage."""


@dataclass(frozen=True)
class Row:
    key: str
    label: str
    kind: str
    cells: tuple[Cell, ...]
    failed: str = ""
    """Why there are no numbers; the cells are then empty."""


@dataclass(frozen=True)
class Table:
    name: str
    """Of its files."""
    title: str
    caption: str
    columns: tuple[str, ...]
    rows: tuple[Row, ...]
    data: tuple[dict[str, object], ...] = field(repr=False, default=())
    """The same numbers in full, for CSV."""
    part: str = ""
    """Which part of a condition's section it belongs to."""
    condition: str = ""


def to_csv(table: Table) -> str:
    """Long form, all digits (shares stay shares), empty where there is no number."""
    stream = io.StringIO(newline="")
    fields = list(dict.fromkeys(name for line in table.data for name in line))
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(fields)
    writer.writerows([_csv_value(line.get(name)) for name in fields] for line in table.data)
    return stream.getvalue()


def _csv_value(value: object) -> str:
    if value is None or (isinstance(value, float) and not math.isfinite(value)):
        return ""
    if isinstance(value, float):
        return repr(float(value))
    text = str(value)
    # A spreadsheet would run these as formulas.
    return f"'{text}" if isinstance(value, str) and text[:1] in ("=", "+", "-", "@", "\t", "\r") else text


def to_markdown(table: Table) -> str:
    """A pipe table under its title, with the caption below."""
    lines = [
        f"### {markdown_text(table.title)}",
        "",
        *markdown_lines(table),
        "",
        markdown_text(table.caption),
        "",
    ]
    return "\n".join(lines)


def markdown_lines(table: Table) -> list[str]:
    head = ["", *map(markdown_text, table.columns)]
    lines = ["| " + " | ".join(head) + " |", "| --- |" + " ---: |" * len(table.columns)]
    for row in table.rows:
        cells = [_md_cell(c) for c in row.cells]
        if row.failed:
            cells = [f"FAILED ({markdown_text(row.failed)})"] + [""] * (len(table.columns) - 1)
        lines.append("| " + " | ".join([markdown_text(row.label), *cells]) + " |")
    return lines


def _md_cell(cell: Cell) -> str:
    value = f"**{cell.value}**" if cell.bold else cell.value
    return join(value + cell.marks, cell.spread, cell.remark)


def markdown_text(text: str) -> str:
    """Text that cannot break out of a table cell or turn into markup."""
    plain = " ".join(text.split())
    for mark in ("\\", "|", "*", "_", "`", "[", "]"):
        plain = plain.replace(mark, "\\" + mark)
    return plain.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def join(*parts: str) -> str:
    return " ".join(p for p in parts if p)


def to_latex(table: Table) -> str:
    """A booktabs table with values above their intervals; needs `\\usepackage{booktabs}` and nothing else.

    As wide as two columns of a paper in two columns: use `table*` there.
    """
    count = len(table.columns)
    body: list[str] = []
    for before, row in zip([None, *table.rows], table.rows, strict=False):
        if before is not None:
            body.append(r"\addlinespace" if row.kind == before.kind else r"\midrule")
        body.append(_latex_row(row, count))
    return "\n".join(
        [
            r"% needs \usepackage{booktabs}; in two columns, write table* for table",
            r"\begin{table}",
            r"\centering",
            r"\footnotesize",
            r"\setlength{\tabcolsep}{3pt}",
            rf"\caption{{{_tex(table.caption)}}}",
            rf"\label{{tab:{_tex_label(table.name)}}}",
            rf"\begin{{tabular}}{{l{'r' * count}}}",
            r"\toprule",
            " & ".join(["", *map(_tex_head, table.columns)]).strip() + r" \\",
            r"\midrule",
            *body,
            r"\bottomrule",
            r"\end{tabular}",
            r"\end{table}",
            "",
        ]
    )


def _latex_row(row: Row, count: int) -> str:
    if row.failed:
        return rf"{_tex(row.label)} & \multicolumn{{{count}}}{{l}}{{FAILED ({_tex(row.failed)})}} \\"
    return " & ".join([_tex(row.label), *map(_tex_cell, row.cells)]) + r" \\"


def _tex_cell(cell: Cell) -> str:
    value = rf"\textbf{{{_tex(cell.value)}}}" if cell.bold else _tex(cell.value)
    return _stacked(value + _tex(cell.marks), _tex(cell.spread), _tex(cell.remark))


def _tex_head(text: str) -> str:
    name, bracket, unit = text.partition(" (")
    return _stacked(_tex(name), _tex(bracket.strip() + unit))


def _stacked(*lines: str) -> str:
    """LaTeX texts below each other in one cell."""
    lines = tuple(line for line in lines if line)
    if len(lines) == 1:
        return lines[0]
    return r"\begin{tabular}{@{}r@{}}" + r"\\ ".join(lines) + r"\end{tabular}"


_TEX = {
    "\\": r"\textbackslash{}",
    "{": r"\{",
    "}": r"\}",
    "$": r"\$",
    "&": r"\&",
    "#": r"\#",
    "%": r"\%",
    "_": r"\_",
    "^": r"\textasciicircum{}",
    "~": r"\textasciitilde{}",
    "<": r"$<$",
    ">": r"$>$",
    "|": r"$|$",
    '"': "''",
    # After the end of a row, LaTeX would read a bare [ as that row's extra space.
    "[": "{[}",
    "]": "{]}",
    "↓": r"$\downarrow$",
    "↑": r"$\uparrow$",
    "±": r"$\pm$",
    "†": r"$^\dagger$",
    "‡": r"$^\ddagger$",
    "–": "--",
    "—": "---",
    "…": r"\ldots{}",
    "×": r"$\times$",
    "≤": r"$\le$",
    "≥": r"$\ge$",
    "−": "$-$",
}


def _tex(text: str) -> str:
    """Text as LaTeX prints it, whatever is in it; control characters become spaces."""
    plain = " ".join("".join(c if c.isprintable() else " " for c in text).split())
    return "".join(_TEX.get(c, c) for c in plain)


def _tex_label(name: str) -> str:
    return "".join(c if c.isascii() and (c.isalnum() or c in "-:") else "-" for c in name)
