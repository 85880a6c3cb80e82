"""The ablation table: one entry per row of the paper. An entry is what you would type after benchmark.run."""

from __future__ import annotations

from dataclasses import dataclass

from benchmark.errors import ConfigError
from benchmark.records import FULL


@dataclass(frozen=True)
class Ablation:
    """One part of the method, taken out or replaced.

    `overrides` apply after the defaults and the command line, so the ablation always wins.
    """

    name: str
    label: str
    """The row in the paper."""
    overrides: tuple[str, ...]
    asks: str
    """The question it answers."""
    needs_emotions: bool = False
    """Whether it makes no sense on a corpus without emotion labels."""
    needs_frames: bool = False
    """Whether it changes the video only, and so makes no sense on a corpus without frames."""


ABLATIONS: tuple[Ablation, ...] = (
    Ablation(
        name=FULL,
        label="full",
        overrides=(),
        asks="How good is the whole method?",
    ),
    Ablation(
        name="no_dtw",
        label="w/o DTW",
        overrides=("dtw=linear",),
        asks="Must pseudo pairs be aligned in time, or is stretching one utterance onto the other enough?",
        needs_emotions=True,
    ),
    Ablation(
        name="no_cross_reconstruction",
        label="w/o cross-reconstruction",
        overrides=("method.disentangle.loss.cross_recon=0.0",),
        asks="Do emotion and content still separate when features are only self-reconstructed?",
        needs_emotions=True,
    ),
    Ablation(
        name="no_self_reconstruction",
        label="w/o self-reconstruction",
        overrides=("method.disentangle.loss.self_recon=0.0",),
        asks="Does cross-reconstruction alone keep what the two embeddings must hold?",
        needs_emotions=True,
    ),
    Ablation(
        name="no_emotion_class",
        label="w/o classification",
        overrides=("method.disentangle.loss.emotion_class=0.0",),
        asks="Does the emotion embedding hold the emotion without being told to?",
        needs_emotions=True,
    ),
    Ablation(
        name="no_content_match",
        label="w/o content matching",
        overrides=("method.disentangle.loss.content_match=0.0",),
        asks="Does the content embedding lose the emotion without being pulled together across emotions?",
        needs_emotions=True,
    ),
    Ablation(
        name="no_3d_alignment",
        label="w/o 3D alignment",
        overrides=("align=similarity",),
        asks="Is a similarity in the image enough to put the predicted face under the target's head pose?",
    ),
    Ablation(
        name="cycle_canny",
        label="with cycle edges (soft Canny)",
        overrides=("cycle=canny",),
        asks="Does the background keep its edges and stop flickering when the renderer is held to them?",
        needs_frames=True,
    ),
    Ablation(
        name="cycle_sketch",
        label="with cycle edges (learned sketch)",
        overrides=("cycle=sketch",),
        asks="Is the video better when the sketch must be recoverable from it?",
        needs_frames=True,
    ),
    Ablation(
        name="cycle_landmarks",
        label="with cycle landmarks",
        overrides=("cycle=landmarks",),
        asks="Do lips follow the landmarks more closely when these must be found again in the video?",
        needs_frames=True,
    ),
    Ablation(
        name="cycle_canny_landmarks",
        label="with cycle edges and landmarks",
        overrides=("cycle=canny_landmarks",),
        asks="Do the soft Canny and the landmark cycle add up?",
        needs_frames=True,
    ),
    Ablation(
        name="deepspeech",
        label="DeepSpeech-shaped features",
        overrides=("features=deepspeech",),
        asks="Do the character logits of a speech recogniser say better what is said than MFCC?",
    ),
    Ablation(
        name="content_pretraining",
        label="with content pre-training",
        overrides=("pretraining=proxy",),
        asks="Does the content encoder gain from having learned neutral speech's mouth shapes first?",
        needs_emotions=True,
    ),
    Ablation(
        name="told_emotion",
        label="told the emotion",
        overrides=("method.emotion_from=label",),
        asks="How much is lost by hearing the emotion in speech instead of being told its label?",
        needs_emotions=True,
    ),
)
"""Every ablation there is, in the order of the tables."""


def ablation(name: str) -> Ablation:
    """
    Raises:
        ConfigError: there is none of this name; the message lists those there are.
    """
    for entry in ABLATIONS:
        if entry.name == name:
            return entry
    raise ConfigError(f"no ablation {name!r}; there are {', '.join(a.name for a in ABLATIONS)}")
