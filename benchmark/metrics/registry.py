"""The registry: every protocol there is."""

from __future__ import annotations

from benchmark.metrics.metric import Metric
from benchmark.metrics.protocols.images import IMAGES
from benchmark.metrics.protocols.judges import JUDGES
from benchmark.metrics.protocols.landmarks import LANDMARKS
from benchmark.metrics.protocols.sets import SETS

METRICS: tuple[Metric, ...] = (*LANDMARKS, *IMAGES, *JUDGES, *SETS)
"""In the order of the tables."""


def metric_of(protocol: str) -> Metric:
    """The metric of a protocol id.

    Raises:
        ValueError: there is none; the message lists the known ids.
    """
    for metric in METRICS:
        if metric.id == protocol:
            return metric
    raise ValueError(f"no metric {protocol!r}; there are {', '.join(m.id for m in METRICS)}")
