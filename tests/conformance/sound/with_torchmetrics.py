"""torchmetrics, given bytes as floats and their range."""

import torch
from torchmetrics.functional.image import peak_signal_noise_ratio, structural_similarity_index_measure


def tensors(*images):
    return [torch.from_numpy(image.copy()).permute(2, 0, 1)[None].float() for image in images]


def ssim(predicted, target):
    return float(structural_similarity_index_measure(*tensors(predicted, target), data_range=255.0))


def psnr(predicted, target):
    return float(peak_signal_noise_ratio(*tensors(predicted, target), data_range=255.0))
