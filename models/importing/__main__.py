"""The command: python -m models.importing KIND FILE -o DIR."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from models.command import Parser, run_command
from models.importing.convert import FACE_MODEL, KINDS, Extras, import_checkpoint, import_face_model
from models.importing.names import STATISTICS

_KINDS = {name: kind.summary for name, kind in KINDS.items()} | {
    FACE_MODEL: "BFM and FaceWarehouse arrays (base_weight.pickle)"
}
_EPILOG = """\
kinds
{kinds}

examples
  python -m models.importing landmarks M003_20.pth --pca M003_U_106.npy --mean M003_mean_106.npy \\
      --codes emotion_codes/M003 -o weights/M003
  python -m models.importing renderer latest_net_G0.pth -o weights/M003_renderer

The folder appears whole or not at all. Nothing in a file is executed, and a file that is not exactly what
its kind says is refused. Exit codes: 0 done, 2 refused, 4 storage fault.
"""


def parser() -> Parser:
    width = max(map(len, _KINDS))
    kinds = "\n".join(f"  {name:<{width}}  {summary}" for name, summary in _KINDS.items())
    built = Parser(
        prog="python -m models.importing",
        description="Turns released weights into the files of our own stages.",
        epilog=_EPILOG.format(kinds=kinds),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    built.add_argument("kind", choices=sorted(_KINDS), metavar="KIND", help="what the file is, see below")
    built.add_argument("file", type=Path, metavar="FILE", help="the released file")
    built.add_argument("-o", "--out", type=Path, required=True, metavar="DIR", help="a new folder")
    landmarks = built.add_argument_group("with landmarks")
    landmarks.add_argument("--pca", type=Path, metavar="U.npy", help="PCA basis (212, 16 or more); needed")
    landmarks.add_argument("--mean", type=Path, metavar="MEAN.npy", help="mean landmarks (212,); needed")
    landmarks.add_argument("--codes", type=Path, metavar="DIR", help="emotion codes, one .npy (128,) each")
    return built


def main(arguments: Sequence[str] | None = None) -> int:
    """Import a file; the exit code says how it went."""
    return run_command(lambda: _import(arguments))


def _import(arguments: Sequence[str] | None) -> int:
    command = parser()
    given = command.parse_args(arguments)
    extras = Extras(given.pca, given.mean, given.codes)
    if given.kind != "landmarks" and extras != Extras():
        command.error("--pca, --mean and --codes go with landmarks")
    if given.kind == FACE_MODEL:
        imported = import_face_model(given.file, given.out)
    else:
        imported = import_checkpoint(given.kind, given.file, given.out, extras)
    print(f"{given.file}: {imported.tensors} tensors, {imported.parameters:,} parameters of ours among them")
    if imported.unused:
        print(f"left out, as nothing calls them: {len(imported.unused)} tensors of {_parts(imported.unused)}")
    print(f"written to {given.out}: {', '.join(imported.files)}")
    return 0


def _parts(names: Sequence[str]) -> str:
    """What the names are of: modules, or statistics of batch norms that are called otherwise."""
    parts = set()
    for name in names:
        module, _, last = name.rpartition(".")
        called = last in STATISTICS and f"{module}.weight" not in names
        parts.add(f"*.{last}" if called else ".".join(name.split(".")[:2]))
    return ", ".join(sorted(parts))


if __name__ == "__main__":
    sys.exit(main())
