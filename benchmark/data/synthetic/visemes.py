"""Which mouth shape each speech sound has.

A viseme here is a class of sounds that look alike. Fifteen are shapes; five more are the diphthongs, which
move from one shape to another while they last (`benchmark.data.synthetic.motion` holds the shapes). Two
alphabets are mapped: misaki's American English, which the embedded corpus's speech is written in, and the
SAMPA-like labels of EMO-DB's `.lablaut` files.

Source of the classes: the viseme sets of the MPEG-4 face animation standard (ISO/IEC 14496-2, table of 14
visemes) and of Fisher (1968), joined where a lip reader cannot tell the sounds apart.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

SILENCE = "sil"

VISEMES = (
    SILENCE, "p", "f", "th", "t", "s", "sh", "k", "n", "r", "aa", "eh", "ih", "ao", "uw", "er",
    "ay", "aw", "ey", "oy", "ow",
)  # fmt: skip
"""All viseme names; the last five are diphthongs."""

BILABIAL = "p"
LABIODENTAL = "f"


def _table(**sounds: str) -> dict[str, str]:
    """viseme="symbols separated by blanks" turned round into symbol -> viseme."""
    return {symbol: viseme for viseme, symbols in sounds.items() for symbol in symbols.split()}


MISAKI: Mapping[str, str] = {
    SILENCE: SILENCE,
    **_table(
        p="p b m β ɸ",
        f="f v ʋ",
        th="θ ð",
        t="t d T ɾ ʔ ʈ ɖ ɽ",
        s="s z ʣ ʦ ʂ",
        sh="ʃ ʒ ʤ ʧ ʥ ʨ ɕ ꭧ",
        k="k ɡ g ŋ h x q c χ ç ʝ ɣ ɰ ɴ ɟ",
        n="n l ɳ ɲ ʎ j",
        r="ɹ r ɻ ʁ",
        aa="ɑ a ʌ ɐ",
        eh="æ ɛ e",
        ih="i ɪ ᵻ ɨ ɯ",
        ao="ɔ ɒ o",
        uw="u ʊ w y ɥ ø œ",
        er="ə ɚ ɜ ᵊ ɤ",
        ay="I",
        aw="W",
        ey="A",
        oy="Y",
        ow="O Q",
    ),
}
"""Misaki phone symbol -> viseme: every phonetic letter of the synthesiser's alphabet, British ones
included."""

SAMPA_GERMAN: Mapping[str, str] = {
    "": SILENCE,
    ".": SILENCE,
    "(": SILENCE,
    "(gef": SILENCE,
    **_table(
        p="p b m B mm",
        f="f v V",
        th="D",
        t="t d 4 ?",
        s="s z ss",
        sh="S Z",
        k="k g N NN x C X h H G J",
        n="n l L j",
        r="r R",
        aa="a A 6 a6",
        eh="E E6 e 9 @E",
        ih="i I i6 I6 i@ I@ e@",
        ao="O o ao aO @O AO",
        uw="u U y Y U6 Y6",
        er="@ @6",
        ay="aI @a ia",
        aw="aU AU",
        oy="OY",
        ow="OU",
    ),
}
"""EMO-DB segment symbol, without its marks, -> viseme. The empty symbol is an unlabelled stretch."""

_CLOSURE = re.compile(r"^[!_]")
_RELEASE = re.compile(r"(?<=[ptkbdg])asp?$")
_MARKS = re.compile(r"(?:,?[+-][a-z]{2,3})+,?$")


def sampa_viseme(label: str, previous: str = SILENCE) -> str:
    """The viseme of one `.lablaut` label.

    Closures ("!t", "_d"), releases ("tasp") and marks ("s+sth") look like the sound they belong to. A label
    that is only marks ("-sth", "+hoe") says that the sound before goes on in another manner, so it keeps
    `previous`.

    Raises:
        ValueError: the symbol is none of EMO-DB's.
    """
    symbol = _MARKS.sub("", label.strip().lstrip("["))
    if not symbol or symbol in ("!", "hoe"):
        return previous if label.strip() else SILENCE
    symbol = _CLOSURE.sub("", symbol)
    symbol = "d" if symbol == "dsap" else _RELEASE.sub("", symbol)
    if symbol not in SAMPA_GERMAN:
        raise ValueError(
            f"unknown phone label {label!r}: expected an EMO-DB label such as 'a', '!t', 'tasp' or '+nas'; "
            "add the symbol to SAMPA_GERMAN if the corpus really uses it"
        )
    return SAMPA_GERMAN[symbol]


def misaki_viseme(symbol: str) -> str:
    """The viseme of one misaki phone.

    Raises:
        ValueError: the symbol is no phone of the synthesiser's alphabet.
    """
    if symbol not in MISAKI:
        raise ValueError(
            f"unknown phone {symbol!r}: expected a misaki phone without stress marks, such as 'p', 'ɑ' or "
            "'sil'"
        )
    return MISAKI[symbol]
