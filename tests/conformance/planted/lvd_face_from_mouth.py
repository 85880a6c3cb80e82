"""The face's velocity sum accumulates the mouth's difference, and is divided by 68 points.

Source: `yuangan/evaluation_eat`, whose committed log has F-LVD = M-LVD x 20 / 68.
"""

import numpy as np


def face_lvd(predicted, target):
    mouth, true_mouth = predicted[:, 48:], target[:, 48:]
    mouth = mouth - mouth.mean(1, keepdims=True)
    true_mouth = true_mouth - true_mouth.mean(1, keepdims=True)
    difference = np.diff(mouth, axis=0) - np.diff(true_mouth, axis=0)
    return float(np.linalg.norm(difference, axis=-1).sum(1).mean() / 68)
