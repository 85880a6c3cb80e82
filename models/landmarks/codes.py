"""Emotion codes: one embedding that stands for an emotion, and mixtures of two.

A code is the mean of the emotion encoder over all windows of an emotion's training clips, taken after the
landmark network has been trained, because that may have fine-tuned the encoder.

Source: EVP (Ji et al., CVPR 2021): a code is the mean of an emotion's cluster, and emotions are interpolated
as alpha E_s + (1 - alpha) E_t. Mixtures are named as in the release: `angry4_neutral6` is 0.4 of angry and
0.6 of neutral.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from jaxtyping import Float32
from torch import Tensor, cat

from models.artefacts import load_arrays, save_arrays

Code = Float32[np.ndarray, " emotion"]


def interpolate(source: np.ndarray, target: np.ndarray, alpha: float) -> np.ndarray:
    """alpha E_s + (1 - alpha) E_t; 1 is the source.

    Raises:
        ValueError: alpha is not within 0 and 1.
    """
    if not 0 <= alpha <= 1:
        raise ValueError(f"expected a share alpha from 0 to 1, got {alpha}")
    return np.float32(alpha) * source + np.float32(1 - alpha) * target


@dataclass(frozen=True)
class EmotionCodes:
    """The codes of a trained network, by emotion label, and by label and intensity."""

    mean: Mapping[str, np.ndarray] = field(default_factory=dict)
    """(emotion,) float32 of each label, over all its intensities."""
    by_intensity: Mapping[tuple[str, int], np.ndarray] = field(default_factory=dict)

    def get(self, emotion: str, intensity: int | None = None) -> Code:
        """The code of a label or of a mixture such as `angry4_neutral6`.

        Args:
            intensity: of the training clips that the code is the mean of; None takes all of them. Of a
                mixture, both parts have it.

        Raises:
            ValueError: no such label or intensity was trained on; the message lists those there are.
        """
        if emotion in self.mean:
            return self._plain(emotion, intensity)
        mixture = self._mixture(emotion)
        if mixture is None:
            known = ", ".join(self.mean) or "no emotions"
            raise ValueError(
                f"no emotion code for {emotion!r}: trained on {known}; mixtures are named in tenths, "
                "such as angry4_neutral6"
            )
        (source, alpha), (target, _) = mixture
        return interpolate(self._plain(source, intensity), self._plain(target, intensity), alpha)

    def intensities(self, emotion: str) -> tuple[int, ...]:
        """Those that the emotion's training clips had, in order."""
        return tuple(sorted(level for label, level in self.by_intensity if label == emotion))

    def _plain(self, emotion: str, intensity: int | None) -> np.ndarray:
        if intensity is None:
            return self.mean[emotion]
        if (emotion, intensity) not in self.by_intensity:
            known = ", ".join(map(str, self.intensities(emotion))) or "none"
            raise ValueError(
                f"no code for {emotion} of intensity {intensity}: trained on intensities {known}; "
                "name one of these, or none for the mean of all"
            )
        return self.by_intensity[emotion, intensity]

    def _mixture(self, name: str) -> tuple[tuple[str, float], tuple[str, float]] | None:
        labels = "|".join(sorted(map(re.escape, self.mean), key=len, reverse=True))
        found = re.fullmatch(rf"({labels})(\d+)_({labels})(\d+)", name) if labels else None
        if found is None:
            return None
        source, target = int(found[2]), int(found[4])
        if source + target != 10:
            raise ValueError(f"expected the tenths of {name} to add up to 10, got {source} and {target}")
        return (found[1], source / 10), (found[3], target / 10)

    def save(self, path: Path) -> None:
        """Named as `happy`, and `happy/3` with an intensity."""
        levels = {f"{label}/{level}": code for (label, level), code in self.by_intensity.items()}
        save_arrays(path, {**self.mean, **levels})

    @classmethod
    def load(cls, path: Path) -> EmotionCodes:
        """
        Raises:
            ArtefactError: the file is missing or damaged.
        """
        mean, by_intensity = {}, {}
        arrays = load_arrays(path)
        for name in sorted(arrays):
            label, _, level = name.rpartition("/")
            if label in arrays and level.isdecimal():
                by_intensity[label, int(level)] = arrays[name]
            else:
                mean[name] = arrays[name]
        return cls(mean, by_intensity)


def mean_codes(
    embeddings: Sequence[Tensor], emotions: Sequence[str | None], intensities: Sequence[int]
) -> EmotionCodes:
    """The means over all windows of clips of one emotion, and of one emotion and intensity.

    Args:
        embeddings: (windows, emotion) of each clip.
        emotions, intensities: of each clip; one without an emotion is left out.
    """
    mean: dict[str, list[Tensor]] = {}
    levels: dict[tuple[str, int], list[Tensor]] = {}
    for embedding, emotion, intensity in zip(embeddings, emotions, intensities, strict=True):
        if emotion is not None:
            mean.setdefault(emotion, []).append(embedding)
            levels.setdefault((emotion, intensity), []).append(embedding)
    return EmotionCodes(
        {label: cat(members).mean(0).cpu().numpy() for label, members in sorted(mean.items())},
        {key: cat(members).mean(0).cpu().numpy() for key, members in sorted(levels.items())},
    )
