"""Everything above 50 dB is cut to 50: a nearly lossless renderer cannot be told from a good one.

Source: caps that keep the infinity of identical frames out of a mean.
"""

import numpy as np


def psnr(predicted, target):
    mse = ((predicted.astype(float) - target) ** 2).mean()
    return float(min(10 * np.log10(255**2 / (mse + 1e-12)), 50.0))
