"""MobileNetV2 has torchvision's names, its strides, and takes the ImageNet weights at hand."""

from pathlib import Path

import pytest
import torch

from segue.models.build import build_encoder
from segue.models.encoders.mobilenet import MobileNetV2
from segue.models.weights import load_encoder


@pytest.mark.parametrize("size", [(64, 96), (70, 90)])
def test_strides_and_widths(size):
    network = MobileNetV2()
    features = network(torch.rand(2, 3, *size))
    expected = [tuple(-(-side // stride) for side in size) for stride in (4, 8, 16, 32)]
    assert [tuple(maps.shape[-2:]) for maps in features] == expected
    assert tuple(maps.shape[1] for maps in features) == network.out_channels == (24, 32, 96, 320)


def test_parameter_count():
    """The paper's network has 3 504 872, with a classifier and a convolution before it."""
    last_convolution, classifier = 320 * 1280 + 2 * 1280, 1280 * 1000 + 1000
    count = sum(p.numel() for p in MobileNetV2().parameters())
    assert count == 1_811_712 == 3_504_872 - last_convolution - classifier


def test_imagenet_weights_load(shared_data: Path):
    network = build_encoder("mobilenet_v2")
    load_encoder(network, shared_data / "weights" / "mobilenet_v2_imagenet.safetensors")
    assert {value.dtype for value in network.parameters()} == {torch.float32}
    features = network.eval()(torch.rand(1, 3, 64, 64) * 2 - 1)
    assert all(0.05 < float(maps.detach().std()) < 20 for maps in features)


def test_every_parameter_is_used():
    network = MobileNetV2()
    sum(maps.sum() for maps in network(torch.rand(2, 3, 64, 64))).backward()
    assert all(parameter.grad is not None for parameter in network.parameters())
