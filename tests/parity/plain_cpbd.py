"""CPBD step by step, as Narvekar and Karam describe it, with the filters of SciPy and scikit-image."""

from __future__ import annotations

import numpy as np
from scipy.ndimage import convolve
from skimage.feature import canny

BLOCK = 64


def plain_cpbd(grey: np.ndarray) -> float:
    """Cumulative probability of blur detection of a grey image (H, W) uint8, up to 63 %."""
    image = grey.astype(np.float64)
    widths = edge_widths(image, sobel_edges(image))
    edges = canny(image)
    histogram = np.zeros(101)
    for top in range(0, grey.shape[0] - BLOCK + 1, BLOCK):
        for left in range(0, grey.shape[1] - BLOCK + 1, BLOCK):
            block = np.s_[top : top + BLOCK, left : left + BLOCK]
            if edges[block].mean() > 0.002:
                noticeable = 5 if np.ptp(image[block]) <= 50 else 3
                found = widths[block][widths[block] > 0]
                probability = 1 - np.exp(-((found / noticeable) ** 3.6))
                np.add.at(histogram, np.rint(100 * probability).astype(int), 1)
    return float(histogram[:64].sum() / max(histogram.sum(), 1))


def sobel_edges(image: np.ndarray) -> np.ndarray:
    """Where the horizontal gradient's energy is over twice its root mean and a maximum along an axis."""
    energy = convolve(image, np.outer([1, 2, 1], [1, 0, -1]) / 8) ** 2
    energy[energy <= 2 * np.sqrt(energy.mean())] = 0
    around = np.pad(energy, 1)
    beside = (energy > around[1:-1, :-2]) & (energy > around[1:-1, 2:])
    above = (energy > around[:-2, 1:-1]) & (energy > around[2:, 1:-1])
    return beside | above


def edge_widths(image: np.ndarray, edges: np.ndarray) -> np.ndarray:
    """Marziliano's widths of vertical edges: from the local minimum to the local maximum along the row."""
    down, right = np.gradient(image)
    angle = np.where(right == 0, 0.0, np.degrees(np.arctan2(down, right)))
    octant = 45 * np.round(angle / 45)
    widths = np.zeros(image.shape)
    for i, j in np.argwhere(edges):
        inside = 0 < i < image.shape[0] - 1 and 0 < j < image.shape[1] - 1
        if inside and octant[i, j] in (0, 180, -180):
            rising = image[i] if octant[i, j] == 0 else -image[i]
            widths[i, j] = slope(rising[j + 1 :]) + slope(-rising[:j][::-1])
    return widths


def slope(values: np.ndarray) -> int:
    """Pixels until values that rise from their first one no longer do, 101 at most."""
    stops = np.flatnonzero(np.diff(values) <= 0)
    return min(stops[0] + 1 if len(stops) else len(values), 101)
