"""How wrong a warped truth is: python -m benchmark.transfer_truth [pairs=48] [data=... face=... cache=...]

Where a corpus has no counterfactual, the truth of a transfer is a recording of the same sentence in the
wanted emotion, warped in time (`benchmark.data.warped`). On a corpus that knows the exact counterfactual
(the embedded one by default, or `data=emodb face=parametric` for recorded voices) this measures what the
warp gets wrong: the warped landmarks are scored against the exact ones as a method would be.
`data=folder` has no exact truth; then clips are warped there and back, and takes of one sentence in one
emotion are warped onto each other: the former errs on the small side, the latter on the large one, as no
two takes are alike.

Rows: `dtw` is the truth that items get; `true times`, where they are known, is the warp without an error
in time; `linear` stretches one recording onto the other.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from benchmark.data.corpus import Corpus
from benchmark.data.parametric import Parametric
from benchmark.data.synthetic.corpus import SyntheticSpeech
from benchmark.data.synthetic.speech import true_warp
from benchmark.data.warped import source_times, warp_landmarks
from benchmark.metrics.registry import METRICS
from benchmark.metrics.scorer import score_clip
from models.audio.aligners import LinearAligner
from models.audio.framing import FRAMES_PER_SECOND
from models.command import run_command
from models.errors import ConfigError
from models.types import Clip, Prediction

USAGE = __doc__


@dataclass(frozen=True)
class Pair:
    """Two recordings of one sentence by one speaker."""

    timing: Clip
    spoken: Clip


@dataclass(frozen=True)
class Measured:
    """The errors of one way to warp."""

    scores: dict[str, np.ndarray]
    """(pairs,) by protocol."""
    milliseconds: np.ndarray
    """(pairs,) mean absolute error of the times of speech; empty where the true ones are not known."""


def pairs_of(corpus: Corpus, count: int, *, same_emotion: bool = False) -> list[Pair]:
    """`count` pairs at most, spread evenly over sentences, speakers and pairs of emotions."""
    said: dict[tuple[str, str], list[Clip]] = {}
    for clip in corpus.clips():
        if clip.emotion is not None:
            said.setdefault((clip.speaker, clip.sentence), []).append(clip)
    found = [
        Pair(a, b)
        for key in sorted(said)
        for a in said[key]
        for b in said[key]
        if a.id != b.id and ((a.emotion, a.intensity) == (b.emotion, b.intensity) if same_emotion else True)
        if same_emotion or a.emotion != b.emotion
    ]
    if len(found) <= count:
        return found
    return [found[int(place)] for place in np.linspace(0, len(found) - 1, count)]


def against_exact(corpus: Parametric, pairs: Sequence[Pair]) -> dict[str, Measured]:
    """What warped truths score against the exact counterfactuals, by the way to warp."""
    clocked = isinstance(corpus.speech, SyntheticSpeech)
    ways = ("dtw", "linear", *(("true times",) if clocked else ()))
    rows: dict[str, list[dict[str, float]]] = {way: [] for way in ways}
    late: dict[str, list[float]] = {way: [] for way in ways}
    for pair in pairs:
        exact = corpus.counterfactual(pair.timing, pair.spoken, pair.spoken)
        for clip in (pair.timing, pair.spoken, exact):
            corpus.prepare(clip, frames=False)
        true = _true_times(corpus, pair) if clocked else None
        for way in ways:
            times = _times(pair, way, true)
            warped = warp_landmarks(pair.spoken.landmarks, times)
            rows[way].append(errors(warped, exact.landmarks, pair.timing.id))
            if true is not None:
                late[way].append(1000 * float(np.abs(times - true)[_spoken_frames(corpus, pair)].mean()))
    return {way: _measured(rows[way], late[way]) for way in ways}


def _times(pair: Pair, way: str, true: np.ndarray | None) -> np.ndarray:
    if way == "true times":
        assert true is not None
        return true
    return source_times(pair.timing, pair.spoken, LinearAligner() if way == "linear" else None)


def _clocks(corpus: Parametric, pair: Pair) -> list[Clip]:
    spoken = {clip.id: clip for clip in corpus.speech.clips()}
    return [spoken[pair.timing.id], spoken[pair.spoken.id]]


def _true_times(corpus: Parametric, pair: Pair) -> np.ndarray:
    middles = (np.arange(pair.timing.num_frames) + 0.5) / FRAMES_PER_SECOND
    first, second = _clocks(corpus, pair)
    return true_warp(first.load("clock"), second.load("clock"), middles)


def _spoken_frames(corpus: Parametric, pair: Pair) -> np.ndarray:
    """(frames,) whether something is said: in silence there is nothing to be late for."""
    said = corpus.speech.visemes(_clocks(corpus, pair)[0])  # type: ignore[attr-defined]
    middles = (np.arange(pair.timing.num_frames) + 0.5) / FRAMES_PER_SECOND
    inside = [name != "sil" for name, _, _ in said]
    ends = [end for _, _, end in said]
    return np.array(inside)[np.minimum(np.searchsorted(ends, middles, side="right"), len(said) - 1)]


def there_and_back(corpus: Corpus, pairs: Sequence[Pair]) -> Measured:
    """What clips score against themselves when they are warped onto another emotion's timing and back."""
    rows = []
    for pair in pairs:
        for clip in (pair.timing, pair.spoken):
            corpus.prepare(clip, frames=False)
        rows.append(round_trip_errors(pair.timing, pair.spoken))
    return _measured(rows, [])


def round_trip_errors(timing: Clip, spoken: Clip) -> dict[str, float]:
    """By protocol, of `spoken`'s landmarks warped onto `timing` and back."""
    there = warp_landmarks(spoken.landmarks, source_times(timing, spoken))
    back = warp_landmarks(there, source_times(spoken, timing))
    return errors(back, spoken.landmarks, spoken.id)


def between_takes(corpus: Corpus, pairs: Sequence[Pair]) -> Measured:
    """What takes score that are warped onto another take of the same sentence, emotion and intensity."""
    rows = []
    for pair in pairs:
        for clip in (pair.timing, pair.spoken):
            corpus.prepare(clip, frames=False)
        warped = warp_landmarks(pair.spoken.landmarks, source_times(pair.timing, pair.spoken))
        rows.append(errors(warped, pair.timing.landmarks, pair.timing.id))
    return _measured(rows, [])


def errors(warped: np.ndarray, exact: np.ndarray, name: str) -> dict[str, float]:
    """The main landmark protocols by id; those without a value are left out."""
    scores = score_clip(Prediction(warped), Prediction(exact), clip_id=name)
    main = {m.id for m in METRICS if m.main and m.direction == "lower"}
    return {key: s.value for key, s in scores.items() if key in main and s.value is not None}


def _measured(rows: Sequence[dict[str, float]], milliseconds: Sequence[float]) -> Measured:
    names = list(rows[0]) if rows else []
    return Measured({n: np.array([r.get(n, np.nan) for r in rows]) for n in names}, np.array(milliseconds))


def table(found: dict[str, Measured], sentences: Sequence[str]) -> Iterator[str]:
    """Lines: a way to warp, and its mean scores with 95 % intervals over sentences."""
    from reports.stats import two_way_interval

    labels = {m.id: f"{m.label} ({m.unit})" for m in METRICS}
    protocols = list(next(iter(found.values())).scores)
    yield f"{'':14}" + "".join(f"{labels[p]:>22}" for p in protocols) + f"{'time (ms)':>22}"
    for way, measured in found.items():
        cells = []
        for values in (*(measured.scores[p] for p in protocols), measured.milliseconds):
            kept = np.isfinite(values)
            if not len(values) or not kept.any():
                cells.append("n/a")
                continue
            said = [s for s, k in zip(sentences, kept, strict=True) if k]
            interval = two_way_interval(values[kept][None], said)
            cells.append(f"{interval.mean:.3f} ± {interval.half:.3f}")
        yield f"{way:14}" + "".join(f"{cell:>22}" for cell in cells)


def main(arguments: Sequence[str]) -> int:
    """Print the errors of warped truths; the exit code says how it went."""
    return run_command(lambda: _measure(arguments))


def _measure(arguments: Sequence[str]) -> int:
    if {"-h", "--help"} & set(arguments):
        print(USAGE)
        return 0
    from benchmark.config import load
    from benchmark.preparation import inspected_study

    counts = [a.split("=", 1)[1] for a in arguments if a.startswith("pairs=")]
    count = counts[-1] if counts else "48"
    if not re.fullmatch(r"[0-9]{1,9}", count) or int(count) < 2:
        raise ConfigError(f"pairs: expected a whole number from 2 up, got {count!r}")
    settings = load([a for a in arguments if not a.startswith("pairs=")])
    corpus = inspected_study(settings).corpus
    if not settings.dry_run:
        print("\n".join(_report(corpus, int(count))))
    return 0


def _report(corpus: Corpus, count: int) -> Iterator[str]:
    pairs = pairs_of(corpus, count)
    if not pairs:
        yield f"{corpus.name}: nobody says a sentence in two emotions, so no transfer has a truth here"
        return
    if isinstance(corpus, Parametric):
        yield f"{corpus.name}: {len(pairs)} warped truths against the exact counterfactual"
        yield from table(against_exact(corpus, pairs), [p.timing.sentence for p in pairs])
        return
    yield f"{corpus.name}: {len(pairs)} clips warped there and back"
    yield from table({"dtw": there_and_back(corpus, pairs)}, [p.timing.sentence for p in pairs])
    takes = pairs_of(corpus, count, same_emotion=True)
    if not takes:
        yield f"{corpus.name}: nobody says a sentence twice in one emotion and intensity"
        return
    yield f"{corpus.name}: {len(takes)} takes warped onto another take"
    yield from table({"dtw": between_takes(corpus, takes)}, [p.timing.sentence for p in takes])


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
