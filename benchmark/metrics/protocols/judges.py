"""Protocols that ask a trained judge."""

from __future__ import annotations

from benchmark.metrics.metric import ClipPair, Metric

JUDGES: tuple[Metric, ...] = (
    Metric(
        id="emotion",
        family="Emotion accuracy",
        label="Emotion accuracy",
        symbol="EA",
        unit="share",
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
        blind_to=frozenset({"blur", "colour shift"}),
        symmetric=False,
        bounded=True,
    ),
)
