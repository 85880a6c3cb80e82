"""Definitions of the field, written down plainly."""

import numpy as np
from scipy.linalg import sqrtm
from scipy.ndimage import gaussian_filter


def lengths(difference):
    return np.linalg.norm(difference, axis=-1)


def centred(landmarks):
    return landmarks - landmarks.mean(1, keepdims=True)


def ld(predicted, target):
    return float(lengths(predicted - target).mean())


def lvd(predicted, target):
    return float(lengths(np.diff(predicted - target, axis=0)).mean())


def lmd_eat(predicted, target):
    return float(lengths(centred(predicted[:, 48:]) - centred(target[:, 48:])).mean())


def lmd_atvgnet(predicted, target):
    return float(lengths(centred(predicted[:, 48:]) - centred(target[:, 48:])).sum(1).mean())


def lmd_vico(predicted, target):
    return float(np.abs(predicted - target)[:, 48:].mean())


def ld_by_eyes(predicted, target):
    eyes = lengths(target[:, 36:42].mean(1) - target[:, 42:48].mean(1)).mean()
    return float(lengths(predicted - target)[:, 48:].mean() / eyes)


def lvd_per_second(predicted, target):
    return 25 * lvd(predicted, target)


def psnr(predicted, target):
    if predicted.shape != target.shape or not target.size:
        raise ValueError("expected two images of one size")
    mse = np.mean((predicted.astype(float) - target) ** 2)
    return float(10 * np.log10(255**2 / mse)) if mse else np.inf


def psnr_100(predicted, target):
    value = psnr(predicted, target)
    return value if np.isfinite(value) else 100.0


def ssim(predicted, target):
    if predicted.shape != target.shape or min(target.shape[:2]) < 11:
        raise ValueError("expected images of one size, 11 px or more")

    def mean(image):
        return gaussian_filter(image, 1.5, truncate=3.5, axes=(0, 1))[5:-5, 5:-5]

    x, y = predicted.astype(float), target.astype(float)
    mx, my = mean(x), mean(y)
    upper = (2 * mx * my + 2.55**2) * (2 * (mean(x * y) - mx * my) + 7.65**2)
    lower = (mx**2 + my**2 + 2.55**2) * (mean(x * x) - mx**2 + mean(y * y) - my**2 + 7.65**2)
    return float((upper / lower).mean())


def frechet(predicted, target):
    shift = predicted.mean(0) - target.mean(0)
    a, b = np.cov(predicted, rowvar=False), np.cov(target, rowvar=False)
    return float(shift @ shift + np.trace(a + b - 2 * np.real(sqrtm(a @ b))))


def frechet_population(predicted, target):
    shift = predicted.mean(0) - target.mean(0)
    a, b = (np.cov(x, rowvar=False, ddof=0) for x in (predicted, target))
    return float(shift @ shift + np.trace(a + b - 2 * np.real(sqrtm(a @ b))))
