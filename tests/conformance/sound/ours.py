"""The protocols of this project, each with the coverage that it states."""

from benchmark.metrics import image
from benchmark.metrics.frechet import frechet_distance
from benchmark.metrics.landmarks import align_pair, landmark_distance, landmark_velocity_distance


def mouth_ld(predicted, target):
    return landmark_distance(align_pair(predicted, target), "mouth")


def face_ld(predicted, target):
    return landmark_distance(align_pair(predicted, target), "face")


def mouth_lvd(predicted, target):
    return landmark_velocity_distance(align_pair(predicted, target), "mouth")


def face_lvd(predicted, target):
    return landmark_velocity_distance(align_pair(predicted, target), "face")


def ssim(predicted, target):
    return image.ssim(predicted[None], target[None])


def psnr(predicted, target):
    return image.psnr(predicted[None], target[None])


def frechet(predicted, target):
    return frechet_distance(predicted, target)
