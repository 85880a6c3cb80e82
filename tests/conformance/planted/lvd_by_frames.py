"""The T - 1 velocities are summed and divided by T.

Source: `yuangan/evaluation_eat`, its M-LVD.
"""

import numpy as np


def mouth_lvd(predicted, target):
    p, t = predicted[:, 48:], target[:, 48:]
    p, t = p - p.mean(1, keepdims=True), t - t.mean(1, keepdims=True)
    total = 0.0
    for k in range(1, len(t)):
        total += np.linalg.norm((p[k] - p[k - 1]) - (t[k] - t[k - 1]), axis=-1).mean()
    return float(total / len(t))
