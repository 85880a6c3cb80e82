"""torch-fidelity's Fréchet distance of given features."""

import torch
from torch_fidelity.metric_fid import fid_features_to_statistics, fid_statistics_to_metric


def frechet(predicted, target):
    statistics = [fid_features_to_statistics(torch.from_numpy(x.copy())) for x in (predicted, target)]
    return float(fid_statistics_to_metric(*statistics, verbose=False)["frechet_inception_distance"])
