"""The range is guessed from the type: floats are taken to lie between -1 and 1, so it is 2.

Source: scikit-image before 0.20 guessed so for bytes that had been cast to float.
"""

from skimage.metrics import structural_similarity


def ssim(predicted, target):
    guessed = 1.0 - -1.0
    return float(
        structural_similarity(
            target.astype(float), predicted.astype(float), data_range=guessed, channel_axis=2,
            gaussian_weights=True, use_sample_covariance=False,
        )
    )  # fmt: skip
