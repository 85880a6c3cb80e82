"""Differences are taken between neighbouring points instead of frames: no velocity is compared.

Source: `np.diff(x, axis=1)` on (frames, points, 2), where a batch axis used to stand before time.
"""

import numpy as np


def lvd(predicted, target):
    return float(np.linalg.norm(np.diff(predicted, axis=1) - np.diff(target, axis=1), axis=-1).mean())
