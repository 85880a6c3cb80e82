"""`log` is the natural logarithm, not the one to base 10: decibels are 2.3 times too many.

Source: `np.log` and `torch.log` for `log10`.
"""

import numpy as np


def psnr(predicted, target):
    mse = ((predicted.astype(float) - target) ** 2).mean()
    return float(10 * np.log(255**2 / mse)) if mse else float("inf")
