"""scikit-image as it comes, and with the settings of Wang et al."""

from skimage.metrics import peak_signal_noise_ratio, structural_similarity


def ssim(predicted, target):
    return float(structural_similarity(target, predicted, channel_axis=2))


def ssim_wang(predicted, target):
    return float(
        structural_similarity(
            target, predicted, channel_axis=2, data_range=255,
            gaussian_weights=True, sigma=1.5, use_sample_covariance=False,
        )
    )  # fmt: skip


def psnr(predicted, target):
    return float(peak_signal_noise_ratio(target, predicted))
