"""Keeps a run's folder to one data set, and says how to repeat the run.

`results/smoke-folder` holds the tables of one corpus. The folder remembers which: its name, where it lies,
and what is in it. Another data set is refused by name; the same one at another place, or changed where it
lies, goes on. What a run writes is replaced as a whole, so old and new never mix in one table.
"""

from __future__ import annotations

import contextlib
import json
import os
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from benchmark.config import ConfigError, Settings, in_grammar
from benchmark.records import MANIFEST, write_text
from benchmark.study import DATA, Study

CORPUS = "corpus.json"
"""In a run's folder: the data set that its results are of."""
PLACES = ("root", "table")
"""Keys of `data` that say where a corpus lies."""
BELOW_ROOT = ".table"
"""Ending of the keys whose places are relative to a corpus, wherever the command is given."""
UNREPEATED = ("dry_run", "workers", "checkpoint_seconds")
"""Keys that neither results nor their place depend on."""
REPOSITORY = Path(__file__).resolve().parents[1]


def claim(settings: Settings, study: Study) -> None:
    """Keep the run's folder for the study's corpus; with `dry_run` nothing is written.

    Raises:
        ConfigError: the folder holds results of another data set.
    """
    place = settings.run_directory / CORPUS
    corpus = _described(settings, study)
    holder = described = _read(place)
    if holder is None:
        holder = _of_manifest(settings.run_directory / MANIFEST)
        if place.is_file() and holder is not None and holder["identity"] != study.corpus_id:
            # Its name alone would let another data set of the same kind in.
            raise ConfigError(
                f"{place} is damaged, and what it says of the results beside it is lost; this is "
                f"{_words(corpus)}: name another folder by run=NAME, or remove {place} if they are of it"
            )
    if holder is not None and not _same(holder, corpus):
        raise ConfigError(
            f"{settings.run_directory} holds results of {_words(holder)}, and this is {_words(corpus)}: name "
            "another folder by run=NAME, or remove it"
        )
    if not settings.dry_run and described != corpus:
        write_text(place, json.dumps(corpus, indent=1, sort_keys=True, ensure_ascii=False) + "\n")


def _described(settings: Settings, study: Study) -> dict[str, Any]:
    places = {key: settings.data[key] for key in PLACES if settings.data.get(key)}
    if "root" in places:
        places["root"] = str(Path(places["root"]).resolve())
    recordings = study.recorded.get(DATA)
    content = "" if recordings is None else recordings.content_digest()
    return {"name": study.corpus.name, "places": places, "content": content}


def _same(first: Mapping[str, Any], second: Mapping[str, Any]) -> bool:
    """Tell whether two descriptions are of one data set: at one place, or of one content."""
    if first.get("name") != second["name"]:
        return False
    if "places" not in first or first["places"] == second["places"]:
        return True
    return bool(second["content"]) and first.get("content") == second["content"]


def _read(path: Path) -> dict[str, Any] | None:
    """Return the description in a run's folder; None where there is none, or a damaged one."""
    try:
        described = json.loads(path.read_bytes())
    except (FileNotFoundError, NotADirectoryError, ValueError):
        return None
    return described if isinstance(described, dict) and "name" in described else None


def _of_manifest(path: Path) -> dict[str, Any] | None:
    """Return what a manifest says of the corpus, as far as it does: its name and its identity."""
    manifest = None
    with contextlib.suppress(FileNotFoundError, NotADirectoryError, ValueError):
        manifest = json.loads(path.read_bytes())
    if not isinstance(manifest, dict) or "corpus" not in manifest:
        return None
    provenance = manifest.get("provenance")
    identity = provenance.get("corpus identity") if isinstance(provenance, dict) else None
    return {"name": manifest["corpus"], "identity": identity}


def _words(corpus: Mapping[str, Any]) -> str:
    places = corpus.get("places", {})
    where = f" at {places['root']}" if "root" in places else ""
    table = f" by the table {places['table']}" if "table" in places else ""
    return f"the data set {corpus['name']}{where}{table}"


def command_of(settings: Settings) -> str:
    """Return the shell command that repeats the run in the repository's folder, with nothing left to do.

    Places that are relative to another folder, typed or not, become absolute.
    """
    composer = settings.composer
    texts = [t for t in (*composer.common, *composer.of_method) if _key(t) not in UNREPEATED]
    if not any(_key(text) == "suite" for text in texts):
        texts.insert(0, f"suite={settings.suite}")
    if Path.cwd().resolve() != REPOSITORY:
        for key, value in composer.places().items():
            if not key.endswith(BELOW_ROOT) and not Path(value).is_absolute():
                texts = [text for text in texts if _key(text) != key]
                texts.append(in_grammar(f"{key}={os.path.abspath(value)}"))  # noqa: PTH100 - links stay
    return shlex.join(["python", "-m", "benchmark.run", *texts])


def _key(text: str) -> str:
    return text.split("=", 1)[0].lstrip("+~")
