"""RGB images are turned to grey as if they were BGR: red has the weight of blue.

Source: `cv2.COLOR_BGR2GRAY` on frames that imageio or PIL has read.
"""

import cv2
from skimage.metrics import structural_similarity


def ssim(predicted, target):
    grey = [cv2.cvtColor(image, cv2.COLOR_BGR2GRAY) for image in (predicted, target)]
    return float(structural_similarity(*grey, data_range=255))
