"""Which clips embeddings are probed with, for which factors, and what a probing leaves behind.

The clips are held-out sentences, said by every speaker of the corpus in many emotions and intensities:
neither the method nor, on the sentence that it is read on, the probe has trained on them. The method knows
one of the speakers, so the emotion is also read among the subject's own test clips alone. Only a corpus with
a parametric face knows what is said when, so others have no probes.

A method that embeds nothing is not probed. The reference is the MFCC window that EVP's encoders hear: nothing
has been taken from it. The control is the same probe on random labels: it must sit at chance.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from benchmark.data.corpus import Corpus, CorpusError, Split
from benchmark.data.parametric import Parametric
from benchmark.metrics.disentanglement import (
    FOLDS,
    PROBES,
    Readout,
    block_gap,
    held_out_classes,
    held_out_folds,
    jackknife,
    mutual_information_gap,
    read_out,
    silhouette,
)
from benchmark.records import write_text
from models.audio.framing import FRAMES_PER_SECOND
from models.audio.mfcc import mfcc, windows
from models.method import Embedder
from models.seeding import generator
from models.types import Clip

FILE = "probes.json"
VERSION = 2
DRAWS = {"clip": 8, "frame": 1}
"""Draws that the control is the mean of, by the factor's unit; the frames of one draw are many."""


OWN_EMOTION = "emotion of the subject"


@dataclass(frozen=True)
class Factor:
    """Something that the corpus knows of its speech."""

    name: str
    unit: Literal["clip", "frame"]
    """What is classified: a frame's embedding, or the mean of a clip's."""
    home: str | None
    """The embedding that should hold it; None for what neither should."""


FACTORS = (
    Factor("viseme", "frame", "content"),
    Factor("emotion", "clip", "emotion"),
    Factor("intensity", "clip", "emotion"),
    Factor("speaker", "clip", None),
    Factor(OWN_EMOTION, "clip", "emotion"),
)


def probe_clips(corpus: Corpus, split: Split, *, clips: int, frame_every: int) -> tuple[Clip, ...]:
    """At most `clips` clips of the test sentences, spread over sentences, speakers, emotions, intensities.

    Speaker, emotion and intensity are drawn alike for every sentence, so that none tells of another.

    Raises:
        CorpusError: a sentence of theirs was trained or selected on.
    """
    sentences = {clip.sentence for clip in split.test}
    learned = {clip.sentence for clip in (*split.train, *split.validation)}
    if sentences & learned:
        raise CorpusError(f"probes: sentence {min(sentences & learned)!r} was trained or selected on")
    if not clips or not isinstance(corpus, Parametric) or not corpus.emotions or len(sentences) < 2:
        return ()
    said: dict[tuple[str, str], list[Clip]] = {}
    for clip in corpus.clips():
        if clip.sentence in sentences and clip.emotion is not None:
            said.setdefault((clip.sentence, clip.speaker), []).append(clip)
    queues = [_mixed(said[key], generator(0, "probes", *key)) for key in sorted(said)]
    rounds = itertools.chain.from_iterable(itertools.zip_longest(*queues))
    chosen = itertools.islice((clip for clip in rounds if clip is not None), clips)
    return tuple(sorted(chosen, key=lambda clip: clip.id))


def _mixed(clips: Sequence[Clip], rng: np.random.Generator) -> list[Clip]:
    """In random order, but every emotion once before any is there twice."""
    by_emotion: dict[str, list[Clip]] = {}
    for place in rng.permutation(len(clips)):
        by_emotion.setdefault(str(clips[place].emotion), []).append(clips[place])
    rounds = itertools.chain.from_iterable(itertools.zip_longest(*by_emotion.values()))
    return [clip for clip in rounds if clip is not None]


@dataclass(frozen=True)
class Facts:
    """What is known of the clips: everything that embeddings are probed for."""

    clips: tuple[Clip, ...]
    visemes: tuple[np.ndarray, ...]
    """(frames,) names of each clip."""
    frame_every: int
    """Every so many frames of a clip are units."""
    spread: frozenset[str]
    """Ids of the clips of all speakers: see `probe_clips`."""
    own: frozenset[str]
    """Ids of the subject's test clips."""

    @classmethod
    def of(cls, corpus: Parametric, spread: Sequence[Clip], own: Sequence[Clip], frame_every: int) -> Facts:
        clips = tuple({clip.id: clip for clip in (*spread, *own)}.values())
        speech = {clip.id: clip for clip in corpus.speech.clips()}
        said = [
            visemes_at(corpus.speech.visemes(speech[clip.id]), clip.num_frames)  # type: ignore[attr-defined]
            for clip in clips
        ]
        ids = (frozenset(clip.id for clip in chosen) for chosen in (spread, own))
        return cls(clips, tuple(said), frame_every, *ids)

    def of_clips(self, factor: str) -> np.ndarray:
        """(clips,) labels; "" where a clip has none: neutral has no intensity, and each factor its clips."""
        if factor == OWN_EMOTION:
            return np.array([str(c.emotion) if c.id in self.own else "" for c in self.clips])
        return np.array([_label(c, factor) if c.id in self.spread else "" for c in self.clips])

    def labels(self, factor: Factor) -> np.ndarray:
        """(units,) labels of the factor's own units."""
        return self.of_clips(factor.name) if factor.unit == "clip" else self.of_frames(factor.name)

    def sentences(self, unit: str) -> np.ndarray:
        """(units,) what each clip or frame says."""
        names = np.array([clip.sentence for clip in self.clips])
        return names if unit == "clip" else np.repeat(names, self._counts)

    @property
    def _counts(self) -> list[int]:
        return [len(said[:: self.frame_every]) for said in self.visemes]

    def of_frames(self, factor: str) -> np.ndarray:
        """The same of every frame that is a unit."""
        if factor != "viseme":
            return np.repeat(self.of_clips(factor), self._counts)
        said = np.concatenate([said[:: self.frame_every] for said in self.visemes])
        spread = np.repeat([clip.id in self.spread for clip in self.clips], self._counts)
        return np.where(spread, said, "")

    def units(self, embedding: Sequence[np.ndarray], unit: str) -> np.ndarray:
        """(units, dim) of an embedding's (frames, dim) by clip.

        Raises:
            ValueError: a clip has another number of embeddings than frames.
        """
        for clip, codes, said in zip(self.clips, embedding, self.visemes, strict=True):
            if len(codes) != len(said):
                raise ValueError(f"{clip.id} has {len(said)} frames and {len(codes)} embeddings")
        if unit == "clip":
            return np.stack([codes.mean(0) for codes in embedding])
        return np.concatenate([codes[:: self.frame_every] for codes in embedding])


def _label(clip: Clip, factor: str) -> str:
    if factor == "intensity":
        return "" if clip.emotion == "neutral" else str(clip.intensity)
    return str(getattr(clip, factor))


def visemes_at(visemes: Iterable[tuple[str, float, float]], num_frames: int) -> np.ndarray:
    """(num_frames,) the viseme at the middle of each video frame; the last one lasts."""
    names, _, ends = zip(*visemes, strict=True)
    middles = (np.arange(num_frames) + 0.5) / FRAMES_PER_SECOND
    return np.array(names)[np.minimum(np.searchsorted(ends, middles, side="right"), len(names) - 1)]


def reference(clip: Clip) -> Mapping[str, np.ndarray]:
    """(frames, 336) MFCC windows, 28 rows of 12 coefficients side by side."""
    heard = windows(mfcc(clip.waveform))
    return {"mfcc": heard.reshape(len(heard), -1)}


def probe(
    facts: Facts,
    embed: Embedder,
    folder: Path,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> None:
    """Embed every clip, measure, and leave rows and what they were measured on in `folder`."""
    by_clip: list[Mapping[str, np.ndarray]] = []
    for clip in facts.clips:
        by_clip.append(embed(clip))
        progress(len(by_clip), len(facts.clips) + 1)
    embeddings = {name: [codes[name] for codes in by_clip] for name in by_clip[0]}
    rows = list(measures(facts, embeddings))
    write_text(folder / FILE, json.dumps({"rows": rows, "about": described(facts)}, indent=1) + "\n")
    progress(len(facts.clips) + 1, len(facts.clips) + 1)


def measures(facts: Facts, embeddings: Mapping[str, Sequence[np.ndarray]]) -> Iterator[dict[str, Any]]:
    """Rows of embedding, factor, measure, sentence and value: see `benchmark.records.ProbeRecord`."""

    def rows(embedding: str, factor: str, measure: str, values: Mapping[str, float]) -> Iterator[dict]:
        for sentence, value in values.items():
            about = {"embedding": embedding, "factor": factor, "measure": measure}
            yield {**about, "sentence": sentence, "value": value}

    together = "+".join(embeddings)
    codes = np.concatenate([facts.units(by_clip, "frame") for by_clip in embeddings.values()], axis=1)
    for factor in FACTORS:
        if not measurable(facts, factor):
            continue
        read: dict[str, Readout] = {}
        for name, by_clip in embeddings.items():
            units, labels, groups = _units(facts, factor, by_clip)
            for kind in PROBES:
                found = read_out(units, labels, groups, probe=kind)
                yield from rows(name, factor.name, kind, jackknife(found.balanced_accuracy, found.groups))
                if kind == "linear":
                    read[name] = found
                    own = jackknife(found.information, found.groups)
                    yield from rows(name, factor.name, "information", own)
            control = _control(units, labels, groups, DRAWS[factor.unit], name)
            yield from rows(name, factor.name, "random labels", control)
            yield from rows(name, factor.name, "silhouette", silhouette(units, labels, groups))
        labels, sentences = facts.of_frames(factor.name), facts.sentences("frame")
        known = labels != ""
        gap = mutual_information_gap(codes[known], labels[known], sentences[known])
        yield from rows(together, factor.name, "mig", gap)
        if factor.home in read and len(read) > 1:
            others = [found for name, found in read.items() if name != factor.home]
            yield from rows(together, factor.name, "block gap", block_gap(read[factor.home], others))


def _units(
    facts: Facts, factor: Factor, by_clip: Sequence[np.ndarray]
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Embeddings, labels and sentences of the factor's labelled units."""
    units = facts.units(by_clip, factor.unit)
    labels = facts.labels(factor)
    return units[labels != ""], labels[labels != ""], facts.sentences(factor.unit)[labels != ""]


def _control(
    units: np.ndarray, labels: np.ndarray, groups: np.ndarray, draws: int, name: str
) -> dict[str, float]:
    """The linear probe's balanced accuracy with random labels, mean of some draws.

    Labels are drawn with the factor's frequencies, each by itself. Permuted ones would not be at chance: over
    all units, what one fold gets the others lack; within sentences, that a sentence was said in some emotions
    only still tells of its clips' labels.
    """
    rng = generator(0, "probes", "random labels", name)
    classes = held_out_classes(labels, held_out_folds(groups))
    known = labels[np.isin(labels, classes)]
    found = [read_out(units, rng.choice(known, len(labels)), groups, classes=classes) for _ in range(draws)]
    each = [jackknife(one.balanced_accuracy, one.groups) for one in found]
    return {group: float(np.mean([values[group] for values in each])) for group in each[0]}


def measurable(facts: Facts, factor: Factor) -> bool:
    return len(classes_of(facts, factor)) > 1


def classes_of(facts: Facts, factor: Factor) -> tuple[str, ...]:
    """The classes that can be held out: those of two folds or more."""
    labels = facts.labels(factor)
    known = labels != ""
    labels, sentences = labels[known], facts.sentences(factor.unit)[known]
    if len(np.unique(sentences)) < 2:
        return ()
    return tuple(held_out_classes(labels, held_out_folds(sentences)))


def described(facts: Facts) -> dict[str, Any]:
    """What the report must say of the probes: `benchmark.records.Manifest.probes`."""
    sentences = sorted({clip.sentence for clip in facts.clips})
    factors = {}
    for factor in FACTORS:
        classes = classes_of(facts, factor)
        if len(classes) > 1:
            factors[factor.name] = {
                "classes": list(classes),
                "chance": 1 / len(classes),
                "unit": factor.unit,
                "home": factor.home,
            }
    return {
        "clips": len(facts.spread),
        "own clips": len(facts.own),
        "frames": int((facts.of_frames("viseme") != "").sum()),
        "frame_every": facts.frame_every,
        "sentences": sentences,
        "speakers": sorted({clip.speaker for clip in facts.clips}),
        "folds": min(FOLDS, len(sentences)),
        "draws": DRAWS,
        "factors": factors,
    }
