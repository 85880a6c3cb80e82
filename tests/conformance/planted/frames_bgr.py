"""Both sides' frames are read by OpenCV as BGR, and go so into a network for RGB.

Source: `yuangan/evaluation_eat`. The distance is another one, and lower where colours are hard.
"""

from benchmark.metrics.frechet import frechet_distance
from tests.conformance.network import ColourNetwork

NETWORK = ColourNetwork()


def frechet(predicted, target):
    features = [NETWORK(frames[..., ::-1]) for frames in (predicted, target)]
    return frechet_distance(*features)
