"""The data range of a float image, 1, with values from 0 to 255: the constants are 65025 times too small.

Source: the default `data_range=1.0` of several libraries, given bytes cast to float.
"""

from skimage.metrics import structural_similarity


def ssim(predicted, target):
    return float(
        structural_similarity(predicted.astype(float), target.astype(float), data_range=1.0, channel_axis=2)
    )
