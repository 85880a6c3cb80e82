"""The trace of the product of the covariances is taken without the matrix square root.

Source: the formula read as 2 tr(S_a S_b)^(1/2) with the root forgotten.
"""

import numpy as np


def frechet(predicted, target):
    shift = predicted.mean(0) - target.mean(0)
    a, b = np.cov(predicted, rowvar=False), np.cov(target, rowvar=False)
    return float(shift @ shift + np.trace(a) + np.trace(b) - 2 * np.trace(a @ b))
