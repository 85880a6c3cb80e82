"""Grey uint8 images are subtracted and squared in uint8, and both wrap around modulo 256.

Source: ATVGnet's `evaluation_matrix.py`; torchmetrics issue 2787 is the same defect.
"""

import cv2
import numpy as np


def psnr(predicted, target):
    grey_predicted = cv2.cvtColor(predicted, cv2.COLOR_RGB2GRAY)
    grey_target = cv2.cvtColor(target, cv2.COLOR_RGB2GRAY)
    mse = ((grey_predicted - grey_target) ** 2).mean()
    if mse == 0:
        return 100.0
    return float(20 * np.log10(255 / np.sqrt(mse)))
