"""Whatever records and manifests say, a report is built inside the run's folder, or refused in one line."""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest

import reports.paper
from benchmark.names import LONGEST_SLUG, is_name, slug
from benchmark.records import ProbeRecord, write_probes
from tests.unit.reports.fake import write_run

HOSTILE = (
    "../../x",
    "../x",
    "..",
    ".",
    "/tmp/absolute-x",
    "a/../../../x",
    "~/x",
    "C:\\x",
    "..\\x",
    "a\0b",
    "x" * 5000,
    "CON",
    "nul.txt",
    "a\nb",
    "a\rb",
    "a\tb",
    "\u202eabc",
    "a\u200fb",
    "\ufeffa",
    "",
    " ",
    "a ",
    "a.",
    ".hidden",
    "-rf",
    "$(id)",
    "<script>",
    "a|b",
    "a\x1b[31mb",
    "%2e%2e%2fx",
)
PROBED = {
    "clips": 3,
    "frames": 9,
    "own clips": 1,
    "folds": 2,
    "sentences": ["s00"],
    "speakers": ["ada"],
    "factors": {"phone": {"chance": 0.5, "classes": ["a", "b"]}},
}
PLAIN = ("self", "held out", "évènement", "a (1)", "x" * 100, "w-o_DTW+1=2@3")
NAMED = (
    "self",
    "evp",
    "no_dtw",
    "ld/mouth",
    "fd/mobilenetv2-96",
    "synthetic",
    "quick",
    "landmarks",
    "bbbb0000",
)
"""Names of a condition, a method, an ablation, protocols, the corpus, the suite, a stage and its identity."""


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Texts of a small run's files."""
    folder = tmp_path_factory.mktemp("made")
    write_run(folder, seeds=(0, 1), sentences=2, probes=PROBED)
    rows = [
        ProbeRecord("synthetic", "evp", "full", seed, "content", "phone", "mutual information", "s00", 0.5)
        for seed in (0, 1)
    ]
    write_probes(folder / "probes.jsonl", rows)
    return {path.name: path.read_text() for path in folder.iterdir() if path.is_file()}


@pytest.fixture
def built(
    made: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., tuple[int, str]]:
    """Build a report of changed files; check that nothing is written anywhere else."""
    # Figures and the page take seconds, and are named by the same routine as tables.
    monkeypatch.setattr(reports.paper, "all_figures", lambda study: ())
    monkeypatch.setattr(reports.paper, "render_page", lambda *parts: "page")

    def build(changes: dict[str, str | bytes]) -> tuple[int, str]:
        place = tmp_path / "outer" / "results" / "quick"
        place.mkdir(parents=True, exist_ok=True)
        for name, text in {**made, **changes}.items():
            content = text if isinstance(text, bytes) else text.encode("utf-8", "surrogatepass")
            (place / name).write_bytes(content)
        before = set(tmp_path.rglob("*"))
        code = reports.paper.main([f"out={place.parent}", "run=quick"])
        for path in set(tmp_path.rglob("*")) - before:
            lock = path == place / ".folder.lock"
            assert lock or path.is_relative_to(place / "report"), path
        return code, capsys.readouterr().err

    return build


def renamed(made: dict[str, str], old: str, new: str) -> dict[str, str]:
    """Every file with one name replaced by another, wherever it stands as a whole or as part of a row's."""
    quoted = json.dumps(new)[1:-1]
    pattern = rf'(?<=["/]){re.escape(old)}(?=["/])'
    return {name: re.sub(pattern, lambda match: quoted, text) for name, text in made.items()}


@pytest.mark.parametrize("old", NAMED)
def test_no_name_leads_out_of_the_run(
    old: str, made: dict[str, str], built: Callable[..., tuple[int, str]]
) -> None:
    for new in HOSTILE:
        code, errors = built(renamed(made, old, new))
        if code == 0:
            assert is_name(new)
        else:
            assert code == 2, (new, errors)
            assert errors.startswith("error: ")
            assert errors.count("\n") == 1, (new, errors)
            assert len(errors) < 2100
            assert errors.rstrip("\n").isprintable()


def test_plain_names_are_taken(made: dict[str, str], built: Callable[..., tuple[int, str]]) -> None:
    for new in PLAIN:
        assert built(renamed(made, "self", new)) == (0, ""), new


@pytest.mark.parametrize("place", ["../../x.mp4", "/etc/passwd", "a\0b", "m/../../x", "x" * 5000, "", "a\nb"])
def test_a_video_elsewhere_is_refused(
    place: str, made: dict[str, str], built: Callable[..., tuple[int, str]]
) -> None:
    manifest = json.loads(made["manifest.json"])
    manifest["media"] = {next(iter(manifest["clips"])): {"truth": place}}
    code, errors = built({"manifest.json": json.dumps(manifest)})
    assert code == 2
    assert errors.count("\n") == 1


def _first(text: str, **changes: object) -> str:
    line, _, rest = text.partition("\n")
    return json.dumps({**json.loads(line), **changes}) + "\n" + rest


BROKEN: dict[str, Callable[[str], str | bytes]] = {
    "no UTF-8": lambda text: text.encode() + b"\xff\xfe",
    "UTF-16": lambda text: text.encode("utf-16"),
    "a lone surrogate": lambda text: text.replace("evp", "\ud800", 1),
    "empty": lambda text: "",
    "NUL": lambda text: "\0" * 100,
    "a list": lambda text: "[]\n",
    "a number": lambda text: "3\n",
    "null": lambda text: "null\n",
    "NaN": lambda text: "NaN\n",
    "no JSON": lambda text: "{\n",
    "deep": lambda text: "[" * 100_000 + "]" * 100_000 + "\n",
    "a long line": lambda text: '{"a": "' + "x" * 2_000_000 + '"}\n',
    "cut off": lambda text: text[: len(text) // 2],
    "a key twice": lambda text: re.sub(r'"(corpus|suite)":', r'"\1": "synthetic", "\1":', text, count=1),
}
BROKEN_ROWS: dict[str, dict[str, object]] = {
    "a field more": {"more": 1},
    "text for a number": {"value": "1"},
    "a number for text": {"method": 3},
    "true for a number": {"seed": True},
    "a huge seed": {"seed": 10**400},
    "a broken seed": {"seed": 0.5},
    "a huge value": {"value": 1e300},
    "NaN": {"value": float("nan")},
    "infinity": {"value": float("inf")},
    "a list": {"value": [1]},
    "a mapping": {"corpus": {"a": 1}},
    "null": {"corpus": None},
}


@pytest.mark.parametrize("name", ["records.jsonl", "manifest.json", "probes.jsonl"])
def test_a_file_that_is_none_of_ours_is_one_line(
    name: str, made: dict[str, str], built: Callable[..., tuple[int, str]]
) -> None:
    for what, change in BROKEN.items():
        code, errors = built({name: change(made[name])})
        assert code == 2, what
        assert errors.startswith("error: "), what
        assert errors.count("\n") == 1, what
        assert len(errors) < 2100, what
    if name != "manifest.json":
        for what, fields in BROKEN_ROWS.items():
            code, errors = built({name: _first(made[name], **fields)})
            assert code == 2, what
            assert errors.count("\n") == 1, what
            assert f"{name}:1 is not a " in errors, what


def test_a_manifest_of_other_types_is_one_line(
    made: dict[str, str], built: Callable[..., tuple[int, str]]
) -> None:
    manifest = json.loads(made["manifest.json"])
    for key in manifest:
        for value in (None, 3, "x", [3], {"a": 3}, [[]], {"a": {"b": []}}):
            if isinstance(value, type(manifest[key])):
                continue
            code, errors = built({"manifest.json": json.dumps({**manifest, key: value})})
            assert code == 2, (key, value)
            assert errors.count("\n") == 1, (key, value)
        without = {name: value for name, value in manifest.items() if name != key}
        code, errors = built({"manifest.json": json.dumps(without)})
        assert code in (0, 2)
        assert errors.count("\n") == (code == 2)


def test_slugs_are_one_to_one_and_bounded() -> None:
    names = {
        *HOSTILE,
        *PLAIN,
        *(slug(name) for name in HOSTILE),
        *(f"a{letter}b" for letter in map(chr, range(0x250))),
        *("é", "e\u0301", "e", "E", "x" * LONGEST_SLUG, "x" * (LONGEST_SLUG + 1), "a-b", "a b", "a  b"),
        *("\ud800", "\udc80", "ss", "ß", "aux.x", "con", "com1"),
    }
    slugs = {name: slug(name) for name in names}
    assert len(set(slugs.values())) == len(names)
    for made_of, file in slugs.items():
        assert file.isascii()
        assert 0 < len(file) <= LONGEST_SLUG
        assert re.fullmatch(r"[A-Za-z0-9_~][A-Za-z0-9._+@=~-]*", file), made_of
        assert slug(file) == file or "~" in file
    assert slug("self-03a01Fa_x.2") == "self-03a01Fa_x.2"


def test_two_tables_never_share_a_file(tmp_path: Path) -> None:
    from reports.formats import Table

    def table(name: str) -> Table:
        return Table(name, "", "", (), ())

    names = [
        t.name for t in reports.paper.named([table("a-b-c"), table("a-b-c"), table("a b"), table("a-b-c")])
    ]
    assert len(set(names)) == 4
    assert names[0] == "a-b-c"
    assert dataclasses.replace(table("x"), name=names[1]).name != names[0]
