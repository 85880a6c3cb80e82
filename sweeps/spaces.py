"""What a study tunes: search spaces by name. One entry here is one study of `python -m sweeps.run`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)


@dataclass(frozen=True, kw_only=True)
class Space:
    """One study: what may vary, and which number says how well it went.

    The metric must not depend on what is tuned: a total that is weighted by tuned weights would be
    smallest where the weights are.
    """

    stage: str
    """The stage that is computed; what lies downstream of it is not."""
    metric: str
    """A value of that stage's validation, at the step whose weights it kept; lower is better."""
    unit: str
    distributions: Mapping[str, BaseDistribution]
    """Configuration key below `method.` -> where its values come from. A key that the method's YAML leaves
    to the constructor's default may be named too. The default must lie inside: it is the first trial."""
    method: str = "evp"


SPACES: dict[str, Space] = {
    "landmarks": Space(
        stage="landmarks",
        metric="mouth_distance",
        unit="px",
        distributions={
            "method.landmarks.learning_rate": FloatDistribution(1e-4, 1e-2, log=True),
            "method.landmarks.batch": CategoricalDistribution((8, 16, 32)),
            "method.landmarks.lstm_hidden": CategoricalDistribution((64, 128, 256)),
            "method.landmarks.loss.mouth": FloatDistribution(0.0, 4.0),
            "method.landmarks.loss.velocity": FloatDistribution(0.0, 20.0),
            "method.landmarks.emotion_swap": FloatDistribution(0.0, 1.0),
        },
    ),
    "disentangle": Space(
        stage="disentangle",
        metric="cross_recon",
        unit="",
        distributions={
            "method.disentangle.learning_rate": FloatDistribution(1e-4, 1e-2, log=True),
            "method.disentangle.batch": CategoricalDistribution((8, 16, 32)),
            "method.disentangle.decoder_width": CategoricalDistribution((8, 16, 32)),
            "method.disentangle.loss.self_recon": FloatDistribution(0.25, 4.0, log=True),
            "method.disentangle.loss.emotion_class": FloatDistribution(0.25, 4.0, log=True),
            "method.disentangle.loss.content_match": FloatDistribution(0.25, 4.0, log=True),
        },
    ),
    "renderer": Space(
        stage="renderer",
        metric="dissimilarity",
        unit="",
        distributions={
            "method.renderer.learning_rate": FloatDistribution(1e-4, 4e-3, log=True),
            "method.renderer.discriminator_learning_rate": FloatDistribution(1e-4, 4e-3, log=True),
            "method.renderer.rollout": IntDistribution(2, 6),
            "method.renderer.mouth": FloatDistribution(0.0, 8.0),
            "method.renderer.loss.recon": FloatDistribution(5.0, 80.0, log=True),
            "method.renderer.loss.image_gan": FloatDistribution(0.0, 2.0),
            "method.renderer.loss.image_features": FloatDistribution(0.0, 10.0),
        },
    ),
}
