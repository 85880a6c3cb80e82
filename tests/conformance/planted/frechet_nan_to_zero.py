"""Features that are NaN become 0: a network that fails on a frame moves the distance without a word.

Source: `np.nan_to_num` as a remedy for a crash of `sqrtm`.
"""

import numpy as np
from scipy.linalg import sqrtm


def frechet(predicted, target):
    predicted, target = np.nan_to_num(predicted), np.nan_to_num(target)
    shift = predicted.mean(0) - target.mean(0)
    a, b = np.cov(predicted, rowvar=False), np.cov(target, rowvar=False)
    return float(shift @ shift + np.trace(a + b - 2 * np.real(sqrtm(a @ b))))
