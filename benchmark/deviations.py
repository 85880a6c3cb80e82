"""Where EVP's paper and its released code part, where one of them is silent, and what this suite does.

    python -m benchmark.deviations                              as JSON
    python -m benchmark.deviations --page docs/deviations.md    as a page

An entry says what the question is and why we answer it as we do. The answers themselves are not written down
here: they are looked up in the presets `method=evp@paper`, `method=evp@code` and `method=evp`.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, Literal

from omegaconf import DictConfig, OmegaConf

from benchmark.listing import print_or_write, table_row

PRESETS = {"paper": "evp@paper", "code": "evp@code", "ours": "evp"}


@dataclass(frozen=True)
class Deviation:
    """One question that the paper and its code leave open, or that we answer differently from both."""

    name: str
    part: str
    """Heading of the page."""
    question: str
    key: str
    """The configuration key that decides it; empty where there is none."""
    between: Literal["differ", "paper silent", "agree"]
    """How the paper stands to the released code. Where it is silent, evp@paper does as the code does."""
    reason: str
    """Why ours is what it is."""
    source: str
    """Where the paper and the release say it."""
    paper: str = ""
    code: str = ""
    ours: str = ""
    """What a value alone does not tell."""
    shown: str = ""
    """The key whose value is shown, where it says more than that of `key`."""
    also: tuple[str, ...] = ()
    """Keys that go with it."""


_DISENTANGLE_CODE = "release: compiled training script and loader of the disentanglement"

DEVIATIONS: tuple[Deviation, ...] = (
    # Audio
    Deviation(
        name="window_count",
        part="Audio",
        question="Has every video frame a window of its own?",
        key="method.features.pad_tail",
        between="differ",
        paper="one 28 x 12 feature per frame",
        code="one window fewer than frames where the recording is a whole number of frames",
        reason="No frame is lost. The released count matters only for comparing numbers with its scripts; in "
        "use, every frame is predicted either way.",
        source="paper, section 4; release: audio2lm/test.py, dtw/MFCC_dtw.py",
    ),
    Deviation(
        name="dtw",
        part="Audio",
        question="How are utterances aligned in time?",
        key="dtw._target_",
        between="paper silent",
        code="MFCC as they are; the last of several matches is kept",
        ours="normalised MFCC with their first and second differences; matches averaged and smoothed",
        reason="On generated speech whose true alignment is known, phone boundaries are 5.0 ms off, and 7.4 "
        "ms by the released definition (tests/properties/test_dtw_recovers.py).",
        source="paper, equation 1 (the distance is not given); release: dtw/MFCC_dtw.py",
    ),
    Deviation(
        name="dtw_energy",
        part="Audio",
        question="Does the DTW distance include log energy?",
        key="dtw.coefficients",
        between="paper silent",
        reason="Leaving it out costs 0.2 to 0.4 ms of alignment on generated speech.",
        source="release: dtw/MFCC_dtw.py",
    ),
    Deviation(
        name="dtw_distance",
        part="Audio",
        question="Which distance of MFCC rows does DTW add up?",
        key="dtw.distance",
        between="paper silent",
        reason="Cosine is within 0.2 ms of L1 on generated speech: no reason to leave the released one.",
        source="paper, equation 1 (d is not given); release: dtw/MFCC_dtw.py",
    ),
    # Disentanglement
    Deviation(
        name="learning_rate",
        part="Disentanglement",
        question="Learning rate of every Adam",
        key="method.shared.learning_rate",
        shown="method.landmarks.learning_rate",
        between="differ",
        reason="The released weights were made with the code. At scale=small all rates are five times as "
        "high, because trainings are so much shorter; the factor of two between the two stays.",
        source="supplement; release: every training script",
    ),
    Deviation(
        name="sampling",
        part="Disentanglement",
        question="Which windows are drawn, and what is rebuilt from what?",
        key="method.disentangle.sampling",
        between="differ",
        paper="the 2 x 2 grid of two contents and two emotions; a window also rebuilds itself",
        code="two windows of one content, emotion codes from two others: no window ever gives the emotion "
        "code that it is rebuilt from",
        reason="Content cannot pass through the emotion code if it is from another sentence. The last "
        "released source mixes up two versions and gets all four reconstructions wrong; this is what it "
        "intends.",
        source=f"paper, equations 2 to 6; {_DISENTANGLE_CODE}",
    ),
    Deviation(
        name="self_reconstruction",
        part="Disentanglement",
        question="Self-reconstruction: from the same window, or with the emotion of another sentence?",
        key="method.disentangle.sampling",
        between="differ",
        paper="content and emotion of the window itself",
        code="content of the window, emotion of another sentence",
        reason="Part of the sampling; see there.",
        source=f"paper, equation 3; {_DISENTANGLE_CODE}",
    ),
    Deviation(
        name="reconstruction_distance",
        part="Disentanglement",
        question="Distance of a reconstruction to its target",
        key="method.disentangle.distance",
        between="differ",
        paper="Euclidean norm of the window",
        code="mean absolute error",
        reason="A norm over 336 coefficients would outweigh the other terms, whose weight is 1, many times.",
        source=f"paper, equations 2 and 3; {_DISENTANGLE_CODE}",
    ),
    Deviation(
        name="reconstruction_weights",
        part="Disentanglement",
        question="Weights of the terms of L_dis",
        key="method.disentangle.loss",
        between="agree",
        reason="All four count 1. The triplet term of earlier versions of the code (margin 1, weight 10) is "
        "off, as released; it is measured all the same.",
        source=f"supplement; {_DISENTANGLE_CODE}",
    ),
    Deviation(
        name="content_pairs",
        part="Disentanglement",
        question="How many contents of a draw are pulled together over their two emotions?",
        key="method.disentangle.content_pairs",
        between="differ",
        reason="The code's sampling has one content in both emotions; a second pair needs a fifth window.",
        source=f"paper, equation 5; {_DISENTANGLE_CODE}",
    ),
    Deviation(
        name="classified",
        part="Disentanglement",
        question="Which windows are classified?",
        key="method.disentangle.classified",
        between="paper silent",
        code="the two that emotion codes are taken from",
        reason="The same in both samplings; `all` classifies all four windows at half the weight.",
        source=f"paper, equation 4; {_DISENTANGLE_CODE}",
    ),
    Deviation(
        name="label_smoothing",
        part="Disentanglement",
        question="Are emotion labels smoothed?",
        key="method.shared.label_smoothing",
        between="agree",
        reason="At scale=small it keeps few sentences from being learned by heart.",
        source="paper, equation 4; release: emotion_pretrain",
    ),
    Deviation(
        name="content_start",
        part="Disentanglement",
        question="What does the content encoder start from? (`pretraining`)",
        key="",
        between="paper silent",
        code="the audio encoder of ATVGnet's released weights, trained on LRW",
        ours="random weights; `pretraining=imported` starts as the release does",
        reason="The weights cannot be passed on and LRW must be registered for. `pretraining=lrw` trains the "
        "encoder anew on LRW, `pretraining=proxy` on the subject's neutral speech.",
        source="release: train/disentanglement",
    ),
    Deviation(
        name="batch_statistics",
        part="Disentanglement",
        question="Which windows does batch norm see together?",
        key="",
        between="paper silent",
        code="the 16 of one role, as every encoder is called for each window and each reconstruction anew; "
        "with the landmarks, the 16 of one time step",
        ours="the same, though every window is encoded once",
        reason="Losses and gradients are the released ones (tests/parity/test_disentangle_step.py) in less "
        "than half of the time.",
        source="release: cross function of the disentanglement, landmark/code",
    ),
    # Audio to landmarks
    Deviation(
        name="identity_size",
        part="Audio to landmarks",
        question="Length of the identity embedding f_a",
        key="method.landmarks.identity_dim",
        between="differ",
        reason="The released weights have the code's.",
        source="supplement; release: shapes of the audio-to-landmark weights",
    ),
    Deviation(
        name="head",
        part="Audio to landmarks",
        question="What comes after the LSTM?",
        key="method.landmarks.head",
        between="differ",
        paper="a two-layer MLP whose hidden size is not given (here the LSTM's)",
        reason="The released weights have one linear layer.",
        source="paper, section 3.3; release: shapes of the audio-to-landmark weights",
    ),
    Deviation(
        name="identity",
        part="Audio to landmarks",
        question="Which landmarks l_a are given as the face that the prediction is added to?",
        key="method.landmarks.identity",
        between="differ",
        paper="the aligned landmarks of the target: here its mean face, in training that of another clip",
        code="the mean shape, in training and in use, so f_a is a constant; code that is not called takes an "
        "earlier frame (identity=frame)",
        reason="Compatible with the released weights. With identity=target a method sees the target video's "
        "face, which under the condition self is the clip to be predicted.",
        source="paper, equation 7; release: landmark/code, audio2lm/test.py",
    ),
    Deviation(
        name="fine_tune",
        part="Audio to landmarks",
        question="Are the disentangled encoders trained on with the landmarks?",
        key="method.landmarks.fine_tune",
        between="differ",
        paper="ambiguous: the decoder is discarded and the two pre-trained encoders are used in training",
        code="all modules are optimised; the authors confirm it",
        reason="As released. At scale=small they are kept, which makes a step ten times cheaper.",
        source="paper, section 3.3; release: landmark/code; the authors' answer to issue 14 of the release",
    ),
    Deviation(
        name="landmark_layout",
        part="Audio to landmarks",
        question="How many landmarks are predicted?",
        key="method.landmarks.layout",
        between="agree",
        paper="106 points of a detector that was not released",
        reason="Open detectors give 68; the other 38 are fixed combinations of them "
        "(models.landmarks.topology) and add nothing that could be learned.",
        source="paper, section 4; release: landmark/code",
    ),
    Deviation(
        name="crop_template",
        part="Audio to landmarks",
        question="Onto which template are faces aligned?",
        key="",
        between="paper silent",
        code="not released",
        ours="eyes at (84, 80) and (168, 80), nose tip at (129.5, 118.5) in the crop of 256 px",
        reason="Read off the released mean faces of M003 and M030 (models.landmarks.alignment.TEMPLATE).",
        source="release: basics/*_mean_106.npy",
    ),
    Deviation(
        name="frontal",
        part="Audio to landmarks",
        question="Is head rotation taken out of the landmarks that are learned?",
        key="method.landmarks.frontal",
        between="agree",
        paper="aligned in the image; training videos are front views",
        reason="A similarity cannot undo a head that turns: its rotation would be learned as expression.",
        source="paper, section 4; release: landmark/code/preprocess.py",
    ),
    Deviation(
        name="emotion_pooling",
        part="Audio to landmarks",
        question="Which emotion embedding does a frame get?",
        key="method.landmarks.emotion_pooling",
        between="agree",
        code="that of the window at the same place; the last one is held where the emotional speech is "
        "shorter",
        reason="At scale=small a single window's embedding is too noisy.",
        source="paper, section 3.3; release: audio2lm/test.py",
    ),
    Deviation(
        name="emotion_swap",
        part="Audio to landmarks",
        question="Does the emotion input of training come from another clip of the same emotion?",
        key="method.landmarks.emotion_swap",
        between="agree",
        reason="At scale=small it keeps the emotion input from telling what is said.",
        source="release: landmark/code",
    ),
    Deviation(
        name="dropout",
        part="Audio to landmarks",
        question="Dropout on content and emotion embeddings",
        key="method.landmarks.dropout",
        between="agree",
        reason="At scale=small it keeps few sentences from being learned by heart.",
        source="release: landmark/code",
    ),
    Deviation(
        name="landmark_loss",
        part="Audio to landmarks",
        question="Loss of the predicted coefficients",
        key="method.landmarks.loss",
        between="agree",
        paper="the distance of landmarks",
        code="MSE of the coefficients plus ten times that of the coordinates; U is orthonormal, so this is "
        "the first times 1.7547",
        reason="The term of frame-to-frame changes optimises what LVD measures.",
        source="paper, equation 7; release: landmark/code",
    ),
    Deviation(
        name="selection",
        part="Audio to landmarks",
        question="Which of the trained weights are kept?",
        key="method.landmarks.select_by",
        between="agree",
        paper="not said; the last",
        code="100 epochs are configured; the released weights are called 20",
        reason="The number of epochs is then no hidden hyper-parameter: held-out sentences decide.",
        source="release: M003_20.pth, M030_20.pth",
    ),
    Deviation(
        name="silence",
        part="Audio to landmarks",
        question="Is the mouth closed in long pauses?",
        key="method.silence",
        between="differ",
        paper="not mentioned",
        code="where the signed sum of a frame's samples is small, all points are blended with the closed "
        "mouth",
        reason="No sentence of the embedded corpus pauses for the 20 frames that both rules ask for: of "
        "38,065 frames the recommended one changes none, and the released one 436, in which somebody "
        "speaks. For long recordings there is silence=recommended: energy instead of the sum, mouth and "
        "contour only.",
        source="release: audio2lm/utils.py",
    ),
    # Synthesis
    Deviation(
        name="face_model",
        part="Synthesis",
        question="Which linear 3D face model tells pose from expression?",
        key="",
        between="differ",
        paper="BFM 2009 with the expressions of FaceWarehouse, which nobody may pass on",
        code="the same, without the fitting",
        ours="learned from 3D landmarks, in all three presets; with its files, the paper's is `face3d=bfm`",
        reason="It needs no files that cannot be shipped.",
        source="paper, section 3.4; release: lm2video, base_weight.pickle",
    ),
    Deviation(
        name="pose",
        part="Synthesis",
        question="What sets scale and place after the target's rotation?",
        key="align.placement",
        between="differ",
        paper="the target's scale and translation",
        code="a similarity onto five points of the target",
        reason="Nearest to the true landmarks on the embedded corpus, whose pose is known, with "
        "`align.shape`.",
        source="paper, equation 8; release: lm2video/lm2map.py",
    ),
    Deviation(
        name="pose_shape",
        part="Synthesis",
        question="Whose shape is under the target's pose?",
        key="align.shape",
        between="agree",
        paper="that of the prediction",
        ours="one shape for prediction and target, who are the same person",
        reason="The turned target tells the depth that a frontal prediction cannot.",
        source="paper, equation 8; release: lm2video/lm2map.py",
    ),
    Deviation(
        name="pose_residual",
        part="Synthesis",
        question="Is what the 3D model cannot explain of the prediction carried along?",
        key="align.carry_residual",
        between="agree",
        reason="Lips are then not limited to the 3D model's expressions.",
        source="paper, equation 8; release: lm2video/lm2map.py",
    ),
    Deviation(
        name="smooth",
        part="Synthesis",
        question="Are aligned landmarks smoothed by the 1-euro filter?",
        key="align.smooth",
        between="differ",
        paper="not mentioned",
        reason="The filter lags, which costs LD and LVD.",
        source="release: lm2video/lm2map.py",
    ),
    Deviation(
        name="renderer_loss",
        part="Synthesis",
        question="Loss of the renderer",
        key="method.renderer.loss",
        between="differ",
        paper="GAN + 2 reconstruction + 2 VGG",
        code="no training script was released; vid2vid's: feature matching 10, flow and warping 10, VGG 10, "
        "no reconstruction",
        reason="Reconstruction, feature matching and flow by themselves train stably in a few hundred steps. "
        "The VGG term needs weights that cannot be shipped, so it is off in all three: with their path in "
        "method.renderer.perceptual_weights, set method.renderer.loss.perceptual to 2 or 10.",
        source="supplement, equations 2 to 5; vid2vid, on which the release builds",
    ),
    Deviation(
        name="renderer_norm",
        part="Synthesis",
        question="Norm of the renderer's reconstruction",
        key="method.renderer.recon_norm",
        between="differ",
        code="has no reconstruction term",
        reason="L1 blurs less.",
        source="supplement, equation 3",
    ),
    Deviation(
        name="renderer_start",
        part="Synthesis",
        question="What does the generator see before its first frame?",
        key="method.renderer.start",
        between="paper silent",
        code="the target's first two frames",
        reason="Frame 0 is then predicted too, from the target's frames that lead up to it.",
        source="release: lm2video, use_real_img",
    ),
    Deviation(
        name="rounding",
        part="Synthesis",
        question="Are landmarks cut off to whole pixels before drawing?",
        key="method.renderer.rounding",
        between="paper silent",
        reason="Cutting off shifts by half a pixel and makes lines jitter.",
        source="release: lm2video/lm2map.py",
    ),
    Deviation(
        name="flip",
        part="Synthesis",
        question="Are training windows mirrored?",
        key="method.renderer.flip",
        between="paper silent",
        reason="A subject's face and background are never seen mirrored.",
        source="vid2vid, on which the release builds",
    ),
    Deviation(
        name="judge_drawn",
        part="Synthesis",
        question="Is the drawing judged too, before it is mixed with the moved frame?",
        key="method.renderer.judge_drawn",
        between="paper silent",
        reason="It costs a second pass of the discriminators; the drawing has a reconstruction term here.",
        source="vid2vid, on which the release builds",
    ),
    Deviation(
        name="face_weights",
        part="Synthesis",
        question="Do pixels of the face, lips and eyes count more?",
        key="method.renderer.mouth",
        also=("method.renderer.face", "method.renderer.eyes"),
        between="agree",
        reason="They are a small share of the frame and most of what is looked at.",
        source="supplement, equation 3",
    ),
    # Evaluation
    Deviation(
        name="landmark_metrics",
        part="Evaluation",
        question="Unit, points and alignment of LD and LVD",
        key="",
        between="paper silent",
        code="not released",
        ours="pixels of the 256 crop, all points, similarity on eyes and nose tip (`ld/mouth` and its like); "
        "every other unit and alignment, and three published scripts, are scored beside it "
        "(docs/protocols.md)",
        reason="Mean distances of this definition are of the size of the paper's table; the table itself "
        "cannot be compared with. The report says whether another definition would rank the rows otherwise.",
        source="paper, section 4",
    ),
    Deviation(
        name="psnr",
        part="Evaluation",
        question="Definition of PSNR",
        key="",
        between="paper silent",
        code="not released; the script of an earlier baseline wraps around in uint8, which fits the paper's "
        "values",
        ours="peak 255 in RGB (`psnr`); the wrapped one is scored beside it (`psnr/uint8-wrap`)",
        reason="The wrapped one saturates near 28 dB for unrelated images.",
        source="paper, table 1",
    ),
    Deviation(
        name="held_out",
        part="Evaluation",
        question="Which sentences are held out?",
        key="",
        between="paper silent",
        code="the first nine files of an emotion, and in the disentanglement the first 15 % of windows",
        ours="whole sentences, the same for all emotions and stages (`split.test_shared`, "
        "`split.test_other`)",
        reason="The released split is refused, because it leaks: overlapping windows, and the three "
        "sentences that all emotions share, are on both sides.",
        source="paper, section 4; release: loaders of its three trainings",
    ),
)
"""Every entry there is, in the order of the pipeline."""


@cache
def preset(name: str, scale: str = "paper") -> DictConfig:
    """The composed configuration of a preset ("paper", "code" or "ours") at a scale."""
    from benchmark.config import parse

    return parse([f"scale={scale}"]).compose(f"method={PRESETS[name]}")


def value(key: str, name: str, scale: str = "paper") -> Any:
    """What a preset answers.

    Raises:
        KeyError: the preset has no such key.
    """
    missing = object()
    found = OmegaConf.select(preset(name, scale), key, default=missing)
    if found is missing:
        raise KeyError(f"{PRESETS[name]} has no {key}")
    return OmegaConf.to_container(found, resolve=True) if OmegaConf.is_config(found) else found


def as_records() -> list[dict[str, Any]]:
    """All entries with their values at scale=paper, and ours at scale=small beside them."""
    records = []
    for entry in DEVIATIONS:
        record: dict[str, Any] = {
            "name": entry.name,
            "part": entry.part,
            "question": entry.question,
            "key": entry.key,
            "also": list(entry.also),
            "between": entry.between,
            "reason": entry.reason,
            "source": entry.source,
        }
        for name in PRESETS:
            record[name] = value(entry.shown or entry.key, name) if entry.key else None
            record[f"{name}_says"] = getattr(entry, name)
        record["ours_small"] = value(entry.shown or entry.key, "ours", "small") if entry.key else None
        records.append(record)
    return records


HEAD = """\
# Paper, release, and this suite

EVP's paper and its released code disagree, and both leave questions open. Each row is one question, the
configuration key that decides it, and three answers: those of `method=evp@paper` (where the paper is silent,
the code decides), `method=evp@code` and `method=evp`, which is what the suite uses unless told otherwise.
Numbers are those of `scale=paper`; where ours differs at `scale=small`, that is added.

Generated by `python -m benchmark.deviations --page docs/deviations.md`; as data, `python -m
benchmark.deviations`. The answers are looked up in the presets.
"""


def page() -> str:
    """The Markdown page."""
    lines = [HEAD]
    records = as_records()
    for part in dict.fromkeys(entry.part for entry in DEVIATIONS):
        lines += [f"## {part}", "", "| Question | Paper | Release | Ours | Why |", "| --- " * 5 + "|"]
        lines += [_row(record) for record in records if record["part"] == part]
        lines.append("")
    return "\n".join(lines).rstrip() + "\n"


def _row(record: dict[str, Any]) -> str:
    keys = ", ".join(f"`{key}`" for key in (record["key"], *record["also"]) if key)
    ours = _cell(record, "ours")
    if record["ours_small"] != record["ours"]:
        ours += f"; {_text(record['ours_small'])} at `scale=small`"
    source = record["source"][0].upper() + record["source"][1:]
    cells = [
        f"{record['question']}<br>{keys}" if keys else record["question"],
        _silent(record) if record["between"] == "paper silent" else _cell(record, "paper"),
        _cell(record, "code"),
        ours,
        f"{record['reason']} *{source}.*",
    ]
    return table_row(cells)


def _silent(record: dict[str, Any]) -> str:
    return f"not said ({_text(record['paper'])})" if record["key"] else "not said"


def _cell(record: dict[str, Any], name: str) -> str:
    said = record[f"{name}_says"]
    if not record["key"]:
        return said
    shown = _text(record[name])
    return f"{shown}: {said}" if said else shown


def _text(shown: Any) -> str:
    if isinstance(shown, dict):
        return "`" + ", ".join(f"{name} {_number(weight)}" for name, weight in shown.items()) + "`"
    if isinstance(shown, str) and shown.startswith("models."):
        shown = shown.rpartition(".")[2]
    return f"`{_number(shown)}`"


def _number(shown: Any) -> str:
    if isinstance(shown, bool):
        return str(shown).lower()
    return f"{shown:g}" if isinstance(shown, int | float) else str(shown)


def main(arguments: Sequence[str] | None = None) -> int:
    return print_or_write(
        arguments,
        prog="python -m benchmark.deviations",
        description="Where EVP's paper and code part, and what is done here.",
        records=as_records,
        page=page,
        counted=f"{len(DEVIATIONS)} rows",
    )


if __name__ == "__main__":
    sys.exit(main())
