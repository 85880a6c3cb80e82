"""Rows 24 and 27 to 32: files, names, configurations and environments that somebody made to do harm."""

from __future__ import annotations

import contextlib
import csv
import dataclasses
import html.parser
import io
import itertools
import os
import pickle
import random
import re
import resource
import shutil
import socket
import tarfile
import time
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

from tests.faults import toys
from tests.faults.tally import Tally, check

# Small files


@dataclasses.dataclass(frozen=True)
class Reader:
    """Something that reads a small file of the user's or of the suite's own."""

    name: str
    suffix: str
    valid: bytes
    read: Callable[[Path], object]
    refusals: tuple[type[Exception], ...]
    """What a file that cannot be used may raise."""


def small_files(count: int, folder: Path) -> Tally:
    """Fuzz landmark files, arrays, weights, records, manifests, tables and configurations, and read them."""
    tally = Tally()
    rng = random.Random("small files")
    readers = _readers(folder / "valid")
    canary = folder / "canary"
    hostile = [pickle.dumps(_Call(os.mkdir, str(canary)), protocol) for protocol in (0, 2, 4)]
    before = _resident_peak()
    refused = 0
    for number in range(count):
        reader = readers[number % len(readers)]
        path = folder / f"file{reader.suffix}"
        path.write_bytes(_fuzzed(reader.valid, rng, hostile))
        name = f"{reader.name}{reader.suffix}"
        try:
            with contextlib.redirect_stderr(io.StringIO()), np.errstate(all="ignore"):
                reader.read(path)
        except reader.refusals as error:
            refused += 1
            tally.add("\n" not in str(error).strip(), f"{name}: more than one line: {str(error)[:80]}")
        except RecursionError as error:
            tally.add(False, f"{name}: {type(error).__name__}")
        except Exception as error:
            tally.add(
                False,
                f"{name}: {type(error).__name__}: {re.sub(r'0x[0-9a-f]+|[0-9]+', '#', str(error))[:90]}",
            )
        else:
            tally.add(True)
        if canary.exists():
            tally.others[f"{name}: a pickle was executed"] += 1
            canary.rmdir()
    grown = (_resident_peak() - before) // 1024
    if grown > 500:
        tally.others[f"memory grew by {grown} MB"] += 1
    tally.notes.append(
        f"{len(readers)} readers ({', '.join(sorted({r.name for r in readers}))}); {refused:,} files were "
        "refused, the others still were what they should be; no pickle was executed"
    )
    return tally


class _Call:
    """Pickles as a call."""

    def __init__(self, function: Any, *arguments: Any) -> None:
        self.call = (function, arguments)

    def __reduce__(self) -> Any:
        return self.call


def _resident_peak() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def _fuzzed(valid: bytes, rng: random.Random, hostile: list[bytes]) -> bytes:
    data = bytearray(valid)
    kind = rng.randrange(10)
    if kind < 3:
        for _ in range(rng.randrange(1, 8)):
            data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
    elif kind < 5:
        del data[rng.randrange(len(data)) :]
    elif kind == 5:
        at = rng.randrange(len(data))
        data[at:at] = rng.randbytes(rng.randrange(1, 64))
    elif kind == 6:
        at, length = rng.randrange(len(data)), rng.randrange(1, 64)
        data[at : at + length] = data[at : at + length][::-1]
    elif kind == 7:
        # Numbers that claim more than there is.
        numbers = [m.span() for m in re.finditer(rb"[0-9]+", bytes(data[:400]))]
        if numbers:
            start, end = rng.choice(numbers)
            data[start:end] = rng.choice([b"-1", b"0", b"99999999999", b"1e309", b"NaN", b"[]", b"null"])
    elif kind == 8:
        data = bytearray(rng.choice(hostile))
    else:
        data = bytearray(
            rng.choice([b"", b"\xef\xbb\xbf" + valid, b"\xff\xfe", rng.randbytes(200), b"[" * 5000, b"{}"])
        )
    return bytes(data)


def _readers(folder: Path) -> list[Reader]:
    """Every reader with a valid file of its kind."""
    from benchmark import records
    from benchmark.config import load
    from benchmark.data.corpus import CorpusError
    from benchmark.data.folder import read_table
    from benchmark.errors import ConfigError
    from benchmark.metrics.judge_file import JudgeError, load_judge, save_judge
    from benchmark.training.stage_cache import StageFolder
    from models.artefacts import ArtefactError, load_arrays, save_arrays
    from models.audio import logits
    from models.errors import InputError
    from models.face3d.pickled_arrays import read_arrays
    from models.importing.checkpoint import read_npy, read_tensors
    from models.importing.names import Entry
    from models.preprocess.faces import read_landmarks
    from models.preprocess.media import MediaError
    from models.training.checkpoint import load_checkpoint, save_checkpoint
    from tests.unit.reports import fake

    folder.mkdir()
    points = np.random.default_rng(0).uniform(20, 200, (6, 68, 2)).astype(np.float32)
    scores = np.random.default_rng(1).normal(0, 9, (50, 29)).astype(np.float32)
    keys = {"a": Entry((3, 4), "a"), "b": Entry((3,), "b")}
    tensors = {"a": torch.ones(3, 4), "b": torch.zeros(3)}

    def made(name: str, write: Callable[[Path], object]) -> bytes:
        path = folder / name
        write(path)
        return path.read_bytes()

    readers = []
    for suffix, write in (
        (".npy", lambda p: np.save(p, points)),
        (".npz", lambda p: np.savez(p, landmarks=points)),
        (".txt", lambda p: np.savetxt(p, points.reshape(6, -1))),
        (".csv", lambda p: np.savetxt(p, points.reshape(6, -1), delimiter=",")),
    ):
        try:
            valid = made(f"points{suffix}", write)
            read_landmarks(folder / f"points{suffix}", 6)
        except (InputError, MediaError, ValueError):
            continue  # a kind that is not read
        readers.append(
            Reader("landmarks", suffix, valid, lambda p: read_landmarks(p, 6), (InputError, MediaError))
        )
    fake.write_run(folder / "run", sentences=2)
    readers += [
        Reader(
            "records",
            ".jsonl",
            (folder / "run/records.jsonl").read_bytes()[:4000].rpartition(b"\n")[0] + b"\n",
            records.read_records,
            (records.RecordsError,),
        ),
        Reader(
            "manifest",
            ".json",
            (folder / "run/manifest.json").read_bytes(),
            records.read_manifest,
            (records.RecordsError,),
        ),
        Reader(
            "arrays",
            ".safetensors",
            made("x.safetensors", lambda p: save_arrays(p, {"x": points})),
            load_arrays,
            (ArtefactError,),
        ),
        Reader(
            "judge",
            ".judge",
            made("judge", lambda p: save_judge(p, {"x": points}, "judge 1", {"a": 1})),
            lambda p: load_judge(p, "judge 1", "judge"),
            (JudgeError,),
        ),
        Reader(
            "weights",
            ".pth",
            made("w.pth", lambda p: torch.save(tensors, p)),
            lambda p: read_tensors(p, keys, {"net": keys}),
            (InputError,),
        ),
        Reader(
            "old weights",
            ".pth",
            made("o.pth", lambda p: torch.save(tensors, p, _use_new_zipfile_serialization=False)),
            lambda p: read_tensors(p, keys, {"net": keys}),
            (InputError,),
        ),
        Reader(
            "array",
            ".npy",
            made("mean.npy", lambda p: np.save(p, np.arange(4.0))),
            lambda p: read_npy(p, ((4,),)),
            (InputError,),
        ),
        Reader(
            "face model",
            ".pickle",
            pickle.dumps({"base": points, "weight": points}, 2),
            lambda p: read_arrays(p, 10**6),
            (ArtefactError,),
        ),
        Reader(
            "logits", ".npy", made("logits.npy", lambda p: np.save(p, scores)), logits._read, (ValueError,)
        ),
    ]
    table = b"file,speaker,sentence,emotion,intensity\na.wav,ada,s1,happy,1\nb.wav,ada,s2,neutral,1\n"
    for name in ("a.wav", "b.wav"):
        (folder.parent / name).write_bytes(b"RIFF")
    readers.append(
        Reader(
            "table", ".csv", table, lambda p: read_table(p.parent, p, ("happy", "neutral")), (CorpusError,)
        )
    )
    save_checkpoint(folder / "checkpoints", owner="me", step=1, tensors=tensors, state={"rows": []})

    def checkpoint(path: Path) -> object:
        shutil.copy(path, folder / "checkpoints" / f"{1:09d}.json")
        return load_checkpoint(folder / "checkpoints", owner="me", say=lambda message: None)

    readers.append(
        Reader("checkpoint", ".json", (folder / f"checkpoints/{1:09d}.json").read_bytes(), checkpoint, ())
    )
    stage = StageFolder(folder, "net", "1")
    stage.begin()
    (stage.output / "net.bin").write_bytes(b"x")
    stage.publish({"name": "net", "id": "1"})

    def recipe(path: Path) -> object:
        shutil.copy(path, stage.path / "stage.json")
        return stage.damage()

    readers.append(Reader("stage", ".json", (stage.path / "stage.json").read_bytes(), recipe, ()))

    def configuration(path: Path) -> object:
        (folder / "configs" / "method").mkdir(parents=True, exist_ok=True)
        shutil.copy(path, folder / "configs" / "method" / "fuzzed.yaml")
        return load(
            ["suite=toy", *toys.TINY, "methods=[fuzzed]"],
            [str(toys.TOYS / "configs"), str(folder / "configs")],
        )

    readers.append(
        Reader(
            "configuration",
            ".yaml",
            (toys.TOYS / "configs/method/toy.yaml").read_bytes(),
            configuration,
            (ConfigError,),
        )
    )
    return readers


# Checkpoints, archives


def malicious_checkpoints(count: int, folder: Path) -> Tally:
    """Give programs instead of weights to everything that reads a file: none may run, and the file is
    named."""
    tally = Tally()
    canary = folder / "canary"
    readers = [
        r
        for r in _readers(folder / "valid")
        if r.suffix in (".pth", ".npy", ".npz", ".pickle", ".safetensors")
    ]
    payloads = _payloads(canary)
    cases = [
        (reader, name, form)
        for name in payloads
        for form in ("torch", "old torch", "pickle", "npy")
        for reader in readers
    ]
    for reader, name, form in cases[:count] if count < len(cases) else cases:
        path = folder / f"hostile{reader.suffix}"
        content = {"a": payloads[name], "b": torch.zeros(3)}
        with path.open("wb") as stream:
            if form == "pickle":
                pickle.dump(content, stream)
            elif form == "npy":
                np.save(stream, np.array([payloads[name]], object), allow_pickle=True)
            else:
                torch.save(content, stream, _use_new_zipfile_serialization=form == "torch")
        with tally.case(f"{name} as {form} for {reader.name}{reader.suffix}"):
            try:
                reader.read(path)
            except reader.refusals as error:
                check(path.name in str(error), f"does not name the file: {error}")
            else:
                raise AssertionError("it was read")
            finally:
                sang = canary.exists()
                if sang:
                    shutil.rmtree(canary, ignore_errors=True)
                    canary.unlink(missing_ok=True)
            check(not sang, "it was executed")
    tally.notes.append(f"{len(payloads)} programs in 4 forms for {len(readers)} readers")
    return tally


def _payloads(canary: Path) -> dict[str, Any]:
    touch = f"open({str(canary)!r}, 'w').close()"
    import subprocess

    return {
        "os.system": _Call(os.system, f"touch {canary}"),
        "os.mkdir": _Call(os.mkdir, str(canary)),
        "exec": _Call(exec, touch),
        "eval": _Call(eval, f"__import__('os').mkdir({str(canary)!r})"),
        "open": _Call(open, str(canary), "w"),
        "getattr": _Call(getattr, Path, "touch"),
        "subprocess": _Call(subprocess.check_output, ["touch", str(canary)]),
        "pickle.loads": _Call(pickle.loads, pickle.dumps(_Call(os.mkdir, str(canary)))),
        "torch.load": _Call(torch.load, str(canary), None, None),
        "numpy.load": _Call(np.load, str(canary), None, True),
        "numpy.save": _Call(np.save, str(canary), 1),
        "torch.save": _Call(torch.save, 1, str(canary)),
        "Path.touch": _Call(Path.touch, canary),
        "zipfile": _Call(zipfile.ZipFile, str(canary), "w"),
        "shutil.rmtree": _Call(shutil.rmtree, str(canary.parent / "valid")),
    }


def malicious_archives(count: int, folder: Path) -> Tally:
    """Give archives that lead out of their folder to everything that reads a file: nothing is ever
    unpacked."""
    tally = Tally()
    inner = folder / "inner"
    inner.mkdir()
    readers = _readers(folder / "valid")
    archives = _archives(folder)
    before = _tree(folder)
    cases = [(reader, name) for name in archives for reader in readers]
    random.Random("archives").shuffle(cases)
    for reader, name in cases[:count]:
        path = inner / f"file{reader.suffix}"
        path.write_bytes(archives[name])
        with tally.case(f"{name} for {reader.name}{reader.suffix}"):
            try:
                reader.read(path)
            except reader.refusals:
                pass
            finally:
                path.unlink()
            more = sorted(_tree(folder) - before)
            check(not more, f"wrote {', '.join(more[:3])}")
    tally.notes.append("no command unpacks an archive; what reads single files refuses them")
    return tally


def _tree(folder: Path) -> set[str]:
    own = ("valid/checkpoints", "valid/configs")
    names = {str(p.relative_to(folder)) for p in folder.rglob("*")}
    return {n for n in names if not n.startswith(own)}


def _archives(folder: Path) -> dict[str, bytes]:
    made: dict[str, bytes] = {}
    names = ("../outside", "/tmp/evp-outside", "a/../../outside", "..\\outside", "a" * 300)
    for name in names:
        stream = io.BytesIO()
        with zipfile.ZipFile(stream, "w") as archive:
            archive.writestr(name, b"x")
            archive.writestr("landmarks.npy", b"x")
        made[f"zip with {name[:20]}"] = stream.getvalue()
    for kind in ("link", "symlink", "device", "twice"):
        stream = io.BytesIO()
        with tarfile.open(fileobj=stream, mode="w") as archive:
            entry = tarfile.TarInfo("data")
            entry.type = {"link": tarfile.LNKTYPE, "symlink": tarfile.SYMTYPE, "device": tarfile.CHRTYPE}.get(
                kind, tarfile.REGTYPE
            )
            entry.linkname = str(folder / "outside")
            archive.addfile(entry)
            archive.addfile(entry)
        made[f"tar with a {kind}"] = stream.getvalue()
    return made


# Configurations


def malicious_configurations(count: int, folder: Path) -> Tally:
    """Name functions that may not be named, resolvers, secrets and paths on the command line.

    Beyond those, command lines of every command whose values are nonsense: one line on the error output each.
    """
    from tests.faults import command_lines

    tally = Tally()
    canary = folder / "canary"
    script = folder / "evil.py"
    script.write_text(f"open({str(canary)!r}, 'w').close()\ndef f(*a, **k): pass\nclass C: pass\n")
    os.environ["EVP_SECRET"] = "canary-in-the-environment"
    for number, line in enumerate(_lines(script, canary)[:count]):
        place = folder / f"case-{number}"
        with tally.case(" ".join(line)[:80]):
            ended = toys.run(place, *line)
            check(not canary.exists(), "code was executed")
            check(
                "canary-in-the-environment" not in ended.stdout + ended.stderr, "a variable's value was shown"
            )
            check(not ended.trace, f"a traceback: {ended.trace}")
            check(ended.code == 2, f"ended with {ended.code}: {ended.last or ended.stdout[-100:]}")
            message = [text for text in ended.stderr.splitlines() if text.strip()]
            check(
                len(message) == 1 and message[0].startswith("error: "),
                f"no single line: {ended.stderr[:150]}",
            )
            outside = [p for p in place.rglob("*") if p.is_file() and p.suffix not in (".out", ".err")]
            check(not outside, f"wrote {outside[:1]}")
        canary.unlink(missing_ok=True)
        shutil.rmtree(place, ignore_errors=True)
    malicious = tally.tried
    for number, case in enumerate(command_lines.cases(count - malicious)):
        place = folder / f"line-{number}"
        place.mkdir()
        wrong = command_lines.problem(command_lines.run_case(case, place))
        name = f"{case.command} {' '.join(case.arguments)}"[:60]
        tally.add(wrong is None, f"{name!a}: {wrong}")
        shutil.rmtree(place, ignore_errors=True)
    tally.notes.append(f"{malicious} malicious and {tally.tried - malicious} nonsensical command lines")
    return tally


def _lines(script: Path, canary: Path) -> list[list[str]]:
    targets = (
        "os.system", "os.mkdir", "subprocess.run", "builtins.eval", "builtins.exec", "torch.load",
        "torch.hub.load", "numpy.load", "joblib.load", "pickle.loads", "shutil.rmtree", "pathlib.Path",
        "hydra.utils.instantiate", "benchmark.run.os.system", "benchmark.conformance.child.load",
        "benchmark.conformance.__main__.main", "benchmark.errors.signal.raise_signal",
        "benchmark.run.main", "models.importing.__main__.main", "models.talk.__main__.main",
        "benchmark.score.__main__.main", "models.artefacts.load_arrays", "benchmark.records.write_text",
        "models.preprocess.decoder.subprocess.run", "benchmark.data.clip_store.publish",
        "toy_parts.os.system", "", "...", "models", "no.such.thing",
    )  # fmt: skip
    lines = [[f"data._target_={target}"] for target in targets]
    lines += [[f"method.net._target_={target}"] for target in targets[:12]]
    lines += [
        [f"+data.x={{_target_:{target},place:{script},name:f,path:{canary}}}"]
        for target in (
            "benchmark.conformance.child.load",
            "os.mkdir",
            "benchmark.records.write_text",
            "builtins.open",
        )
    ]
    lines += [[f"+method.net.x={{_target_:{target},path:{canary}}}"] for target in ("os.mkdir", "torch.load")]
    lines += [
        ["+data.x=${oc.env:EVP_SECRET}"],
        ["method.net.steps=${oc.env:EVP_SECRET}"],
        ["run=${oc.env:EVP_SECRET}/../x"],
        ["+data.x=${oc.decode:${oc.env:EVP_SECRET}}"],
        ["method.net.steps=${eval:1}"],
        ["run=../outside"],
        ["run=/tmp/evp-outside"],
        ["run=a/b"],
        ["run=.hidden"],
        ["ablations=[../x]"],
        ["methods=[../../x]"],
        ["suite=../../config"],
        ["hydra.run.dir=/tmp/evp-outside"],
        ["hydra.searchpath=[file:///tmp]"],
        ["--config-dir=/tmp"],
        ["--multirun"],
        ["+data._recursive_=true"],
    ]
    return lines


# Names that are code elsewhere

INJECTIONS = (
    "<script>canary()</script>", "<img src=x onerror=canary()>", '"><svg onload=canary()>',
    "</title><script>canary()", "<!--", "]]>", "&lt;b&gt;", "javascript:canary()", "{{7*7}}", "{% raw %}",
    "${7*7}", "`canary`", '\'"', "a|b", '\\input{/etc/passwd}', '\\write18{canary}', '\\end{document}',
    '\\def\\x{', "$x^2", "50%", "a_b", "#1", "~x^", "{", "}", "a & b", '\\', "=1+1", "+1",
    "-1+cmd|'/C calc'!A0", "@SUM(A1)", '\t=1', '\r=1', 'a\nb', 'a\x0bb', '\u202eabc', '\ufeffx',
    "'; DROP TABLE trials;--", "a,b", 'a"b', "[x](javascript:1)", "![x](y)", "# x", "**x**", "|---|",
    '\x1b[31mred', "é" * 100, "x" * 5000, "../../etc/passwd", "a/b", "CON", "%00", "%s%s%n",
    "<a href='http://x'>", "<style>*{}", "<base href=//x>", "<meta http-equiv=refresh>",
    "<iframe src=//x>", '🙂', '\u0600',
)  # fmt: skip


GROUP = 9
"""How many names one report gets: one for each of its methods."""


def injections(count: int, folder: Path) -> Tally:
    """Give clips, methods, notes and texts names that are code in HTML, LaTeX, Markdown, CSV and SQL.

    Several names share a report; if it is not as it should be, each gets one of its own.
    """
    tally = Tally()
    plain = folder / "plain"
    clean = _Report(plain, ["name"])
    for first in range(0, min(count, len(INJECTIONS)), GROUP):
        names = list(INJECTIONS[first : min(first + GROUP, count)])
        try:
            _Report(folder / f"group-{first}", names).check(clean)
        except Exception:
            for number, name in enumerate(names):
                with tally.case(repr(name[:40])):
                    _Report(folder / f"group-{first}-{number}", [name]).check(clean)
        else:
            for _ in names:
                tally.add(True)
    tally.notes.append(
        "elements, attributes and links are counted by an HTML parser, LaTeX by braces and commands"
    )
    return tally


class _Report:
    """A made-up study whose clips, methods and notes have the given names, and its report."""

    def __init__(self, place: Path, names: list[str]) -> None:
        from benchmark.records import write_manifest
        from reports.formats import to_csv, to_latex, to_markdown
        from reports.load import load_study
        from reports.paper import build_report
        from reports.tables import main_table
        from tests.unit.reports import fake

        manifest = fake.write_run(place, sentences=2, seeds=(0, 1))
        turns = itertools.cycle(names)
        clips = {
            k: {**v, "text": t, "speaker": t, "target": t}
            for (k, v), t in zip(manifest.clips.items(), turns, strict=False)
        }
        methods = {
            k: dataclasses.replace(v, label=t, asks=t)
            for (k, v), t in zip(manifest.methods.items(), turns, strict=False)
        }
        text = " ".join(names)
        changes: dict[str, Any] = {"notes": (text,), "provenance": {"x": text}, "corpus_description": text}
        write_manifest(
            place / "manifest.json", dataclasses.replace(manifest, clips=clips, methods=methods, **changes)
        )
        table = main_table(load_study(place), "self")
        self.elements = _Elements.of(build_report(place))
        self.latex, self.markdown, self.csv = to_latex(table), to_markdown(table), _columns(to_csv(table))

    def check(self, clean: _Report) -> None:
        """Compare with a report of harmless names."""
        active = self.elements.active
        check(
            active == clean.elements.active,
            f"the page has {active} active elements, not {clean.elements.active}",
        )
        check(self.elements.outside == clean.elements.outside, "the page links elsewhere")
        check(_balanced(self.latex), "LaTeX braces do not match")
        commands = re.findall(r"\\(?:input|write18|def|end\{document)", self.latex)
        check(not commands, "a LaTeX command came through")
        columns = [line.count(" & ") for line in self.latex.splitlines() if line.endswith("\\\\")]
        wanted = [line.count(" & ") for line in clean.latex.splitlines() if line.endswith("\\\\")]
        check(columns == wanted, "other LaTeX columns")
        rows = [line for line in self.markdown.splitlines() if line.startswith("|")]
        check(len({len(re.findall(r"(?<!\\)\|", row)) for row in rows}) == 1, "other Markdown columns")
        check("<script" not in self.markdown, "HTML in Markdown")
        check([len(row) for row in self.csv] == [len(row) for row in clean.csv], "other CSV columns")
        formulas = [cell for row in self.csv for cell in row if cell[:1] in tuple("=+@\t\r")]
        check(not formulas, f"a formula in CSV: {formulas[:1]}")


def _columns(text: str) -> list[list[str]]:
    return list(csv.reader(io.StringIO(text)))


def _balanced(latex: str) -> bool:
    depth = 0
    for brace in re.findall(r"(?<!\\)[{}]", re.sub(r"\\\\", "", latex)):
        depth += 1 if brace == "{" else -1
        if depth < 0:
            return False
    return depth == 0


class _Elements(html.parser.HTMLParser):
    """What of a page could act: scripts, frames, event handlers, links that lead elsewhere."""

    def __init__(self) -> None:
        super().__init__()
        self.active = 0
        self.outside: set[str] = set()

    @classmethod
    def of(cls, page: Path) -> _Elements:
        elements = cls()
        elements.feed(page.read_text(encoding="utf-8"))
        return elements

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.active += tag in ("script", "iframe", "object", "embed", "base", "meta", "link", "form")
        self.active += sum(name.startswith("on") for name, _ in attrs)
        for name, value in attrs:
            link = (value or "") if name in ("href", "src", "xlink:href", "action") else ""
            if ":" in link.split("/")[0] and not link.startswith("data:"):
                self.outside.add(link)


# Secrets

SECRET_NAMES = (
    "WANDB_API_KEY", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "HF_TOKEN", "HUGGINGFACE_TOKEN",
    "GITHUB_TOKEN", "GITLAB_TOKEN", "OPENAI_API_KEY", "GOOGLE_APPLICATION_CREDENTIALS",
    "AZURE_CLIENT_SECRET", "DATABASE_PASSWORD", "PGPASSWORD", "SSH_AUTH_SOCK", "KUBECONFIG",
    "DOCKER_PASSWORD", "NPM_TOKEN", "PIP_INDEX_URL", "HTTPS_PROXY", "SLURM_JWT", "MY_COMPANY_PASSWORD",
)  # fmt: skip
CANARIES = {name: f"canary{number:02d}0123456789abcdef" for number, name in enumerate(SECRET_NAMES)}
"""Variables of the environment whose values must be in no file."""


def secrets(count: int, folder: Path) -> Tally:
    """Put secrets into the environment, run a study with a failing cell and the offline mirror, and search
    all files."""
    tally = Tally()
    environment = {
        k: f"https://user:{v}@localhost/" if "URL" in k or "PROXY" in k else v for k, v in CANARIES.items()
    }
    place = folder / "run"
    arguments = ("methods=[toy,ground_truth]", "ablations=[full,raises]", "tracking=offline")
    ended = toys.run(place, *arguments, environment=environment)
    check(ended.code == 3, f"the study ended with {ended.code}: {ended.last}")
    files = [p for p in place.rglob("*") if p.is_file()]
    check(any(p.suffix == ".wandb" for p in files), "nothing was mirrored")
    contents = {p: p.read_bytes() for p in files}
    for name, value in list(CANARIES.items())[:count]:
        hits = [str(p.relative_to(place)) for p, data in contents.items() if value.encode() in data]
        tally.add(not hits, f"{name} is in {', '.join(hits[:3])}")
    tally.notes.append(
        f"{len(files)} files were searched: records, logs, accounts of failures, the offline mirror, output"
    )
    return tally


# Networks


def no_network(count: int, folder: Path) -> Tally:
    """Refuse, blackhole or forbid every connection: the study is complete, and starts as fast."""
    tally = Tally()
    kinds = ("refused", "blackholed", "no names")
    started = time.monotonic()
    check(toys.run(folder / "undisturbed").code == 0, "undisturbed run")
    usual = time.monotonic() - started
    wanted = toys.contents(folder / "undisturbed")
    for number in range(count):
        kind = kinds[number % len(kinds)]
        offline = number % 2 == 1
        place = folder / f"case-{number}"
        with tally.case(f"{kind}{', mirrored offline' if offline else ''}"):
            started = time.monotonic()
            ended = toys.run(
                place,
                *(["tracking=offline"] if offline else []),
                before=lambda k=kind, p=place: _cut_off(k, p / "tried"),
            )
            check(ended.code == 0, f"ended with {ended.code}: {ended.last}")
            found = {k: v for k, v in toys.contents(place).items() if "/wandb/" not in k}
            wrong = "" if offline else toys.difference(found, wanted)
            check(not wrong, wrong)
            check(not (place / "tried").exists(), "a connection was tried")
            if not offline:
                check(time.monotonic() - started < 5 * usual + 5, "it took much longer than with a network")
        shutil.rmtree(place, ignore_errors=True)
    return tally


def _cut_off(kind: str, log: Path) -> None:
    def connect(self: Any, address: Any) -> None:
        if self.family == socket.AF_UNIX or (
            isinstance(address, tuple) and str(address[0]).startswith(("127.", "::1"))
        ):
            return plain(self, address)
        log.touch()
        if kind == "blackholed":
            time.sleep(30)
            raise TimeoutError
        raise ConnectionRefusedError

    plain = socket.socket.connect
    socket.socket.connect = connect  # type: ignore[method-assign]
    if kind == "no names":
        names = socket.getaddrinfo

        def unresolved(host: Any, *rest: Any, **named: Any) -> Any:
            if host in (None, "localhost", "127.0.0.1", "::1"):
                return names(host, *rest, **named)
            log.touch()
            raise socket.gaierror(socket.EAI_NONAME, "no names")

        socket.getaddrinfo = unresolved
