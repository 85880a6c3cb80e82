"""No code that decodes changes without a decision on its version."""

from __future__ import annotations

from tests.golden.decoding import code_digest, current, recorded


def test_code_that_decodes_is_the_code_of_its_version() -> None:
    now, before = current(), recorded()
    changed = sorted(name for name in {**now, **before} if now.get(name) != before.get(name))
    assert not changed, (
        f"{', '.join(changed)} changed: if a picture, a sample or a landmark may come out differently, raise "
        "DECODING in models/preprocess/media.py; then record the code by python -m tests.golden.decoding"
    )


def test_only_what_computes_counts() -> None:
    plain = "def f(x):\n    return x + 1\n"
    told = '"""Module."""\n\n\ndef f(x):\n    """Add one."""\n    # Why.\n    return (x\n        + 1)\n'
    assert code_digest(plain) == code_digest(told)
    assert code_digest(plain) != code_digest(plain.replace("1", "2"))
    assert code_digest(plain) != code_digest(plain.replace("x + 1", "f'{x}1'"))
