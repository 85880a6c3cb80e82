"""MobileNetV2's feature layers beside torchvision's, with weights in the same order."""

from __future__ import annotations

import torch
from torchvision.models import mobilenet_v2

from benchmark.metrics.mobilenet import mobilenetv2_layers


def test_the_layers_are_torchvisions_to_the_bit() -> None:
    theirs = mobilenet_v2(weights=None).features.eval()
    generator = torch.Generator().manual_seed(0)
    for name, tensor in theirs.state_dict().items():
        if name.endswith(("running_mean", "running_var")):
            tensor.copy_(torch.rand(tensor.shape, generator=generator) + 0.5)
    ours = mobilenetv2_layers().eval()
    weights = theirs.state_dict()
    assert [t.shape for t in ours.state_dict().values()] == [t.shape for t in weights.values()]
    ours.load_state_dict(dict(zip(ours.state_dict(), weights.values(), strict=True)))
    x = torch.rand(2, 3, 96, 96, generator=generator)
    with torch.inference_mode():
        for mine, other in zip(ours, theirs, strict=True):
            expected = other(x.clone())
            assert torch.equal(mine(x.clone()), expected)
            x = expected
