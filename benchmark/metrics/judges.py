"""The trained judges of a study, together: whoever scores clips passes them on as one.

A judge that is None is not asked, and its protocols are absent from the scores.
"""

from __future__ import annotations

from dataclasses import dataclass

from benchmark.metrics.emotion import EmotionJudge
from benchmark.metrics.emotion_network import EmotionNetwork
from benchmark.metrics.sync import SyncJudge


@dataclass(frozen=True)
class Judges:
    emotion: EmotionJudge | None = None
    network: EmotionNetwork | None = None
    sync: SyncJudge | None = None


NO_JUDGES = Judges()
