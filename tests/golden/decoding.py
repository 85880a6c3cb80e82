"""Which code `models.preprocess.media.DECODING` stands for: python -m tests.golden.decoding records it.

Comments, docstrings and layout of the code do not count.
"""

from __future__ import annotations

import ast
import hashlib
import json
from collections.abc import Iterator
from pathlib import Path

from models.preprocess.media import DECODING

ROOT = Path(__file__).parents[2]
RECORD = Path(__file__).with_suffix(".json")
BESIDE = ("models/audio/framing.py", "models/landmarks/alignment.py", "models/landmarks/topology.py")
"""What code in `models/preprocess` computes with and lies elsewhere."""


def recorded() -> dict[str, str]:
    return json.loads(RECORD.read_text())


def current() -> dict[str, str]:
    """Return the version, and a digest by file."""
    paths = [*sorted((ROOT / "models/preprocess").rglob("*.py")), *(ROOT / name for name in BESIDE)]
    return {"version": DECODING} | {
        path.relative_to(ROOT).as_posix(): code_digest(path.read_text(encoding="utf-8")) for path in paths
    }


def code_digest(source: str) -> str:
    return hashlib.sha256("\n".join(_parts(ast.parse(source))).encode()).hexdigest()[:12]


def _parts(node: object) -> Iterator[str]:
    """Yield what a syntax tree is made of; `ast.dump` differs between versions of Python."""
    if isinstance(node, list):
        yield "["
        for each in node:
            # A string that stands alone is a docstring.
            if not (isinstance(each, ast.Expr) and isinstance(each.value, ast.Constant)):
                yield from _parts(each)
        yield "]"
    elif isinstance(node, ast.AST):
        yield type(node).__name__
        for name, value in ast.iter_fields(node):
            if value not in (None, []):
                yield name
                yield from _parts(value)
    else:
        yield repr(node)


if __name__ == "__main__":
    RECORD.write_text(json.dumps(current(), indent=1) + "\n")
