"""One side's features come from frames that OpenCV has read as BGR: R and B of them are exchanged.

Source: EAT's FID, whose frames are BGR; here the features, in triples of R, G and B, show it.
"""

import numpy as np
from scipy.linalg import sqrtm


def frechet(predicted, target):
    predicted = predicted.reshape(len(predicted), -1, 3)[..., ::-1].reshape(len(predicted), -1)
    shift = predicted.mean(0) - target.mean(0)
    a, b = np.cov(predicted, rowvar=False), np.cov(target, rowvar=False)
    return float(shift @ shift + np.trace(a + b - 2 * np.real(sqrtm(a @ b))))
