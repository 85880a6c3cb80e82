"""Names from data: as those of files, as a manifest may use them, and listed in a sentence."""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections.abc import Sequence

LONGEST_SLUG = 120
"""Bytes; endings and temporary names still fit into the 255 that file systems allow."""
LONGEST_NAME = 100
"""Characters of a name that a manifest may use."""
LONGEST_TEXT = 20_000
"""Characters of a text that a manifest may hold."""

LONGEST_LISTED = 200
"""Characters of a name in a sentence; paths can have thousands."""

_PLAIN = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._+@=-]*")
_NAME = re.compile(r"[\w@+=][\w@+=,. ()\[\]-]*")
_DEVICES = re.compile(r"(?i)(con|prn|aux|nul|com[0-9]|lpt[0-9])(\..*)?")
_KEPT = 60


def slug(name: str) -> str:
    """Return a file name for a name: itself where it is plain, else its letters and a digest after `~`.

    No plain name holds a `~`, so two names never share a file.
    """
    plain = _PLAIN.fullmatch(name) and ".." not in name and not name.endswith(".")
    if plain and len(name) <= LONGEST_SLUG and not _DEVICES.fullmatch(name):
        return name
    return _with_digest(name, "~")


def manifest_name(text: str) -> str:
    """Return a name for a manifest: the text itself where it is a name, else its letters and a digest."""
    return text if is_name(text) else _with_digest(text, "@")


def _with_digest(name: str, mark: str) -> str:
    letters = unicodedata.normalize("NFKD", name[: 4 * _KEPT]).encode("ascii", "ignore").decode()
    cleaned = re.sub(r"[^A-Za-z0-9]+", "-", letters)[:_KEPT].strip("-")
    digest = hashlib.blake2b(name.encode(errors="surrogatepass"), digest_size=8).hexdigest()
    return f"{cleaned}{mark}{digest}"


def is_name(text: object) -> bool:
    """Return whether a text can name a condition, a method or a corpus: one line that leads nowhere."""
    return (
        isinstance(text, str)
        and 0 < len(text) <= LONGEST_NAME
        and _NAME.fullmatch(text) is not None
        and ".." not in text
        and not text.endswith((" ", "."))
        and text.isprintable()
        and not _DEVICES.fullmatch(text)
    )


def is_path_of_names(text: object) -> bool:
    """Return whether a text is names joined by slashes, as a protocol's or a row's."""
    return isinstance(text, str) and len(text) <= LONGEST_NAME and all(map(is_name, text.split("/")))


def few(texts: Sequence[str], most: int = 5, *, between: str = ", ") -> str:
    """List the first of some texts, each shortened, and say how many more there are."""
    short = [t if len(t) <= LONGEST_LISTED else t[: LONGEST_LISTED - 3] + "..." for t in texts[:most]]
    return between.join(short) + (f" and {len(texts) - most} more" if len(texts) > most else "")
