"""A Fréchet distance from frames, with the network of these tests."""

from benchmark.metrics.frechet import frechet_distance
from tests.conformance.network import ColourNetwork

NETWORK = ColourNetwork()


def frechet(predicted, target):
    return frechet_distance(NETWORK(predicted), NETWORK(target))
