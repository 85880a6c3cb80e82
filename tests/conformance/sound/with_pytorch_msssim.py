"""pytorch-msssim, given bytes as floats and their range."""

import torch
from pytorch_msssim import ssim as batch_ssim


def ssim(predicted, target):
    tensors = [torch.from_numpy(x.copy()).permute(2, 0, 1)[None].float() for x in (predicted, target)]
    return float(batch_ssim(*tensors, data_range=255))
