"""The report: what it refuses, what it shows, and that a rebuild is the same bytes."""

from __future__ import annotations

import dataclasses
import html.parser
import json
import math
import re
import subprocess
import sys
from pathlib import Path

import pytest

from benchmark.records import (
    ProbeRecord,
    RecordsError,
    read_manifest,
    read_probes,
    read_records,
    write_manifest,
    write_records,
)
from reports.formats import to_csv, to_latex, to_markdown
from reports.load import load_study
from reports.paper import BEGIN, END, build_report, main, update_readme
from reports.stats import compare_all
from reports.tables import comparison_table, main_table

ROOT = Path(__file__).resolve().parents[3]
GOLDEN = ROOT / "tests" / "golden" / "reports" / "main-self.tex"
EVIL = '<script>alert(1)</script>\\end{table}$&%#_{}~^"|*[x]`=cmd'


@pytest.fixture
def run(tmp_path, fake):
    fake.write_run(tmp_path / "quick")
    return tmp_path / "quick"


def edit(run: Path, keep=lambda r: True, change=lambda r: r) -> None:
    write_records(run / "records.jsonl", [change(r) for r in read_records(run / "records.jsonl") if keep(r)])


def test_latex_is_the_golden_table(run):
    """Regenerate: print to_latex(main_table(study, "self")) of tests/unit/reports/fake.py into the file."""
    assert to_latex(main_table(load_study(run), "self")) == GOLDEN.read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("keep", "message"),
    [
        (lambda r: not (r.method == "evp" and r.seed == 1 and r.ablation == "full"), "evp, seed 1"),
        (
            lambda r: not (r.method == "neutral" and r.clip == "self-s00-angry" and r.protocol == "ssim"),
            "self-s00-angry",
        ),
        (lambda r: r.method != "nearest", "nearest: the manifest says done"),
    ],
)
def test_missing_scores_are_refused_by_name(run, keep, message):
    edit(run, keep)
    with pytest.raises(RecordsError, match=message):
        load_study(run)


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("corpus", "mead", "mix corpora"),
        ("protocol", "lmd/mine", "lmd/mine"),
        ("method", "stranger", "stranger"),
    ],
)
def test_foreign_records_are_refused_by_name(run, field, value, message):
    first = read_records(run / "records.jsonl")[0]
    edit(run, change=lambda r: dataclasses.replace(r, **{field: value}) if r == first else r)
    with pytest.raises(RecordsError, match=message):
        load_study(run)


def test_a_missing_seed_is_refused(run):
    manifest = read_manifest(run / "manifest.json")
    cells = tuple(c for c in manifest.cells if (c.method, c.seed) != ("evp", 0))
    write_manifest(run / "manifest.json", dataclasses.replace(manifest, cells=cells))
    with pytest.raises(RecordsError, match="seed 0 is missing"):
        load_study(run)


def test_a_failed_cell_is_a_failed_row_with_its_reason(run):
    table = main_table(load_study(run), "self")
    row = next(r for r in table.rows if r.key == "song")
    assert "NonFiniteLoss" in row.failed
    assert not row.cells
    assert "FAILED (seed 1: NonFiniteLoss" in to_markdown(table)
    assert r"\multicolumn{8}{l}{FAILED" in to_latex(table)
    assert ",FAILED," in to_csv(table)


def test_ceiling_psnr_is_left_out_by_rule_and_not_a_number(run):
    table = main_table(load_study(run), "self")
    cell = next(r for r in table.rows if r.key == "truth").cells[5]
    assert cell.value == "–"


def test_verdicts_follow_the_differences(run):
    found = {(c.other, c.protocol): c for c in compare_all(load_study(run), "self")}
    assert found["mean_face", "ld/mouth"].verdict == "supported"
    assert found["mean_face", "ld/mouth"].advantage.low > 0
    assert found["mean_face", "ld/mouth"].p_smallest == 0.125
    assert ("song", "ld/mouth") not in found
    assert ("truth", "ld/mouth") not in found


def test_a_null_ablation_comes_out_null(run):
    own = {
        (r.seed, r.condition, r.protocol, r.clip): r
        for r in read_records(run / "records.jsonl")
        if (r.method, r.ablation) == ("evp", "full")
    }

    def copy(r):
        same = own.get((r.seed, r.condition, r.protocol, r.clip))
        return dataclasses.replace(same, ablation=r.ablation) if r.ablation == "no_dtw" else r

    edit(run, change=copy)
    null = [c for c in compare_all(load_study(run), "self") if c.other == "evp/no_dtw"]
    assert {c.verdict for c in null} == {"inconclusive"}
    assert {c.advantage.mean for c in null} == {0.0}


class Tags(html.parser.HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.scripts = 0
        self.ids: list[str] = []
        self.targets: list[str] = []
        self.outside: list[str] = []

    def handle_starttag(self, tag, attrs):
        named = dict(attrs)
        self.scripts += tag == "script"
        self.ids += [named["id"]] if named.get("id") else []
        for key in ("href", "src", "xlink:href"):
            link = named.get(key) or ""
            if link.startswith("#"):
                self.targets.append(link[1:])
            elif ":" in link.split("/")[0] and not link.startswith("data:"):
                self.outside.append(link)


@pytest.fixture
def evil_run(tmp_path, fake):
    manifest = fake.write_run(tmp_path / "quick", videos=1, sentences=2)
    clips = {k: {**v, "text": EVIL, "speaker": EVIL} for k, v in manifest.clips.items()}
    methods = {k: dataclasses.replace(v, label=f"{v.label} {EVIL}") for k, v in manifest.methods.items()}
    evil = dataclasses.replace(manifest, clips=clips, methods=methods, notes=(EVIL,), provenance={"x": EVIL})
    write_manifest(tmp_path / "quick" / "manifest.json", evil)
    return tmp_path / "quick"


def test_page_escapes_names_and_links_lead_somewhere(evil_run):
    """And two builds are the same bytes, in every file."""
    page = build_report(evil_run).read_text(encoding="utf-8")
    tags = Tags()
    tags.feed(page)
    assert tags.scripts == 2
    assert "<script>alert" not in page
    assert len(tags.ids) == len(set(tags.ids))
    assert set(tags.targets) <= set(tags.ids)
    assert not tags.outside
    assert "data:video/mp4;base64," in page
    assert str(evil_run) not in page
    report = evil_run / "report"
    before = {p.relative_to(report): p.read_bytes() for p in report.rglob("*") if p.is_file()}
    build_report(evil_run)
    after = {p.relative_to(report): p.read_bytes() for p in report.rglob("*") if p.is_file()}
    assert before == after
    assert {p.suffix for p in before} == {".html", ".md", ".csv", ".tex", ".pdf", ".png"}
    assert not list(evil_run.glob(".report*"))


def test_characters_without_a_glyph_are_shown_by_their_codes(tmp_path, fake):
    manifest = fake.write_run(tmp_path / "quick")
    for label in ("\ufeffx", "\r=1", "a\u202eb", "\x1b[31m"):
        methods = {key: dataclasses.replace(row, label=label) for key, row in manifest.methods.items()}
        write_manifest(tmp_path / "quick" / "manifest.json", dataclasses.replace(manifest, methods=methods))
        study = load_study(tmp_path / "quick")
        (shown,) = {row.label for row in study.rows.values()}
        assert shown == label.encode("unicode_escape").decode()
        assert "".join(to_csv(main_table(study, "self")).splitlines()).isprintable()


def test_text_formats_escape_names(evil_run):
    table = main_table(load_study(evil_run), "self")
    tex = to_latex(table)
    assert tex.count(r"\end{table}") == 1
    assert balanced(tex)
    body = [line for line in tex.splitlines() if line.endswith(r"\\")]
    assert {len(re.findall(r"(?<!\\)&", line)) for line in body if "multicolumn" not in line} == {8}
    assert "<script>" not in to_markdown(table)
    rows = [line for line in to_markdown(table).splitlines() if line.startswith("|")]
    assert {len(re.findall(r"(?<!\\)\|", line)) for line in rows} == {10}


def balanced(tex: str) -> bool:
    depth = 0
    for brace in re.findall(r"(?<!\\)[{}]", tex):
        depth += 1 if brace == "{" else -1
        if depth < 0:
            return False
    return depth == 0


def test_csv_runs_no_formula(run):
    manifest = read_manifest(run / "manifest.json")
    methods = {**manifest.methods, "evp": dataclasses.replace(manifest.methods["evp"], label="=1+1")}
    write_manifest(run / "manifest.json", dataclasses.replace(manifest, methods=methods))
    assert ",'=1+1," in to_csv(main_table(load_study(run), "self"))


def test_videos_outside_the_run_are_refused(run, fake):
    manifest = read_manifest(run / "manifest.json")
    item = next(iter(manifest.clips))
    evil = dataclasses.replace(manifest, media={item: {"truth": "../../etc/passwd"}})
    with pytest.raises(RecordsError, match="outside the run directory"):
        write_manifest(run / "manifest.json", evil)
    (run / "manifest.json").write_text(json.dumps(dataclasses.asdict(evil)))
    with pytest.raises(RecordsError, match="outside the run directory"):
        build_report(run)


def test_the_judges_ceiling_is_that_of_the_condition(run):
    manifest = read_manifest(run / "manifest.json")
    judge = {**manifest.judges["emotion"], "ceilings": {"self": 0.92, "transfer": 0.81}}
    write_manifest(run / "manifest.json", dataclasses.replace(manifest, judges={"emotion": judge}))
    study = load_study(run)
    assert "on the true clips 92.0 %, chance" in main_table(study, "self").caption
    assert "on the true clips 81.0 %, chance" in main_table(study, "transfer").caption


def test_a_single_clip_is_told_as_one(run):
    manifest = read_manifest(run / "manifest.json")
    only = next(name for name, info in manifest.clips.items() if info["condition"] == "self")
    edit(run, lambda r: r.clip == only and r.method == "evp" and r.ablation == "full")
    cells = tuple(c for c in manifest.cells if (c.method, c.ablation) == ("evp", "full"))
    methods = {"evp": manifest.methods["evp"]}
    alone = dataclasses.replace(
        manifest, clips={only: manifest.clips[only]}, cells=cells, methods=methods, judges={}, media={}
    )
    write_manifest(run / "manifest.json", alone)
    page = build_report(run).read_text(encoding="utf-8")
    assert "1 test item, 2 seeds (0, 1), 2 cells." in page
    assert "1 clip of 1 held-out sentence, 2 seeds" in page
    assert "There is no interval: 1 clip cannot say how others would score; it takes 3 or more." in page


def test_a_clip_without_emotion_has_no_intensity_of_it(fake, tmp_path):
    manifest = fake.write_run(tmp_path / "quick", videos=1, sentences=2)
    assert "intensity: 3" in build_report(tmp_path / "quick").read_text(encoding="utf-8")
    clips = {name: {**info, "emotion": None} for name, info in manifest.clips.items()}
    write_manifest(tmp_path / "quick" / "manifest.json", dataclasses.replace(manifest, clips=clips))
    assert "intensity: " not in build_report(tmp_path / "quick").read_text(encoding="utf-8")


def test_a_study_without_emotions_or_comparisons(run):
    edit(
        run,
        lambda r: (
            r.condition == "self" and r.protocol != "emotion" and (r.method, r.ablation) == ("evp", "full")
        ),
    )
    manifest = read_manifest(run / "manifest.json")
    clips = {k: {**v, "emotion": None} for k, v in manifest.clips.items() if v["condition"] == "self"}
    cells = tuple(c for c in manifest.cells if (c.method, c.ablation) == ("evp", "full"))
    alone = dataclasses.replace(
        manifest, clips=clips, cells=cells, methods={"evp": manifest.methods["evp"]}, judges={}, media={}
    )
    write_manifest(run / "manifest.json", alone)
    study = load_study(run)
    assert comparison_table(study, "self") is None
    assert build_report(run).is_file()


def test_readme_block_and_its_check(run, tmp_path, capsys):
    readme = tmp_path / "README.md"
    readme.write_text(f"before\n{BEGIN}\nold\n{END}\nafter\n", encoding="utf-8")
    here = [f"out={tmp_path}", "suite=quick", f"readme={readme}"]
    assert main([*here, "check=true"]) == 1
    assert "old" in readme.read_text(encoding="utf-8")
    assert update_readme(readme, "| a |\n", check=False) is False
    text = readme.read_text(encoding="utf-8")
    assert text == f"before\n{BEGIN}\n| a |\n{END}\nafter\n"
    assert update_readme(readme, "| a |\n", check=True) is True
    assert not (run / "report").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["suit=quick"], "expected key=value"),
        (["suite=none", "out=/nonexistent"], "no records at"),
        (["check=true"], "give readme="),
        (["check=maybe"], "expected true or false"),
    ],
)
def test_bad_arguments_are_one_line_and_code_2(arguments, message, capsys):
    assert main(arguments) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1


def test_reports_import_no_torch():
    shared = {"models", "models.command", "models.errors", "models.files", "models.locks"}
    code = (
        "import sys, reports.paper\n"
        "packages = ('torch', 'hydra', 'models', 'wandb')\n"
        "heavy = {name for name in sys.modules if name.split('.')[0] in packages}\n"
        f"sys.exit(', '.join(sorted(heavy - {shared!r})) or 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False, capture_output=True, text=True)
    assert done.stderr.strip() == ""
    assert done.returncode == 0


@pytest.mark.parametrize(
    "change",
    [
        {"notes": ("x" * 20_001,)},
        {"notes": ("a\0b",)},
        {"corpus": "mine & yours"},
        {"provenance": {"command": float("nan")}},
        {"floors": {"ld/mouth": {"self": 1.0}}},
    ],
    ids=lambda change: next(iter(change)),
)
def test_no_manifest_is_written_that_cannot_be_read(run, change):
    before = (run / "manifest.json").read_bytes()
    manifest = dataclasses.replace(read_manifest(run / "manifest.json"), **change)
    with pytest.raises(RecordsError):
        write_manifest(run / "manifest.json", manifest)
    assert (run / "manifest.json").read_bytes() == before


@pytest.mark.parametrize("name", ["records.jsonl", "probes.jsonl"])
def test_a_blank_line_is_no_row_wherever_it_is(tmp_path, name):
    record = {"corpus": "a", "method": "b", "ablation": "full", "seed": 0, "condition": "self"}
    record |= {"protocol": "ssim", "clip": "c", "value": 1.0}
    probe = {"corpus": "a", "method": "b", "ablation": "full", "seed": 0, "embedding": "e", "factor": "f"}
    probe |= {"measure": "m", "sentence": "s", "value": 1.0}
    read, row = (read_records, record) if name == "records.jsonl" else (read_probes, probe)
    line = json.dumps(row) + "\n"
    path = tmp_path / name
    path.write_text(line)
    assert len(read(path)) == 1
    for text, number in ((f"\n{line}", 1), (f"{line}\n", 2), (f"{line}\n{line}", 2), ("\n", 1), ("\n\n", 1)):
        path.write_text(text)
        with pytest.raises(RecordsError, match=f"{name}:{number} is not a "):
            read(path)


def test_a_probe_that_is_no_number_is_named_in_a_sentence():
    with pytest.raises(RecordsError, match=r"^m of f in b/e is inf$"):
        ProbeRecord("a", "b", "full", 0, "e", "f", "m", "s", math.inf)
