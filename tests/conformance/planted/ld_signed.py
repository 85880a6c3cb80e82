"""Differences are averaged over the points before their length is taken, so opposite errors cancel.

Source: a mean over the wrong axis, `norm((p - t).mean(1))` for `norm(p - t).mean(1)`.
"""

import numpy as np


def ld(predicted, target):
    return float(np.linalg.norm((predicted - target).mean(1), axis=-1).mean())
