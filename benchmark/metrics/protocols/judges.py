"""Protocols that ask a trained judge."""

from __future__ import annotations

from benchmark.metrics.metric import ClipPair, Damage, Metric
from benchmark.metrics.sync import confidence_score, offset_score

_FRAMES_ONLY: frozenset[Damage] = frozenset({"blur", "colour shift"})
_SYNC = (
    "after SyncNet (Chung & Zisserman, ACCV-W 2016), with the judge of benchmark.metrics.sync; not "
    "comparable with published LSE-C and LSE-D"
)
_SYNC_JUDGE = (
    "A judge trained on real clips of other speakers compares the predicted mouth's landmarks with the sound "
    "at offsets of up to 400 ms. Read it beside the ground truth's row. A clip that never shows a face in "
    "seven frames in a row, or seldom, is left out."
)

JUDGES: tuple[Metric, ...] = (
    Metric(
        id="emotion",
        family="Emotion accuracy",
        label="Emotion accuracy",
        symbol="EA",
        unit="share",
        limits=(0.0, 1.0),
        direction="higher",
        needs=frozenset({"landmarks", "judge"}),
        level="clip",
        source="EVP (Ji et al., CVPR 2021), section 4, with the judge of benchmark.metrics.emotion",
        description=(
            "1 where a judge trained on other speakers sees the wanted emotion in the landmarks, else 0. "
            "Read it beside the judge's accuracy on the true clips and beside chance."
        ),
        compute=ClipPair.judged,
        best=None,
        sees=frozenset({"emotion swap"}),
        blind_to=_FRAMES_ONLY,
        symmetric=False,
        bounded=True,
    ),
    Metric(
        id="emotion/probability",
        family="Emotion accuracy",
        label="Emotion probability",
        symbol="$p_\\mathrm{EA}$",
        unit="share",
        limits=(0.0, 1.0),
        direction="higher",
        needs=frozenset({"landmarks", "judge"}),
        level="clip",
        source="the judge of benchmark.metrics.emotion; temperature after Guo et al., ICML 2017",
        description=(
            "The probability that the judge of the emotion accuracy gives the wanted emotion, calibrated on "
            "speakers left out of its training: finer than right or wrong."
        ),
        compute=ClipPair.probability,
        main=False,
        best=None,
        sees=frozenset({"emotion swap"}),
        blind_to=_FRAMES_ONLY,
        symmetric=False,
        bounded=True,
    ),
    Metric(
        id="emotion/network",
        family="Emotion accuracy",
        label="Emotion accuracy (network)",
        symbol=r"EA$_\mathrm{net}$",
        unit="share",
        limits=(0.0, 1.0),
        direction="higher",
        needs=frozenset({"landmarks", "emotion network"}),
        level="clip",
        source="the judge of benchmark.metrics.emotion_network",
        description=(
            "The emotion accuracy of a second judge of another family, a convolutional network over the "
            "sequence of landmarks, trained on the same clips."
        ),
        compute=ClipPair.judged_by_network,
        main=False,
        best=None,
        sees=frozenset({"emotion swap"}),
        blind_to=_FRAMES_ONLY,
        symmetric=False,
        bounded=True,
    ),
    Metric(
        id="sync/offset",
        family="Sync offset",
        label="Sync offset",
        symbol=r"$|\Delta|_\mathrm{sync}$",
        unit="ms",
        direction="lower",
        needs=frozenset({"landmarks", "audio", "sync judge"}),
        level="clip",
        source=_SYNC,
        description=(
            f"Size of the offset at which they agree best; 400 where the mouth is still. {_SYNC_JUDGE}"
        ),
        compute=lambda pair: offset_score(pair.agreement),
        main=False,
        best=None,
        sees=frozenset({"lip shift"}),
        blind_to=_FRAMES_ONLY,
        symmetric=False,
        bounded=True,
    ),
    Metric(
        id="sync/confidence",
        family="Sync confidence",
        label="Sync confidence",
        symbol=r"C$_\mathrm{sync}$",
        unit="",
        limits=(0.0, 2.0),
        direction="higher",
        needs=frozenset({"landmarks", "audio", "sync judge"}),
        level="clip",
        source=_SYNC,
        description=(
            "By how much the correlation of mouth and sound at the best offset exceeds the median over "
            f"offsets; 0 where the mouth is still. {_SYNC_JUDGE}"
        ),
        compute=lambda pair: confidence_score(pair.agreement),
        main=False,
        best=None,
        blind_to=_FRAMES_ONLY,
        symmetric=False,
        bounded=True,
    ),
)
