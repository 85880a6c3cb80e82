"""Frames in which no face is found are left out of the mean, so that a method gains by failing.

Source: ATVGnet's `evaluation_matrix.py` skips them in silence.
"""

import numpy as np


def mouth_ld(predicted, target):
    distances = np.linalg.norm(predicted[:, 48:] - target[:, 48:], axis=-1)
    return float(np.nanmean(distances))
