"""piq, given bytes as floats and their range."""

import piq
import torch


def tensors(*images):
    return [torch.from_numpy(image.copy()).permute(2, 0, 1)[None].float() for image in images]


def ssim(predicted, target):
    return float(piq.ssim(*tensors(predicted, target), data_range=255.0))


def psnr(predicted, target):
    return float(piq.psnr(*tensors(predicted, target), data_range=255.0))
