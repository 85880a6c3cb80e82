"""Moves an image along an optical flow."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional


def warp(image: Tensor, flow: Tensor) -> Tensor:
    """Sample image (batch, channel, h, w) at each pixel plus flow (batch, 2, h, w), x and y in pixels.

    Bilinear; beyond the border the border is repeated. A zero flow gives the image back.
    """
    height, width = image.shape[-2:]
    y = torch.arange(height, device=image.device, dtype=image.dtype)[:, None] + flow[:, 1]
    x = torch.arange(width, device=image.device, dtype=image.dtype)[None] + flow[:, 0]
    grid = torch.stack([2 * x / (width - 1) - 1, 2 * y / (height - 1) - 1], -1)
    return functional.grid_sample(image, grid, "bilinear", "border", align_corners=True)
