"""The rungs that every kind of metric shares, and how a step is judged."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence

import numpy as np

from benchmark.conformance.definitions.fitting import EXACT, SINGLE, Definition, Fit, Gauge, Pair, fit
from benchmark.conformance.runner import Answer, Subject
from benchmark.conformance.verdict import Outcome, Step, Verdict

CALL, PARITY, CLOSED, INVARIANT = "call", "parity", "closed form", "invariance"
MONOTONE, IDENTITY, DEGENERATE, ORDER = "monotone", "truth vs truth", "degenerate", "order and dtype"

NOT_A_NUMBER = "NaN in, NaN out: whoever takes a nan-mean over clips loses these clips without a word"


class Ladder:
    """Asks the function, and notes what came.

    Args:
        on_step: called after every step, for a progress display.
    """

    def __init__(self, subject: Subject, verdict: Verdict, on_step: Callable[[Step], None]) -> None:
        self.subject, self.verdict, self._on_step = subject, verdict, on_step
        self.fit: Fit | None = None
        """The definition that was recognised, if it is a sound one."""

    def add(self, rung: str, asked: str, came: str, expected: str, outcome: Outcome, says: str = "") -> None:
        step = Step(rung, asked, came, expected, outcome, says if outcome != "pass" else "")
        self.verdict.steps.append(step)
        self._on_step(step)

    def expect(
        self,
        rung: str,
        asked: str,
        pair: Pair,
        expected: float | Sequence[float],
        says: str,
        *,
        near: float = 0.0,
    ) -> None:
        """The value must be the expected one, or one of several.

        Args:
            near: absolute deviation that is allowed beside the relative one, where 0 is expected.
        """
        answer = self.subject(*pair)
        wanted = [expected] if isinstance(expected, int | float) else list(expected)
        good = any(self.close(answer, value, near) for value in wanted)
        words = " or ".join(f"{0.0 if abs(value) < 1e-9 else value:.6g}" for value in wanted)
        self.add(rung, asked, str(answer), words, "pass" if good else "fail", says or asked)

    def law(
        self, rung: str, asked: str, pair: Pair, usual: float | None, says: str, *, near: float = 0.0
    ) -> None:
        """What the recognised definition gives; if none was, what is `usual` (None: nothing can be said)."""
        expected = self.fit(*pair) if self.fit is not None else usual
        if expected is not None and not math.isnan(expected):
            self.expect(rung, asked, pair, expected, says, near=near)

    def close(self, answer: Answer, expected: float, near: float = 0.0) -> bool:
        if answer.kind != "value":
            return False
        if math.isinf(expected):
            return answer.value == expected
        return abs(answer.value - expected) <= max(self.tolerance * abs(expected), near)

    @property
    def tolerance(self) -> float:
        return EXACT if self.fit is not None and self.fit.error <= EXACT else 3 * SINGLE

    def begins(self, pair: Pair, other: Pair) -> bool:
        """The rung of the call itself. False if nothing more can be asked."""
        first = self.subject(*pair)
        if first.kind != "value":
            self.add(CALL, "an ordinary input", str(first), "a number", "fail", _unanswered(first))
            return False
        self._behaviour(first)
        again = [self.subject(*pair) for _ in range(3)]
        same = all(_same(first, answer) for answer in again)
        came = "the same" if same else ", ".join(str(a) for a in (first, *again))
        self.add(
            CALL, "the same input again", came, "the same value", "pass" if same else "fail",
            "another value for the same input: randomness without a seed, or state kept between calls",
        )  # fmt: skip
        if not same:
            return False
        self.subject(*other)
        back = self.subject(*pair)
        kept = not _same(first, back)
        self.add(
            CALL, "the first input after another", str(back), str(first), "fail" if kept else "pass",
            "state is kept between calls: a clip's score depends on the clips before it",
        )  # fmt: skip
        return not kept

    def _behaviour(self, first: Answer) -> None:
        self.add(
            CALL, "the type returned", first.returned, "a float", "pass" if first.number else "note",
            f"it returns a {first.returned} of one element; make it a float",
        )  # fmt: skip
        changed = " and ".join(first.mutated)
        self.add(
            CALL, "inputs are left alone", f"changed: {changed}" if changed else "unchanged", "unchanged",
            "fail" if changed else "pass", f"it changes its input in place ({changed})",
        )  # fmt: skip
        if first.printed:
            self.add(CALL, "prints", first.printed[:60], "nothing", "note", "it prints while it computes")
        if first.coverage is not None:
            full = abs(first.coverage - 1) < 1e-9
            self.add(
                CALL, "coverage of a whole clip", f"{first.coverage:.6g}", "1", "pass" if full else "fail",
                "its coverage is not 1 where nothing is missing",
            )  # fmt: skip

    def identify(
        self,
        definitions: Iterable[Definition],
        probes: Sequence[Pair],
        gauge: Gauge,
        *,
        telling: Sequence[Pair] = (),
    ) -> Fit | None:
        """Find the definition that gives the function's values on the probes, and note it in the verdict.

        Args:
            telling: further pairs that tell similar definitions apart; one that fits the probes but not these
                is taken where none fits all.
        """
        catalogue = list(definitions)
        answers = [self.subject(*pair) for pair in probes]
        further = [self.subject(*pair) for pair in telling]
        asked = f"which definition gives its values on {len(probes)} ordinary pairs"
        broken = [answer for answer in answers if not answer.finite]
        if broken:
            says = "not a finite number for an ordinary input" if broken[0].kind == "value" else ""
            self.add(PARITY, asked, str(broken[0]), "finite values", "fail", says or _unanswered(broken[0]))
            return None
        values, more = ([answer.value for answer in asked_of] for asked_of in (answers, further))
        found = fit(catalogue, [*probes, *telling], [*values, *more], gauge)
        return self.conclude(found or fit(catalogue, probes, values, gauge), asked, values)

    def conclude(self, found: Fit | None, asked: str, values: Sequence[float]) -> Fit | None:
        """Note in the verdict which definition gave the values."""
        self._precise(values)
        if found is None:
            self.add(PARITY, asked, "none that is known", "a sound definition", "fail")
            return None
        definition = found.definition
        self.verdict.definition, self.verdict.differs = definition.name, definition.differs
        self.verdict.published, self.verdict.defect = definition.published, definition.defect
        single = "" if found.error <= EXACT else ": single precision"
        self.verdict.accuracy = f"equal to {max(found.error, 1e-16):.0e}{single}"
        self.fit = None if definition.defect else found
        outcome: Outcome = "fail" if definition.defect else "pass"
        self.add(PARITY, asked, definition.name, "a sound definition", outcome, definition.defect)
        return found

    def _precise(self, values: Sequence[float]) -> None:
        """Values that all have a 16-bit form were computed in half precision."""
        if all(float(np.float16(value)) == value != round(value) for value in values):
            came = " ".join(f"{value:g}" for value in values)
            self.add(
                PARITY, "the precision of its values", came, "double or single precision", "fail",
                "values are computed in half precision (float16): three digits, and sums that stop growing",
            )  # fmt: skip

    def monotone(self, asked: str, pairs: Sequence[Pair], *, rising: bool, says: str) -> None:
        """Values along a graded distortion must rise, or fall, at every grade."""
        answers = [self.subject(*pair) for pair in pairs]
        values = [answer.value for answer in answers]
        steps = np.diff(values) if rising else -np.diff(values)
        good = all(answer.finite for answer in answers) and bool((steps > 0).all())
        came = " ".join(f"{value:.4g}" for value in values)
        self.add(MONOTONE, asked, came, "rising" if rising else "falling", "pass" if good else "fail", says)

    def undefined(
        self, asked: str, pair: Pair, says: Callable[[Answer], str], *, defined: float = math.nan
    ) -> None:
        """An input that has no score: an error, None or a coverage below 1 must say so.

        Args:
            says: the words for a finite value.
            defined: a value that a sound definition has here after all.
        """
        answer = self.subject(*pair)
        expected = "an error, or no value" if math.isnan(defined) else f"{defined:.6g}, or an error"
        outcome: Outcome = "pass"
        words = ""
        if answer.kind in ("hang", "crash"):
            outcome, words = "fail", _unanswered(answer)
        elif answer.kind == "unusable":
            outcome, words = "fail", f"it returns a {answer.returned}, which is no number"
        elif answer.kind == "value" and not answer.finite:
            outcome, words = "note", NOT_A_NUMBER
        elif answer.finite and not (answer.told or self.close(answer, defined, 1e-9)):
            outcome, words = "fail", says(answer)
        self.add(DEGENERATE, asked, str(answer), expected, outcome, words)

    def same(self, asked: str, pair: Pair, reference: Answer, *, loose: bool = False) -> None:
        """Another type or memory layout of the same numbers."""
        answer = self.subject(*pair)
        near = (3e-3 if loose else self.tolerance) * abs(reference.value)
        good = answer.kind == "error" if loose else False
        good = good or (answer.finite and abs(answer.value - reference.value) <= near)
        self.add(
            ORDER, asked, str(answer), f"{reference.value:.6g}", "pass" if good else "fail",
            f"the value depends on how the numbers are stored ({asked})",
        )  # fmt: skip


def _same(first: Answer, second: Answer) -> bool:
    if first.kind != second.kind:
        return False
    both_nan = math.isnan(first.value) and math.isnan(second.value)
    return (
        both_nan or first.value == second.value or abs(first.value - second.value) <= 1e-6 * abs(first.value)
    )


def _unanswered(answer: Answer) -> str:
    if answer.kind == "error":
        return f"it refuses an ordinary input: {answer}" + (f" ({answer.where})" if answer.where else "")
    if answer.kind == "hang":
        return f"it hangs: {answer.text}"
    if answer.kind == "crash":
        return f"it ends its process: {answer.text}"
    return (
        "it returns None" if answer.kind == "none" else f"it returns a {answer.returned}, which is no number"
    )
